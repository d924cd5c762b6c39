//! Scenarios: what workflows do while time passes, told beside what was expected; and `check --strict`, which asks for them.

use std::path::Path;

use countersign::agents::pdf::PdfReader;
use countersign::agents::{Registry, Settings};
use countersign::cli::workflows::check_strictly;
use countersign::cli::{self, Command, Ending, Told, Workflows};
use countersign::config::workflows::presets::Presets;
use countersign::config::workflows::{self, Known, Loaded};
use countersign::domain::duration::Span;
use serde_json::Value;

use crate::app::TestApp;

fn shipped() -> Vec<Loaded> {
    let pdf = PdfReader { program: "".into(), cpu: Span::from_secs(1), memory_bytes: 1 };
    let registry = Registry::standard(Settings { pdf, post_directory: "".into() });
    let known = Known { agents: &registry, presets: &Presets::default(), templates: None };
    workflows::load(&directory(), &known).expect("the shipped workflows")
}

fn directory() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config/workflows")
}

/// A workflow with every kind of timer.
const TIMED: &str = r#"
name = "timed"
version = 1
prefix = "T"
owner = "role:lead"
[calendar]
zone = "Europe/Berlin"
opens = "09:00"
closes = "17:00"
[[step]]
name = "work"
agent = "noop"
timeout = { soft = "10m", hard = "1h" }
retry = { count = 2, interval = "5m", backoff = "fixed" }
[[step]]
name = "beside"
agent = "noop"
[[step]]
name = "pause"
agent = "delay"
needs = ["beside"]
with = { for = "2h" }
[[step]]
name = "last"
agent = "noop"
needs = ["work", "pause"]
with = { output = { seen = "{{ steps.work.answer }}" } }
"#;

const SCENARIO: &str = r#"
workflow = "timed"
about = "a test"
start = "2026-03-02 10:00"
[users]
lead = ["lead"]
"#;

/// Plays one scenario of the timed workflow; gives what the command says.
async fn play(scenario: &str) -> Told {
    let scenario = format!("{SCENARIO}{scenario}");
    let app = TestApp::with(&[("workflows/timed.toml", TIMED), ("workflows/scenarios/one.toml", &scenario)]).await;
    let what = Workflows::Test { files: vec![], json: false };
    cli::tell(Command::Workflows { what }, &app.app.context(), None).await.expect("an answer")
}

async fn passes(scenario: &str) {
    let told = play(scenario).await;
    assert_eq!(told.ending, Ending::Done, "{}", told.text);
}

#[tokio::test]
async fn every_shipped_workflow_has_scenarios_and_does_what_they_say() {
    let told = check_strictly(&directory(), &shipped()).await.expect("played");
    assert_eq!(told.ending, Ending::Done, "{}", told.text);
    assert!(told.text.ends_with("7 scenarios, all as expected\n"), "{}", told.text);
}

#[tokio::test]
async fn a_workflow_without_a_scenario_does_not_pass_a_strict_check() {
    let mut written = shipped();
    let mut other = written[0].clone();
    other.workflow.name = "untried".into();
    other.file = "untried.toml".into();
    written.push(other);
    let told = check_strictly(&directory(), &written).await.expect("played");
    assert_eq!(told.ending, Ending::Misused);
    assert!(told.text.contains("error: workflow untried@1 has no scenario\n--> untried.toml"), "{}", told.text);
}

#[tokio::test]
async fn attempts_that_take_time_pass_beside_each_other_and_ring_and_end_at_their_limits() {
    passes(
        r#"
        [steps.work]
        takes = "30m"
        output = { answer = "{{ run.name }}" }
        [steps.beside]
        takes = "4m"
        [[expect]]
        at = "2026-03-02 10:10"
        event = "step.late"
        step = "work"
        [[expect]]
        at = "2026-03-02 10:10"
        step = "work"
        status = "running"
        [[expect]]
        at = "2026-03-02 10:04"
        event = "step.done"
        step = "beside"
        [[expect]]
        at = "2026-03-02 10:30"
        event = "step.done"
        step = "work"
        [[expect]]
        at = "2026-03-02 12:04"
        run = "completed"
        "#,
    )
    .await;
    passes(
        r#"
        [steps.work]
        takes = "3h"
        output = {}
        [[expect]]
        event = "step.retry"
        step = "work"
        times = 2
        [[expect]]
        at = "2026-03-02 13:10"
        run = "failed"
        reason = "timeout"
        "#,
    )
    .await;
}

#[tokio::test]
async fn an_agent_that_fails_is_repeated_as_its_workflow_says() {
    passes(
        r#"
        [steps.work]
        output = { answer = 1 }
        fails = { reason = "busy", times = 2 }
        [[expect]]
        at = "2026-03-02 10:05"
        step = "work"
        status = "failure_retry"
        reason = "busy"
        [[expect]]
        at = "2026-03-02 10:10"
        step = "work"
        status = "success"
        [[expect]]
        after = "2h"
        run = "completed"
        "#,
    )
    .await;
    passes("[steps.work]\nfails = { reason = \"broken\", for_good = true }\n[[expect]]\nat = \"2026-03-02 10:00\"\nrun = \"failed\"\nreason = \"broken\"")
        .await;
}

#[tokio::test]
async fn what_is_not_as_expected_is_told_with_its_line_in_the_timeline() {
    let told = play("[steps.work]\noutput = { answer = 1 }\n[[expect]]\nafter = \"1h\"\nrun = \"completed\"").await;
    assert_eq!(told.ending, Ending::Failed);
    for part in [
        "error: expected: run completed at Mon 2026-03-02 11:00; it was waiting",
        "scenarios/one.toml:9:1",
        "Mon 2026-03-02 11:00  ! expected: run completed",
        "Mon 2026-03-02 12:00    run.completed",
        "1 scenarios, 1 not as expected",
    ] {
        assert!(told.text.contains(part), "{part}: {}", told.text);
    }
    let (before, after) = told.text.split_once("11:00  ! expected").expect("told above");
    assert!(before.contains("10:00    step.done work") && after.contains("step.started last"), "{}", told.text);
}

#[tokio::test]
async fn mistakes_in_a_scenario_are_told_where_they_are() {
    let check = async |scenario: &str, part: &str| {
        let told = play(scenario).await;
        assert_eq!(told.ending, Ending::Misused, "{}", told.text);
        assert!(told.text.contains(part), "{part}: {}", told.text);
    };
    check("", "it expects nothing").await;
    check("[[expect]]\nstep = \"wrk\"\nstatus = \"success\"", "did you mean `work`?").await;
    check("[[expect]]\nstep = \"work\"\nstatus = \"done\"", "`done` is none of: running").await;
    check("[[expect]]\nrun = \"completed\"\nnotice = \"x\"", "it must be one thing").await;
    check("[[expect]]\nrun = \"completed\"\nat = \"noon\"", "`noon` is no point in time").await;
    check("[[expect]]\nrun = \"completed\"\nat = \"2026-03-29 02:30\"", "there is no 2026-03-29 02:30:00 in Europe")
        .await;
    check("[[event]]\ndown = \"1d\"\n[[expect]]\nrun = \"completed\"", "it does not say when").await;
    check("[[expect]]\nrn = \"completed\"", "unknown key `rn`").await;
    check("[inputs]\nx = 1\n[[expect]]\nrun = \"completed\"", "x").await;
}

#[tokio::test]
async fn an_answer_that_nobody_asked_for_is_told() {
    let told = play("[[event]]\nafter = \"1h\"\nanswer = { step = \"last\", by = \"lead\", choice = \"approve\" }\n[[expect]]\nrun = \"failed\"").await;
    assert!(told.text.contains("step last has asked nobody by then"), "{}", told.text);
}

#[tokio::test]
async fn all_of_it_is_there_for_programs() {
    let app = TestApp::demo().await;
    let file = directory().join("scenarios/ap-silence.toml");
    let what = Workflows::Test { files: vec![file], json: true };
    let told = cli::tell(Command::Workflows { what }, &app.app.context(), None).await.expect("an answer");
    let list: Value = serde_json::from_str(&told.text).expect("JSON");
    assert_eq!((&list[0]["passed"], &list[0]["workflow"]), (&true.into(), &"ap-invoice@1".into()));
    assert!(app.runs().await.is_empty(), "nothing of it is in the database");
}
