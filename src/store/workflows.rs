//! Definitions by content hash: as they were when runs were launched with them, and as they were published.

use chrono::{DateTime, Utc};

use super::column::row;
use super::dialect::{execute, fetch};
use super::{Json, StoreError, Tx};
use crate::domain::workflow::Workflow;

row! {
    pub struct DefinitionRow { pub definition: Json<Workflow> }
}

row! {
    /// One version that was published, once and for all.
    pub struct PublishedRow {
        pub hash: String,
        pub name: String,
        pub version: i32,
        pub definition: Json<Workflow>,
        pub published_at: DateTime<Utc>,
        pub published_by: String,
        /// Since when it starts no run any more.
        pub withdrawn_at: Option<DateTime<Utc>>,
        pub withdrawn_by: Option<String>,
    }
}

row! {
    pub struct PinRow { pub hash: String, pub withdrawn_at: Option<DateTime<Utc>> }
}

row! {
    pub struct CountRow { pub published: i64, pub withdrawn: i64 }
}

/// What came of a publication. Nothing is written unless it is `New`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Published {
    New {
        hash: String,
    },
    /// It says the same.
    Before {
        hash: String,
        is_withdrawn: bool,
    },
    /// The version was published with another content.
    Otherwise,
}

/// Publishes a version, if it is not published yet. Two at once: one of them is `New`.
pub async fn publish(tx: &mut Tx, workflow: &Workflow, by: &str, now: DateTime<Utc>) -> Result<Published, StoreError> {
    let hash = workflow.hash();
    if let Some(before) = published_as(tx, workflow, &hash).await? {
        return Ok(before);
    }
    tx.alone_with(&format!("publish {}", workflow.label())).await?;
    if let Some(before) = published_as(tx, workflow, &hash).await? {
        return Ok(before);
    }
    keep(tx, workflow, now).await?;
    let sql = "update workflow_versions set published_at = $1, published_by = $2 where hash = $3";
    execute!(tx, sql, now, by, &hash)?;
    Ok(Published::New { hash })
}

async fn published_as(tx: &mut Tx, workflow: &Workflow, hash: &str) -> Result<Option<Published>, StoreError> {
    let sql = format!(
        "select {} from workflow_versions where name = $1 and version = $2 and published_at is not null",
        PinRow::COLUMNS
    );
    let pin = fetch!(maybe PinRow, tx, sql, &workflow.name, number(workflow.version))?;
    let Some(PinRow { hash: pinned, withdrawn_at }) = pin else { return Ok(None) };
    // A newer program may write the same definition with further keys.
    let same = pinned == hash || get(tx, &pinned).await? == *workflow;
    let before = Published::Before { hash: pinned, is_withdrawn: withdrawn_at.is_some() };
    Ok(Some(if same { before } else { Published::Otherwise }))
}

/// Every version that was ever published, by name and version.
pub async fn published(tx: &mut Tx) -> Result<Vec<PublishedRow>, StoreError> {
    let sql = format!(
        "select {} from workflow_versions where published_at is not null order by name, version",
        PublishedRow::COLUMNS
    );
    fetch!(all PublishedRow, tx, sql)
}

/// How many versions are published, and how many of these are withdrawn: another number means that there is something new.
pub async fn counts(tx: &mut Tx) -> Result<(i64, i64), StoreError> {
    let sql = format!(
        "select {} from (select count(published_at) as published, count(withdrawn_at) as withdrawn
         from workflow_versions) as counted",
        CountRow::COLUMNS
    );
    let row = fetch!(one CountRow, tx, sql)?;
    Ok((row.published, row.withdrawn))
}

/// Lets a published version start no run any more, or again. False when it is so already, or was never published.
pub async fn set_withdrawn(
    tx: &mut Tx,
    (name, version): (&str, u32),
    withdrawn: Option<(&str, DateTime<Utc>)>,
) -> Result<bool, StoreError> {
    let (by, at) = (withdrawn.map(|(by, _)| by), withdrawn.map(|(_, at)| at));
    let now = if at.is_some() { "is null" } else { "is not null" };
    let sql = format!(
        "update workflow_versions set withdrawn_at = $1, withdrawn_by = $2
         where name = $3 and version = $4 and published_at is not null and withdrawn_at {now}"
    );
    Ok(execute!(tx, sql, at, by, name, number(version))? == 1)
}

fn number(version: u32) -> i32 {
    i32::try_from(version).unwrap_or(i32::MAX)
}

/// Keeps a definition; one with the same hash is kept already. Gives the hash.
pub async fn keep(tx: &mut Tx, workflow: &Workflow, now: DateTime<Utc>) -> Result<String, StoreError> {
    let hash = workflow.hash();
    execute!(
        tx,
        "insert into workflow_versions (hash, name, version, definition, created_at) values ($1, $2, $3, $4, $5)
         on conflict do nothing",
        &hash,
        &workflow.name,
        number(workflow.version),
        Json(workflow),
        now
    )?;
    Ok(hash)
}

pub async fn get(tx: &mut Tx, hash: &str) -> Result<Workflow, StoreError> {
    let sql = format!("select {} from workflow_versions where hash = $1", DefinitionRow::COLUMNS);
    let row = fetch!(maybe DefinitionRow, tx, sql, hash)?;
    row.map(|row| row.definition.0).ok_or_else(|| StoreError::not_found("workflow version", hash))
}
