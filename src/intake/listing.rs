//! The folder into the ledger: what is new at each poll, the whole of it now and then, and where the first contact starts.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use tracing::{info, warn};

use super::{Intake, IntakeError, ledger};
use crate::config::sections::Mailbox as MailboxConfig;
use crate::config::start::Start;
use crate::domain::clock::to_micros;
use crate::domain::event::Event;
use crate::domain::ids::Delivery;
use crate::domain::verdict::{Decision, Verdict};
use crate::mailbox::{Listed, Mailbox};
use crate::store::mailboxes::{self, MailboxRow};
use crate::store::messages::{self, Decided};
use crate::store::{StoreError, Tx, events, ledger as rows};

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
        let Some(high_water) = high_water(&self.known(config).await?, mailbox.uid_validity()) else {
            // Never listed under this UIDVALIDITY: all of it is new, and nothing was missed.
            return self.list(config, mailbox).await;
        };
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
        // What was to be left alone at the first contact still is; what is merely new comes as at any poll.
        let is_new = |listed: &&&Listed| listed.uid.parse().is_ok_and(|uid: u32| uid > high_water);
        let (new, old): (Vec<_>, Vec<_>) = missed.iter().partition(is_new);
        let start = self.starts_at(config, false).await?;
        let mut tx = self.engine.store.begin().await?;
        let written = self.record(&mut tx, config, uid_validity, &new, None).await?
            + self.record(&mut tx, config, uid_validity, &old, start).await?;
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
        let known = self.known(config).await?;
        let listed_to = high_water(&known, uid_validity);
        let high_water = listed_to.unwrap_or_default();
        let above = (high_water > 0).then(|| high_water.to_string());
        let found = mailbox.list(above.as_deref()).await?;
        let start = match listed_to {
            Some(_) => None,
            None => self.starts_at(config, known.uid_validity.is_none()).await?,
        };

        let mut tx = self.engine.store.begin().await?;
        let new = self.record(&mut tx, config, uid_validity, &found.iter().collect::<Vec<_>>(), start).await?;
        self.tell_renumbered(&mut tx, config, &known, uid_validity, new).await?;
        let uids = found.iter().filter_map(|listed| listed.uid.parse().ok());
        let highest = uids.fold(high_water, u32::max);
        mailboxes::set_high_water(&mut tx, &config.name, uid_validity, highest).await?;
        tx.commit().await?;
        if new > 0 {
            info!(mailbox = config.name, "{new} new in {}", config.name);
        }
        Ok(new)
    }

    async fn known(&self, config: &MailboxConfig) -> Result<MailboxRow, IntakeError> {
        let mut tx = self.engine.store.begin().await?;
        mailboxes::ensure(&mut tx, &config.name, &config.customer).await?;
        let known = mailboxes::get(&mut tx, &config.name).await?;
        tx.commit().await?;
        known.ok_or_else(|| StoreError::not_found("mailbox", &config.name).into())
    }

    /// The instant of which earlier mail is left alone. A folder that is listed again, renumbered, starts where it did,
    /// or where a resume left the rest alone.
    async fn starts_at(
        &self,
        config: &MailboxConfig,
        is_first_contact: bool,
    ) -> Result<Option<DateTime<Utc>>, IntakeError> {
        if is_first_contact {
            return Ok(config.start.instant(self.engine.clock.now()));
        }
        let mut tx = self.engine.store.read().await?;
        let until = rows::left_until(&mut tx, &config.name).await?.map(|until| until + TimeDelta::microseconds(1));
        let day = if let Start::Day(_) = config.start { config.start.instant(self.engine.clock.now()) } else { None };
        Ok(until.max(day))
    }

    /// Writes rows for deliveries; gives how many were new. Those received before `start` get their verdict at once.
    async fn record(
        &self,
        tx: &mut Tx,
        config: &MailboxConfig,
        uid_validity: u32,
        found: &[&Listed],
        start: Option<DateTime<Utc>>,
    ) -> Result<usize, IntakeError> {
        let now = self.engine.clock.now();
        let (mut new, mut left) = (0, 0);
        for listed in found {
            let delivery = Delivery { mailbox: config.name.clone(), uid_validity, uid: listed.uid.clone() };
            let received_at = listed.received_at.map(to_micros);
            if !messages::record_listed(tx, &config.customer, &delivery, received_at, listed.size_bytes, now).await? {
                continue;
            }
            new += 1;
            if let Some(start) = start.filter(|start| received_at.is_some_and(|at| at < *start)) {
                leave(tx, config, &delivery, listed.size_bytes, start, now).await?;
                left += 1;
            }
        }
        if let Some(start) = start.filter(|_| left > 0) {
            let event = Event::new(now, "mailbox.started", &config.customer)
                .with("mailbox", config.name.as_str())
                .with("start", start.to_rfc3339())
                .with("left_alone", left);
            events::append(tx, &event).await?;
        }
        Ok(new)
    }
}

/// How far the folder was listed; none when it never was under this UIDVALIDITY.
fn high_water(known: &MailboxRow, uid_validity: u32) -> Option<u32> {
    let is_same = known.uid_validity == Some(i64::from(uid_validity));
    is_same.then(|| u32::try_from(known.high_water).unwrap_or_default())
}

/// Gives a listed message of before the start its verdict, unread; on the server it stays as it is.
async fn leave(
    tx: &mut Tx,
    config: &MailboxConfig,
    delivery: &Delivery,
    size_bytes: u64,
    start: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<(), IntakeError> {
    let id = delivery.message_id();
    let reason = format!("received before {}, where this mailbox starts", start.format("%Y-%m-%d %H:%M UTC"));
    let decision = Decision::by_guard("start", Verdict::Ignore, reason);
    let decided = Decided {
        id,
        customer: &config.customer,
        message: None,
        decision: &decision,
        raw_sha256: None,
        size_bytes,
        run_id: None,
        wait_id: None,
        duplicate_of: None,
        documents_of: None,
        at: now,
    };
    messages::decide(tx, &decided).await?;
    messages::insert_transaction(tx, delivery.transaction_id(), &config.customer, id, now).await?;
    // As if it were flagged, so that nobody does.
    Ok(messages::mark_flagged(tx, &[id], now).await?)
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
