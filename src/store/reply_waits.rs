//! Messages that wait for the answer to our reply, each once, and what ended the wait.

use chrono::{DateTime, Utc};

use super::column::row;
use super::dialect::{execute, fetch};
use super::messages::MessageRow;
use super::{StoreError, Tx};
use crate::domain::ids::{MessageId, NoticeId};
use crate::domain::verdict::{ReplyEnd, Severity};

row! {
    /// The wait of one message.
    pub struct ReplyWaitRow {
        pub message_id: MessageId,
        pub customer: String,
        pub mailbox: String,
        /// The reply that asks.
        pub notice_id: NoticeId,
        /// Whom it asks.
        pub address: String,
        pub template: String,
        /// As the rule says it: `7d`.
        pub within: String,
        /// Of the quarantine when nobody answers.
        pub severity: Severity,
        /// An answer that the server received later does not count.
        pub until_at: DateTime<Utc>,
        /// When silence counts; later than `until_at` when mail was not being read then.
        pub due_at: DateTime<Utc>,
        /// None while it waits.
        pub ended_as: Option<ReplyEnd>,
        pub ended_at: Option<DateTime<Utc>>,
        /// The message that answered.
        pub answered_by: Option<MessageId>,
    }
}

/// Writes a wait that begins; a message waits once, whatever is repeated.
pub async fn insert(tx: &mut Tx, wait: &ReplyWaitRow) -> Result<(), StoreError> {
    execute!(
        tx,
        "insert into reply_waits
            (message_id, customer, mailbox, notice_id, address, template, within, severity, until_at, due_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         on conflict do nothing",
        wait.message_id.0,
        &wait.customer,
        &wait.mailbox,
        wait.notice_id.0,
        &wait.address,
        &wait.template,
        &wait.within,
        wait.severity.as_str(),
        wait.until_at,
        wait.due_at
    )?;
    Ok(())
}

pub async fn of_message(tx: &mut Tx, message: MessageId) -> Result<Option<ReplyWaitRow>, StoreError> {
    let sql = format!("select {} from reply_waits where message_id = $1", ReplyWaitRow::COLUMNS);
    fetch!(maybe ReplyWaitRow, tx, sql, message.0)
}

pub async fn of_notice(tx: &mut Tx, notice: NoticeId) -> Result<Option<ReplyWaitRow>, StoreError> {
    let sql = format!("select {} from reply_waits where notice_id = $1", ReplyWaitRow::COLUMNS);
    fetch!(maybe ReplyWaitRow, tx, sql, notice.0)
}

/// Waits that are over: their time has come, or their reply never reached anybody. The oldest first.
pub async fn due(tx: &mut Tx, now: DateTime<Utc>, most: i64) -> Result<Vec<ReplyWaitRow>, StoreError> {
    let sql = format!(
        "select {} from reply_waits
         where ended_as is null and (due_at <= $1
            or exists (select 1 from notices where id = notice_id and status in ('failed', 'undelivered')))
         order by due_at, message_id limit $2",
        ReplyWaitRow::COLUMNS
    );
    fetch!(all ReplyWaitRow, tx, sql, now, most)
}

/// Silence counts only at `due_at`. Nothing when the wait is over.
pub async fn put_off(tx: &mut Tx, message: MessageId, due_at: DateTime<Utc>) -> Result<(), StoreError> {
    let sql = "update reply_waits set due_at = $1 where message_id = $2 and ended_as is null";
    execute!(tx, sql, due_at, message.0)?;
    Ok(())
}

/// Ends a wait by an answer. False when something else ended it before; the same answer again is no other.
pub async fn answer(tx: &mut Tx, message: MessageId, by: MessageId, at: DateTime<Utc>) -> Result<bool, StoreError> {
    let sql = "update reply_waits set ended_as = 'answered', ended_at = coalesce(ended_at, $1), answered_by = $2
         where message_id = $3 and (ended_as is null or answered_by = $2)";
    Ok(execute!(tx, sql, at, by.0, message.0)? == 1)
}

/// Ends a wait that nobody answered, and puts its message to quarantine, once. False when something else ended it before.
pub async fn give_up(
    tx: &mut Tx,
    wait: &ReplyWaitRow,
    ended: ReplyEnd,
    reason: &str,
    at: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let sql = "update reply_waits set ended_as = $1, ended_at = $2 where message_id = $3 and ended_as is null";
    if execute!(tx, sql, ended.as_str(), at, wait.message_id.0)? == 0 {
        return Ok(false);
    }
    let sql = "update messages set verdict = 'quarantine', severity = $1, reason = $2
         where id = $3 and verdict = 'reply'";
    execute!(tx, sql, wait.severity.as_str(), reason, wait.message_id.0)?;
    Ok(true)
}

/// Messages that answer our reply to this one, in time or late, in their order.
pub async fn answers_to(tx: &mut Tx, message: MessageId) -> Result<Vec<MessageRow>, StoreError> {
    let sql = format!("select {} from messages where answer_to = $1 order by listed_at, id", MessageRow::COLUMNS);
    fetch!(all MessageRow, tx, sql, message.0)
}
