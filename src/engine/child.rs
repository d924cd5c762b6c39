//! Runs below runs: a step launches another workflow on the same transaction and waits until that run ends.
//!
//! Whoever locks both locks the run above first. So a run that ends does not touch the one above it; it is reported by a
//! tick of its own, which a crash in between only delays.

use serde_json::{Map, Value, json};

use super::decide::Ending;
use super::launch::{Above, Launch};
use super::timers::stands_alone;
use super::{Engine, EngineError};
use crate::domain::event::{Event, OURSELVES};
use crate::domain::failure::Failure;
use crate::domain::ids::RunId;
use crate::domain::run::{self, RunEvent, RunStatus};
use crate::domain::wait::{Answer, Channel, Choice, WaitKind, WaitRequest};
use crate::domain::workflow::Workflow;
use crate::store::runs::RunRow;
use crate::store::steps::StepRow;
use crate::store::waits::WaitRow;
use crate::store::{StoreError, Tx, events, runs};

/// Most runs above a run.
const MAX_DEPTH: usize = 8;

/// Runs looked at in one tick.
const BATCH: i64 = 100;

impl Engine {
    /// Launches a run below a step of a locked run, and opens the wait for its end. The run's id is derived from the step
    /// and the generation, so that there is never a second one.
    ///
    /// Gives the failure of the step when there is no such workflow, it refuses its inputs, or it lies too deep.
    pub(super) async fn launch_below(
        &self,
        tx: &mut Tx,
        run: &RunRow,
        row: &StepRow,
        workflow: &Workflow,
        wanted: (&str, Map<String, Value>),
    ) -> Result<Result<(), Failure>, EngineError> {
        let (name, inputs) = wanted;
        let refused = |reason: &str, why: String| {
            Ok(Err(Failure::high(reason, format!("step {} cannot start workflow {name}: {why}", row.name))))
        };
        let behaviour = self.live.current();
        let Some(definition) = behaviour.workflow_named(name, &run.customer) else {
            return refused("workflow_unknown", "there is none of that name".into());
        };
        let above = lineage(tx, run).await?;
        if above.len() >= MAX_DEPTH {
            return refused("workflow_depth", format!("{MAX_DEPTH} runs lie above it already"));
        }
        let launch = Launch {
            workflow: definition,
            customer: &run.customer,
            transaction_id: run.transaction_id,
            message_id: run.message_id,
            documents: &[],
            inputs,
            origin: run.origin.0.clone(),
            by: &run.created_by,
        };
        let id = run.id.below(row.generation, &row.name);
        let launched = match self.launch_below_runs(tx, launch, id, Above { runs: &above, step: &row.name }).await {
            Ok(launched) => launched,
            Err(EngineError::Input(why)) => return refused("workflow_refused", why),
            Err(other) => return Err(other),
        };
        let facts = json!({ "run": launched.name, "run_id": id, "workflow": definition.name });
        let request = WaitRequest {
            kind: WaitKind::External,
            question: format!("{} of {} to end", launched.name, definition.name),
            asked: vec![],
            facts: facts.as_object().cloned().unwrap_or_default(),
            notices: vec![],
            ladder: vec![],
            fallback: None,
            until: None,
        };
        self.open_wait_as(tx, run, row, workflow, (id.wait_above(), request)).await?;
        Ok(Ok(()))
    }

    /// Tells the steps above of runs that have ended. Returns how many.
    pub(super) async fn report_ended(&self) -> Result<usize, EngineError> {
        let mut tx = self.store.read().await?;
        let ended = runs::unreported(&mut tx, BATCH).await?;
        drop(tx);
        let mut done = 0;
        for run in ended {
            done += usize::from(stands_alone(&run.id, self.report(&run).await)?);
        }
        if done > 0 {
            self.work.notify_waiters();
        }
        Ok(done)
    }

    async fn report(&self, below: &RunRow) -> Result<bool, EngineError> {
        let Some(above) = below.parent_run else { return Ok(false) };
        let mut tx = self.store.begin().await?;
        runs::lock(&mut tx, above).await?;
        // It may have been restarted meanwhile.
        let below = runs::lock(&mut tx, below.id).await?;
        if !below.status.is_final() {
            return Ok(false);
        }
        let ending = match (below.status, &below.failure) {
            (RunStatus::Completed, _) => Ending::Answer(Answer {
                by: OURSELVES.into(),
                choice: Choice::Proceed,
                comment: None,
                via: Channel::Timer,
                verified: format!("{} was completed", below.name),
                output: below.outputs.as_ref().map(|outputs| outputs.0.clone()).unwrap_or_default(),
            }),
            (_, Some(failure)) => {
                let details = format!("{}: {}", below.name, failure.details);
                Ending::Expire(Failure::new(&failure.reason, failure.criticality, details))
            }
            _ => Ending::Expire(Failure::high("run_killed", format!("{} was killed", below.name))),
        };
        match self.decide(&mut tx, below.id.wait_above(), ending, None).await {
            Ok(_) => {}
            Err(EngineError::Store(StoreError::NotFound { .. })) => {}
            Err(other) => return Err(other),
        }
        runs::set_reported(&mut tx, below.id, self.clock.now()).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Kills the run that a wait was for, if it still lives: nobody waits for it any more.
    pub(super) async fn kill_below(&self, tx: &mut Tx, wait: &WaitRow) -> Result<(), EngineError> {
        let below = wait.facts.get("run_id").and_then(Value::as_str).and_then(|id| id.parse::<RunId>().ok());
        let Some(below) = below.filter(|id| wait.kind == WaitKind::External && id.wait_above() == wait.id) else {
            return Ok(());
        };
        let run = runs::lock(tx, below).await?;
        if run.status.is_final() {
            return Ok(());
        }
        let next = run::next_status(run.state(), RunEvent::Kill, false)?;
        runs::set_state(tx, &run, next, None, None, self.clock.now()).await?;
        let event = Event::new(self.clock.now(), "run.killed", &run.customer)
            .run(run.id)
            .with("status", next.status.as_str())
            .with("because", "the step above it ended");
        events::append(tx, &event).await?;
        // It may have runs below it in turn.
        Box::pin(self.void_waits(tx, &run)).await
    }
}

/// The run itself and every run above it that waits for the one below.
async fn lineage(tx: &mut Tx, run: &RunRow) -> Result<Vec<RunRow>, EngineError> {
    let mut above = vec![run.clone()];
    while let Some(last) = above.last().filter(|last| last.parent_step.is_some() && above.len() <= MAX_DEPTH) {
        let Some(parent) = last.parent_run else { break };
        above.push(runs::get(tx, parent).await?);
    }
    Ok(above)
}
