//! Words that messages are kept under.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::column::row;
use super::dialect::{execute, fetch};
use super::messages::MessageRow;
use super::{StoreError, Tx};
use crate::domain::ids::MessageId;

row! {
    pub struct TagRow { pub tag: String }
}

row! {
    pub struct TaggedRow {
        pub message_id: MessageId,
        pub tag: String,
    }
}

/// Keeps a message under a word; again is once.
pub async fn insert(tx: &mut Tx, message: MessageId, tag: &str) -> Result<(), StoreError> {
    let sql = "insert into message_tags (message_id, tag) values ($1, $2) on conflict do nothing";
    execute!(tx, sql, message.0, tag)?;
    Ok(())
}

/// The words of a message, in their order.
pub async fn of_message(tx: &mut Tx, message: MessageId) -> Result<Vec<String>, StoreError> {
    let sql = format!("select {} from message_tags where message_id = $1 order by tag", TagRow::COLUMNS);
    Ok(fetch!(all TagRow, tx, sql, message.0)?.into_iter().map(|row| row.tag).collect())
}

/// The words of every message listed since an instant that has any.
pub async fn since(tx: &mut Tx, since: Option<DateTime<Utc>>) -> Result<BTreeMap<MessageId, Vec<String>>, StoreError> {
    let sql = format!(
        "select {} from message_tags
         where message_id in (select id from messages where listed_at >= $1) order by message_id, tag",
        TaggedRow::COLUMNS
    );
    let mut found: BTreeMap<MessageId, Vec<String>> = BTreeMap::new();
    for row in fetch!(all TaggedRow, tx, sql, since.unwrap_or(DateTime::UNIX_EPOCH))? {
        found.entry(row.message_id).or_default().push(row.tag);
    }
    Ok(found)
}

/// The latest messages under a word, newest first.
pub async fn latest(tx: &mut Tx, tag: &str, most: i64) -> Result<Vec<MessageRow>, StoreError> {
    let sql = format!(
        "select {} from messages where id in (select message_id from message_tags where tag = $1)
         order by listed_at desc, id desc limit $2",
        MessageRow::COLUMNS
    );
    fetch!(all MessageRow, tx, sql, tag, most)
}
