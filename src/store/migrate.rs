//! Forward-only migrations, compiled into the binary from `migrations/`.

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

use super::{Store, StoreError};

/// (version, name, PostgreSQL text, SQLite text). A new one is one entry.
const MIGRATIONS: &[(i64, &str, &str, &str)] = &[
    (
        1,
        "first",
        include_str!("../../migrations/postgres/0001_first.sql"),
        include_str!("../../migrations/sqlite/0001_first.sql"),
    ),
    (
        2,
        "quarantine",
        include_str!("../../migrations/postgres/0002_quarantine.sql"),
        include_str!("../../migrations/sqlite/0002_quarantine.sql"),
    ),
    (
        3,
        "hold",
        include_str!("../../migrations/postgres/0003_hold.sql"),
        include_str!("../../migrations/sqlite/0003_hold.sql"),
    ),
    (
        4,
        "identity",
        include_str!("../../migrations/postgres/0004_identity.sql"),
        include_str!("../../migrations/sqlite/0004_identity.sql"),
    ),
    (
        5,
        "also",
        include_str!("../../migrations/postgres/0005_also.sql"),
        include_str!("../../migrations/sqlite/0005_also.sql"),
    ),
    (
        6,
        "starts",
        include_str!("../../migrations/postgres/0006_starts.sql"),
        include_str!("../../migrations/sqlite/0006_starts.sql"),
    ),
    (
        7,
        "pace",
        include_str!("../../migrations/postgres/0007_pace.sql"),
        include_str!("../../migrations/sqlite/0007_pace.sql"),
    ),
    (
        8,
        "control",
        include_str!("../../migrations/postgres/0008_control.sql"),
        include_str!("../../migrations/sqlite/0008_control.sql"),
    ),
    (
        9,
        "publish",
        include_str!("../../migrations/postgres/0009_publish.sql"),
        include_str!("../../migrations/sqlite/0009_publish.sql"),
    ),
    (
        10,
        "flow",
        include_str!("../../migrations/postgres/0010_flow.sql"),
        include_str!("../../migrations/sqlite/0010_flow.sql"),
    ),
    (
        11,
        "reply_waits",
        include_str!("../../migrations/postgres/0011_reply_waits.sql"),
        include_str!("../../migrations/sqlite/0011_reply_waits.sql"),
    ),
    (
        12,
        "live",
        include_str!("../../migrations/postgres/0012_live.sql"),
        include_str!("../../migrations/sqlite/0012_live.sql"),
    ),
];

impl Store {
    /// Brings the schema up to date; running it again does nothing. Two processes may do it at once.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        self.migrate_to(i64::MAX).await
    }

    /// As `migrate`, up to a version: how a database of an older countersign came to be.
    pub async fn migrate_to(&self, last: i64) -> Result<(), StoreError> {
        let wanted = MIGRATIONS.iter().filter(|(version, ..)| *version <= last);
        let migrations = wanted.map(|(version, name, pg, lite)| {
            let text = if matches!(self, Self::Pg(_)) { *pg } else { *lite };
            Migration::new(*version, (*name).into(), MigrationType::Simple, text.into_sql_str(), false)
        });
        let migrator = Migrator::with_migrations(migrations.collect());
        match self {
            Self::Pg(pool) => migrator.run(pool).await?,
            Self::Lite(pool) => migrator.run(pool).await?,
        }
        Ok(())
    }
}
