//! Out of quarantine, once, by a person: released through a new screening, or discarded. The raw bytes stay where they are,
//! and so does what the mail server shows. Listing and showing are left to `reports`.

use serde_json::{Map, Value};
use tracing::info;

use super::case::{Case, Record, know};
use super::message::delivery_of;
use super::outcome::Carried;
use super::{Intake, IntakeError, also, filing};
use crate::blob::BlobError;
use crate::config::sections::Mailbox;
use crate::domain::event::{Event, sha256_hex};
use crate::domain::ids::MessageId;
use crate::domain::message::Message;
use crate::domain::verdict::{Decision, Disposition, Explanation, Start, Verdict};
use crate::domain::workflow::Workflow;
use crate::store::messages::{self, MessageRow};
use crate::store::quarantine::{self, Disposed, Outcome};
use crate::store::{Tx, events, reply_waits, reports};

/// What an attempt to release a message came to.
#[derive(Debug)]
pub enum Released {
    /// It is out, and its new verdict is carried out; the ledger row tells which.
    Done,
    /// It stays where it is. `readable`: a person could start a workflow from it all the same.
    Stays { reason: String, readable: bool },
}

impl Intake {
    /// Screens a quarantined message again, with the guards and rules of now, and carries the verdict out in one commit.
    /// When it would be quarantined again it stays, unless `start` names a workflow: that is then launched by `by`.
    ///
    /// A crash before the commit leaves it in quarantine; the repeat writes the same places. Two at once: one is refused.
    ///
    /// # Errors
    /// When it is not in quarantine, its mailbox or the workflow is not configured, or database or store are away.
    pub async fn release(&self, id: MessageId, by: &str, start: Option<&str>) -> Result<Released, IntakeError> {
        let mut tx = self.engine.store.read().await?;
        let row = held(messages::get(&mut tx, id).await?)?;
        drop(tx);
        let Some(mailbox) = self.mailboxes.iter().find(|known| known.name == row.mailbox) else {
            let why = format!("its mailbox `{}` is not configured any more", row.mailbox);
            return Err(IntakeError::Message(why));
        };
        let behaviour = self.behaviour();
        let start = match start {
            Some(name) => Some(behaviour.workflow_for(name, &row.customer).ok_or_else(|| {
                let known: Vec<_> = behaviour.workflows.iter().map(|known| known.name.as_str()).collect();
                IntakeError::Message(format!("there is no workflow `{name}`; there are: {}", known.join(", ")))
            })?),
            None => None,
        };
        let message = match self.read_again(mailbox, &row).await? {
            Ok(message) => message,
            Err(reason) => return Ok(Released::Stays { reason, readable: false }),
        };
        let mut tx = self.engine.store.read().await?;
        let record = Record::read(&mut tx, &[(&row, &message)], Some(row.id)).await?;
        let case = know(&mut tx, &record, (mailbox, &behaviour), &row, &message).await?;
        let asked = reply_waits::of_message(&mut tx, row.id).await?;
        drop(tx);
        let mut decision = self.decide(&case);
        if let (Some(wait), Verdict::Reply { .. }) = (&asked, &decision.verdict) {
            decision.reason = format!(
                "{}, and {} was asked already; start a workflow from it, or discard it",
                decision.reason, wait.address
            );
        }
        if matches!(decision.verdict, Verdict::Quarantine { .. })
            || asked.is_some() && decision.verdict.name() == "reply"
        {
            let Some(workflow) = start else {
                return Ok(Released::Stays { reason: decision.reason, readable: true });
            };
            let inputs = self.inputs(workflow, &case);
            let name = workflow.name.clone();
            if let Err(why) = workflow.accept(inputs.clone()) {
                return Ok(Released::Stays { reason: format!("nothing was started: {why}"), readable: true });
            }
            let reason = format!("{by} started {name}, although: {}", decision.reason);
            let documents = case.documents.iter().map(|document| document.sha256.clone()).collect();
            let start = Start { workflow: name, inputs, documents };
            // No rule and no guard decided this.
            let explanation = Explanation { ruleset: decision.explanation.ruleset, ..Default::default() };
            decision = Decision::new(Verdict::Start(vec![start]), reason, explanation);
        }
        self.carry_out_release(&case, decision, by).await
    }

    async fn carry_out_release(&self, case: &Case<'_>, decision: Decision, by: &str) -> Result<Released, IntakeError> {
        let row = case.row;
        let file = async |decision: &Decision, note: String| -> Result<(), IntakeError> {
            let noted = Decision { reason: format!("{} ({note})", decision.reason), ..decision.clone() };
            let staged = self.engine.blob.stage_all(case.files(&noted)).await?;
            Ok(self.engine.blob.sync(staged).await?)
        };
        file(&decision, format!("released by {by}")).await?;
        let mut tx = self.engine.store.begin().await?;
        let carried = self.carry_out(&mut tx, case, decision, by).await?;
        if matches!(carried.decision.verdict, Verdict::Quarantine { .. }) {
            drop(tx);
            file(&carried.decision, format!("not released by {by}")).await?;
            return Ok(Released::Stays { reason: carried.decision.reason, readable: true });
        }
        self.write_release(&mut tx, case, &carried, by).await?;
        tx.commit().await?;
        self.engine.work.notify_waiters();
        let verdict = carried.decision.verdict.name();
        info!(message.id = %row.id, mailbox = row.mailbox, "{}: released: {verdict}", delivery_of(row));
        Ok(Released::Done)
    }

    async fn write_release(
        &self,
        tx: &mut Tx,
        case: &Case<'_>,
        carried: &Carried,
        by: &str,
    ) -> Result<(), IntakeError> {
        let (row, at) = (case.row, self.engine.clock.now());
        let Decision { verdict, reason, explanation } = &carried.decision;
        let (run_id, wait_id) = (carried.run_id, carried.wait_id);
        let outcome = Outcome {
            message: case.message,
            verdict,
            run_id,
            wait_id,
            duplicate_of: case.duplicate_of,
            documents_of: case.documents_of(),
            move_to: explanation.folder(),
        };
        let disposition = Disposition::Released;
        let disposed = Disposed { id: row.id, disposition, by, reason, at, outcome: Some(outcome) };
        if !quarantine::dispose(tx, &disposed).await? {
            return Err(taken(row.id));
        }
        // It may be read otherwise now: an unreadable one had no parts, and a reply joins a run.
        messages::remove_parts(tx, row.id).await?;
        messages::insert_parts(tx, row.id, carried.joined, &case.stored()).await?;
        let mut event = Event::new(at, "message.released", &row.customer)
            .by(by)
            .message(row.id)
            .with("verdict", verdict.name())
            .with("reason", reason.as_str());
        if let Some(rule) = explanation.rule.as_ref().or(explanation.guard.as_ref()) {
            event = event.with("by", rule.as_str());
        }
        if let Some(ruleset) = &explanation.ruleset {
            event = event.with("ruleset", ruleset.as_str());
        }
        event.run = run_id;
        let event = also::tell(case.mark(event), explanation);
        Ok(events::append(tx, &event).await?)
    }

    /// Puts a quarantined message aside for good, in one commit. Its bytes stay until retention takes them.
    ///
    /// # Errors
    /// When it is not in quarantine, or the database is away.
    pub async fn discard(&self, id: MessageId, by: &str, reason: &str) -> Result<(), IntakeError> {
        let at = self.engine.clock.now();
        let mut tx = self.engine.store.begin().await?;
        let row = held(messages::get(&mut tx, id).await?)?;
        let disposed = Disposed { id, disposition: Disposition::Discarded, by, reason, at, outcome: None };
        if !quarantine::dispose(&mut tx, &disposed).await? {
            return Err(taken(id));
        }
        let event = Event::new(at, "message.discarded", &row.customer).by(by).message(id).with("reason", reason);
        events::append(&mut tx, &event).await?;
        tx.commit().await?;
        info!(message.id = %id, mailbox = row.mailbox, "{}: discarded", delivery_of(&row));
        Ok(())
    }

    /// The message from its stored bytes, or why it cannot be looked into.
    async fn read_again(&self, mailbox: &Mailbox, row: &MessageRow) -> Result<Result<Message, String>, IntakeError> {
        let raw = match self.engine.blob.get(&filing::raw_path(&row.customer, row.transaction_id)).await {
            Ok(raw) => raw,
            Err(BlobError::NotFound { .. }) => {
                return Ok(Err("its raw bytes were never stored; inject the message from a file instead".into()));
            }
            Err(error) => return Err(error.into()),
        };
        let limit = self.limits.message_bytes;
        if raw.len() as u64 > limit {
            let size = raw.len();
            return Ok(Err(format!("it has {size} bytes, more than the {limit} that limits.message_bytes allows")));
        }
        if row.raw_sha256.as_ref().is_some_and(|kept| *kept != sha256_hex(&raw)) {
            return Ok(Err("its stored bytes are not those that came: their hash differs".into()));
        }
        let reader = self.reader(mailbox, false);
        if let Some(reason) = reader.scan_again(row, &raw).await? {
            return Ok(Err(reason));
        }
        let at_arrival = reports::facts(&mut self.engine.store.read().await?, row.id).await?;
        let at_arrival = at_arrival.map(|message| message.authentication);
        let message = match reader.parse(raw.into(), at_arrival).await? {
            Ok(message) => message,
            Err(why) => return Ok(Err(format!("it cannot be read: {}: {}", why.reason, why.details))),
        };
        let infected = reader.scan_parts(&message).await?;
        Ok(infected.map_or(Ok(message), |decision| Err(decision.reason)))
    }

    /// The usual inputs, as far as they are known and the workflow takes them.
    fn inputs(&self, workflow: &Workflow, case: &Case<'_>) -> Map<String, Value> {
        let facts = self.facts(case);
        let known = [
            ("documents", serde_json::to_value(&facts.documents).ok()),
            ("sender", facts.from.map(|from| from.address.into())),
            ("subject", Some(facts.subject.into())),
            ("supplier", facts.supplier.map(Value::from)),
        ];
        let wanted = known.into_iter().filter(|(name, _)| workflow.inputs.contains_key(*name));
        wanted.filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    }
}

/// The row, if nobody took it out of quarantine yet.
fn held(row: MessageRow) -> Result<MessageRow, IntakeError> {
    if let (Some(disposition), Some(by)) = (row.disposition, &row.disposed_by) {
        return Err(IntakeError::Message(format!("{by} has {disposition} message {} already", row.id)));
    }
    match row.verdict.as_deref() {
        Some("quarantine") => Ok(row),
        Some(other) => {
            Err(IntakeError::Message(format!("message {} is not in quarantine; its verdict is {other}", row.id)))
        }
        None => Err(IntakeError::Message(format!("message {} is not in quarantine; it has no verdict yet", row.id))),
    }
}

fn taken(id: MessageId) -> IntakeError {
    IntakeError::Message(format!("somebody else took message {id} out of quarantine meanwhile"))
}
