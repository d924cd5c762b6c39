//! Runs found by anything that people remember of them.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::dialect::fetch;
use super::runs::RunRow;
use super::{Json, StoreError, Tx};
use crate::domain::ids::RunId;
use crate::domain::run::RunStatus;

/// What a listed run must be; whatever is none does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    pub status: Option<RunStatus>,
    pub workflow: Option<String>,
    pub customer: Option<String>,
    /// Launched then or later.
    pub since: Option<DateTime<Utc>>,
    /// Launched before.
    pub until: Option<DateTime<Utc>>,
    /// It stands at this step: the step runs, waits, is to be repeated, or has failed.
    pub step: Option<String>,
    /// As `step`, by the agent of the step.
    pub agent: Option<String>,
    /// Reason of its failure.
    pub failed_with: Option<String>,
    /// Somebody whom an open wait asks, by name or address; `operator` for runs that are held.
    pub waiting_for: Option<String>,
    /// It repeats this run.
    pub parent: Option<RunId>,
    /// An input with its value: text, or a number or word of JSON.
    pub inputs: Vec<(String, String)>,
}

/// The latest runs that are as wanted, newest first.
pub async fn list(tx: &mut Tx, wanted: &Wanted, most: i64) -> Result<Vec<RunRow>, StoreError> {
    let elements = tx.elements_of("w.asked");
    let pairs = tx.elements_of("$10");
    // Only what is asked for stands in the text, so that the database can use an index for it.
    let mut conditions = vec!["created_at >= $1".to_owned()];
    let mut ask = |asked: bool, condition: &str| conditions.extend(asked.then(|| condition.to_owned()));
    ask(wanted.until.is_some(), "created_at < $2");
    ask(wanted.workflow.is_some(), "workflow = $3");
    ask(wanted.customer.is_some(), "customer = $4");
    const STANDS_AT: &str = "status <> 'completed' and exists (select 1 from steps s where s.run_id = runs.id
        and s.generation = runs.generation and s.status in ('running', 'waiting', 'failure_retry', 'failure') and";
    ask(wanted.step.is_some(), &format!("{STANDS_AT} s.name = $5)"));
    ask(wanted.agent.is_some(), &format!("{STANDS_AT} s.agent = $6)"));
    ask(wanted.failed_with.is_some(), "status = 'failed' and failure ->> 'reason' = $7");
    let asked = format!(
        "(id in (select w.run_id from waits w, {elements} as a where w.status = 'open'
            and (a.value ->> 'person' = $8 or lower(a.value ->> 'address') = lower($8)))
         or (held and $8 = 'operator'))"
    );
    ask(wanted.waiting_for.is_some(), &asked);
    ask(wanted.parent.is_some(), "parent_run = $9");
    let inputs = format!(
        "not exists (select 1 from {pairs} as p where not coalesce(
            cast(inputs -> (p.value ->> 'name') as text) in (p.value ->> 'text', p.value ->> 'json'), false))"
    );
    ask(!wanted.inputs.is_empty(), &inputs);
    // The word stands in the text itself: partial indexes know it by that.
    let status = wanted.status.map(|status| format!(" and status = '{status}'")).unwrap_or_default();
    let sql = format!(
        "select {} from runs where {}{status} order by created_at desc, id desc limit $11",
        RunRow::COLUMNS,
        conditions.join(" and ")
    );
    let pair = |(name, text): &(String, String)| serde_json::json!({ "name": name, "text": text, "json": Value::from(text.as_str()).to_string() });
    let pairs: Value = wanted.inputs.iter().map(pair).collect();
    fetch!(
        all RunRow,
        tx,
        sql,
        wanted.since.unwrap_or(DateTime::UNIX_EPOCH),
        wanted.until,
        wanted.workflow.as_deref(),
        wanted.customer.as_deref(),
        wanted.step.as_deref(),
        wanted.agent.as_deref(),
        wanted.failed_with.as_deref(),
        wanted.waiting_for.as_deref(),
        wanted.parent.map(|id| id.0),
        Json(&pairs),
        most
    )
}
