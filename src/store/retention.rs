//! Discarded messages whose bytes have been kept long enough. Rows stay.

use chrono::{DateTime, Utc};

use super::column::row;
use super::dialect::{execute, fetch};
use super::{StoreError, Tx};
use crate::domain::ids::{MessageId, TransactionId};

row! {
    /// A message whose bytes may go.
    pub struct DueRow {
        pub id: MessageId,
        pub customer: String,
        pub mailbox: String,
        pub transaction_id: TransactionId,
        pub disposed_at: Option<DateTime<Utc>>,
    }
}

/// Messages that somebody discarded before an instant and whose bytes are still there, oldest first. What a run came of
/// is none of them, whatever else its row says.
pub async fn due(tx: &mut Tx, before: DateTime<Utc>, most: i64) -> Result<Vec<DueRow>, StoreError> {
    let sql = format!(
        "select {} from messages where disposition = 'discarded' and purged_at is null and disposed_at <= $1
            and run_id is null order by disposed_at, id limit $2",
        DueRow::COLUMNS
    );
    fetch!(all DueRow, tx, sql, before, most)
}

/// Notes that the bytes are gone, and forgets what was read from them. False when somebody did so before.
pub async fn mark_purged(tx: &mut Tx, id: MessageId, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let sql = "update messages set purged_at = $1, facts = null
         where id = $2 and disposition = 'discarded' and purged_at is null";
    Ok(execute!(tx, sql, now, id.0)? == 1)
}
