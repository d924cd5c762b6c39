//! Runs: launch, claim under a lease and a fence, and every change of status, guarded.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::column::row;
use super::dialect::{execute, fetch, fetch_among};
use super::{Json, StoreError, Tx};
use crate::domain::failure::Failure;
use crate::domain::ids::{MessageId, RunId, TransactionId};
use crate::domain::run::{RunState, RunStatus};

row! {
    /// One execution of a workflow version.
    pub struct RunRow {
        pub id: RunId,
        /// `AP-000123`
        pub name: String,
        pub customer: String,
        pub transaction_id: TransactionId,
        pub message_id: Option<MessageId>,
        pub workflow: String,
        pub workflow_version: i32,
        pub workflow_hash: String,
        pub status: RunStatus,
        pub held: bool,
        /// Nothing starts; it is killed when what is in hand has ended.
        pub stopping: bool,
        /// When a stopping run is killed even though something is in hand.
        pub kill_at: Option<DateTime<Utc>>,
        /// A queued run is not claimed before.
        pub not_before: Option<DateTime<Utc>>,
        pub generation: i32,
        pub inputs: Json<Map<String, Value>>,
        /// Metadata of the mail that started it: from, subject, message_id, mailbox.
        pub origin: Json<Map<String, Value>>,
        pub failure: Option<Json<Failure>>,
        /// The run that launched this one, or that this one repeats.
        pub parent_run: Option<RunId>,
        /// The step of `parent_run` that waits for this run; none for a repeat.
        pub parent_step: Option<String>,
        /// What a completed run gave.
        pub outputs: Option<Json<Map<String, Value>>>,
        /// What it shares the places of its workflow's `concurrency` by.
        pub concurrency_key: Option<String>,
        /// Whether it waits for such a place; it is queued, but nobody takes it.
        pub gated: bool,
        pub lease_owner: Option<String>,
        pub lease_until: Option<DateTime<Utc>>,
        /// Grows with every claim; an outcome under an older one is refused.
        pub fence: i64,
        /// Grows with every change of its steps by somebody else than the worker that has it.
        pub revision: i64,
        /// Earliest pause between attempts that ends.
        pub wake_at: Option<DateTime<Utc>>,
        pub deadline_at: Option<DateTime<Utc>>,
        pub created_at: DateTime<Utc>,
        pub created_by: String,
        pub updated_at: DateTime<Utc>,
        pub finished_at: Option<DateTime<Utc>>,
    }
}

row! {
    pub struct Found { pub run: RunId }
}

row! {
    pub struct Counter { pub value: i64 }
}

impl RunRow {
    pub fn state(&self) -> RunState {
        RunState { status: self.status, held: self.held, stopping: self.stopping }
    }
}

/// The runs that a message started, in the order of their launch, or the one that it answered, which its row names.
pub async fn of_message(tx: &mut Tx, message: MessageId, named: Option<RunId>) -> Result<Vec<RunRow>, StoreError> {
    let sql = format!("select {} from runs where message_id = $1 or id = $2 order by id", RunRow::COLUMNS);
    fetch!(all RunRow, tx, sql, message.0, named.map(|id| id.0))
}

/// The next number of a series, from 1, without gaps: it belongs to the caller's transaction.
pub async fn next_number(tx: &mut Tx, series: &str) -> Result<i64, StoreError> {
    let sql = format!(
        "insert into counters (name, value) values ($1, 1)
         on conflict (name) do update set value = counters.value + 1 returning {}",
        Counter::COLUMNS
    );
    Ok(fetch!(one Counter, tx, sql, series)?.value)
}

/// What a new run starts with. It begins as `queued`, generation 1.
#[derive(Debug)]
pub struct NewRun<'a> {
    pub id: RunId,
    pub name: &'a str,
    pub customer: &'a str,
    pub transaction_id: TransactionId,
    pub message_id: Option<MessageId>,
    pub workflow: &'a str,
    pub workflow_version: u32,
    pub workflow_hash: &'a str,
    pub inputs: &'a Map<String, Value>,
    pub origin: &'a Map<String, Value>,
    pub deadline_at: Option<DateTime<Utc>>,
    pub parent_run: Option<RunId>,
    pub parent_step: Option<&'a str>,
    pub concurrency_key: Option<&'a str>,
    pub gated: bool,
    pub by: &'a str,
    pub at: DateTime<Utc>,
}

pub async fn insert(tx: &mut Tx, new: &NewRun<'_>) -> Result<(), StoreError> {
    execute!(
        tx,
        "insert into runs (id, name, customer, transaction_id, message_id, workflow, workflow_version, workflow_hash,
            status, generation, inputs, origin, deadline_at, created_at, created_by, updated_at,
            parent_run, parent_step, concurrency_key, gated)
         values ($1, $2, $3, $4, $5, $6, $7, $8, 'queued', 1, $9, $10, $11, $12, $13, $12, $14, $15, $16, $17)",
        new.id.0,
        new.name,
        new.customer,
        new.transaction_id.0,
        new.message_id.map(|id| id.0),
        new.workflow,
        i32::try_from(new.workflow_version).unwrap_or(i32::MAX),
        new.workflow_hash,
        Json(new.inputs),
        Json(new.origin),
        new.deadline_at,
        new.at,
        new.by,
        new.parent_run.map(|id| id.0),
        new.parent_step,
        new.concurrency_key,
        new.gated
    )?;
    Ok(())
}

/// Reads a run and keeps everybody else from changing it until the commit. Whoever changes anything of a run locks it first.
pub async fn lock(tx: &mut Tx, id: RunId) -> Result<RunRow, StoreError> {
    let sql = format!("select {} from runs where id = $1{}", RunRow::COLUMNS, tx.for_update());
    fetch!(maybe RunRow, tx, sql, id.0)?.ok_or_else(|| StoreError::not_found("run", id))
}

/// Writes the status that `next_status` gave for a locked run. Leaving `running` drops the lease; whoever comes back from
/// an end waits for a place again.
pub async fn set_state(
    tx: &mut Tx,
    run: &RunRow,
    next: RunState,
    failure: Option<&Failure>,
    wake_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let leased = next.status == RunStatus::Running;
    execute!(
        tx,
        "update runs set status = $1, held = $2, failure = $3, wake_at = $4, updated_at = $5, finished_at = $6,
            lease_owner = case when $7 then lease_owner end, lease_until = case when $7 then lease_until end, stopping = $8,
            gated = case when finished_at is not null then concurrency_key is not null else gated end
         where id = $9",
        next.status.as_str(),
        next.held,
        failure.map(Json),
        wake_at,
        now,
        next.status.is_final().then_some(now),
        leased,
        next.stopping,
        run.id.0
    )?;
    Ok(())
}

/// Keeps what a locked run gave.
pub async fn set_outputs(tx: &mut Tx, id: RunId, outputs: &Map<String, Value>) -> Result<(), StoreError> {
    execute!(tx, "update runs set outputs = $1 where id = $2", Json(outputs), id.0)?;
    Ok(())
}

/// Runs that ended and whose waiting step above was not told yet, the first ended first.
pub async fn unreported(tx: &mut Tx, most: i64) -> Result<Vec<RunRow>, StoreError> {
    let sql = format!(
        "select {} from runs where parent_step is not null and reported_at is null and finished_at is not null
         order by finished_at limit $1",
        RunRow::COLUMNS
    );
    fetch!(all RunRow, tx, sql, most)
}

/// Notes that the step above was told.
pub async fn set_reported(tx: &mut Tx, id: RunId, now: DateTime<Utc>) -> Result<(), StoreError> {
    execute!(tx, "update runs set reported_at = $1 where id = $2", now, id.0)?;
    Ok(())
}

/// Runs whose pause between attempts, or whose deadline, has come, the oldest first; up to `most` of each kind, and along an
/// index for each. Rows are read in a second step: a planner that does not know the limit would join by reading all runs.
pub async fn due(tx: &mut Tx, now: DateTime<Utc>, most: i64) -> Result<Vec<RunRow>, StoreError> {
    let sql = format!(
        "select {0} from (select id as run from runs where status = 'waiting' and wake_at <= $1
            order by wake_at limit {most}) as woken
         union
         select {0} from (select id as run from runs where status in ('queued', 'running', 'waiting')
            and deadline_at <= $1 order by deadline_at limit {most}) as late",
        Found::COLUMNS
    );
    let found = fetch!(all Found, tx, sql, now)?;
    if found.is_empty() {
        return Ok(vec![]);
    }
    let select = format!("select {} from runs where id", RunRow::COLUMNS);
    fetch_among!(RunRow, tx, select, found.into_iter().map(|found| found.run.0), "order by created_at")
}

pub async fn get(tx: &mut Tx, id: RunId) -> Result<RunRow, StoreError> {
    let sql = format!("select {} from runs where id = $1", RunRow::COLUMNS);
    fetch!(maybe RunRow, tx, sql, id.0)?.ok_or_else(|| StoreError::not_found("run", id))
}

/// A run by its human id, whatever its case.
pub async fn by_name(tx: &mut Tx, name: &str) -> Result<RunRow, StoreError> {
    let sql = format!("select {} from runs where name = $1", RunRow::COLUMNS);
    fetch!(maybe RunRow, tx, sql, name.to_uppercase())?.ok_or_else(|| StoreError::not_found("run", name))
}

/// The latest runs, newest first; only those of one status when given.
pub async fn latest(tx: &mut Tx, status: Option<RunStatus>, most: i64) -> Result<Vec<RunRow>, StoreError> {
    let sql = format!(
        "select {} from runs where (cast($1 as text) is null or status = $1) order by created_at desc, id desc limit $2",
        RunRow::COLUMNS
    );
    fetch!(all RunRow, tx, sql, status.map(RunStatus::as_str), most)
}
