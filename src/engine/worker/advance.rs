//! What a commit does to one locked run: writes what became of its attempts, plans, and skips, starts, leaves or fails.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::act::outputs;
use super::{Claimed, Done};
use crate::agents::Outcome;
use crate::domain::event::Event;
use crate::domain::failure::Failure;
use crate::domain::ids::RunId;
use crate::domain::run::{self, RunEvent};
use crate::domain::step::{self, StepEvent, StepStatus};
use crate::engine::finish::finish_step;
use crate::engine::journal::{self, Of};
use crate::engine::plan::{self, Next, Situation};
use crate::engine::rows::{about, fail_step, failed, new_step};
use crate::engine::{Engine, EngineError};
use crate::store::claims::{self, Left};
use crate::store::events::{self, Told};
use crate::store::steps::{self, StepRow};
use crate::store::{Json, StoreError, Tx};

/// Starts of one attempt that may be lost to crashes before the step counts as what kills the process.
const LOST_STARTS: i32 = 10;

/// What is written at the end of a commit, for all its runs together.
#[derive(Debug, Default)]
pub(super) struct Written {
    steps: BTreeMap<(RunId, String), StepRow>,
    events: Vec<Told>,
    left: Vec<Left>,
    /// Whether there may be something for other loops: mail to send, a wait with a due time.
    pub told: bool,
}

/// What is next for a run.
pub(super) enum Then {
    /// Perform these; others may be in hand already.
    Stay(Vec<StepRow>),
    /// It rests or has ended.
    Leave,
}

impl Written {
    pub(super) fn step(&mut self, claimed: &mut Claimed, mut row: StepRow) {
        // What is in hand is what stands in the database.
        row.drop_nul();
        claimed.steps.insert(row.name.clone(), row.clone());
        self.steps.insert((row.run_id, row.name.clone()), row);
    }

    pub(super) fn event(&mut self, event: Event) {
        self.events.push(event.into());
    }

    pub(super) async fn write(self, tx: &mut Tx, now: DateTime<Utc>) -> Result<(), StoreError> {
        let rows: Vec<_> = self.steps.into_values().collect();
        steps::put_many(tx, &rows).await?;
        events::append_many(tx, &self.events).await?;
        claims::leave(tx, &self.left, now).await
    }
}

impl Engine {
    /// Takes a locked run as far as it goes without its agents. The fence holds and the run is running.
    pub(super) async fn advance(
        &self,
        tx: &mut Tx,
        written: &mut Written,
        claimed: &mut Claimed,
        done: &[Done],
    ) -> Result<Then, EngineError> {
        for done in done {
            self.settle_attempt(tx, written, claimed, done).await?;
        }
        let now = self.clock.now();
        if claimed.run.held || claimed.run.stopping {
            if !claimed.in_hand.is_empty() {
                return Ok(Then::Stay(vec![]));
            }
            if claimed.run.stopping {
                self.end_stopping(tx, &claimed.run, RunEvent::OnlyWaitsLeft).await?;
                return Ok(Then::Leave);
            }
            return self.leave(written, claimed, RunEvent::OnlyWaitsLeft, None);
        }
        let about = about(&claimed.run);
        let mut started = vec![];
        loop {
            let so_far = claimed.so_far();
            let (workflow, inputs) = (&*claimed.workflow, &claimed.run.inputs.0);
            let situation = Situation { workflow, inputs, run: &about, steps: &so_far, in_hand: &claimed.in_hand, now };
            match plan::plan(&situation) {
                // What is written, other than starts, may make further steps ready.
                Next::Act(acts) => started.extend(self.act(tx, written, claimed, acts).await?),
                Next::Busy => return Ok(Then::Stay(started)),
                // What is in hand may be posting somewhere; its outcome belongs to the record of the failed run.
                Next::Failed(_) if !claimed.in_hand.is_empty() => return Ok(Then::Stay(started)),
                Next::Rest { wake_at } => return self.leave(written, claimed, RunEvent::OnlyWaitsLeft, wake_at),
                Next::Completed => match outputs(&situation) {
                    Ok(outputs) => return self.complete(tx, written, claimed, outputs).await,
                    Err(failure) => return self.fail(tx, written, claimed, &failure).await,
                },
                Next::Failed(failure) => return self.fail(tx, written, claimed, &failure).await,
            }
        }
    }

    pub(super) fn leave(
        &self,
        written: &mut Written,
        claimed: &Claimed,
        event: RunEvent,
        wake_at: Option<DateTime<Utc>>,
    ) -> Result<Then, EngineError> {
        let state = run::next_status(claimed.run.state(), event, false)?;
        written.left.push(Left { id: claimed.run.id, state, wake_at });
        Ok(Then::Leave)
    }

    /// Writes a started attempt; none when this step has lost its process too often and is failed instead.
    pub(super) async fn start_step(
        &self,
        tx: &mut Tx,
        written: &mut Written,
        claimed: &mut Claimed,
        name: &str,
    ) -> Result<Option<StepRow>, EngineError> {
        let now = self.clock.now();
        let (run, workflow) = (&claimed.run, &claimed.workflow);
        let before = claimed.steps.get(name);
        let lost = before.is_some_and(|row| row.status == StepStatus::Running);
        let status = before.map(|row| row.status);
        let mut row = before.cloned().unwrap_or_else(|| new_step(run, workflow, name, now));
        let allowed = workflow.step(name).map(|step| workflow.retry_of(step).count).unwrap_or_default();
        let event = |kind: &str| Event::new(now, kind, &run.customer).run(run.id).step(name);
        if lost && row.attempt > LOST_STARTS + i32::try_from(allowed).unwrap_or(i32::MAX - LOST_STARTS) {
            let details = format!("the process died {} times while it performed step {name}", row.attempt);
            let failure = Failure::high("worker_lost", details);
            let event = event("step.failed").with("attempt", row.attempt);
            written.event(failed(event, &failure, "step.failed"));
            fail_step(&mut row, failure, now)?;
            written.told |= self.tell_of_step(tx, run, workflow, &row).await?;
            written.step(claimed, row);
            return Ok(None);
        }
        row.status = step::next_status(status, StepEvent::Start)?;
        row.attempt += 1;
        row.retry_at = None;
        row.started_at = now;
        row.finished_at = None;
        self.set_step_alarm(tx, run, workflow, &row).await?;
        let event = event("step.started").with("agent", row.agent.as_str()).with("attempt", row.attempt);
        written.event(event.with("after_crash", lost));
        claimed.in_hand.insert(name.to_owned());
        written.step(claimed, row.clone());
        Ok(Some(row))
    }

    /// Writes what became of an attempt.
    async fn settle_attempt(
        &self,
        tx: &mut Tx,
        written: &mut Written,
        claimed: &mut Claimed,
        done: &Done,
    ) -> Result<(), EngineError> {
        let (now, name) = (self.clock.now(), done.step.as_str());
        claimed.in_hand.remove(name);
        // Another attempt, or an answer, may have been heard of meanwhile.
        let is_open = |step: &&StepRow| step.status == StepStatus::Running && step.attempt == done.attempt;
        let Some(mut step) = claimed.steps.get(name).filter(is_open).cloned() else { return Ok(()) };
        let (run, workflow) = (&claimed.run, &claimed.workflow);
        let mut event = Event::new(now, "step.done", &run.customer).run(run.id).step(name);
        match done.outcome.clone() {
            Outcome::Done { output, notices } => {
                finish_step((run, workflow, &claimed.so_far()), &mut step, (StepEvent::Done, output), now)?;
                event = match (step.status, &step.failure) {
                    (StepStatus::Failure, Some(failure)) => failed(event, failure, "step.failed"),
                    (_, Some(partial)) => failed(event, partial, "step.done").with("partial", true),
                    (_, None) => event,
                };
                for draft in &notices {
                    self.write_notice(tx, run, None, draft).await?;
                    written.told = true;
                }
            }
            Outcome::Wait(request) => {
                step.status = step::next_status(Some(step.status), StepEvent::Wait)?;
                // A run that is being ended asks nobody any more.
                if !run.stopping {
                    self.open_wait(tx, run, &step, workflow, *request).await?;
                }
                event.kind = "step.waiting".into();
                written.told = true;
            }
            // A run that is being ended starts nothing any more.
            Outcome::Launch { .. } if run.stopping => {
                step.status = step::next_status(Some(step.status), StepEvent::Wait)?;
                event.kind = "step.waiting".into();
            }
            Outcome::Launch { workflow: name, inputs } => {
                match self.launch_below(tx, run, &step, workflow, (&name, inputs)).await? {
                    Ok(()) => {
                        step.status = step::next_status(Some(step.status), StepEvent::Wait)?;
                        event.kind = "step.waiting".into();
                        written.told = true;
                    }
                    Err(failure) => {
                        event = failed(event, &failure, "step.failed");
                        fail_step(&mut step, failure, now)?;
                    }
                }
            }
            Outcome::Retry(failure) => {
                let attempt = u32::try_from(step.attempt).unwrap_or(u32::MAX);
                let dice = run.id.0.as_u64_pair().1.wrapping_add(u64::from(attempt));
                let retry = workflow.step(&step.name).map(|step| workflow.retry_of(step));
                let pause = retry.and_then(|retry| retry.pause_after(attempt, &failure, dice));
                event = failed(event, &failure, if pause.is_some() { "step.retry" } else { "step.failed" });
                if let Some(pause) = pause {
                    step.status = step::next_status(Some(step.status), StepEvent::Retry)?;
                    step.retry_at = Some(now + pause.delta());
                    step.failure = Some(Json(failure));
                } else {
                    fail_step(&mut step, failure, now)?;
                }
            }
            Outcome::Fail(failure) => {
                event = failed(event, &failure, "step.failed");
                fail_step(&mut step, failure, now)?;
            }
        }
        if let Some(journal) = &done.journal {
            let of = Of { run: run.id, generation: step.generation, step: name, attempt: step.attempt };
            journal::write(tx, of, &journal.unwritten()).await?;
        }
        written.event(event.with("attempt", step.attempt));
        written.told |= self.tell_of_step(tx, run, workflow, &step).await?;
        written.step(claimed, step);
        Ok(())
    }
}
