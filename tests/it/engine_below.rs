//! Runs below runs, and runs that share a key.

use chrono::TimeDelta;
use countersign::domain::run::RunStatus;
use countersign::domain::wait::WaitStatus;
use countersign::store::waits;
use serde_json::json;

use crate::app::TestApp;
use crate::engine_features::{failure, workflow};
use crate::engine_flow::{launch, launch_on};

/// Pauses for a span, then gives it back; one of no length cannot be read.
const BELOW: &str = r#"
name = "below"
version = 1
prefix = "B"
outputs = { paused = "{{ inputs.span }}" }
[inputs.span]
type = "string"
[[step]]
name = "pause"
agent = "delay"
with = { for = "{{ inputs.span }}" }
"#;

/// A workflow that launches itself.
const ENDLESS: &str = r#"
name = "endless"
version = 1
prefix = "E"
[[step]]
name = "again"
agent = "workflow"
with = { workflow = "endless" }
"#;

const ABOVE: &str = r#"
    inputs = { span = { type = "string" } }
    [[step]]
    name = "sub"
    agent = "workflow"
    with = { workflow = "below@1", inputs = { span = "{{ inputs.span }}" } }
"#;

async fn app() -> TestApp {
    TestApp::with(&[("workflows/below.toml", BELOW), ("workflows/endless.toml", ENDLESS)]).await
}

async fn above(app: &TestApp, steps: &str, span: &str) -> String {
    let name = launch(app, &workflow(steps), json!({"span": span})).await;
    app.settle().await;
    name
}

#[tokio::test]
async fn a_step_waits_for_the_run_that_it_launched_and_has_its_outputs() {
    let app = app().await;
    let name = above(&app, ABOVE, "1d").await;
    let (run, below) = (app.run(&name).await, app.run("B-000001").await);
    assert_eq!((run.status, below.status), (RunStatus::Waiting, RunStatus::Waiting));
    assert_eq!((below.parent_run, below.transaction_id), (Some(run.id), run.transaction_id));
    assert_eq!(app.open_wait(&name).await.question, "B-000001 of below to end");
    app.pass(TimeDelta::days(1)).await;
    assert_eq!(app.run(&name).await.status, RunStatus::Completed);
    assert_eq!(app.steps(&name).await["sub"].output.as_ref().unwrap().0, json!({"paused": "1d"}));
    app.finish().await;
}

#[tokio::test]
async fn a_run_below_that_fails_or_is_killed_fails_the_step() {
    let app = app().await;
    let name = above(&app, ABOVE, "soon").await;
    let failed = failure(&app, &name).await;
    assert!(failed.reason == "bad_settings" && failed.details.starts_with("B-000001: "), "{failed}");
    let name = above(&app, ABOVE, "1d").await;
    app.app.engine.kill(app.id("B-000002").await, "frank", TimeDelta::zero()).await.unwrap();
    app.settle().await;
    assert_eq!(failure(&app, &name).await.reason, "run_killed");
    app.finish().await;
}

#[tokio::test]
async fn what_cannot_be_launched_fails_the_step_with_the_reason() {
    let app = app().await;
    let check = async |from: &str, to: &str, reason: &str, part: &str| {
        let name = above(&app, &ABOVE.replace(from, to), "1d").await;
        let failed = failure(&app, &name).await;
        assert!(failed.reason == reason && failed.details.contains(part), "{failed}");
    };
    check("below@1", "below@2", "workflow_unknown", "step sub cannot start workflow below@2").await;
    check("{ span = \"{{ inputs.span }}\" }", "{ x = 1 }", "workflow_refused", "has no input `x`").await;
    assert_eq!(app.runs().await.len(), 2, "nothing was launched");
    app.finish().await;
}

#[tokio::test]
async fn runs_do_not_lie_below_each_other_for_ever() {
    let app = app().await;
    let name = launch(&app, ENDLESS, json!({})).await;
    app.settle().await;
    let failed = failure(&app, &name).await;
    assert!(failed.reason == "workflow_depth" && failed.details.contains("8 runs lie above"), "{failed}");
    assert_eq!(app.runs().await.len(), 8);
    app.finish().await;
}

#[tokio::test]
async fn whoever_ends_a_run_ends_those_below_it() {
    for (timeout, killed) in [("", true), ("timeout = { hard = \"1d\" }", false)] {
        let app = app().await;
        let name = above(&app, &format!("{ABOVE}\n{timeout}"), "9d").await;
        if killed {
            app.app.engine.kill(app.id(&name).await, "frank", TimeDelta::zero()).await.unwrap();
        } else {
            app.pass(TimeDelta::days(1)).await;
            assert_eq!(failure(&app, &name).await.reason, "timeout");
        }
        assert_eq!(app.run("B-000001").await.status, RunStatus::Killed);
        let below = app.id("B-000001").await;
        let open = waits::of_run(&mut app.tx().await, below).await.unwrap();
        assert!(open.iter().all(|wait| wait.status == WaitStatus::Void));
        app.pass(TimeDelta::days(9)).await;
        assert!(app.run(&name).await.status.is_final());
        app.finish().await;
    }
}

#[tokio::test]
async fn each_item_of_a_list_may_be_a_run_of_its_own() {
    let app = app().await;
    let steps = r#"
        [[step]]
        name = "sub"
        agent = "workflow"
        for_each = "{{ ['1d', '2d'] }}"
        with = { workflow = "below", inputs = { span = "{{ item }}" } }
    "#;
    let name = launch(&app, &workflow(steps), json!({})).await;
    app.settle().await;
    app.pass(TimeDelta::days(2)).await;
    assert_eq!(app.run(&name).await.status, RunStatus::Completed);
    let all = app.steps(&name).await["sub"].output.as_ref().unwrap().0.clone();
    assert_eq!(all, json!([{"paused": "1d"}, {"paused": "2d"}]));
    app.finish().await;
}

/// Runs of one supplier do not work beside each other.
const KEYED: &str = r#"
name = "keyed"
version = 1
prefix = "K"
number_by = "{{ inputs.supplier }}"
concurrency = { key = "{{ inputs.supplier }}", width = 2 }
[inputs.supplier]
type = "string"
[[step]]
name = "pause"
agent = "delay"
with = { for = "1d" }
"#;

async fn statuses(app: &TestApp, names: &[String]) -> String {
    let mut told = vec![];
    for name in names {
        told.push(app.run(name).await.status.to_string());
    }
    told.join(" ")
}

#[tokio::test]
async fn runs_with_one_key_wait_for_a_place_in_order_and_others_do_not() {
    let app = TestApp::demo().await;
    let mut names = vec![];
    for supplier in ["a", "a", "a", "a", "b"] {
        names.push(launch(&app, KEYED, json!({ "supplier": supplier })).await);
        app.clock.advance(TimeDelta::seconds(1));
    }
    assert_eq!(names, ["K-A-000001", "K-A-000002", "K-A-000003", "K-A-000004", "K-B-000001"]);
    app.settle().await;
    assert_eq!(statuses(&app, &names).await, "waiting waiting queued queued waiting");
    app.app.engine.kill(app.id(&names[0]).await, "frank", TimeDelta::zero()).await.unwrap();
    app.settle().await;
    assert_eq!(statuses(&app, &names).await, "killed waiting waiting queued waiting");
    app.pass(TimeDelta::days(1)).await;
    assert_eq!(statuses(&app, &names).await, "killed completed completed waiting completed");
    app.pass(TimeDelta::days(1)).await;
    app.finish().await;
}

#[tokio::test]
async fn a_key_that_is_none_refuses_the_launch() {
    let app = TestApp::demo().await;
    let refused = launch_on(&app.app.engine, KEYED, json!({"supplier": ""})).await.unwrap_err();
    assert!(refused.to_string().contains("of workflow keyed: it is empty"), "{refused}");
    assert_eq!(app.runs().await.len(), 0);
}
