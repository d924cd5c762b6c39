//! The folder into the ledger: what is new at each poll, and the whole of it now and then.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use tracing::{info, warn};

use super::{Intake, IntakeError, ledger};
use crate::config::sections::Mailbox as MailboxConfig;
use crate::domain::clock::to_micros;
use crate::domain::event::Event;
use crate::domain::ids::Delivery;
use crate::mailbox::{Listed, Mailbox};
use crate::store::{Tx, events, ledger as rows, mailboxes, messages};

/// How often the whole folder is compared with the ledger.
const RECONCILE_EVERY: TimeDelta = TimeDelta::days(1);

/// UIDs that an event names at most.
const MAX_NAMED: usize = 20;

/// Whether a mailbox that was reconciled at `last` is due again.
pub(super) fn is_reconcile_due(last: Option<DateTime<Utc>>, now: DateTime<Utc>) -> bool {
    last.is_none_or(|last| now - last >= RECONCILE_EVERY)
}

impl Intake {
    /// Lists the whole folder and writes a row for every message that has none, below the high-water mark too: a row was
    /// lost, or a server hands out old UIDs. Gives how many. The next poll takes them in. Needs no lease: a row that
    /// somebody else writes meanwhile is there once.
    ///
    /// # Errors
    /// When the server or the database is away; nothing was written then.
    pub async fn reconcile(&self, config: &MailboxConfig, mailbox: &mut dyn Mailbox) -> Result<usize, IntakeError> {
        if self.high_water(config, mailbox.uid_validity()).await?.is_none() {
            // Never listed under this UIDVALIDITY: all of it is new, and nothing was missed.
            return self.list(config, mailbox).await;
        }
        let found = mailbox.list(None).await?;
        let uid_validity = mailbox.uid_validity();
        let mut tx = self.engine.store.read().await?;
        let known = rows::of_folder(&mut tx, &config.name, uid_validity).await?;
        drop(tx);
        let missing: HashSet<String> = ledger::balance(&found, &known).unaccounted.into_iter().collect();
        let missed: Vec<_> = found.iter().filter(|listed| missing.contains(&listed.uid)).collect();
        if missed.is_empty() {
            return Ok(0);
        }
        let mut tx = self.engine.store.begin().await?;
        let written = self.record(&mut tx, config, uid_validity, &missed).await?;
        if written > 0 {
            let uids: Vec<_> = missed.iter().take(MAX_NAMED).map(|listed| listed.uid.as_str()).collect();
            let event = Event::new(self.engine.clock.now(), "mailbox.reconciled", &config.customer)
                .with("mailbox", config.name.as_str())
                .with("found", written)
                .with("uids", uids);
            events::append(&mut tx, &event).await?;
            warn!(mailbox = config.name, "{}: {written} were missing from the ledger", config.name);
        }
        tx.commit().await?;
        Ok(written)
    }

    /// Writes every delivery that is new into the ledger, and how far the folder was listed, in one commit.
    pub(super) async fn list(&self, config: &MailboxConfig, mailbox: &mut dyn Mailbox) -> Result<usize, IntakeError> {
        let uid_validity = mailbox.uid_validity();
        let high_water = self.high_water(config, uid_validity).await?.unwrap_or_default();
        let above = (high_water > 0).then(|| high_water.to_string());
        let found = mailbox.list(above.as_deref()).await?;

        let mut tx = self.engine.store.begin().await?;
        let new = self.record(&mut tx, config, uid_validity, &found.iter().collect::<Vec<_>>()).await?;
        let uids = found.iter().filter_map(|listed| listed.uid.parse().ok());
        let highest = uids.fold(high_water, u32::max);
        mailboxes::set_high_water(&mut tx, &config.name, uid_validity, highest).await?;
        tx.commit().await?;
        if new > 0 {
            info!(mailbox = config.name, "{new} new in {}", config.name);
        }
        Ok(new)
    }

    /// How far the folder was listed; none when it never was under this UIDVALIDITY.
    async fn high_water(&self, config: &MailboxConfig, uid_validity: u32) -> Result<Option<u32>, IntakeError> {
        let mut tx = self.engine.store.begin().await?;
        mailboxes::ensure(&mut tx, &config.name, &config.customer).await?;
        let known = mailboxes::get(&mut tx, &config.name).await?;
        tx.commit().await?;
        let same_folder = known.filter(|row| row.uid_validity == Some(i64::from(uid_validity)));
        Ok(same_folder.map(|row| u32::try_from(row.high_water).unwrap_or_default()))
    }

    /// Writes rows for deliveries; gives how many were new.
    async fn record(
        &self,
        tx: &mut Tx,
        config: &MailboxConfig,
        uid_validity: u32,
        found: &[&Listed],
    ) -> Result<usize, IntakeError> {
        let now = self.engine.clock.now();
        let mut new = 0;
        for listed in found {
            let delivery = Delivery { mailbox: config.name.clone(), uid_validity, uid: listed.uid.clone() };
            let received_at = listed.received_at.map(to_micros);
            if messages::record_listed(tx, &config.customer, &delivery, received_at, listed.size_bytes, now).await? {
                new += 1;
            }
        }
        Ok(new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mailbox_is_reconciled_at_first_and_then_once_a_day() {
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
        let check = |ago: Option<TimeDelta>, expected| {
            assert_eq!(is_reconcile_due(ago.map(|ago| now - ago), now), expected, "{ago:?}");
        };
        check(None, true);
        check(Some(TimeDelta::zero()), false);
        check(Some(TimeDelta::hours(23)), false);
        check(Some(TimeDelta::days(1)), true);
    }
}
