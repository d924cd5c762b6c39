//! One message, from its raw bytes to its commit. It stands or falls alone.

use chrono::{DateTime, Utc};
use tracing::info;

use super::guard;
use super::{Intake, IntakeError, filing};
use crate::config::sections::Mailbox;
use crate::domain::crash;
use crate::domain::document::DocumentRef;
use crate::domain::event::{Event, sha256_hex};
use crate::domain::ids::{Delivery, MessageId, TransactionId};
use crate::domain::message::Message;
use crate::domain::person::Customer;
use crate::domain::verdict::{Decision, Severity, Verdict};
use crate::mime::{self, Unparsable};
use crate::rules::{Facts, Surroundings};
use crate::store::messages::{self, Decided, MessageRow};
use crate::store::notices::NoticeRow;
use crate::store::{Tx, events, notices, people, runs};

/// A message that was read, with what the database knew about it before anything was decided.
pub(super) struct Case<'a> {
    pub mailbox: &'a Mailbox,
    pub row: &'a MessageRow,
    pub message: Message,
    /// Where each part lies.
    pub paths: Vec<String>,
    pub documents: Vec<DocumentRef>,
    pub customer: Customer,
    /// The notice of ours that it answers, and the transaction of that notice's run.
    pub answers: Option<(NoticeRow, TransactionId)>,
    /// Whether it is a notice of ours, under any From.
    pub is_ours: bool,
    /// An earlier delivery of the same mail.
    pub duplicate_of: Option<MessageId>,
    pub first_time_sender: Option<bool>,
}

impl Intake {
    /// Takes one listed message in: files it, finds its verdict and commits everything that follows from it at once.
    ///
    /// A crash before the commit leaves the ledger row open; the repeat writes the same places and decides anew.
    pub(super) async fn take_in(
        &self,
        mailbox: &Mailbox,
        row: &MessageRow,
        raw: Vec<u8>,
    ) -> Result<Decision, IntakeError> {
        let delivery = delivery_of(row);
        let blob = &self.engine.blob;
        blob.put(&filing::raw_path(&row.customer, row.transaction_id), &raw).await?;
        crash::point("intake.filed");
        let raw_sha256 = sha256_hex(&raw);
        let size_bytes = raw.len() as u64;
        let message = match self.parse(mailbox, raw).await? {
            Ok(message) => message,
            Err(Unparsable { reason, details }) => {
                let severity = Severity::Medium;
                let decision =
                    Decision::by_guard("unparsable", Verdict::Quarantine { severity }, format!("{reason}: {details}"));
                return self.settle(row, decision, Some(&raw_sha256), size_bytes).await;
            }
        };
        let mut message = message;
        let (mut tx, case, decision) = loop {
            let case = self.know(mailbox, row, message).await?;
            let decision = self.decide(&case);
            filing::write(blob, &row.customer, &delivery, &case.message, &case.paths, &decision).await?;
            crash::point("intake.before_commit");

            let mut tx = self.engine.store.begin().await?;
            let hash = &case.message.stable_sha256;
            let first = messages::lock_first_with_hash(&mut tx, &row.customer, hash).await?;
            if first == Some(row.id) {
                return Err(decided_elsewhere());
            }
            // Otherwise the same mail came to another mailbox and was decided there meanwhile: look again.
            if first.is_none() || case.duplicate_of.is_some() {
                break (tx, case, decision);
            }
            message = case.message;
        };
        let done = self.write(&mut tx, &case, decision).await?;
        tx.commit().await?;
        crash::point("intake.committed");
        self.engine.work.notify_waiters();
        info!(message.id = %row.id, mailbox = mailbox.name, "{delivery}: {}", done.verdict.name());
        Ok(done)
    }

    /// Settles a message that cannot be looked into: gone, too large, unreadable.
    pub(super) async fn settle(
        &self,
        row: &MessageRow,
        decision: Decision,
        raw_sha256: Option<&str>,
        size_bytes: u64,
    ) -> Result<Decision, IntakeError> {
        let mut tx = self.engine.store.begin().await?;
        let at = self.engine.clock.now();
        let decided = Decided {
            id: row.id,
            message: None,
            decision: &decision,
            raw_sha256,
            size_bytes,
            run_id: None,
            wait_id: None,
            duplicate_of: None,
            at,
        };
        if messages::decide(&mut tx, &decided).await? {
            messages::insert_transaction(&mut tx, row.transaction_id, &row.customer, row.id, at).await?;
            events::append(&mut tx, &screened(row, &decision, at)).await?;
        }
        tx.commit().await?;
        info!(message.id = %row.id, mailbox = row.mailbox, "{}: {}", delivery_of(row), decision.verdict.name());
        Ok(decision)
    }

    /// Parses off the async threads: a large message takes processor time.
    pub(super) async fn parse(
        &self,
        mailbox: &Mailbox,
        raw: Vec<u8>,
    ) -> Result<Result<Message, Unparsable>, IntakeError> {
        let (limits, authserv_ids) = (self.limits.clone(), mailbox.authserv_ids.clone());
        tokio::task::spawn_blocking(move || {
            mime::parse(&raw, &mime::Options { limits: &limits, authserv_ids: &authserv_ids })
        })
        .await
        .map_err(|error| IntakeError::Message(format!("parse the message: {error}")))
    }

    /// Reads what the database knows about a parsed message, and finds the places of its parts.
    pub(super) async fn know<'a>(
        &self,
        mailbox: &'a Mailbox,
        row: &'a MessageRow,
        message: Message,
    ) -> Result<Case<'a>, IntakeError> {
        let mut tx = self.engine.store.read().await?;
        let customer = people::customer(&mut tx, &row.customer).await?;
        let answered = guard::answered(&message, &mailbox.address);
        // An answer needs a question; a bounce of whatever we sent is told.
        let concerns = |notice: &NoticeRow| notice.wait_id.is_some() || message.bounce.is_some();
        let notice = notices::by_message_ids(&mut tx, &answered).await?.filter(concerns);
        let answers = match notice.and_then(|notice| notice.run_id.map(|run| (notice, run))) {
            Some((notice, run)) => Some((notice, runs::get(&mut tx, run).await?.transaction_id)),
            None => None,
        };
        let own_id = message.message_id.as_slice();
        let is_ours = notices::by_message_ids(&mut tx, own_id).await?.is_some();
        let duplicate_of = messages::first_with_hash(&mut tx, &row.customer, &message.stable_sha256).await?;
        let duplicate_of = duplicate_of.filter(|first| *first != row.id);
        let first_time_sender = match message.author() {
            Some(author) => Some(!messages::has_written_before(&mut tx, &row.customer, &author.address, row.id).await?),
            None => None,
        };
        let joins = answers.as_ref().map(|(_, transaction)| (*transaction, row.id));
        let paths = filing::part_paths(&row.customer, row.transaction_id, &message, joins);
        let documents = filing::documents(&message, &paths);
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

    /// The verdict: guards, then correlation, then rules.
    pub(super) fn decide(&self, case: &Case<'_>) -> Decision {
        let message = &case.message;
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
        Facts::gather(&case.message, &surroundings)
    }

    /// Writes everything that follows from the verdict. A verdict that cannot be carried out becomes a quarantine.
    async fn write(&self, tx: &mut Tx, case: &Case<'_>, decision: Decision) -> Result<Decision, IntakeError> {
        let (row, message, at) = (case.row, &case.message, self.engine.clock.now());
        let by = message.author().map_or("unknown", |author| author.address.as_str());
        let carried = self.carry_out(tx, case, decision, by).await?;
        let decided = Decided {
            id: row.id,
            message: Some(message),
            decision: &carried.decision,
            raw_sha256: Some(&message.raw_sha256),
            size_bytes: message.size_bytes,
            run_id: carried.run_id,
            wait_id: carried.wait_id,
            duplicate_of: case.duplicate_of,
            at,
        };
        if !messages::decide(tx, &decided).await? {
            return Err(decided_elsewhere());
        }
        messages::insert_transaction(tx, row.transaction_id, &row.customer, row.id, at).await?;
        for (part, path) in message.parts.iter().zip(&case.paths) {
            messages::insert_part(tx, row.id, carried.joined, part, path).await?;
        }
        let mut event = screened(row, &carried.decision, at);
        event.run = carried.run_id;
        events::append(tx, &event).await?;
        Ok(carried.decision)
    }
}

pub(super) fn delivery_of(row: &MessageRow) -> Delivery {
    Delivery {
        mailbox: row.mailbox.clone(),
        uid_validity: u32::try_from(row.uid_validity).unwrap_or_default(),
        uid: row.uid.clone(),
    }
}

fn screened(row: &MessageRow, decision: &Decision, at: DateTime<Utc>) -> Event {
    let mut event = Event::new(at, "message.screened", &row.customer)
        .message(row.id)
        .with("mailbox", row.mailbox.as_str())
        .with("uid", row.uid.as_str())
        .with("verdict", decision.verdict.name())
        .with("reason", decision.reason.as_str());
    if let Some(by) = decision.explanation.rule.as_ref().or(decision.explanation.guard.as_ref()) {
        event = event.with("by", by.as_str());
    }
    event
}

/// Two processes had the message in hand, because one of them had lost the mailbox's lease.
fn decided_elsewhere() -> IntakeError {
    IntakeError::Message("somebody else decided this message meanwhile".into())
}
