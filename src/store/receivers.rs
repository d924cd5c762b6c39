//! How far each receiver of events has been told, and how it stands with it.

use chrono::{DateTime, Utc};

use super::column::row;
use super::dialect::{execute, fetch};
use super::{StoreError, Tx, events};

row! {
    /// A receiver: a webhook by its configured name, or `otlp`.
    pub struct ReceiverRow {
        pub name: String,
        /// Place of the last event that is dealt with.
        pub position: i64,
        /// Who holds an older one may write nothing.
        pub fence: i64,
        pub lease_until: Option<DateTime<Utc>>,
        /// Failures since the last success.
        pub attempts: i32,
        pub next_at: DateTime<Utc>,
        pub failing_since: Option<DateTime<Utc>>,
        pub error: Option<String>,
        pub sent_at: Option<DateTime<Utc>>,
        /// Events that it refused until they were passed over.
        pub skipped: i64,
    }
}

/// How it stands with a receiver after sending.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    pub position: i64,
    pub attempts: i32,
    pub next_at: DateTime<Utc>,
    pub failing_since: Option<DateTime<Utc>>,
    pub error: Option<String>,
    pub sent_at: Option<DateTime<Utc>>,
    pub skipped: i64,
}

/// The receiver of this name, if it has ever been heard of.
pub async fn get(tx: &mut Tx, name: &str) -> Result<Option<ReceiverRow>, StoreError> {
    let sql = format!("select {} from receivers where name = $1", ReceiverRow::COLUMNS);
    fetch!(maybe ReceiverRow, tx, sql, name)
}

/// Makes a receiver known: it is told what is sealed from now on. One that is known stays as it is, unless its place is beyond the
/// end: that was in another trail, from before a restored backup.
pub async fn welcome(tx: &mut Tx, name: &str, now: DateTime<Utc>) -> Result<(), StoreError> {
    let (head, _) = events::head(tx).await?;
    let sql = "insert into receivers (name, position, next_at) values ($1, $2, $3)
         on conflict (name) do update set position = excluded.position where receivers.position > excluded.position";
    execute!(tx, sql, name, head, now)?;
    Ok(())
}

/// Takes a receiver in hand until an instant, if nobody else has it and it is due.
pub async fn claim(
    tx: &mut Tx,
    name: &str,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<Option<ReceiverRow>, StoreError> {
    let sql = format!(
        "update receivers set fence = fence + 1, lease_until = $3
         where name = $1 and next_at <= $2 and (lease_until is null or lease_until <= $2) returning {}",
        ReceiverRow::COLUMNS
    );
    fetch!(maybe ReceiverRow, tx, sql, name, now, until)
}

/// Writes how it stands and lets the receiver go. False when somebody else has it meanwhile: then nothing is written.
pub async fn settle(tx: &mut Tx, name: &str, fence: i64, standing: &Standing) -> Result<bool, StoreError> {
    let Standing { position, attempts, next_at, failing_since, error, sent_at, skipped } = standing;
    let written = execute!(
        tx,
        "update receivers set lease_until = null, position = $3, attempts = $4, next_at = $5, failing_since = $6, error = $7,
            sent_at = $8, skipped = $9
         where name = $1 and fence = $2",
        name,
        fence,
        *position,
        *attempts,
        *next_at,
        *failing_since,
        error.as_deref(),
        *sent_at,
        *skipped
    )?;
    Ok(written == 1)
}
