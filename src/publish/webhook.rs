//! Webhooks: one event, one POST, signed as Standard Webhooks 1.0.0 has it.
//!
//! `webhook-id` is the same at every repeat; `webhook-signature` is `v1,` and base64 of HMAC-SHA256 over `id.timestamp.body`. The body is
//! `{"type", "timestamp", "data"}`: kind and time of the event, and the event as `countersign audit tail --json` prints it.

use std::collections::BTreeMap;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use chrono::{DateTime, Utc};
use futures_util::{FutureExt, StreamExt, stream};
use reqwest::{Client, header};
use serde_json::json;

use super::client;
use super::{Stop, Trouble};
use crate::config::receivers;
use crate::domain::event::{Event, Sealed};
use crate::engine::Engine;

/// Runs whose events are told beside each other.
const ABREAST: usize = 8;

pub(super) struct Webhook {
    client: Client,
    url: String,
    key: hmac::Key,
    events: Vec<String>,
    customers: Vec<String>,
}

impl Webhook {
    pub(super) fn new(client: Client, config: &receivers::Webhook, secret: &str) -> Self {
        Self {
            client,
            url: config.url.clone(),
            key: key(secret),
            events: config.events.clone(),
            customers: config.customers.clone(),
        }
    }

    pub(super) fn wants(&self, event: &Event) -> bool {
        let is_theirs = self.customers.is_empty() || self.customers.contains(&event.customer);
        is_theirs && self.events.iter().any(|glob| fits(glob, &event.kind))
    }

    /// Tells events, those of one run one after the other; begins none after `until`.
    pub(super) async fn send(&self, engine: &Engine, told: &[Sealed], until: DateTime<Utc>) -> Option<Stop> {
        let mut lanes: BTreeMap<String, Vec<&Sealed>> = BTreeMap::new();
        for sealed in told {
            let event = &sealed.event;
            let about = event.run.map(|id| id.0).or(event.message.map(|id| id.0));
            let lane = about.map_or_else(|| event.customer.clone(), |id| id.to_string());
            lanes.entry(lane).or_default().push(sealed);
        }
        let mut telling = vec![];
        for lane in lanes.into_values() {
            telling.push(self.send_in_order(engine, lane, until).boxed());
        }
        let stops: Vec<Option<Stop>> = stream::iter(telling).buffer_unordered(ABREAST).collect().await;
        stops.into_iter().flatten().min_by_key(|stop| stop.position)
    }

    async fn send_in_order(&self, engine: &Engine, lane: Vec<&Sealed>, until: DateTime<Utc>) -> Option<Stop> {
        for sealed in lane {
            let now = engine.clock.now();
            if now >= until {
                return Some(Stop { position: sealed.position, trouble: None });
            }
            if let Err(trouble) = self.post(sealed, now).await {
                return Some(Stop { position: sealed.position, trouble: Some(trouble) });
            }
        }
        None
    }

    async fn post(&self, sealed: &Sealed, now: DateTime<Utc>) -> Result<(), Trouble> {
        let id = id(sealed);
        let timestamp = now.timestamp().to_string();
        let body = json!({ "type": sealed.event.kind, "timestamp": sealed.event.at, "data": sealed }).to_string();
        let request = self
            .client
            .post(&self.url)
            .header(header::CONTENT_TYPE, "application/json")
            .header("webhook-id", &id)
            .header("webhook-timestamp", &timestamp)
            .header("webhook-signature", signature(&self.key, &id, &timestamp, &body))
            .body(body);
        client::send(request).await
    }
}

/// The same at every repeat, and different for another event or another installation.
fn id(sealed: &Sealed) -> String {
    format!("evt_{}_{}", sealed.position, sealed.hash.get(..16).unwrap_or_default())
}

/// `whsec_` says that the rest is base64.
fn key(secret: &str) -> hmac::Key {
    let encoded = secret.strip_prefix("whsec_").and_then(|rest| BASE64_STANDARD.decode(rest.trim()).ok());
    hmac::Key::new(hmac::HMAC_SHA256, encoded.as_deref().unwrap_or(secret.as_bytes()))
}

fn signature(key: &hmac::Key, id: &str, timestamp: &str, body: &str) -> String {
    let tag = hmac::sign(key, format!("{id}.{timestamp}.{body}").as_bytes());
    format!("v1,{}", BASE64_STANDARD.encode(tag))
}

/// Whether a kind fits a pattern in which `*` stands for any letters.
fn fits(glob: &str, kind: &str) -> bool {
    let Some((first, rest)) = glob.split_once('*') else { return glob == kind };
    let Some(mut left) = kind.strip_prefix(first) else { return false };
    loop {
        if fits(rest, left) {
            return true;
        }
        let mut chars = left.chars();
        if chars.next().is_none() {
            return false;
        }
        left = chars.as_str();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_the_one_of_the_specification() {
        // The example of the specification's reference libraries.
        let key = key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let (id, timestamp, body) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", r#"{"test": 2432232314}"#);
        assert_eq!(signature(&key, id, timestamp, body), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn kinds_fit_by_their_pattern() {
        for (glob, kind) in [("*", "run.failed"), ("run.*", "run.failed"), ("*.failed", "run.failed"), ("a*a", "aa")] {
            assert!(fits(glob, kind), "{glob} {kind}");
        }
        for (glob, kind) in
            [("run.*", "step.failed"), ("run", "run.failed"), ("", "x"), ("a*a", "a"), ("*.fail", "run.failed")]
        {
            assert!(!fits(glob, kind), "{glob} {kind}");
        }
    }
}
