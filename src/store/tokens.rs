//! Tokens of links and replies. Only hashes are kept; what is void never lives again.

use chrono::{DateTime, Utc};

use super::column::row;
use super::dialect::{execute, fetch};
use super::{StoreError, Tx};
use crate::domain::ids::{TokenId, WaitId};

row! {
    /// One token: bound to a wait of one generation and to one person.
    pub struct TokenRow {
        pub id: TokenId,
        pub hash: String,
        pub wait_id: WaitId,
        pub generation: i32,
        pub person: String,
        pub address: String,
        pub created_at: DateTime<Utc>,
        pub void_at: Option<DateTime<Utc>>,
    }
}

pub async fn insert(tx: &mut Tx, token: &TokenRow) -> Result<(), StoreError> {
    execute!(
        tx,
        "insert into tokens (id, hash, wait_id, generation, person, address, created_at) values ($1, $2, $3, $4, $5, $6, $7)",
        token.id.0,
        &token.hash,
        token.wait_id.0,
        token.generation,
        &token.person,
        &token.address,
        token.created_at
    )?;
    Ok(())
}

pub async fn by_hash(tx: &mut Tx, hash: &str) -> Result<Option<TokenRow>, StoreError> {
    let sql = format!("select {} from tokens where hash = $1", TokenRow::COLUMNS);
    fetch!(maybe TokenRow, tx, sql, hash)
}

pub async fn get(tx: &mut Tx, id: TokenId) -> Result<TokenRow, StoreError> {
    let sql = format!("select {} from tokens where id = $1", TokenRow::COLUMNS);
    fetch!(maybe TokenRow, tx, sql, id.0)?.ok_or_else(|| StoreError::not_found("token", id))
}

/// Kills every living token of a wait.
pub async fn void_of_wait(tx: &mut Tx, wait: WaitId, now: DateTime<Utc>) -> Result<(), StoreError> {
    execute!(tx, "update tokens set void_at = $1 where wait_id = $2 and void_at is null", now, wait.0)?;
    Ok(())
}
