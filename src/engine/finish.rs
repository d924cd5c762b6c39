//! What the end of a step gives: its output, made as the definition says of what its agent, or an answer, gave.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::EngineError;
use super::plan::{self, Progress, Situation};
use super::rows::{about, end_step, fail_step};
use crate::domain::expression;
use crate::domain::failure::Failure;
use crate::domain::step::StepEvent;
use crate::domain::workflow::Workflow;
use crate::store::runs::RunRow;
use crate::store::steps::StepRow;

/// A run, its definition and its steps as they are.
pub(super) type Known<'a> = (&'a RunRow, &'a Workflow, &'a BTreeMap<String, Progress>);

/// Ends a started step. Where its output cannot be made, the step fails. The caller writes the row.
pub(super) fn finish_step(
    known: Known<'_>,
    row: &mut StepRow,
    end: (StepEvent, Value),
    now: DateTime<Utc>,
) -> Result<(), EngineError> {
    let (event, given) = end;
    match shaped(known, row, given, now) {
        Ok(output) => end_step(row, event, output, now),
        Err(failure) => fail_step(row, failure, now),
    }
}

/// What a step gives, made of what its agent gave; a partial result stays marked as one.
fn shaped(known: Known<'_>, row: &StepRow, given: Value, now: DateTime<Utc>) -> Result<Value, Failure> {
    let (run, workflow, steps) = known;
    let Some(definition) = workflow.step(&row.name).filter(|step| !step.outputs.is_empty()) else { return Ok(given) };
    let (about, in_hand) = (about(run), BTreeSet::new());
    let situation = Situation { workflow, inputs: &run.inputs.0, run: &about, steps, in_hand: &in_hand, now };
    let mut seen = plan::context_of(&situation, &row.name);
    let partial = given.get("partial").cloned();
    seen["output"] = given;
    match expression::fill(&Value::Object(definition.outputs.clone()), &seen) {
        Ok(mut output) => {
            if let (Some(partial), Value::Object(output)) = (partial, &mut output) {
                output.insert("partial".into(), partial);
            }
            Ok(output)
        }
        Err(why) => {
            let details = format!("outputs of step {} of workflow {}: {why}", row.name, workflow.name);
            Err(Failure::high("expression_error", details))
        }
    }
}
