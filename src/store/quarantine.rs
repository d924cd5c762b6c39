//! Quarantined messages, and what a person makes of each, once. The verdict that put them there stays.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::column::row;
use super::dialect::{execute, fetch};
use super::{Json, StoreError, Tx};
use crate::domain::ids::{MessageId, RunId, WaitId};
use crate::domain::message::Message;
use crate::domain::verdict::{Disposition, Severity, Verdict};

row! {
    /// One message that waits in quarantine.
    pub struct HeldRow {
        pub id: MessageId,
        pub customer: String,
        pub mailbox: String,
        pub listed_at: DateTime<Utc>,
        pub received_at: Option<DateTime<Utc>>,
        pub from_address: Option<String>,
        pub subject: Option<String>,
        /// None for what older versions quarantined.
        pub severity: Option<Severity>,
        pub reason: Option<String>,
    }
}

/// Messages in quarantine that nobody released or discarded, newest first.
pub async fn held(tx: &mut Tx) -> Result<Vec<HeldRow>, StoreError> {
    let sql = format!(
        "select {} from messages where verdict = 'quarantine' and disposition is null order by listed_at desc, id desc",
        HeldRow::COLUMNS
    );
    fetch!(all HeldRow, tx, sql)
}

/// What is written when a person released or discarded a message.
#[derive(Debug)]
pub struct Disposed<'a> {
    pub id: MessageId,
    pub disposition: Disposition,
    pub by: &'a str,
    pub reason: &'a str,
    pub at: DateTime<Utc>,
    /// What a release came to; none for a discard.
    pub outcome: Option<Outcome<'a>>,
}

/// What a release came to.
#[derive(Debug)]
pub struct Outcome<'a> {
    /// The message as it was read now.
    pub message: &'a Message,
    pub verdict: &'a Verdict,
    pub run_id: Option<RunId>,
    pub wait_id: Option<WaitId>,
    pub duplicate_of: Option<MessageId>,
    pub documents_of: Option<MessageId>,
    /// The folder that it is moved to from where it was left, by the next poll.
    pub move_to: Option<&'a str>,
}

/// Takes a message out of quarantine, once. False when it is not there, or somebody did so before.
pub async fn dispose(tx: &mut Tx, disposed: &Disposed<'_>) -> Result<bool, StoreError> {
    let changed = execute!(
        tx,
        "update messages set disposition = $1, disposed_at = $2, disposed_by = $3, disposed_reason = $4
         where id = $5 and verdict = 'quarantine' and disposition is null",
        disposed.disposition.as_str(),
        disposed.at,
        disposed.by,
        disposed.reason,
        disposed.id.0
    )?;
    if let (1, Some(outcome)) = (changed, &disposed.outcome) {
        let message = outcome.message;
        execute!(
            tx,
            "update messages set released_as = $1, run_id = $2, wait_id = $3, duplicate_of = $4, stable_sha256 = $5,
                header_message_id = $6, from_address = $7, subject = $8, facts = $9, raw_sha256 = $10,
                documents_of = $11, move_to = coalesce($13, move_to),
                flagged_at = case when cast($13 as text) is null then flagged_at end
             where id = $12",
            outcome.verdict.name(),
            outcome.run_id.map(|id| id.0),
            outcome.wait_id.map(|id| id.0),
            outcome.duplicate_of.map(|id| id.0),
            message.stable_sha256.as_str(),
            message.message_id.as_deref(),
            message.from.first().map(|from| from.address.as_str()),
            message.subject.as_str(),
            Json(serde_json::to_value(message).unwrap_or(Value::Null)),
            message.raw_sha256.as_str(),
            outcome.documents_of.map(|id| id.0),
            disposed.id.0,
            outcome.move_to
        )?;
    }
    Ok(changed == 1)
}
