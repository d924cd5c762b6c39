//! Random graphs in random orders, with crashes: what the end is does not depend on them, and there always is one.

use super::*;

/// Small and the same everywhere (Knuth's constants for 64 bits).
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// Steps that need earlier ones; failures lead to later ones.
fn graph(dice: &mut Dice) -> Workflow {
    let count = 2 + dice.below(8);
    let mut steps = vec![];
    for index in 0..count {
        let mut needs = vec![];
        for earlier in 0..index {
            match dice.below(6) {
                0 => needs.push(format!("s{earlier}")),
                1 => needs.push(format!("s{earlier}:{}", ["high", "low"][usize::from(dice.below(2) == 0)])),
                _ => {}
            }
        }
        let join = match dice.below(4) {
            0 => json!("any"),
            1 => json!(1 + dice.below(needs.len() as u64 + 1)),
            _ => json!("all"),
        };
        let on_error = match dice.below(8) {
            0..=2 => json!("fail"),
            3 | 4 if index + 1 < count => json!({"go_to": format!("s{}", index + 1 + dice.below(count - index - 1))}),
            _ => json!("continue"),
        };
        let mut step = json!({"name": format!("s{index}"), "agent": "noop", "needs": needs, "join": join,
            "on_error": on_error, "width": 1 + dice.below(3)});
        match dice.below(6) {
            0 => step["when"] = json!("false"),
            1 | 2 => step["for_each"] = json!(format!("{{{{ range({}) }}}}", dice.below(5))),
            _ => {}
        }
        steps.push(step);
    }
    serde_json::from_value(json!({"name": "w", "version": 1, "prefix": "W", "step": steps})).unwrap()
}

/// What becomes of an attempt: the same whenever it is made.
fn fate(seed: u64, name: &str, tried: bool) -> Progress {
    let salt = name.bytes().fold(seed, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    let mut dice = Dice(salt);
    let (status, case) = match dice.below(8) {
        0 => (StepStatus::Failure, Value::Null),
        1 if !tried => (StepStatus::FailureRetry, Value::Null),
        2 if !tried => (StepStatus::Waiting, Value::Null),
        other => (StepStatus::Success, json!(["high", "low"][usize::from(other % 2 == 0)])),
    };
    Progress { status, output: Some(json!({ "case": case })), failure: None, retry_at: None }
}

/// Plays a run to its end. Gives whether it was completed, and then how every step of the definition ended.
fn play(workflow: &Workflow, seed: u64, order: u64) -> Option<Vec<(String, StepStatus, Option<Value>)>> {
    let mut dice = Dice(order);
    let mut steps: BTreeMap<String, Progress> = BTreeMap::new();
    let (mut in_hand, mut tried) = (BTreeSet::new(), BTreeSet::new());
    let mut now = DateTime::UNIX_EPOCH;
    let (inputs, run) = (Map::new(), Value::Null);
    for _ in 0..2000 {
        let next = plan(&Situation { workflow, inputs: &inputs, run: &run, steps: &steps, in_hand: &in_hand, now });
        let pick = |dice: &mut Dice, of: Vec<String>| of[usize::try_from(dice.below(of.len() as u64)).unwrap()].clone();
        let blank = |status, output| Progress { status, output, failure: None, retry_at: None };
        match next {
            Next::Act(acts) => {
                for (name, _) in acts.skip {
                    assert!(steps.insert(name, blank(StepStatus::Skipped, None)).is_none());
                }
                for (name, items) in acts.spread {
                    assert!(steps.insert(name, blank(StepStatus::Running, Some(items.into()))).is_none());
                }
                for (name, gathered) in acts.gather {
                    let after = match gathered {
                        Gathered::Done(outputs) => blank(StepStatus::Success, Some(outputs)),
                        Gathered::Failed(_) => blank(StepStatus::Failure, None),
                    };
                    assert_eq!(steps.insert(name, after).unwrap().status, StepStatus::Running);
                }
                for name in acts.start {
                    let before = steps.insert(name.clone(), blank(StepStatus::Running, None));
                    assert!(before.is_none_or(|before| !before.status.is_final()), "{name} starts again");
                    assert!(in_hand.insert(name), "started while in hand");
                }
            }
            Next::Busy if dice.below(8) == 0 => in_hand.clear(),
            Next::Busy => {
                let name = pick(&mut dice, in_hand.iter().cloned().collect());
                in_hand.remove(&name);
                let mut after = fate(seed, &name, !tried.insert(name.clone()));
                after.retry_at =
                    (after.status == StepStatus::FailureRetry).then(|| now + chrono::TimeDelta::seconds(1));
                steps.insert(name, after);
            }
            Next::Rest { wake_at } => {
                let waits = steps.iter().filter(|(_, step)| step.status == StepStatus::Waiting);
                let waits: Vec<String> = waits.map(|(name, _)| name.clone()).collect();
                match wake_at {
                    Some(at) if waits.is_empty() || dice.below(2) == 0 => now = at,
                    _ => {
                        assert!(!waits.is_empty(), "it rests, and nothing is open");
                        let name = pick(&mut dice, waits);
                        steps.insert(name.clone(), fate(seed, &name, true));
                    }
                }
            }
            Next::Completed => {
                let of = |name: &String| (name.clone(), steps[name].status, steps[name].output.clone());
                return Some(workflow.steps.iter().map(|step| of(&step.name)).collect());
            }
            Next::Failed(failure) => {
                assert_eq!(failure.reason, "step_failed", "{}", failure.details);
                return None;
            }
        }
    }
    panic!("no end: {steps:?}");
}

#[test]
fn every_graph_comes_to_the_same_end_in_every_order() {
    let (mut completed, mut failed) = (0, 0);
    for seed in 0..300 {
        let workflow = graph(&mut Dice(seed));
        let expected = play(&workflow, seed, 1);
        for order in 2..8 {
            assert_eq!(play(&workflow, seed, order), expected, "seed {seed}, order {order}: {workflow:#?}");
        }
        *if expected.is_some() { &mut completed } else { &mut failed } += 1;
    }
    assert!(completed > 50 && failed > 20, "{completed} completed, {failed} failed: the graphs are too alike");
}
