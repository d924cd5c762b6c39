//! Events told to the outside: who is told, how far, and what happens when somebody does not listen.
//!
//! Each receiver has its own place in the sealed trail and its own loop, so that one that is away keeps nobody else waiting; what it
//! misses waits in the trail, however long. An event is told at least once: a crash, a lost answer or a failure beside it repeats
//! it, under the same id. Events of one run are told in order; of several runs at once. Nothing is sent inside a transaction.

mod client;
mod traces;
mod webhook;

use std::sync::Arc;

use anyhow::Context as _;
use chrono::{DateTime, TimeDelta, Utc};
use secrecy::ExposeSecret;
use tracing::{info, warn};

use self::traces::Traces;
use self::webhook::Webhook;
use crate::config::receivers::{OTLP, Publish};
use crate::config::secret::Secrets;
use crate::domain::event::{Event, Sealed};
use crate::engine::{Engine, EngineError};
use crate::store::events::{self, Wanted};
use crate::store::receivers::{self, ReceiverRow, Standing};

/// Events looked at in one go.
const MOST: usize = 100;

/// Refusals of one event as bad in itself (400, 413, 415, 422) before it is passed over.
const MAX_REFUSALS: i32 = 8;

/// Tells events.
pub struct Publisher {
    engine: Arc<Engine>,
    receivers: Vec<Receiver>,
}

struct Receiver {
    name: String,
    /// Longest wait for one answer.
    timeout: TimeDelta,
    to: To,
}

enum To {
    Webhook(Box<Webhook>),
    Traces(Traces),
}

/// Where telling stopped short.
struct Stop {
    /// Place of the first event that is not told.
    position: i64,
    /// None when only the time was over.
    trouble: Option<Trouble>,
}

/// Why an event was not taken.
struct Trouble {
    why: String,
    /// Whether it is the event rather than the receiver that is at fault, as the receiver says.
    refused: bool,
}

impl Publisher {
    /// The receivers of a configuration.
    ///
    /// # Errors
    /// When a secret or a file with certificates cannot be read.
    pub async fn build(engine: Arc<Engine>, config: &Publish, secrets: &Secrets) -> anyhow::Result<Self> {
        let mut receivers = vec![];
        for webhook in &config.webhooks {
            let of = || format!("publish.webhook {}", webhook.name);
            let secret = secrets.get(&webhook.secret).await.with_context(of)?;
            let client = client::client(&webhook.url, webhook.ca_file.as_deref(), webhook.timeout).with_context(of)?;
            let to = To::Webhook(Box::new(Webhook::new(client, webhook, secret.expose_secret())));
            receivers.push(Receiver { name: webhook.name.clone(), timeout: webhook.timeout.delta(), to });
        }
        if let Some(otlp) = &config.otlp {
            let authorization = match &otlp.authorization {
                Some(reference) => Some(secrets.get(reference).await.context("publish.otlp")?),
                None => None,
            };
            let client =
                client::client(&otlp.endpoint, otlp.ca_file.as_deref(), otlp.timeout).context("publish.otlp")?;
            let to = To::Traces(Traces::new(client, &otlp.endpoint, authorization));
            receivers.push(Receiver { name: OTLP.into(), timeout: otlp.timeout.delta(), to });
        }
        Ok(Self { engine, receivers })
    }

    /// How many receivers there are.
    pub fn count(&self) -> usize {
        self.receivers.len()
    }

    /// Tells the receiver at `place` some events. True when there may be more for it at once.
    ///
    /// A receiver that nobody has told anything yet hears of what is sealed from now on.
    pub async fn tick(&self, place: usize) -> Result<bool, EngineError> {
        let Some(receiver) = self.receivers.get(place) else { return Ok(false) };
        let now = self.engine.clock.now();
        let mut tx = self.engine.store.read().await?;
        let known = receivers::get(&mut tx, &receiver.name).await?;
        let (head, _) = events::head(&mut tx).await?;
        drop(tx);
        let due = known.as_ref().is_none_or(|row| row.position != head && row.next_at <= now);
        if !due {
            return Ok(false);
        }
        let mut tx = self.engine.store.begin().await?;
        if known.is_none_or(|row| row.position > head) {
            receivers::welcome(&mut tx, &receiver.name, now).await?;
        }
        // Every event has its own timeout; no new one is begun in the second half.
        let lease = self.engine.lease.max(receiver.timeout * 3);
        let claimed = receivers::claim(&mut tx, &receiver.name, now, now + lease).await?;
        tx.commit().await?;
        let Some(row) = claimed else { return Ok(false) };
        let mut tx = self.engine.store.read().await?;
        let (mut told, mut reached) = events::wanted(&mut tx, &Wanted::default(), row.position, MOST).await?;
        drop(tx);
        told.retain(|sealed| receiver.wants(&sealed.event));
        // What failed is tried alone, so that nothing beside it is repeated with it.
        if let Some(next) = told.get(1).filter(|_| row.attempts > 0) {
            reached = next.position - 1;
            told.truncate(1);
        }
        let until = now + lease / 2;
        let stop = if told.is_empty() { None } else { receiver.send(&self.engine, &told, until).await };
        let goes_on = stop.as_ref().is_none_or(|stop| stop.trouble.is_none());
        self.settle(&row, &told, reached, stop).await?;
        Ok(goes_on)
    }

    async fn settle(
        &self,
        row: &ReceiverRow,
        told: &[Sealed],
        reached: i64,
        stop: Option<Stop>,
    ) -> Result<(), EngineError> {
        let now = self.engine.clock.now();
        let position = stop.as_ref().map_or(reached, |stop| stop.position - 1);
        let taken = told.iter().any(|sealed| sealed.position <= position);
        let mut standing = Standing {
            position,
            next_at: now,
            sent_at: if taken { Some(now) } else { row.sent_at },
            skipped: row.skipped,
            ..Standing::default()
        };
        let mut passed_over = None;
        match stop.and_then(|stop| stop.trouble.map(|trouble| (stop.position, trouble))) {
            None if row.failing_since.is_some() && taken => info!("events are taken by {} again", row.name),
            None => {}
            Some((at, trouble)) => {
                let attempts = if taken { 1 } else { row.attempts + 1 };
                if trouble.refused && attempts >= MAX_REFUSALS {
                    standing.position = at;
                    standing.skipped += 1;
                    passed_over = told.iter().find(|sealed| sealed.position == at);
                    warn!("event {at} is passed over for {}: {}", row.name, trouble.why);
                } else {
                    standing.attempts = attempts;
                    standing.failing_since = row.failing_since.filter(|_| !taken).or(Some(now));
                    standing.next_at = now + TimeDelta::seconds(5 << (attempts - 1).clamp(0, 9));
                    warn!("event {at} is not taken by {}: {}; tried again", row.name, trouble.why);
                }
                standing.error = Some(trouble.why);
            }
        }
        let mut tx = self.engine.store.begin().await?;
        if receivers::settle(&mut tx, &row.name, row.fence, &standing).await?
            && let Some(sealed) = passed_over
        {
            let mut event = Event::new(now, "publish.skipped", &sealed.event.customer)
                .with("receiver", row.name.as_str())
                .with("position", sealed.position)
                .with("kind", sealed.event.kind.as_str())
                .with("why", standing.error.as_deref());
            event.run = sealed.event.run;
            events::append(&mut tx, &event).await?;
        }
        Ok(tx.commit().await?)
    }
}

impl Receiver {
    /// What tells of telling is told to nobody: it would never end.
    fn wants(&self, event: &Event) -> bool {
        !event.kind.starts_with("publish.")
            && match &self.to {
                To::Webhook(webhook) => webhook.wants(event),
                To::Traces(_) => traces::ends_something(event),
            }
    }

    async fn send(&self, engine: &Engine, told: &[Sealed], until: DateTime<Utc>) -> Option<Stop> {
        match &self.to {
            To::Webhook(webhook) => webhook.send(engine, told, until).await,
            To::Traces(traces) => traces.send(engine, told).await,
        }
    }
}
