//! The audit trail: appended with its cause, sealed into the hash chain in batches afterwards.
//!
//! Chaining inside each commit would make every commit wait for the one before; so events are written without a place,
//! and `seal` gives places and hashes to whatever is committed, one sealer at a time.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::column::row;
use super::dialect::{execute, execute_rows, fetch};
use super::runs::Counter;
use super::{Json, StoreError, Tx};
use crate::domain::event::{Event, GENESIS, Sealed, chain_hash};
use crate::domain::ids::{MessageId, RunId};

row! {
    pub struct EventRow {
        pub id: Uuid,
        pub at: DateTime<Utc>,
        pub kind: String,
        pub actor: String,
        pub customer: String,
        pub message_id: Option<MessageId>,
        pub run_id: Option<RunId>,
        pub step: Option<String>,
        pub data: Json<Map<String, Value>>,
        pub position: Option<i64>,
        pub hash: Option<String>,
    }
}

impl From<EventRow> for Event {
    fn from(row: EventRow) -> Self {
        Self {
            at: row.at,
            kind: row.kind,
            actor: row.actor,
            customer: row.customer,
            message: row.message_id,
            run: row.run_id,
            step: row.step,
            data: row.data.0,
        }
    }
}

/// An event with its id, which puts it in order among those of the same process.
#[derive(Debug, Clone)]
pub struct Told {
    id: Uuid,
    event: Event,
}

impl From<Event> for Told {
    fn from(event: Event) -> Self {
        Self { id: Uuid::now_v7(), event }
    }
}

/// Appends an event to the trail, in the commit of what it tells.
pub async fn append(tx: &mut Tx, event: &Event) -> Result<(), StoreError> {
    append_many(tx, &[Told::from(event.clone())]).await
}

/// Appends events to the trail, in the commit of what they tell.
pub async fn append_many(tx: &mut Tx, events: &[Told]) -> Result<(), StoreError> {
    execute_rows!(
        tx,
        "insert into events (id, at, kind, actor, customer, message_id, run_id, step, data)",
        events,
        "",
        Told { id, event } => *id, event.at, &event.kind, &event.actor, &event.customer, event.message.map(|id| id.0),
            event.run.map(|id| id.0), event.step.as_deref(), Json(&event.data)
    )?;
    Ok(())
}

/// Gives up to `most` unsealed events their places. Returns how many; 0 when there is nothing to do.
pub async fn seal(tx: &mut Tx, most: i64) -> Result<usize, StoreError> {
    // The counter row is locked first, so that two sealers cannot give the same place. Counted on from it, not from the
    // last event: an end that somebody cut off stays a gap.
    let counter = format!(
        "insert into counters (name, value) values ('events.sealed', 0)
         on conflict (name) do update set value = counters.value returning {}",
        Counter::COLUMNS
    );
    let mut position = fetch!(one Counter, tx, counter)?.value;
    let sql = format!("select {} from events where position is null order by id limit $1", EventRow::COLUMNS);
    let unsealed = fetch!(all EventRow, tx, sql, most)?;
    if unsealed.is_empty() {
        return Ok(0);
    }
    let (_, mut hash) = head(tx).await?;
    let count = unsealed.len();
    let mut places = Vec::with_capacity(count);
    for row in unsealed {
        position += 1;
        let id = row.id;
        hash = chain_hash(&hash, position, &Event::from(row));
        places.push((id, position, hash.clone()));
    }
    execute_rows!(
        tx,
        "update events set position = v.column2, hash = v.column3 from (",
        &places,
        ") as v where events.id = v.column1 and events.position is null",
        (id, position, hash) => *id, *position, hash
    )?;
    execute!(tx, "update counters set value = $1 where name = 'events.sealed'", position)?;
    Ok(count)
}

/// Place and hash of the last sealed event; place 0 and the genesis hash before the first.
pub async fn head(tx: &mut Tx) -> Result<(i64, String), StoreError> {
    let sql =
        format!("select {} from events where position is not null order by position desc limit 1", EventRow::COLUMNS);
    let last = fetch!(maybe EventRow, tx, sql)?.and_then(|row| row.position.zip(row.hash));
    Ok(last.unwrap_or_else(|| (0, GENESIS.to_owned())))
}

/// Sealed events after a place, in order.
pub async fn after(tx: &mut Tx, position: i64, most: i64) -> Result<Vec<Sealed>, StoreError> {
    let sql = format!("select {} from events where position > $1 order by position limit $2", EventRow::COLUMNS);
    let rows = fetch!(all EventRow, tx, sql, position, most)?;
    Ok(rows
        .into_iter()
        .filter_map(|row| {
            let (position, hash) = (row.position?, row.hash.clone()?);
            Some(Sealed { position, hash, event: Event::from(row) })
        })
        .collect())
}

/// Whose events are wanted; everybody's when nothing is said.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    pub run: Option<RunId>,
    pub customer: Option<String>,
}

/// Places looked at in one go where no index leads to what is wanted.
const WINDOW: i64 = 2000;

/// Wanted events after a place, in order and at most `most`, and the place up to which there are no others: the next look's
/// beginning. A place is given once and in the order of the sealer's commits, so looks one after the other lose nothing and
/// repeat nothing.
pub async fn wanted(tx: &mut Tx, wanted: &Wanted, after: i64, most: usize) -> Result<(Vec<Sealed>, i64), StoreError> {
    // Read first: what is sealed meanwhile comes on top.
    let (head, _) = head(tx).await?;
    let until = if wanted.run.is_some() { head } else { head.min(after + WINDOW) };
    let filter = match (&wanted.run, &wanted.customer) {
        (None, None) => "$3 = $3 and $4 = $4",
        (Some(_), None) => "run_id = $3 and $4 = $4",
        (None, Some(_)) => "$3 = $3 and customer = $4",
        (Some(_), Some(_)) => "run_id = $3 and customer = $4",
    };
    let sql = format!(
        "select {} from events where position > $1 and position <= $2 and {filter} order by position limit $5",
        EventRow::COLUMNS
    );
    let (run, customer) = (wanted.run.unwrap_or(RunId(Uuid::nil())).0, wanted.customer.as_deref().unwrap_or_default());
    let limit = i64::try_from(most).unwrap_or(i64::MAX);
    let found: Vec<_> = fetch!(all EventRow, tx, sql, after, until, run, customer, limit)?
        .into_iter()
        .filter_map(|row| {
            let (position, hash) = (row.position?, row.hash.clone()?);
            Some(Sealed { position, hash, event: Event::from(row) })
        })
        .collect();
    let reached = match found.last() {
        Some(last) if found.len() >= most => last.position,
        _ => until.max(after),
    };
    Ok((found, reached))
}

/// Every event of a run, in order.
pub async fn of_run(tx: &mut Tx, run: RunId) -> Result<Vec<Event>, StoreError> {
    let sql = format!("select {} from events where run_id = $1 order by id", EventRow::COLUMNS);
    Ok(fetch!(all EventRow, tx, sql, run.0)?.into_iter().map(Event::from).collect())
}

/// Every event of a message, in order.
pub async fn of_message(tx: &mut Tx, message: MessageId) -> Result<Vec<Event>, StoreError> {
    let sql = format!("select {} from events where message_id = $1 order by id", EventRow::COLUMNS);
    Ok(fetch!(all EventRow, tx, sql, message.0)?.into_iter().map(Event::from).collect())
}
