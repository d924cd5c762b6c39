//! Documents that came before, in other messages of the same customer: the third tier of duplicates.

use super::column::row;
use super::dialect::fetch;
use super::{Json, StoreError, Tx};
use crate::domain::document::EarlierDocument;
use crate::domain::ids::MessageId;

row! {
    pub struct EarlierRow {
        pub sha256: String,
        pub message_id: MessageId,
        pub run: Option<String>,
    }
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
    // What is marked as a repeat has its first beside it, so a document that comes with every mail is looked up once.
    let sql = format!(
        "select {} from
            (select p.sha256, p.message_id, r.name as run,
                row_number() over (partition by p.sha256 order by m.decided_at, m.id) as place
             from parts p join messages m on m.id = p.message_id left join runs r on r.id = m.run_id
             where p.sha256 in {} and p.role = 'document' and p.duplicate_of is null and m.customer = $1
                and coalesce(m.released_as, m.verdict) in ('start', 'resume', 'reply')) as found
         where place = 1 order by sha256",
        EarlierRow::COLUMNS,
        tx.each_of("$2")
    );
    let found = fetch!(all EarlierRow, tx, sql, customer, Json(sha256))?;
    let earlier = |row: EarlierRow| EarlierDocument { sha256: row.sha256, message: row.message_id, run: row.run };
    Ok(found.into_iter().map(earlier).collect())
}
