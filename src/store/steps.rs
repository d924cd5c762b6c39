//! Steps of runs: one row per started step and generation.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::column::row;
use super::dialect::{execute, fetch};
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

/// Writes a step as it now is. The caller has the run locked and the status from `next_status`.
pub async fn put(tx: &mut Tx, step: &StepRow) -> Result<(), StoreError> {
    execute!(
        tx,
        "insert into steps (run_id, generation, name, agent, status, attempt, output, failure, retry_at, started_at, finished_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
         on conflict (run_id, generation, name) do update set status = excluded.status, attempt = excluded.attempt,
            output = excluded.output, failure = excluded.failure, retry_at = excluded.retry_at,
            started_at = excluded.started_at, finished_at = excluded.finished_at",
        step.run_id.0,
        step.generation,
        &step.name,
        &step.agent,
        step.status.as_str(),
        step.attempt,
        step.output.as_ref().map(|output| Json(without_nul(&output.0))),
        step.failure.as_ref().map(|failure| Json(&failure.0)),
        step.retry_at,
        step.started_at,
        step.finished_at
    )?;
    Ok(())
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
