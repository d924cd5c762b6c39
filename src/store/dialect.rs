//! The few things that PostgreSQL and SQLite say differently, and the macros that say the rest once.

use super::{StoreError, Tx};

/// Runs `$body` on either database: inside it `D` is the database and `$connection` the connection.
macro_rules! on_tx {
    ($tx:expr, $connection:ident => $body:expr) => {
        match $tx {
            $crate::store::Tx::Pg(inner) => {
                type D = sqlx::Postgres;
                let $connection = &mut **inner;
                $body
            }
            $crate::store::Tx::Lite(inner) => {
                type D = sqlx::Sqlite;
                let $connection = &mut **inner;
                $body
            }
        }
    };
}

/// Executes a statement with its values; gives the number of rows it touched.
macro_rules! execute {
    ($tx:expr, $sql:expr $(, $value:expr)* $(,)?) => {
        $crate::store::dialect::on_tx!($tx, connection => sqlx::query::<D>(sqlx::AssertSqlSafe($sql))
            $(.bind($value))*
            .execute(connection)
            .await
            .map(|done| done.rows_affected())
            .map_err($crate::store::StoreError::from))
    };
}

/// Fetches rows of a `row!` struct: `all`, `one` (an error when missing) or `maybe`.
macro_rules! fetch {
    (all $row:ty, $tx:expr, $sql:expr $(, $value:expr)* $(,)?) => {
        $crate::store::dialect::fetch!(fetch_all, $row, $tx, $sql $(, $value)*)
    };
    (one $row:ty, $tx:expr, $sql:expr $(, $value:expr)* $(,)?) => {
        $crate::store::dialect::fetch!(fetch_one, $row, $tx, $sql $(, $value)*)
    };
    (maybe $row:ty, $tx:expr, $sql:expr $(, $value:expr)* $(,)?) => {
        $crate::store::dialect::fetch!(fetch_optional, $row, $tx, $sql $(, $value)*)
    };
    ($how:ident, $row:ty, $tx:expr, $sql:expr $(, $value:expr)*) => {
        $crate::store::dialect::on_tx!($tx, connection => sqlx::query_as::<D, $row>(sqlx::AssertSqlSafe($sql))
            $(.bind($value))*
            .$how(connection)
            .await
            .map_err($crate::store::StoreError::from))
    };
}

impl Tx {
    /// Ends a `select` of one row so that nobody else changes it before the commit. SQLite's writers hold the one write lock.
    pub(super) fn for_update(&self) -> &'static str {
        match self {
            Self::Pg(_) => " for update",
            Self::Lite(_) => "",
        }
    }

    /// As `for_update`, passing over rows that somebody else holds.
    pub(super) fn skip_locked(&self) -> &'static str {
        match self {
            Self::Pg(_) => " for update skip locked",
            Self::Lite(_) => "",
        }
    }

    /// The elements of the JSON list bound at `place`, for `in`.
    pub(super) fn each_of(&self, place: &str) -> String {
        match self {
            Self::Pg(_) => format!("(select jsonb_array_elements_text({place}))"),
            Self::Lite(_) => format!("(select value from json_each({place}))"),
        }
    }

    /// The elements of a JSON list as rows of one column, `value`, for `from`.
    pub(super) fn elements_of(&self, list: &str) -> String {
        match self {
            Self::Pg(_) => format!("jsonb_array_elements({list})"),
            Self::Lite(_) => format!("json_each({list})"),
        }
    }

    /// Keeps everybody else who names the same thing waiting until the commit. SQLite's writers are alone anyway.
    pub(super) async fn alone_with(&mut self, thing: &str) -> Result<(), StoreError> {
        if matches!(self, Self::Pg(_)) {
            execute!(self, "select pg_advisory_xact_lock(hashtextextended($1, 0))", thing)?;
        }
        Ok(())
    }
}

pub(super) use {execute, fetch, on_tx};
