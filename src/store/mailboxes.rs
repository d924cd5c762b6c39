//! How far each mailbox is read, by whom, and how it is.

use chrono::{DateTime, Utc};

use super::column::row;
use super::dialect::{execute, fetch};
use super::{StoreError, Tx};

row! {
    /// State of one configured mailbox.
    pub struct MailboxRow {
        pub name: String,
        pub customer: String,
        pub uid_validity: Option<i64>,
        /// Highest UID that has a ledger row.
        pub high_water: i64,
        pub lease_owner: Option<String>,
        pub lease_until: Option<DateTime<Utc>>,
        pub fence: i64,
        /// `unknown`, `healthy` or `unhealthy`.
        pub health: String,
        /// Failed polls in a row.
        pub failures: i32,
        pub last_error: Option<String>,
        pub last_poll_at: Option<DateTime<Utc>>,
        pub next_poll_at: Option<DateTime<Utc>>,
        /// Set while it is held; see `holds`.
        pub held_since: Option<DateTime<Utc>>,
        pub held_by: Option<String>,
        pub held_reason: Option<String>,
        /// Messages that waited when the hold began.
        pub held_waiting: Option<i64>,
        /// When somebody last let it go on.
        pub resumed_at: Option<DateTime<Utc>>,
    }
}

impl MailboxRow {
    /// How it is, in one word: `held`, `healthy`, `unhealthy` or `unknown`.
    pub fn condition(&self) -> &str {
        if self.held_since.is_some() { "held" } else { &self.health }
    }
}

/// Makes sure that a configured mailbox has its row.
pub async fn ensure(tx: &mut Tx, name: &str, customer: &str) -> Result<(), StoreError> {
    execute!(
        tx,
        "insert into mailboxes (name, customer) values ($1, $2)
         on conflict (name) do update set customer = excluded.customer",
        name,
        customer
    )?;
    Ok(())
}

pub async fn all(tx: &mut Tx) -> Result<Vec<MailboxRow>, StoreError> {
    let sql = format!("select {} from mailboxes order by name", MailboxRow::COLUMNS);
    fetch!(all MailboxRow, tx, sql)
}

pub async fn get(tx: &mut Tx, name: &str) -> Result<Option<MailboxRow>, StoreError> {
    let sql = format!("select {} from mailboxes where name = $1", MailboxRow::COLUMNS);
    fetch!(maybe MailboxRow, tx, sql, name)
}

/// Takes or renews the lease of a mailbox; false while somebody else holds it. It saves double work and no more: that a
/// message is decided once rests on `messages::decide`, whoever polls.
pub async fn lease(
    tx: &mut Tx,
    name: &str,
    owner: &str,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let taken = execute!(
        tx,
        "update mailboxes set lease_owner = $1, lease_until = $2, fence = fence + 1
         where name = $3 and (lease_owner is null or lease_owner = $1 or lease_until < $4)",
        owner,
        until,
        name,
        now
    )?;
    Ok(taken == 1)
}

/// Gives the lease back, if it is still ours.
pub async fn release(tx: &mut Tx, name: &str, owner: &str) -> Result<(), StoreError> {
    let sql = "update mailboxes set lease_owner = null, lease_until = null where name = $1 and lease_owner = $2";
    execute!(tx, sql, name, owner)?;
    Ok(())
}

/// Remembers how far the folder has been listed. A new UIDVALIDITY starts again from zero.
pub async fn set_high_water(tx: &mut Tx, name: &str, uid_validity: u32, high_water: u32) -> Result<(), StoreError> {
    execute!(
        tx,
        "update mailboxes set uid_validity = $1, high_water = $2 where name = $3",
        i64::from(uid_validity),
        i64::from(high_water),
        name
    )?;
    Ok(())
}

/// A poll went well. True when the mailbox was not healthy before.
pub async fn note_success(tx: &mut Tx, name: &str, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let was = get(tx, name).await?.is_some_and(|row| row.health != "healthy");
    execute!(
        tx,
        "update mailboxes set health = 'healthy', failures = 0, last_error = null, last_poll_at = $1, next_poll_at = null
         where name = $2",
        now,
        name
    )?;
    Ok(was)
}

/// A poll failed; the next is not before `next`. True when the mailbox was not unhealthy before.
pub async fn note_failure(
    tx: &mut Tx,
    name: &str,
    error: &str,
    now: DateTime<Utc>,
    next: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let was = get(tx, name).await?.is_some_and(|row| row.health != "unhealthy");
    execute!(
        tx,
        "update mailboxes set health = 'unhealthy', failures = failures + 1, last_error = $1, last_poll_at = $2,
         next_poll_at = $3 where name = $4",
        error,
        now,
        next,
        name
    )?;
    Ok(was)
}
