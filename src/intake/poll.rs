//! One poll of one mailbox: ledger first, then each open message, flags last.

use tracing::warn;

use super::message::delivery_of;
use super::{Intake, IntakeError};
use crate::config::sections::{After, Mailbox as MailboxConfig};
use crate::domain::crash;
use crate::domain::verdict::{Decision, Severity, Verdict};
use crate::mailbox::{Mailbox, MailboxError};
use crate::store::messages::{self, MessageRow};

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

/// Messages in hand between two looks at the ledger.
const BATCH: i64 = 50;

/// Attempts at one message before it goes to a person.
const MAX_ATTEMPTS: i32 = 8;

/// What is fetched at most, even to be quarantined unread: it is held in memory once.
const FETCH_LIMIT_BYTES: u64 = 256 << 20;

impl Intake {
    /// Polls an open mailbox once. Whoever calls it holds the mailbox's lease.
    ///
    /// # Errors
    /// When the rest of the mailbox has to wait: the server, the database or the store is away. Nothing was flagged
    /// that was not committed.
    pub async fn poll(&self, config: &MailboxConfig, mailbox: &mut dyn Mailbox) -> Result<Polled, IntakeError> {
        let mut polled = Polled { listed: self.list(config, mailbox).await?, ..Default::default() };
        crash::point("intake.listed");
        loop {
            let mut tx = self.engine.store.read().await?;
            let open = messages::open(&mut tx, &config.name, self.engine.clock.now(), BATCH).await?;
            drop(tx);
            if open.is_empty() {
                break;
            }
            for row in &open {
                match self.take_one(config, mailbox, row).await {
                    Ok(_) => polled.decided += 1,
                    Err(error) if error.stops_the_mailbox() => return Err(error),
                    Err(error) => self.put_off(row, &error).await?,
                }
            }
            polled.flagged += self.flag(config, mailbox).await?;
        }
        polled.flagged += self.flag(config, mailbox).await?;
        Ok(polled)
    }

    async fn take_one(
        &self,
        config: &MailboxConfig,
        mailbox: &mut dyn Mailbox,
        row: &MessageRow,
    ) -> Result<Decision, IntakeError> {
        if row.uid_validity != i64::from(mailbox.uid_validity()) {
            let reason =
                "the folder was rebuilt (UIDVALIDITY changed) before it was read; it is listed again under its new UID";
            let decision = Decision::by_guard("uid-validity", Verdict::Ignore, reason);
            return self.settle(row, decision, None, u64::try_from(row.size_bytes).unwrap_or_default()).await;
        }
        let raw = match mailbox.fetch(&row.uid, FETCH_LIMIT_BYTES).await {
            Ok(raw) => raw,
            Err(MailboxError::Gone { .. }) => {
                let decision = Decision::by_guard("gone", Verdict::Ignore, "somebody removed it before it was read");
                return self.settle(row, decision, None, u64::try_from(row.size_bytes).unwrap_or_default()).await;
            }
            Err(MailboxError::TooLarge { size_bytes, .. }) => {
                return self.settle(row, too_large(size_bytes, self.limits.message_bytes), None, size_bytes).await;
            }
            Err(error) => return Err(error.into()),
        };
        crash::point("intake.fetched");
        let raw_bytes = raw.len() as u64;
        if raw_bytes > self.limits.message_bytes {
            self.engine.blob.put(&super::filing::raw_path(&row.customer, row.transaction_id), &raw).await?;
            let sha256 = crate::domain::event::sha256_hex(&raw);
            let decision = too_large(raw_bytes, self.limits.message_bytes);
            return self.settle(row, decision, Some(&sha256), raw_bytes).await;
        }
        self.take_in(config, row, raw).await
    }

    /// Puts a message off that cannot be taken in now; after some attempts a person has to look.
    async fn put_off(&self, row: &MessageRow, error: &IntakeError) -> Result<(), IntakeError> {
        warn!(message.id = %row.id, "{}: {error}", delivery_of(row));
        if row.attempts + 1 >= MAX_ATTEMPTS {
            let reason = format!("it could not be taken in: {error}");
            let decision = Decision::by_guard("attempts", Verdict::Quarantine { severity: Severity::High }, reason);
            self.settle(row, decision, None, u64::try_from(row.size_bytes).unwrap_or_default()).await?;
            return Ok(());
        }
        let pause = chrono::TimeDelta::seconds(10 << row.attempts.clamp(0, 8));
        let mut tx = self.engine.store.begin().await?;
        messages::note_failure(&mut tx, row.id, &error.to_string(), self.engine.clock.now() + pause).await?;
        Ok(tx.commit().await?)
    }

    /// Shows on the server what the ledger has decided. A failure here repeats the flag and nothing else.
    async fn flag(&self, config: &MailboxConfig, mailbox: &mut dyn Mailbox) -> Result<usize, IntakeError> {
        let mut tx = self.engine.store.read().await?;
        let rows = messages::unflagged(&mut tx, &config.name, 1000).await?;
        drop(tx);
        let here = i64::from(mailbox.uid_validity());
        let quarantine = config.after_quarantine.as_ref().unwrap_or(&config.after);
        let is_quarantined = |row: &&MessageRow| row.verdict.as_deref() == Some("quarantine");
        let (quarantined, others): (Vec<_>, Vec<_>) = rows.iter().partition(is_quarantined);
        for (after, rows) in [(&config.after, others), (quarantine, quarantined)] {
            self.flag_group(mailbox, after, &rows, here).await?;
        }
        Ok(rows.len())
    }

    async fn flag_group(
        &self,
        mailbox: &mut dyn Mailbox,
        after: &After,
        rows: &[&MessageRow],
        uid_validity: i64,
    ) -> Result<(), IntakeError> {
        if rows.is_empty() {
            return Ok(());
        }
        // Injected messages and those of a rebuilt folder are on no server.
        let uids: Vec<String> =
            rows.iter().filter(|row| row.uid_validity == uid_validity).map(|row| row.uid.clone()).collect();
        if !uids.is_empty() {
            mailbox.mark(&uids, after).await?;
        }
        crash::point("intake.flagged");
        let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
        let mut tx = self.engine.store.begin().await?;
        messages::mark_flagged(&mut tx, &ids, self.engine.clock.now()).await?;
        Ok(tx.commit().await?)
    }
}

fn too_large(size_bytes: u64, limit_bytes: u64) -> Decision {
    let reason = format!("it has {size_bytes} bytes, more than the {limit_bytes} that limits.message_bytes allows");
    Decision::by_guard("too-large", Verdict::Quarantine { severity: Severity::Medium }, reason)
}
