//! Lines of the audit trail, and the hash chain over them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::ids::{MessageId, RunId};

/// One thing that happened. Written in the commit that made it so.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    pub at: DateTime<Utc>,
    /// `noun.verb`: `message.screened`, `run.started`, `wait.answered`, `notice.sent`.
    pub kind: String,
    /// Who did it: `countersign`, a user name, or an address.
    pub actor: String,
    pub customer: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<MessageId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// Particulars; no secret, token or mail body.
    pub data: Map<String, Value>,
}

/// The actor of what happens by itself.
pub const OURSELVES: &str = "countersign";

impl Event {
    pub fn new(at: DateTime<Utc>, kind: &str, customer: &str) -> Self {
        Self {
            at,
            kind: kind.to_owned(),
            actor: OURSELVES.to_owned(),
            customer: customer.to_owned(),
            message: None,
            run: None,
            step: None,
            data: Map::new(),
        }
    }

    pub fn by(mut self, actor: &str) -> Self {
        self.actor = actor.to_owned();
        self
    }

    pub fn message(mut self, id: MessageId) -> Self {
        self.message = Some(id);
        self
    }

    pub fn run(mut self, id: RunId) -> Self {
        self.run = Some(id);
        self
    }

    pub fn step(mut self, name: &str) -> Self {
        self.step = Some(name.to_owned());
        self
    }

    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.data.insert(key.to_owned(), value.into());
        self
    }
}

/// An event with its place in the chain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sealed {
    /// 1, 2, 3, ... without gaps.
    pub position: i64,
    #[serde(flatten)]
    pub event: Event,
    /// SHA-256 (hex) over the previous hash, the position and the event.
    pub hash: String,
}

/// The hash before the first event.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The hash of an event at its place: SHA-256 over the previous hash, the position and the event's JSON with sorted keys.
pub fn chain_hash(previous: &str, position: i64, event: &Event) -> String {
    let mut digest = Sha256::new();
    digest.update(previous.as_bytes());
    digest.update(position.to_be_bytes());
    digest.update(canonical_json(&serde_json::to_value(event).unwrap_or_default()).as_bytes());
    hex(&digest.finalize())
}

/// JSON with object keys sorted and no spaces: equal values give equal text, whatever a database did to the order.
pub fn canonical_json(value: &Value) -> String {
    fn sorted(value: &Value) -> Value {
        match value {
            Value::Object(map) => {
                let mut keys: Vec<_> = map.iter().collect();
                keys.sort_by(|a, b| a.0.cmp(b.0));
                Value::Object(keys.into_iter().map(|(key, value)| (key.clone(), sorted(value))).collect())
            }
            Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
            other => other.clone(),
        }
    }
    sorted(value).to_string()
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// SHA-256 in lower-case hexadecimal.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_moved_or_reordered_event_has_another_hash() {
        let event = Event::new(DateTime::UNIX_EPOCH, "run.started", "acme").with("b", 1).with("a", 2);
        let same = Event::new(DateTime::UNIX_EPOCH, "run.started", "acme").with("a", 2).with("b", 1);
        let hash = chain_hash(GENESIS, 1, &event);
        assert_eq!(hash, chain_hash(GENESIS, 1, &same), "key order is not content");
        assert_ne!(hash, chain_hash(GENESIS, 2, &event));
        assert_ne!(hash, chain_hash(&hash, 1, &event));
        assert_ne!(hash, chain_hash(GENESIS, 1, &event.clone().with("a", 3)));
    }
}
