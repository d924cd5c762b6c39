//! A message with all that its verdict depends on, and the verdict: guards first, then correlation, then rules. Reads the
//! database and writes nothing.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;

use super::message::delivery_of;
use super::read::{Content, Taken};
use super::{Intake, IntakeError, filing, guard, recipient};
use crate::config::sections::Mailbox;
use crate::domain::document::{DocumentRef, EarlierDocument};
use crate::domain::event::Event;
use crate::domain::ids::{MessageId, TransactionId};
use crate::domain::message::{Message, Part, PartRole};
use crate::domain::person::{Address, Customer};
use crate::domain::verdict::{Decision, Verdict};
use crate::rules::{Facts, Surroundings};
use crate::store::messages::{self, MessageRow};
use crate::store::notices::NoticeRow;
use crate::store::{Tx, documents, notices, people, runs};

/// A message that was read, with what the database knew about it before anything was decided.
pub(super) struct Case<'a> {
    pub mailbox: &'a Mailbox,
    pub row: &'a MessageRow,
    pub message: &'a Message,
    /// Where each part lies.
    pub paths: Vec<String>,
    pub documents: Vec<DocumentRef>,
    pub customer: Arc<Customer>,
    /// The notice of ours that it answers, and the transaction of that notice's run.
    pub answers: Option<(NoticeRow, TransactionId)>,
    /// Whether it is a notice of ours, under any From.
    pub is_ours: bool,
    /// An earlier delivery of the same mail.
    pub duplicate_of: Option<MessageId>,
    /// Its documents that came before, in other messages.
    pub earlier: Vec<EarlierDocument>,
    pub first_time_sender: Option<bool>,
    /// Why it is not clear that it is this customer's.
    pub unclear: Option<Decision>,
}

impl Case<'_> {
    /// What is written of it beside its raw bytes.
    pub fn files(&self, decision: &Decision) -> Vec<(String, Bytes)> {
        filing::files(&self.row.customer, &delivery_of(self.row), self.message, &self.paths, decision)
    }

    /// The message that a document came with first, if it came before.
    pub fn came_with(&self, part: &Part) -> Option<MessageId> {
        let is_same = |earlier: &&EarlierDocument| part.role == PartRole::Document && earlier.sha256 == part.sha256;
        self.earlier.iter().find(is_same).map(|earlier| earlier.message)
    }

    /// The message that the first of its documents that came before came with.
    pub fn documents_of(&self) -> Option<MessageId> {
        self.message.parts.iter().find_map(|part| self.came_with(part))
    }

    /// Says in an event what is a repeat.
    pub fn mark(&self, mut event: Event) -> Event {
        for (key, first) in [("duplicate_of", self.duplicate_of), ("documents_of", self.documents_of())] {
            if let Some(first) = first {
                event = event.with(key, first.to_string());
            }
        }
        event
    }
}

/// What the earlier messages of a window say about a later one, before they are committed.
#[derive(Default)]
struct Before<'a> {
    customers: HashMap<&'a str, Arc<Customer>>,
    /// Customer and address.
    authors: HashSet<(&'a str, &'a str)>,
    /// Customer and SHA-256 of each document, with the message that brought it.
    documents: HashMap<(&'a str, &'a str), MessageId>,
}

impl<'a> Before<'a> {
    fn recall(&self, case: &mut Case<'a>) {
        let customer = case.row.customer.as_str();
        let wrote = |author: &Address| self.authors.contains(&(customer, author.address.as_str()));
        if case.message.author().is_some_and(wrote) {
            case.first_time_sender = Some(false);
        }
        for part in case.message.documents() {
            if let Some(message) = self.documents.get(&(customer, part.sha256.as_str()))
                && case.came_with(part).is_none()
            {
                case.earlier.push(EarlierDocument { sha256: part.sha256.clone(), message: *message, run: None });
            }
        }
    }

    fn remember(&mut self, case: &Case<'a>, decision: &Decision) {
        let customer = case.row.customer.as_str();
        self.authors.extend(case.message.author().map(|author| (customer, author.address.as_str())));
        // As `first_with_documents`: something has to come of it.
        if matches!(decision.verdict, Verdict::Start { .. } | Verdict::Resume | Verdict::Reply { .. }) {
            for part in case.message.documents() {
                self.documents.entry((customer, part.sha256.as_str())).or_insert(case.row.id);
            }
        }
    }
}

/// A message in hand with what the database knows.
pub(super) enum Known<'a> {
    Mail(Box<Case<'a>>),
    /// See `Content::Closed`.
    Closed {
        row: &'a MessageRow,
        raw_sha256: Option<&'a str>,
        size_bytes: u64,
    },
    /// See `Content::Renumbered`. Its decision waits for the earlier delivery that it will stand for.
    Renumbered {
        row: &'a MessageRow,
        raw_sha256: &'a str,
        size_bytes: u64,
    },
}

impl<'a> Known<'a> {
    pub fn row(&self) -> &'a MessageRow {
        match self {
            Self::Mail(case) => case.row,
            Self::Closed { row, .. } | Self::Renumbered { row, .. } => row,
        }
    }
}

impl Intake {
    /// What the database knows about each, and its verdict, as if the earlier ones among them were decided already.
    pub(super) async fn judge<'a>(
        &self,
        mailbox: &'a Mailbox,
        mails: &'a [Taken],
    ) -> Result<Vec<(Known<'a>, Decision)>, IntakeError> {
        let mut tx = self.engine.store.read().await?;
        let mut judged = Vec::with_capacity(mails.len());
        let mut before = Before::default();
        for mail in mails {
            let row = &mail.row;
            judged.push(match &mail.content {
                Ok(Content::Mail { message, infected }) => {
                    let customer = match before.customers.entry(&row.customer) {
                        Entry::Occupied(known) => Arc::clone(known.get()),
                        Entry::Vacant(new) => {
                            let customer = Arc::new(people::customer(&mut tx, &row.customer).await?);
                            Arc::clone(new.insert(customer))
                        }
                    };
                    let mut case = self.know(&mut tx, mailbox, row, message, customer).await?;
                    before.recall(&mut case);
                    let decision = infected.as_deref().cloned().unwrap_or_else(|| self.decide(&case));
                    before.remember(&case, &decision);
                    (Known::Mail(Box::new(case)), decision)
                }
                Ok(Content::Closed { decision, raw_sha256, size_bytes }) => {
                    let known = Known::Closed { row, raw_sha256: raw_sha256.as_deref(), size_bytes: *size_bytes };
                    (known, (**decision).clone())
                }
                Ok(Content::Renumbered { raw_sha256, size_bytes }) => {
                    let known = Known::Renumbered { row, raw_sha256, size_bytes: *size_bytes };
                    (known, Decision::by_guard("renumbered", Verdict::Ignore, ""))
                }
                Err(error) => return Err(IntakeError::Message(error.to_string())),
            });
        }
        Ok(judged)
    }

    /// Reads what the database knows about a parsed message, and finds the places of its parts.
    pub(super) async fn know<'a>(
        &self,
        tx: &mut Tx,
        mailbox: &'a Mailbox,
        row: &'a MessageRow,
        message: &'a Message,
        customer: Arc<Customer>,
    ) -> Result<Case<'a>, IntakeError> {
        let notice = answered(tx, mailbox, message).await?;
        let unclear = recipient::refuse(mailbox, message, notice.as_ref(), &row.customer);
        let answers = match notice.and_then(|notice| notice.run_id.map(|run| (notice, run))) {
            Some((notice, run)) => Some((notice, runs::get(tx, run).await?.transaction_id)),
            None => None,
        };
        let own_id = message.message_id.as_slice();
        let is_ours = notices::by_message_ids(tx, own_id).await?.is_some();
        let duplicate_of = messages::first_with_hash(tx, &row.customer, &message.stable_sha256).await?;
        let duplicate_of = duplicate_of.filter(|first| *first != row.id);
        // The documents of a mail that is a repeat as a whole are told with it.
        let hashes: Vec<&str> = match duplicate_of {
            Some(_) => vec![],
            None => message.documents().map(|part| part.sha256.as_str()).collect(),
        };
        let earlier = documents::first_with_documents(tx, &row.customer, &hashes).await?;
        let first_time_sender = match message.author() {
            Some(author) => Some(!messages::has_written_before(tx, &row.customer, &author.address, row.id).await?),
            None => None,
        };
        let joins = answers.as_ref().map(|(_, transaction)| (*transaction, row.id));
        let paths = filing::part_paths(&row.customer, row.transaction_id, message, joins);
        let filed = filing::documents(message, &paths);
        Ok(Case {
            mailbox,
            row,
            message,
            paths,
            documents: filed,
            customer,
            answers,
            is_ours,
            duplicate_of,
            earlier,
            first_time_sender,
            unclear,
        })
    }

    /// The verdict: guards, then correlation, then rules.
    pub(super) fn decide(&self, case: &Case<'_>) -> Decision {
        let message = case.message;
        if let Some(decision) = guard::refuse(message, &case.mailbox.address, case.is_ours) {
            return decision;
        }
        if let Some(first) = case.duplicate_of {
            let reason = format!("the same mail was delivered before, as message {first}");
            return Decision::by_guard("duplicate", Verdict::Ignore, reason);
        }
        if case.answers.is_some() {
            let resumes = || Decision::by_guard("correlation", Verdict::Resume, "it answers a notice of ours");
            return case.unclear.clone().unwrap_or_else(resumes);
        }
        if let Some(decision) = guard::refuse_automatic(message) {
            return decision;
        }
        if let Some(decision) = &case.unclear {
            return decision.clone();
        }
        self.behaviour().rules.screen(&self.facts(case))
    }

    /// What rules may know about a message now.
    pub(super) fn facts(&self, case: &Case<'_>) -> Facts {
        let surroundings = Surroundings {
            mailbox: &case.mailbox.name,
            customer: &case.customer,
            duplicate_of: case.duplicate_of.map(|id| id.to_string()),
            earlier: &case.earlier,
            first_time_sender: case.first_time_sender,
            now: self.engine.clock.now(),
            documents: &case.documents,
        };
        Facts::gather(case.message, &surroundings)
    }
}

/// The notice of ours that a message answers. An answer needs a question; a bounce of whatever we sent is told.
pub(super) async fn answered(
    tx: &mut Tx,
    mailbox: &Mailbox,
    message: &Message,
) -> Result<Option<NoticeRow>, IntakeError> {
    let ids = guard::answered(message, &mailbox.address);
    let concerns = |notice: &NoticeRow| notice.wait_id.is_some() || message.bounce.is_some();
    Ok(notices::by_message_ids(tx, &ids).await?.filter(concerns))
}
