//! What came before, for many messages of a customer at once: the first delivery of the same mail, of the same document, and
//! who wrote already.

use std::collections::{HashMap, HashSet};

use super::column::row;
use super::dialect::fetch;
use super::{Json, StoreError, Tx};
use crate::domain::document::EarlierDocument;
use crate::domain::ids::MessageId;

row! {
    pub struct FirstRow { pub stable_sha256: String, pub id: MessageId }
}
row! {
    pub struct AddressRow { pub address: String }
}
row! {
    pub struct EarlierRow { pub sha256: String, pub message_id: MessageId, pub run: Option<String> }
}

/// Of mails, by stable hash, the first delivery of each that something came of. One that was only quarantined or ignored does
/// not stand in the way of a later one, unless its release came to something.
pub async fn first_with_hashes(
    tx: &mut Tx,
    customer: &str,
    stable_sha256: &[&str],
) -> Result<HashMap<String, MessageId>, StoreError> {
    if stable_sha256.is_empty() {
        return Ok(HashMap::new());
    }
    let sql = format!(
        "select {} from
            (select stable_sha256, id, row_number() over (partition by stable_sha256 order by decided_at, id) as place
             from messages where customer = $1 and stable_sha256 in {}
                and coalesce(released_as, verdict) in ('start', 'resume', 'reply')) as found
         where place = 1",
        FirstRow::COLUMNS,
        tx.each_of("$2")
    );
    let found = fetch!(all FirstRow, tx, sql, customer, Json(stable_sha256))?;
    Ok(found.into_iter().map(|row| (row.stable_sha256, row.id)).collect())
}

/// As `first_with_hashes`, and nobody else decides on such a mail until the commit: it may have come to two mailboxes at once.
pub async fn lock_hash(tx: &mut Tx, customer: &str, stable_sha256: &str) -> Result<(), StoreError> {
    tx.alone_with(&format!("mail:{customer}:{stable_sha256}")).await
}

/// Those of the addresses from which another message than `this` came.
pub async fn known_authors(
    tx: &mut Tx,
    customer: &str,
    addresses: &[&str],
    this: Option<MessageId>,
) -> Result<HashSet<String>, StoreError> {
    if addresses.is_empty() {
        return Ok(HashSet::new());
    }
    let sql = format!(
        "with wanted (address) as {} select {} from wanted where exists
            (select 1 from messages where customer = $1 and from_address = address and state = 'decided'
                and id is distinct from $3)",
        tx.each_of("$2"),
        AddressRow::COLUMNS
    );
    let found = fetch!(all AddressRow, tx, sql, customer, Json(addresses), this.map(|id| id.0))?;
    Ok(found.into_iter().map(|row| row.address).collect())
}

/// Of documents, by SHA-256 (hex), those that came in an earlier message of the customer that something came of, each with
/// the first such message. For many messages at once; a document named twice is told once.
pub async fn first_with_documents(
    tx: &mut Tx,
    customer: &str,
    sha256: &[&str],
) -> Result<Vec<EarlierDocument>, StoreError> {
    if sha256.is_empty() {
        return Ok(vec![]);
    }
    // `cross`, because SQLite would otherwise go through all messages of the customer. What is marked as a repeat has its first beside it, so a document that comes with every mail is looked up once.
    let sql = format!(
        "select {} from
            (select p.sha256, p.message_id, r.name as run,
                row_number() over (partition by p.sha256 order by m.decided_at, m.id) as place
             from parts p cross join messages m left join runs r on r.id = m.run_id
             where m.id = p.message_id and p.sha256 in {} and p.role = 'document' and p.duplicate_of is null and m.customer = $1
                and coalesce(m.released_as, m.verdict) in ('start', 'resume', 'reply')) as found
         where place = 1 order by sha256",
        EarlierRow::COLUMNS,
        tx.each_of("$2")
    );
    let found = fetch!(all EarlierRow, tx, sql, customer, Json(sha256))?;
    let earlier = |row: EarlierRow| EarlierDocument { sha256: row.sha256, message: row.message_id, run: row.run };
    Ok(found.into_iter().map(earlier).collect())
}
