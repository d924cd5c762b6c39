//! Live reload of rules, workflows and templates: taken when they rest, all or nothing, told once, and the last good set
//! goes on. The daemon's side of it is in `reload_daemon.rs`.

use std::net::SocketAddr;
use std::time::Instant;

use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use axum::http::Request;
use countersign::app::{ReloadError, Reloaded};
use countersign::behaviour::files::REST;
use countersign::http::router;
use countersign::store::messages::MessageRow;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::app::{TestApp, invoice, mail};

/// One rule, with a test that holds while it speaks of invoices.
const RULES: &str = r#"
[[rule]]
name = "known"
subject = "*invoice*"
ignore = "first wording"

[[rule.test]]
subject = "Invoice 1"

[default]
quarantine = "nobody spoke for it"
"#;

const TEMPLATE: &str = "Subject: Thanks\n\nHello {{ person }}, we cannot use it without a document.\n";

/// The product, whose files are edited, and the time at which somebody looks at them.
struct Edited {
    app: TestApp,
    now: Instant,
    mails: u32,
}

impl Edited {
    async fn start() -> Self {
        let files = [("rules/ap.toml", RULES), ("templates/reply-no-document.txt", TEMPLATE)];
        let people = "people = \"people.toml\"";
        let app = TestApp::configured_with(people, &format!("{people}\ntemplates = \"templates\""), &files).await;
        let mut edited = Self { app, now: Instant::now(), mails: 0 };
        assert_eq!(edited.look().await, Ok(None), "the files are those in force");
        edited
    }

    fn put(&self, name: &str, text: &str) {
        std::fs::write(self.app.path(name), text).unwrap();
    }

    async fn tick(&self) -> Result<Option<Reloaded>, String> {
        match self.app.app.tick_files(self.now).await {
            Ok(reloaded) => Ok(reloaded),
            Err(ReloadError::Refused(told)) => Err(told.iter().map(|told| format!("{told}\n")).collect()),
            Err(other) => panic!("{other}"),
        }
    }

    /// Looks, and once more when everything has rested.
    async fn look(&mut self) -> Result<Option<Reloaded>, String> {
        self.now += REST;
        assert_eq!(self.tick().await, Ok(None), "nothing is taken before it rests");
        self.now += REST;
        self.tick().await
    }

    /// Edits a file that is then refused, and tells why.
    async fn refuse(&mut self, name: &str, text: &str) -> String {
        self.put(name, text);
        self.look().await.expect_err("it was taken")
    }

    async fn receive(&mut self) -> MessageRow {
        self.mails += 1;
        self.app.receive(mail("a@b.example", &format!("Invoice {}", self.mails), "Hello.")).await
    }

    /// What becomes of a new mail, and by which rules.
    async fn decided(&mut self) -> (String, String) {
        let row = self.receive().await;
        (row.reason.unwrap(), row.explanation.unwrap().0.ruleset.unwrap())
    }

    async fn told(&self, kind: &str) -> Vec<Value> {
        self.app.events(kind).await.into_iter().map(|event| Value::Object(event.data)).collect()
    }

    async fn health(&self) -> Value {
        let mut request = Request::get("/health").header("host", "127.0.0.1").body(Body::empty()).unwrap();
        request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 1))));
        let answer = router(self.app.app.web().await.unwrap()).oneshot(request).await.unwrap();
        serde_json::from_slice(&to_bytes(answer.into_body(), 1 << 20).await.unwrap()).unwrap()
    }
}

#[tokio::test]
async fn an_edited_rule_decides_the_next_mail() {
    let mut edited = Edited::start().await;
    let (reason, old) = edited.decided().await;
    assert_eq!(reason, "first wording");
    edited.put("rules/ap.toml", &RULES.replace("first", "second"));
    let reloaded = edited.look().await.unwrap().expect("it is taken");
    let (reason, new) = edited.decided().await;
    assert_eq!(reason, "second wording");
    assert_eq!((&reloaded.old, &reloaded.new), (&old, &new));
    assert_eq!(reloaded.changed, [edited.app.path("rules/ap.toml")]);
    assert_eq!(edited.look().await, Ok(None), "it is taken once");

    let told = edited.told("behaviour.reloaded").await;
    assert_eq!(told.len(), 1);
    assert_eq!((&told[0]["old"], &told[0]["new"], &told[0]["rules"]), (&json!(old), &json!(new), &json!(1)));
    let screened: Vec<_> =
        edited.told("message.screened").await.into_iter().map(|told| told["ruleset"].clone()).collect();
    assert_eq!(screened, [json!(old), json!(new)], "every decision names its rules");
}

#[tokio::test]
async fn a_file_that_is_still_being_written_waits() {
    let mut edited = Edited::start().await;
    for text in ["", "[[rule]]\nname =", &RULES.replace("first", "half a")] {
        edited.put("rules/ap.toml", text);
        edited.now += REST / 2;
        assert_eq!(edited.tick().await, Ok(None));
    }
    edited.put("rules/ap.toml", &RULES.replace("first", "whole"));
    assert!(edited.look().await.unwrap().is_some());
    assert_eq!(edited.decided().await.0, "whole wording");
    assert!(edited.told("behaviour.refused").await.is_empty());
    edited.put("rules/ap.toml", &RULES.replace("first", "whole"));
    assert_eq!(edited.look().await, Ok(None), "written again, it says the same");
}

#[tokio::test]
async fn a_bad_edit_keeps_the_last_good_set_and_is_told_once_until_it_is_mended() {
    let mut edited = Edited::start().await;
    let broken = RULES.replace("subject = \"*invoice*\"", "subjct = \"*invoice*\"");
    let why = edited.refuse("rules/ap.toml", &broken).await;
    for part in ["ap.toml:4:1", "subjct = \"*invoice*\"", "^^^^^^", "did you mean `subject`?"] {
        assert!(why.contains(part), "lacks {part}:\n{why}");
    }
    assert_eq!(edited.look().await, Ok(None));
    edited.put("rules/ap.toml", &broken);
    assert_eq!(edited.look().await, Ok(None), "it is the same fault");
    assert!(matches!(edited.app.app.reload().await, Err(ReloadError::Refused(_))));
    assert_eq!(edited.decided().await.0, "first wording");
    let told = edited.told("behaviour.refused").await;
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0]["why"][0].as_str().unwrap().contains("ap.toml:4: "), "{told:#?}");
    let health = edited.health().await;
    assert_eq!((&health["status"], &health["behaviour"]["ok"]), (&json!("degraded"), &json!(false)));
    assert_eq!(health["behaviour"]["refused"]["why"], told[0]["why"]);

    let other = edited.refuse("rules/ap.toml", "[[rule]]\nname = \"x").await;
    assert!(other.contains("ap.toml:2:"), "{other}");
    assert_eq!(edited.told("behaviour.refused").await.len(), 2);

    edited.put("rules/ap.toml", &RULES.replace("first", "mended"));
    assert!(edited.look().await.unwrap().is_some());
    assert_eq!(edited.decided().await.0, "mended wording");
    let health = edited.health().await;
    assert_eq!((&health["status"], &health["behaviour"]["ok"]), (&json!("ok"), &json!(true)));
    edited.refuse("rules/ap.toml", &broken).await;
    assert_eq!(edited.told("behaviour.refused").await.len(), 3, "broken again is news");
}

#[tokio::test]
async fn an_edit_that_is_taken_back_mends_too() {
    let mut edited = Edited::start().await;
    edited.refuse("rules/ap.toml", "nonsense").await;
    edited.put("rules/ap.toml", RULES);
    let reloaded = edited.look().await.unwrap().expect("it is told");
    assert_eq!((reloaded.old == reloaded.new, reloaded.changed.is_empty()), (true, true));
    assert_eq!(edited.health().await["status"], "ok");
}

#[tokio::test]
async fn rules_workflows_and_templates_come_into_force_together_or_not_at_all() {
    let mut edited = Edited::start().await;
    let failing = RULES.replace("first", "second").replace("subject = \"*invoice*\"", "subject = \"*bill*\"");
    let why = edited.refuse("rules/ap.toml", &failing).await;
    assert!(why.contains("test `test of known` failed") && why.contains("ap.toml:7:"), "{why}");
    assert_eq!(edited.decided().await.0, "first wording");

    // The rules are good now, and wait for the template.
    edited.put("rules/ap.toml", &RULES.replace("ignore = \"first wording\"", "reply = \"reply-no-document\""));
    let why = edited.refuse("templates/reply-no-document.txt", "Subject: No\n\n{{ person\n").await;
    assert!(why.contains("reply-no-document.txt:3"), "{why}");
    assert_eq!(edited.decided().await.0, "first wording");
    edited.put("templates/reply-no-document.txt", &TEMPLATE.replace("Hello", "Dear"));
    let reloaded = edited.look().await.unwrap().expect("both are taken");
    assert_eq!(reloaded.changed.len(), 2, "{reloaded:?}");
    assert_eq!(edited.receive().await.verdict.as_deref(), Some("reply"));
    assert!(edited.app.last_to("a@b.example").text.contains("Dear "));

    edited.put("rules/ap.toml", &RULES.replace("ignore = \"first wording\"", "start = \"no-such\""));
    let why = edited.look().await.unwrap_err();
    assert!(why.contains("there is no workflow `no-such`"), "{why}");
    let workflow = std::fs::read_to_string(edited.app.path("workflows/ap-invoice.toml")).unwrap();
    edited.put("rules/ap.toml", RULES);
    let why = edited
        .refuse("workflows/ap-invoice.toml", &workflow.replace("agent = \"approval\"", "agent = \"oracle\""))
        .await;
    assert!(why.contains("there is no agent `oracle`"), "{why}");
    assert_eq!(edited.receive().await.verdict.as_deref(), Some("reply"), "the last good set");
}

#[tokio::test]
async fn a_running_run_keeps_the_workflow_that_it_was_launched_with() {
    let app = TestApp::demo().await;
    app.receive(invoice()).await;
    let path = app.path("workflows/ap-invoice.toml");
    let workflow = std::fs::read_to_string(&path).unwrap();
    let before = app.run("AP-000001").await.workflow_hash;
    std::fs::write(&path, workflow.replace("version = 1", "version = 2")).unwrap();
    app.app.reload().await.unwrap();
    app.receive(invoice().attach("another.txt", b"so that it is no repeat")).await;
    let (first, second) = (app.run("AP-000001").await, app.run("AP-000002").await);
    assert_eq!((first.workflow_version, first.workflow_hash == before), (1, true));
    assert_eq!((second.workflow_version, second.workflow_hash == before), (2, false));
}
