//! A folder whose UIDVALIDITY changed lists everything again. What was dealt with under the old numbers is recognised by its
//! bytes and stands for the earlier delivery: it starts nothing, is not stored again and not in quarantine twice.
//!
//! Of identical mails each stands for one. A row that was still undecided under its old number is closed by `fetching`, and its message decided under the new one.

use tracing::warn;

use super::message::screened;
use super::{Intake, IntakeError};
use crate::config::sections::Mailbox as MailboxConfig;
use crate::domain::event::Event;
use crate::domain::verdict::{Decision, Verdict};
use crate::store::mailboxes::MailboxRow;
use crate::store::messages::{self, Decided, MessageRow};
use crate::store::renumbered::{self, EarlierRow};
use crate::store::{Tx, events};

impl Intake {
    /// Writes that a delivery stands for an earlier one, whose bytes it has; gives its verdict and the earlier one.
    ///
    /// # Errors
    /// When another delivery stands for it meanwhile.
    pub(super) async fn stand_for(
        &self,
        tx: &mut Tx,
        row: &MessageRow,
        raw_sha256: &str,
        size_bytes: u64,
    ) -> Result<(Decision, EarlierRow), IntakeError> {
        let earlier = renumbered::lock_earlier(tx, &row.mailbox, row.uid_validity, raw_sha256).await?;
        let Some(earlier) = earlier else {
            return Err(IntakeError::Message("the earlier delivery of these bytes has its successor already".into()));
        };
        let (decision, at) = (stands_for(&earlier), self.engine.clock.now());
        let decided = Decided {
            id: row.id,
            customer: &row.customer,
            message: None,
            decision: &decision,
            raw_sha256: Some(raw_sha256),
            size_bytes,
            run_id: None,
            wait_id: None,
            duplicate_of: Some(earlier.id),
            documents_of: None,
            at,
        };
        if messages::decide(tx, &decided).await? {
            messages::insert_transaction(tx, row.transaction_id, &row.customer, row.id, at).await?;
            renumbered::stand_for(tx, row.id, &earlier).await?;
            events::append(tx, &screened(row, &decision, at)).await?;
        }
        Ok((decision, earlier))
    }

    /// Tells that a folder was renumbered, in the commit that lists it anew; `listed`: how many rows that writes.
    pub(super) async fn tell_renumbered(
        &self,
        tx: &mut Tx,
        config: &MailboxConfig,
        known: &MailboxRow,
        uid_validity: u32,
        listed: usize,
    ) -> Result<(), IntakeError> {
        let Some(before) = known.uid_validity.filter(|before| *before != i64::from(uid_validity)) else {
            return Ok(());
        };
        let count = renumbered::known_under(tx, &config.name, before).await?;
        let event = Event::new(self.engine.clock.now(), "mailbox.renumbered", &config.customer)
            .with("mailbox", config.name.as_str())
            .with("from", before)
            .with("to", uid_validity)
            .with("known", count)
            .with("listed", listed);
        events::append(tx, &event).await?;
        warn!(
            mailbox = config.name,
            "the server renumbered {}: {listed} listed anew, {count} known under the old numbers", config.name
        );
        Ok(())
    }
}

fn stands_for(earlier: &EarlierRow) -> Decision {
    let verdict = earlier.verdict.as_deref().unwrap_or("unknown");
    let reason = format!(
        "the server renumbered the folder (UIDVALIDITY changed); it is message {}, whose verdict was {verdict}",
        earlier.id
    );
    Decision::by_guard("renumbered", Verdict::Ignore, reason)
}
