//! Definitions as they were when runs were launched with them, by content hash.

use chrono::{DateTime, Utc};

use super::column::row;
use super::dialect::{execute, fetch};
use super::{Json, StoreError, Tx};
use crate::domain::workflow::Workflow;

row! {
    pub struct DefinitionRow { pub definition: Json<Workflow> }
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
        i32::try_from(workflow.version).unwrap_or(i32::MAX),
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
