//! `countersign workflows replay`: what changed definitions would have made of runs that are over.

use countersign::cli::{self, Command, Ending, Told, Workflows};
use countersign::domain::run::RunStatus;
use countersign::domain::wait::Choice;
use countersign::people::operator;
use countersign::reports::since::Since;
use serde_json::{Value, json};

use crate::app::{Mail, NORDWIND, TestApp, file, mail};

async fn replay(app: &TestApp, directory: &str, json: bool) -> Told {
    let workflows = Some(app.path(directory));
    let since = "30d".parse::<Since>().expect("a span");
    let what = Workflows::Replay { since, workflows, examples: 2, json };
    cli::tell(Command::Workflows { what }, &app.app.context(), None).await.expect("an answer")
}

/// The usual invoice, with documents that never came before.
fn invoice(number: u32) -> Mail {
    let mut invoice = mail(NORDWIND, "Invoice 4711", "Please find it attached.");
    for name in ["invoice-4711.pdf", "po-88001.pdf"] {
        let mut document = file(&format!("config/demo/documents/{name}"));
        document.extend(format!("% {number}\n").bytes());
        invoice = invoice.attach(name, &document);
    }
    invoice
}

/// Three invoices: approved, rejected, and one that still waits.
async fn past() -> TestApp {
    let app = TestApp::demo().await;
    for (number, choice) in [(1, Some(Choice::Approve)), (2, Some(Choice::Reject)), (3, None)] {
        app.receive(invoice(number)).await;
        let name = format!("AP-{number:06}");
        if let Some(choice) = choice {
            let id = app.id(&name).await;
            operator::answer(&app.app.engine, id, "olivia", choice, None).await.expect("an answer");
            app.settle().await;
            assert_eq!(app.run(&name).await.status, RunStatus::Completed, "{}", app.progress(&name).await);
        }
    }
    app
}

fn candidate(app: &TestApp, directory: &str, changes: &[(&str, &str)]) {
    let mut text = include_str!("../../config/workflows/ap-invoice.toml").to_owned();
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    std::fs::create_dir_all(app.path(directory)).expect("a directory");
    std::fs::write(app.path(directory).join("ap-invoice.toml"), text).expect("write");
}

#[tokio::test]
async fn runs_that_are_over_are_planned_again_by_a_changed_definition() {
    let app = past().await;
    let events = app.events("step.started").await.len();
    candidate(
        &app,
        "stricter",
        &[
            ("version = 1", "version = 2"),
            ("steps.approve.decision == 'approved'", "steps.approve.decision == 'never'"),
        ],
    );
    let told = replay(&app, "stricter", true).await;
    assert_eq!(told.ending, Ending::Failed, "{}", told.text);
    let all: Value = serde_json::from_str(&told.text).expect("JSON");
    assert_eq!(
        (&all[0]["workflow"], &all[0]["runs"], &all[0]["changed"]),
        (&json!("ap-invoice@2"), &json!(2), &json!(1))
    );
    let change =
        json!([{"step": "post", "before": "performed", "after": "skipped", "count": 1, "examples": ["AP-000001"]}]);
    assert_eq!(all[0]["changes"], change);
    let text = replay(&app, "stricter", false).await.text;
    assert!(text.contains("ap-invoice@2: 1 of 2 runs would have gone another way."), "{text}");
    assert_eq!(app.events("step.started").await.len(), events, "nothing was performed");
}

#[tokio::test]
async fn a_step_that_no_run_has_performed_is_told_and_what_comes_after_it_is_left_out() {
    let app = past().await;
    let new = "needs = [\"audit\"]\nwhen = \"steps.approve.decision == 'approved'\"";
    let audit = "[[step]]\nname = \"audit\"\nagent = \"noop\"\nneeds = [\"approve\"]\n\n[[step]]\nname = \"post\"";
    candidate(
        &app,
        "audited",
        &[
            ("version = 1", "version = 2"),
            ("[[step]]\nname = \"post\"", audit),
            ("needs = [\"approve\"]\nwhen = \"steps.approve.decision == 'approved'\"", new),
        ],
    );
    let all: Value = serde_json::from_str(&replay(&app, "audited", true).await.text).expect("JSON");
    let change = json!([{"step": "audit", "before": "not reached", "after": "performed, outcome not known", "count": 2,
        "examples": ["AP-000002", "AP-000001"]}]);
    assert_eq!(all[0]["changes"], change);
}

#[tokio::test]
async fn a_definition_that_says_the_same_changes_nothing() {
    let app = past().await;
    candidate(&app, "same", &[]);
    let told = replay(&app, "same", false).await;
    assert_eq!(told.ending, Ending::Done, "{}", told.text);
    assert!(
        told.text.contains("0 of 2 runs would have gone another way; 2 ran with this very definition"),
        "{}",
        told.text
    );
    candidate(&app, "retitled", &[("version = 1", "version = 2"), ("Read the documents", "Read them")]);
    let told = replay(&app, "retitled", false).await;
    assert!(told.text.contains("0 of 2 runs would have gone another way.\n"), "{}", told.text);
    candidate(&app, "faulty", &[("version = 1", "version = x")]);
    assert_eq!(replay(&app, "faulty", false).await.ending, Ending::Misused);
}
