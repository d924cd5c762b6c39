//! One poll of one mailbox: ledger first, then windows of messages, flags last. Reading runs ahead: while one window is
//! decided, the next is parsed and the one after it is on the wire, its flags between them.

use std::collections::HashSet;

use futures_util::future::join;
use tokio::sync::mpsc::{Receiver, UnboundedSender, channel, unbounded_channel};
use tracing::warn;

use super::fetching::Fetching;
use super::mark::{self, Mark};
use super::message::{Settled, delivery_of};
use super::read::Taken;
use super::window::Window;
use super::{Intake, IntakeError};
use crate::config::sections::Mailbox as MailboxConfig;
use crate::domain::crash;
use crate::domain::ids::MessageId;
use crate::domain::verdict::{Decision, Severity, Verdict};
use crate::mailbox::Mailbox;
use crate::store::messages::{self, MessageRow};
use crate::store::renumbered;

/// What one poll did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Polled {
    /// Deliveries new to the ledger.
    pub listed: usize,
    /// Messages that got their verdict.
    pub decided: usize,
    /// Messages that the server now shows as dealt with.
    pub flagged: usize,
}

impl Polled {
    pub fn did_nothing(self) -> bool {
        self == Self::default()
    }
}

impl std::ops::AddAssign for Polled {
    fn add_assign(&mut self, more: Self) {
        self.listed += more.listed;
        self.decided += more.decided;
        self.flagged += more.flagged;
    }
}

/// Attempts at one message before it goes to a person.
const MAX_ATTEMPTS: i32 = 8;

impl Intake {
    /// Polls an open mailbox once. Whoever calls it holds the mailbox's lease.
    ///
    /// # Errors
    /// When the rest of the mailbox has to wait: the server, the database or the store is away. Nothing was flagged
    /// that was not committed. The mailbox is of no more use then.
    pub async fn poll(&self, config: &MailboxConfig, mailbox: &mut dyn Mailbox) -> Result<Polled, IntakeError> {
        let mut polled = Polled { listed: self.list(config, mailbox).await?, ..Default::default() };
        crash::point("intake.listed");
        let (hand_over, windows) = channel(1);
        let (report, reports) = unbounded_channel();
        let mut tx = self.engine.store.read().await?;
        let is_renumbered = renumbered::is_renumbered(&mut tx, &config.name, mailbox.uid_validity().into()).await?;
        drop(tx);
        let reader = self.reader(config, is_renumbered);
        let fetching = Fetching::new(self, config, reader, mailbox, hand_over, reports);
        let (fetched, decided) = join(fetching.run(), self.work(config, windows, report)).await;
        self.note_flagged(&fetched.flagged).await?;
        polled.flagged += fetched.marked;
        // If deciding stopped, that is why fetching did.
        polled.decided = decided?;
        fetched.result?;
        polled.flagged += self.flag(config, mailbox).await?;
        Ok(polled)
    }

    /// Decides windows in their order and reports each; gives the number of messages that got a verdict.
    async fn work(
        &self,
        config: &MailboxConfig,
        mut windows: Receiver<Window>,
        report: UnboundedSender<Vec<Settled>>,
    ) -> Result<usize, IntakeError> {
        let mut decided = 0;
        while let Some(window) = windows.recv().await {
            let mut mails = Vec::with_capacity(window.mails.len());
            for mail in window.mails {
                mails.push(mail.await.map_err(|error| IntakeError::Message(format!("read a message: {error}")))?);
            }
            let settled = self.settle_window(config, mails, window.flagged).await?;
            drop(window.room);
            decided += settled.len();
            // Without a reader nobody flags; the next poll does.
            let _ = report.send(settled);
        }
        Ok(decided)
    }

    /// Decides the messages of a window, in one commit if that can be. What fails alone is put off alone.
    async fn settle_window(
        &self,
        config: &MailboxConfig,
        mails: Vec<Taken>,
        mut flagged: Vec<MessageId>,
    ) -> Result<Vec<Settled>, IntakeError> {
        let mut settled = vec![];
        let mut sound = vec![];
        for mail in mails {
            match mail.content {
                Err(error) if error.stops_the_mailbox() => return Err(error),
                Err(error) => settled.extend(self.put_off(config, mail.row, &error).await?),
                Ok(_) => sound.push(mail),
            }
        }
        let mut rest = sound.as_slice();
        while !rest.is_empty() {
            let (together, later) = rest.split_at(until_repeat(rest));
            rest = later;
            match self.take_in(config, together, &flagged).await {
                Ok(done) => {
                    flagged.clear();
                    settled.extend(done);
                    continue;
                }
                Err(error) if together.len() > 1 => warn!(mailbox = config.name, "one by one, because: {error}"),
                Err(error) if error.stops_the_mailbox() => return Err(error),
                Err(_) => {}
            }
            for mail in together {
                match self.take_in(config, std::slice::from_ref(mail), &[]).await {
                    Ok(done) => settled.extend(done),
                    Err(error) if error.stops_the_mailbox() => return Err(error),
                    Err(error) => settled.extend(self.put_off(config, mail.row.clone(), &error).await?),
                }
            }
        }
        self.note_flagged(&flagged).await?;
        Ok(settled)
    }

    /// Puts a message off that cannot be taken in now; after some attempts a person has to look.
    async fn put_off(
        &self,
        config: &MailboxConfig,
        row: MessageRow,
        error: &IntakeError,
    ) -> Result<Option<Settled>, IntakeError> {
        warn!(message.id = %row.id, "{}: {error}", delivery_of(&row));
        if row.attempts + 1 >= MAX_ATTEMPTS {
            let reason = format!("it could not be taken in: {error}");
            let decision = Decision::by_guard("attempts", Verdict::Quarantine { severity: Severity::High }, reason);
            return Ok(self.take_in(config, &[Taken::closed(row, decision)], &[]).await?.pop());
        }
        let pause = chrono::TimeDelta::seconds(10 << row.attempts.clamp(0, 8));
        let mut tx = self.engine.store.begin().await?;
        messages::note_failure(&mut tx, row.id, &error.to_string(), self.engine.clock.now() + pause).await?;
        tx.commit().await?;
        Ok(None)
    }

    /// Shows on the server what was decided and could not be flagged then. A failure here repeats the flag and nothing else.
    async fn flag(&self, config: &MailboxConfig, mailbox: &mut dyn Mailbox) -> Result<usize, IntakeError> {
        let mut tx = self.engine.store.read().await?;
        let rows = messages::unflagged(&mut tx, &config.name, 1000).await?;
        drop(tx);
        let here = i64::from(mailbox.uid_validity());
        let count = rows.len();
        let mark = |row: &MessageRow| {
            let verdict = row.earlier_verdict.as_ref().or(row.verdict.as_ref());
            Mark { folder: row.move_to.clone(), is_quarantined: verdict.is_some_and(|verdict| verdict == "quarantine") }
        };
        for (after, rows) in mark::by_after(config, rows, mark) {
            // Injected messages and those of a rebuilt folder are on no server.
            let uids: Vec<String> =
                rows.iter().filter(|row| row.uid_validity == here).map(|row| row.uid.clone()).collect();
            if !uids.is_empty() {
                mailbox.mark(&uids, &after).await?;
            }
            crash::point("intake.flagged");
            self.note_flagged(&rows.iter().map(|row| row.id).collect::<Vec<_>>()).await?;
        }
        Ok(count)
    }

    async fn note_flagged(&self, ids: &[MessageId]) -> Result<usize, IntakeError> {
        if !ids.is_empty() {
            let mut tx = self.engine.store.begin().await?;
            messages::mark_flagged(&mut tx, ids, self.engine.clock.now()).await?;
            tx.commit().await?;
        }
        Ok(ids.len())
    }
}

/// How many messages come before one that repeats an earlier of them: that one has to see what became of the first.
fn until_repeat(mails: &[Taken]) -> usize {
    let mut seen = HashSet::new();
    let is_new = |mail: &Taken| {
        mail.stable_sha256().is_none_or(|hash| seen.insert((mail.row.customer.clone(), hash.to_owned())))
    };
    mails.iter().map(is_new).take_while(|new| *new).count()
}
