//! The ledger: one row per delivery from the moment it is listed, and the parts of what was decided.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::column::row;
use super::dialect::{execute, fetch, on_tx};
use super::{Json, StoreError, Tx};
use crate::domain::ids::{Delivery, MessageId, RunId, TransactionId, WaitId};
use crate::domain::message::{Message, Part, PartKind, PartRole};
use crate::domain::verdict::{Decision, Disposition, Explanation, Severity};

/// Rows in one statement.
const MANY: usize = 100;

row! {
    /// One delivery. `state` is `listed` until a verdict stands, then `decided`.
    pub struct MessageRow {
        pub id: MessageId,
        pub customer: String,
        pub mailbox: String,
        pub uid_validity: i64,
        pub uid: String,
        pub transaction_id: TransactionId,
        pub state: String,
        pub listed_at: DateTime<Utc>,
        pub received_at: Option<DateTime<Utc>>,
        pub size_bytes: i64,
        pub raw_sha256: Option<String>,
        pub stable_sha256: Option<String>,
        pub header_message_id: Option<String>,
        pub from_address: Option<String>,
        pub subject: Option<String>,
        pub verdict: Option<String>,
        pub reason: Option<String>,
        pub explanation: Option<Json<Explanation>>,
        pub run_id: Option<RunId>,
        pub wait_id: Option<WaitId>,
        /// The first delivery of the same mail.
        pub duplicate_of: Option<MessageId>,
        /// The first message that brought one of its documents.
        pub documents_of: Option<MessageId>,
        pub decided_at: Option<DateTime<Utc>>,
        pub flagged_at: Option<DateTime<Utc>>,
        pub attempts: i32,
        pub error: Option<String>,
        /// Of a quarantine; none for what older versions quarantined.
        pub severity: Option<Severity>,
        /// What a person made of the quarantine; see `quarantine`.
        pub disposition: Option<Disposition>,
        pub disposed_at: Option<DateTime<Utc>>,
        pub disposed_by: Option<String>,
        pub disposed_reason: Option<String>,
        /// The verdict that a release came to.
        pub released_as: Option<String>,
        /// Set when it stands for the same delivery under an older UIDVALIDITY, `duplicate_of`: that one's verdict.
        pub earlier_verdict: Option<String>,
        /// When retention removed its bytes.
        pub purged_at: Option<DateTime<Utc>>,
        /// The folder that a rule has it moved to, once it is flagged.
        pub move_to: Option<String>,
        /// The message whose reply of ours this one answers, in time or late; see `reply_waits`.
        pub answer_to: Option<MessageId>,
    }
}

row! {
    /// One stored part.
    pub struct PartRow {
        pub message_id: MessageId,
        pub idx: i32,
        pub name: Option<String>,
        pub declared_type: String,
        pub kind: PartKind,
        pub role: PartRole,
        pub sha256: String,
        pub size_bytes: i64,
        pub path: String,
        /// The first message that brought the same document.
        pub duplicate_of: Option<MessageId>,
    }
}

row! {
    pub struct Found { pub id: MessageId }
}

impl MessageRow {
    /// As `record_listed` would write a delivery, without writing it.
    pub fn unlisted(customer: &str, delivery: &Delivery, now: DateTime<Utc>) -> Self {
        Self {
            id: delivery.message_id(),
            customer: customer.to_owned(),
            mailbox: delivery.mailbox.clone(),
            uid_validity: i64::from(delivery.uid_validity),
            uid: delivery.uid.clone(),
            transaction_id: delivery.transaction_id(),
            state: "listed".into(),
            listed_at: now,
            received_at: Some(now),
            size_bytes: 0,
            raw_sha256: None,
            stable_sha256: None,
            header_message_id: None,
            from_address: None,
            subject: None,
            verdict: None,
            reason: None,
            explanation: None,
            run_id: None,
            wait_id: None,
            duplicate_of: None,
            documents_of: None,
            decided_at: None,
            flagged_at: None,
            attempts: 0,
            error: None,
            severity: None,
            disposition: None,
            disposed_at: None,
            disposed_by: None,
            disposed_reason: None,
            released_as: None,
            earlier_verdict: None,
            purged_at: None,
            move_to: None,
            answer_to: None,
        }
    }
}

/// Writes a delivery into the ledger. False when it is there already.
pub async fn record_listed(
    tx: &mut Tx,
    customer: &str,
    delivery: &Delivery,
    received_at: Option<DateTime<Utc>>,
    size_bytes: u64,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let inserted = execute!(
        tx,
        "insert into messages
            (id, customer, mailbox, uid_validity, uid, transaction_id, state, listed_at, received_at, size_bytes)
         values ($1, $2, $3, $4, $5, $6, 'listed', $7, $8, $9)
         on conflict do nothing",
        delivery.message_id().0,
        customer,
        &delivery.mailbox,
        i64::from(delivery.uid_validity),
        &delivery.uid,
        delivery.transaction_id().0,
        now,
        received_at,
        i64::try_from(size_bytes).unwrap_or(i64::MAX)
    )?;
    Ok(inserted == 1)
}

/// Deliveries of a mailbox that wait for a verdict and may be tried now, in the order in which the server received them: of
/// two answers the first one counts. Shorter UIDs are lower ones.
pub async fn open(tx: &mut Tx, mailbox: &str, now: DateTime<Utc>, most: i64) -> Result<Vec<MessageRow>, StoreError> {
    let sql = format!(
        "select {} from messages where mailbox = $1 and state = 'listed' and uid not like 'injected-%'
            and (next_attempt_at is null or next_attempt_at <= $2)
         order by listed_at, received_at, length(uid), uid limit $3",
        MessageRow::COLUMNS
    );
    fetch!(all MessageRow, tx, sql, mailbox, now, most)
}

/// What is written when a verdict stands.
#[derive(Debug)]
pub struct Decided<'a> {
    pub id: MessageId,
    /// Whose it turned out to be; it was listed as the mailbox's own customer's.
    pub customer: &'a str,
    /// Kept without its bytes, as facts for people; none when they could not be parsed.
    pub message: Option<&'a Message>,
    pub decision: &'a Decision,
    pub raw_sha256: Option<&'a str>,
    pub size_bytes: u64,
    pub run_id: Option<RunId>,
    pub wait_id: Option<WaitId>,
    pub duplicate_of: Option<MessageId>,
    pub documents_of: Option<MessageId>,
    pub at: DateTime<Utc>,
}

/// Gives a delivery its verdict, once. False when it has one already.
pub async fn decide(tx: &mut Tx, decided: &Decided<'_>) -> Result<bool, StoreError> {
    let message = decided.message;
    let facts = message.map(|message| Json(serde_json::to_value(message).unwrap_or(Value::Null)));
    let changed = execute!(
        tx,
        "update messages set state = 'decided', customer = $17, documents_of = $18, verdict = $1, reason = $2, explanation = $3, run_id = $4, wait_id = $5,
            duplicate_of = $6, decided_at = $7, raw_sha256 = $8, stable_sha256 = $9, header_message_id = $10,
            from_address = $11, subject = $12, facts = $13, size_bytes = $14, severity = $15, move_to = $19,
            answer_to = $20, error = null
         where id = $16 and state = 'listed'",
        decided.decision.verdict.name(),
        &decided.decision.reason,
        Json(&decided.decision.explanation),
        decided.run_id.map(|id| id.0),
        decided.wait_id.map(|id| id.0),
        decided.duplicate_of.map(|id| id.0),
        decided.at,
        decided.raw_sha256,
        message.map(|message| message.stable_sha256.as_str()),
        message.and_then(|message| message.message_id.as_deref()),
        message.and_then(|message| message.from.first()).map(|from| from.address.as_str()),
        message.map(|message| message.subject.as_str()),
        facts,
        i64::try_from(decided.size_bytes).unwrap_or(i64::MAX),
        decided.decision.verdict.severity().map(Severity::as_str),
        decided.id.0,
        decided.customer,
        decided.documents_of.map(|id| id.0),
        decided.decision.explanation.folder(),
        decided.decision.explanation.answers.as_ref().map(|answers| answers.message.0)
    )?;
    Ok(changed == 1)
}

/// The attempt at a delivery failed for now; it is tried again at `next`.
pub async fn note_failure(tx: &mut Tx, id: MessageId, error: &str, next: DateTime<Utc>) -> Result<(), StoreError> {
    execute!(
        tx,
        "update messages set attempts = attempts + 1, error = $1, next_attempt_at = $2 where id = $3 and state = 'listed'",
        error,
        next,
        id.0
    )?;
    Ok(())
}

/// Decided deliveries that the server does not show as dealt with yet.
pub async fn unflagged(tx: &mut Tx, mailbox: &str, most: i64) -> Result<Vec<MessageRow>, StoreError> {
    let sql = format!(
        "select {} from messages where mailbox = $1 and state = 'decided' and flagged_at is null order by decided_at limit $2",
        MessageRow::COLUMNS
    );
    fetch!(all MessageRow, tx, sql, mailbox, most)
}

pub async fn mark_flagged(tx: &mut Tx, ids: &[MessageId], at: DateTime<Utc>) -> Result<(), StoreError> {
    for ids in ids.chunks(MANY) {
        let places: Vec<_> = (2..ids.len() + 2).map(|place| format!("${place}")).collect();
        let sql =
            format!("update messages set flagged_at = $1 where flagged_at is null and id in ({})", places.join(", "));
        on_tx!(tx, connection => {
            let mut query = sqlx::query::<D>(sqlx::AssertSqlSafe(sql)).bind(at);
            for id in ids {
                query = query.bind(id.0);
            }
            query.execute(connection).await.map(drop)
        })?;
    }
    Ok(())
}

/// Whether the address sent this customer any other mail than the one with this stable hash.
pub async fn has_written_besides(
    tx: &mut Tx,
    customer: &str,
    address: &str,
    stable_sha256: &str,
) -> Result<bool, StoreError> {
    let sql = format!(
        "select {} from messages
         where customer = $1 and from_address = $2 and state = 'decided' and stable_sha256 <> $3 limit 1",
        Found::COLUMNS
    );
    Ok(fetch!(maybe Found, tx, sql, customer, address, stable_sha256)?.is_some())
}

pub async fn get(tx: &mut Tx, id: MessageId) -> Result<MessageRow, StoreError> {
    let sql = format!("select {} from messages where id = $1", MessageRow::COLUMNS);
    fetch!(maybe MessageRow, tx, sql, id.0)?.ok_or_else(|| StoreError::not_found("message", id))
}

/// The latest messages, newest first.
pub async fn latest(tx: &mut Tx, most: i64) -> Result<Vec<MessageRow>, StoreError> {
    let sql = format!("select {} from messages order by listed_at desc, id desc limit $1", MessageRow::COLUMNS);
    fetch!(all MessageRow, tx, sql, most)
}

/// A part as it was stored.
#[derive(Debug)]
pub struct StoredPart<'a> {
    pub part: &'a Part,
    pub path: &'a str,
    /// The first message that brought the same document.
    pub duplicate_of: Option<MessageId>,
}

/// Writes the parts of a message, whose documents belong to a transaction.
pub async fn insert_parts(
    tx: &mut Tx,
    message: MessageId,
    transaction: TransactionId,
    parts: &[StoredPart<'_>],
) -> Result<(), StoreError> {
    for parts in parts.chunks(MANY) {
        let row = |at: usize| {
            let places: Vec<_> = (at * 13 + 1..=at * 13 + 13).map(|place| format!("${place}")).collect();
            format!("({})", places.join(", "))
        };
        let rows: Vec<_> = (0..parts.len()).map(row).collect();
        let sql = format!(
            "insert into parts (message_id, idx, transaction_id, container, name, declared_type, kind, role, sha256,
                size_bytes, twin_of, path, duplicate_of)
             values {}",
            rows.join(", ")
        );
        on_tx!(tx, connection => {
            let mut query = sqlx::query::<D>(sqlx::AssertSqlSafe(sql));
            for StoredPart { part, path, duplicate_of } in parts {
                query = query
                    .bind(message.0)
                    .bind(i32::try_from(part.index).unwrap_or(i32::MAX))
                    .bind(transaction.0)
                    .bind(part.container.and_then(|index| i32::try_from(index).ok()))
                    .bind(part.name.as_deref())
                    .bind(&part.declared_type)
                    .bind(part.kind.as_str())
                    .bind(part.role.as_str())
                    .bind(&part.sha256)
                    .bind(i64::try_from(part.size_bytes).unwrap_or(i64::MAX))
                    .bind(part.twin_of.and_then(|index| i32::try_from(index).ok()))
                    .bind(*path)
                    .bind(duplicate_of.map(|id| id.0));
            }
            query.execute(connection).await.map(drop)
        })?;
    }
    Ok(())
}

/// Takes the parts of a message out again, before it is filed anew.
pub async fn remove_parts(tx: &mut Tx, message: MessageId) -> Result<(), StoreError> {
    execute!(tx, "delete from parts where message_id = $1", message.0)?;
    Ok(())
}

/// The parts of a message, in order.
pub async fn parts(tx: &mut Tx, message: MessageId) -> Result<Vec<PartRow>, StoreError> {
    let sql = format!("select {} from parts where message_id = $1 order by idx", PartRow::COLUMNS);
    fetch!(all PartRow, tx, sql, message.0)
}

/// Writes the transaction of a message.
pub async fn insert_transaction(
    tx: &mut Tx,
    id: TransactionId,
    customer: &str,
    message: MessageId,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    execute!(
        tx,
        "insert into transactions (id, customer, message_id, created_at) values ($1, $2, $3, $4) on conflict do nothing",
        id.0,
        customer,
        message.0,
        now
    )?;
    Ok(())
}
