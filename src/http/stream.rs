//! Events as they happen, for whoever listens: server-sent events (HTML standard, 9.2) out of the sealed audit trail.
//!
//! `GET /runs/{id}/events` tells a run from its beginning, `GET /events` (`?customer=NAME`) everything from now on; both go on
//! after `Last-Event-ID`, or `?after=`, where one is given. An id is the place of an event in the trail. Places are given by one
//! sealer at a time, in the order of its commits and without gaps, so reading on from a place loses nothing and repeats nothing;
//! ids of rows could not do this, because rows are not committed in the order of their ids. Data is the event as
//! `countersign audit tail --json` prints it. How far steps are comes besides, as event `progress` without an id.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::page::{self, PageError};
use crate::domain::ids::RunId;
use crate::engine::Engine;
use crate::store::events::{self, Wanted};
use crate::store::{StoreError, logs, runs};

/// Streams of one process at the same time.
const MOST_STREAMS: usize = 64;

/// Events told in one piece.
const PIECE: usize = 200;

/// Milliseconds after which a browser comes back when the connection is lost.
const RETRY_MILLIS: u32 = 3000;

/// How a stream keeps time.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// Pause after a poke, so that a burst is told as one piece.
    gather: Duration,
    /// How often it is looked for what other processes did.
    tick: Duration,
    /// Longest silence.
    heartbeat: Duration,
    /// How long a reader may leave a piece unread.
    patience: Duration,
}

const PACE: Pace = Pace {
    gather: Duration::from_millis(100),
    tick: Duration::from_secs(1),
    heartbeat: Duration::from_secs(15),
    patience: Duration::from_secs(30),
};

/// What all streams of a process share.
pub(super) struct Streams {
    engine: Arc<Engine>,
    slots: Arc<Semaphore>,
    /// Cancelled when the pages are to end.
    stop: CancellationToken,
}

impl Streams {
    pub(super) fn new(engine: Arc<Engine>, stop: CancellationToken) -> Arc<Self> {
        Arc::new(Self { engine, slots: Arc::new(Semaphore::new(MOST_STREAMS)), stop })
    }
}

#[derive(Deserialize)]
pub(super) struct Asked {
    customer: Option<String>,
    after: Option<String>,
}

/// GET: what happens to the run of this name or id.
pub(super) async fn of_run(
    State(streams): State<Arc<Streams>>,
    Path(name): Path<String>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let mut tx = streams.engine.store.read().await?;
    let found = match name.parse::<RunId>() {
        Ok(id) => runs::get(&mut tx, id).await,
        Err(_) => runs::by_name(&mut tx, &name).await,
    };
    let run = match found {
        Err(error) if error.is_not_found() => return Err(PageError::NotFound("run")),
        found => found?,
    };
    drop(tx);
    let wanted = Wanted { run: Some(run.id), customer: asked.customer };
    streams.open(wanted, beginning(&headers, asked.after), Some(0)).await
}

/// GET: what happens to everything, or to what is one customer's.
pub(super) async fn all(
    State(streams): State<Arc<Streams>>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let wanted = Wanted { run: None, customer: asked.customer };
    streams.open(wanted, beginning(&headers, asked.after), None).await
}

/// What the reader has seen last, if it says so; `Last-Event-ID` is the later word. The inner error is what it said.
fn beginning(headers: &HeaderMap, after: Option<String>) -> Result<Option<i64>, String> {
    let last = headers.get("last-event-id").map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let Some(text) = last.or(after).filter(|text| !text.is_empty()) else { return Ok(None) };
    text.parse().ok().filter(|place| *place >= 0).map(Some).ok_or(text)
}

impl Streams {
    /// `otherwise` is where a reader without a place begins; none for what is new.
    async fn open(
        &self,
        wanted: Wanted,
        beginning: Result<Option<i64>, String>,
        otherwise: Option<i64>,
    ) -> Result<Response, PageError> {
        let Ok(beginning) = beginning else {
            let mend = "Last-Event-ID and after take the number of an event, as the stream gives it.";
            return Ok(page::message(StatusCode::BAD_REQUEST, "Not possible", "This is no place of an event.", mend));
        };
        let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() else {
            let what = format!("{MOST_STREAMS} readers follow events already.");
            let mut full = page::message(StatusCode::SERVICE_UNAVAILABLE, "Too many", &what, "Try again in a minute.");
            full.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("60"));
            return Ok(full);
        };
        let (head, _) = events::head(&mut self.engine.store.read().await?).await?;
        // A place beyond the end is of another trail: from before a restored backup.
        let after = beginning.or(otherwise).unwrap_or(head).min(head);
        let (sender, receiver) = mpsc::channel::<String>(1);
        let telling = Telling { engine: Arc::clone(&self.engine), wanted, after, shown: BTreeMap::new(), pace: PACE };
        tokio::spawn(telling.run(sender, self.stop.clone(), slot));
        let pieces = futures_util::stream::unfold(receiver, async |mut receiver| {
            let piece = receiver.recv().await?;
            Some((Ok::<_, Infallible>(piece), receiver))
        });
        let headers = [
            (header::CONTENT_TYPE, "text/event-stream"),
            // nginx gathers answers otherwise.
            (HeaderName::from_static("x-accel-buffering"), "no"),
        ];
        Ok((headers, Body::from_stream(pieces)).into_response())
    }
}

/// One reader being told.
struct Telling {
    engine: Arc<Engine>,
    wanted: Wanted,
    /// Everything up to here is told.
    after: i64,
    /// When the progress told last was told by its step.
    shown: BTreeMap<String, DateTime<Utc>>,
    pace: Pace,
}

impl Telling {
    /// Tells until nobody reads, the reader is too slow, or the pages end. What is not read is not fetched.
    async fn run(mut self, sender: mpsc::Sender<String>, stop: CancellationToken, slot: OwnedSemaphorePermit) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = sender.closed() => {}
            () = self.tell(&sender) => info!("a reader of events was dropped: it did not read for {:?}", self.pace.patience),
        }
        drop(slot);
    }

    /// Returns when the reader leaves a piece unread.
    async fn tell(&mut self, sender: &mpsc::Sender<String>) {
        let engine = Arc::clone(&self.engine);
        let pace = self.pace;
        let mut piece = format!("retry: {RETRY_MILLIS}\n\n");
        let mut told_at = Instant::now();
        loop {
            // Made before the look, so that what is poked during it is not missed.
            let poked = engine.work.notified();
            let more = match self.look(&mut piece).await {
                Ok(more) => more,
                Err(error) => {
                    warn!("events cannot be read for now: {error}");
                    false
                }
            };
            if piece.is_empty() && told_at.elapsed() >= pace.heartbeat {
                piece.push_str(":\n\n");
            }
            if !piece.is_empty() {
                if timeout(pace.patience, sender.send(std::mem::take(&mut piece))).await.is_err() {
                    return;
                }
                told_at = Instant::now();
            }
            if !more {
                tokio::select! {
                    () = poked => sleep(pace.gather).await,
                    () = sleep(pace.tick) => {}
                }
            }
        }
    }

    /// Writes what is new. True when there may be more at once.
    async fn look(&mut self, piece: &mut String) -> Result<bool, StoreError> {
        let mut tx = self.engine.store.read().await?;
        let before = self.after;
        let (found, reached) = events::wanted(&mut tx, &self.wanted, before, PIECE).await?;
        for sealed in &found {
            let data = serde_json::to_string(sealed).unwrap_or_default();
            // Writing to a string does not fail.
            let _ = write!(piece, "id: {}\ndata: {data}\n\n", sealed.position);
        }
        self.after = reached;
        let more = reached > before;
        if let Some(id) = self.wanted.run.filter(|_| !more) {
            let generation = runs::get(&mut tx, id).await?.generation;
            for row in logs::progress(&mut tx, id, generation).await? {
                if self.shown.get(&row.step).is_some_and(|shown| *shown >= row.at) {
                    continue;
                }
                let data = json!({
                    "run": id, "generation": row.generation, "step": row.step, "attempt": row.attempt,
                    "percent": row.percent, "message": row.message, "at": row.at,
                });
                let _ = write!(piece, "event: progress\ndata: {data}\n\n");
                self.shown.insert(row.step, row.at);
            }
        }
        Ok(more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_begins_after_what_it_has_seen() {
        let headers = |id: Option<&str>| id.map(|id| ("last-event-id".parse().unwrap(), id.parse().unwrap()));
        let check = |id: Option<&str>, after: Option<&str>, expected: Result<Option<i64>, &str>| {
            let headers: HeaderMap = headers(id).into_iter().collect();
            let got = beginning(&headers, after.map(str::to_owned));
            assert_eq!(got, expected.map_err(str::to_owned), "{id:?} {after:?}");
        };
        check(None, None, Ok(None));
        check(None, Some("7"), Ok(Some(7)));
        check(Some("9"), Some("7"), Ok(Some(9)));
        check(Some(""), Some("7"), Ok(None));
        check(Some("-1"), None, Err("-1"));
        check(Some("x"), Some("7"), Err("x"));
    }
}
