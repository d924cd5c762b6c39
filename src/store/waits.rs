//! Waits: opened once, ended once.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::column::row;
use super::dialect::{execute, fetch};
use super::{Json, StoreError, Tx};
use crate::domain::ids::{RunId, WaitId};
use crate::domain::wait::{Answer, Asked, Fallback, Rung, WaitKind, WaitStatus};

row! {
    /// One pause of one step.
    pub struct WaitRow {
        pub id: WaitId,
        pub run_id: RunId,
        pub customer: String,
        pub generation: i32,
        pub step: String,
        pub attempt: i32,
        pub kind: WaitKind,
        pub status: WaitStatus,
        pub question: String,
        /// Whose answer counts now.
        pub asked: Json<Vec<Asked>>,
        /// What they were shown.
        pub facts: Json<Map<String, Value>>,
        /// SHA-256 (hex) of the facts: what an answer is bound to.
        pub facts_sha256: String,
        pub ladder: Json<Vec<Rung>>,
        /// Who is asked when none of them can be reached and the ladder has nobody.
        pub fallback: Option<Json<Fallback>>,
        /// Index of the rung that comes next.
        pub rung: i32,
        /// When that rung, or the timer itself, is due.
        pub due_at: Option<DateTime<Utc>>,
        pub answer: Option<Json<Answer>>,
        pub opened_at: DateTime<Utc>,
        pub closed_at: Option<DateTime<Utc>>,
    }
}

pub async fn insert(tx: &mut Tx, wait: &WaitRow) -> Result<(), StoreError> {
    execute!(
        tx,
        "insert into waits (id, run_id, customer, generation, step, attempt, kind, status, question, asked, facts,
            facts_sha256, ladder, rung, due_at, opened_at, fallback)
         values ($1, $2, $3, $4, $5, $6, $7, 'open', $8, $9, $10, $11, $12, $13, $14, $15, $16)",
        wait.id.0,
        wait.run_id.0,
        &wait.customer,
        wait.generation,
        &wait.step,
        wait.attempt,
        wait.kind.as_str(),
        &wait.question,
        Json(&wait.asked.0),
        Json(&wait.facts.0),
        &wait.facts_sha256,
        Json(&wait.ladder.0),
        wait.rung,
        wait.due_at,
        wait.opened_at,
        wait.fallback.as_ref().map(|fallback| Json(&fallback.0))
    )?;
    Ok(())
}

/// Ends an open wait. False when it had ended before: then nothing is changed.
pub async fn close(
    tx: &mut Tx,
    id: WaitId,
    status: WaitStatus,
    answer: Option<&Answer>,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let changed = execute!(
        tx,
        "update waits set status = $1, answer = $2, closed_at = $3, due_at = null where id = $4 and status = 'open'",
        status.as_str(),
        answer.map(Json),
        now,
        id.0
    )?;
    Ok(changed == 1)
}

/// Climbs from rung `from` to the next one. False when the wait has ended or the rung was climbed already.
pub async fn climb(
    tx: &mut Tx,
    id: WaitId,
    from: i32,
    to: i32,
    due_at: Option<DateTime<Utc>>,
    asked: &[Asked],
) -> Result<bool, StoreError> {
    let changed = execute!(
        tx,
        "update waits set rung = $1, due_at = $2, asked = $3 where id = $4 and rung = $5 and status = 'open'",
        to,
        due_at,
        Json(asked),
        id.0,
        from
    )?;
    Ok(changed == 1)
}

/// Open waits whose rung or timer is due, the most overdue first.
pub async fn due(tx: &mut Tx, now: DateTime<Utc>, most: i64) -> Result<Vec<WaitRow>, StoreError> {
    let sql = format!(
        "select {} from waits where status = 'open' and due_at <= $1 order by due_at limit $2",
        WaitRow::COLUMNS
    );
    fetch!(all WaitRow, tx, sql, now, most)
}

/// The instant at which the next rung or timer of any open wait is due.
pub async fn next_due(tx: &mut Tx) -> Result<Option<DateTime<Utc>>, StoreError> {
    let sql = format!(
        "select {} from waits where status = 'open' and due_at is not null order by due_at limit 1",
        WaitRow::COLUMNS
    );
    Ok(fetch!(maybe WaitRow, tx, sql)?.and_then(|wait| wait.due_at))
}

pub async fn get(tx: &mut Tx, id: WaitId) -> Result<WaitRow, StoreError> {
    let sql = format!("select {} from waits where id = $1", WaitRow::COLUMNS);
    fetch!(maybe WaitRow, tx, sql, id.0)?.ok_or_else(|| StoreError::not_found("wait", id))
}

/// Every wait of a run, oldest first.
pub async fn of_run(tx: &mut Tx, run: RunId) -> Result<Vec<WaitRow>, StoreError> {
    let sql = format!("select {} from waits where run_id = $1 order by opened_at, id", WaitRow::COLUMNS);
    fetch!(all WaitRow, tx, sql, run.0)
}
