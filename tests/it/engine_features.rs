//! The engine: attempts and their pauses, timeouts, branches, deadlines, and a trail that shows tampering.

use chrono::TimeDelta;
use countersign::domain::event::{Event, GENESIS, chain_hash};
use countersign::domain::failure::{Criticality, Failure};
use countersign::domain::run::RunStatus;
use countersign::domain::step::StepStatus;
use countersign::reports::audit;
use countersign::store::{events, steps};
use serde_json::json;
use sqlx::{Connection, SqliteConnection};

use crate::app::{TestApp, file, invoice};

/// A workflow from its steps.
pub fn workflow(steps: &str) -> String {
    format!("name = \"w\"\nversion = 1\nprefix = \"W\"\n{steps}")
}

/// Launches steps and does what is due; gives the app and the run's name.
async fn launched(steps: &str) -> (TestApp, String) {
    let app = TestApp::demo().await;
    let name = app.launch(&workflow(steps), json!({})).await;
    app.settle().await;
    (app, name)
}

pub async fn failure(app: &TestApp, name: &str) -> Failure {
    let run = app.run(name).await;
    assert_eq!(run.status, RunStatus::Failed, "{}", app.progress(name).await);
    run.failure.expect("a failure").0
}

#[tokio::test]
async fn a_failed_attempt_is_repeated_after_pauses_that_grow_and_then_given_up() {
    let steps = r#"
        [[step]]
        name = "post"
        agent = "post_file"
        with = { file = "erp.json", record = { a = 1 } }
        retry = { count = 3, interval = "10s" }
    "#;
    let app = TestApp::demo().await;
    // A directory where the file should be.
    std::fs::create_dir_all(app.path("erp/erp.json")).unwrap();
    let name = app.launch(&workflow(steps), json!({})).await;
    app.settle().await;
    for (attempt, pause) in [(1, 10), (2, 20), (3, 40)] {
        let step = &app.steps(&name).await["post"];
        assert_eq!((step.status, step.attempt), (StepStatus::FailureRetry, attempt));
        assert_eq!(step.retry_at.unwrap() - app.now(), TimeDelta::seconds(pause));
        app.pass(TimeDelta::seconds(pause - 1)).await;
        assert_eq!(app.steps(&name).await["post"].attempt, attempt, "not before its time");
        app.pass(TimeDelta::seconds(1)).await;
    }
    assert_eq!(failure(&app, &name).await.reason, "post_failed");
    assert_eq!(app.steps(&name).await["post"].attempt, 4);
    assert_eq!((app.events("step.retry").await.len(), app.events("step.failed").await.len()), (3, 1));
    app.finish().await;
}

#[tokio::test]
async fn a_repeat_that_works_completes_the_run() {
    let steps = r#"
        [[step]]
        name = "post"
        agent = "post_file"
        with = { file = "erp.json", record = { a = 1 } }
    "#;
    let app = TestApp::demo().await;
    std::fs::create_dir_all(app.path("erp/erp.json")).unwrap();
    let name = app.launch(&workflow(steps), json!({})).await;
    app.settle().await;
    std::fs::remove_dir(app.path("erp/erp.json")).unwrap();
    app.pass(TimeDelta::minutes(1)).await;
    assert_eq!((app.run(&name).await.status, app.postings().len()), (RunStatus::Completed, 1));
    let step = &app.steps(&name).await["post"];
    assert!(step.failure.is_none(), "what was mended is no failure of the step: {:?}", step.failure);
    app.finish().await;
}

#[tokio::test]
async fn a_delay_ends_at_its_instant() {
    let (app, name) = launched("[[step]]\nname = \"pause\"\nagent = \"delay\"\nwith = { for = \"2d\" }").await;
    app.pass(TimeDelta::seconds(2 * 86_400 - 1)).await;
    assert_eq!(app.run(&name).await.status, RunStatus::Waiting);
    app.pass(TimeDelta::seconds(1)).await;
    assert_eq!(app.run(&name).await.status, RunStatus::Completed);
    app.finish().await;
}

#[tokio::test]
async fn a_waiting_step_ends_at_its_hard_timeout() {
    let steps = r#"
        [[step]]
        name = "ask"
        agent = "approval"
        with = { question = "ok?", approvers = ["olivia"] }
        timeout = { hard = "1d" }
    "#;
    let (app, name) = launched(steps).await;
    app.pass(TimeDelta::hours(23)).await;
    assert_eq!(app.run(&name).await.status, RunStatus::Waiting);
    app.pass(TimeDelta::hours(1)).await;
    assert_eq!(failure(&app, &name).await.reason, "timeout");
    app.finish().await;
}

#[tokio::test]
async fn a_step_that_may_fail_hands_its_failure_on() {
    let steps = r#"
        [[step]]
        name = "broken"
        agent = "noop"
        with = { output = { x = "{{ run.nothing }}" } }
        on_error = "continue"
        [[step]]
        name = "after"
        agent = "noop"
        needs = ["broken"]
        with = { output = { why = "{{ steps.broken.failure.reason }}" } }
    "#;
    let (app, name) = launched(steps).await;
    assert_eq!(app.run(&name).await.status, RunStatus::Completed);
    let steps = app.steps(&name).await;
    assert_eq!(steps["broken"].status, StepStatus::Failure);
    assert_eq!(steps["after"].output.as_ref().unwrap().0, json!({"why": "expression_error"}));
    app.finish().await;
}

#[tokio::test]
async fn branches_run_side_by_side_and_meet() {
    let steps = r#"
        [[step]]
        name = "fork"
        agent = "noop"
        [[step]]
        name = "long"
        agent = "delay"
        needs = ["fork"]
        with = { for = "2d" }
        [[step]]
        name = "short"
        agent = "delay"
        needs = ["fork"]
        with = { for = "1d" }
        [[step]]
        name = "never"
        agent = "noop"
        needs = ["fork"]
        when = "false"
        [[step]]
        name = "join"
        agent = "noop"
        needs = ["long", "short", "never"]
    "#;
    let (app, name) = launched(steps).await;
    let status = async |step: &str| app.steps(&name).await.get(step).map(|row| row.status);
    assert_eq!((status("long").await, status("short").await), (Some(StepStatus::Waiting), Some(StepStatus::Waiting)));
    app.pass(TimeDelta::days(1)).await;
    assert_eq!((status("short").await, status("join").await), (Some(StepStatus::Success), None));
    app.pass(TimeDelta::days(1)).await;
    assert_eq!((status("never").await, status("join").await), (Some(StepStatus::Skipped), Some(StepStatus::Success)));
    assert_eq!(app.run(&name).await.status, RunStatus::Completed);
    app.finish().await;
}

#[tokio::test]
async fn a_failing_branch_ends_the_run_and_voids_what_the_others_wait_for() {
    let steps = r#"
        [[step]]
        name = "ask"
        agent = "approval"
        with = { question = "ok?", approvers = ["olivia"] }
        [[step]]
        name = "wait"
        agent = "delay"
        with = { for = "1d" }
        [[step]]
        name = "broken"
        agent = "noop"
        needs = ["wait"]
        with = { output = { x = "{{ run.nothing }}" } }
    "#;
    let (app, name) = launched(steps).await;
    app.pass(TimeDelta::days(1)).await;
    assert_eq!(failure(&app, &name).await.reason, "expression_error");
    assert!(app.waits(&name).await.iter().all(|wait| wait.closed_at.is_some()));
    app.pass(TimeDelta::days(30)).await;
    app.finish().await;
}

#[tokio::test]
async fn a_run_fails_at_its_deadline_even_while_it_is_held() {
    for held in [false, true] {
        let app = TestApp::demo().await;
        let steps = "deadline = \"3d\"\n[[step]]\nname = \"pause\"\nagent = \"delay\"\nwith = { for = \"9d\" }";
        let name = app.launch(&workflow(steps), json!({})).await;
        app.settle().await;
        if held {
            app.app.engine.pause(app.id(&name).await, "frank").await.unwrap();
        }
        app.pass(TimeDelta::days(2)).await;
        assert_eq!(app.run(&name).await.status, RunStatus::Waiting);
        app.pass(TimeDelta::days(1)).await;
        assert_eq!(failure(&app, &name).await.reason, "deadline_passed");
        app.pass(TimeDelta::days(9)).await;
        assert_eq!(app.run(&name).await.status, RunStatus::Failed, "its delay wakes nothing");
        app.finish().await;
    }
}

#[tokio::test]
async fn a_setting_that_names_an_unknown_value_fails_with_step_and_setting_named() {
    let steps =
        "[[step]]\nname = \"say\"\nagent = \"notify\"\nwith = { to = \"frank\", title = \"{{ run.nothing }}\" }";
    let (app, name) = launched(steps).await;
    let failure = failure(&app, &name).await;
    assert_eq!(failure.reason, "expression_error");
    assert!(failure.details.contains("step say") && failure.details.contains("title"), "{}", failure.details);
    assert!(app.outbox().is_empty());
    app.finish().await;
}

#[tokio::test]
async fn a_condition_over_an_unknown_value_fails_the_run_and_starts_nothing() {
    let steps = "[[step]]\nname = \"say\"\nagent = \"noop\"\nwhen = \"run.total > 5\"";
    let (app, name) = launched(steps).await;
    assert!(failure(&app, &name).await.details.contains("step say"));
    assert!(app.steps(&name).await.is_empty());
    app.finish().await;
}

#[tokio::test]
async fn a_pdf_that_cannot_be_read_fails_the_run_with_reason_details_and_criticality() {
    let check = async |name: &str, content: &[u8], expected: &str| {
        let app = TestApp::demo().await;
        let path = format!("acme/test/parts/{name}");
        app.app.engine.blob.put(&path, content).await.unwrap();
        let size_bytes = content.len();
        let document = json!({"path": path, "name": name, "kind": "pdf", "sha256": "00", "size_bytes": size_bytes});
        let steps = "inputs = { documents = { type = \"list\" } }\n[[step]]\nname = \"extract\"\n\
            agent = \"extract_pdf\"\nwith = { documents = \"{{ inputs.documents }}\" }";
        let run = app.launch(&workflow(steps), json!({"documents": [document]})).await;
        app.settle().await;
        let failure = failure(&app, &run).await;
        assert_eq!(failure.reason, expected, "{}", failure.details);
        assert!(failure.details.contains(name), "{}", failure.details);
        assert!(failure.criticality >= Criticality::Low);
        let told = &app.events("run.failed").await[0].data;
        for key in ["reason", "details", "criticality"] {
            assert!(told[key].is_string(), "{told:?}");
        }
        app.finish().await;
    };
    let sample = |name: &str| file(&format!("tests/samples/pdf/{name}.pdf"));
    check("encrypted.pdf", &sample("encrypted"), "pdf_encrypted").await;
    check("scan.pdf", &sample("scan"), "pdf_no_text").await;
    check("truncated.pdf", &sample("truncated"), "pdf_unreadable").await;
    check("garbage.pdf", &sample("garbage"), "pdf_unreadable").await;
}

/// The first place where the chain does not hold; none when all of it does.
async fn broken_at(app: &TestApp) -> Option<i64> {
    audit::seal(&app.app.engine).await.unwrap();
    let sealed = events::after(&mut app.tx().await, 0, 100_000).await.unwrap();
    assert!(sealed.len() > 10, "a trail to look at");
    let (mut hash, mut position) = (GENESIS.to_owned(), 0);
    for event in sealed {
        position += 1;
        hash = chain_hash(&hash, position, &event.event);
        if event.position != position || event.hash != hash {
            return Some(position);
        }
    }
    None
}

#[tokio::test]
async fn the_trail_is_sealed_in_order_and_shows_what_was_tampered_with() {
    let check = async |tamper: &'static str, expected: Option<i64>| {
        let app = TestApp::demo().await;
        app.receive(invoice()).await;
        assert_eq!(broken_at(&app).await, None);
        let url = format!("sqlite:{}", app.path("state.db").display());
        let mut database = SqliteConnection::connect(&url).await.unwrap();
        let done = sqlx::query(tamper).execute(&mut database).await.unwrap();
        assert!(done.rows_affected() > 0, "{tamper}");
        assert_eq!(broken_at(&app).await, expected, "{tamper}");
    };
    check("update events set position = position", None).await;
    check("update events set actor = 'somebody' where position = 3", Some(3)).await;
    check("update events set data = json_set(data, '$.verdict', 'ignore') where position = 1", Some(1)).await;
    check("update events set at = '2026-01-01 00:00:00+00:00' where position = 5", Some(5)).await;
    check("delete from events where position = 4", Some(4)).await;
}

#[tokio::test]
async fn every_step_event_names_its_run_and_attempt() {
    let app = TestApp::demo().await;
    app.receive(invoice()).await;
    let run = app.run("AP-000001").await;
    let mut tx = app.tx().await;
    let told = events::of_run(&mut tx, run.id).await.unwrap();
    assert_eq!(told[0].kind, "run.launched");
    let rows = steps::of_run(&mut tx, run.id, run.generation).await.unwrap();
    for row in rows.iter().filter(|row| row.attempt > 0) {
        let started = |event: &&Event| {
            event.kind == "step.started" && event.step.as_deref() == Some(&row.name) && event.data["attempt"] == 1
        };
        assert_eq!(told.iter().filter(started).count(), 1, "{}", row.name);
    }
}
