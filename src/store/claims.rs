//! What workers do with many runs at once: claim them under a lease and a fence, lock, renew and leave them.

use std::collections::HashSet;

use chrono::{DateTime, Utc};

use super::column::row;
use super::dialect::{execute_rows, fetch, fetch_among};
use super::runs::{Found, RunRow};
use super::{StoreError, Tx};
use crate::domain::ids::RunId;
use crate::domain::run::{RunState, RunStatus};

row! {
    pub struct Renewed { pub id: RunId, pub fence: i64 }
}
row! {
    /// As much of a locked run as may have changed since it was claimed.
    pub struct Locked {
        pub id: RunId,
        pub fence: i64,
        pub status: RunStatus,
        pub held: bool,
        pub stopping: bool,
        pub generation: i32,
        pub revision: i64,
    }
}

impl Locked {
    pub fn state(&self) -> RunState {
        RunState { status: self.status, held: self.held, stopping: self.stopping }
    }
}

/// Takes up to `most` runs: those whose lease ran out, then the oldest queued ones, each under a new fence. A worker that lost
/// its lease finds the fence changed and can commit nothing. What somebody else is claiming is passed over, not waited for.
pub async fn claim(
    tx: &mut Tx,
    owner: &str,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
    most: i64,
) -> Result<Vec<RunRow>, StoreError> {
    // Two looks, each along an index of its own; with `or` there would be none for both.
    let skip = tx.skip_locked();
    let sql = format!(
        "with lost (run) as (select id from runs where status = 'running' and lease_until < $1
                order by lease_until limit $2{skip}),
            fresh (run) as (select id from runs where status = 'queued' and not gated and (not_before is null or not_before <= $1)
                order by created_at limit $2 - (select count(*) from lost){skip})
         select {0} from lost union all select {0} from fresh",
        Found::COLUMNS
    );
    let found = fetch!(all Found, tx, sql, now, most)?;
    if found.is_empty() {
        return Ok(vec![]);
    }
    let mut claimed = fetch_among!(
        RunRow,
        tx,
        "update runs set status = 'running', lease_owner = $1, lease_until = $2, fence = fence + 1, updated_at = $3,
            wake_at = null where id",
        found.into_iter().map(|found| found.run.0),
        format!("returning {}", RunRow::COLUMNS),
        owner,
        until,
        now
    )?;
    claimed.sort_by_key(|run| (run.created_at, run.id));
    Ok(claimed)
}

/// Reads runs and keeps everybody else from changing them until the commit. What somebody else has locked is waited for by
/// whoever holds no lock yet and wants a single one (`waits`); otherwise it is left out, so that nobody waits while holding others.
pub async fn lock(tx: &mut Tx, ids: &[RunId], waits: bool) -> Result<Vec<Locked>, StoreError> {
    let lock = if waits { tx.for_update() } else { tx.skip_locked() };
    let select = format!("select {} from runs where id", Locked::COLUMNS);
    fetch_among!(Locked, tx, select, ids.iter().map(|id| id.0), format!("order by id{lock}"))
}

/// Prolongs leases of `owner`; gives those that it still has, with their fences.
pub async fn renew(
    tx: &mut Tx,
    ids: &[RunId],
    owner: &str,
    until: DateTime<Utc>,
) -> Result<HashSet<(RunId, i64)>, StoreError> {
    let renewed = fetch_among!(
        Renewed,
        tx,
        "update runs set lease_until = $1 where status = 'running' and lease_owner = $2 and id",
        ids.iter().map(|id| id.0),
        format!("returning {}", Renewed::COLUMNS),
        until,
        owner
    )?;
    Ok(renewed.into_iter().map(|row| (row.id, row.fence)).collect())
}

/// How a worker leaves a run that has not failed.
#[derive(Debug, Clone, Copy)]
pub struct Left {
    pub id: RunId,
    /// As `next_status` gave it: waiting or completed.
    pub state: RunState,
    /// When the first pause between attempts ends.
    pub wake_at: Option<DateTime<Utc>>,
}

/// Gives locked runs out of hand, without their leases.
pub async fn leave(tx: &mut Tx, left: &[Left], now: DateTime<Utc>) -> Result<(), StoreError> {
    execute_rows!(
        tx,
        "update runs set status = v.column2, held = v.column3, failure = null, wake_at = v.column4, updated_at = v.column5,
            finished_at = v.column6, lease_owner = null, lease_until = null from (",
        left,
        ") as v where runs.id = v.column1",
        run => run.id.0, run.state.status.as_str(), run.state.held, run.wake_at, now,
            run.state.status.is_final().then_some(now)
    )?;
    Ok(())
}
