//! `countersign rules replay`: stored mail under other rules, with what was known when it was decided, and without effects.

use std::path::PathBuf;

use chrono::TimeDelta;
use countersign::cli::{self, Command, Ending, Rules, Since, Told};
use countersign::domain::ids::{Delivery, MessageId};
use countersign::domain::message::Message;
use countersign::domain::verdict::{Decision, Disposition, Severity, Start, Verdict};
use countersign::intake::replay::{Against, People};
use countersign::store::messages::{self, Decided};
use countersign::store::past::{self, Place};
use countersign::store::quarantine::{self, Disposed, Outcome};
use serde_json::{Value, json};

use crate::app::{OLIVIA, TestApp, answer, invoice, mail};
use crate::rule_commands::{candidate, json, rules};
use crate::store_contract::{at, on_both};

const AP: &str = include_str!("../../rules/ap.toml");
const PEOPLE: &str = include_str!("../../config/demo/people.toml");

/// Strangers start a workflow, and newsletters are gone; nobody else is touched.
const CANDIDATE: &str = r#"
[[rule]]
name = "ap-known"
known_supplier = true
authenticated = true
attachment = { kind = "pdf" }
start = "ap-invoice"
inputs = { documents = "{{ documents }}", sender = "{{ from }}", subject = "{{ subject }}", supplier = "{{ supplier }}" }
[[rule]]
name = "first-timers"
first_time_sender = true
from_domain = "elsewhere.example"
quarantine = "look at first-timers"
severity = "high"
[[rule]]
name = "never"
subject = "*nothing has this subject*"
ignore = "never"
[default]
quarantine = "nobody knows"
"#;

struct Asked {
    rules: Option<PathBuf>,
    against: Against,
    people: People,
    diff: bool,
    json: bool,
}

impl Default for Asked {
    fn default() -> Self {
        Self { rules: None, against: Against::Recorded, people: People::Then, diff: true, json: true }
    }
}

async fn replay(app: &TestApp, asked: Asked) -> Told {
    let Asked { rules: directory, against, people, diff, json } = asked;
    let since = Since::Ago("30d".parse().unwrap());
    let what = Rules::Replay { since, rules: directory, mailbox: None, against, people, diff, examples: 3, json };
    rules(app, what).await
}

/// An invoice, its repeat, an approval, a newsletter, and two mails of a stranger.
async fn month() -> TestApp {
    let app = TestApp::demo().await;
    let invoice = invoice();
    app.receive(invoice.clone()).await;
    app.receive(invoice.header("X-Way", "2")).await;
    let asked = app.last_to(OLIVIA);
    app.receive(answer(OLIVIA, &asked, "Approved")).await;
    app.receive(mail("news@fair.example", "Autumn", "x").header("List-Unsubscribe", "<mailto:off@fair.example>")).await;
    app.clock.advance(TimeDelta::hours(1));
    app.receive(mail("somebody@elsewhere.example", "Offer one", "x")).await;
    app.clock.advance(TimeDelta::hours(1));
    app.receive(mail("somebody@elsewhere.example", "Offer two", "x")).await;
    app.clock.advance(TimeDelta::days(2));
    app
}

#[tokio::test]
async fn the_rules_in_force_change_nothing_of_what_they_decided() {
    let app = month().await;
    let told = replay(&app, Asked::default()).await;
    let found = json(&told);
    assert_eq!(told.ending, Ending::Done, "{}", told.text);
    assert_eq!((&found["messages"], &found["guarded"], &found["screened"]), (&6.into(), &2.into(), &4.into()));
    assert_eq!((&found["changed"], &found["changes"]), (&0.into(), &json!([])));
    let told = replay(&app, Asked { json: false, diff: false, ..Asked::default() }).await.text;
    for part in [
        "6 messages since 2026-02-",
        "none of 4 verdicts changes.\n",
        "  ap-known ",
        "  suspicious ",
        "start ap-invoice",
    ] {
        assert!(told.contains(part), "{part} is not in\n{told}");
    }
}

#[tokio::test]
async fn a_candidate_changes_verdicts_as_of_then_and_nothing_follows() {
    let app = month().await;
    let (runs, events) = (app.runs().await.len(), app.events("message.screened").await.len());
    let outbox = app.outbox().len();
    let directory = candidate(&app, CANDIDATE);
    let told = replay(&app, Asked { rules: Some(directory.clone()), ..Asked::default() }).await;
    let found = json(&told);
    assert_eq!(told.ending, Ending::Failed, "{}", told.text);
    assert_eq!((&found["changed"], &found["by_candidate"]), (&2.into(), &2.into()), "{found:#}");
    let changes = found["changes"].as_array().unwrap();
    let of = |rule: Value| changes.iter().find(|change| change["after"]["rule"] == rule).unwrap();
    let first = of("first-timers".into());
    assert_eq!(first["examples"][0]["subject"], "Offer one", "only the first was a first");
    assert_eq!((&first["before"]["severity"], &first["after"]["severity"]), (&"medium".into(), &"high".into()));
    assert_eq!(first["examples"][0]["before"], "unknown sender");
    let news = of(Value::Null);
    assert_eq!((&news["before"]["verdict"], &news["before"]["rule"]), (&"ignore".into(), &"newsletter".into()));
    let caught = found["rules"].as_array().unwrap();
    let verdicts: Vec<_> = caught.iter().map(|caught| (caught["rule"].as_str(), caught["verdicts"].clone())).collect();
    assert_eq!(verdicts[0], (Some("ap-known"), json!([["start ap-invoice", 1]])));
    assert_eq!(verdicts[2], (Some("never"), json!([])));
    assert_eq!(verdicts[3], (None, json!([["quarantine (medium)", 2]])));

    let told = replay(&app, Asked { rules: Some(directory), json: false, ..Asked::default() }).await.text;
    for part in [
        "Compared with what was decided then, 2 of 4 verdicts change.\n",
        "The candidate rules make the whole difference.",
        "  quarantine (medium) by the default -> quarantine (high) by first-timers\n",
        "\"Offer one\"\n      before  unknown sender\n      after   look at first-timers\n",
    ] {
        assert!(told.contains(part), "{part} is not in\n{told}");
    }
    assert_eq!((app.runs().await.len(), app.events("message.screened").await.len()), (runs, events));
    assert_eq!((app.outbox().len(), app.messages().await.len()), (outbox, 6));
    app.finish().await;
}

#[tokio::test]
async fn new_suppliers_are_not_mistaken_for_new_rules() {
    let people = PEOPLE.replace("nordwind.example", "somebody.example");
    let app = TestApp::with(&[("people.toml", &people)]).await;
    app.receive(invoice()).await;
    std::fs::write(app.path("people.toml"), PEOPLE).unwrap();
    cli::tell(Command::Import { file: app.path("people.toml") }, &app.app.context(), None).await.unwrap();
    assert_eq!(replay(&app, Asked::default()).await.ending, Ending::Done, "as it was known then");

    let now = json(&replay(&app, Asked { people: People::Now, ..Asked::default() }).await);
    let change = &now["changes"][0];
    assert_eq!(
        (&change["after"]["verdict"], &change["after"]["workflows"]),
        (&"start".into(), &serde_json::json!(["ap-invoice"]))
    );
    // The candidate has the same rule: not its doing.
    let same = candidate(&app, CANDIDATE);
    let asked = || Asked { rules: Some(same.clone()), people: People::Now, ..Asked::default() };
    let told = json(&replay(&app, asked()).await);
    assert_eq!((&told["changed"], &told["by_candidate"]), (&1.into(), &0.into()), "{told:#}");
    let told = json(&replay(&app, Asked { against: Against::Current, ..asked() }).await);
    assert_eq!(told["changed"], 0, "{told:#}");
}

#[tokio::test]
async fn other_inputs_and_a_start_that_would_be_refused_are_changes() {
    let app = TestApp::demo().await;
    app.receive(invoice()).await;
    let check = async |from: &str, to: &str, against, expected: Value| {
        assert!(AP.contains(from), "{from}");
        let rules = Some(candidate(&app, &AP.replace(from, to)));
        let told = json(&replay(&app, Asked { rules, against, ..Asked::default() }).await);
        let change = &told["changes"][0];
        assert_eq!(json!([change["after"]["verdict"], change["other_inputs"]]), expected, "{told:#}");
    };
    let (subject, other) = ("subject = \"{{ subject }}\", ", "subject = \"{{ from }}\", ");
    check(subject, other, Against::Current, json!(["start", true])).await;
    check(subject, other, Against::Recorded, json!([null, null])).await;
    let gone = "inputs = { documents = \"{{ documents }}\", sender";
    check(gone, "inputs = { sender", Against::Recorded, json!(["quarantine", false])).await;
}

#[tokio::test]
async fn wrong_rules_and_strange_mailboxes_are_refused() {
    let app = TestApp::demo().await;
    let told = replay(&app, Asked { rules: Some(candidate(&app, "[[rule]]\nnam = 1\n")), ..Asked::default() }).await;
    assert_eq!(told.ending, Ending::Misused);
    assert!(told.text.contains("error: "), "{}", told.text);
    let what = Rules::Replay {
        since: Since::Ago("1d".parse().unwrap()),
        rules: None,
        mailbox: Some("nope".into()),
        against: Against::Recorded,
        people: People::Then,
        diff: true,
        examples: 3,
        json: false,
    };
    let refused = cli::tell(Command::Rules { what }, &app.app.context(), None).await.unwrap_err();
    assert!(refused.to_string().contains("there are: ap"), "{refused}");
    assert_eq!(replay(&app, Asked::default()).await.ending, Ending::Done, "nothing came yet");
}

#[tokio::test]
async fn the_past_is_read_in_pages_and_releases_by_themselves() {
    on_both(async |store| {
        let mut tx = store.begin().await.unwrap();
        let mut ids: Vec<MessageId> = vec![];
        for uid in 0..5 {
            let mailbox = if uid == 3 { "other" } else { "ap" };
            let delivery = Delivery { mailbox: mailbox.into(), uid_validity: 1, uid: uid.to_string() };
            // Two at the same instant.
            messages::record_listed(&mut tx, "acme", &delivery, None, 5, at(uid / 2)).await.unwrap();
            ids.push(delivery.message_id());
            if uid == 4 {
                continue; // not decided yet
            }
            let message = Message { subject: "it's \u{1f600}".into(), ..Default::default() };
            let decision = Decision::new(Verdict::Quarantine { severity: Severity::Low }, "why", Default::default());
            let decided = Decided {
                id: delivery.message_id(),
                customer: "acme",
                message: Some(&message),
                decision: &decision,
                raw_sha256: None,
                size_bytes: 5,
                run_id: None,
                wait_id: None,
                duplicate_of: None,
                documents_of: None,
                at: at(9),
            };
            messages::decide(&mut tx, &decided).await.unwrap();
        }
        let mut seen = vec![];
        let mut place = Place::before(at(0));
        loop {
            let page = past::page(&mut tx, place, at(9), None, 3).await.unwrap();
            let Some(last) = page.last() else { break };
            place = Place::of(last);
            seen.extend(page.iter().map(|row| row.id));
        }
        let mut expected = [[ids[0], ids[1]], [ids[2], ids[3]]];
        expected.iter_mut().for_each(|pair| pair.sort_by_key(|id| id.0));
        assert_eq!(seen, expected.concat());
        let page = async |from, until, mailbox: Option<&'static str>, tx: &mut _| {
            past::page(tx, Place::before(at(from)), at(until), mailbox, 9).await.unwrap().len()
        };
        assert_eq!(page(1, 9, None, &mut tx).await, 2);
        assert_eq!((page(0, 0, None, &mut tx).await, page(0, 1, None, &mut tx).await), (2, 4));
        assert_eq!(page(0, 9, Some("other"), &mut tx).await, 1);
        let row = past::page(&mut tx, Place::before(at(0)), at(9), None, 1).await.unwrap().remove(0);
        let message: Message = serde_json::from_str(&row.facts.unwrap()).unwrap();
        assert_eq!(
            (message.subject.as_str(), row.severity, row.workflow),
            ("it's \u{1f600}", Some(Severity::Low), None)
        );

        let start = Start { workflow: "w".into(), inputs: Default::default(), documents: vec![] };
        let verdict = Verdict::Start(vec![start]);
        let outcome = Outcome {
            message: &message,
            verdict: &verdict,
            run_id: None,
            wait_id: None,
            duplicate_of: None,
            documents_of: None,
            move_to: None,
        };
        let disposition = Disposition::Released;
        let disposed =
            Disposed { id: ids[1], disposition, by: "frank", reason: "", at: at(20), outcome: Some(outcome) };
        assert!(quarantine::dispose(&mut tx, &disposed).await.unwrap());
        let released = past::released(&mut tx, at(20), 9).await.unwrap();
        assert_eq!((released[0].id, released[0].disposed_by.as_deref()), (ids[1], Some("frank")));
        assert!(past::released(&mut tx, at(21), 9).await.unwrap().is_empty());
    })
    .await;
}
