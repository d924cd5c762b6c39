//! What people are told of: lateness once, and what a definition names of completion, repeats and failure.

use chrono::TimeDelta;
use countersign::domain::run::RunStatus;
use serde_json::json;

use crate::app::{FRANK, OLIVIA, TestApp};
use crate::engine_features::{failure, workflow};
use crate::engine_flow::launch;

/// Subjects of all mails to an address, without the run's name.
fn told(app: &TestApp, address: &str) -> Vec<String> {
    let subject = |mail: countersign::domain::message::Message| {
        let subject = mail.subject.clone();
        subject.split_once("] ").map_or(subject.clone(), |(_, rest)| rest.to_owned())
    };
    app.sent_to(address).into_iter().map(subject).collect()
}

async fn launched(definition: &str) -> (TestApp, String) {
    let app = TestApp::demo().await;
    let name = launch(&app, &workflow(definition), json!({})).await;
    app.settle().await;
    (app, name)
}

#[tokio::test]
async fn a_soft_timeout_tells_the_owner_once_in_working_hours_and_ends_nothing() {
    let steps = r#"
        owner = "frank"
        [[step]]
        name = "pause"
        agent = "delay"
        with = { for = "9d" }
        timeout = { soft = "10h" }
        [[step]]
        name = "quick"
        agent = "noop"
        timeout = { soft = "10h" }
    "#;
    let (app, name) = launched(steps).await;
    app.pass(TimeDelta::hours(10)).await;
    assert!(told(&app, FRANK).is_empty(), "it is seven in the evening");
    app.pass(TimeDelta::hours(13)).await;
    assert_eq!(told(&app, FRANK), ["step pause is not done after 10h"]);
    assert_eq!(app.events("step.late").await.len(), 1);
    app.pass(TimeDelta::days(9)).await;
    assert_eq!((told(&app, FRANK).len(), app.run(&name).await.status), (1, RunStatus::Completed));
    app.finish().await;
}

#[tokio::test]
async fn a_soft_deadline_tells_and_a_hard_one_that_passed_too_tells_alone() {
    let steps = r#"
        deadline = { soft = "1d", hard = "3d" }
        notify.timeout = { to = ["role:finance-lead", "boss@acme.example"] }
        owner = "olivia"
        [[step]]
        name = "pause"
        agent = "delay"
        with = { for = "9d" }
    "#;
    let (app, name) = launched(steps).await;
    app.pass(TimeDelta::days(1)).await;
    assert_eq!(told(&app, FRANK), ["not finished yet: test"]);
    assert_eq!(told(&app, "boss@acme.example"), ["not finished yet: test"]);
    app.pass(TimeDelta::days(2)).await;
    assert_eq!(failure(&app, &name).await.reason, "deadline_passed");
    assert_eq!(told(&app, OLIVIA), ["failed: test"]);
    let name = launch(&app, &workflow(steps), json!({})).await;
    app.settle().await;
    app.pass(TimeDelta::days(4)).await;
    assert_eq!(failure(&app, &name).await.reason, "deadline_passed");
    assert_eq!((told(&app, FRANK).len(), told(&app, OLIVIA).len()), (1, 2), "nobody is told that a failed run is late");
    app.finish().await;
}

#[tokio::test]
async fn people_are_told_of_completion_repeats_and_failure_as_the_definition_says() {
    let steps = r#"
        owner = "olivia"
        notify = { completion = {}, retry = { to = ["frank"] } }
        [[step]]
        name = "post"
        title = "Posting"
        agent = "post_file"
        with = { file = "erp.json", record = { a = 1 } }
        retry = { count = 1, interval = "10s" }
        on_error = "continue"
        notify = { completion = { to = ["frank"] }, failure = { to = ["frank"] } }
    "#;
    let app = TestApp::demo().await;
    std::fs::create_dir_all(app.path("erp/erp.json")).unwrap();
    let name = launch(&app, &workflow(steps), json!({})).await;
    app.settle().await;
    assert_eq!(told(&app, FRANK), ["Posting failed and is tried again"]);
    app.pass(TimeDelta::seconds(10)).await;
    assert_eq!(told(&app, FRANK)[1..], ["Posting failed"]);
    assert_eq!((told(&app, OLIVIA), app.run(&name).await.status), (vec!["done: test".into()], RunStatus::Completed));
    std::fs::remove_dir(app.path("erp/erp.json")).unwrap();
    launch(&app, &workflow(steps), json!({})).await;
    app.settle().await;
    assert_eq!(told(&app, FRANK)[2..], ["Posting is done"]);
    app.finish().await;
}

#[tokio::test]
async fn whoever_a_definition_names_is_told_of_a_failed_run_instead_of_the_owner() {
    let steps = r#"
        owner = "olivia"
        notify.failure = { to = ["frank"] }
        [[step]]
        name = "say"
        agent = "noop"
        with = { output = { a = "{{ run.nothing }}" } }
    "#;
    let (app, _) = launched(steps).await;
    assert_eq!((told(&app, FRANK), told(&app, OLIVIA).len()), (vec!["failed: test".into()], 0));
    app.finish().await;
}
