//! What comes next in a run: a pure function of the definition, the steps so far and the time.

mod each;
#[cfg(test)]
mod random;
mod ready;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use crate::domain::failure::Failure;
use crate::domain::step::StepStatus;
use crate::domain::workflow::{Join, OnError, Step, Workflow};

pub use each::MAX_ITEMS;
use ready::{Ready, leading_by_failure, readiness};

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
    Act(Acts),
    /// Something is in hand; look again when it is done.
    Busy,
    /// Only waits are left, and pauses between attempts, the first of which ends at `wake_at`.
    Rest {
        wake_at: Option<DateTime<Utc>>,
    },
    Completed,
    Failed(Failure),
}

/// What to write and to start, all in one commit.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Acts {
    /// Rows to start an attempt of: steps, and instances such as `line[0]`.
    pub start: Vec<String>,
    /// Steps to skip, and why.
    pub skip: Vec<(String, String)>,
    /// Steps to perform once for each of these items: their rows start and keep the list.
    pub spread: Vec<(String, Vec<Value>)>,
    /// Steps whose instances are over.
    pub gather: Vec<(String, Gathered)>,
}

impl Acts {
    /// Whether nothing is written that could make other steps ready at once.
    pub fn is_only_starts(&self) -> bool {
        self.skip.is_empty() && self.spread.is_empty() && self.gather.is_empty()
    }
}

/// What became of a step's instances.
#[derive(Debug, Clone, PartialEq)]
pub enum Gathered {
    /// The list of their outputs.
    Done(Value),
    Failed(Failure),
}

/// What is not over yet, and nothing can be done about now.
#[derive(Debug, Default)]
struct Left {
    unfinished: Vec<String>,
    waits: bool,
    wake_at: Option<DateTime<Utc>>,
}

/// Decides what comes next. Equal situations give equal answers, whatever order led to them.
pub fn plan(situation: &Situation<'_>) -> Next {
    let (mut acts, mut left) = (Acts::default(), Left::default());
    let context = context(situation);
    for step in &situation.workflow.steps {
        let Some(progress) = situation.steps.get(&step.name) else {
            left.unfinished.push(step.name.clone());
            let seen = loosened(situation, step, &context);
            match readiness(situation, step, seen.as_ref().unwrap_or(&context)) {
                Ready::Not => {}
                Ready::Start => acts.start.push(step.name.clone()),
                Ready::Spread(items) => acts.spread.push((step.name.clone(), items)),
                Ready::Skip(why) => acts.skip.push((step.name.clone(), why)),
                Ready::Broken(failure) => return Next::Failed(failure),
            }
            continue;
        };
        match (progress.status, &progress.output) {
            (StepStatus::Success | StepStatus::Skipped, _) => continue,
            (StepStatus::Failure, _) if goes_on(situation.workflow, step) => continue,
            (StepStatus::Failure, _) => return Next::Failed(failure_of(&step.name, Some(progress))),
            (StepStatus::Running, Some(Value::Array(items))) if step.for_each.is_some() => {
                each::look(situation, step, items, &mut acts, &mut left);
            }
            _ => look_at(situation, &step.name, progress, &mut acts, &mut left),
        }
        left.unfinished.push(step.name.clone());
    }
    if acts != Acts::default() {
        Next::Act(acts)
    } else if left.unfinished.is_empty() {
        Next::Completed
    } else if !situation.in_hand.is_empty() {
        Next::Busy
    } else if left.waits || left.wake_at.is_some() {
        Next::Rest { wake_at: left.wake_at }
    } else {
        // Only a definition that was never checked comes here; resting would be for ever.
        let details = format!("nothing leads to: {}", left.unfinished.join(", "));
        Next::Failed(Failure::high("definition_broken", details))
    }
}

/// A row that has started and is not over.
fn look_at(situation: &Situation<'_>, name: &str, progress: &Progress, acts: &mut Acts, left: &mut Left) {
    match progress.status {
        StepStatus::Waiting => left.waits = true,
        StepStatus::FailureRetry => match progress.retry_at.filter(|at| *at > situation.now) {
            Some(at) => left.wake_at = Some(left.wake_at.map_or(at, |earlier| earlier.min(at))),
            None => acts.start.push(name.to_owned()),
        },
        _ if !situation.in_hand.contains(name) => acts.start.push(name.to_owned()),
        _ => {}
    }
}

/// Whether the run goes on after this step's failure.
fn goes_on(workflow: &Workflow, step: &Step) -> bool {
    match &step.on_error {
        OnError::Fail => false,
        OnError::Continue => true,
        OnError::GoTo(target) => workflow.step(target).is_some(),
    }
}

/// What expressions see: `inputs`, `steps` (outputs of finished steps; none for skipped ones) and `run`.
pub fn context(situation: &Situation<'_>) -> Value {
    let steps: Map<String, Value> = situation
        .steps
        .iter()
        .filter(|(name, progress)| progress.status.is_final() && each::parts(name).is_none())
        .map(|(name, progress)| (name.clone(), progress.output.clone().unwrap_or(Value::Null)))
        .collect();
    json!({ "inputs": situation.inputs, "steps": steps, "run": situation.run })
}

/// What the expressions of one row see: an instance also its `item` and `index`.
pub fn context_of(situation: &Situation<'_>, row: &str) -> Value {
    let (name, index) = each::parts(row).map_or((row, None), |(name, index)| (name, Some(index)));
    let all = context(situation);
    let step = situation.workflow.step(name);
    let mut seen = step.and_then(|step| loosened(situation, step, &all)).unwrap_or(all);
    let list = situation.steps.get(name).and_then(|progress| progress.output.as_ref());
    if let (Some(index), Some(item)) = (index, index.and_then(|index| list?.get(index))) {
        seen["item"] = item.clone();
        seen["index"] = index.into();
    }
    seen
}

/// Where a step starts before all that leads to it is over, what is not over is none: the same as skipped.
fn loosened(situation: &Situation<'_>, step: &Step, context: &Value) -> Option<Value> {
    let is_early = step.join != Join::All || leading_by_failure(situation.workflow, &step.name).next().is_some();
    let mut seen = is_early.then(|| context.clone())?;
    let known = seen["steps"].as_object_mut()?;
    for other in &situation.workflow.steps {
        known.entry(other.name.clone()).or_insert(Value::Null);
    }
    Some(seen)
}

fn failure_of(name: &str, progress: Option<&Progress>) -> Failure {
    progress
        .and_then(|progress| progress.failure.clone())
        .unwrap_or_else(|| Failure::high("step_failed", format!("step {name} failed")))
}
