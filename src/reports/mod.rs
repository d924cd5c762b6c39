//! Queries and output: what is in the database, as text, tables, CSV and JSON. Changes nothing but the seals of the audit
//! trail. Printing is left to the command line, pages to `http`; SQL is in `store`.

pub mod answered;
pub mod audit;
pub mod csv;
mod explain_ahead;
pub mod explain_message;
pub mod explain_run;
pub mod find;
pub mod graph;
pub mod log;
pub mod mailboxes;
pub mod messages;
pub mod picture;
pub mod quarantine;
pub mod receivers;
pub mod runs;
pub mod show_message;
pub mod show_run;
pub mod since;
pub mod text;
pub mod waiting;
