//! Soft timeouts and soft deadlines: people are told once that something is not done yet, in business time.

use chrono::{DateTime, Utc};

use super::timers::stands_alone;
use super::{Engine, EngineError};
use crate::domain::event::Event;
use crate::domain::ids::RunId;
use crate::domain::workflow::Workflow;
use crate::store::alarms::{self, Alarm};
use crate::store::runs::RunRow;
use crate::store::steps::StepRow;
use crate::store::{Tx, events, runs, steps, workflows};

/// Alarms looked at in one tick.
const BATCH: i64 = 100;

impl Engine {
    /// Counts from the first start of a step; a repeat does not begin anew. Instances have none, only their step has.
    pub(super) async fn set_step_alarm(
        &self,
        tx: &mut Tx,
        run: &RunRow,
        workflow: &Workflow,
        row: &StepRow,
    ) -> Result<(), EngineError> {
        let step = workflow.step(&row.name).filter(|step| step.name == row.name);
        let Some(soft) = step.and_then(|step| workflow.soft_timeout_of(step)) else { return Ok(()) };
        if row.attempt > 1 {
            return Ok(());
        }
        let at = workflow.calendar.next_open(row.started_at + soft.delta());
        let alarm = Alarm { run_id: run.id, generation: row.generation, step: row.name.clone(), at };
        Ok(alarms::set(tx, &alarm).await?)
    }

    /// Tells of a run that is not done by its soft deadline, which counts from `start`, in this generation.
    pub(super) async fn set_run_alarm(
        &self,
        tx: &mut Tx,
        id: RunId,
        generation: i32,
        workflow: &Workflow,
        start: DateTime<Utc>,
    ) -> Result<(), EngineError> {
        let Some(soft) = workflow.deadline.and_then(|deadline| deadline.soft) else { return Ok(()) };
        let at = workflow.calendar.next_open(start + soft.delta());
        let alarm = Alarm { run_id: id, generation, step: String::new(), at };
        alarms::take(tx, &alarm).await?;
        Ok(alarms::set(tx, &alarm).await?)
    }

    /// Rings what is due. Returns how many rang or had nothing to ring for any more.
    pub(super) async fn ring_alarms(&self) -> Result<usize, EngineError> {
        let mut tx = self.store.read().await?;
        let due = alarms::due(&mut tx, self.clock.now(), BATCH).await?;
        drop(tx);
        let mut done = 0;
        for alarm in due {
            done += usize::from(stands_alone(&alarm.run_id, self.ring(&alarm).await)?);
        }
        if done > 0 {
            self.work.notify_waiters();
        }
        Ok(done)
    }

    async fn ring(&self, alarm: &Alarm) -> Result<bool, EngineError> {
        let now = self.clock.now();
        let mut tx = self.store.begin().await?;
        let run = runs::lock(&mut tx, alarm.run_id).await?;
        if !alarms::take(&mut tx, alarm).await? {
            return Ok(false);
        }
        let workflow = match workflows::get(&mut tx, &run.workflow_hash).await {
            Ok(workflow) => Some(workflow).filter(|_| !run.status.is_final()),
            Err(error) if error.is_transient() => return Err(error.into()),
            Err(_) => None,
        };
        if let Some(workflow) = workflow.filter(|_| run.generation == alarm.generation) {
            let event = Event::new(now, "run.late", &run.customer).run(run.id);
            if alarm.step.is_empty() {
                events::append(&mut tx, &event).await?;
                self.tell_of_late_run(&mut tx, &run, &workflow).await?;
            } else {
                let rows = steps::of_run(&mut tx, run.id, run.generation).await?;
                let is_open = rows.iter().any(|row| row.name == alarm.step && !row.status.is_final());
                if let Some(step) = workflow.step(&alarm.step).filter(|_| is_open) {
                    let event = Event { kind: "step.late".into(), ..event.step(&alarm.step) };
                    events::append(&mut tx, &event).await?;
                    self.tell_of_late_step(&mut tx, &run, &workflow, step).await?;
                }
            }
        }
        tx.commit().await?;
        Ok(true)
    }
}
