//! A task as the engine would give it, for the tests of agents.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Agent, Journal, Outcome, Task};
use crate::blob::Blob;
use crate::domain::calendar::Calendar;
use crate::domain::clock::SystemClock;
use crate::domain::ids::{RunId, TransactionId};

/// Monday 2026-03-02 09:00 UTC; olivia (budget-owner) and frank (finance-lead) may be asked; Nordwind sent the mail.
pub fn task(with: Value) -> Task {
    let origin = json!({
        "from": "billing@nordwind.example", "subject": "Invoice 4711", "message_id": "first@nordwind.example",
        "received_at": "2026-03-02T09:00:00Z",
    });
    let users = json!([
        {"name": "olivia", "full_name": "Olivia Okafor", "address": "olivia@acme.example", "roles": ["budget-owner"]},
        {"name": "frank", "full_name": "Frank Feld", "address": "frank@acme.example", "roles": ["finance-lead"]},
    ]);
    Task {
        run_id: RunId(uuid::Uuid::from_u128(7)),
        run_name: "AP-000001".into(),
        transaction_id: TransactionId(uuid::Uuid::from_u128(8)),
        customer: "acme".into(),
        step: "step".into(),
        generation: 1,
        attempt: 1,
        with: with.as_object().unwrap().clone(),
        context: json!({"inputs": {}, "steps": {}, "run": {}}),
        users: serde_json::from_value(users).unwrap(),
        calendar: Calendar::default(),
        now: "2026-03-02T09:00:00Z".parse().unwrap(),
        origin: origin.as_object().unwrap().clone(),
        blob: Arc::new(Blob::local(std::env::temp_dir().join("countersign-no-such-store"))),
        journal: Journal::new(Arc::new(SystemClock)),
    }
}

pub fn document(name: &str) -> Value {
    let sha256 = crate::domain::event::sha256_hex(name.as_bytes());
    json!({"path": format!("acme/8/parts/{name}"), "name": name, "kind": "pdf", "sha256": sha256, "size_bytes": 7})
}

/// Performs a step; takes a reference, so that it works for a boxed agent too.
pub async fn perform(agent: &dyn Agent, task: &Task) -> Outcome {
    agent.perform(task).await
}
