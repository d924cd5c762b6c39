//! What comes next in a run: a pure function of the definition, the steps so far and the time.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use crate::domain::expression;
use crate::domain::failure::Failure;
use crate::domain::step::StepStatus;
use crate::domain::workflow::{OnError, Step, Workflow};

/// A step as far as planning cares.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    pub status: StepStatus,
    pub output: Option<Value>,
    pub failure: Option<Failure>,
    pub retry_at: Option<DateTime<Utc>>,
}

/// Everything that planning looks at.
#[derive(Debug)]
pub struct Situation<'a> {
    pub workflow: &'a Workflow,
    pub inputs: &'a Map<String, Value>,
    /// `id`, `name`, `customer`, ...: what expressions see as `run`.
    pub run: &'a Value,
    /// Steps that have a row, by name.
    pub steps: &'a BTreeMap<String, Progress>,
    /// Steps that this process is performing right now. Another running step lost its process and starts again.
    pub in_hand: &'a BTreeSet<String>,
    pub now: DateTime<Utc>,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// Write these skips and start these steps.
    Act {
        start: Vec<String>,
        skip: Vec<(String, String)>,
    },
    /// Something is in hand; look again when it is done.
    Busy,
    /// Only waits are left, and pauses between attempts, the first of which ends at `wake_at`.
    Rest {
        wake_at: Option<DateTime<Utc>>,
    },
    Completed,
    Failed(Failure),
}

/// Decides what comes next. Equal situations give equal answers, whatever order led to them.
pub fn plan(situation: &Situation<'_>) -> Next {
    let (mut start, mut skip) = (vec![], vec![]);
    let mut wake_at: Option<DateTime<Utc>> = None;
    let mut all_final = true;
    let context = context(situation);
    for step in &situation.workflow.steps {
        let progress = situation.steps.get(&step.name);
        match progress.map(|progress| progress.status) {
            Some(StepStatus::Success | StepStatus::Skipped) => {}
            Some(StepStatus::Failure) if step.on_error == OnError::Continue => {}
            Some(StepStatus::Failure) => return Next::Failed(failure_of(step, progress)),
            Some(StepStatus::Waiting) => all_final = false,
            Some(StepStatus::Running) => {
                all_final = false;
                if !situation.in_hand.contains(&step.name) {
                    start.push(step.name.clone());
                }
            }
            Some(StepStatus::FailureRetry) => {
                all_final = false;
                match progress.and_then(|progress| progress.retry_at).filter(|at| *at > situation.now) {
                    Some(at) => wake_at = Some(wake_at.map_or(at, |earlier| earlier.min(at))),
                    None => start.push(step.name.clone()),
                }
            }
            None => {
                all_final = false;
                match readiness(situation, step, &context) {
                    Ready::Not => {}
                    Ready::Start => start.push(step.name.clone()),
                    Ready::Skip(why) => skip.push((step.name.clone(), why)),
                    Ready::Broken(failure) => return Next::Failed(failure),
                }
            }
        }
    }
    if !start.is_empty() || !skip.is_empty() {
        Next::Act { start, skip }
    } else if all_final {
        Next::Completed
    } else if !situation.in_hand.is_empty() {
        Next::Busy
    } else {
        Next::Rest { wake_at }
    }
}

/// What expressions see: `inputs`, `steps` (outputs of finished steps; none for skipped ones) and `run`.
pub fn context(situation: &Situation<'_>) -> Value {
    let steps: Map<String, Value> = situation
        .steps
        .iter()
        .filter(|(_, progress)| progress.status.is_final())
        .map(|(name, progress)| (name.clone(), progress.output.clone().unwrap_or(Value::Null)))
        .collect();
    json!({ "inputs": situation.inputs, "steps": steps, "run": situation.run })
}

enum Ready {
    Not,
    Start,
    Skip(String),
    Broken(Failure),
}

fn readiness(situation: &Situation<'_>, step: &Step, context: &Value) -> Ready {
    let needs: Vec<Option<StepStatus>> =
        step.needs.iter().map(|need| situation.steps.get(need).map(|progress| progress.status)).collect();
    if !needs.iter().all(|status| status.is_some_and(StepStatus::is_final)) {
        return Ready::Not;
    }
    if !needs.is_empty() && needs.iter().all(|status| *status == Some(StepStatus::Skipped)) {
        return Ready::Skip("every step that it needs was skipped".into());
    }
    let Some(condition) = &step.when else { return Ready::Start };
    match expression::holds(&condition.expression(), context) {
        Ok(true) => Ready::Start,
        Ok(false) => Ready::Skip(format!("`{condition}` does not hold")),
        // An unknown fact neither starts a step nor passes it over in silence.
        Err(why) => {
            let details = format!("condition `{condition}` of step {}: {why}", step.name);
            Ready::Broken(Failure::high("expression_error", details))
        }
    }
}

fn failure_of(step: &Step, progress: Option<&Progress>) -> Failure {
    progress
        .and_then(|progress| progress.failure.clone())
        .unwrap_or_else(|| Failure::high("step_failed", format!("step {} failed", step.name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workflow(steps: Value) -> Workflow {
        serde_json::from_value(json!({"name": "w", "version": 1, "prefix": "W", "step": steps})).unwrap()
    }

    fn progress(status: StepStatus) -> Progress {
        let output = (status == StepStatus::Success).then(|| json!({"ok": true}));
        Progress { status, output, failure: None, retry_at: None }
    }

    fn check(steps: Value, so_far: &[(&str, StepStatus)], expected: Next) {
        let workflow = workflow(steps);
        let so_far = so_far.iter().map(|(name, status)| ((*name).to_owned(), progress(*status))).collect();
        let situation = Situation {
            workflow: &workflow,
            inputs: &Map::new(),
            run: &json!({"name": "W-000001"}),
            steps: &so_far,
            in_hand: &BTreeSet::new(),
            now: DateTime::UNIX_EPOCH,
        };
        assert_eq!(plan(&situation), expected, "{so_far:?}");
    }

    fn start(names: &[&str]) -> Next {
        Next::Act { start: names.iter().map(|name| (*name).to_owned()).collect(), skip: vec![] }
    }

    fn step(name: &str, needs: &[&str]) -> Value {
        json!({"name": name, "agent": "noop", "needs": needs})
    }

    #[test]
    fn a_step_starts_when_what_it_needs_is_done() {
        use StepStatus as S;
        let diamond = json!([step("a", &[]), step("b", &["a"]), step("c", &["a"]), step("d", &["b", "c"])]);
        check(diamond.clone(), &[], start(&["a"]));
        check(diamond.clone(), &[("a", S::Success)], start(&["b", "c"]));
        check(
            diamond.clone(),
            &[("a", S::Success), ("b", S::Waiting), ("c", S::Success)],
            Next::Rest { wake_at: None },
        );
        check(diamond.clone(), &[("a", S::Success), ("b", S::Skipped), ("c", S::Success)], start(&["d"]));
        check(diamond, &[("a", S::Success), ("b", S::Success), ("c", S::Success), ("d", S::Success)], Next::Completed);
    }

    #[test]
    fn a_step_whose_process_died_starts_again() {
        check(json!([step("a", &[])]), &[("a", StepStatus::Running)], start(&["a"]));
    }

    #[test]
    fn skipping_passes_on_only_when_nothing_else_leads_there() {
        let chain =
            json!([step("a", &[]), {"name": "b", "agent": "noop", "needs": ["a"], "when": "false"}, step("c", &["b"])]);
        let because = |why: &str, name: &str| Next::Act { start: vec![], skip: vec![(name.into(), why.into())] };
        check(chain.clone(), &[("a", StepStatus::Success)], because("`false` does not hold", "b"));
        let so_far = [("a", StepStatus::Success), ("b", StepStatus::Skipped)];
        check(chain, &so_far, because("every step that it needs was skipped", "c"));
    }

    #[test]
    fn a_condition_over_an_unknown_fact_fails_the_run() {
        let steps = json!([{"name": "a", "agent": "noop", "when": "steps.nobody.total > 5"}]);
        let workflow = workflow(steps);
        let situation = Situation {
            workflow: &workflow,
            inputs: &Map::new(),
            run: &Value::Null,
            steps: &BTreeMap::new(),
            in_hand: &BTreeSet::new(),
            now: DateTime::UNIX_EPOCH,
        };
        assert!(matches!(plan(&situation), Next::Failed(failure) if failure.reason == "expression_error"));
    }

    #[test]
    fn a_failure_ends_the_run_unless_the_step_says_continue() {
        check(
            json!([step("a", &[])]),
            &[("a", StepStatus::Failure)],
            Next::Failed(Failure::high("step_failed", "step a failed")),
        );
        let go_on = json!([{"name": "a", "agent": "noop", "on_error": "continue"}, step("b", &["a"])]);
        check(go_on, &[("a", StepStatus::Failure)], start(&["b"]));
    }
}
