//! Steps of runs: one row per started step and generation.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::column::row;
use super::dialect::{execute, execute_rows, fetch, fetch_among};
use super::{Json, StoreError, Tx};
use crate::domain::failure::Failure;
use crate::domain::ids::RunId;
use crate::domain::step::StepStatus;

row! {
    /// A step that has started or was skipped; one that has not has no row.
    pub struct StepRow {
        pub run_id: RunId,
        pub generation: i32,
        pub name: String,
        pub agent: String,
        pub status: StepStatus,
        /// From 1; 0 for a skipped step.
        pub attempt: i32,
        pub output: Option<Json<Value>>,
        pub failure: Option<Json<Failure>>,
        /// When a failed attempt may be repeated.
        pub retry_at: Option<DateTime<Utc>>,
        pub started_at: DateTime<Utc>,
        pub finished_at: Option<DateTime<Utc>>,
    }
}

/// The steps of one generation of a run, in the order in which they started.
pub async fn of_run(tx: &mut Tx, run: RunId, generation: i32) -> Result<Vec<StepRow>, StoreError> {
    let sql = format!(
        "select {} from steps where run_id = $1 and generation = $2 order by started_at, name",
        StepRow::COLUMNS
    );
    fetch!(all StepRow, tx, sql, run.0, generation)
}

/// The steps of many runs, each in its present generation, in the order in which they started.
pub async fn of_runs(tx: &mut Tx, ids: &[RunId]) -> Result<Vec<StepRow>, StoreError> {
    if ids.is_empty() {
        return Ok(vec![]);
    }
    let select = format!("select {} from steps where run_id", StepRow::COLUMNS);
    let present =
        "and generation = (select r.generation from runs r where r.id = steps.run_id) order by started_at, name";
    fetch_among!(StepRow, tx, select, ids.iter().map(|id| id.0), present)
}

/// Writes steps as they now are, each once, for the worker that has their runs locked and knows of no other change.
pub async fn put_many(tx: &mut Tx, steps: &[StepRow]) -> Result<(), StoreError> {
    execute_rows!(
        tx,
        INSERT,
        steps,
        UPSERT,
        step => step.run_id.0, step.generation, &step.name, &step.agent, step.status.as_str(), step.attempt,
            step.output.as_ref().map(|output| Json(without_nul(&output.0))),
            step.failure.as_ref().map(|failure| Json(&failure.0)), step.retry_at, step.started_at, step.finished_at
    )?;
    Ok(())
}

const INSERT: &str = "insert into steps
    (run_id, generation, name, agent, status, attempt, output, failure, retry_at, started_at, finished_at)";
const UPSERT: &str = "on conflict (run_id, generation, name) do update set status = excluded.status,
    attempt = excluded.attempt, output = excluded.output, failure = excluded.failure, retry_at = excluded.retry_at,
    started_at = excluded.started_at, finished_at = excluded.finished_at";

/// Writes a step as it now is, and lets the worker that may have its run know. The caller has the run locked and the status
/// from `next_status`.
pub async fn put(tx: &mut Tx, step: &StepRow) -> Result<(), StoreError> {
    put_many(tx, std::slice::from_ref(step)).await?;
    execute!(tx, "update runs set revision = revision + 1 where id = $1", step.run_id.0)?;
    Ok(())
}

impl StepRow {
    /// Makes the output what the database keeps of it.
    pub fn drop_nul(&mut self) {
        if let Some(output) = &mut self.output
            && has_nul(&output.0)
        {
            output.0 = without_nul(&output.0);
        }
    }
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(map) => map.iter().any(|(key, item)| key.contains('\0') || has_nul(item)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// PostgreSQL's `jsonb` takes no NUL, and documents may hold one; it means nothing in text.
fn without_nul(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(text.replace('\0', "")),
        Value::Array(items) => items.iter().map(without_nul).collect(),
        Value::Object(map) => map
            .iter()
            .map(|(key, item)| (key.replace('\0', ""), without_nul(item)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_nul_anywhere_in_an_output_is_left_out() {
        assert_eq!(without_nul(&json!({"a\0": ["x\0y", 1, null]})), json!({"a": ["xy", 1, null]}));
    }
}
