//! Traces of runs: OTLP 1 over HTTP, as JSON. One trace per run, a span for each attempt of a step and each wait when it ends, and
//! the run's own span when the run ends. Ids are derived, so that a repeat is the same span.

use chrono::{DateTime, Utc};
use reqwest::{Client, header};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::client;
use super::{Stop, Trouble};
use crate::domain::event::{Event, Sealed, sha256_hex};
use crate::domain::ids::RunId;
use crate::engine::Engine;
use crate::store::runs::RunRow;
use crate::store::{StoreError, events, runs};

pub(super) struct Traces {
    client: Client,
    url: String,
    authorization: Option<SecretString>,
}

/// How a span ended (`Status.StatusCode`).
const OK: u8 = 1;
const ERROR: u8 = 2;

/// Whether a span ends with this event.
pub(super) fn ends_something(event: &Event) -> bool {
    event.run.is_some() && beginning_of(event).is_some()
}

/// What the event ends: the kind of the event that it began with, the field by which the two belong together, and whether it went well.
fn beginning_of(event: &Event) -> Option<(&'static str, Option<&'static str>, u8)> {
    Some(match event.kind.as_str() {
        "step.done" | "step.waiting" => ("step.started", Some("attempt"), OK),
        "step.retry" | "step.failed" => ("step.started", Some("attempt"), ERROR),
        "wait.answered" => ("wait.opened", Some("wait"), OK),
        "wait.expired" => ("wait.opened", Some("wait"), ERROR),
        "run.completed" => ("run.launched", None, OK),
        "run.failed" | "run.killed" => ("run.launched", None, ERROR),
        _ => return None,
    })
}

impl Traces {
    pub(super) fn new(client: Client, endpoint: &str, authorization: Option<SecretString>) -> Self {
        Self { client, url: format!("{}/v1/traces", endpoint.trim_end_matches('/')), authorization }
    }

    /// Sends the spans that end with these events, in one request.
    pub(super) async fn send(&self, engine: &Engine, told: &[Sealed]) -> Option<Stop> {
        let first = told.first()?.position;
        let stop = |why: String, refused| Some(Stop { position: first, trouble: Some(Trouble { why, refused }) });
        let spans = match spans(engine, told).await {
            Ok(spans) => spans,
            Err(error) => return stop(error.to_string(), false),
        };
        if spans.is_empty() {
            return None;
        }
        let version = env!("CARGO_PKG_VERSION");
        let body = json!({ "resourceSpans": [{
            "resource": { "attributes": [attribute("service.name", "countersign"), attribute("service.version", version)] },
            "scopeSpans": [{ "scope": { "name": "countersign", "version": version }, "spans": spans }],
        }]});
        let request =
            self.client.post(&self.url).header(header::CONTENT_TYPE, "application/json").body(body.to_string());
        let request = match &self.authorization {
            Some(authorization) => request.header(header::AUTHORIZATION, authorization.expose_secret()),
            None => request,
        };
        match client::send(request).await {
            Ok(()) => None,
            Err(trouble) => stop(trouble.why, trouble.refused),
        }
    }
}

async fn spans(engine: &Engine, told: &[Sealed]) -> Result<Vec<Value>, StoreError> {
    let mut tx = engine.store.read().await?;
    let mut spans = vec![];
    let mut known: Option<(RunRow, Vec<Event>)> = None;
    for end in told.iter().map(|sealed| &sealed.event) {
        let Some(id) = end.run else { continue };
        if known.as_ref().is_none_or(|(run, _)| run.id != id) {
            known = Some((runs::get(&mut tx, id).await?, events::of_run(&mut tx, id).await?));
        }
        spans.extend(known.as_ref().and_then(|(run, events)| span(run, events, end)));
    }
    Ok(spans)
}

/// The span that ends with an event of a run; none where its beginning is not in the trail.
fn span(run: &RunRow, events: &[Event], end: &Event) -> Option<Value> {
    let (kind, by, code) = beginning_of(end)?;
    let belongs = |event: &&Event| {
        event.kind == kind
            && event.step == end.step
            && event.at <= end.at
            && by.is_none_or(|by| event.data.get(by) == end.data.get(by))
    };
    // The last: a restart counts attempts from one again.
    let begin = events.iter().rev().find(belongs)?;
    let root = span_id(run.id, "run");
    let (id, parent, name) = match by {
        None => (root, None, run.workflow.clone()),
        Some(by) => {
            let step = end.step.clone().unwrap_or_default();
            let which = end.data.get(by).map(Value::to_string).unwrap_or_default();
            let id = span_id(run.id, &format!("{kind} {step} {which} {}", begin.at.to_rfc3339()));
            let name = if by == "wait" { format!("{step} (wait)") } else { step };
            (id, Some(root), name)
        }
    };
    let mut attributes = vec![
        attribute("countersign.run", &run.name),
        attribute("countersign.customer", &run.customer),
        attribute("countersign.ended_with", &end.kind),
    ];
    if let Some(attempt) = end.data.get("attempt").and_then(Value::as_i64) {
        // 64-bit integers are texts in JSON of protocol buffers.
        attributes.push(json!({ "key": "countersign.attempt", "value": { "intValue": attempt.to_string() } }));
    }
    if let Some(agent) = begin.data.get("agent").and_then(Value::as_str) {
        attributes.push(attribute("countersign.agent", agent));
    }
    let mut status = json!({ "code": code });
    if let Some(reason) = end.data.get("reason").and_then(Value::as_str).filter(|_| code == ERROR) {
        status["message"] = reason.into();
    }
    let mut span = json!({
        "traceId": run.id.0.simple().to_string(),
        "spanId": id,
        "name": name,
        "kind": 1,
        "startTimeUnixNano": nanos(begin.at),
        "endTimeUnixNano": nanos(end.at),
        "attributes": attributes,
        "status": status,
    });
    if let Some(parent) = parent {
        span["parentSpanId"] = parent.into();
    }
    Some(span)
}

/// Eight bytes in hexadecimal.
fn span_id(run: RunId, what: &str) -> String {
    sha256_hex(format!("{run} {what}").as_bytes())[..16].to_owned()
}

fn nanos(at: DateTime<Utc>) -> String {
    at.timestamp_nanos_opt().unwrap_or_default().to_string()
}

fn attribute(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}
