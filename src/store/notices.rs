//! The outbox: notices written with their cause, sent afterwards.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::column::row;
use super::dialect::{execute, fetch};
use super::{Json, StoreError, Tx};
use crate::domain::ids::{NoticeId, RunId, TokenId, WaitId};
use crate::domain::notice::{Attachment, NoticeStatus};

row! {
    pub struct OwnRow { pub header_message_id: String }
}
row! {
    /// One thing told to one person.
    pub struct NoticeRow {
        pub id: NoticeId,
        pub customer: String,
        pub run_id: Option<RunId>,
        pub wait_id: Option<WaitId>,
        pub token_id: Option<TokenId>,
        /// The mailbox that answers come to.
        pub mailbox: Option<String>,
        pub medium: String,
        pub person: String,
        pub address: String,
        pub template: String,
        pub data: Json<Map<String, Value>>,
        pub attachments: Json<Vec<Attachment>>,
        /// Message-ID without brackets; the same at every attempt.
        pub header_message_id: String,
        pub in_reply_to: Option<String>,
        pub status: NoticeStatus,
        pub attempts: i32,
        /// Not before; while it is being sent, when the sender counts as dead.
        pub next_at: DateTime<Utc>,
        pub fence: i64,
        pub receipt: Option<String>,
        pub error: Option<String>,
        pub created_at: DateTime<Utc>,
        pub sent_at: Option<DateTime<Utc>>,
    }
}

row! {
    pub struct Unreachable { pub address: String }
}

row! {
    pub struct Count { pub count: i64 }
}

pub async fn insert(tx: &mut Tx, notice: &NoticeRow) -> Result<(), StoreError> {
    execute!(
        tx,
        "insert into notices (id, customer, run_id, wait_id, token_id, mailbox, medium, person, address, template, data,
            attachments, header_message_id, in_reply_to, status, next_at, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, 'pending', $15, $16)",
        notice.id.0,
        &notice.customer,
        notice.run_id.map(|id| id.0),
        notice.wait_id.map(|id| id.0),
        notice.token_id.map(|id| id.0),
        notice.mailbox.as_deref(),
        &notice.medium,
        &notice.person,
        &notice.address,
        &notice.template,
        Json(&notice.data.0),
        Json(&notice.attachments.0),
        &notice.header_message_id,
        notice.in_reply_to.as_deref(),
        notice.next_at,
        notice.created_at
    )?;
    Ok(())
}

/// Takes the next notice that is due, until `until`. One that is `sending` and due was in the hands of a process that died:
/// its row comes back as it was, so that the caller can say that it may go out twice.
pub async fn claim(tx: &mut Tx, now: DateTime<Utc>, until: DateTime<Utc>) -> Result<Option<NoticeRow>, StoreError> {
    let sql = format!(
        "select {} from notices where status in ('pending', 'sending') and next_at <= $1 order by next_at, id limit 1{}",
        NoticeRow::COLUMNS,
        tx.skip_locked()
    );
    let Some(mut notice) = fetch!(maybe NoticeRow, tx, sql, now)? else { return Ok(None) };
    notice.fence += 1;
    notice.attempts += 1;
    execute!(
        tx,
        "update notices set status = 'sending', fence = $1, attempts = $2, next_at = $3 where id = $4",
        notice.fence,
        notice.attempts,
        until,
        notice.id.0
    )?;
    Ok(Some(notice))
}

/// What became of a claimed notice. False when somebody else has claimed it meanwhile.
pub async fn settle(
    tx: &mut Tx,
    notice: &NoticeRow,
    status: NoticeStatus,
    detail: &str,
    next_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let sent = status == NoticeStatus::Sent;
    let changed = execute!(
        tx,
        "update notices set status = $1, next_at = $2, receipt = $3, error = $4, sent_at = $5
         where id = $6 and fence = $7 and status = 'sending'",
        status.as_str(),
        next_at,
        sent.then_some(detail),
        (!sent).then_some(detail),
        sent.then_some(now),
        notice.id.0,
        notice.fence
    )?;
    Ok(changed == 1)
}

/// Calls back what has not gone out yet of a wait that is over.
pub async fn void_of_wait(tx: &mut Tx, wait: WaitId) -> Result<(), StoreError> {
    let sql = "update notices set status = 'void' where wait_id = $1 and status = 'pending' and token_id is not null";
    execute!(tx, sql, wait.0)?;
    Ok(())
}

/// Marks a notice as come back, once, whatever the sending of it says later. False when that was known, or it never went out.
pub async fn mark_undelivered(tx: &mut Tx, id: NoticeId, why: &str) -> Result<bool, StoreError> {
    let sql = "update notices set status = 'undelivered', error = $1
         where id = $2 and status in ('pending', 'sending', 'sent')";
    Ok(execute!(tx, sql, why, id.0)? == 1)
}

/// Notes what is wrong with the delivery of a notice that went out and may still arrive.
pub async fn note_delay(tx: &mut Tx, id: NoticeId, why: &str) -> Result<(), StoreError> {
    execute!(tx, "update notices set error = $1 where id = $2 and status = 'sent'", why, id.0)?;
    Ok(())
}

/// Addresses that a notice of this wait came back from.
pub async fn unreachable(tx: &mut Tx, wait: WaitId) -> Result<Vec<String>, StoreError> {
    let sql = format!(
        "select distinct {} from notices where wait_id = $1 and status = 'undelivered' order by address",
        Unreachable::COLUMNS
    );
    let found = fetch!(all Unreachable, tx, sql, wait.0)?;
    Ok(found.into_iter().map(|row| row.address).collect())
}

pub async fn get(tx: &mut Tx, id: NoticeId) -> Result<NoticeRow, StoreError> {
    let sql = format!("select {} from notices where id = $1", NoticeRow::COLUMNS);
    fetch!(maybe NoticeRow, tx, sql, id.0)?.ok_or_else(|| StoreError::not_found("notice", id))
}

/// The notice with one of these Message-IDs; the first that is ours.
pub async fn by_message_ids(tx: &mut Tx, ids: &[String]) -> Result<Option<NoticeRow>, StoreError> {
    let sql = format!("select {} from notices where header_message_id = $1", NoticeRow::COLUMNS);
    for id in ids {
        if let Some(found) = fetch!(maybe NoticeRow, tx, sql.clone(), id)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// Those of the Message-IDs that are of notices of ours.
pub async fn are_ours(tx: &mut Tx, ids: &[&str]) -> Result<HashSet<String>, StoreError> {
    if ids.is_empty() {
        return Ok(HashSet::new());
    }
    let sql = format!("select {} from notices where header_message_id in {}", OwnRow::COLUMNS, tx.each_of("$1"));
    Ok(fetch!(all OwnRow, tx, sql, Json(ids))?.into_iter().map(|row| row.header_message_id).collect())
}

/// Notices of a run, oldest first.
pub async fn of_run(tx: &mut Tx, run: RunId) -> Result<Vec<NoticeRow>, StoreError> {
    let sql = format!("select {} from notices where run_id = $1 order by created_at, id", NoticeRow::COLUMNS);
    fetch!(all NoticeRow, tx, sql, run.0)
}

/// Notices of one template to one address since an instant.
pub async fn count_since(tx: &mut Tx, address: &str, template: &str, since: DateTime<Utc>) -> Result<i64, StoreError> {
    let sql = format!(
        "select count(*) as {} from notices where address = $1 and template = $2 and created_at >= $3",
        Count::COLUMNS
    );
    Ok(fetch!(one Count, tx, sql, address, template, since)?.count)
}

/// How many notices are in one status.
pub async fn count_of(tx: &mut Tx, status: NoticeStatus) -> Result<i64, StoreError> {
    let sql = format!("select count(*) as {} from notices where status = $1", Count::COLUMNS);
    Ok(fetch!(one Count, tx, sql, status.as_str())?.count)
}
