//! Filing: where a message's bytes, parts and metadata lie, and what is written.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::domain::document::DocumentRef;
use crate::domain::ids::{Delivery, MessageId, TransactionId};
use crate::domain::message::{Message, Part, PartRole};
use crate::domain::verdict::Decision;

/// Working directory of a transaction: `<customer>/<transaction id>`.
pub fn directory(customer: &str, transaction: TransactionId) -> String {
    format!("{customer}/{transaction}")
}

/// Path of the raw message in it.
pub fn raw_path(customer: &str, transaction: TransactionId) -> String {
    format!("{}/message.eml", directory(customer, transaction))
}

/// Where each part of a message lies. Documents are written on their own; the rest stays inside the raw message.
///
/// The documents of a reply join the transaction of the run that they answer, under the reply's own id.
pub fn part_paths(
    customer: &str,
    transaction: TransactionId,
    message: &Message,
    joins: Option<(TransactionId, MessageId)>,
) -> Vec<String> {
    let path = |part: &Part| match joins {
        _ if !is_written(part) => raw_path(customer, transaction),
        Some((run, reply)) => format!("{customer}/{run}/parts/{}/{}", reply.0.simple(), part.stored_name()),
        None => format!("{customer}/{transaction}/parts/{}", part.stored_name()),
    };
    message.parts.iter().map(path).collect()
}

/// Whether a part is written on its own, to be handed on.
pub fn is_written(part: &Part) -> bool {
    matches!(part.role, PartRole::Document | PartRole::NeedsPassword)
}

/// References to the documents of a message, in order.
pub fn documents(message: &Message, paths: &[String]) -> Vec<DocumentRef> {
    let parts = message.parts.iter().zip(paths).filter(|(part, _)| part.role == PartRole::Document);
    parts
        .map(|(part, path)| DocumentRef {
            path: path.clone(),
            name: part.name.clone().unwrap_or_else(|| part.stored_name()),
            kind: part.kind,
            sha256: part.sha256.clone(),
            size_bytes: part.size_bytes,
        })
        .collect()
}

/// The documents and `transaction.json` of a message, each with its path. The same message always has the same paths.
pub fn files(
    customer: &str,
    delivery: &Delivery,
    message: &Message,
    paths: &[String],
    decision: &Decision,
) -> Vec<(String, Bytes)> {
    let parts = message.parts.iter().zip(paths).filter(|(part, _)| is_written(part));
    let mut files: Vec<(String, Bytes)> = parts.map(|(part, path)| (path.clone(), part.content.clone())).collect();
    let record = record(customer, delivery, message, paths, decision);
    let text = serde_json::to_vec_pretty(&record).unwrap_or_default();
    files.push((format!("{customer}/{}/transaction.json", delivery.transaction_id()), text.into()));
    files
}

/// `transaction.json`: id, mail metadata, inputs, hashes.
fn record(customer: &str, delivery: &Delivery, message: &Message, paths: &[String], decision: &Decision) -> Value {
    let parts: Vec<Value> = message
        .parts
        .iter()
        .zip(paths)
        .map(|(part, path)| {
            let mut value = serde_json::to_value(part).unwrap_or_default();
            value["path"] = path.as_str().into();
            value
        })
        .collect();
    json!({
        "transaction_id": delivery.transaction_id(),
        "message_id": delivery.message_id(),
        "customer": customer,
        "mailbox": delivery.mailbox,
        "uid_validity": delivery.uid_validity,
        "uid": delivery.uid,
        "mail": {
            "message_id": message.message_id,
            "from": message.from,
            "to": message.to,
            "subject": message.subject,
            "date": message.date,
            "size_bytes": message.size_bytes,
            "sha256": message.raw_sha256,
            "authentication": message.authentication,
            "defects": message.defects,
        },
        "verdict": decision.verdict,
        "reason": decision.reason,
        "parts": parts,
    })
}
