//! What a plan writes besides the ends of attempts: skips, lists and their instances, starts, and the end of the run.

use serde_json::{Map, Value};
use tracing::{info, warn};

use super::Claimed;
use super::advance::{Then, Written};
use crate::domain::event::Event;
use crate::domain::expression;
use crate::domain::failure::Failure;
use crate::domain::run::RunEvent;
use crate::domain::step::{self, StepEvent};
use crate::engine::plan::{self, Acts, Gathered, Situation};
use crate::engine::rows::{end_step, fail_step, failed, new_step};
use crate::engine::{Engine, EngineError};
use crate::store::steps::StepRow;
use crate::store::{Json, Tx, runs};

impl Engine {
    /// Writes what the plan says; gives the attempts that were started.
    pub(super) async fn act(
        &self,
        tx: &mut Tx,
        written: &mut Written,
        claimed: &mut Claimed,
        acts: Acts,
    ) -> Result<Vec<StepRow>, EngineError> {
        for (name, why) in &acts.skip {
            self.skip_step(written, claimed, name, why)?;
        }
        for (name, items) in acts.spread {
            self.spread_step(tx, written, claimed, &name, items).await?;
        }
        for (name, gathered) in acts.gather {
            self.gather_step(tx, written, claimed, &name, gathered).await?;
        }
        let mut started = vec![];
        for name in &acts.start {
            started.extend(self.start_step(tx, written, claimed, name).await?);
        }
        Ok(started)
    }

    fn skip_step(
        &self,
        written: &mut Written,
        claimed: &mut Claimed,
        name: &str,
        why: &str,
    ) -> Result<(), EngineError> {
        let now = self.clock.now();
        let mut row = new_step(&claimed.run, &claimed.workflow, name, now);
        row.status = step::next_status(None, StepEvent::Skip)?;
        row.finished_at = Some(now);
        let run = &claimed.run;
        written.event(Event::new(now, "step.skipped", &run.customer).run(run.id).step(name).with("why", why));
        written.step(claimed, row);
        Ok(())
    }

    /// Starts a step whose instances are performed; its row keeps the list until they are over.
    async fn spread_step(
        &self,
        tx: &mut Tx,
        written: &mut Written,
        claimed: &mut Claimed,
        name: &str,
        items: Vec<Value>,
    ) -> Result<(), EngineError> {
        let now = self.clock.now();
        let (run, workflow) = (&claimed.run, &claimed.workflow);
        let mut row = new_step(run, workflow, name, now);
        row.status = step::next_status(None, StepEvent::Start)?;
        row.attempt = 1;
        self.set_step_alarm(tx, run, workflow, &row).await?;
        let event = Event::new(now, "step.started", &run.customer).run(run.id).step(name);
        let event = event.with("agent", row.agent.as_str()).with("attempt", row.attempt);
        written.event(event.with("items", items.len()));
        row.output = Some(Json(Value::Array(items)));
        written.step(claimed, row);
        Ok(())
    }

    /// Ends a step whose instances are over.
    async fn gather_step(
        &self,
        tx: &mut Tx,
        written: &mut Written,
        claimed: &mut Claimed,
        name: &str,
        gathered: Gathered,
    ) -> Result<(), EngineError> {
        let Some(mut row) = claimed.steps.get(name).cloned() else { return Ok(()) };
        let now = self.clock.now();
        let run = &claimed.run;
        let mut event = Event::new(now, "step.done", &run.customer).run(run.id).step(name);
        match gathered {
            Gathered::Done(outputs) => end_step(&mut row, StepEvent::Done, outputs, now)?,
            Gathered::Failed(failure) => {
                event = failed(event, &failure, "step.failed");
                fail_step(&mut row, failure, now)?;
            }
        }
        written.event(event.with("attempt", row.attempt));
        written.told |= self.tell_of_step(tx, run, &claimed.workflow, &row).await?;
        written.step(claimed, row);
        Ok(())
    }

    /// Completes a locked run, of which every step is over.
    pub(super) async fn complete(
        &self,
        tx: &mut Tx,
        written: &mut Written,
        claimed: &Claimed,
        outputs: Map<String, Value>,
    ) -> Result<Then, EngineError> {
        let run = &claimed.run;
        let mut event = Event::new(self.clock.now(), "run.completed", &run.customer).run(run.id);
        if !outputs.is_empty() {
            runs::set_outputs(tx, run.id, &outputs).await?;
            event = event.with("outputs", Value::Object(outputs));
        }
        written.event(event);
        written.told |= self.tell_of_completion(tx, run, &claimed.workflow).await? || run.parent_run.is_some();
        info!(run.id = %run.id, run.name = run.name, "run {} completed", run.name);
        self.leave(written, claimed, RunEvent::AllDone, None)
    }

    /// Fails a locked run of which nothing is in hand.
    pub(super) async fn fail(
        &self,
        tx: &mut Tx,
        written: &mut Written,
        claimed: &Claimed,
        failure: &Failure,
    ) -> Result<Then, EngineError> {
        let run = &claimed.run;
        self.fail_run(tx, run, failure).await?;
        written.told = true;
        warn!(run.id = %run.id, run.name = run.name, "run {} failed: {failure}", run.name);
        Ok(Then::Leave)
    }
}

/// What a completed run gives.
pub(super) fn outputs(situation: &Situation<'_>) -> Result<Map<String, Value>, Failure> {
    let workflow = situation.workflow;
    match expression::fill(&Value::Object(workflow.outputs.clone()), &plan::context(situation)) {
        Ok(Value::Object(outputs)) => Ok(outputs),
        Ok(_) => Ok(Map::new()),
        Err(why) => {
            let details = format!("outputs of workflow {} version {}: {why}", workflow.name, workflow.version);
            Err(Failure::high("expression_error", details))
        }
    }
}
