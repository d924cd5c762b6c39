//! What agents said while they worked, and how far they are. Nothing here decides anything: it is for people to read.

use chrono::{DateTime, Utc};

use super::column::row;
use super::dialect::{execute, fetch};
use super::{StoreError, Tx};
use crate::domain::ids::RunId;

row! {
    /// A line that an agent said in an attempt.
    pub struct LogRow {
        pub generation: i32,
        pub step: String,
        pub attempt: i32,
        /// From 1, without gaps.
        pub seq: i32,
        pub at: DateTime<Utc>,
        /// `info`, `warn`, or `cut` where nothing more was kept.
        pub level: String,
        pub text: String,
    }
}

row! {
    /// How far the latest attempt is that told it.
    pub struct ProgressRow {
        pub generation: i32,
        pub step: String,
        pub attempt: i32,
        /// 0 to 100; none where only words were told.
        pub percent: Option<i32>,
        pub message: String,
        pub at: DateTime<Utc>,
    }
}

/// Keeps a line; again is once.
pub async fn insert(tx: &mut Tx, run: RunId, line: &LogRow) -> Result<(), StoreError> {
    let sql = "insert into step_logs (run_id, generation, step, attempt, seq, at, level, text)
         values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict do nothing";
    let LogRow { generation, step, attempt, seq, at, level, text } = line;
    execute!(tx, sql, run.0, *generation, step, *attempt, *seq, *at, level, text)?;
    Ok(())
}

/// Keeps how far an attempt is; a later attempt's word stands.
pub async fn put_progress(tx: &mut Tx, run: RunId, progress: &ProgressRow) -> Result<(), StoreError> {
    let sql = "insert into step_progress (run_id, generation, step, attempt, percent, message, at)
         values ($1, $2, $3, $4, $5, $6, $7)
         on conflict (run_id, generation, step) do update set attempt = excluded.attempt, percent = excluded.percent,
            message = excluded.message, at = excluded.at
         where step_progress.attempt <= excluded.attempt";
    let ProgressRow { generation, step, attempt, percent, message, at } = progress;
    execute!(tx, sql, run.0, *generation, step, *attempt, *percent, message, *at)?;
    Ok(())
}

/// What was said in a run, by time; of one step, when one is named.
pub async fn of_run(tx: &mut Tx, run: RunId, step: Option<&str>) -> Result<Vec<LogRow>, StoreError> {
    let sql = format!(
        "select {} from step_logs where run_id = $1 and (cast($2 as text) is null or step = $2)
         order by at, generation, step, attempt, seq",
        LogRow::COLUMNS
    );
    fetch!(all LogRow, tx, sql, run.0, step)
}

/// How far the steps of a generation are.
pub async fn progress(tx: &mut Tx, run: RunId, generation: i32) -> Result<Vec<ProgressRow>, StoreError> {
    let sql = format!(
        "select {} from step_progress where run_id = $1 and generation = $2 order by step",
        ProgressRow::COLUMNS
    );
    fetch!(all ProgressRow, tx, sql, run.0, generation)
}
