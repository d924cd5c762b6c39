//! A run again from a step: the same run under the next generation, with the outputs of what does not run again.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Engine, EngineError};
use crate::domain::event::Event;
use crate::domain::ids::RunId;
use crate::domain::nearest::nearest;
use crate::domain::run::{self, RunEvent, RunState, RunStatus};
use crate::domain::step::StepStatus;
use crate::domain::workflow::{OnError, Step, Workflow};
use crate::store::runs::RunRow;
use crate::store::steps::StepRow;
use crate::store::{Tx, events, run_control, runs, steps, workflows};

/// A run as it was restarted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restarted {
    pub state: RunState,
    pub generation: i32,
    /// Steps whose outputs were kept, and steps that run again, both in the order of the file.
    pub kept: Vec<String>,
    pub again: Vec<String>,
}

impl Engine {
    /// Runs an ended run again: `from` a step, which runs again with everything downstream of it; without one, whatever did not
    /// succeed, and after a completion everything. All other outputs are copied. The definition is the one it was launched
    /// with. Tokens, waits and timers of the old generation are dead.
    ///
    /// A crash before the commit leaves it ended.
    ///
    /// # Errors
    /// `Refused` in any live state, and for a completed run whose workflow is not `restartable`; `Input` when there is no such
    /// step, or when a step that it needs did not succeed.
    pub async fn restart(&self, id: RunId, from: Option<&str>, by: &str) -> Result<Restarted, EngineError> {
        let mut tx = self.store.begin().await?;
        let run = runs::lock(&mut tx, id).await?;
        let workflow = workflows::get(&mut tx, &run.workflow_hash).await?;
        run::next_status(run.state(), RunEvent::Restart, workflow.restartable)?;
        let rows = steps::of_run(&mut tx, id, run.generation).await?;
        let again = again(&workflow, &rows, run.status, from).map_err(EngineError::Input)?;
        let restarted = self.begin_generation(&mut tx, &run, &workflow, rows, &again).await?;
        let event = Event::new(self.clock.now(), "run.restarted", &run.customer)
            .by(by)
            .run(id)
            .with("generation", restarted.generation)
            .with("from", from.map_or(Value::Null, Value::from))
            .with("kept", restarted.kept.clone())
            .with("again", restarted.again.clone());
        events::append(&mut tx, &event).await?;
        tx.commit().await?;
        self.work.notify_waiters();
        Ok(restarted)
    }

    /// Moves a locked, ended run into its next generation with the rows of all steps that do not run again.
    pub(super) async fn begin_generation(
        &self,
        tx: &mut Tx,
        run: &RunRow,
        workflow: &Workflow,
        rows: Vec<StepRow>,
        again: &BTreeSet<String>,
    ) -> Result<Restarted, EngineError> {
        let now = self.clock.now();
        let state = run::next_status(run.state(), RunEvent::Restart, workflow.restartable)?;
        let generation = run.generation + 1;
        self.void_waits(tx, run).await?;
        let deadline_at = workflow.deadline_after(now);
        run_control::next_generation(tx, run, state, deadline_at, now).await?;
        self.set_run_alarm(tx, run.id, generation, workflow, now).await?;
        let mut kept = BTreeSet::new();
        // Instances stay or go with their step.
        let stays = |row: &StepRow| workflow.step(&row.name).is_some_and(|step| !again.contains(&step.name));
        for row in rows.into_iter().filter(stays) {
            kept.insert(row.name.clone());
            steps::put(tx, &StepRow { generation, ..row }).await?;
        }
        let (kept, again) = workflow.steps.iter().map(|step| step.name.clone()).partition(|name| kept.contains(name));
        Ok(Restarted { state, generation, kept, again })
    }
}

/// The steps that run again.
///
/// # Errors
/// What is wrong with `from`, and what would work.
fn again(
    workflow: &Workflow,
    rows: &[StepRow],
    ended: RunStatus,
    from: Option<&str>,
) -> Result<BTreeSet<String>, String> {
    let unfinished = unfinished(workflow, rows);
    let Some(from) = from else {
        let everything = || workflow.steps.iter().map(|step| step.name.clone()).collect();
        return Ok(if ended == RunStatus::Completed { everything() } else { downstream(workflow, unfinished) });
    };
    if workflow.step(from).is_none() {
        let names: Vec<_> = workflow.steps.iter().map(|step| step.name.as_str()).collect();
        let mend = match nearest(from, names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there are: {}", names.join(", ")),
        };
        return Err(format!("there is no step `{from}`; {mend}"));
    }
    if let Some(open) = upstream(workflow, from).into_iter().find(|name| unfinished.contains(name)) {
        return Err(format!(
            "step {from} needs step {open}, which did not succeed: restart from {open}, or give it an output by override"
        ));
    }
    Ok(downstream(workflow, unfinished.into_iter().chain([from.to_owned()]).collect()))
}

/// Steps whose outcome cannot be kept: not started, not ended, or failed in a way that failed the run.
pub(super) fn unfinished(workflow: &Workflow, rows: &[StepRow]) -> BTreeSet<String> {
    let stays = |step: &Step| {
        rows.iter().find(|row| row.name == step.name).is_some_and(|row| match row.status {
            StepStatus::Success | StepStatus::Skipped => true,
            StepStatus::Failure => step.on_error != OnError::Fail,
            StepStatus::Running | StepStatus::Waiting | StepStatus::FailureRetry => false,
        })
    };
    let open = workflow.steps.iter().filter(|step| !stays(step));
    open.map(|step| step.name.clone()).collect()
}

/// These steps, and every one that needs one of them, directly or not.
pub(super) fn downstream(workflow: &Workflow, mut found: BTreeSet<String>) -> BTreeSet<String> {
    loop {
        let before = found.len();
        for step in &workflow.steps {
            let comes_after = |name: &String| workflow.comes_after(step, name);
            if found.iter().any(comes_after) {
                found.insert(step.name.clone());
            }
        }
        if found.len() == before {
            return found;
        }
    }
}

/// Every step that `name` needs, directly or not, in the order of the file.
fn upstream(workflow: &Workflow, name: &str) -> Vec<String> {
    let reaches = |step: &str| downstream(workflow, BTreeSet::from([step.to_owned()])).contains(name);
    let before = workflow.steps.iter().map(|step| step.name.clone());
    before.filter(|step| step != name && reaches(step)).collect()
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use serde_json::json;

    use super::*;

    /// `a -> b -> d`, `a -> c -> d`, and `e` by itself.
    fn workflow() -> Workflow {
        let step = |name: &str, needs: &[&str]| json!({"name": name, "agent": "noop", "needs": needs});
        let steps = [step("a", &[]), step("b", &["a"]), step("c", &["a"]), step("d", &["b", "c"]), step("e", &[])];
        serde_json::from_value(json!({"name": "w", "version": 1, "prefix": "W", "step": steps})).unwrap()
    }

    /// `a=success b=failure`
    fn rows(text: &str) -> Vec<StepRow> {
        let row = |(name, status): (&str, &str)| StepRow {
            run_id: RunId::new(),
            generation: 1,
            name: name.to_owned(),
            agent: "noop".into(),
            status: status.parse().unwrap(),
            attempt: 1,
            output: None,
            failure: None,
            retry_at: None,
            started_at: DateTime::UNIX_EPOCH,
            finished_at: None,
        };
        text.split_whitespace().filter_map(|word| word.split_once('=')).map(row).collect()
    }

    #[test]
    fn what_runs_again_is_what_did_not_succeed_or_the_step_with_all_downstream() {
        use RunStatus::{Completed, Failed, Killed};
        let check = |so_far: &str, ended, from: Option<&str>, expected: &str| {
            let again = again(&workflow(), &rows(so_far), ended, from);
            let told = again.map_or_else(|why| why, |names| names.into_iter().collect::<Vec<_>>().join(" "));
            assert_eq!(told, expected, "{so_far} from {from:?}");
        };
        let all = "a=success b=success c=success d=success e=success";
        check(all, Completed, None, "a b c d e");
        check(all, Completed, Some("b"), "b d");
        check(all, Completed, Some("e"), "e");
        check("a=success b=failure c=success e=success", Failed, None, "b d");
        check("a=success b=failure c=waiting e=skipped", Failed, None, "b c d");
        check("a=success b=failure c=success e=success", Failed, Some("a"), "a b c d");
        check("a=success b=failure c=success e=success", Failed, Some("e"), "b d e");
        check("a=running", Killed, None, "a b c d e");
        check("", Killed, Some("e"), "a b c d e");
        let needs = "step d needs step b, which did not succeed: restart from b, or give it an output by override";
        check("a=success b=failure c=success", Failed, Some("d"), needs);
        check(all, Completed, Some("x"), "there is no step `x`; did you mean `a`?");
    }

    #[test]
    fn a_failure_that_the_workflow_passes_over_is_kept() {
        let mut workflow = workflow();
        workflow.steps[1].on_error = OnError::Continue;
        assert_eq!(unfinished(&workflow, &rows("a=success b=failure")), ["c", "d", "e"].map(str::to_owned).into());
    }
}
