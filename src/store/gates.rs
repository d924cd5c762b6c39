//! Places for runs that share a key: who waits for one, who has one, and who gets the next.

use chrono::{DateTime, Utc};

use super::column::row;
use super::dialect::{execute, fetch};
use super::runs::{Counter, RunRow};
use super::{StoreError, Tx};

row! {
    /// Something that runs wait in front of.
    pub struct Gate {
        pub customer: String,
        pub workflow: String,
        pub concurrency_key: String,
    }
}

/// Gates that queued runs wait at now, in the order of their names, after `after`.
pub async fn waited_at(
    tx: &mut Tx,
    after: Option<&Gate>,
    most: i64,
    now: DateTime<Utc>,
) -> Result<Vec<Gate>, StoreError> {
    let sql = format!(
        "select distinct {} from runs
         where concurrency_key is not null and finished_at is null and gated and status = 'queued'
            and (not_before is null or not_before <= $1) and (customer, workflow, concurrency_key) > ($2, $3, $4)
         order by customer, workflow, concurrency_key limit $5",
        Gate::COLUMNS
    );
    let (customer, workflow, key) = after.map_or(("", "", ""), |after| {
        (after.customer.as_str(), after.workflow.as_str(), after.concurrency_key.as_str())
    });
    fetch!(all Gate, tx, sql, now, customer, workflow, key, most)
}

/// Keeps everybody else from this gate until the commit, and gives the run that is next there.
pub async fn lock(tx: &mut Tx, gate: &Gate, now: DateTime<Utc>) -> Result<Option<RunRow>, StoreError> {
    tx.alone_with(&format!("gate {} {} {}", gate.customer, gate.workflow, gate.concurrency_key)).await?;
    let sql = format!(
        "select {} from runs where workflow = $1 and concurrency_key = $2 and customer = $3 and finished_at is null
            and gated and status = 'queued' and (not_before is null or not_before <= $4)
         order by created_at, id limit 1",
        RunRow::COLUMNS
    );
    fetch!(maybe RunRow, tx, sql, &gate.workflow, &gate.concurrency_key, &gate.customer, now)
}

/// How many runs have a place: all that went through the gate and have not ended.
pub async fn inside(tx: &mut Tx, gate: &Gate) -> Result<i64, StoreError> {
    let sql = "select count(*) as value from runs
         where workflow = $1 and concurrency_key = $2 and customer = $3 and finished_at is null and not gated";
    Ok(fetch!(one Counter, tx, sql, &gate.workflow, &gate.concurrency_key, &gate.customer)?.value)
}

/// Lets the first runs through, in the order of their launch. Gives how many.
pub async fn open(tx: &mut Tx, gate: &Gate, most: i64, now: DateTime<Utc>) -> Result<u64, StoreError> {
    execute!(
        tx,
        "update runs set gated = $1, updated_at = $2 where id in (
            select id from runs where workflow = $3 and concurrency_key = $4 and customer = $5 and finished_at is null
                and gated and status = 'queued' and (not_before is null or not_before <= $2)
            order by created_at, id limit $6)",
        false,
        now,
        &gate.workflow,
        &gate.concurrency_key,
        &gate.customer,
        most
    )
}
