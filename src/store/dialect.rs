//! The few things that PostgreSQL and SQLite say differently, and the macros that say the rest once.

use uuid::Uuid;

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

/// Executes one statement over the `values` of many rows, in as few round trips as can be prepared once and used again: the
/// numbers of rows are powers of two. Gives the number of rows it touched.
macro_rules! execute_rows {
    ($tx:expr, $before:expr, $rows:expr, $after:expr, $row:pat => $($value:expr),+ $(,)?) => {{
        let mut left: &[_] = $rows;
        let mut touched = 0;
        while !left.is_empty() {
            let (portion, rest) = left.split_at($crate::store::dialect::portion(left.len()));
            left = rest;
            let places = $crate::store::dialect::places(portion.len(), [$(stringify!($value)),+].len());
            let sql = format!("{} values {places} {}", $before, $after);
            touched += $crate::store::dialect::on_tx!($tx, connection => {
                let mut query = sqlx::query::<D>(sqlx::AssertSqlSafe(sql));
                for $row in portion {
                    query = query$(.bind($value))+;
                }
                query.execute(connection).await.map(|done| done.rows_affected())
            })?;
        }
        Ok::<u64, $crate::store::StoreError>(touched)
    }};
}

/// Fetches the rows of a statement that names ids: `$before in (…) $after`, where `$value`s are `$1` and so on.
macro_rules! fetch_among {
    ($row:ty, $tx:expr, $before:expr, $ids:expr, $after:expr $(, $value:expr)* $(,)?) => {{
        let ids: Vec<uuid::Uuid> = $crate::store::dialect::padded($ids);
        let bound: &[&str] = &[$(stringify!($value)),*];
        let list = $crate::store::dialect::list(bound.len(), ids.len());
        let sql = format!("{} in {list} {}", $before, $after);
        $crate::store::dialect::on_tx!($tx, connection => {
            let mut query = sqlx::query_as::<D, $row>(sqlx::AssertSqlSafe(sql))$(.bind($value))*;
            for id in ids {
                query = query.bind(id);
            }
            query.fetch_all(connection).await.map_err($crate::store::StoreError::from)
        })
    }};
}

/// Most rows of one statement; both databases bound the number of values.
const MOST_ROWS: usize = 64;

/// How many of `count` rows go into the next statement.
pub(super) fn portion(count: usize) -> usize {
    let most = count.clamp(1, MOST_ROWS);
    1 << most.ilog2()
}

/// `($1, $2), ($3, $4)` for two rows of two columns.
pub(super) fn places(rows: usize, columns: usize) -> String {
    let lists: Vec<_> = (0..rows).map(|row| list(row * columns, columns)).collect();
    lists.join(", ")
}

/// `($3, $4)` for two values after two.
pub(super) fn list(after: usize, count: usize) -> String {
    let places: Vec<_> = (after + 1..=after + count).map(|place| format!("${place}")).collect();
    format!("({})", places.join(", "))
}

/// The ids, the last one repeated up to a power of two, so that few statements serve every number of them.
pub(super) fn padded(ids: impl IntoIterator<Item = Uuid>) -> Vec<Uuid> {
    let mut ids: Vec<_> = ids.into_iter().collect();
    let last = ids.last().copied().unwrap_or_default();
    ids.resize(ids.len().max(1).next_power_of_two(), last);
    ids
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

pub(super) use {execute, execute_rows, fetch, fetch_among, on_tx};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_rows_are_written_with_few_different_statements() {
        assert_eq!([1, 2, 3, 50, 63, 64, 65, 1000].map(portion), [1, 2, 2, 32, 32, 64, 64, 64]);
        assert_eq!(places(2, 2), "($1, $2), ($3, $4)");
        let ids: Vec<_> = (0..5).map(|_| Uuid::now_v7()).collect();
        let padded = padded(ids.iter().copied());
        assert_eq!((padded.len(), padded.get(..5)), (8, Some(&*ids)));
        assert!(padded.iter().skip(5).all(|id| ids.last() == Some(id)));
    }
}
