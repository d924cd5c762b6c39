//! What operators do to runs: stop, kill with a grace, restart from a step, and outputs given by hand.

use chrono::TimeDelta;
use countersign::domain::run::RunStatus;
use countersign::domain::wait::{Choice, WaitStatus};
use countersign::engine::EngineError;
use countersign::engine::override_step::Given;
use countersign::people::link::{self, Posted};
use countersign::store::{Store, runs};
use serde_json::json;

use crate::app::{OLIVIA, TestApp, answer, token_in};
use crate::engine_features::workflow;
use crate::engine_workers::{Slow, engine};
use crate::store_contract::on_both;

const ASK: &str = r#"
[[step]]
name = "first"
agent = "post_file"
with = { file = "first.json", record = { a = 1 } }
[[step]]
name = "ask"
agent = "approval"
needs = ["first"]
[step.with]
question = "Go on?"
approvers = ["olivia"]
fallback = ["frank"]
expire_after = "14d"
[[step]]
name = "last"
agent = "noop"
needs = ["ask"]
when = "steps.ask.decision == 'approved' and steps.first.posted"
"#;

/// A run that failed because nobody answered.
async fn expired() -> (TestApp, String) {
    let app = TestApp::demo().await;
    let name = app.launch(&workflow(ASK), json!({})).await;
    app.settle().await;
    app.pass(TimeDelta::days(30)).await;
    assert_eq!(app.run(&name).await.status, RunStatus::Failed);
    (app, name)
}

fn given<'a>(step: &'a str) -> Given<'a> {
    let output = json!({"decision": "approved"}).as_object().expect("an object").clone();
    Given { step, output, because: "she said so by phone", by: "frank" }
}

#[tokio::test]
async fn a_restart_keeps_what_came_before_and_old_links_are_dead() {
    let (app, name) = expired().await;
    let (id, before) = (app.id(&name).await, app.steps(&name).await["first"].clone());
    let old = app.sent_to(OLIVIA).remove(0);
    let engine = &app.app.engine;
    let wrong = engine.restart(id, Some("lsat"), "frank").await.unwrap_err().to_string();
    assert_eq!(wrong, "there is no step `lsat`; there are: first, ask, last");
    let restarted = engine.restart(id, None, "frank").await.unwrap();
    assert_eq!((restarted.kept, restarted.again), (vec!["first".into()], vec!["ask".into(), "last".into()]));
    app.settle().await;

    let run = app.run(&name).await;
    assert_eq!((run.status, run.generation, run.failure.is_none()), (RunStatus::Waiting, 2, true));
    let kept = app.steps(&name).await["first"].clone();
    assert_eq!(
        (kept.output.as_ref().map(|o| &o.0), kept.started_at),
        (before.output.as_ref().map(|o| &o.0), before.started_at)
    );
    assert_eq!(link::answer(engine, &token_in(&old), Choice::Approve, None).await.unwrap(), Posted::Dead);
    let new = app.last_to(OLIVIA);
    app.receive(answer(OLIVIA, &old, "approve")).await;
    assert_eq!(app.run(&name).await.status, RunStatus::Waiting, "a reply of before decides nothing");
    app.receive(answer(OLIVIA, &new, "approve")).await;
    assert_eq!(app.progress(&name).await, "first=success ask=success last=success");
    assert_eq!(app.run(&name).await.status, RunStatus::Completed);
    let refused = engine.restart(id, None, "frank").await.unwrap_err();
    assert!(matches!(refused, EngineError::Refused(_)), "not restartable: {refused}");
    app.finish().await;
}

#[tokio::test]
async fn a_restart_that_is_cut_off_has_not_begun() {
    let (app, name) = expired().await;
    let id = app.id(&name).await;
    let Store::Lite(pool) = &app.app.engine.store else { panic!("not SQLite") };
    let cut =
        "create trigger cut before insert on steps when new.generation = 2 begin select raise(abort, 'cut off'); end";
    sqlx::query(cut).execute(pool).await.unwrap();
    app.app.engine.restart(id, None, "frank").await.unwrap_err();
    app.settle().await;
    let run = app.run(&name).await;
    assert_eq!((run.status, run.generation), (RunStatus::Failed, 1));
    sqlx::query("drop trigger cut").execute(pool).await.unwrap();
    assert_eq!(app.app.engine.restart(id, Some("first"), "frank").await.unwrap().generation, 2);
    app.finish().await;
}

#[tokio::test]
async fn a_failed_step_gets_its_output_by_hand_and_the_run_goes_on() {
    let (app, name) = expired().await;
    let id = app.id(&name).await;
    let engine = &app.app.engine;
    let refused = engine.override_step(id, &given("first")).await.unwrap_err().to_string();
    assert_eq!(refused, "step first is success; only one that failed or waits takes an output");
    let refused = engine.override_step(id, &given("last")).await.unwrap_err().to_string();
    assert_eq!(refused, "step last has not started here; these have: ask, first");
    assert_eq!(engine.override_step(id, &given("ask")).await.unwrap().generation, 2);
    app.settle().await;
    assert_eq!(app.run(&name).await.status, RunStatus::Completed);
    assert_eq!(app.progress(&name).await, "ask=success first=success last=success");
    let event = app.events("step.overridden").await.remove(0);
    assert_eq!((event.actor.as_str(), &event.data["because"]), ("frank", &json!("she said so by phone")));
    app.finish().await;
}

#[tokio::test]
async fn a_waiting_step_that_is_done_by_hand_asks_nobody_any_more() {
    let app = TestApp::demo().await;
    let name = app.launch(&workflow(ASK), json!({})).await;
    app.settle().await;
    let overridden = app.app.engine.override_step(app.id(&name).await, &given("ask")).await.unwrap();
    assert_eq!((overridden.generation, overridden.state.status), (1, RunStatus::Queued));
    app.settle().await;
    assert_eq!(app.run(&name).await.status, RunStatus::Completed);
    assert_eq!(
        app.steps(&name).await["ask"].output.as_ref().map(|o| o.0.clone()),
        Some(json!({"decision": "approved"}))
    );
    assert_eq!(app.waits(&name).await[0].status, WaitStatus::Answered);
    app.receive(answer(OLIVIA, &app.sent_to(OLIVIA)[0], "reject")).await;
    assert_eq!(app.said(&name).await, ["frank decided proceed", "olivia late reject"]);
    app.finish().await;
}

const TWO: &str = r#"
[[step]]
name = "slow"
agent = "slow"
[[step]]
name = "next"
agent = "slow"
needs = ["slow"]
"#;

#[tokio::test]
async fn a_stopped_run_ends_what_is_in_hand_and_starts_nothing_else() {
    let app = TestApp::demo().await;
    let agent = Slow::default();
    let engine = engine(&app, "a", agent.clone());
    let name = app.launch(&workflow(TWO), json!({})).await;
    let id = app.id(&name).await;
    let (worked, ()) = tokio::join!(engine.tick_worker(), async {
        agent.begun.notified().await;
        let stopped = engine.stop(id, "frank").await.unwrap();
        assert!(stopped.state.stopping && !stopped.already && stopped.state.status == RunStatus::Running);
        assert!(engine.stop(id, "olivia").await.unwrap().already);
        assert!(engine.pause(id, "olivia").await.is_err());
        agent.go_on.notify_one();
    });
    assert!(worked.unwrap());
    assert_eq!((app.run(&name).await.status, app.progress(&name).await), (RunStatus::Killed, "slow=success".into()));
    assert_eq!(app.events("run.killed").await[0].actor, "frank");
    let restarted = engine.restart(id, None, "frank").await.unwrap();
    assert_eq!((restarted.kept, restarted.again), (vec!["slow".to_owned()], vec!["next".to_owned()]));
}

#[tokio::test]
async fn a_killed_run_leaves_the_step_in_hand_its_grace_and_no_more() {
    let app = TestApp::demo().await;
    let agent = Slow::default();
    let engine = engine(&app, "a", agent.clone());
    let name = app.launch(&workflow(TWO), json!({})).await;
    let id = app.id(&name).await;
    let (worked, ()) = tokio::join!(engine.tick_worker(), async {
        agent.begun.notified().await;
        let killed = engine.kill(id, "frank", TimeDelta::seconds(10)).await.unwrap();
        assert_eq!(killed.kill_at, Some(app.now() + TimeDelta::seconds(10)));
        assert!(engine.kill(id, "frank", TimeDelta::seconds(10)).await.unwrap().already);
        app.clock.advance(TimeDelta::seconds(9));
        assert_eq!(engine.tick_timers().await.unwrap(), 0);
        app.clock.advance(TimeDelta::seconds(1));
        assert_eq!(engine.tick_timers().await.unwrap(), 1);
        assert_eq!(app.run(&name).await.status, RunStatus::Killed);
        agent.go_on.notify_one();
    });
    assert!(worked.unwrap());
    assert_eq!((app.events("step.done").await.len(), app.events("run.killed").await[0].actor.as_str()), (0, "frank"));
    app.finish().await;
}

#[tokio::test]
async fn numbers_of_runs_that_start_at_once_have_no_gap() {
    on_both(async |store| {
        let mut all = tokio::task::JoinSet::new();
        for place in 0..24 {
            let store = store.clone();
            all.spawn(async move {
                let mut tx = store.begin().await.unwrap();
                let number = runs::next_number(&mut tx, "run.AP").await.unwrap();
                // Every third is given up: its number goes to somebody else.
                if place % 3 == 0 {
                    return None;
                }
                tx.commit().await.unwrap();
                Some(number)
            });
        }
        let mut numbers: Vec<_> = all.join_all().await.into_iter().flatten().collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (1..=16).collect::<Vec<i64>>());
    })
    .await;
}
