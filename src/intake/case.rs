//! A message with all that its verdict depends on, and the verdict: guards first, then correlation, then rules. Reads the
//! database and writes nothing.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;

use super::message::delivery_of;
use super::read::{Content, Taken};
use super::{Intake, IntakeError, filing, guard};
use crate::config::sections::Mailbox;
use crate::domain::document::DocumentRef;
use crate::domain::ids::{MessageId, TransactionId};
use crate::domain::message::Message;
use crate::domain::person::Customer;
use crate::domain::verdict::{Decision, Verdict};
use crate::rules::{Facts, Surroundings};
use crate::store::messages::{self, MessageRow};
use crate::store::notices::NoticeRow;
use crate::store::{Tx, notices, people, runs};

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
    pub first_time_sender: Option<bool>,
}

impl Case<'_> {
    /// What is written of it beside its raw bytes.
    pub fn files(&self, decision: &Decision) -> Vec<(String, Bytes)> {
        filing::files(&self.row.customer, &delivery_of(self.row), self.message, &self.paths, decision)
    }
}

/// A message in hand with what the database knows.
pub(super) enum Known<'a> {
    Mail(Box<Case<'a>>),
    /// See `Content::Closed`.
    Closed {
        row: &'a MessageRow,
        decision: &'a Decision,
        raw_sha256: Option<&'a str>,
        size_bytes: u64,
    },
}

impl<'a> Known<'a> {
    pub fn row(&self) -> &'a MessageRow {
        match self {
            Self::Mail(case) => case.row,
            Self::Closed { row, .. } => row,
        }
    }
}

impl Intake {
    /// What the database knows about each, as if the earlier ones among them were decided already.
    pub(super) async fn know_all<'a>(
        &self,
        mailbox: &'a Mailbox,
        mails: &'a [Taken],
    ) -> Result<Vec<Known<'a>>, IntakeError> {
        let mut tx = self.engine.store.read().await?;
        let (mut cases, mut authors) = (Vec::with_capacity(mails.len()), HashSet::new());
        let mut customers: HashMap<&str, Arc<Customer>> = HashMap::new();
        for mail in mails {
            let row = &mail.row;
            cases.push(match &mail.content {
                Ok(Content::Mail(message)) => {
                    let customer = match customers.entry(&row.customer) {
                        Entry::Occupied(known) => Arc::clone(known.get()),
                        Entry::Vacant(new) => {
                            let customer = Arc::new(people::customer(&mut tx, &row.customer).await?);
                            Arc::clone(new.insert(customer))
                        }
                    };
                    let mut case = self.know(&mut tx, mailbox, row, message, customer).await?;
                    if let Some(author) = message.author()
                        && !authors.insert((&row.customer, &author.address))
                    {
                        case.first_time_sender = Some(false);
                    }
                    Known::Mail(Box::new(case))
                }
                Ok(Content::Closed { decision, raw_sha256, size_bytes }) => {
                    let (raw_sha256, size_bytes) = (raw_sha256.as_deref(), *size_bytes);
                    Known::Closed { row, decision, raw_sha256, size_bytes }
                }
                Err(error) => return Err(IntakeError::Message(error.to_string())),
            });
        }
        Ok(cases)
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
        let answered = guard::answered(message, &mailbox.address);
        // An answer needs a question; a bounce of whatever we sent is told.
        let concerns = |notice: &NoticeRow| notice.wait_id.is_some() || message.bounce.is_some();
        let notice = notices::by_message_ids(tx, &answered).await?.filter(concerns);
        let answers = match notice.and_then(|notice| notice.run_id.map(|run| (notice, run))) {
            Some((notice, run)) => Some((notice, runs::get(tx, run).await?.transaction_id)),
            None => None,
        };
        let own_id = message.message_id.as_slice();
        let is_ours = notices::by_message_ids(tx, own_id).await?.is_some();
        let duplicate_of = messages::first_with_hash(tx, &row.customer, &message.stable_sha256).await?;
        let duplicate_of = duplicate_of.filter(|first| *first != row.id);
        let first_time_sender = match message.author() {
            Some(author) => Some(!messages::has_written_before(tx, &row.customer, &author.address, row.id).await?),
            None => None,
        };
        let joins = answers.as_ref().map(|(_, transaction)| (*transaction, row.id));
        let paths = filing::part_paths(&row.customer, row.transaction_id, message, joins);
        let documents = filing::documents(message, &paths);
        Ok(Case {
            mailbox,
            row,
            message,
            paths,
            documents,
            customer,
            answers,
            is_ours,
            duplicate_of,
            first_time_sender,
        })
    }

    pub(super) fn verdict(&self, known: &Known<'_>) -> Decision {
        match known {
            Known::Mail(case) => self.decide(case),
            Known::Closed { decision, .. } => (*decision).clone(),
        }
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
            return Decision::by_guard("correlation", Verdict::Resume, "it answers a notice of ours");
        }
        if let Some(decision) = guard::refuse_automatic(message) {
            return decision;
        }
        self.behaviour().rules.screen(&self.facts(case))
    }

    /// What rules may know about a message now.
    pub(super) fn facts(&self, case: &Case<'_>) -> Facts {
        let surroundings = Surroundings {
            mailbox: &case.mailbox.name,
            customer: &case.customer,
            duplicate_of: case.duplicate_of.map(|id| id.to_string()),
            first_time_sender: case.first_time_sender,
            now: self.engine.clock.now(),
            documents: &case.documents,
        };
        Facts::gather(case.message, &surroundings)
    }
}
