//! Mailboxes that are held: listed, but nothing of them is decided. Who holds them, what waits, and what counts as a burst.

use chrono::{DateTime, Utc};

use super::column::row;
use super::dialect::{execute, fetch};
use super::notices::Count;
use super::{Json, StoreError, Tx};
use crate::domain::verdict::Decision;

row! {
    /// Deliveries of one mailbox that have no verdict yet.
    pub struct WaitingRow {
        pub mailbox: String,
        pub count: i64,
        /// When the server received the first and the last of them, as far as it said.
        pub oldest: Option<DateTime<Utc>>,
        pub newest: Option<DateTime<Utc>>,
    }
}

/// Injected messages are on no server; what a mailbox leaves alone was never to be taken in.
const COUNTS: &str = "uid not like 'injected-%' and (explanation is null or coalesce(explanation->>'guard', '') not in ('start', 'left'))";

/// What waits for a verdict, by mailbox; those where nothing waits are left out.
pub async fn waiting(tx: &mut Tx) -> Result<Vec<WaitingRow>, StoreError> {
    let sql = format!(
        "select {} from
            (select mailbox, count(*) as count, min(received_at) as oldest, max(received_at) as newest from messages
             where state = 'listed' and uid not like 'injected-%' group by mailbox) as waiting order by mailbox",
        WaitingRow::COLUMNS
    );
    fetch!(all WaitingRow, tx, sql)
}

/// As `waiting`, of one mailbox.
pub async fn waiting_in(tx: &mut Tx, mailbox: &str) -> Result<i64, StoreError> {
    let sql = "select count(*) as count from messages
         where mailbox = $1 and state = 'listed' and uid not like 'injected-%'";
    Ok(fetch!(one Count, tx, sql, mailbox)?.count)
}

/// Deliveries that were new in a folder after an instant, decided or not.
pub async fn new_since(tx: &mut Tx, mailbox: &str, uid_validity: u32, since: DateTime<Utc>) -> Result<i64, StoreError> {
    let sql = format!(
        "select count(*) as count from messages
         where mailbox = $1 and uid_validity = $2 and listed_at > $3 and {COUNTS}"
    );
    Ok(fetch!(one Count, tx, sql, mailbox, i64::from(uid_validity), since)?.count)
}

/// Deliveries known under the numbering before this one, if this one was first seen after an instant; otherwise 0.
pub async fn known_before(
    tx: &mut Tx,
    mailbox: &str,
    uid_validity: u32,
    since: DateTime<Utc>,
) -> Result<i64, StoreError> {
    let here = i64::from(uid_validity);
    let sql = "select count(*) as count from
            (select 1 from messages where mailbox = $1 and uid_validity = $2 and listed_at <= $3
                and uid not like 'injected-%' limit 1) as older";
    if fetch!(one Count, tx, sql, mailbox, here, since)?.count > 0 {
        return Ok(0);
    }
    let sql = format!(
        "select count(*) as count from messages where mailbox = $1 and {COUNTS} and uid_validity =
            (select uid_validity from messages where mailbox = $1 and uid_validity <> $2 and uid not like 'injected-%'
             order by listed_at desc limit 1)"
    );
    Ok(fetch!(one Count, tx, sql, mailbox, here)?.count)
}

/// Holds a mailbox. False when it is held already; whoever was first stays named.
pub async fn hold(
    tx: &mut Tx,
    mailbox: &str,
    by: &str,
    reason: &str,
    waiting: i64,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let held = execute!(
        tx,
        "update mailboxes set held_since = $1, held_by = $2, held_reason = $3, held_waiting = $4
         where name = $5 and held_since is null",
        now,
        by,
        reason,
        waiting,
        mailbox
    )?;
    Ok(held == 1)
}

/// Lets a mailbox go on. False when it was not held.
pub async fn release(tx: &mut Tx, mailbox: &str, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let released = execute!(
        tx,
        "update mailboxes set held_since = null, held_by = null, held_reason = null, held_waiting = null, resumed_at = $1
         where name = $2 and held_since is not null",
        now,
        mailbox
    )?;
    Ok(released == 1)
}

/// Gives what waits in a mailbox a verdict unread, and leaves it on the server as it is: all of it, or what the server
/// received before an instant. Gives how many.
pub async fn leave(
    tx: &mut Tx,
    mailbox: &str,
    older_than: Option<DateTime<Utc>>,
    decision: &Decision,
    now: DateTime<Utc>,
) -> Result<u64, StoreError> {
    let which = "mailbox = $1 and state = 'listed' and uid not like 'injected-%'
        and ($2 or (received_at is not null and received_at < $3))";
    // The instant counts only when not all are meant; a value keeps its type known to the database.
    let (all, before) = (older_than.is_none(), older_than.unwrap_or(now));
    let sql = format!(
        "insert into transactions (id, customer, message_id, created_at)
         select transaction_id, customer, id, $4 from messages where {which} on conflict do nothing"
    );
    execute!(tx, sql, mailbox, all, before, now)?;
    let sql = format!(
        "update messages set state = 'decided', verdict = $5, reason = $6, explanation = $7, decided_at = $4,
            flagged_at = $4, error = null where {which}"
    );
    execute!(tx, sql, mailbox, all, before, now, decision.verdict.name(), &decision.reason, Json(&decision.explanation))
}
