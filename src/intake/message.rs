//! One message, from its raw bytes to its commit. It stands or falls alone.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use tracing::info;

use super::guard;
use super::{Intake, IntakeError, filing};
use crate::config::sections::Mailbox;
use crate::domain::crash;
use crate::domain::document::DocumentRef;
use crate::domain::event::{Event, sha256_hex};
use crate::domain::ids::{Delivery, MessageId, RunId, TransactionId};
use crate::domain::message::Message;
use crate::domain::notice::Draft;
use crate::domain::person::Customer;
use crate::domain::verdict::{Decision, Severity, Verdict};
use crate::engine::EngineError;
use crate::engine::launch::Launch;
use crate::mime::{self, Unparsable};
use crate::people::reply::{self, Reply};
use crate::rules::{Facts, Surroundings};
use crate::store::messages::{self, Decided, MessageRow};
use crate::store::notices::NoticeRow;
use crate::store::{Tx, events, notices, people, runs};

/// Answers by template to one address within a day; more would be a loop or a flood.
const MAX_REPLIES_A_DAY: i64 = 3;

/// What the database knows that matters for a message, read before anything is decided.
struct Known {
    customer: Customer,
    /// The notice of ours that it answers, and the transaction of that notice's run.
    answers: Option<(NoticeRow, TransactionId)>,
    /// Whether it is a notice of ours, under any From.
    is_ours: bool,
    /// An earlier delivery of the same mail.
    duplicate_of: Option<MessageId>,
    first_time_sender: Option<bool>,
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
        let (mut tx, known, paths, documents, decision) = loop {
            let known = self.know(mailbox, row, &message).await?;
            let joins = known.answers.as_ref().map(|(_, transaction)| (*transaction, row.id));
            let paths = filing::part_paths(&row.customer, row.transaction_id, &message, joins);
            let documents = filing::documents(&message, &paths);
            let decision = self.decide(mailbox, &message, &known, &documents);
            filing::write(blob, &row.customer, &delivery, &message, &paths, &decision).await?;
            crash::point("intake.before_commit");

            let mut tx = self.engine.store.begin().await?;
            let first = messages::lock_first_with_hash(&mut tx, &row.customer, &message.stable_sha256).await?;
            if first == Some(row.id) {
                return Err(decided_elsewhere());
            }
            // Otherwise the same mail came to another mailbox and was decided there meanwhile: look again.
            if first.is_none() || known.duplicate_of.is_some() {
                break (tx, known, paths, documents, decision);
            }
        };
        let done = self.write(&mut tx, mailbox, row, &message, &paths, &documents, &known, decision).await?;
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
    async fn parse(&self, mailbox: &Mailbox, raw: Vec<u8>) -> Result<Result<Message, Unparsable>, IntakeError> {
        let (limits, authserv_ids) = (self.limits.clone(), mailbox.authserv_ids.clone());
        tokio::task::spawn_blocking(move || {
            mime::parse(&raw, &mime::Options { limits: &limits, authserv_ids: &authserv_ids })
        })
        .await
        .map_err(|error| IntakeError::Message(format!("parse the message: {error}")))
    }

    async fn know(&self, mailbox: &Mailbox, row: &MessageRow, message: &Message) -> Result<Known, IntakeError> {
        let mut tx = self.engine.store.read().await?;
        let customer = people::customer(&mut tx, &row.customer).await?;
        let answered = guard::answered(message, &mailbox.address);
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
            Some(author) => Some(!messages::has_written_before(&mut tx, &row.customer, &author.address).await?),
            None => None,
        };
        Ok(Known { customer, answers, is_ours, duplicate_of, first_time_sender })
    }

    /// The verdict: guards, then correlation, then rules.
    fn decide(&self, mailbox: &Mailbox, message: &Message, known: &Known, documents: &[DocumentRef]) -> Decision {
        if let Some(decision) = guard::refuse(message, &mailbox.address, known.is_ours) {
            return decision;
        }
        if let Some(first) = known.duplicate_of {
            let reason = format!("the same mail was delivered before, as message {first}");
            return Decision::by_guard("duplicate", Verdict::Ignore, reason);
        }
        if known.answers.is_some() {
            return Decision::by_guard("correlation", Verdict::Resume, "it answers a notice of ours");
        }
        if let Some(decision) = guard::refuse_automatic(message) {
            return decision;
        }
        let surroundings = Surroundings {
            mailbox: &mailbox.name,
            customer: &known.customer,
            duplicate_of: known.duplicate_of.map(|id| id.to_string()),
            first_time_sender: known.first_time_sender,
            now: self.engine.clock.now(),
            documents,
        };
        self.behaviour().rules.screen(&Facts::gather(message, &surroundings))
    }

    /// Writes everything that follows from the verdict. A verdict that cannot be carried out becomes a quarantine.
    #[allow(clippy::too_many_arguments)]
    async fn write(
        &self,
        tx: &mut Tx,
        mailbox: &Mailbox,
        row: &MessageRow,
        message: &Message,
        paths: &[String],
        documents: &[DocumentRef],
        known: &Known,
        mut decision: Decision,
    ) -> Result<Decision, IntakeError> {
        let at = self.engine.clock.now();
        let (mut run_id, mut wait_id, mut joined) = (None, None, row.transaction_id);
        match decision.verdict.clone() {
            Verdict::Resume => {
                if let Some((notice, transaction)) = &known.answers {
                    (run_id, wait_id, joined) = (notice.run_id, notice.wait_id, *transaction);
                    let heard = self.hear(tx, row, message, notice, known, documents).await?;
                    decision.reason = heard.reason;
                    decision.verdict = heard.verdict;
                }
            }
            Verdict::Start { workflow, inputs } => {
                match self.start(tx, mailbox, row, message, &workflow, inputs).await {
                    Ok(run) => run_id = Some(run),
                    Err(IntakeError::Engine(EngineError::Input(why))) => {
                        decision.reason = format!("rule wanted to start {workflow}, but {why}");
                        decision.verdict = Verdict::Quarantine { severity: Severity::High };
                    }
                    Err(other) => return Err(other),
                }
            }
            Verdict::Reply { template } => {
                if !self.reply(tx, mailbox, row, message, &template).await? {
                    decision.reason.push_str("; not answered: a machine wrote it, or enough was answered already");
                }
            }
            Verdict::Ignore | Verdict::Quarantine { .. } => {}
        }
        let decided = Decided {
            id: row.id,
            message: Some(message),
            decision: &decision,
            raw_sha256: Some(&message.raw_sha256),
            size_bytes: message.size_bytes,
            run_id,
            wait_id,
            duplicate_of: known.duplicate_of,
            at,
        };
        if !messages::decide(tx, &decided).await? {
            return Err(decided_elsewhere());
        }
        messages::insert_transaction(tx, row.transaction_id, &row.customer, row.id, at).await?;
        for (part, path) in message.parts.iter().zip(paths) {
            messages::insert_part(tx, row.id, joined, part, path).await?;
        }
        let mut event = screened(row, &decision, at);
        event.run = run_id;
        events::append(tx, &event).await?;
        Ok(decision)
    }

    async fn hear(
        &self,
        tx: &mut Tx,
        row: &MessageRow,
        message: &Message,
        notice: &NoticeRow,
        known: &Known,
        documents: &[DocumentRef],
    ) -> Result<HeardReply, IntakeError> {
        if let Some(bounce) = &message.bounce {
            let mut event = Event::new(self.engine.clock.now(), "notice.bounced", &row.customer)
                .message(row.id)
                .with("notice", notice.id.to_string())
                .with("person", notice.person.as_str())
                .with("action", bounce.action.as_str())
                .with("status", bounce.status.as_str());
            event.run = notice.run_id;
            events::append(tx, &event).await?;
            let reason =
                format!("our mail to {} was not delivered ({} {})", notice.person, bounce.action, bounce.status);
            return Ok(HeardReply { verdict: Verdict::Ignore, reason });
        }
        let reply = Reply { id: row.id, message, notice, customer: &known.customer, documents };
        let heard = reply::hear(&self.engine, tx, &reply).await?;
        let automatic = message.automatic == Some(crate::domain::message::Automatic::Reply);
        let verdict = if automatic { Verdict::Ignore } else { Verdict::Resume };
        Ok(HeardReply { verdict, reason: heard.reason })
    }

    async fn start(
        &self,
        tx: &mut Tx,
        mailbox: &Mailbox,
        row: &MessageRow,
        message: &Message,
        workflow: &str,
        inputs: Map<String, Value>,
    ) -> Result<RunId, IntakeError> {
        let behaviour = self.behaviour();
        let Some(workflow) = behaviour.workflow(workflow) else {
            return Err(EngineError::Input(format!("there is no workflow `{workflow}`")).into());
        };
        let launch = Launch {
            workflow,
            customer: &row.customer,
            transaction_id: row.transaction_id,
            message_id: Some(row.id),
            inputs,
            origin: origin(mailbox, row, message),
            by: message.author().map_or("unknown", |author| author.address.as_str()),
        };
        Ok(self.engine.launch(tx, launch).await?.id)
    }

    /// Answers the sender by template, unless a machine wrote (RFC 3834, 2) or they had enough answers today. False when
    /// nothing is sent.
    async fn reply(
        &self,
        tx: &mut Tx,
        mailbox: &Mailbox,
        row: &MessageRow,
        message: &Message,
        template: &str,
    ) -> Result<bool, IntakeError> {
        let Some(author) = message.author().filter(|_| message.automatic.is_none()) else { return Ok(false) };
        let now = self.engine.clock.now();
        let today = now - chrono::TimeDelta::days(1);
        if notices::count_since(tx, &author.address, template, today).await? >= MAX_REPLIES_A_DAY {
            return Ok(false);
        }
        let mut data = Map::new();
        data.insert("subject".into(), message.subject.as_str().into());
        let draft = Draft {
            medium: "email".into(),
            person: author.name.clone().unwrap_or_else(|| author.address.clone()),
            address: author.address.clone(),
            template: template.to_owned(),
            data,
            attachments: vec![],
            answerable: false,
            in_reply_to: message.message_id.clone(),
        };
        self.engine.write_reply(tx, &row.customer, &mailbox.name, &mailbox.address, &draft).await?;
        Ok(true)
    }
}

/// Two processes had the message in hand, because one of them had lost the mailbox's lease.
fn decided_elsewhere() -> IntakeError {
    IntakeError::Message("somebody else decided this message meanwhile".into())
}

struct HeardReply {
    verdict: Verdict,
    reason: String,
}

pub(super) fn delivery_of(row: &MessageRow) -> Delivery {
    Delivery {
        mailbox: row.mailbox.clone(),
        uid_validity: u32::try_from(row.uid_validity).unwrap_or_default(),
        uid: row.uid.clone(),
    }
}

/// Mail metadata that a run carries along.
fn origin(mailbox: &Mailbox, row: &MessageRow, message: &Message) -> Map<String, Value> {
    let mut origin = Map::new();
    let mut set = |key: &str, value: Value| drop(origin.insert(key.to_owned(), value));
    set("from", message.author().map(|author| author.address.clone()).into());
    set("from_name", message.author().and_then(|author| author.name.clone()).into());
    set("subject", message.subject.as_str().into());
    set("message_id", message.message_id.clone().into());
    set("mailbox", mailbox.name.as_str().into());
    set("address", mailbox.address.as_str().into());
    set("received_at", row.received_at.map(|at| at.to_rfc3339()).into());
    origin
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
