//! A document as runs see it: where its bytes are and what it is.

use serde::{Deserialize, Serialize};

use super::ids::MessageId;
use super::message::PartKind;
use super::words::words;

/// Reference to a stored document. Workflow inputs and step outputs hold these as JSON objects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DocumentRef {
    /// Path in the blob store.
    pub path: String,
    /// Name given by the sender, for people only.
    pub name: String,
    pub kind: PartKind,
    /// SHA-256 (hex) of the bytes.
    pub sha256: String,
    pub size_bytes: u64,
}

/// A document that came before, in another message of the same customer that something came of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EarlierDocument {
    /// SHA-256 (hex) of its bytes.
    pub sha256: String,
    /// The first message that brought it.
    pub message: MessageId,
    /// Human id of the run that message belongs to.
    pub run: Option<String>,
}

words! {
    /// How many of a message's documents came before.
    Repeated { None = "none", Some = "some", All = "all" }
}
