//! Workers: timeouts while an agent works, leases, fences, and processes that die.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::TimeDelta;
use countersign::agents::{Agent, Outcome, Registry, Task};
use countersign::domain::ids::TransactionId;
use countersign::domain::run::RunStatus;
use countersign::domain::step::StepStatus;
use countersign::domain::wait::{Answer, Asked, Channel, Choice, WaitKind, WaitRequest};
use countersign::engine::decide::Ending;
use countersign::engine::launch::Launch;
use countersign::engine::{Definitions, Engine, Work};
use countersign::store::{Store, runs, waits};
use serde_json::{Map, Value, json};
use tokio::sync::Notify;

use crate::app::TestApp;
use crate::engine_features::{failure, workflow};
use crate::engine_flow::of_its_own_version;
use crate::rig;

/// An agent that ends when it is told to, and says when it has begun.
#[derive(Clone, Default)]
pub struct Slow {
    pub begun: Arc<Notify>,
    pub go_on: Arc<Notify>,
}

#[async_trait]
impl Agent for Slow {
    fn name(&self) -> &'static str {
        "slow"
    }
    fn about(&self) -> &'static str {
        "Ends when the test says so."
    }
    fn check(&self, _: &Map<String, Value>) -> Vec<(String, String)> {
        vec![]
    }
    async fn perform(&self, task: &Task) -> Outcome {
        self.begun.notify_one();
        self.go_on.notified().await;
        Outcome::done(json!({"attempt": task.attempt}))
    }
}

/// An agent that waits for somebody.
struct Asks;

#[async_trait]
impl Agent for Asks {
    fn name(&self) -> &'static str {
        "asks"
    }
    fn about(&self) -> &'static str {
        "Waits."
    }
    fn check(&self, _: &Map<String, Value>) -> Vec<(String, String)> {
        vec![]
    }
    async fn perform(&self, task: &Task) -> Outcome {
        let question = task.with.get("question").and_then(Value::as_str).unwrap_or("go on?");
        let asked = Asked { person: "olivia".into(), address: "olivia@acme.example".into() };
        Outcome::Wait(Box::new(WaitRequest {
            kind: WaitKind::External,
            // PostgreSQL takes no NUL in a text.
            question: question.replace("NUL", "\0"),
            asked: vec![asked],
            facts: Map::new(),
            notices: vec![],
            ladder: vec![],
            fallback: None,
            until: None,
        }))
    }
}

const SLOW: &str = "[[step]]\nname = \"slow\"\nagent = \"slow\"\ntimeout = { hard = \"10m\" }\nretry = { count = 0, interval = \"1s\" }";

/// Another process on the same database, with an agent of the test's.
pub fn engine(app: &TestApp, owner: &str, agent: Slow) -> Engine {
    engine_with(app, owner, |agents| {
        agents.add(agent);
        agents.add(Asks);
    })
}

/// Another process on the same database, with agents of the test's.
pub fn engine_with(app: &TestApp, owner: &str, add: impl FnOnce(&mut Registry)) -> Engine {
    let mut agents = Registry::default();
    add(&mut agents);
    engine_of(app, owner, Arc::new(agents))
}

/// Another process on the same database.
pub fn engine_of(app: &TestApp, owner: &str, agents: Arc<Registry>) -> Engine {
    let ours = &app.app.engine;
    Engine {
        store: ours.store.clone(),
        blob: Arc::clone(&ours.blob),
        clock: Arc::clone(&ours.clock),
        agents,
        live: Arc::clone(&ours.live),
        key: ours.key.clone(),
        owner: owner.into(),
        lease: ours.lease,
        work: Work::default(),
        definitions: Definitions::default(),
    }
}

#[tokio::test]
async fn a_working_agent_ends_at_its_hard_timeout() {
    let app = TestApp::demo().await;
    let agent = Slow::default();
    let engine = engine(&app, "a", agent.clone());
    let name = app.launch(&workflow(SLOW), json!({})).await;
    let (worked, ()) = tokio::join!(engine.tick_worker(), async {
        agent.begun.notified().await;
        app.clock.advance(TimeDelta::minutes(10));
    });
    assert!(worked.unwrap());
    assert_eq!(failure(&app, &name).await.reason, "timeout");
}

#[tokio::test]
async fn a_working_agent_keeps_its_lease_for_as_long_as_it_works() {
    let app = TestApp::demo().await;
    let agent = Slow::default();
    let (engine, other) = (engine(&app, "a", agent.clone()), engine(&app, "b", Slow::default()));
    let name = app.launch(&workflow(SLOW), json!({})).await;
    let (worked, ()) = tokio::join!(engine.tick_worker(), async {
        agent.begun.notified().await;
        let lease = app.run(&name).await.lease_until;
        app.clock.advance(engine.lease / 3);
        while app.run(&name).await.lease_until == lease {
            tokio::task::yield_now().await;
        }
        app.clock.advance(engine.lease - TimeDelta::seconds(1));
        assert!(Some(app.now()) > lease, "the first lease would be over");
        assert!(!other.tick_worker().await.unwrap(), "nobody else gets it");
        agent.go_on.notify_one();
    });
    assert!(worked.unwrap());
    assert_eq!(app.run(&name).await.status, RunStatus::Completed);
    app.finish().await;
}

#[tokio::test]
async fn a_worker_that_lost_its_lease_commits_nothing() {
    let app = TestApp::demo().await;
    let (slow, quick) = (Slow::default(), Slow::default());
    let (first, second) = (engine(&app, "first", slow.clone()), engine(&app, "second", quick.clone()));
    let name = app.launch(&workflow(SLOW), json!({})).await;

    let mut working = Box::pin(first.tick_worker());
    let begun = slow.begun.notified();
    tokio::select! {
        _ = &mut working => panic!("it must be at work"),
        () = begun => {}
    }
    // From here on the first process is not polled: stopped, or cut off, and its lease runs out.
    app.clock.advance(first.lease + TimeDelta::seconds(1));
    quick.go_on.notify_one();
    assert!(second.tick_worker().await.unwrap());
    assert_eq!(app.run(&name).await.status, RunStatus::Completed);
    let outcome = app.steps(&name).await["slow"].output.clone().unwrap().0;
    assert_eq!(outcome, json!({"attempt": 2}));

    slow.go_on.notify_one();
    assert!(working.await.unwrap());
    assert_eq!(app.steps(&name).await["slow"].output.clone().unwrap().0, outcome, "the first came too late");
    assert_eq!((app.events("step.done").await.len(), app.events("run.completed").await.len()), (1, 1));
    app.finish().await;
}

#[tokio::test]
async fn a_run_that_is_killed_while_its_agent_works_takes_no_outcome() {
    let app = TestApp::demo().await;
    let agent = Slow::default();
    let engine = engine(&app, "a", agent.clone());
    let name = app.launch(&workflow(SLOW), json!({})).await;
    let id = app.id(&name).await;
    let (worked, ()) = tokio::join!(engine.tick_worker(), async {
        agent.begun.notified().await;
        assert_eq!(engine.kill(id, "frank", TimeDelta::zero()).await.unwrap().state.status, RunStatus::Killed);
        agent.go_on.notify_one();
    });
    assert!(worked.unwrap());
    assert_eq!((app.run(&name).await.status, app.events("step.done").await.len()), (RunStatus::Killed, 0));
    app.finish().await;
}

#[tokio::test]
async fn an_attempt_whose_process_died_is_started_again() {
    let app = TestApp::demo().await;
    let agent = Slow::default();
    let name = app.launch(&workflow(SLOW), json!({})).await;
    let dead = engine(&app, "dead", agent.clone());
    {
        let mut working = Box::pin(dead.tick_worker());
        let begun = agent.begun.notified();
        tokio::select! {
            _ = &mut working => panic!("it must be at work"),
            () = begun => {}
        }
    }
    assert_eq!(app.steps(&name).await["slow"].status, StepStatus::Running, "left behind");
    let next = engine(&app, "next", agent.clone());
    assert!(!next.tick_worker().await.unwrap(), "not before the lease has run out");
    app.clock.advance(next.lease + TimeDelta::seconds(1));
    agent.go_on.notify_one();
    assert!(next.tick_worker().await.unwrap());
    assert_eq!(app.run(&name).await.status, RunStatus::Completed);
    let started = app.events("step.started").await;
    assert_eq!(started.iter().map(|event| event.data["after_crash"].clone()).collect::<Vec<_>>(), [false, true]);
    app.finish().await;
}

#[tokio::test]
async fn a_step_that_kills_its_process_again_and_again_is_given_up() {
    let app = TestApp::demo().await;
    let agent = Slow::default();
    let name = app.launch(&workflow(SLOW), json!({})).await;
    let mut deaths = 0;
    while app.run(&name).await.status != RunStatus::Failed {
        assert!(deaths < 50, "it goes on for ever");
        let dying = engine(&app, "dying", agent.clone());
        let mut working = Box::pin(dying.tick_worker());
        let begun = agent.begun.notified();
        tokio::select! {
            worked = &mut working => assert!(worked.unwrap()),
            () = begun => deaths += 1,
        }
        app.clock.advance(dying.lease + TimeDelta::seconds(1));
    }
    assert_eq!((failure(&app, &name).await.reason.as_str(), deaths), ("worker_lost", 11));
    app.finish().await;
}

#[tokio::test]
async fn a_wait_that_ends_while_another_step_is_performed_is_not_overlooked() {
    let app = TestApp::demo().await;
    let agent = Slow::default();
    let engine = engine(&app, "a", agent.clone());
    let name = app.launch(&workflow(&format!("[[step]]\nname = \"ask\"\nagent = \"asks\"\n{SLOW}")), json!({})).await;
    let id = app.id(&name).await;
    let (worked, ()) = tokio::join!(engine.tick_worker(), async {
        agent.begun.notified().await;
        let wait = loop {
            let mut tx = engine.store.read().await.unwrap();
            match waits::of_run(&mut tx, id).await.unwrap().pop() {
                Some(wait) => break wait.id,
                None => tokio::task::yield_now().await,
            }
        };
        let answer = Answer {
            by: "olivia".into(),
            choice: Choice::Proceed,
            comment: None,
            via: Channel::Cli,
            verified: "a test".into(),
            output: Map::new(),
        };
        let mut tx = engine.store.begin().await.unwrap();
        engine.decide(&mut tx, wait, Ending::Answer(answer), None).await.unwrap();
        tx.commit().await.unwrap();
        agent.go_on.notify_one();
    });
    assert!(worked.unwrap());
    assert_eq!(app.progress(&name).await, "ask=success slow=success");
    assert_eq!(app.run(&name).await.status, RunStatus::Completed);
    app.finish().await;
}

#[tokio::test]
async fn a_run_whose_part_cannot_be_written_takes_no_other_down() {
    let app = TestApp::demo().await;
    let store = Store::open(&rig::fresh_database().await, None, 4).await.unwrap();
    store.migrate().await.unwrap();
    let agent = Slow::default();
    let engine = Engine { store, ..engine(&app, "a", agent.clone()) };
    let mut ids = vec![];
    for question in ["go on?", "NUL", "go on?"] {
        let steps = json!([{"name": "ask", "agent": "asks", "with": {"question": question}}]);
        let definition = json!({"name": "w", "version": 1, "prefix": "W", "step": steps});
        let launch = |workflow| Launch {
            documents: &[],
            workflow,
            customer: "acme",
            transaction_id: TransactionId::new(),
            message_id: None,
            inputs: Map::new(),
            origin: Map::new(),
            by: "test",
        };
        let mut tx = engine.store.begin().await.unwrap();
        let workflow = of_its_own_version(serde_json::from_value(definition).unwrap());
        ids.push(engine.launch(&mut tx, launch(&workflow)).await.unwrap().id);
        tx.commit().await.unwrap();
    }
    assert!(engine.tick_worker().await.unwrap());
    let mut tx = engine.store.read().await.unwrap();
    let mut found = vec![];
    for id in ids {
        found.push((runs::get(&mut tx, id).await.unwrap().status, waits::of_run(&mut tx, id).await.unwrap().len()));
    }
    let (waiting, running) = ((RunStatus::Waiting, 1), (RunStatus::Running, 0));
    assert_eq!(found, [waiting, running, waiting], "the one in the middle is left to the next claim");
}
