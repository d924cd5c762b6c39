//! `countersign rules`: tests inside rule files, and what would become of a mail in a file.

use std::path::PathBuf;

use countersign::cli::{self, Command, Ending, Rules, Told};
use countersign::store::messages;
use serde_json::Value;

use crate::app::{Mail, NORDWIND, TestApp, invoice, mail};

pub async fn rules(app: &TestApp, what: Rules) -> Told {
    cli::tell(Command::Rules { what }, &app.app.context(), None).await.expect("an answer")
}

pub fn json(told: &Told) -> Value {
    serde_json::from_str(&told.text).unwrap_or_else(|error| panic!("{error}: {}", told.text))
}

/// Puts rules beside those in force and gives their directory.
pub fn candidate(app: &TestApp, text: &str) -> PathBuf {
    let directory = app.path("candidate");
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("ap.toml"), text).unwrap();
    directory
}

async fn test(app: &TestApp, place: Option<PathBuf>, json: bool) -> Told {
    rules(app, Rules::Test { place, json }).await
}

async fn explain(app: &TestApp, mail: &Mail, rules_in: Option<PathBuf>, json: bool) -> Told {
    let file = app.path("mail.eml");
    std::fs::write(&file, mail.raw()).unwrap();
    rules(app, Rules::Explain { file, mailbox: None, rules: rules_in, json }).await
}

const FAILING: &str = r#"
[[rule]]
name = "known"
known_supplier = true
start = "ap-invoice"
[[rule.test]]
name = "a supplier"
from = "a@b.example"
supplier = "B"
workflow = "ap-invoice"
[[rule.test]]
name = "a stranger"
from = "a@b.example"
[default]
quarantine = "unknown sender"
"#;

#[tokio::test]
async fn tests_inside_rules_are_told_one_by_one_and_fail_the_command() {
    let app = TestApp::demo().await;
    let told = test(&app, None, false).await;
    assert_eq!(told.ending, Ending::Done, "{}", told.text);
    assert!(told.text.contains("  an invoice of a known supplier\n") && told.text.ends_with(" 0 failed\n"));

    let directory = candidate(&app, FAILING);
    for place in [directory.clone(), directory.join("ap.toml")] {
        let told = test(&app, Some(place), false).await;
        assert_eq!(told.ending, Ending::Failed);
        let failed = "a stranger\n          expected  rule `known` to match\n          got       no rule matched: \
                      quarantine (unknown sender)\n          because   `known` was passed over for known_supplier";
        assert!(told.text.contains(failed) && told.text.ends_with("2 tests: 1 passed, 1 failed\n"), "{}", told.text);
    }
    let told = json(&test(&app, Some(directory.clone()), true).await);
    assert_eq!((&told[0]["passed"], &told[1]["passed"]), (&true.into(), &false.into()));
    assert_eq!(told[1]["expected"], "rule `known` to match");

    candidate(&app, &FAILING.replace("known_supplier", "known_suplier"));
    let told = test(&app, Some(directory), false).await;
    assert_eq!(told.ending, Ending::Misused);
    assert!(told.text.contains("known_supplier"), "{}", told.text);
    assert_eq!(test(&app, Some(app.path("nowhere")), false).await.ending, Ending::Misused);
}

#[test]
fn a_failing_set_in_force_is_tested_without_a_database() {
    let app = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("countersign.toml", "[database]\nurl = \"sqlite:state.db\"\n"),
        ("rules/ap.toml", FAILING),
        ("workflows/ap-invoice.toml", include_str!("../../config/workflows/ap-invoice.toml")),
    ] {
        let path = app.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let program = std::process::Command::new(env!("CARGO_BIN_EXE_countersign"))
        .args(["rules", "test", "--config"])
        .arg(app.path().join("countersign.toml"))
        .output()
        .unwrap();
    let (told, said) = (String::from_utf8_lossy(&program.stdout), String::from_utf8_lossy(&program.stderr));
    assert_eq!(program.status.code(), Some(1), "{told}{said}");
    assert!(told.ends_with("2 tests: 1 passed, 1 failed\n"), "{told}{said}");
    assert!(!app.path().join("state.db").exists());
}

#[tokio::test]
async fn a_mail_in_a_file_is_explained_and_nothing_comes_of_it() {
    let app = TestApp::demo().await;
    let told = explain(&app, &invoice(), None, false).await;
    assert_eq!(told.ending, Ending::Done);
    for part in [
        "The message \"Invoice 4711\" from billing@nordwind.example, as mail to mailbox ap now. Nothing was done.\n",
        "It would start ap-invoice: a document from Nordwind Papier GmbH.\n",
        "Rule `ap-known` (",
        "RULES PASSED OVER, IN THEIR ORDER",
        "WHAT WOULD HAVE CHANGED IT",
    ] {
        assert!(told.text.contains(part), "{part} is not in\n{}", told.text);
    }
    assert!(app.messages().await.is_empty() && app.runs().await.is_empty());
    assert!(!app.path("store/acme").exists());

    let urgent = mail(NORDWIND, "URGENT: invoice", "Our new bank account.").attach("a.pdf", b"%PDF-1.4 x");
    let told = json(&explain(&app, &urgent, None, true).await);
    assert_eq!((&told["verdict"], &told["explanation"]["rule"]), (&"quarantine".into(), &"suspicious".into()));
    assert_eq!((&told["explanation"]["score"], &told["mailbox"]), (&10.into(), &"ap".into()));
    assert_eq!(told["explanation"]["facts"]["supplier"], "Nordwind Papier GmbH");
    let nearest = told["explanation"]["nearest_miss"].as_str().unwrap();
    assert!(nearest.starts_with("would have matched `"), "{nearest}");
}

#[tokio::test]
async fn candidate_rules_explain_a_mail_that_came_before_as_if_it_had_not() {
    let app = TestApp::demo().await;
    let invoice = invoice();
    let row = app.receive(invoice.clone()).await;
    let text = include_str!("../../rules/ap.toml").replace("start = \"ap-invoice\"", "ignore = \"closed\"");
    let text: String = text
        .lines()
        .filter(|line| !line.starts_with("inputs =") && !line.starts_with("workflow ="))
        .map(|line| format!("{line}\n"))
        .collect();
    let told =
        explain(&app, &invoice, Some(candidate(&app, &text.replace("reason = \"a document", "# \""))), false).await;
    assert!(told.text.contains("It would be ignored: closed.\n"), "{}", told.text);
    assert!(told.text.contains(&format!("came before, as message {}", row.id)), "{}", told.text);
    let now = json(&explain(&app, &invoice, None, true).await);
    assert_eq!((&now["verdict"], &now["came_as"]), (&"start".into(), &row.id.to_string().into()));
    assert_eq!(now["explanation"]["facts"]["first_time_sender"], true);
    assert_eq!(messages::latest(&mut app.tx().await, 9).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_file_that_no_rule_would_see_is_told_by_its_guard() {
    let app = TestApp::demo().await;
    let away = mail(NORDWIND, "Out of office", "Back on Monday.").header("Auto-Submitted", "auto-replied");
    let told = explain(&app, &away, None, false).await;
    assert!(told.text.contains("The guard `auto-reply` settled it"), "{}", told.text);
    let unknown = Rules::Explain { file: app.path("mail.eml"), mailbox: Some("nope".into()), rules: None, json: false };
    let refused = cli::tell(Command::Rules { what: unknown }, &app.app.context(), None).await.unwrap_err();
    assert!(refused.to_string().contains("there are: ap"), "{refused}");
}
