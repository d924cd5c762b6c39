//! One message from its raw bytes to what it says: filed as it came, and parsed. Messages are read beside each other; what
//! they lead to is decided in their order, by `message`.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Semaphore;

use super::case::answered;
use super::window::size_of;
use super::{Intake, IntakeError, filing, guard, recipient, scan};
use crate::blob::Unsynced;
use crate::config::sections::{Limits, Mailbox};
use crate::config::senders::Verify;
use crate::domain::crash;
use crate::domain::event::sha256_hex;
use crate::domain::message::{Authentication, Message};
use crate::domain::verdict::{Decision, Severity, Verdict};
use crate::engine::Engine;
use crate::mailbox::MailboxError;
use crate::malware::Scanner;
use crate::mime::{self, Unparsable};
use crate::senders::Verifier;
use crate::store::messages::MessageRow;
use crate::store::renumbered;

/// A message in hand.
pub(super) struct Taken {
    /// With the customer that it belongs to.
    pub row: MessageRow,
    /// An error puts this message off; the others go on.
    pub content: Result<Content, IntakeError>,
    /// Its raw bytes, as far as they are not durable yet.
    pub staged: Unsynced,
}

/// What came of reading a message.
pub(super) enum Content {
    Mail {
        message: Box<Message>,
        /// What ends it before any guard or rule.
        infected: Option<Box<Decision>>,
    },
    /// Its bytes were dealt with under another UIDVALIDITY of the folder; they are not stored again.
    Renumbered { raw_sha256: String, size_bytes: u64 },
    /// It cannot be looked into: gone, too large, unreadable. That decides it.
    Closed { decision: Box<Decision>, raw_sha256: Option<String>, size_bytes: u64 },
}

impl Taken {
    /// A message that is decided without being read.
    pub fn closed(row: MessageRow, decision: Decision) -> Self {
        let size_bytes = size_of(&row);
        let content = Ok(Content::Closed { decision: Box::new(decision), raw_sha256: None, size_bytes });
        Self { row, content, staged: Unsynced::default() }
    }

    /// The hash by which repeats of a mail are known; none when it could not be read.
    pub fn stable_sha256(&self) -> Option<&str> {
        match &self.content {
            Ok(Content::Mail { message, .. }) => Some(&message.stable_sha256),
            _ => None,
        }
    }
}

/// Reads the messages of one mailbox.
#[derive(Clone)]
pub(super) struct Reader {
    engine: Arc<Engine>,
    limits: Limits,
    mailbox: Arc<Mailbox>,
    /// Messages parsed at the same time.
    hands: Arc<Semaphore>,
    /// Whether the folder had another UIDVALIDITY before.
    is_renumbered: bool,
    verifier: Option<Arc<Verifier>>,
    pub scanner: Option<Arc<Scanner>>,
}

impl Intake {
    pub(super) fn reader(&self, mailbox: &Mailbox, is_renumbered: bool) -> Reader {
        Reader {
            engine: Arc::clone(&self.engine),
            limits: self.limits.clone(),
            mailbox: Arc::new(mailbox.clone()),
            hands: Arc::clone(&self.hands),
            is_renumbered,
            verifier: self.verifier.clone(),
            scanner: self.scanner.clone(),
        }
    }
}

impl Reader {
    /// Files and parses what was fetched. A crash leaves bytes that the repeat writes again, to the same place.
    pub async fn take(self, mut row: MessageRow, body: Result<Vec<u8>, MailboxError>) -> Taken {
        let mut staged = Unsynced::default();
        let content = self.content(&mut row, body, &mut staged).await;
        Taken { row, content, staged }
    }

    async fn content(
        &self,
        row: &mut MessageRow,
        body: Result<Vec<u8>, MailboxError>,
        staged: &mut Unsynced,
    ) -> Result<Content, IntakeError> {
        let limit_bytes = self.limits.message_bytes;
        let raw = match body {
            Ok(raw) => Bytes::from(raw),
            Err(MailboxError::Gone { .. }) => {
                let decision = Decision::by_guard("gone", Verdict::Ignore, "somebody removed it before it was read");
                return Ok(Content::Closed {
                    decision: Box::new(decision),
                    raw_sha256: None,
                    size_bytes: size_of(row),
                });
            }
            Err(MailboxError::TooLarge { size_bytes, .. }) => {
                let decision = Box::new(too_large(size_bytes, limit_bytes));
                return Ok(Content::Closed { decision, raw_sha256: None, size_bytes });
            }
            Err(error) => return Err(error.into()),
        };
        crash::point("intake.fetched");
        let size_bytes = raw.len() as u64;
        if self.is_renumbered {
            let raw_sha256 = sha256_hex(&raw);
            let mut tx = self.engine.store.read().await?;
            if renumbered::earlier(&mut tx, &row.mailbox, row.uid_validity, &raw_sha256).await?.is_some() {
                return Ok(Content::Renumbered { raw_sha256, size_bytes });
            }
        }
        let closed =
            |decision| Content::Closed { decision: Box::new(decision), raw_sha256: Some(sha256_hex(&raw)), size_bytes };
        let parsed = if size_bytes > limit_bytes { None } else { Some(self.parse(raw.clone(), None).await?) };
        if let Some(Ok(message)) = &parsed {
            // Whose it is decides where its bytes lie; what cannot be read is the mailbox's own customer's.
            row.customer = self.customer_of(&row.customer, message).await?;
        }
        let path = filing::raw_path(&row.customer, row.transaction_id);
        staged.add(self.engine.blob.stage(&path, raw.clone()).await?);
        crash::point("intake.filed");
        let Some(parsed) = parsed else { return Ok(closed(too_large(size_bytes, limit_bytes))) };
        let mut infected = self.scan(&raw).await?;
        Ok(match parsed {
            Ok(mut message) => {
                if infected.is_none() {
                    infected = self.scan_parts(&message).await?;
                }
                if infected.is_some() {
                    scan::withhold(&mut message);
                }
                Content::Mail { message: Box::new(message), infected: infected.map(Box::new) }
            }
            Err(why) => closed(infected.unwrap_or_else(|| unparsable(&why))),
        })
    }

    /// The customer to file a message under: the mailbox's own where the recipients leave it open.
    pub async fn customer_of(&self, own: &str, message: &Message) -> Result<String, IntakeError> {
        let notice = match guard::answered(message, &self.mailbox.address).as_slice() {
            [] => None,
            _ => answered(&mut self.engine.store.read().await?, &self.mailbox, message).await?,
        };
        let asked_by = notice.as_ref().map(|notice| notice.customer.as_str());
        let found = recipient::customer_of(&self.mailbox, message, asked_by);
        Ok(found.map_or_else(|_| own.to_owned(), str::to_owned))
    }

    /// Parses, and verifies the sender where the mailbox wants it. What was verified `at_arrival` stands: keys and hosts
    /// change.
    pub async fn parse(
        &self,
        raw: Bytes,
        at_arrival: Option<Authentication>,
    ) -> Result<Result<Message, Unparsable>, IntakeError> {
        let (limits, mailbox, bytes) = (self.limits.clone(), Arc::clone(&self.mailbox), raw.clone());
        let hand = self.hands.acquire().await.map_err(|_| stopped())?;
        // Off the async threads: a large message takes processor time.
        let parsed = tokio::task::spawn_blocking(move || {
            mime::parse(&bytes, &mime::Options { limits: &limits, authserv_ids: &mailbox.authserv_ids })
        });
        let parsed = parsed.await.map_err(|error| IntakeError::Message(format!("parse the message: {error}")))?;
        drop(hand);
        let mut message = match parsed {
            Ok(message) => message,
            Err(why) => return Ok(Err(why)),
        };
        let known = at_arrival.filter(|known| known.locally && self.mailbox.verify == Verify::Locally);
        match (known, &self.verifier) {
            (Some(known), _) if message.authentication.authserv_id.is_none() => message.authentication = known,
            (None, Some(verifier)) => verifier.complete(&raw, &mut message, &self.mailbox).await,
            _ => {}
        }
        Ok(Ok(message))
    }
}

pub(super) fn unparsable(why: &Unparsable) -> Decision {
    let verdict = Verdict::Quarantine { severity: Severity::Medium };
    Decision::by_guard("unparsable", verdict, format!("{}: {}", why.reason, why.details))
}

fn stopped() -> IntakeError {
    IntakeError::Message("the process is stopping".into())
}

pub(super) fn too_large(size_bytes: u64, limit_bytes: u64) -> Decision {
    let reason = format!("it has {size_bytes} bytes, more than the {limit_bytes} that limits.message_bytes allows");
    Decision::by_guard("too-large", Verdict::Quarantine { severity: Severity::Medium }, reason)
}
