//! When people are told that a step, or a run, is not done yet: soft timeouts and deadlines. Each is told once.

use chrono::{DateTime, Utc};

use super::column::row;
use super::dialect::{execute, fetch};
use super::{StoreError, Tx};
use crate::domain::ids::RunId;

row! {
    pub struct Alarm {
        pub run_id: RunId,
        pub generation: i32,
        /// Empty for the run itself.
        pub step: String,
        pub at: DateTime<Utc>,
    }
}

/// Sets an alarm; one that is set already stays as it is.
pub async fn set(tx: &mut Tx, alarm: &Alarm) -> Result<(), StoreError> {
    execute!(
        tx,
        "insert into alarms (run_id, generation, step, at) values ($1, $2, $3, $4) on conflict do nothing",
        alarm.run_id.0,
        alarm.generation,
        &alarm.step,
        alarm.at
    )?;
    Ok(())
}

/// Alarms whose time has come, the most overdue first.
pub async fn due(tx: &mut Tx, now: DateTime<Utc>, most: i64) -> Result<Vec<Alarm>, StoreError> {
    let sql = format!("select {} from alarms where at <= $1 order by at limit $2", Alarm::COLUMNS);
    fetch!(all Alarm, tx, sql, now, most)
}

/// The instant at which the next alarm rings.
pub async fn next_due(tx: &mut Tx) -> Result<Option<DateTime<Utc>>, StoreError> {
    let sql = format!("select {} from alarms order by at limit 1", Alarm::COLUMNS);
    Ok(fetch!(maybe Alarm, tx, sql)?.map(|alarm| alarm.at))
}

/// Takes an alarm away. False when somebody else did.
pub async fn take(tx: &mut Tx, alarm: &Alarm) -> Result<bool, StoreError> {
    let sql = "delete from alarms where run_id = $1 and generation = $2 and step = $3";
    Ok(execute!(tx, sql, alarm.run_id.0, alarm.generation, &alarm.step)? == 1)
}
