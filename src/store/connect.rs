//! Connections and transactions, over either database.

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, PgPool, Postgres, Sqlite, SqlitePool, Transaction};

/// The database. Cheap to clone.
#[derive(Debug, Clone)]
pub enum Store {
    Pg(PgPool),
    Lite(SqlitePool),
}

/// One transaction. Dropped without `commit`, it leaves no trace.
#[derive(Debug)]
pub enum Tx {
    Pg(Transaction<'static, Postgres>),
    Lite(Transaction<'static, Sqlite>),
}

/// Why the database did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("database: {0}")]
    Sql(#[from] sqlx::Error),
    #[error("{what} `{key}` does not exist")]
    NotFound { what: &'static str, key: String },
    #[error("migrate the database: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    #[error("database url: {0}")]
    Url(String),
}

impl StoreError {
    pub fn not_found(what: &'static str, key: impl ToString) -> Self {
        Self::NotFound { what, key: key.to_string() }
    }

    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// Whether nobody knows if the transaction was committed: the line broke, or the server goes away.
    pub fn is_unsure(&self) -> bool {
        match self {
            Self::Sql(sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_)) => true,
            Self::Sql(sqlx::Error::Database(error)) => {
                error.code().is_some_and(|code| code.len() == 5 && matches!(code.get(..2), Some("08" | "57")))
            }
            _ => false,
        }
    }

    /// Whether the same call may succeed later: the server is away, busy, or chose another transaction.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Sql(
                sqlx::Error::Io(_)
                | sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
                | sqlx::Error::Tls(_)
                // What sqlx makes of a server that hangs up in the middle of its greeting.
                | sqlx::Error::Protocol(_),
            ) => true,
            Self::Sql(sqlx::Error::Database(error)) => error.code().is_some_and(|code| passes(&code)),
            _ => false,
        }
    }
}

/// Whether what a database's error code stands for passes by itself or by mending the machine, whatever was asked.
fn passes(code: &str) -> bool {
    // SQLSTATE has five characters: connection exceptions, transaction rollback, resources, operator intervention, system
    // errors, and a server that is read-only after a failover.
    if code.len() == 5 {
        return matches!(code.get(..2), Some("08" | "40" | "53" | "57" | "58")) || code == "25006";
    }
    // The low byte of SQLite's extended codes: BUSY, LOCKED, READONLY, IOERR, FULL, CANTOPEN.
    code.parse::<u32>().is_ok_and(|code| matches!(code & 0xff, 5 | 6 | 8 | 10 | 13 | 14))
}

/// Longest wait for another writer or for a free connection.
const PATIENCE: Duration = Duration::from_secs(30);

impl Store {
    /// Opens `sqlite:PATH` (made when missing) or `postgres://…` with at most `connections` connections.
    ///
    /// # Errors
    /// When the URL is of neither kind or the database cannot be reached.
    pub async fn open(url: &str, password: Option<&SecretString>, connections: u32) -> Result<Self, StoreError> {
        if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            let mut options = PgConnectOptions::from_str(url)?.disable_statement_logging();
            if let Some(password) = password {
                options = options.password(password.expose_secret());
            }
            // One more, which listens.
            let pool = PgPoolOptions::new()
                .max_connections(connections.max(2) + 1)
                .acquire_timeout(PATIENCE)
                .connect_with(options)
                .await?;
            return Ok(Self::Pg(pool));
        }
        let Some(path) = url.strip_prefix("sqlite:") else {
            return Err(StoreError::Url("starts neither with `sqlite:` nor with `postgres:`".into()));
        };
        let options = lite(Path::new(path)).synchronous(SqliteSynchronous::Full);
        Ok(Self::Lite(lite_pool(options, connections).await?))
    }

    /// Opens a SQLite database that nobody keeps: nothing waits for the disk, and a power cut loses it.
    ///
    /// # Errors
    /// When the file cannot be opened or made.
    pub async fn scratch(file: &Path) -> Result<Self, StoreError> {
        Ok(Self::Lite(lite_pool(lite(file).synchronous(SqliteSynchronous::Off), 2).await?))
    }

    /// Begins a transaction that writes. On SQLite it takes the write lock at once; a later upgrade could fail.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        Ok(match self {
            Self::Pg(pool) => Tx::Pg(pool.begin().await?),
            Self::Lite(pool) => Tx::Lite(pool.begin_with("begin immediate").await?),
        })
    }

    /// Begins a transaction that only reads: one consistent picture on SQLite, and no lock.
    pub async fn read(&self) -> Result<Tx, StoreError> {
        Ok(match self {
            Self::Pg(pool) => Tx::Pg(pool.begin().await?),
            Self::Lite(pool) => Tx::Lite(pool.begin().await?),
        })
    }

    /// Whether the database answers.
    pub async fn check(&self) -> Result<(), StoreError> {
        match self {
            Self::Pg(pool) => sqlx::query("select 1").execute(pool).await.map(drop)?,
            Self::Lite(pool) => sqlx::query("select 1").execute(pool).await.map(drop)?,
        }
        Ok(())
    }

    /// Closes every connection; what is in hand ends first.
    pub async fn close(&self) {
        match self {
            Self::Pg(pool) => pool.close().await,
            Self::Lite(pool) => pool.close().await,
        }
    }
}

fn lite(file: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .foreign_keys(true)
        .busy_timeout(PATIENCE)
        .disable_statement_logging()
}

/// A full disk makes SQLite roll back by itself. sqlx does not notice, its own rollback fails, and the connection refuses
/// every transaction from then on: such a one is given up.
async fn lite_pool(options: SqliteConnectOptions, connections: u32) -> Result<SqlitePool, sqlx::Error> {
    SqlitePoolOptions::new()
        .max_connections(connections.max(2))
        .acquire_timeout(PATIENCE)
        .before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
        .connect_with(options)
        .await
}

impl Tx {
    /// Makes everything since `begin` durable.
    pub async fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Pg(tx) => tx.commit().await?,
            Self::Lite(tx) => tx.commit().await?,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_transaction_that_sqlite_rolled_back_by_itself_spoils_no_later_one() {
        let dir = tempfile::tempdir().expect("a directory");
        let url = format!("sqlite:{}", dir.path().join("test.db").display());
        let store = Store::open(&url, None, 2).await.expect("open");
        for _ in 0..4 {
            let mut tx = store.begin().await.expect("begin");
            let Tx::Lite(inner) = &mut tx else { panic!("not SQLite") };
            sqlx::query("rollback").execute(&mut **inner).await.expect("as on a full disk");
            assert!(tx.commit().await.is_err(), "nothing is left to commit");
        }
    }

    #[test]
    fn trouble_of_the_machine_passes_and_a_wrong_statement_does_not() {
        for code in
            ["08006", "40001", "40P01", "53300", "57P01", "58030", "25006", "5", "6", "517", "261", "10", "778", "13"]
        {
            assert!(passes(code), "{code}");
        }
        for code in ["23505", "22021", "42601", "XX000", "1", "19", "2067", "11", ""] {
            assert!(!passes(code), "{code}");
        }
    }
}
