//! Something to tell a person. It is written with its cause, in one commit, and sent afterwards.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::words::words;

/// The template of a mail that is forwarded, as an attachment.
pub const FORWARD: &str = "forward";

/// What an agent or a ladder wants told; becomes a row of the outbox.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Draft {
    /// Medium by registered name; `email` unless the policy says otherwise.
    pub medium: String,
    /// Who is told: a user name, or the address itself.
    pub person: String,
    pub address: String,
    /// Template by name, without extension: `approval`, `reminder`, `request-info`.
    pub template: String,
    /// What the template may use, besides what delivery adds (`link`, `run`, `customer`, `person`).
    pub data: Map<String, Value>,
    /// Paths in the blob store, sent along as attachments.
    #[serde(default)]
    pub attachments: Vec<Attachment>,
    /// Whether an answer to this notice can end the wait it belongs to; it then gets a token.
    #[serde(default)]
    pub answerable: bool,
    /// Message-ID (without brackets) that this notice replies to, for threading.
    #[serde(default)]
    pub in_reply_to: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// Path in the blob store.
    pub path: String,
    /// Name shown to the person.
    pub name: String,
    /// `application/pdf`
    pub content_type: String,
}

words! {
    /// Where a notice is.
    NoticeStatus {
        Pending = "pending",
        /// A medium has it in hand. Found so after a crash: it may have gone out.
        Sending = "sending",
        Sent = "sent",
        /// Refused for good; somebody must look.
        Failed = "failed",
        /// It went out and came back (RFC 3464): whoever it was for never saw it.
        Undelivered = "undelivered",
        /// Its wait was over before it went out.
        Void = "void",
    }
}
