//! A document as runs see it: where its bytes are and what it is.

use serde::{Deserialize, Serialize};

use super::message::PartKind;

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
