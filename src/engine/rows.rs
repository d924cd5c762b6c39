//! Rows of runs and steps on their way to and from the words that planning and expressions use.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Value, json};

use super::EngineError;
use super::plan::Progress;
use crate::domain::event::Event;
use crate::domain::failure::Failure;
use crate::domain::step::{self, StepEvent, StepStatus};
use crate::domain::workflow::Workflow;
use crate::store::Json;
use crate::store::runs::RunRow;
use crate::store::steps::StepRow;

pub(super) fn fail_step(step: &mut StepRow, failure: Failure, now: DateTime<Utc>) -> Result<(), EngineError> {
    step.status = step::next_status(Some(step.status), StepEvent::Fail)?;
    step.finished_at = Some(now);
    step.output = Some(Json(json!({ "failure": failure })));
    step.failure = Some(Json(failure));
    Ok(())
}

/// Ends a started step with its output. Where that says that it is partial, the row says why.
pub(super) fn end_step(
    step: &mut StepRow,
    event: StepEvent,
    output: Value,
    now: DateTime<Utc>,
) -> Result<(), EngineError> {
    step.status = step::next_status(Some(step.status), event)?;
    // What an earlier attempt failed with is in the trail.
    step.failure = partial(&output).map(Json);
    step.output = Some(Json(output));
    step.finished_at = Some(now);
    Ok(())
}

/// Why a result is only partial, if it is.
pub(super) fn partial(output: &Value) -> Option<Failure> {
    output.get("partial").and_then(|partial| Failure::deserialize(partial).ok())
}

pub(super) fn failed(event: Event, failure: &Failure, kind: &str) -> Event {
    let mut event = event.with("reason", failure.reason.as_str()).with("details", failure.details.as_str());
    event.kind = kind.to_owned();
    event
}

pub(super) fn new_step(run: &RunRow, workflow: &Workflow, name: &str, now: DateTime<Utc>) -> StepRow {
    StepRow {
        run_id: run.id,
        generation: run.generation,
        name: name.to_owned(),
        agent: workflow.step(name).map(|step| step.agent.clone()).unwrap_or_default(),
        status: StepStatus::Running,
        attempt: 0,
        output: None,
        failure: None,
        retry_at: None,
        started_at: now,
        finished_at: None,
    }
}

pub(super) fn progress(row: &StepRow) -> Progress {
    Progress {
        status: row.status,
        output: row.output.as_ref().map(|output| output.0.clone()),
        failure: row.failure.as_ref().map(|failure| failure.0.clone()),
        retry_at: row.retry_at,
    }
}

/// What expressions see as `run`.
pub(super) fn about(run: &RunRow) -> Value {
    json!({
        "id": run.id,
        "name": run.name,
        "customer": run.customer,
        "workflow": run.workflow,
        "generation": run.generation,
        "origin": run.origin.0,
    })
}
