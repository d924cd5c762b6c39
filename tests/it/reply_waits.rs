//! Replies that wait for their answer: it joins the first message, silence puts that one to quarantine, once, and whatever
//! else comes instead of an answer is told.

use chrono::TimeDelta;
use countersign::cli::{self, Command, Quarantine};
use countersign::intake::replay::{Against, People, Wanted};
use countersign::store::messages::{self, MessageRow};
use countersign::store::{mailboxes, reply_waits};
use serde_json::json;

use crate::app::{Mail, NORDWIND, TestApp, answer, file, mail};
use crate::daemon::Site;
use crate::intake_features::told;
use crate::rig;
use crate::story;

const RULES: &str = r#"
    [[rule]]
    name = "complete"
    answers_reply = true
    attachment = { kind = "pdf" }
    start = "booking"
    inputs = { documents = "{{ documents }}", proven = "{{ authenticated }}", first = "{{ first_time_sender }}" }
    [[rule]]
    name = "chat"
    body = "*weather*"
    ignore = "about the weather"
    [[rule]]
    name = "ask"
    expr = "known_supplier or subject == 'Our prices'"
    reply = "reply-no-document"
    wait = "7d"
    reason = "no invoice in it"
    [default]
    quarantine = "unknown sender"
"#;

const WORKFLOW: &str = "name = 'booking'\nversion = 1\ntitle = 'booking'\nprefix = 'BO'\nowner = 'role:finance-lead'\n\
    [inputs]\ndocuments = { type = 'list' }\nproven = { type = 'boolean', optional = true }\n\
    first = { type = 'boolean', optional = true }\n[[step]]\nname = 'keep'\nagent = 'noop'\n";

async fn app() -> TestApp {
    TestApp::with(&[("rules/ap.toml", RULES), ("workflows/booking.toml", WORKFLOW)]).await
}

fn first(from: &str) -> Mail {
    mail(from, "Our prices", "As agreed.").attach("prices.csv", b"article,price\npaper,3.20\n")
}

fn with_pdf(mail: Mail) -> Mail {
    mail.attach("a.pdf", b"%PDF-1.4\n% invoice 1\n%%EOF\n")
}

/// Asked, and six days gone.
async fn asked() -> (TestApp, MessageRow) {
    let app = app().await;
    let row = app.receive(first(NORDWIND)).await;
    let why = "reply ask: no invoice in it; its answer is waited for until 2026-03-09 09:00 UTC";
    assert_eq!((told(&row), app.sent_to(NORDWIND).len()), (why.into(), 1));
    later(&app, TimeDelta::days(6)).await;
    assert_eq!(again(&app, &row).await.verdict.as_deref(), Some("reply"));
    (app, row)
}

/// Lets time pass, with the mailbox read in the end.
async fn later(app: &TestApp, time: TimeDelta) {
    app.clock.advance(time);
    app.poll().await.unwrap();
    app.settle().await;
}

async fn again(app: &TestApp, row: &MessageRow) -> MessageRow {
    messages::get(&mut app.tx().await, row.id).await.unwrap()
}

async fn said(app: &TestApp, command: Command) -> String {
    cli::tell(command, &app.app.context(), None).await.unwrap().text
}

async fn explained(app: &TestApp, row: &MessageRow) -> String {
    said(app, Command::Explain { id: row.id.to_string() }).await
}

/// The one run's documents and its other inputs.
async fn run_of(app: &TestApp, row: &MessageRow) -> (Vec<String>, serde_json::Value) {
    let runs = app.runs().await;
    let [run] = runs.as_slice() else { panic!("not one run: {runs:?}") };
    assert_eq!(run.transaction_id, row.transaction_id, "it works in the first mail's directory");
    let documents = run.inputs.0["documents"].as_array().unwrap();
    for document in documents {
        let path = document["path"].as_str().unwrap();
        assert!(path.starts_with(&format!("acme/{}/parts/", row.transaction_id)), "{path}");
        assert!(app.app.engine.blob.get(path).await.is_ok(), "{path} is stored");
    }
    let names = documents.iter().map(|document| document["name"].as_str().unwrap().to_owned()).collect();
    (names, json!([run.inputs.0.get("proven"), run.inputs.0.get("first")]))
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[tokio::test]
async fn an_answer_in_time_is_screened_as_one_with_the_first_message() {
    let (app, first) = asked().await;
    let row = app.receive(with_pdf(answer(NORDWIND, &app.last_to(NORDWIND), "Here it is."))).await;
    assert_eq!(told(&row), "start complete: rule `complete` matched");
    assert_eq!(run_of(&app, &first).await, (names(&["a.pdf", "prices.csv"]), json!([true, true])));
    let (of_first, of_answer) = (explained(&app, &first).await, explained(&app, &row).await);
    let counts =
        format!("answers our reply `reply-no-document` to message {}, and is screened with it as one.", first.id);
    assert!(of_answer.contains(&counts), "{of_answer}");
    assert!(of_first.contains(&format!("In answer came message {}: it {counts}", row.id)), "{of_first}");
    assert!(of_first.contains("who answered on 2026-03-08 09:00 UTC."), "{of_first}");
    let facts = &row.explanation.as_ref().unwrap().0.facts;
    assert_eq!((&facts["answers_reply"], &facts["duplicate_documents"]), (&json!(true), &json!("none")));

    later(&app, TimeDelta::days(30)).await;
    let after = again(&app, &first).await;
    assert_eq!((after.verdict.as_deref(), app.events("message.unanswered").await.len()), (Some("reply"), 0));
    // Trying the same rules on the past finds the same of both.
    assert_eq!(changed_by_replay(&app).await, 0);
    app.finish().await;
}

async fn changed_by_replay(app: &TestApp) -> usize {
    let since = app.now() - TimeDelta::days(90);
    let (against, people) = (Against::Recorded, People::Then);
    let wanted = Wanted { since, mailbox: None, against, people, examples: 3 };
    app.app.intake.replay(&wanted, None).await.unwrap().changed
}

#[tokio::test]
async fn silence_puts_the_first_message_to_quarantine_once_and_a_late_answer_is_shown_with_it() {
    let (app, first) = asked().await;
    later(&app, TimeDelta::days(1)).await;
    later(&app, TimeDelta::days(1)).await;
    let row = again(&app, &first).await;
    assert_eq!(told(&row), "quarantine ask: nobody answered our reply `reply-no-document` in 1w");
    assert_eq!(row.severity.map(|severity| severity.as_str()), Some("low"));
    assert_eq!(app.events("message.unanswered").await.len(), 1);

    let late = app.receive(with_pdf(answer(NORDWIND, &app.last_to(NORDWIND), "Sorry."))).await;
    assert!(told(&late).starts_with("reply ask: "), "alone it is a mail like any other: {}", told(&late));
    let why = format!("it came late: our reply to message {} waited until 2026-03-09 09:00 UTC", first.id);
    let (of_late, of_first) = (explained(&app, &late).await, explained(&app, &first).await);
    assert!(
        of_late.contains(&why[3..]) && of_late.contains(&format!("Message {} is in quarantine", first.id)),
        "{of_late}"
    );
    assert!(of_first.contains(&format!("In answer came message {}: {why}", late.id)), "{of_first}");
    assert_eq!(changed_by_replay(&app).await, 0, "the rules still reply; silence is no rule");

    // A person has the last word: another reply would ask in vain again.
    let release = |start: Option<&str>| Command::Quarantine {
        what: Quarantine::Release {
            id: first.id.to_string(),
            as_user: "frank".into(),
            start: start.map(str::to_owned),
        },
    };
    let stays = said(&app, release(None)).await;
    assert!(stays.contains("billing@nordwind.example was asked already"), "{stays}");
    said(&app, release(Some("booking"))).await;
    app.settle().await;
    assert_eq!(run_of(&app, &first).await.0, names(&["prices.csv"]));
    app.finish().await;
}

#[tokio::test]
async fn a_machine_does_not_answer_and_a_report_that_nobody_got_our_reply_ends_the_wait_at_once() {
    let (app, first) = asked().await;
    let asking = app.last_to(NORDWIND);
    let vacation = answer(NORDWIND, &asking, "I am away.").header("Auto-Submitted", "auto-replied");
    let row = app.receive(vacation).await;
    assert!(
        told(&row).starts_with("ignore auto-reply: auto-reply: a machine wrote it, so it does not count"),
        "{}",
        told(&row)
    );
    assert_eq!(again(&app, &first).await.verdict.as_deref(), Some("reply"));

    let report = String::from_utf8(file("tests/samples/mime/bounce.eml")).unwrap();
    let report = report.replace("notice-1@acme.example", asking.message_id.as_deref().unwrap());
    let row = app.receive(report.clone().into_bytes()).await;
    let why = format!("; message {} waited for its answer and is in quarantine now", first.id);
    assert!(told(&row).starts_with("ignore correlation: our mail to ") && told(&row).ends_with(&why), "{}", told(&row));
    let quarantined =
        "quarantine ask: our reply `reply-no-document` did not reach billing@nordwind.example: came back: failed 5.1.1";
    assert_eq!(told(&again(&app, &first).await), quarantined);
    app.receive([b"X-Hop: 2\r\n".to_vec(), report.into_bytes()].concat()).await;
    later(&app, TimeDelta::days(30)).await;
    assert_eq!(app.events("message.unanswered").await.len(), 1);
    app.finish().await;
}

#[tokio::test]
async fn only_whoever_was_asked_or_a_colleague_at_the_supplier_answers() {
    let (app, first) = asked().await;
    let asking = app.last_to(NORDWIND);
    let stranger = app.receive(with_pdf(answer("mallory@elsewhere.example", &asking, "Take mine."))).await;
    assert_eq!(told(&stranger), "quarantine default: unknown sender");
    let why = format!("mallory@elsewhere.example answers our reply to message {}, which asked {NORDWIND}", first.id);
    assert!(explained(&app, &stranger).await.contains(&why));
    let ignored = app.receive(answer(NORDWIND, &asking, "Fine weather today.")).await;
    assert!(told(&ignored).starts_with("ignore chat"), "{}", told(&ignored));
    assert_eq!(again(&app, &first).await.verdict.as_deref(), Some("reply"), "it waits on");
    let colleague = app.receive(with_pdf(answer("sales@nordwind.example", &asking, "Here."))).await;
    assert!(told(&colleague).starts_with("start complete"), "{}", told(&colleague));
    assert_eq!(run_of(&app, &first).await.0, names(&["a.pdf", "prices.csv"]));
    app.finish().await;
}

#[tokio::test]
async fn an_answer_proves_nothing_about_an_unproven_first_message() {
    let app = app().await;
    let row = app.receive(first(NORDWIND).unproven()).await;
    app.receive(with_pdf(answer(NORDWIND, &app.last_to(NORDWIND), "Here."))).await;
    assert_eq!(run_of(&app, &row).await.1, json!([false, true]));
    app.finish().await;
}

#[tokio::test]
async fn who_is_asked_twice_may_answer_either_mail_and_all_three_messages_are_one() {
    let (app, first) = asked().await;
    let asking = app.last_to(NORDWIND);
    let empty = app.receive(answer(NORDWIND, &asking, "Which one?").attach("b.csv", b"a,b\n1,2\n")).await;
    assert!(told(&empty).starts_with("reply ask"), "{}", told(&empty));
    assert_eq!(app.sent_to(NORDWIND).len(), 2);
    later(&app, TimeDelta::days(6)).await;
    app.receive(with_pdf(answer(NORDWIND, &asking, "This one."))).await;
    assert_eq!(run_of(&app, &first).await.0, names(&["a.pdf", "b.csv", "prices.csv"]));
    app.finish().await;
}

#[tokio::test]
async fn of_two_answers_at_once_the_first_counts() {
    let (app, first) = asked().await;
    let asking = app.last_to(NORDWIND);
    for text in ["One.", "Two."] {
        app.deliver(&with_pdf(answer(NORDWIND, &asking, text)).raw());
    }
    app.poll().await.unwrap();
    app.settle().await;
    run_of(&app, &first).await;
    let rows = app.messages().await;
    let told: Vec<_> =
        rows.iter().filter_map(|row| Some(row.explanation.as_ref()?.0.answers.as_ref()?.told.clone())).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(told.iter().filter(|told| told.contains("had its answer before, message ")).count(), 1, "{told:?}");
}

#[tokio::test]
async fn a_sender_who_cannot_be_asked_goes_to_quarantine_and_unread_mail_puts_silence_off_once() {
    let app = app().await;
    let machine = app.receive(first(NORDWIND).header("Auto-Submitted", "auto-generated")).await;
    let why = "quarantine ask: no invoice in it; not answered: a machine wrote it, or enough was answered already";
    assert_eq!((told(&machine), app.outbox().len()), (why.into(), 0));
    let row = app.receive(first(NORDWIND).attach("other.csv", b"x,y\n1,2\n")).await;
    let mut tx = app.app.engine.store.begin().await.unwrap();
    mailboxes::note_success(&mut tx, "ap", app.now()).await.unwrap();
    tx.commit().await.unwrap();
    app.pass(TimeDelta::days(7)).await;
    assert_eq!(again(&app, &row).await.verdict.as_deref(), Some("reply"), "nobody has looked for an answer yet");
    app.pass(TimeDelta::minutes(15)).await;
    assert_eq!(again(&app, &row).await.verdict.as_deref(), Some("quarantine"));
    let wait = reply_waits::of_message(&mut app.tx().await, row.id).await.unwrap().unwrap();
    assert_eq!(wait.ended_as.map(|ended| ended.as_str()), Some("unanswered"));
    app.finish().await;
}

#[tokio::test]
async fn an_answer_joins_its_message_through_real_servers_and_kills_before_and_after_its_commit() {
    for point in ["intake.before_commit", "intake.committed"] {
        let site = Site::usual();
        site.put("rules/ap.toml", RULES);
        site.put("workflows/booking.toml", WORKFLOW);
        let (from, to) = (site.supplier.as_str(), site.mailbox.as_str());
        let send = async |mail: Mail, to: &str| {
            rig::send(rig::submission_port(), Some(from), &mail.raw(), from, to).await.expect("send");
        };
        send(first(from), to).await;
        rig::wait_for("the mail", async || rig::inbox(to).await.pop()).await;
        let mut daemon = site.start_armed(point);
        daemon.wait_for_death(point).await;
        let daemon = site.start().await;
        let asking = rig::wait_for("our reply", async || rig::inbox(from).await.pop()).await;
        let asking = story::read(&asking);
        daemon.stop().await;
        send(with_pdf(answer(from, &asking, "Here it is.")), &asking.reply_to[0].address).await;
        rig::wait_for("the answer", async || (rig::inbox(to).await.len() == 2).then_some(())).await;
        let mut daemon = site.start_armed(point);
        daemon.wait_for_death(point).await;
        let daemon = site.start().await;
        site.wait_for_state("the run to end", |state| {
            (state.runs.len() == 1 && state.runs[0].status.is_final()).then_some(())
        })
        .await;
        daemon.stop().await;
        let state = site.state().await.expect("a state");
        let verdicts: Vec<_> = state.messages.iter().filter_map(|row| row.verdict.as_deref()).collect();
        assert_eq!((verdicts, rig::inbox(from).await.len()), (vec!["reply", "start"], 1), "{point}");
        let [run] = state.runs.as_slice() else { panic!("{point}: not one run") };
        assert_eq!(run.transaction_id, state.messages[0].transaction_id, "{point}");
        assert_eq!(run.inputs.0["documents"].as_array().map(Vec::len), Some(2), "{point}");
    }
}
