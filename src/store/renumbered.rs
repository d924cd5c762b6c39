//! Deliveries that come again under another number, because the server changed the folder's UIDVALIDITY: found by the hash of
//! their bytes, and paired one to one.

use super::column::row;
use super::dialect::{execute, fetch};
use super::messages::Found;
use super::notices::Count;
use super::{StoreError, Tx};
use crate::domain::ids::MessageId;

row! {
    /// A delivery under its first number.
    pub struct EarlierRow {
        pub id: MessageId,
        pub verdict: Option<String>,
        pub from_address: Option<String>,
        pub subject: Option<String>,
        pub header_message_id: Option<String>,
        pub move_to: Option<String>,
    }
}

/// The first decided delivery of these bytes to a mailbox under another UIDVALIDITY, for which no delivery under this one
/// stands yet. Injected messages are on no server.
pub async fn earlier(
    tx: &mut Tx,
    mailbox: &str,
    uid_validity: i64,
    raw_sha256: &str,
) -> Result<Option<EarlierRow>, StoreError> {
    let sql = format!(
        "select {} from messages as first
         where mailbox = $1 and raw_sha256 = $2 and uid_validity <> $3 and state = 'decided' and earlier_verdict is null
            and uid not like 'injected-%' and not exists
                (select 1 from messages as later where later.mailbox = $1 and later.raw_sha256 = $2
                    and later.uid_validity = $3 and later.earlier_verdict is not null and later.duplicate_of = first.id)
         order by decided_at, id limit 1",
        EarlierRow::COLUMNS
    );
    fetch!(maybe EarlierRow, tx, sql, mailbox, raw_sha256, uid_validity)
}

/// As `earlier`, and nobody else pairs these bytes until the commit.
pub async fn lock_earlier(
    tx: &mut Tx,
    mailbox: &str,
    uid_validity: i64,
    raw_sha256: &str,
) -> Result<Option<EarlierRow>, StoreError> {
    tx.alone_with(&format!("renumbered:{mailbox}:{raw_sha256}")).await?;
    earlier(tx, mailbox, uid_validity, raw_sha256).await
}

/// Lets a delivery stand for an earlier one: it counts with that one's verdict, and is shown with its facts.
pub async fn stand_for(tx: &mut Tx, id: MessageId, earlier: &EarlierRow) -> Result<(), StoreError> {
    execute!(
        tx,
        "update messages set earlier_verdict = $1, from_address = $2, subject = $3, header_message_id = $4, move_to = $6
         where id = $5",
        earlier.verdict.as_deref(),
        earlier.from_address.as_deref(),
        earlier.subject.as_deref(),
        earlier.header_message_id.as_deref(),
        id.0,
        earlier.move_to.as_deref()
    )?;
    Ok(())
}

/// Whether a mailbox has deliveries under another UIDVALIDITY than this.
pub async fn is_renumbered(tx: &mut Tx, mailbox: &str, uid_validity: i64) -> Result<bool, StoreError> {
    let sql = format!(
        "select {} from messages where mailbox = $1 and uid_validity <> $2 and uid not like 'injected-%' limit 1",
        Found::COLUMNS
    );
    Ok(fetch!(maybe Found, tx, sql, mailbox, uid_validity)?.is_some())
}

/// How many deliveries of a folder are known under one UIDVALIDITY.
pub async fn known_under(tx: &mut Tx, mailbox: &str, uid_validity: i64) -> Result<i64, StoreError> {
    let sql = "select count(*) as count from messages
         where mailbox = $1 and uid_validity = $2 and uid not like 'injected-%'";
    Ok(fetch!(one Count, tx, sql, mailbox, uid_validity)?.count)
}
