//! Quarantine: what was kept is listed and shown; a person releases it, through the rules of now or against them, or
//! discards it; once, and the trail says who.

use std::path::Path;

use countersign::cli::{self, Command, Ending, Format, Quarantine, Told};
use countersign::domain::run::RunStatus;
use countersign::store::messages::{self, MessageRow};
use serde_json::Value;

use crate::app::{AP, Mail, NORDWIND, OLIVIA, TestApp, invoice, mail};
use crate::intake_features::told;

const PEOPLE: &str = include_str!("../../config/demo/people.toml");
const NORDWIND_IS_SUPPLIER: &str = "[[customer.supplier]]\nname = \"Nordwind Papier GmbH\"";

/// Takes every word of a mail and nothing that is not there.
const GREEDY: &str = r#"
name = "greedy"
version = 1
prefix = "GR"
[inputs]
subject = { type = "string" }
supplier = { type = "string" }
[[step]]
name = "look"
agent = "noop"
"#;

/// The demo before anybody knew Nordwind.
async fn before_nordwind() -> TestApp {
    let people = PEOPLE.replace(NORDWIND_IS_SUPPLIER, "[[customer.supplier]]\nname = \"Somebody\"");
    let people = people.replace("nordwind.example", "somebody.example");
    assert_ne!(people, PEOPLE);
    TestApp::with(&[("people.toml", &people), ("workflows/greedy.toml", GREEDY)]).await
}

async fn learn_nordwind(app: &TestApp) {
    std::fs::write(app.path("people.toml"), PEOPLE).unwrap();
    let told = cli::tell(Command::Import { file: app.path("people.toml") }, &app.app.context(), None).await.unwrap();
    assert_eq!(told.ending, Ending::Done, "{}", told.text);
}

async fn quarantine(app: &TestApp, what: Quarantine) -> anyhow::Result<Told> {
    let told = cli::tell(Command::Quarantine { what }, &app.app.context(), None).await;
    app.settle().await;
    told
}

async fn release(app: &TestApp, id: &str, start: Option<&str>) -> anyhow::Result<Told> {
    let (id, as_user) = (id.to_owned(), "frank".to_owned());
    quarantine(app, Quarantine::Release { id, as_user, start: start.map(str::to_owned) }).await
}

async fn discard(app: &TestApp, id: &str) -> anyhow::Result<Told> {
    let (id, as_user, reason) = (id.to_owned(), "frank".to_owned(), "phishing".to_owned());
    quarantine(app, Quarantine::Discard { id, as_user, reason }).await
}

async fn listed(app: &TestApp) -> Vec<Value> {
    let told = quarantine(app, Quarantine::List { json: true }).await.unwrap();
    serde_json::from_str(&told.text).unwrap()
}

async fn row(app: &TestApp, row: &MessageRow) -> MessageRow {
    messages::get(&mut app.tx().await, row.id).await.unwrap()
}

/// Refused with these words, and nothing changed.
async fn refused(app: &TestApp, id: &str, expected: &str) {
    let (runs, events) = (app.runs().await.len(), app.events("message.released").await.len());
    for done in [release(app, id, None).await, release(app, id, Some("ap-invoice")).await, discard(app, id).await] {
        assert_eq!(done.unwrap_err().to_string(), expected);
    }
    assert_eq!((app.runs().await.len(), app.events("message.released").await.len()), (runs, events));
}

/// Stays in quarantine with these words, and nothing changed.
async fn stays(app: &TestApp, message: &MessageRow, start: Option<&str>, expected: &str) {
    let runs = app.runs().await.len();
    let told = release(app, &message.id.to_string(), start).await.unwrap();
    let expected = format!("countersign: message {} stays in quarantine: {expected}\n", message.id);
    assert_eq!((told.ending, told.text), (Ending::Failed, expected));
    assert_eq!((app.runs().await.len(), app.events("message.released").await.len()), (runs, 0));
    assert_eq!(row(app, message).await.disposition, None);
    assert!(listed(app).await.iter().any(|line| line["id"] == message.id.to_string()));
}

#[tokio::test]
async fn a_release_starts_the_run_that_the_rules_of_now_want_and_names_who_did_it() {
    let app = before_nordwind().await;
    let invoice = invoice();
    let message = app.receive(invoice.clone()).await;
    assert!(told(&message).starts_with("quarantine default: unknown sender"), "{}", told(&message));
    assert_eq!(listed(&app).await.len(), 1);
    learn_nordwind(&app).await;

    let released = release(&app, &message.id.to_string()[..13], None).await.unwrap();
    let expected = format!(
        "message  {}\nreleased by frank\nverdict  start\nreason   a document from Nordwind Papier GmbH\nrun      AP-000001 (queued)\n",
        message.id
    );
    assert_eq!((released.ending, released.text), (Ending::Done, expected));
    let run = app.run("AP-000001").await;
    assert_eq!((run.status, run.created_by.as_str()), (RunStatus::Waiting, "frank"));
    assert_eq!((run.message_id, run.transaction_id), (Some(message.id), message.transaction_id));
    assert_eq!(app.sent_to(OLIVIA).len(), 1);

    let event = app.events("message.released").await.remove(0);
    assert_eq!((event.actor.as_str(), event.run, event.message), ("frank", Some(run.id), Some(message.id)));
    assert_eq!((&event.data["verdict"], &event.data["by"]), (&"start".into(), &"ap-known".into()));
    let launched = app.events("run.launched").await.remove(0);
    assert_eq!((launched.actor.as_str(), launched.run), ("frank", Some(run.id)));
    let record = app.app.engine.blob.get(&format!("acme/{}/transaction.json", message.transaction_id)).await.unwrap();
    assert!(String::from_utf8(record).unwrap().contains("a document from Nordwind Papier GmbH (released by frank)"));

    let after = row(&app, &message).await;
    assert_eq!(told(&after), told(&message), "its verdict stays");
    assert_eq!((after.run_id, after.flagged_at), (Some(run.id), message.flagged_at));
    assert!(listed(&app).await.is_empty());
    let parts = messages::parts(&mut app.tx().await, message.id).await.unwrap();
    assert_eq!(parts.len(), 3, "each part once: {parts:?}");

    let again = app.receive([b"Received: from other.example\r\n".to_vec(), invoice.raw()].concat()).await;
    assert_eq!(
        told(&again),
        format!("ignore duplicate: the same mail was delivered before, as message {}", message.id)
    );
    refused(&app, &message.id.to_string(), &format!("frank has released message {} already", message.id)).await;
    app.finish().await;
}

#[tokio::test]
async fn of_two_who_release_at_once_one_does() {
    let app = before_nordwind().await;
    let message = app.receive(invoice()).await;
    learn_nordwind(&app).await;
    let intake = &app.app.intake;
    let (one, other) =
        tokio::join!(intake.release(message.id, "frank", None), intake.release(message.id, "olivia", None));
    assert!(one.is_ok() != other.is_ok(), "{one:?} {other:?}");
    app.settle().await;
    assert_eq!((app.runs().await.len(), app.events("message.released").await.len()), (1, 1));
    assert_eq!(app.sent_to(OLIVIA).len(), 1);
    app.finish().await;
}

#[tokio::test]
async fn what_the_rules_still_refuse_stays_with_its_reason_unless_a_person_starts_it() {
    let app = before_nordwind().await;
    let message = app.receive(invoice()).await;
    let id = message.id.to_string();
    stays(&app, &message, None, "unknown sender; --start WORKFLOW launches a run all the same").await;
    let unknown = release(&app, &id, Some("pay")).await.unwrap_err().to_string();
    assert!(unknown.starts_with("there is no workflow `pay`; there are: "), "{unknown}");
    stays(&app, &message, Some("greedy"), "nothing was started: workflow greedy needs input `supplier`").await;

    let started = release(&app, &id, Some("ap-invoice")).await.unwrap();
    assert_eq!(started.ending, Ending::Done, "{}", started.text);
    assert!(started.text.contains("reason   frank started ap-invoice, although: unknown sender\n"), "{}", started.text);
    let run = app.run("AP-000001").await;
    assert_eq!(run.created_by, "frank");
    let inputs = &run.inputs.0;
    assert_eq!((&inputs["sender"], &inputs["subject"]), (&NORDWIND.into(), &"Invoice 4711".into()));
    assert_eq!(inputs["documents"].as_array().map(Vec::len), Some(2));
    assert!(inputs.get("supplier").is_none_or(Value::is_null), "nobody knows the supplier: {inputs:?}");
    let event = app.events("message.released").await.remove(0);
    assert_eq!((event.actor.as_str(), event.data.get("by")), ("frank", None), "no rule did it");
    app.finish().await;
}

#[tokio::test]
async fn what_is_discarded_is_out_for_good_and_keeps_its_bytes() {
    let app = TestApp::demo().await;
    let message = app.receive(invoice().unproven()).await;
    let id = message.id.to_string();
    let done = discard(&app, &id).await.unwrap();
    assert_eq!(done.text, format!("message {id} is discarded by frank; its raw bytes stay\n"));
    assert!(listed(&app).await.is_empty());
    assert!(app.stored(&message).await.contains(&"message.eml".to_owned()));
    let event = app.events("message.discarded").await.remove(0);
    assert_eq!((event.actor.as_str(), &event.data["reason"]), ("frank", &"phishing".into()));
    refused(&app, &id, &format!("frank has discarded message {id} already")).await;
    let context = app.app.context();
    let said = |command| cli::tell(command, &context, None);
    let explained = said(Command::Explain { id: id.clone() }).await.unwrap().text;
    assert!(explained.contains("frank discarded it on 2026-03-02 09:00 UTC: phishing.\n"), "{explained}");
    let report =
        said(Command::Report { format: Format::Table, since: None, status: None, tag: None }).await.unwrap().text;
    assert!(report.contains("quarantine, discarded"), "{report}");
    app.finish().await;
}

#[tokio::test]
async fn what_cannot_be_read_can_only_be_discarded() {
    let app = TestApp::demo().await;
    let nonsense = app.receive(b"Hello, I am no mail at all\n".to_vec()).await;
    let expected = "it cannot be read: not_mime: the message has no header field; nothing can be started from it";
    stays(&app, &nonsense, None, expected).await;
    stays(&app, &nonsense, Some("ap-invoice"), expected).await;

    let raw = app.path(&format!("store/acme/{}/message.eml", nonsense.transaction_id));
    assert!(Path::new(&raw).exists());
    std::fs::write(&raw, invoice().raw()).unwrap();
    let expected = "its stored bytes are not those that came: their hash differs; nothing can be started from it";
    stays(&app, &nonsense, Some("ap-invoice"), expected).await;
    std::fs::remove_file(&raw).unwrap();
    let expected =
        "its raw bytes were never stored; inject the message from a file instead; nothing can be started from it";
    stays(&app, &nonsense, Some("ap-invoice"), expected).await;
    assert_eq!(discard(&app, &nonsense.id.to_string()).await.unwrap().ending, Ending::Done);
    app.finish().await;
}

#[tokio::test]
async fn only_what_is_in_quarantine_can_be_taken_out() {
    let app = TestApp::demo().await;
    let started = app.receive(invoice()).await;
    let id = started.id.to_string();
    refused(&app, &id, &format!("message {id} is not in quarantine; its verdict is start")).await;
    refused(&app, "ffffffff", "there is no run or message `ffffffff`").await;
    refused(&app, "ap-000001", "`AP-000001` is a run, not a message").await;
    let shown = quarantine(&app, Quarantine::Show { id: id.clone() }).await.unwrap_err().to_string();
    assert_eq!(shown, format!("message {id} was not quarantined; its verdict is start"));
    app.finish().await;
}

#[tokio::test]
async fn the_quarantine_is_listed_newest_first_and_shown() {
    let app = TestApp::demo().await;
    let list = async |json| quarantine(&app, Quarantine::List { json }).await.unwrap().text;
    assert_eq!(list(false).await, "nothing is in quarantine\n");
    assert_eq!(list(true).await, "[]\n");
    // Injected mail has an id made of its bytes, so these texts are always the same.
    let inject = async |mail: Mail, id: &str| {
        let mail = mail.header("Message-ID", id);
        app.app.intake.inject("ap", mail.raw()).await.unwrap().id
    };
    let stranger = mail("clerk@elsewhere.example", "Invoice \u{202e}1", "Pay me.").to(AP);
    let first = inject(stranger, "<1@elsewhere.example>").await;
    app.clock.advance(chrono::TimeDelta::hours(1));
    let second = inject(invoice().unproven(), "<2@nordwind.example>").await;
    insta::assert_snapshot!("quarantine_list", list(false).await);
    let lines = listed(&app).await;
    let ids: Vec<_> = lines.iter().map(|line| line["id"].as_str().unwrap()).collect();
    assert_eq!(ids, [second.to_string(), first.to_string()]);
    assert_eq!((&lines[0]["severity"], &lines[0]["from"]), (&"high".into(), &NORDWIND.into()));
    let shown = quarantine(&app, Quarantine::Show { id: second.to_string() }).await.unwrap().text;
    let shown = shown.replace(app.app.live.current().rules.hash(), "[sha256]");
    insta::assert_snapshot!("quarantine_show", shown);
    app.finish().await;
}
