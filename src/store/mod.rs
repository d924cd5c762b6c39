//! All SQL and nothing but SQL: one file per table group. One text serves SQLite and PostgreSQL; `dialect` knows what
//! differs. Every function works inside a transaction that its caller opens, so what belongs together commits together.

pub mod alarms;
pub mod answers;
pub mod claims;
pub mod earlier;
pub mod events;
pub mod gates;
pub mod holds;
pub mod ledger;
pub mod logs;
pub mod mailboxes;
pub mod messages;
pub mod notices;
pub mod past;
pub mod people;
pub mod quarantine;
pub mod receivers;
pub mod renumbered;
pub mod reply_waits;
pub mod reports;
pub mod retention;
pub mod run_control;
pub mod run_list;
pub mod runs;
pub mod steps;
pub mod tags;
pub mod tokens;
pub mod waits;
pub mod workflows;

mod column;
mod connect;
mod dialect;
mod migrate;
mod word;

pub use connect::{Store, StoreError, Tx};
pub use sqlx::types::Json;
