//! Columns to values, the same way for both databases.

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::types::Json;
use sqlx::{Row, ValueRef};
use uuid::Uuid;

use crate::domain::ids::{AnswerId, MessageId, NoticeId, RunId, TokenId, TransactionId, WaitId};
use crate::domain::message::{PartKind, PartRole};
use crate::domain::notice::NoticeStatus;
use crate::domain::run::RunStatus;
use crate::domain::step::StepStatus;
use crate::domain::verdict::{Disposition, ReplyEnd, Severity};
use crate::domain::wait::{Channel, Choice, Effect, WaitKind, WaitStatus};

/// A value that a column of either database can hold.
pub trait Column: Sized {
    fn from_pg(row: &PgRow, name: &str) -> sqlx::Result<Self>;
    fn from_lite(row: &SqliteRow, name: &str) -> sqlx::Result<Self>;
}

macro_rules! plain {
    ($($kind:ty),*) => {$(
        impl Column for $kind {
            fn from_pg(row: &PgRow, name: &str) -> sqlx::Result<Self> {
                row.try_get(name)
            }
            fn from_lite(row: &SqliteRow, name: &str) -> sqlx::Result<Self> {
                row.try_get(name)
            }
        }
    )*};
}

plain!(String, i64, i32, bool, Uuid, DateTime<Utc>);

macro_rules! through {
    ($inner:ty, $convert:expr => $($kind:ty),*) => {$(
        impl Column for $kind {
            fn from_pg(row: &PgRow, name: &str) -> sqlx::Result<Self> {
                $convert(row.try_get::<$inner, _>(name)?, name)
            }
            fn from_lite(row: &SqliteRow, name: &str) -> sqlx::Result<Self> {
                $convert(row.try_get::<$inner, _>(name)?, name)
            }
        }
    )*};
}

through!(Uuid, |id, _: &str| Ok(Self(id)) => AnswerId, MessageId, NoticeId, RunId, TokenId, TransactionId, WaitId);
through!(String, parse_word => Channel, Choice, Disposition, Effect, NoticeStatus, PartKind, PartRole, ReplyEnd, RunStatus, Severity, StepStatus, WaitKind, WaitStatus);

fn parse_word<T: std::str::FromStr<Err = String>>(text: String, column: &str) -> sqlx::Result<T> {
    text.parse().map_err(|why: String| sqlx::Error::ColumnDecode { index: column.to_owned(), source: why.into() })
}

impl<T: Column> Column for Option<T> {
    fn from_pg(row: &PgRow, name: &str) -> sqlx::Result<Self> {
        if row.try_get_raw(name)?.is_null() { Ok(None) } else { T::from_pg(row, name).map(Some) }
    }

    fn from_lite(row: &SqliteRow, name: &str) -> sqlx::Result<Self> {
        if row.try_get_raw(name)?.is_null() { Ok(None) } else { T::from_lite(row, name).map(Some) }
    }
}

impl<T: DeserializeOwned> Column for Json<T>
where
    Self: Sized,
{
    fn from_pg(row: &PgRow, name: &str) -> sqlx::Result<Self> {
        let value: Json<serde_json::Value> = row.try_get(name)?;
        from_json(value.0, name)
    }

    fn from_lite(row: &SqliteRow, name: &str) -> sqlx::Result<Self> {
        let value: Json<serde_json::Value> = row.try_get(name)?;
        from_json(value.0, name)
    }
}

fn from_json<T: DeserializeOwned>(value: serde_json::Value, column: &str) -> sqlx::Result<Json<T>> {
    serde_json::from_value(value)
        .map(Json)
        .map_err(|error| sqlx::Error::ColumnDecode { index: column.to_owned(), source: error.into() })
}

/// Declares a row: a struct whose fields are columns, readable from both databases, with their names in `COLUMNS`.
macro_rules! row {
    ($(#[$doc:meta])* pub struct $name:ident { $($(#[$about:meta])* pub $field:ident: $kind:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub struct $name { $($(#[$about])* pub $field: $kind),* }

        impl $name {
            /// The columns of this row, for `select`.
            pub(crate) const COLUMNS: &'static str = $crate::store::column::names!($($field)*);
        }

        impl<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow> for $name {
            fn from_row(row: &'r sqlx::postgres::PgRow) -> sqlx::Result<Self> {
                Ok(Self { $($field: <$kind as $crate::store::column::Column>::from_pg(row, stringify!($field))?),* })
            }
        }

        impl<'r> sqlx::FromRow<'r, sqlx::sqlite::SqliteRow> for $name {
            fn from_row(row: &'r sqlx::sqlite::SqliteRow) -> sqlx::Result<Self> {
                Ok(Self { $($field: <$kind as $crate::store::column::Column>::from_lite(row, stringify!($field))?),* })
            }
        }
    };
}

/// `a b c` to `"a, b, c"`.
macro_rules! names {
    ($first:ident $($rest:ident)*) => { concat!(stringify!($first) $(, ", ", stringify!($rest))*) };
}

pub(super) use {names, row};
