//! Opening a wait: the wait, its ladder with instants, its tokens, its notices and its event, in one commit.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{Engine, EngineError};
use crate::domain::duration::Span;
use crate::domain::event::{Event, canonical_json, sha256_hex};
use crate::domain::failure::Failure;
use crate::domain::ids::WaitId;
use crate::domain::wait::{Rung, RungAction, WaitKind, WaitRequest, WaitStatus};
use crate::domain::workflow::Workflow;
use crate::store::runs::RunRow;
use crate::store::steps::StepRow;
use crate::store::waits::WaitRow;
use crate::store::{Json, Tx, events, waits};

impl Engine {
    /// Opens the wait that a step's agent asked for. The caller has the run locked.
    pub(super) async fn open_wait(
        &self,
        tx: &mut Tx,
        run: &RunRow,
        step: &StepRow,
        workflow: &Workflow,
        request: WaitRequest,
    ) -> Result<WaitId, EngineError> {
        self.open_wait_as(tx, run, step, workflow, (WaitId::new(), request)).await
    }

    /// As `open_wait`, with an id that whoever ends the wait can tell.
    pub(super) async fn open_wait_as(
        &self,
        tx: &mut Tx,
        run: &RunRow,
        step: &StepRow,
        workflow: &Workflow,
        wanted: (WaitId, WaitRequest),
    ) -> Result<WaitId, EngineError> {
        let (id, request) = wanted;
        let now = self.clock.now();
        let hard = workflow.step(&step.name).and_then(|step| workflow.timeout_of(step));
        let ladder = ladder(&request, workflow, hard, now);
        let escalates = ladder.iter().any(|rung| matches!(rung.action, RungAction::Escalate { .. }));
        let due_at = match request.kind {
            WaitKind::Timer => Some(request.until.unwrap_or(now)),
            _ => ladder.first().and_then(|rung| rung.at),
        };
        let wait = WaitRow {
            id,
            run_id: run.id,
            customer: run.customer.clone(),
            generation: run.generation,
            step: step.name.clone(),
            attempt: step.attempt,
            kind: request.kind,
            status: WaitStatus::Open,
            question: request.question,
            asked: Json(request.asked),
            facts_sha256: sha256_hex(canonical_json(&Value::Object(request.facts.clone())).as_bytes()),
            facts: Json(request.facts),
            fallback: request.fallback.filter(|_| !escalates).map(Json),
            ladder: Json(ladder),
            rung: 0,
            due_at,
            answer: None,
            opened_at: now,
            closed_at: None,
        };
        waits::insert(tx, &wait).await?;
        for draft in &request.notices {
            self.write_notice(tx, run, Some(&wait), draft).await?;
        }
        let asked: Vec<Value> = wait.asked.iter().map(|asked| Value::from(asked.person.as_str())).collect();
        let event = Event::new(now, "wait.opened", &run.customer)
            .run(run.id)
            .step(&step.name)
            .with("wait", wait.id.to_string())
            .with("kind", wait.kind.as_str())
            .with("asked", asked)
            .with("facts_sha256", wait.facts_sha256.as_str())
            .with("due_at", wait.due_at.map(|at| at.to_rfc3339()));
        events::append(tx, &event).await?;
        Ok(wait.id)
    }
}

/// The rungs in order with their instants in business time. A step's hard timeout expires the wait, if nothing does earlier.
fn ladder(request: &WaitRequest, workflow: &Workflow, hard: Option<Span>, now: DateTime<Utc>) -> Vec<Rung> {
    let mut rungs = request.ladder.clone();
    if let Some(hard) = hard.filter(|_| request.kind != WaitKind::Timer) {
        rungs.retain(|rung| rung.after < hard);
        if !rungs.iter().any(|rung| matches!(rung.action, RungAction::Expire { .. })) {
            let failure = Failure::medium("timeout", format!("nobody answered within {hard}"));
            rungs.push(Rung { after: hard, at: None, action: RungAction::Expire { failure } });
        }
    }
    rungs.sort_by_key(|rung| rung.after);
    for rung in &mut rungs {
        rung.at = Some(workflow.calendar.next_open(now + rung.after.delta()));
    }
    rungs
}
