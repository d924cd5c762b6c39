//! From what messages say to the commit of what follows from it. Those of a window are committed together; each has its own
//! verdict, and what fails alone is left to `poll` to be put off alone.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use tracing::info;

use super::case::{Case, Known};
use super::mark::Mark;
use super::read::Taken;
use super::{Intake, IntakeError, also};
use crate::blob::Unsynced;
use crate::config::sections::Mailbox;
use crate::domain::crash;
use crate::domain::event::Event;
use crate::domain::ids::{Delivery, MessageId};
use crate::domain::verdict::Decision;
use crate::store::messages::{self, Decided, MessageRow};
use crate::store::renumbered::EarlierRow;
use crate::store::{Tx, earlier, events};

/// A message that has its verdict.
pub(super) struct Settled {
    pub id: MessageId,
    pub delivery: Delivery,
    /// As it was when it had another number.
    pub mark: Mark,
    pub decision: Decision,
}

impl Settled {
    fn new(row: &MessageRow, decision: Decision, earlier: Option<&EarlierRow>) -> Self {
        let (verdict, folder) = match earlier {
            Some(earlier) => (earlier.verdict.as_deref(), earlier.move_to.as_deref()),
            None => (None, decision.explanation.folder()),
        };
        let is_quarantined = verdict.unwrap_or(decision.verdict.name()) == "quarantine";
        let mark = Mark { folder: folder.map(str::to_owned), is_quarantined };
        Self { id: row.id, delivery: delivery_of(row), mark, decision }
    }
}

impl Intake {
    /// Takes messages in together: finds their verdicts in their order, files them, makes them durable with one barrier, and
    /// commits everything that follows from them at once. `flagged` are earlier ones that the server has flagged since. No
    /// two of them are the same mail.
    ///
    /// A crash before the commit leaves their ledger rows open; the repeat writes the same places and decides anew.
    ///
    /// # Errors
    /// The first trouble of any of them; nothing was committed then.
    pub(super) async fn take_in(
        &self,
        mailbox: &Mailbox,
        mails: &[Taken],
        flagged: &[MessageId],
    ) -> Result<Vec<Settled>, IntakeError> {
        loop {
            let cases = self.judge(mailbox, mails).await?;
            let mut staged = Unsynced::default();
            mails.iter().for_each(|mail| staged.add(mail.staged.clone()));
            let mut files = vec![];
            for (case, decision) in &cases {
                if let Known::Mail(case) = case {
                    files.extend(case.files(decision));
                }
            }
            staged.add(self.engine.blob.stage_all(files).await?);
            self.engine.blob.sync(staged).await?;
            crash::point("intake.before_commit");
            if let Some(settled) = self.commit(cases, flagged).await? {
                return Ok(settled);
            }
            // The same mail came to another mailbox and was decided there meanwhile: look again.
        }
    }

    /// One commit for all of them. None when a mail that seemed to be the first of its kind is not.
    async fn commit(
        &self,
        cases: Vec<(Known<'_>, Decision)>,
        flagged: &[MessageId],
    ) -> Result<Option<Vec<Settled>>, IntakeError> {
        let mut tx = self.engine.store.begin().await?;
        let hash = |(case, _): &(Known<'_>, Decision)| match case {
            Known::Mail(case) => Some((case.row.customer.clone(), case.message.stable_sha256.clone())),
            Known::Closed { .. } | Known::Renumbered { .. } => None,
        };
        // In one order, so that two processes never wait for each other.
        let mut hashes: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (customer, hash) in cases.iter().filter_map(hash) {
            hashes.entry(customer).or_default().insert(hash);
        }
        let mut firsts = HashMap::new();
        for (customer, hashes) in &hashes {
            for hash in hashes {
                earlier::lock_hash(&mut tx, customer, hash).await?;
            }
            let hashes: Vec<&str> = hashes.iter().map(String::as_str).collect();
            let found = earlier::first_with_hashes(&mut tx, customer, &hashes).await?;
            firsts.insert(customer, found);
        }
        let mut settled = Vec::with_capacity(cases.len());
        for (case, decision) in cases {
            let mut had = None;
            let done = match &case {
                Known::Closed { row, raw_sha256, size_bytes } => {
                    self.close(&mut tx, row, decision, *raw_sha256, *size_bytes).await?
                }
                Known::Renumbered { row, raw_sha256, size_bytes } => {
                    let (decision, earlier) = self.stand_for(&mut tx, row, raw_sha256, *size_bytes).await?;
                    had = Some(earlier);
                    decision
                }
                Known::Mail(case) => {
                    let (row, hash) = (case.row, &case.message.stable_sha256);
                    let first = firsts.get(&row.customer).and_then(|firsts| firsts.get(hash));
                    if first == Some(&row.id) {
                        return Err(decided_elsewhere());
                    }
                    if first.is_some() && case.duplicate_of.is_none() {
                        return Ok(None);
                    }
                    self.write(&mut tx, case, decision).await?
                }
            };
            settled.push(Settled::new(case.row(), done, had.as_ref()));
        }
        messages::mark_flagged(&mut tx, flagged, self.engine.clock.now()).await?;
        tx.commit().await?;
        crash::point("intake.committed");
        self.engine.work.notify_waiters();
        for Settled { id, delivery, decision, .. } in &settled {
            info!(message.id = %id, mailbox = delivery.mailbox, "{delivery}: {}", decision.verdict.name());
        }
        Ok(Some(settled))
    }

    /// Writes the verdict on a message that could not be looked into.
    async fn close(
        &self,
        tx: &mut Tx,
        row: &MessageRow,
        decision: Decision,
        raw_sha256: Option<&str>,
        size_bytes: u64,
    ) -> Result<Decision, IntakeError> {
        let at = self.engine.clock.now();
        let decided = Decided {
            id: row.id,
            customer: &row.customer,
            message: None,
            decision: &decision,
            raw_sha256,
            size_bytes,
            run_id: None,
            wait_id: None,
            duplicate_of: None,
            documents_of: None,
            at,
        };
        if messages::decide(tx, &decided).await? {
            messages::insert_transaction(tx, row.transaction_id, &row.customer, row.id, at).await?;
            events::append(tx, &screened(row, &decision, at)).await?;
        }
        Ok(decision)
    }

    /// Writes everything that follows from the verdict. A verdict that cannot be carried out becomes a quarantine.
    async fn write(&self, tx: &mut Tx, case: &Case<'_>, decision: Decision) -> Result<Decision, IntakeError> {
        let (row, message, at) = (case.row, case.message, self.engine.clock.now());
        let by = message.author().map_or("unknown", |author| author.address.as_str());
        let carried = self.carry_out(tx, case, decision, by).await?;
        let decided = Decided {
            id: row.id,
            customer: &row.customer,
            message: Some(message),
            decision: &carried.decision,
            raw_sha256: Some(&message.raw_sha256),
            size_bytes: message.size_bytes,
            run_id: carried.run_id,
            wait_id: carried.wait_id,
            duplicate_of: case.duplicate_of,
            documents_of: case.documents_of(),
            at,
        };
        if !messages::decide(tx, &decided).await? {
            return Err(decided_elsewhere());
        }
        messages::insert_transaction(tx, row.transaction_id, &row.customer, row.id, at).await?;
        messages::insert_parts(tx, row.id, carried.joined, &case.stored()).await?;
        let mut event = case.mark(screened(row, &carried.decision, at));
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

pub(super) fn screened(row: &MessageRow, decision: &Decision, at: DateTime<Utc>) -> Event {
    let mut event = Event::new(at, "message.screened", &row.customer)
        .message(row.id)
        .with("mailbox", row.mailbox.as_str())
        .with("uid", row.uid.as_str())
        .with("verdict", decision.verdict.name())
        .with("reason", decision.reason.as_str());
    if let Some(by) = decision.explanation.rule.as_ref().or(decision.explanation.guard.as_ref()) {
        event = event.with("by", by.as_str());
    }
    if let Some(ruleset) = &decision.explanation.ruleset {
        event = event.with("ruleset", ruleset.as_str());
    }
    if let Some(answers) = &decision.explanation.answers {
        event = event.with("answers", answers.message.to_string()).with("counts", answers.joined.is_some());
    }
    also::tell(event, &decision.explanation)
}

/// Two processes had the message in hand, because one of them had lost the mailbox's lease.
fn decided_elsewhere() -> IntakeError {
    IntakeError::Message("somebody else decided this message meanwhile".into())
}
