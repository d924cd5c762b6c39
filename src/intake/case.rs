//! A message with all that its verdict depends on, and the verdict: guards first, then correlation, then rules. Reads the
//! database and writes nothing.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;

use super::message::delivery_of;
use super::read::{Content, Taken};
use super::{Intake, IntakeError, answers, filing, guard, recipient};
use crate::behaviour::Behaviour;
use crate::config::sections::Mailbox;
use crate::domain::document::{DocumentRef, EarlierDocument};
use crate::domain::event::Event;
use crate::domain::ids::{MessageId, TransactionId};
use crate::domain::message::{Message, Part, PartRole};
use crate::domain::person::{Address, Customer};
use crate::domain::verdict::{AnswersReply, Decision, Verdict};
use crate::rules::{Facts, Surroundings};
use crate::store::messages::{MessageRow, StoredPart};
use crate::store::notices::NoticeRow;
use crate::store::{Tx, earlier, notices, people, reply_waits, runs};

/// A message that was read, with what the database knew about it before anything was decided.
pub(super) struct Case<'a> {
    pub mailbox: &'a Mailbox,
    /// The rules and workflows that it is decided and carried out by, whatever comes into force meanwhile.
    pub behaviour: Arc<Behaviour>,
    pub row: &'a MessageRow,
    pub message: &'a Message,
    /// Where each part lies.
    pub paths: Vec<String>,
    pub documents: Vec<DocumentRef>,
    pub customer: Arc<Customer>,
    /// The notice of ours that it answers, and the transaction of that notice's run.
    pub answers: Option<(NoticeRow, TransactionId)>,
    /// The message that it answers by a reply of ours that waits or waited.
    pub answers_reply: Option<AnswersReply>,
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

    /// The transaction that its documents and runs belong to: its own, or that of what it answers.
    pub fn transaction(&self) -> TransactionId {
        let replied = self.answers_reply.as_ref().and_then(|answers| answers.joined.as_ref());
        let of_run = self.answers.as_ref().map(|(_, transaction)| *transaction);
        of_run.or_else(|| replied.map(|joined| joined.transaction)).unwrap_or(self.row.transaction_id)
    }

    /// A decision about it, with what it answers.
    pub fn tell(&self, mut decision: Decision) -> Decision {
        decision.explanation.answers.clone_from(&self.answers_reply);
        decision
    }

    /// Its parts as they are stored.
    pub fn stored(&self) -> Vec<StoredPart<'_>> {
        let parts = self.message.parts.iter().zip(&self.paths);
        parts.map(|(part, path)| StoredPart { part, path, duplicate_of: self.came_with(part) }).collect()
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

    /// What guards and correlation make of it, before any rule; none when it is for the rules.
    pub fn settled(&self) -> Option<Decision> {
        let message = self.message;
        if let Some(decision) = guard::refuse(message, &self.mailbox.address, self.is_ours) {
            return Some(decision);
        }
        if let Some(first) = self.duplicate_of {
            let reason = format!("the same mail was delivered before, as message {first}");
            return Some(Decision::by_guard("duplicate", Verdict::Ignore, reason));
        }
        if self.answers.is_some() {
            let resumes = || Decision::by_guard("correlation", Verdict::Resume, "it answers a notice of ours");
            return Some(self.unclear.clone().unwrap_or_else(resumes));
        }
        let told = self.answers_reply.as_ref().map(|answers| answers.told.as_str());
        guard::refuse_automatic(message, told).or_else(|| self.unclear.clone())
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
        if matches!(decision.verdict, Verdict::Start(_) | Verdict::Resume | Verdict::Reply { .. }) {
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
        let behaviour = self.behaviour();
        let mut tx = self.engine.store.read().await?;
        let read = mails.iter().filter_map(|mail| match &mail.content {
            Ok(Content::Mail { message, .. }) => Some((&mail.row, &**message)),
            _ => None,
        });
        let record = Record::read(&mut tx, &read.collect::<Vec<_>>(), None).await?;
        let mut judged = Vec::with_capacity(mails.len());
        let mut before = Before::default();
        for mail in mails {
            let row = &mail.row;
            judged.push(match &mail.content {
                Ok(Content::Mail { message, infected }) => {
                    let mut case = know(&mut tx, &record, (mailbox, &behaviour), row, message).await?;
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

    /// The verdict: guards, then correlation, then rules.
    pub(super) fn decide(&self, case: &Case<'_>) -> Decision {
        case.tell(case.settled().unwrap_or_else(|| case.behaviour.rules.screen(&self.facts(case))))
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
            joined: case.answers_reply.as_ref().and_then(|answers| answers.joined.as_ref()),
        };
        Facts::gather(case.message, &surroundings)
    }
}

/// All that is known about a parsed message, with the places of its parts.
pub(super) async fn know<'a>(
    tx: &mut Tx,
    record: &Record,
    (mailbox, behaviour): (&'a Mailbox, &Arc<Behaviour>),
    row: &'a MessageRow,
    message: &'a Message,
) -> Result<Case<'a>, IntakeError> {
    let Some(known) = record.customers.get(&row.customer) else {
        return Err(IntakeError::Message(format!("nothing was looked up for customer {}", row.customer)));
    };
    let notice = answered(tx, mailbox, message).await?;
    let unclear = recipient::refuse(mailbox, message, notice.as_ref(), &row.customer);
    let mut answers_reply = None;
    let answers = match notice {
        Some(notice) => match notice.run_id {
            Some(run) => Some((notice, runs::get(tx, run).await?.transaction_id)),
            None if message.bounce.is_some() => Some((notice, row.transaction_id)),
            None => {
                answers_reply = answers::find(tx, &notice, row, message, &known.customer).await?;
                None
            }
        },
        None => None,
    };
    let duplicate_of = known.firsts.get(&message.stable_sha256).copied().filter(|first| *first != row.id);
    // The documents of a mail that is a repeat as a whole are told with it.
    let documents = message.documents().filter(|_| duplicate_of.is_none());
    let joined = answers_reply.as_ref().and_then(|answers: &AnswersReply| answers.joined.as_ref());
    // What the messages before brought did not come before this one: they are one with it.
    let is_before =
        |earlier: &&EarlierDocument| joined.is_none_or(|joined| !joined.messages.contains(&earlier.message));
    let earlier = documents.filter_map(|part| known.documents.get(&part.sha256)).filter(is_before).cloned().collect();
    let transaction = answers.as_ref().map(|(_, of_run)| *of_run).or(joined.map(|joined| joined.transaction));
    let joins = transaction.filter(|joins| *joins != row.transaction_id).map(|joins| (joins, row.id));
    let paths = filing::part_paths(&row.customer, row.transaction_id, message, joins);
    let mut documents = filing::documents(message, &paths);
    documents.extend(joined.iter().flat_map(|joined| joined.documents.iter().cloned()));
    Ok(Case {
        mailbox,
        behaviour: Arc::clone(behaviour),
        row,
        message,
        documents,
        paths,
        customer: Arc::clone(&known.customer),
        answers,
        answers_reply,
        is_ours: message.message_id.as_ref().is_some_and(|id| record.ours.contains(id)),
        duplicate_of,
        earlier,
        first_time_sender: message.author().map(|author| !known.authors.contains(&author.address)),
        unclear,
    })
}

/// What the database has about some messages, looked up for all of them at once.
pub(super) struct Record {
    customers: HashMap<String, OfCustomer>,
    /// Message-IDs that are of notices of ours.
    ours: HashSet<String>,
}

struct OfCustomer {
    customer: Arc<Customer>,
    /// The first delivery of each mail that came before, by its stable hash.
    firsts: HashMap<String, MessageId>,
    /// By SHA-256.
    documents: HashMap<String, EarlierDocument>,
    /// Addresses that wrote before.
    authors: HashSet<String>,
}

impl Record {
    /// `this`: the one message whose own row is no earlier one.
    pub async fn read(
        tx: &mut Tx,
        messages: &[(&MessageRow, &Message)],
        this: Option<MessageId>,
    ) -> Result<Self, IntakeError> {
        let mut customers = HashMap::new();
        let names: BTreeSet<&str> = messages.iter().map(|(row, _)| row.customer.as_str()).collect();
        for name in names {
            let of = || messages.iter().filter(|(row, _)| row.customer == name).map(|(_, message)| *message);
            let hashes: Vec<_> = of().map(|message| message.stable_sha256.as_str()).collect();
            let documents: Vec<_> = of().flat_map(Message::documents).map(|part| part.sha256.as_str()).collect();
            let authors: Vec<_> = of().filter_map(Message::author).map(|author| author.address.as_str()).collect();
            let documents = earlier::first_with_documents(tx, name, &documents).await?;
            let known = OfCustomer {
                customer: Arc::new(people::customer(tx, name).await?),
                firsts: earlier::first_with_hashes(tx, name, &hashes).await?,
                documents: documents.into_iter().map(|document| (document.sha256.clone(), document)).collect(),
                authors: earlier::known_authors(tx, name, &authors, this).await?,
            };
            customers.insert(name.to_owned(), known);
        }
        let ids: Vec<_> = messages.iter().filter_map(|(_, message)| message.message_id.as_deref()).collect();
        Ok(Self { customers, ours: notices::are_ours(tx, &ids).await? })
    }
}

/// The notice of ours that a message answers. An answer needs a question; a bounce of whatever we sent is told.
pub(super) async fn answered(
    tx: &mut Tx,
    mailbox: &Mailbox,
    message: &Message,
) -> Result<Option<NoticeRow>, IntakeError> {
    let ids = guard::answered(message, &mailbox.address);
    let Some(notice) = notices::by_message_ids(tx, &ids).await? else { return Ok(None) };
    let asks = notice.wait_id.is_some() || reply_waits::of_notice(tx, notice.id).await?.is_some();
    Ok((asks || message.bounce.is_some()).then_some(notice))
}
