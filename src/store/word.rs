//! Word between processes on one database that there may be work: LISTEN and NOTIFY of PostgreSQL. SQLite has no such thing;
//! there the tick alone finds what another process left.

use sqlx::postgres::PgListener;

use super::{Store, StoreError};

const CHANNEL: &str = "countersign_work";

impl Store {
    /// Tells every other process that listens. Not part of any transaction: PostgreSQL would make commits that tell wait for
    /// each other.
    pub async fn tell(&self, owner: &str) -> Result<(), StoreError> {
        if let Self::Pg(pool) = self {
            sqlx::query("select pg_notify($1, $2)").bind(CHANNEL).bind(owner).execute(pool).await?;
        }
        Ok(())
    }

    /// Calls `heard` whenever another process than `owner` tells of work, and after a connection was lost, when some of it may
    /// have been missed. Returns at once where there is nothing to listen to.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn listen(&self, owner: &str, heard: impl Fn()) -> Result<(), StoreError> {
        let Self::Pg(pool) = self else { return Ok(()) };
        let mut listener = PgListener::connect_with(pool).await?;
        listener.listen(CHANNEL).await?;
        heard();
        loop {
            match listener.try_recv().await? {
                Some(word) if word.payload() == owner => {}
                _ => heard(),
            }
        }
    }
}
