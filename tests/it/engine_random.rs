//! Random graphs on the real engine, with workers that lose their runs at any moment: the end is the one without crashes.

use std::cell::Cell;
use std::fmt::Write as _;
use std::sync::Arc;

use chrono::TimeDelta;
use countersign::domain::run::RunStatus;
use countersign::domain::wait::WaitStatus;
use countersign::engine::Engine;

use crate::app::TestApp;
use crate::engine_features::workflow;
use crate::engine_flow::launch;
use crate::engine_workers::engine_of;

const BELOW: &str = r#"
name = "below"
version = 1
prefix = "B"
[[step]]
name = "pause"
agent = "delay"
with = { for = "1h" }
[[step]]
name = "after"
agent = "noop"
needs = ["pause"]
"#;

/// Small and the same everywhere (Knuth's constants for 64 bits).
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// Steps that need earlier ones; failures lead to later ones.
fn graph(dice: &mut Dice) -> String {
    let count = 3 + dice.below(5);
    let mut steps = String::new();
    for index in 0..count {
        let agent = [
            "agent = \"noop\"",
            "agent = \"noop\"\nfor_each = \"{{ range(3) }}\"\nwidth = 2\nwith = { output = { i = \"{{ index }}\" } }",
            "agent = \"delay\"\nwith = { for = \"2h\" }",
            "agent = \"switch\"\nwith = { on = \"high\", cases = [\"high\", \"low\"] }",
            "agent = \"workflow\"\nwith = { workflow = \"below\" }",
            "agent = \"noop\"\nwith = { output = { x = \"{{ run.nothing }}\" } }",
        ][usize::try_from(dice.below(6)).expect("an index")];
        let mut needs = vec![];
        for earlier in 0..index {
            match dice.below(5) {
                0 => needs.push(format!("s{earlier}")),
                1 => needs.push(format!("s{earlier}:high")),
                _ => {}
            }
        }
        let join = ["\"all\"", "\"any\"", "2"][usize::try_from(dice.below(3)).expect("an index")];
        let on_error = match dice.below(6) {
            0 | 1 => "\"fail\"".to_owned(),
            2 if index + 1 < count => format!("{{ go_to = \"s{}\" }}", index + 1 + dice.below(count - index - 1)),
            _ => "\"continue\"".to_owned(),
        };
        write!(
            steps,
            "[[step]]\nname = \"s{index}\"\n{agent}\nneeds = {needs:?}\njoin = {join}\non_error = {on_error}\n"
        )
        .expect("text");
    }
    workflow(&steps)
}

/// How the run ended, and where it was completed, how each of its steps did.
async fn end(app: &TestApp, name: &str, definition: &str) -> String {
    let run = app.run(name).await;
    assert!(run.status.is_final(), "{}: {definition}", app.progress(name).await);
    assert!(app.waits(name).await.iter().all(|wait| wait.status != WaitStatus::Open), "{definition}");
    if run.status != RunStatus::Completed {
        return run.status.to_string();
    }
    let steps = app.steps(name).await;
    let told: Vec<_> = steps.values().map(|step| format!("{}={}", step.name, step.status)).collect();
    told.join(" ")
}

async fn play(app: &TestApp, definition: &str) -> String {
    let name = launch(app, definition, serde_json::json!({})).await;
    app.settle().await;
    for _ in 0..12 {
        app.pass(TimeDelta::hours(1)).await;
    }
    end(app, &name, definition).await
}

/// The same with two workers whose leases run out at any moment, so that each finds its run in the other's hands.
async fn play_with_crashes(app: &TestApp, definition: &str, dice: &mut Dice) -> String {
    let name = launch(app, definition, serde_json::json!({})).await;
    let ours = &app.app.engine;
    let others = engine_of(app, "other", Arc::clone(&ours.agents));
    let over = Cell::new(false);
    let work = async |engine: &Engine| {
        while !over.get() {
            engine.tick_worker().await.expect("work");
            tokio::task::yield_now().await;
        }
    };
    let lapses = async {
        for _ in 0..20 {
            for _ in 0..dice.below(3000) {
                tokio::task::yield_now().await;
            }
            app.clock.advance(ours.lease + TimeDelta::seconds(1));
        }
        over.set(true);
    };
    tokio::join!(work(ours), work(&others), lapses);
    for _ in 0..12 {
        app.pass(TimeDelta::hours(1)).await;
    }
    end(app, &name, definition).await
}

#[tokio::test]
async fn every_graph_comes_to_the_same_end_whoever_loses_it_meanwhile() {
    let app = TestApp::with(&[("workflows/below.toml", BELOW)]).await;
    let (mut completed, mut failed) = (0, 0);
    for seed in 0..10 {
        let definition = graph(&mut Dice(seed));
        let expected = play(&app, &definition).await;
        let got = play_with_crashes(&app, &definition, &mut Dice(seed + 1000)).await;
        assert_eq!(got, expected, "seed {seed}: {definition}");
        *if expected == "failed" { &mut failed } else { &mut completed } += 1;
    }
    assert!(completed > 0 && failed > 0, "{completed} completed, {failed} failed: the graphs are too alike");
    let crashes = app
        .events("step.started")
        .await
        .iter()
        .filter(|event| event.data.get("after_crash") == Some(&true.into()))
        .count();
    assert!(crashes > 0, "no worker lost a step");
    app.finish().await;
}
