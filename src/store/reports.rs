//! What only reports ask for: joins over messages and runs, look-ups by the beginning of an id, the chain as it stands.

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::column::row;
use super::dialect::fetch;
use super::events::EventRow;
use super::messages::MessageRow;
use super::notices::Count;
use super::runs::{Counter, RunRow};
use super::waits::WaitRow;
use super::{Json, StoreError, Tx};
use crate::domain::event::{Event, Sealed};
use crate::domain::failure::Failure;
use crate::domain::ids::{MessageId, RunId};
use crate::domain::message::Message;
use crate::domain::run::RunStatus;
use crate::domain::verdict::Disposition;

row! {
    /// One message with a run that it started, or the one it answered; a row for each of its runs.
    pub struct ReportRow {
        pub id: MessageId,
        pub customer: String,
        pub mailbox: String,
        pub state: String,
        pub listed_at: DateTime<Utc>,
        pub received_at: Option<DateTime<Utc>>,
        pub from_address: Option<String>,
        pub subject: Option<String>,
        pub verdict: Option<String>,
        pub reason: Option<String>,
        pub error: Option<String>,
        pub run_id: Option<RunId>,
        pub run_name: Option<String>,
        pub run_status: Option<RunStatus>,
        pub run_failure: Option<Json<Failure>>,
        pub run_finished_at: Option<DateTime<Utc>>,
        pub disposition: Option<Disposition>,
        pub duplicate_of: Option<MessageId>,
        pub documents_of: Option<MessageId>,
    }
}

row! {
    pub struct FactsRow { pub facts: Option<Json<Value>> }
}

/// Messages that came since an instant, oldest first, with each of their runs; only runs of a status, when one is given.
pub async fn messages_since(
    tx: &mut Tx,
    since: Option<DateTime<Utc>>,
    status: Option<RunStatus>,
) -> Result<Vec<ReportRow>, StoreError> {
    let sql = format!(
        "select {} from
            (select m.id, m.customer, m.mailbox, m.state, m.listed_at, m.received_at, m.from_address, m.subject, m.verdict,
                m.reason, m.error, r.id as run_id, r.name as run_name, r.status as run_status, r.failure as run_failure,
                r.finished_at as run_finished_at, m.disposition, m.duplicate_of, m.documents_of
             from messages m left join runs r on r.message_id = m.id or r.id = m.run_id) as report
         where listed_at >= $1 and (cast($2 as text) is null or run_status = $2)
         order by listed_at, id, run_id",
        ReportRow::COLUMNS
    );
    fetch!(all ReportRow, tx, sql, since.unwrap_or(DateTime::UNIX_EPOCH), status.map(RunStatus::as_str))
}

/// Every open wait, oldest first.
pub async fn open_waits(tx: &mut Tx) -> Result<Vec<WaitRow>, StoreError> {
    let sql = format!("select {} from waits where status = 'open' order by opened_at, id", WaitRow::COLUMNS);
    fetch!(all WaitRow, tx, sql)
}

/// Messages whose id lies in a range of UUIDs, both ends included: at most `most`.
pub async fn messages_between(tx: &mut Tx, from: Uuid, to: Uuid, most: i64) -> Result<Vec<MessageRow>, StoreError> {
    let sql = format!("select {} from messages where id >= $1 and id <= $2 order by id limit $3", MessageRow::COLUMNS);
    fetch!(all MessageRow, tx, sql, from, to, most)
}

/// Runs whose id lies in a range of UUIDs, both ends included: at most `most`.
pub async fn runs_between(tx: &mut Tx, from: Uuid, to: Uuid, most: i64) -> Result<Vec<RunRow>, StoreError> {
    let sql = format!("select {} from runs where id >= $1 and id <= $2 order by id limit $3", RunRow::COLUMNS);
    fetch!(all RunRow, tx, sql, from, to, most)
}

/// What the mail said, as it was parsed; none when it could not be, or an older version wrote it otherwise.
pub async fn facts(tx: &mut Tx, message: MessageId) -> Result<Option<Message>, StoreError> {
    let sql = format!("select {} from messages where id = $1", FactsRow::COLUMNS);
    let row = fetch!(maybe FactsRow, tx, sql, message.0)?;
    Ok(row.and_then(|row| row.facts).and_then(|facts| serde_json::from_value(facts.0).ok()))
}

/// Messages that belong to a run, oldest first.
pub async fn messages_of_run(tx: &mut Tx, run: RunId) -> Result<Vec<MessageRow>, StoreError> {
    let sql = format!(
        "select {} from messages where run_id = $1 or id = (select r.message_id from runs r where r.id = $1)
         order by listed_at, id",
        MessageRow::COLUMNS
    );
    fetch!(all MessageRow, tx, sql, run.0)
}

/// The chain as it stands after a place, in order. A row without its hash comes with an empty one: nothing is passed over.
pub async fn chain(tx: &mut Tx, position: i64, most: i64) -> Result<Vec<Sealed>, StoreError> {
    let sql = format!("select {} from events where position > $1 order by position limit $2", EventRow::COLUMNS);
    let rows = fetch!(all EventRow, tx, sql, position, most)?;
    let sealed = |row: EventRow| Sealed {
        position: row.position.unwrap_or_default(),
        hash: row.hash.clone().unwrap_or_default(),
        event: Event::from(row),
    };
    Ok(rows.into_iter().map(sealed).collect())
}

/// How many events have been given a place, as the sealer counts them.
pub async fn sealed_count(tx: &mut Tx) -> Result<i64, StoreError> {
    let sql = format!("select {} from counters where name = 'events.sealed'", Counter::COLUMNS);
    Ok(fetch!(maybe Counter, tx, sql)?.map(|row| row.value).unwrap_or_default())
}

/// How many events have no place yet.
pub async fn unsealed_count(tx: &mut Tx) -> Result<i64, StoreError> {
    let sql = format!("select count(*) as {} from events where position is null", Count::COLUMNS);
    Ok(fetch!(one Count, tx, sql)?.count)
}
