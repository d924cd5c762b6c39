//! Retention of the quarantine: bytes of discarded messages go after a while; nothing that nobody decided about does.

use chrono::TimeDelta;
use countersign::cli::{self, Command, Quarantine};
use countersign::store::messages::{self, MessageRow};
use serde_json::Value;

use crate::app::{Mail, TestApp, mail};

const BYTES: [&str; 3] = ["message.eml", "parts/", "transaction.json"];

fn letter(subject: &str) -> Mail {
    mail("clerk@elsewhere.example", subject, "Pay me.").attach_file("config/demo/documents/invoice-2209.pdf")
}

async fn quarantine(app: &TestApp, what: Quarantine) -> String {
    cli::tell(Command::Quarantine { what }, &app.app.context(), None).await.unwrap().text
}

async fn discard(app: &TestApp, row: &MessageRow) -> String {
    let (id, as_user, reason) = (row.id.to_string(), "frank".into(), "spam".into());
    quarantine(app, Quarantine::Discard { id, as_user, reason }).await
}

async fn is_whole(app: &TestApp, row: &MessageRow) -> bool {
    let stored = app.stored(row).await;
    BYTES.iter().all(|part| stored.iter().any(|path| path.starts_with(part)))
}

#[tokio::test]
async fn bytes_of_what_was_discarded_go_after_a_while_and_everything_else_stays() {
    let app = TestApp::configured("[engine]", "[quarantine]\nkeep = \"90d\"\n[engine]").await;
    let (first, second) = (app.receive(letter("Invoice 1").raw()).await, app.receive(letter("Invoice 2").raw()).await);
    app.pass(TimeDelta::days(60)).await;
    let told = discard(&app, &first).await;
    assert!(told.ends_with("is discarded by frank; its raw bytes stay for 90d\n"), "{told}");
    app.pass(TimeDelta::days(89)).await;
    assert!(is_whole(&app, &first).await && app.events("message.purged").await.is_empty());
    app.pass(TimeDelta::days(1)).await;
    assert_eq!(app.stored(&first).await, [""; 0]);
    let purged = app.events("message.purged").await;
    assert_eq!((purged.len(), purged[0].message, purged[0].actor.as_str()), (1, Some(first.id), "countersign"));
    assert_eq!((&purged[0].data["files"], &purged[0].data["keep"]), (&3.into(), &"90d".into()));

    let row = messages::get(&mut app.tx().await, first.id).await.unwrap();
    assert_eq!((row.verdict, row.subject.as_deref()), (Some("quarantine".into()), Some("Invoice 1")));
    assert_eq!(row.purged_at, Some(app.now()));
    let gone = "its bytes were removed on 2026-07-30 09:00 UTC by retention\n";
    let shown = cli::tell(Command::Show { id: first.id.to_string() }, &app.app.context(), None).await.unwrap().text;
    assert!(shown.contains(gone), "{shown}");
    let shown = quarantine(&app, Quarantine::Show { id: first.id.to_string() }).await;
    assert!(shown.contains(gone), "{shown}");

    // Nobody has decided about the other one: overdue, and whole.
    let lines: Value = serde_json::from_str(&quarantine(&app, Quarantine::List { json: true }).await).unwrap();
    assert_eq!((lines.as_array().unwrap().len(), &lines[0]["overdue"]), (1, &true.into()));
    let table = quarantine(&app, Quarantine::List { json: false }).await;
    assert!(table.contains(" 150 d, overdue "), "{table}");
    app.pass(TimeDelta::days(900)).await;
    assert!(is_whole(&app, &second).await);
    assert_eq!(app.events("message.purged").await.len(), 1, "once");
    app.finish().await;
}

#[tokio::test]
async fn without_a_time_everything_is_kept() {
    let app = TestApp::demo().await;
    let row = app.receive(letter("Invoice 1").raw()).await;
    assert!(discard(&app, &row).await.ends_with("its raw bytes stay\n"));
    app.pass(TimeDelta::days(9000)).await;
    assert!(is_whole(&app, &row).await);
    app.finish().await;
}
