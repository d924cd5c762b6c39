//! What a definition would have made of runs that are over: planned again with the outputs that their steps gave. Nothing is
//! performed and nothing is written.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;

use super::plan::{Acts, Gathered, Next, Progress, Situation, plan};
use super::rows::{about, progress};
use super::{Engine, EngineError};
use crate::domain::run::RunStatus;
use crate::domain::step::StepStatus;
use crate::domain::workflow::Workflow;
use crate::store::run_list::{self, Wanted};
use crate::store::runs::RunRow;
use crate::store::steps;

/// Runs of one workflow that are looked at, at most: the latest ones.
pub const MOST_RUNS: i64 = 20_000;

/// Runs whose steps are read at once.
const BATCH: usize = 200;

/// What became of the runs of one workflow under another definition.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Replayed {
    /// The definition that they were planned with, as `ap-invoice@3`.
    pub workflow: String,
    /// Finished runs since then.
    pub runs: usize,
    /// Of these, those that ran with the very same definition; they are not planned again.
    pub same_definition: usize,
    /// Runs that would have gone another way.
    pub changed: usize,
    /// Whether there are more runs than were looked at.
    pub is_cut: bool,
    /// The most frequent first.
    pub changes: Vec<Change>,
}

/// One thing that would have been otherwise, and in how many runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// The step; none for the end of the run.
    pub step: Option<String>,
    pub before: String,
    pub after: String,
    pub count: usize,
    /// Names of runs, the latest first.
    pub examples: Vec<String>,
}

impl Engine {
    /// Plans every finished run of a workflow that was launched since then again, by another definition of the same name.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn replay(
        &self,
        workflow: &Workflow,
        since: DateTime<Utc>,
        examples: usize,
    ) -> Result<Replayed, EngineError> {
        let mut tx = self.store.read().await?;
        let wanted = Wanted { since: Some(since), workflow: Some(workflow.name.clone()), ..Wanted::default() };
        let found = run_list::list(&mut tx, &wanted, MOST_RUNS + 1).await?;
        let most = usize::try_from(MOST_RUNS).unwrap_or(usize::MAX);
        let is_cut = found.len() > most;
        let is_meant = |run: &RunRow| run.status.is_final() && workflow.is_for(&run.customer);
        let over: Vec<RunRow> = found.into_iter().take(most).filter(is_meant).collect();
        let (runs, hash) = (over.len(), workflow.hash());
        let other: Vec<RunRow> = over.into_iter().filter(|run| run.workflow_hash != hash).collect();
        let same_definition = runs - other.len();
        let (mut changed, mut tally) = (0, BTreeMap::<Otherwise, (usize, Vec<String>)>::new());
        for batch in other.chunks(BATCH) {
            let ids: Vec<_> = batch.iter().map(|run| run.id).collect();
            let mut recorded: BTreeMap<_, BTreeMap<String, Progress>> = BTreeMap::new();
            for row in steps::of_runs(&mut tx, &ids).await? {
                recorded.entry(row.run_id).or_default().insert(row.name.clone(), progress(&row));
            }
            for run in batch {
                let found = otherwise(workflow, run, &recorded.remove(&run.id).unwrap_or_default(), self.clock.now());
                changed += usize::from(!found.is_empty());
                for one in found {
                    let (count, named) = tally.entry(one).or_default();
                    *count += 1;
                    if named.len() < examples {
                        named.push(run.name.clone());
                    }
                }
            }
        }
        let change =
            |(Otherwise { step, before, after }, (count, examples))| Change { step, before, after, count, examples };
        let mut changes: Vec<Change> = tally.into_iter().map(change).collect();
        changes.sort_by_key(|change| std::cmp::Reverse(change.count));
        Ok(Replayed { workflow: workflow.label(), runs, same_definition, changed, is_cut, changes })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Otherwise {
    step: Option<String>,
    before: String,
    after: String,
}

/// What a step or run that nobody came to is called.
const NOT_REACHED: &str = "not reached";

/// What would be performed, and nobody knows with what outcome.
const PERFORMED_ANEW: &str = "performed, outcome not known";

/// What would have been otherwise in one run. What depends on an outcome that nobody knows is left out.
fn otherwise(
    workflow: &Workflow,
    run: &RunRow,
    recorded: &BTreeMap<String, Progress>,
    now: DateTime<Utc>,
) -> Vec<Otherwise> {
    let before = match &run.failure {
        Some(failure) => format!("{} ({})", run.status, failure.reason),
        None => run.status.to_string(),
    };
    let inputs = match workflow.accept(run.inputs.0.clone()) {
        Ok(inputs) => inputs,
        Err(why) => return vec![Otherwise { step: None, before, after: format!("not started: {why}") }],
    };
    let about = about(run);
    let (mut steps, mut unknown) = (BTreeMap::<String, Progress>::new(), BTreeSet::<String>::new());
    // Each turn but the last writes a row of a step or an instance.
    let end = loop {
        let situation = Situation { workflow, inputs: &inputs, run: &about, steps: &steps, in_hand: &unknown, now };
        match plan(&situation) {
            Next::Act(acts) => {
                if !take_over(acts, recorded, &mut steps, &mut unknown) {
                    break None;
                }
            }
            Next::Completed => break Some(RunStatus::Completed.to_string()),
            Next::Failed(failure) => break Some(format!("{} ({})", RunStatus::Failed, failure.reason)),
            Next::Busy | Next::Rest { .. } => break None,
        }
    };
    let names: BTreeSet<&String> = recorded.keys().chain(steps.keys()).filter(|name| !name.contains('[')).collect();
    let mut found = vec![];
    for name in names {
        let was = recorded.get(name).map_or(NOT_REACHED, |progress| word(progress.status));
        let is = match steps.get(name) {
            Some(_) if unknown.contains(name) => PERFORMED_ANEW,
            Some(progress) => word(progress.status),
            None if workflow.step(name).is_none() => "no such step",
            // It may come after what is not known, or be what was begun beside that which failed both times.
            None if end.as_ref().is_none_or(|end| *end == before) => continue,
            None => NOT_REACHED,
        };
        // Where the run was stopped at a step, its outcome was not known then either.
        let was_open = recorded.get(name).is_some_and(|progress| !progress.status.is_final());
        if was != is && !(was_open && is == PERFORMED_ANEW) {
            found.push(Otherwise { step: Some(name.clone()), before: was.to_owned(), after: is.to_owned() });
        }
    }
    // A kill is no matter of the definition.
    if let Some(after) = end.filter(|after| run.status != RunStatus::Killed && *after != before) {
        // What ends a run from outside, such as its deadline, is not planned.
        if !found.is_empty() || run.status == RunStatus::Completed {
            found.push(Otherwise { step: None, before, after });
        }
    }
    found
}

/// Writes what a plan says, with the outcomes that were recorded. False when nothing of it was new.
fn take_over(
    acts: Acts,
    recorded: &BTreeMap<String, Progress>,
    steps: &mut BTreeMap<String, Progress>,
    unknown: &mut BTreeSet<String>,
) -> bool {
    let mut is_new = false;
    let over = |status, output| Progress { status, output, failure: None, retry_at: None };
    for (name, _) in acts.skip {
        is_new |= steps.insert(name, over(StepStatus::Skipped, None)).is_none();
    }
    for (name, items) in acts.spread {
        is_new |= steps.insert(name, over(StepStatus::Running, Some(Value::Array(items)))).is_none();
    }
    for (name, gathered) in acts.gather {
        is_new = true;
        let progress = match gathered {
            Gathered::Done(outputs) => over(StepStatus::Success, Some(outputs)),
            Gathered::Failed(failure) => Progress { failure: Some(failure), ..over(StepStatus::Failure, None) },
        };
        steps.insert(name, progress);
    }
    for name in acts.start {
        let known = recorded.get(&name).filter(|one| matches!(one.status, StepStatus::Success | StepStatus::Failure));
        let progress = known.cloned().unwrap_or_else(|| {
            unknown.insert(name.clone());
            over(StepStatus::Running, None)
        });
        is_new |= steps.insert(name, progress).is_none();
    }
    is_new
}

fn word(status: StepStatus) -> &'static str {
    match status {
        StepStatus::Skipped => "skipped",
        StepStatus::Failure => "failed",
        StepStatus::Success => "performed",
        StepStatus::Running | StepStatus::Waiting | StepStatus::FailureRetry => "begun",
    }
}
