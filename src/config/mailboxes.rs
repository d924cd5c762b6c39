//! The sections of a mailbox, as types. The rest of the configuration is in `sections`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::oauth::{Auth, OAuth, Preset};
use super::recipients::{Recipients, UnknownRecipient};
use super::secret::SecretRef;
use super::sections::thirty_seconds;
use super::senders::Verify;
use super::start::Start;
use crate::domain::duration::Span;
use crate::domain::words::words;

/// A source of mail: one folder. Serde cannot deny unknown keys beside a flattened field; the types of `source` do.
#[derive(Debug, Clone, Deserialize)]
pub struct Mailbox {
    pub name: String,
    /// The customer whose mail this is.
    pub customer: String,
    #[serde(flatten)]
    pub source: Source,
    /// Cron schedule with seconds, in UTC: `0 * * * * *` is every minute.
    #[serde(default = "every_minute")]
    pub poll: String,
    /// Address that mail to this mailbox is sent to; our mails carry it as Reply-To.
    pub address: String,
    /// Whether `local+anything@domain` arrives here too; our Reply-To then carries the token.
    #[serde(default)]
    pub plus_address: bool,
    /// Whose mail it is by its recipients, where several customers share the mailbox.
    #[serde(default)]
    pub recipients: Recipients,
    #[serde(default)]
    pub unknown_recipient: UnknownRecipient,
    /// Whether To and Cc, the sender's word, say whose mail it is although the server told where it was delivered.
    #[serde(default)]
    pub believe_to: bool,
    /// The authserv-ids whose Authentication-Results we believe (RFC 8601). Where none of them spoke, `verify` counts.
    #[serde(default)]
    pub authserv_ids: Vec<String>,
    #[serde(default)]
    pub verify: Verify,
    /// Our own hosts that receive this mail, as they call themselves in Received: what they say of the client, SPF needs.
    #[serde(default)]
    pub received_by: Vec<String>,
    /// What of the mail that lies there at the first contact is taken in.
    #[serde(default)]
    pub start: Start,
    /// New messages within an hour that are taken in without asking; 0 asks never.
    #[serde(default = "five_hundred")]
    pub burst: u32,
    /// What is done on the server when a message is dealt with.
    #[serde(default)]
    pub after: After,
    /// As `after`, for quarantined messages.
    #[serde(default)]
    pub after_quarantine: Option<After>,
}

impl Mailbox {
    /// The keys of every mailbox, whatever its kind.
    pub const KEYS: &[&str] = &[
        "name",
        "customer",
        "kind",
        "poll",
        "address",
        "plus_address",
        "recipients",
        "unknown_recipient",
        "believe_to",
        "authserv_ids",
        "verify",
        "received_by",
        "start",
        "burst",
        "after",
        "after_quarantine",
    ];
}

fn five_hundred() -> u32 {
    500
}

fn every_minute() -> String {
    "0 * * * * *".into()
}

#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Source {
    Imap(Imap),
    Maildir(Maildir),
}

impl Source {
    /// The folder that is read, where the kind has several.
    pub fn folder(&self) -> Option<&str> {
        match self {
            Self::Imap(at) => Some(&at.folder),
            Self::Maildir(_) => None,
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Imap {
    /// What is not written is then filled in, before anybody sees it.
    pub preset: Option<Preset>,
    /// Whose directory at Microsoft 365.
    pub tenant: Option<String>,
    #[serde(default)]
    pub host: String,
    /// 993 for implicit TLS, 143 otherwise, when missing.
    #[serde(default)]
    pub port: Option<u16>,
    #[serde(default)]
    pub tls: Tls,
    /// PEM file with further certificate authorities.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    pub user: String,
    /// LOGIN, or PLAIN where LOGIN does not do, when missing.
    pub auth: Option<Auth>,
    pub password: Option<SecretRef>,
    pub oauth: Option<Box<OAuth>>,
    #[serde(default = "inbox")]
    pub folder: String,
    /// Wait for new mail by IDLE (RFC 2177) between polls.
    #[serde(default = "yes")]
    pub idle: bool,
    /// Longest wait for the answer to one command.
    #[serde(default = "thirty_seconds")]
    pub command_timeout: Span,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Maildir {
    /// The directory with `new`, `cur` and `tmp`.
    pub path: PathBuf,
}

words! {
    /// How a connection is encrypted.
    Tls {
        /// From the first byte (RFC 8314).
        Implicit = "implicit", StartTls = "starttls",
        /// Not at all; only to this machine.
        None = "none",
    }
}

#[allow(clippy::derivable_impls)]
impl Default for Tls {
    fn default() -> Self {
        Self::Implicit
    }
}

/// What is done on the server once a message is dealt with.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum After {
    /// Flag `\Seen`.
    #[default]
    Seen,
    /// Flag with a keyword of ours.
    Keyword(String),
    /// Move to a folder.
    Move(String),
}

fn inbox() -> String {
    "INBOX".into()
}

fn yes() -> bool {
    true
}
