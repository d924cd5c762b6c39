//! `countersign rules suggest`: releases that look alike become a rule that loads, passes its tests and repeats them.

use countersign::cli::{self, Command, Ending, Quarantine, Rules, Since};
use countersign::store::messages::MessageRow;

use crate::app::{Mail, NORDWIND, TestApp, mail};
use crate::rule_commands::{json, rules};

const PEOPLE: &str = include_str!("../../config/demo/people.toml");

/// The demo before anybody knew Nordwind.
async fn before_nordwind() -> TestApp {
    TestApp::with(&[("people.toml", &PEOPLE.replace("nordwind.example", "somebody.example"))]).await
}

fn document(from: &str, subject: &str, name: &str, content: &[u8]) -> Mail {
    mail(from, subject, "Please see the attachment.").attach(name, content)
}

async fn release(app: &TestApp, mail: Mail) -> MessageRow {
    let row = app.receive(mail).await;
    assert_eq!(row.verdict.as_deref(), Some("quarantine"));
    let (id, as_user, start) = (row.id.to_string(), "frank".to_owned(), Some("ap-invoice".to_owned()));
    let what = Quarantine::Release { id, as_user, start };
    let told = cli::tell(Command::Quarantine { what }, &app.app.context(), None).await.unwrap();
    assert_eq!(told.ending, Ending::Done, "{}", told.text);
    row
}

async fn suggest(app: &TestApp) -> String {
    let what = Rules::Suggest { since: Since::Ago("90d".parse().unwrap()), least: 2 };
    let before = std::fs::read_dir(app.path("rules")).unwrap().count();
    let told = rules(app, what).await;
    assert_eq!((told.ending, std::fs::read_dir(app.path("rules")).unwrap().count()), (Ending::Done, before));
    told.text
}

/// Saves what was printed where it says, and expects it to load and to decide the mail.
async fn saved(app: &TestApp, told: &str, name: &str, mail: &Mail, expected: (&str, Option<&str>)) {
    assert!(told.contains(&format!("save it as {}", app.path("rules").join(name).display())), "{told}");
    std::fs::write(app.path("rules").join(name), told).unwrap();
    let tested = rules(app, Rules::Test { place: None, json: false }).await;
    assert_eq!(tested.ending, Ending::Done, "{}\n{told}", tested.text);
    assert!(tested.text.contains(name), "{}", tested.text);
    let file = app.path("mail.eml");
    std::fs::write(&file, mail.raw()).unwrap();
    let what = Rules::Explain { file, mailbox: None, rules: Some(app.path("rules")), json: true };
    let decided = json(&rules(app, what).await);
    assert_eq!((decided["verdict"].as_str(), decided["explanation"]["rule"].as_str()), (Some(expected.0), expected.1));
}

#[tokio::test]
async fn releases_that_look_alike_become_a_rule_that_repeats_them() {
    let app = before_nordwind().await;
    let first = release(&app, document(NORDWIND, "Invoice 1", "a.pdf", b"%PDF-1.4 one")).await;
    assert!(suggest(&app).await.starts_with("# Nothing to suggest"), "one is no pattern");
    let second = release(&app, document(NORDWIND, "Your invoice \"2\"\u{1b}[31m", "b\".pdf", b"%PDF-1.4 two")).await;
    for number in ["one", "two"] {
        let forged = document("x@forged.example", "Invoice", "c.pdf", format!("%PDF-1.4 x{number}").as_bytes());
        release(&app, forged.unproven()).await;
    }
    let told = suggest(&app).await;
    for part in [
        "# Drawn from 2 releases of mail from nordwind.example to ap-invoice, by frank. The rules in force quarantine such \
         mail by the default.\n",
        &first.id.to_string(),
        &second.id.to_string(),
        "from = \"billing@nordwind.example\"\nauthenticated = true\nsubject = \"*invoice*\"\n",
        "attachment = { kind = \"pdf\", role = \"document\" }\n",
        "# 2 releases of mail from forged.example to ap-invoice: no rule, because not every sender was proven",
    ] {
        assert!(told.contains(part), "{part} is not in\n{told}");
    }
    assert!(!told.contains('\u{1b}'), "{told}");
    let next = document(NORDWIND, "Invoice 3", "c.pdf", b"%PDF-1.4 three");
    saved(&app, &told, "zz-suggested.toml", &next, ("start", Some("released-nordwind-example"))).await;
    let unproven = next.unproven();
    saved(&app, &told, "zz-suggested.toml", &unproven, ("quarantine", None)).await;
}

#[tokio::test]
async fn a_rule_against_one_in_force_goes_before_it_and_says_so() {
    let app = TestApp::demo().await;
    for number in ["1", "2"] {
        let note = format!("<?xml version=\"1.0\"?><note>{number}</note>");
        release(&app, document(NORDWIND, &format!("Delivery note {number}"), "a.xml", note.as_bytes())).await;
    }
    let told = suggest(&app).await;
    assert!(told.contains("by `supplier-with-other-document`"), "{told}");
    assert!(told.contains("supplier = \"{{ supplier }}\"") && told.contains("supplier = \"Nordwind Papier GmbH\""));
    let next = document(NORDWIND, "Delivery note 3", "b.xml", b"<?xml version=\"1.0\"?><note>3</note>");
    saved(&app, &told, "00-suggested.toml", &next, ("start", Some("released-nordwind-example"))).await;
}

#[tokio::test]
async fn what_the_rules_do_by_themselves_meanwhile_is_not_suggested() {
    let app = before_nordwind().await;
    for number in ["one", "two"] {
        release(&app, document(NORDWIND, "Invoice", "a.pdf", format!("%PDF-1.4 {number}").as_bytes())).await;
    }
    std::fs::write(app.path("people.toml"), PEOPLE).unwrap();
    cli::tell(Command::Import { file: app.path("people.toml") }, &app.app.context(), None).await.unwrap();
    let told = suggest(&app).await;
    assert!(told.starts_with("# Nothing to suggest"), "{told}");
    assert!(told.contains("2 other releases"), "{told}");
}
