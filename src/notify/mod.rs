//! What leaves for a person: the notice as composed data, the media that carry it, and their registry.
//!
//! Templates fill the words in, `compose` makes the mail. Which notices there are, when they go and what becomes of a
//! failure belongs to `delivery`.

pub mod compose;
pub mod email;
pub mod templates;

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::domain::ids::NoticeId;
use crate::domain::person::Address;

/// One notice to one person, with every word filled in.
#[derive(Debug, Clone)]
pub struct Outgoing {
    pub id: NoticeId,
    pub from: Address,
    pub to: Address,
    pub reply_to: Option<Address>,
    /// Without brackets; the same at every attempt, so that a repeat can be recognised.
    pub message_id: String,
    /// Message-ID of the mail that this one answers or continues, without brackets.
    pub in_reply_to: Option<String>,
    /// The thread so far, oldest first, without brackets.
    pub references: Vec<String>,
    pub subject: String,
    pub text: String,
    pub html: Option<String>,
    pub attachments: Vec<File>,
    pub auto: Auto,
    pub date: DateTime<Utc>,
}

/// An attachment.
#[derive(Clone)]
pub struct File {
    /// Name shown to the person.
    pub name: String,
    /// `application/pdf`
    pub content_type: String,
    pub bytes: Vec<u8>,
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "File({}, {}, {} bytes)", self.name, self.content_type, self.bytes.len())
    }
}

/// Why a machine wrote the mail: the value of Auto-Submitted (RFC 3834, 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auto {
    /// On its own account: it asks or tells.
    Generated,
    /// In answer to a mail.
    Replied,
    /// Passing on a mail of others; an extension that RFC 3834, 5.2 leaves room for.
    Forwarded,
}

impl Auto {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Generated => "auto-generated",
            Self::Replied => "auto-replied",
            Self::Forwarded => "auto-forwarded",
        }
    }
}

/// A way to reach a person.
#[async_trait]
pub trait Medium: Send + Sync {
    /// The name that policies and drafts use.
    fn name(&self) -> &'static str;

    /// Hands one notice over and returns the receipt, such as the server's last line. Never retries by itself.
    ///
    /// When the future is dropped, the notice may have gone out or not.
    async fn send(&self, mail: &Outgoing) -> Result<String, SendError>;
}

/// Why a notice was not handed over, or may not have been. The text names server and command, never a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct SendError {
    pub kind: Failing,
    pub why: String,
}

/// What a failed attempt means for the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failing {
    /// It did not go out, and a later attempt may succeed: server away, busy, or set up wrongly.
    Transient,
    /// This notice is refused for good: no such recipient, too large, an address that is none.
    Permanent,
    /// Its content was handed over, and no answer came: it may have gone out.
    Unknown,
}

impl SendError {
    pub fn transient(why: impl Into<String>) -> Self {
        Self { kind: Failing::Transient, why: why.into() }
    }

    pub fn permanent(why: impl Into<String>) -> Self {
        Self { kind: Failing::Permanent, why: why.into() }
    }

    pub fn unknown(why: impl Into<String>) -> Self {
        Self { kind: Failing::Unknown, why: why.into() }
    }

    pub fn is_transient(&self) -> bool {
        self.kind == Failing::Transient
    }

    pub fn is_unknown(&self) -> bool {
        self.kind == Failing::Unknown
    }
}

/// The media of this process, by name.
#[derive(Default)]
pub struct Media(BTreeMap<&'static str, Box<dyn Medium>>);

impl Media {
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a medium in.
    ///
    /// # Errors
    /// When there is one of that name already.
    pub fn add(&mut self, medium: Box<dyn Medium>) -> Result<(), String> {
        let name = medium.name();
        if self.0.contains_key(name) {
            return Err(format!("there are two media with the name `{name}`"));
        }
        self.0.insert(name, medium);
        Ok(())
    }

    pub fn get(&self, name: &str) -> Option<&dyn Medium> {
        self.0.get(name).map(AsRef::as_ref)
    }

    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.keys().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Named(&'static str);

    #[async_trait]
    impl Medium for Named {
        fn name(&self) -> &'static str {
            self.0
        }

        async fn send(&self, _: &Outgoing) -> Result<String, SendError> {
            Ok(self.0.to_owned())
        }
    }

    #[test]
    fn two_media_of_one_name_are_refused() {
        let mut media = Media::new();
        media.add(Box::new(Named("email"))).unwrap();
        media.add(Box::new(Named("sms"))).unwrap();
        assert_eq!(media.add(Box::new(Named("email"))).unwrap_err(), "there are two media with the name `email`");
        assert!(media.get("sms").is_some() && media.get("fax").is_none());
        assert_eq!(media.names().collect::<Vec<_>>(), ["email", "sms"]);
    }
}
