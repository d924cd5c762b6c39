//! Runs: launch, claim under a lease and a fence, and every change of status, guarded.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::column::row;
use super::dialect::{execute, fetch};
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
        pub parent_run: Option<RunId>,
        pub lease_owner: Option<String>,
        pub lease_until: Option<DateTime<Utc>>,
        /// Grows with every claim; an outcome under an older one is refused.
        pub fence: i64,
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
    pub by: &'a str,
    pub at: DateTime<Utc>,
}

pub async fn insert(tx: &mut Tx, new: &NewRun<'_>) -> Result<(), StoreError> {
    execute!(
        tx,
        "insert into runs (id, name, customer, transaction_id, message_id, workflow, workflow_version, workflow_hash,
            status, generation, inputs, origin, deadline_at, created_at, created_by, updated_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, 'queued', 1, $9, $10, $11, $12, $13, $12)",
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
        new.by
    )?;
    Ok(())
}

/// Takes the oldest queued run, or a running one whose lease ran out, under a new fence.
/// A worker that lost its lease finds the fence changed and can commit nothing.
pub async fn claim(
    tx: &mut Tx,
    owner: &str,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<Option<RunRow>, StoreError> {
    let sql = format!(
        "select {} from runs where (status = 'queued' and (not_before is null or not_before <= $1))
            or (status = 'running' and lease_until < $1)
         order by created_at limit 1{}",
        RunRow::COLUMNS,
        tx.skip_locked()
    );
    let Some(mut run) = fetch!(maybe RunRow, tx, sql, now)? else { return Ok(None) };
    run.fence += 1;
    execute!(
        tx,
        "update runs set status = 'running', lease_owner = $1, lease_until = $2, fence = $3, updated_at = $4, wake_at = null
         where id = $5",
        owner,
        until,
        run.fence,
        now,
        run.id.0
    )?;
    Ok(Some(run))
}

/// Prolongs a lease. False when the run has passed to somebody else or has ended.
pub async fn renew(tx: &mut Tx, id: RunId, fence: i64, until: DateTime<Utc>) -> Result<bool, StoreError> {
    let sql = "update runs set lease_until = $1 where id = $2 and fence = $3 and status = 'running'";
    Ok(execute!(tx, sql, until, id.0, fence)? == 1)
}

/// Reads a run and keeps everybody else from changing it until the commit. Whoever changes anything of a run locks it first.
pub async fn lock(tx: &mut Tx, id: RunId) -> Result<RunRow, StoreError> {
    let sql = format!("select {} from runs where id = $1{}", RunRow::COLUMNS, tx.for_update());
    fetch!(maybe RunRow, tx, sql, id.0)?.ok_or_else(|| StoreError::not_found("run", id))
}

/// Writes the status that `next_status` gave for a locked run. Leaving `running` drops the lease.
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
            lease_owner = case when $7 then lease_owner end, lease_until = case when $7 then lease_until end, stopping = $8
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

/// Runs whose pause between attempts, or whose deadline, has come.
pub async fn due(tx: &mut Tx, now: DateTime<Utc>, most: i64) -> Result<Vec<RunRow>, StoreError> {
    let sql = format!(
        "select {} from runs where (wake_at <= $1 and status = 'waiting')
            or (deadline_at <= $1 and status in ('queued', 'running', 'waiting'))
         order by created_at limit $2",
        RunRow::COLUMNS
    );
    fetch!(all RunRow, tx, sql, now, most)
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
