//! What operators change about a run besides its status: when it starts, where it comes from, when it is killed, and its
//! generation. The caller has the run locked, or has just launched it in the same transaction.

use chrono::{DateTime, Utc};

use super::column::row;
use super::dialect::{execute, fetch};
use super::runs::RunRow;
use super::{StoreError, Tx};
use crate::domain::ids::RunId;
use crate::domain::run::RunState;

/// Puts a run off: it is not claimed before an instant, and its deadline counts from there.
pub async fn put_off(
    tx: &mut Tx,
    id: RunId,
    not_before: DateTime<Utc>,
    deadline_at: Option<DateTime<Utc>>,
) -> Result<(), StoreError> {
    execute!(
        tx,
        "update runs set not_before = $1, deadline_at = $2 where id = $3 and status = 'queued'",
        not_before,
        deadline_at,
        id.0
    )?;
    Ok(())
}

/// Notes which run a rerun repeats.
pub async fn set_parent(tx: &mut Tx, id: RunId, parent: RunId) -> Result<(), StoreError> {
    execute!(tx, "update runs set parent_run = $1 where id = $2", parent.0, id.0)?;
    Ok(())
}

/// Runs that repeat a run, oldest first.
pub async fn children(tx: &mut Tx, parent: RunId) -> Result<Vec<RunRow>, StoreError> {
    let sql = format!("select {} from runs where parent_run = $1 order by created_at, id", RunRow::COLUMNS);
    fetch!(all RunRow, tx, sql, parent.0)
}

/// Says when a stopping run is killed whatever is in hand; never when there is no instant.
pub async fn set_kill_at(tx: &mut Tx, id: RunId, at: Option<DateTime<Utc>>) -> Result<(), StoreError> {
    execute!(tx, "update runs set kill_at = $1 where id = $2 and stopping", at, id.0)?;
    Ok(())
}

row! {
    pub struct ToKill { pub id: RunId }
}

/// Stopping runs whose time is up, the most overdue first.
pub async fn to_kill(tx: &mut Tx, now: DateTime<Utc>, most: i64) -> Result<Vec<RunId>, StoreError> {
    let sql = format!(
        "select {} from runs where status = 'running' and kill_at is not null and stopping and kill_at <= $1
         order by kill_at limit $2",
        ToKill::COLUMNS
    );
    Ok(fetch!(all ToKill, tx, sql, now, most)?.into_iter().map(|row| row.id).collect())
}

/// Begins the next generation of an ended run with the state that `next_status` gave. What was of the old one can do nothing.
pub async fn next_generation(
    tx: &mut Tx,
    run: &RunRow,
    next: RunState,
    deadline_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    execute!(
        tx,
        "update runs set status = $1, held = $2, stopping = $3, generation = $4, failure = null, finished_at = null,
            wake_at = null, kill_at = null, not_before = null, deadline_at = $5, updated_at = $6,
            gated = concurrency_key is not null, reported_at = null, outputs = null
         where id = $7 and generation = $8",
        next.status.as_str(),
        next.held,
        next.stopping,
        run.generation + 1,
        deadline_at,
        now,
        run.id.0,
        run.generation
    )?;
    Ok(())
}
