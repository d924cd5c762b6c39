//! Several customers behind one mailbox: each message is filed, screened and answered under the one it was sent to.

use countersign::app;
use countersign::domain::run::RunStatus;
use countersign::store::messages::MessageRow;

use crate::app::{Mail, OLIVIA, TestApp, answer, invoice, mail};
use crate::intake_features::told;

const SHARED: &str = r#"plus_address = true
unknown_recipient = "quarantine"
recipients = { "pay@acme.example" = "acme", "@globex.example" = "globex" }"#;

const PEOPLE: &str = concat!(
    include_str!("../../config/demo/people.toml"),
    r#"
[[customer]]
name = "globex"
[[customer.supplier]]
name = "Nordwind Papier GmbH"
domains = ["nordwind.example"]
[[customer.user]]
name = "gina"
address = "gina@globex.example"
roles = ["budget-owner"]
"#
);

async fn shared() -> TestApp {
    TestApp::configured_with("plus_address = true", SHARED, &[("people.toml", PEOPLE)]).await
}

fn delivered_to(mail: &Mail, addresses: &[&str]) -> Vec<u8> {
    let fields: String = addresses.iter().map(|address| format!("Delivered-To: {address}\r\n")).collect();
    [fields.into_bytes(), mail.raw()].concat()
}

async fn raw_of(app: &TestApp, row: &MessageRow) -> Vec<u8> {
    let path = format!("{}/{}/message.eml", row.customer, row.transaction_id);
    app.app.engine.blob.get(&path).await.unwrap()
}

#[tokio::test]
async fn a_message_belongs_to_the_customer_that_it_was_delivered_to() {
    let app = shared().await;
    let raw = delivered_to(&invoice(), &["AP@Globex.example"]);
    let row = app.receive(raw.clone()).await;
    assert_eq!((row.customer.as_str(), row.verdict.as_deref()), ("globex", Some("start")), "{:?}", row.reason);
    assert!(raw_of(&app, &row).await == raw);
    let run = app.run("AP-000001").await;
    assert_eq!((run.customer.as_str(), run.status), ("globex", RunStatus::Waiting));
    assert_eq!((app.sent_to("gina@globex.example").len(), app.sent_to(OLIVIA).len()), (1, 0));
    assert_eq!(app.events("message.screened").await[0].customer, "globex");

    // The answer comes to the mailbox's own address, which is nobody's in the table.
    let reply = answer("gina@globex.example", &app.last_to("gina@globex.example"), "approve");
    let row = app.receive(delivered_to(&reply, &["ap@acme.example"])).await;
    assert_eq!((row.customer.as_str(), row.verdict.as_deref()), ("globex", Some("resume")), "{:?}", row.reason);
    assert_eq!(app.run("AP-000001").await.status, RunStatus::Completed);
    app.finish().await;
}

#[tokio::test]
async fn the_same_mail_to_two_customers_is_no_repeat() {
    let app = shared().await;
    let invoice = invoice();
    for customer in ["pay@acme.example", "x@globex.example"] {
        let row = app.receive(delivered_to(&invoice, &[customer])).await;
        assert_eq!(row.verdict.as_deref(), Some("start"), "{customer}: {:?}", row.reason);
    }
    app.finish().await;
}

#[tokio::test]
async fn mail_of_nobody_or_of_two_goes_to_a_person_with_its_bytes() {
    let app = shared().await;
    let check = async |raw: Vec<u8>, expected: &str| {
        let row = app.receive(raw.clone()).await;
        assert_eq!(told(&row), format!("quarantine recipient: {expected}"));
        assert_eq!(row.customer, "acme", "the mailbox's own customer keeps it");
        assert!(raw_of(&app, &row).await == raw);
    };
    let both = ["pay@acme.example", "x@globex.example"];
    let ambiguous = "its recipients belong to several customers: pay@acme.example (acme), x@globex.example (globex)";
    check(delivered_to(&invoice(), &both), ambiguous).await;
    let unknown = "no customer is configured for its recipient other@elsewhere.example";
    check(delivered_to(&mail("a@b.example", "Hello", "."), &["other@elsewhere.example"]), unknown).await;
    assert!(app.runs().await.is_empty());
    app.finish().await;
}

#[tokio::test]
async fn an_answer_that_was_sent_to_another_customer_is_not_heard() {
    let app = shared().await;
    app.receive(delivered_to(&invoice(), &["x@globex.example"])).await;
    let reply = answer("gina@globex.example", &app.last_to("gina@globex.example"), "approve");
    let row = app.receive(delivered_to(&reply, &["pay@acme.example"])).await;
    let expected = "quarantine recipient: it answers a notice of globex, and was sent to pay@acme.example (acme)";
    assert_eq!(told(&row), expected);
    assert_eq!(app.run("AP-000001").await.status, RunStatus::Waiting);
    app.finish().await;
}

#[test]
fn a_table_that_cannot_work_is_told_with_its_place() {
    let check = |mailbox: &str, expected: &[&str]| {
        let dir = tempfile::tempdir().unwrap();
        let config = format!(
            "[files]\npeople = \"people.toml\"\n[[mailbox]]\nname = \"ap\"\ncustomer = \"acme\"\nkind = \"maildir\"\n\
            path = \"mail\"\naddress = \"ap@acme.example\"\n{mailbox}\n"
        );
        std::fs::write(dir.path().join("config.toml"), config).unwrap();
        std::fs::write(dir.path().join("people.toml"), PEOPLE).unwrap();
        let told = app::listed(&app::check(&dir.path().join("config.toml")).err().expect("it is refused"));
        for expected in expected {
            assert!(told.contains(expected), "{told} lacks {expected}");
        }
    };
    check("recipients = { \"@a.example\" = \"glbex\" }", &["has no customer `glbex`", "did you mean `globex`?"]);
    check("recipients = { \"a.example\" = \"globex\" }", &["neither an address", "config.toml:9:"]);
    check("recipients = { \"@a.example\" = \"globex\", \"@A.example\" = \"acme\" }", &["says the same as"]);
    check("recipients = { \"+globex\" = \"globex\" }", &["takes no tags", "plus_address = true"]);
    check("unknown_recipient = \"quarantine\"", &["is of no use without `recipients`", "config.toml:9:"]);
    check("unknown_recipient = \"ask\"", &["config.toml:9:"]);
}
