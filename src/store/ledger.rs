//! The ledger as a whole: what it says of every delivery of one folder, and where it begins. Single deliveries are in `messages`.

use chrono::{DateTime, Utc};

use super::column::row;
use super::dialect::fetch;
use super::{StoreError, Tx};

row! {
    /// What the ledger says of one delivery, without what was in it.
    pub struct LedgerRow {
        pub uid: String,
        /// `listed` until a verdict stands, then `decided`.
        pub state: String,
        /// Of a renumbered delivery the one that it had under its first number.
        pub verdict: Option<String>,
        pub listed_at: DateTime<Utc>,
    }
}

row! {
    pub struct Received { pub received_at: DateTime<Utc> }
}

/// When the latest message came that was left alone, because the mailbox starts later or was resumed without it; none where
/// none was.
pub async fn left_until(tx: &mut Tx, mailbox: &str) -> Result<Option<DateTime<Utc>>, StoreError> {
    let sql = format!(
        "select {} from messages where mailbox = $1 and received_at is not null and explanation->>'guard' in ('start', 'left')
         order by received_at desc limit 1",
        Received::COLUMNS
    );
    Ok(fetch!(maybe Received, tx, sql, mailbox)?.map(|row| row.received_at))
}

/// Every delivery of a folder under one UIDVALIDITY; injected messages are on no server and left out.
pub async fn of_folder(tx: &mut Tx, mailbox: &str, uid_validity: u32) -> Result<Vec<LedgerRow>, StoreError> {
    let sql = format!(
        "select {} from
            (select uid, state, coalesce(earlier_verdict, verdict) as verdict, listed_at from messages
             where mailbox = $1 and uid_validity = $2 and uid not like 'injected-%') as folder",
        LedgerRow::COLUMNS
    );
    fetch!(all LedgerRow, tx, sql, mailbox, i64::from(uid_validity))
}
