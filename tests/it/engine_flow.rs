//! Branches and lists: cases, joins, failures that lead elsewhere, `for_each`, outputs, partial results.

use async_trait::async_trait;
use chrono::TimeDelta;
use countersign::agents::{Agent, Outcome, Task};
use countersign::domain::failure::Failure;
use countersign::domain::ids::TransactionId;
use countersign::domain::run::RunStatus;
use countersign::domain::step::StepStatus;
use countersign::domain::workflow::Workflow;
use countersign::engine::launch::{Launch, Launched};
use countersign::engine::{Engine, EngineError};
use serde_json::{Map, Value, json};

use crate::app::{AP, NORDWIND, TestApp};
use crate::engine_features::{failure, workflow};

/// A published version never changes again: what is another definition gets another version.
pub fn of_its_own_version(mut workflow: Workflow) -> Workflow {
    workflow.version = u32::from_str_radix(&workflow.hash()[..6], 16).expect("a hash");
    workflow
}

/// Launches what the engine takes, whatever checks of files say.
pub async fn launch_on(engine: &Engine, definition: &str, inputs: Value) -> Result<Launched, EngineError> {
    let workflow = of_its_own_version(toml::from_str(definition).expect("a workflow"));
    let origin = json!({"from": NORDWIND, "subject": "test", "mailbox": "ap", "address": AP});
    let launch = Launch {
        documents: &[],
        workflow: &workflow,
        customer: "acme",
        transaction_id: TransactionId::new(),
        message_id: None,
        inputs: inputs.as_object().cloned().unwrap_or_default(),
        origin: origin.as_object().cloned().unwrap_or_default(),
        by: "test",
    };
    let mut tx = engine.store.begin().await.expect("begin");
    let launched = engine.launch(&mut tx, launch).await?;
    tx.commit().await.expect("commit");
    Ok(launched)
}

pub async fn launch(app: &TestApp, definition: &str, inputs: Value) -> String {
    launch_on(&app.app.engine, definition, inputs).await.expect("launch").name
}

async fn settled(steps: &str, inputs: Value) -> (TestApp, String) {
    let app = TestApp::demo().await;
    let name = launch(&app, &workflow(steps), inputs).await;
    app.settle().await;
    (app, name)
}

async fn output(app: &TestApp, name: &str, step: &str) -> Value {
    app.steps(name).await[step].output.as_ref().expect("an output").0.clone()
}

#[tokio::test]
async fn a_run_goes_on_at_the_case_that_holds() {
    let steps = r#"
        inputs = { total = { type = "number" } }
        [[step]]
        name = "route"
        agent = "switch"
        with = { on = "{{ inputs.total }}", cases = { high = "on > 100", low = "on <= 100" } }
        [[step]]
        name = "ask"
        agent = "noop"
        needs = ["route:high"]
        [[step]]
        name = "post"
        agent = "noop"
        needs = ["ask", "route:low"]
        join = "any"
    "#;
    for (total, ask) in [(101, StepStatus::Success), (100, StepStatus::Skipped)] {
        let (app, name) = settled(steps, json!({"total": total})).await;
        assert_eq!(app.run(&name).await.status, RunStatus::Completed);
        let steps = app.steps(&name).await;
        assert_eq!((steps["ask"].status, steps["post"].status), (ask, StepStatus::Success));
        app.finish().await;
    }
}

#[tokio::test]
async fn of_several_branches_the_first_that_is_done_leads_on() {
    let steps = r#"
        [[step]]
        name = "long"
        agent = "delay"
        with = { for = "2d" }
        [[step]]
        name = "short"
        agent = "delay"
        with = { for = "1d" }
        [[step]]
        name = "next"
        agent = "noop"
        needs = ["long", "short"]
        join = "any"
        with = { output = { long = "{{ steps.long is none }}" } }
    "#;
    let (app, name) = settled(steps, json!({})).await;
    app.pass(TimeDelta::days(1)).await;
    assert_eq!(output(&app, &name, "next").await, json!({"long": true}));
    assert_eq!(app.run(&name).await.status, RunStatus::Waiting, "the other one is waited for before the end");
    app.pass(TimeDelta::days(1)).await;
    assert_eq!(app.run(&name).await.status, RunStatus::Completed);
    app.finish().await;
}

#[tokio::test]
async fn a_failure_leads_to_the_step_that_mends_it() {
    let steps = r#"
        [[step]]
        name = "post"
        agent = "noop"
        with = { output = { x = "{{ run.nothing }}" } }
        on_error = { go_to = "mend" }
        [[step]]
        name = "thank"
        agent = "noop"
        needs = ["post"]
        [[step]]
        name = "mend"
        agent = "noop"
        with = { output = { why = "{{ steps.post.failure.reason }}" } }
    "#;
    let (app, name) = settled(steps, json!({})).await;
    assert_eq!(app.run(&name).await.status, RunStatus::Completed);
    assert_eq!(app.steps(&name).await["thank"].status, StepStatus::Skipped);
    assert_eq!(output(&app, &name, "mend").await, json!({"why": "expression_error"}));
    let fine = steps.replace("{{ run.nothing }}", "fine");
    let name = launch(&app, &workflow(&fine), json!({})).await;
    app.settle().await;
    let rows = app.steps(&name).await;
    assert_eq!((rows["thank"].status, rows["mend"].status), (StepStatus::Success, StepStatus::Skipped));
    app.finish().await;
}

const LINES: &str = r#"
    inputs = { lines = { type = "list" } }
    outputs = { all = "{{ steps.line }}" }
    [[step]]
    name = "line"
    agent = "delay"
    for_each = "{{ inputs.lines }}"
    width = 2
    with = { for = "{{ item.span }}" }
    outputs = { place = "{{ index }}", span = "{{ item.span }}" }
"#;

#[tokio::test]
async fn a_list_is_worked_through_so_many_at_a_time_and_its_outputs_keep_its_order() {
    let lines = json!([{"span": "3d"}, {"span": "1d"}, {"span": "1d"}]);
    let (app, name) = settled(LINES, json!({"lines": lines})).await;
    assert_eq!(app.progress(&name).await, "line=running line[0]=waiting line[1]=waiting");
    app.pass(TimeDelta::days(1)).await;
    assert_eq!(app.progress(&name).await, "line=running line[0]=waiting line[1]=success line[2]=waiting");
    app.pass(TimeDelta::days(2)).await;
    let run = app.run(&name).await;
    assert_eq!(run.status, RunStatus::Completed);
    let all = json!([{"place": 0, "span": "3d"}, {"place": 1, "span": "1d"}, {"place": 2, "span": "1d"}]);
    assert_eq!(output(&app, &name, "line").await, all);
    assert_eq!(Value::Object(run.outputs.expect("outputs").0), json!({ "all": all }));
    assert_eq!(app.events("run.completed").await[0].data["outputs"], json!({ "all": all }));
    app.finish().await;
}

#[tokio::test]
async fn an_empty_list_is_done_at_once() {
    let (app, name) = settled(LINES, json!({"lines": []})).await;
    assert_eq!(app.run(&name).await.status, RunStatus::Completed);
    assert_eq!(output(&app, &name, "line").await, json!([]));
    app.finish().await;
}

#[tokio::test]
async fn an_item_that_fails_fails_its_step_or_stands_in_the_list() {
    let lines = json!([{"span": "1d"}, {"span": "soon"}]);
    let (app, name) = settled(LINES, json!({"lines": lines})).await;
    let failed = failure(&app, &name).await;
    assert!(failed.reason == "bad_settings" && failed.details.contains("soon"), "{failed}");
    assert!(
        app.waits(&name).await.iter().all(|wait| wait.closed_at.is_some()),
        "the other line waits for nothing more"
    );
    let goes_on = format!("{LINES}\n    on_error = \"continue\"");
    let name = launch(&app, &workflow(&goes_on), json!({"lines": lines})).await;
    app.settle().await;
    app.pass(TimeDelta::days(1)).await;
    assert_eq!(app.run(&name).await.status, RunStatus::Completed);
    let all = output(&app, &name, "line").await;
    assert_eq!((&all[0]["place"], &all[1]["failure"]["reason"]), (&json!(0), &json!("bad_settings")));
    app.finish().await;
}

#[tokio::test]
async fn outputs_that_cannot_be_made_fail_with_step_and_key_named() {
    let step = "[[step]]\nname = \"say\"\nagent = \"noop\"\nwith = { output = { a = 1 } }\n";
    let check = async |definition: String, parts: [&str; 2]| {
        let (app, name) = settled(&definition, json!({})).await;
        let failed = failure(&app, &name).await;
        assert_eq!(failed.reason, "expression_error");
        assert!(parts.iter().all(|part| failed.details.contains(part)), "{}", failed.details);
        app.finish().await;
    };
    check(format!("{step}outputs = {{ b = \"{{{{ output.b }}}}\" }}"), ["outputs of step say of workflow w", "b: "])
        .await;
    check(
        format!("outputs = {{ sum = \"{{{{ steps.say.b }}}}\" }}\n{step}"),
        ["outputs of workflow w version 1", "sum: "],
    )
    .await;
}

/// Reads half of what there is.
struct Half;

#[async_trait]
impl Agent for Half {
    fn name(&self) -> &'static str {
        "half"
    }
    fn about(&self) -> &'static str {
        "Does half of it."
    }
    fn check(&self, _: &Map<String, Value>) -> Vec<(String, String)> {
        vec![]
    }
    async fn perform(&self, _: &Task) -> Outcome {
        let read = json!({"pages": 1}).as_object().cloned().unwrap_or_default();
        Outcome::partial(read, &Failure::medium("page_unreadable", "page 2 of 2 cannot be read"))
    }
}

#[tokio::test]
async fn a_partial_result_says_so_whatever_a_step_makes_of_its_output() {
    let app = TestApp::demo().await;
    let engine = crate::engine_workers::engine_with(&app, "half", |agents| {
        agents.add(Half);
        agents.add(crate::engine_workers::Slow::default());
    });
    let steps = r#"
        [[step]]
        name = "read"
        agent = "half"
        outputs = { count = "{{ output.pages }}" }
        [[step]]
        name = "approve"
        agent = "slow"
        needs = ["read"]
        when = [{ key = "steps.read.partial", exists = false }]
    "#;
    let name = launch(&app, &workflow(steps), json!({})).await;
    assert!(engine.tick_worker().await.unwrap());
    let rows = app.steps(&name).await;
    assert_eq!((rows["read"].status, rows["approve"].status), (StepStatus::Success, StepStatus::Skipped));
    let given = output(&app, &name, "read").await;
    assert_eq!((&given["count"], &given["partial"]["reason"]), (&json!(1), &json!("page_unreadable")));
    assert_eq!(rows["read"].failure.as_ref().unwrap().0.reason, "page_unreadable");
    let done = &app.events("step.done").await[0].data;
    assert_eq!((&done["partial"], &done["reason"]), (&json!(true), &json!("page_unreadable")));
}
