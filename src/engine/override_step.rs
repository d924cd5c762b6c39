//! A step done by hand: an operator gives its output and says why, and the run goes on from there.

use serde_json::{Map, Value};

use super::decide::{Decided, Ending};
use super::restart::{downstream, unfinished};
use super::{Engine, EngineError};
use crate::domain::event::{Event, canonical_json, sha256_hex};
use crate::domain::ids::RunId;
use crate::domain::run::{self, RunEvent, RunState, RunStatus};
use crate::domain::step::{self, StepEvent, StepStatus};
use crate::domain::wait::{Answer, Channel, Choice, WaitStatus};
use crate::store::runs::RunRow;
use crate::store::steps::StepRow;
use crate::store::{Json, Tx, events, runs, steps, waits, workflows};

/// What an operator gives for a step.
#[derive(Debug, Clone)]
pub struct Given<'a> {
    pub step: &'a str,
    /// What later steps see of it, as if its agent had made it.
    pub output: Map<String, Value>,
    pub because: &'a str,
    pub by: &'a str,
}

/// A run whose step was done by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overridden {
    pub state: RunState,
    pub generation: i32,
}

impl Engine {
    /// Makes a step that failed, waits, or was left when the run ended a success with a given output. A live run goes on in the
    /// same generation; one that has ended goes on under the next, where everything that did not succeed runs again.
    ///
    /// # Errors
    /// `Input` when there is nothing to override in that step, and what would work; `Refused` for a completed run that may not
    /// be restarted.
    pub async fn override_step(&self, id: RunId, given: &Given<'_>) -> Result<Overridden, EngineError> {
        let mut tx = self.store.begin().await?;
        let run = runs::lock(&mut tx, id).await?;
        let rows = steps::of_run(&mut tx, id, run.generation).await?;
        let Some(row) = rows.iter().find(|row| row.name == given.step) else {
            let names: Vec<_> = rows.iter().map(|row| row.name.as_str()).collect();
            let why = format!("step {} has not started here; these have: {}", given.step, names.join(", "));
            return Err(EngineError::Input(why));
        };
        let (row, before) = (row.clone(), row.status);
        if step::next_status(Some(before), StepEvent::Override).is_err() {
            let why = format!("step {} is {before}; only one that failed or waits takes an output", given.step);
            return Err(EngineError::Input(why));
        }
        let overridden = match (run.status.is_final(), before) {
            (true, _) => self.override_ended(&mut tx, &run, rows, row, given).await?,
            (false, StepStatus::Running) => {
                let why =
                    format!("a worker has step {} in hand: wait until it ends, or kill the run first", given.step);
                return Err(EngineError::Input(why));
            }
            (false, _) => self.override_live(&mut tx, &run, row, given).await?,
        };
        let output = Value::Object(given.output.clone());
        let event = Event::new(self.clock.now(), "step.overridden", &run.customer)
            .by(given.by)
            .run(id)
            .step(given.step)
            .with("because", given.because)
            .with("was", before.as_str())
            .with("generation", overridden.generation)
            .with("output_sha256", sha256_hex(canonical_json(&output).as_bytes()));
        events::append(&mut tx, &event).await?;
        tx.commit().await?;
        self.work.notify_waiters();
        Ok(overridden)
    }

    async fn override_ended(
        &self,
        tx: &mut Tx,
        run: &RunRow,
        rows: Vec<StepRow>,
        row: StepRow,
        given: &Given<'_>,
    ) -> Result<Overridden, EngineError> {
        let workflow = workflows::get(tx, &run.workflow_hash).await?;
        let mut open = unfinished(&workflow, &rows);
        open.insert(given.step.to_owned());
        let again = downstream(&workflow, open);
        let restarted = self.begin_generation(tx, run, &workflow, rows, &again).await?;
        let row = StepRow { generation: restarted.generation, ..row };
        self.put_given(tx, row, given).await?;
        Ok(Overridden { state: restarted.state, generation: restarted.generation })
    }

    async fn override_live(
        &self,
        tx: &mut Tx,
        run: &RunRow,
        row: StepRow,
        given: &Given<'_>,
    ) -> Result<Overridden, EngineError> {
        let open = waits::of_run(tx, run.id).await?;
        let mut open = open.into_iter().filter(|wait| wait.step == row.name && wait.status == WaitStatus::Open);
        if let Some(wait) = open.next() {
            let answer = Answer {
                by: given.by.to_owned(),
                choice: Choice::Proceed,
                comment: Some(given.because.to_owned()),
                via: Channel::Cli,
                verified: "overridden by an operator on the server".into(),
                output: given.output.clone(),
            };
            if self.decide(tx, wait.id, Ending::Override(answer), None).await? != Decided::Now {
                return Err(EngineError::Input(format!("step {} was answered meanwhile", given.step)));
            }
        } else {
            self.put_given(tx, row, given).await?;
            if run.status == RunStatus::Waiting {
                let woken = run::next_status(run.state(), RunEvent::Wake, false)?;
                runs::set_state(tx, run, woken, None, run.wake_at, self.clock.now()).await?;
            }
        }
        let run = runs::get(tx, run.id).await?;
        Ok(Overridden { state: run.state(), generation: run.generation })
    }

    async fn put_given(&self, tx: &mut Tx, mut row: StepRow, given: &Given<'_>) -> Result<(), EngineError> {
        row.status = step::next_status(Some(row.status), StepEvent::Override)?;
        row.output = Some(Json(Value::Object(given.output.clone())));
        row.failure = None;
        row.retry_at = None;
        row.finished_at = Some(self.clock.now());
        Ok(steps::put(tx, &row).await?)
    }
}
