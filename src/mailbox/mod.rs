//! Sources of mail. A kind is one file and one line in `open`; nothing else knows which kinds exist.

pub mod access;
mod connect;
mod deliver;
pub mod flow;
mod guard;
mod imap;
mod login;
pub mod maildir;
mod names;
pub mod oauth;
mod wire;

pub use connect::client_config;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use secrecy::SecretString;
use tokio::sync::Notify;

use crate::config::sections::{After, Source};
use flow::Ahead;

/// Opens a source of mail. `secret` is the password or the token that its login takes (`Access` has them); a Maildir needs none.
pub async fn open(source: &Source, secret: Option<&SecretString>) -> Result<Box<dyn Mailbox>, MailboxError> {
    Ok(match source {
        Source::Imap(at) => Box::new(imap::Imap::open(at, secret).await?),
        Source::Maildir(at) => Box::new(maildir::Maildir::open(&at.path).await?),
    })
}

/// One open folder of mail. Reading never flags; whoever holds it is alone with it.
///
/// After an error for which `is_broken()` holds the value is of no more use and must be dropped.
#[async_trait]
pub trait Mailbox: Send {
    /// UIDVALIDITY of the open folder (RFC 9051, 2.3.1.1); 0 for kinds whose names never repeat.
    fn uid_validity(&self) -> u32;

    /// Every message above the high-water UID, oldest first; `None` lists the whole folder.
    /// Kinds without ordered UIDs always list everything.
    async fn list(&mut self, above: Option<&str>) -> Result<Vec<Listed>, MailboxError>;

    /// The raw bytes of one message, exactly as stored. `MailboxError::Gone` when it is there no more.
    /// Refuses with `TooLarge` before reading when it is larger than `limit_bytes`.
    async fn fetch(&mut self, uid: &str, limit_bytes: u64) -> Result<Vec<u8>, MailboxError>;

    /// Does `after` to the messages, in as few commands as the server allows. Repeating it changes nothing;
    /// messages that are gone are no error.
    async fn mark(&mut self, uids: &[String], after: &After) -> Result<(), MailboxError>;

    /// The same folder, where its kind can have several orders in hand; `flow` is how it is used.
    fn ahead(&mut self) -> Option<&mut dyn Ahead> {
        None
    }

    /// Waits until something may be new, `at_most` has passed, or `wake` is poked. Spurious wakes are allowed.
    async fn wait(&mut self, at_most: std::time::Duration, wake: &Notify) -> Result<(), MailboxError>;
}

/// A message that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub uid: String,
    pub size_bytes: u64,
    /// INTERNALDATE: when the server received it.
    pub received_at: Option<DateTime<Utc>>,
}

/// Why a mailbox could not be read. Texts name the command and the server's answer, never a secret.
#[derive(Debug, thiserror::Error)]
pub enum MailboxError {
    #[error("cannot reach {server}: {why}")]
    Unreachable { server: String, why: String },
    #[error("login as {user} refused: {why}")]
    LoginRefused { user: String, why: String },
    #[error("no token to log in as {user} with: {why}")]
    NoToken { user: String, why: String },
    #[error("{what}: {why}")]
    Protocol { what: String, why: String },
    #[error("{what}: no answer within {secs} s")]
    Timeout { what: String, secs: u64 },
    #[error("message {uid} is gone")]
    Gone { uid: String },
    #[error("message {uid} has {size_bytes} bytes, more than {limit_bytes}")]
    TooLarge { uid: String, size_bytes: u64, limit_bytes: u64 },
}

impl MailboxError {
    /// Whether the connection is of no more use.
    pub fn is_broken(&self) -> bool {
        !matches!(self, Self::Gone { .. } | Self::TooLarge { .. })
    }
}
