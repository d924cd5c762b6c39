//! Working on runs: claim one, perform what its plan says, commit each outcome under the fence, until it rests or ends.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde_json::Value;
use tracing::{info, warn};

use super::plan::{self, Next, Situation};
use super::rows::{about, fail_step, failed, new_step, progress};
use super::{Engine, EngineError};
use crate::agents::{Outcome, Task};
use crate::domain::crash;
use crate::domain::event::Event;
use crate::domain::expression;
use crate::domain::failure::Failure;
use crate::domain::ids::RunId;
use crate::domain::run::{self, RunEvent, RunStatus};
use crate::domain::step::{self, StepEvent, StepStatus};
use crate::domain::workflow::{DEFAULT_WORK_TIMEOUT, Workflow};
use crate::store::runs::RunRow;
use crate::store::steps::StepRow;
use crate::store::{Json, Tx, events, people, runs, steps, workflows};

/// Starts of one attempt that may be lost to crashes before the step counts as what kills the process.
const LOST_STARTS: i32 = 10;

/// What a look at the run said.
enum Look {
    /// Perform these, and look again when one is done.
    Perform(Vec<StepRow>),
    /// Nothing new; wait for what is in hand.
    Wait,
    /// The run rests, has ended, or is somebody else's.
    Leave,
}

impl Engine {
    /// Claims one run and works on it until it rests or ends. False when no run is to be had.
    ///
    /// A crash at any point leaves the run to the next claim after the lease; an attempt that was in hand is started again.
    pub async fn tick_worker(&self) -> Result<bool, EngineError> {
        let now = self.clock.now();
        let mut tx = self.store.begin().await?;
        let Some(run) = runs::claim(&mut tx, &self.owner, now, now + self.lease).await? else { return Ok(false) };
        let workflow = match workflows::get(&mut tx, &run.workflow_hash).await {
            Ok(workflow) => workflow,
            Err(error) if error.is_transient() => return Err(error.into()),
            // Left as it is, this run would be claimed first at every tick, and no other ever.
            Err(error) => {
                let run = runs::lock(&mut tx, run.id).await?;
                warn!(run.id = %run.id, run.name = run.name, "the definition of {} cannot be read: {error}", run.name);
                let details = format!("this version of countersign cannot read its definition: {error}");
                self.fail_run(&mut tx, &run, &Failure::high("definition_broken", details)).await?;
                tx.commit().await?;
                return Ok(true);
            }
        };
        tx.commit().await?;
        crash::point("engine.claimed");
        self.work_on(run.id, run.fence, &workflow).await?;
        Ok(true)
    }

    async fn work_on(&self, id: RunId, fence: i64, workflow: &Workflow) -> Result<(), EngineError> {
        let mut in_hand = BTreeSet::new();
        let mut performing = FuturesUnordered::new();
        loop {
            match self.look(id, fence, workflow, &in_hand).await? {
                Look::Perform(started) => {
                    for step in started {
                        in_hand.insert(step.name.clone());
                        performing.push(self.perform(id, step, workflow));
                    }
                    // Skips alone may have made other steps ready.
                    if performing.is_empty() {
                        continue;
                    }
                }
                Look::Wait => {}
                Look::Leave => return Ok(()),
            }
            let done = loop {
                let renewal = self.clock.sleep_until(self.clock.now() + self.lease / 3);
                tokio::select! {
                    done = performing.next() => break done,
                    () = renewal => if !self.renew(id, fence).await? {
                        info!(run.id = %id, "the run was taken from this worker; what it had in hand is dropped");
                        return Ok(());
                    },
                }
            };
            if let Some((step, outcome)) = done {
                in_hand.remove(&step.name);
                crash::point("engine.performed");
                if !self.commit_outcome(fence, workflow, step, outcome?).await? {
                    return Ok(());
                }
                crash::point("engine.committed");
            }
        }
    }

    async fn renew(&self, id: RunId, fence: i64) -> Result<bool, EngineError> {
        let mut tx = self.store.begin().await?;
        let still_ours = runs::renew(&mut tx, id, fence, self.clock.now() + self.lease).await?;
        tx.commit().await?;
        Ok(still_ours)
    }

    /// Plans under the lock and writes what the plan says, in one commit.
    async fn look(
        &self,
        id: RunId,
        fence: i64,
        workflow: &Workflow,
        in_hand: &BTreeSet<String>,
    ) -> Result<Look, EngineError> {
        let now = self.clock.now();
        let mut tx = self.store.begin().await?;
        let run = runs::lock(&mut tx, id).await?;
        if run.fence != fence || run.status != RunStatus::Running {
            return Ok(Look::Leave);
        }
        if run.held || run.stopping {
            if !in_hand.is_empty() {
                return Ok(Look::Wait);
            }
            if run.stopping {
                self.end_stopping(&mut tx, &run, RunEvent::OnlyWaitsLeft).await?;
                tx.commit().await?;
                return Ok(Look::Leave);
            }
            let next = run::next_status(run.state(), RunEvent::OnlyWaitsLeft, false)?;
            runs::set_state(&mut tx, &run, next, None, None, now).await?;
            tx.commit().await?;
            return Ok(Look::Leave);
        }
        let rows = steps::of_run(&mut tx, id, run.generation).await?;
        let so_far = rows.iter().map(|row| (row.name.clone(), progress(row))).collect();
        let about = about(&run);
        let situation = Situation { workflow, inputs: &run.inputs.0, run: &about, steps: &so_far, in_hand, now };
        match plan::plan(&situation) {
            Next::Act { start, skip } => {
                for (name, why) in &skip {
                    self.skip_step(&mut tx, &run, workflow, name, why).await?;
                }
                let mut started = vec![];
                for name in &start {
                    let row = rows.iter().find(|row| row.name == *name);
                    started.extend(self.start_step(&mut tx, &run, workflow, name, row).await?);
                }
                tx.commit().await?;
                Ok(Look::Perform(started))
            }
            Next::Busy => Ok(Look::Wait),
            // What is in hand may be posting somewhere; its outcome belongs to the record of the failed run.
            Next::Failed(_) if !in_hand.is_empty() => Ok(Look::Wait),
            Next::Rest { wake_at } => {
                let next = run::next_status(run.state(), RunEvent::OnlyWaitsLeft, false)?;
                runs::set_state(&mut tx, &run, next, None, wake_at, now).await?;
                tx.commit().await?;
                Ok(Look::Leave)
            }
            Next::Completed => {
                let next = run::next_status(run.state(), RunEvent::AllDone, false)?;
                runs::set_state(&mut tx, &run, next, None, None, now).await?;
                events::append(&mut tx, &Event::new(now, "run.completed", &run.customer).run(id)).await?;
                tx.commit().await?;
                info!(run.id = %id, run.name = run.name, "run {} completed", run.name);
                Ok(Look::Leave)
            }
            Next::Failed(failure) => {
                self.fail_run(&mut tx, &run, &failure).await?;
                tx.commit().await?;
                warn!(run.id = %id, run.name = run.name, "run {} failed: {failure}", run.name);
                Ok(Look::Leave)
            }
        }
    }

    async fn skip_step(
        &self,
        tx: &mut Tx,
        run: &RunRow,
        workflow: &Workflow,
        name: &str,
        why: &str,
    ) -> Result<(), EngineError> {
        let now = self.clock.now();
        let mut row = new_step(run, workflow, name, now);
        row.status = step::next_status(None, StepEvent::Skip)?;
        row.finished_at = Some(now);
        steps::put(tx, &row).await?;
        let event = Event::new(now, "step.skipped", &run.customer).run(run.id).step(name).with("why", why);
        Ok(events::append(tx, &event).await?)
    }

    /// Writes a started attempt; none when this step has lost its process too often and is failed instead.
    async fn start_step(
        &self,
        tx: &mut Tx,
        run: &RunRow,
        workflow: &Workflow,
        name: &str,
        before: Option<&StepRow>,
    ) -> Result<Option<StepRow>, EngineError> {
        let now = self.clock.now();
        let lost = before.is_some_and(|row| row.status == StepStatus::Running);
        let mut row = before.cloned().unwrap_or_else(|| new_step(run, workflow, name, now));
        let allowed = workflow.step(name).map(|step| workflow.retry_of(step).count).unwrap_or_default();
        if lost && row.attempt > LOST_STARTS + i32::try_from(allowed).unwrap_or(i32::MAX - LOST_STARTS) {
            let details = format!("the process died {} times while it performed step {name}", row.attempt);
            let failure = Failure::high("worker_lost", details);
            let event =
                Event::new(now, "step.failed", &run.customer).run(run.id).step(name).with("attempt", row.attempt);
            events::append(tx, &failed(event, &failure, "step.failed")).await?;
            fail_step(&mut row, failure, now)?;
            steps::put(tx, &row).await?;
            return Ok(None);
        }
        row.status = step::next_status(before.map(|row| row.status), StepEvent::Start)?;
        row.attempt += 1;
        row.retry_at = None;
        row.started_at = now;
        row.finished_at = None;
        steps::put(tx, &row).await?;
        let event = Event::new(now, "step.started", &run.customer)
            .run(run.id)
            .step(name)
            .with("agent", row.agent.as_str())
            .with("attempt", row.attempt)
            .with("after_crash", lost);
        events::append(tx, &event).await?;
        Ok(Some(row))
    }

    /// Performs one attempt, outside any transaction, until its hard timeout.
    async fn perform(&self, id: RunId, step: StepRow, workflow: &Workflow) -> (StepRow, Result<Outcome, EngineError>) {
        let outcome = self.perform_agent(id, &step, workflow).await;
        (step, outcome)
    }

    async fn perform_agent(&self, id: RunId, step: &StepRow, workflow: &Workflow) -> Result<Outcome, EngineError> {
        let now = self.clock.now();
        let Some(definition) = workflow.step(&step.name) else {
            let details = format!("step {} is not in its workflow", step.name);
            return Ok(Outcome::Fail(Failure::high("definition_broken", details)));
        };
        let Some(agent) = self.agents.get(&step.agent) else {
            let details = format!("this version of countersign has no agent `{}`", step.agent);
            return Ok(Outcome::Fail(Failure::high("agent_missing", details)));
        };
        let mut tx = self.store.read().await?;
        let run = runs::get(&mut tx, id).await?;
        let rows = steps::of_run(&mut tx, id, run.generation).await?;
        let users = people::users(&mut tx, &run.customer).await?;
        drop(tx);
        let so_far: BTreeMap<_, _> = rows.iter().map(|row| (row.name.clone(), progress(row))).collect();
        let about = about(&run);
        let nothing = BTreeSet::new();
        let situation =
            Situation { workflow, inputs: &run.inputs.0, run: &about, steps: &so_far, in_hand: &nothing, now };
        let context = plan::context(&situation);
        let with = match expression::fill(&Value::Object(definition.with.clone()), &context) {
            Ok(Value::Object(with)) => with,
            Ok(_) => serde_json::Map::new(),
            Err(why) => {
                let details = format!("settings of step {}: {why}", step.name);
                return Ok(Outcome::Fail(Failure::high("expression_error", details)));
            }
        };
        let task = Task {
            run_id: id,
            run_name: run.name,
            transaction_id: run.transaction_id,
            customer: run.customer,
            step: step.name.clone(),
            generation: step.generation,
            attempt: step.attempt,
            with,
            context,
            users,
            calendar: workflow.calendar.clone(),
            now,
            origin: run.origin.0,
            blob: Arc::clone(&self.blob),
        };
        crash::point("engine.before_perform");
        let limit = workflow.timeout_of(definition).unwrap_or(DEFAULT_WORK_TIMEOUT);
        tokio::select! {
            outcome = agent.perform(&task) => Ok(outcome),
            () = self.clock.sleep_until(now + limit.delta()) => {
                let details = format!("step {} did not end within {limit}", step.name);
                Ok(Outcome::Retry(Failure::medium("timeout", details)))
            }
        }
    }

    /// Writes what became of an attempt, if the fence still holds. False when it does not: then nothing is written.
    async fn commit_outcome(
        &self,
        fence: i64,
        workflow: &Workflow,
        mut step: StepRow,
        outcome: Outcome,
    ) -> Result<bool, EngineError> {
        let now = self.clock.now();
        let mut tx = self.store.begin().await?;
        let run = runs::lock(&mut tx, step.run_id).await?;
        if run.fence != fence || run.status != RunStatus::Running || run.generation != step.generation {
            info!(run.id = %run.id, step.name = step.name, "an outcome came too late for its fence and is dropped");
            return Ok(false);
        }
        let mut event = Event::new(now, "step.done", &run.customer).run(run.id).step(&step.name);
        match outcome {
            Outcome::Done { output, notices } => {
                step.status = step::next_status(Some(step.status), StepEvent::Done)?;
                step.output = Some(Json(output));
                // Of an earlier attempt; the trail still tells it.
                step.failure = None;
                step.finished_at = Some(now);
                for draft in &notices {
                    self.write_notice(&mut tx, &run, None, draft).await?;
                }
            }
            Outcome::Wait(request) => {
                step.status = step::next_status(Some(step.status), StepEvent::Wait)?;
                // A run that is being ended asks nobody any more.
                if !run.stopping {
                    self.open_wait(&mut tx, &run, &step, workflow, *request).await?;
                }
                event.kind = "step.waiting".into();
            }
            Outcome::Retry(failure) => {
                let attempt = u32::try_from(step.attempt).unwrap_or(u32::MAX);
                let dice = step.run_id.0.as_u64_pair().1.wrapping_add(u64::from(attempt));
                let pause = workflow
                    .step(&step.name)
                    .and_then(|step| workflow.retry_of(step).pause_after(attempt, &failure, dice));
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
        steps::put(&mut tx, &step).await?;
        events::append(&mut tx, &event.with("attempt", step.attempt)).await?;
        tx.commit().await?;
        // There may be mail to send.
        self.work.notify_waiters();
        Ok(true)
    }
}
