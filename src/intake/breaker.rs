//! The burst breaker: stops a mailbox that suddenly has more new mail than its admin expects, and asks. What was listed
//! stays in the ledger; nothing of it is decided or flagged until somebody resumes the mailbox (`hold`).

use chrono::{DateTime, TimeDelta, Utc};
use tracing::error;

use super::{Intake, IntakeError};
use crate::config::sections::Mailbox as MailboxConfig;
use crate::domain::event::{Event, OURSELVES};
use crate::store::mailboxes::MailboxRow;
use crate::store::{Tx, events, holds, mailboxes};

/// New messages are counted over the last hour. A listing is one moment of it.
const WINDOW: TimeDelta = TimeDelta::hours(1);

/// What came into one folder, in messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Flow {
    /// New within the window and since the last resume. What the mailbox leaves alone is not in it.
    new: i64,
    /// Known under the numbering before, when the folder was renumbered within the window: so many come as if new.
    renumbered: i64,
    /// Without a verdict.
    waiting: i64,
}

/// Whether this is more than `burst` allows; 0 allows everything. Where nothing waits there is nothing to hold.
fn trips(burst: u32, flow: Flow) -> bool {
    burst > 0 && flow.waiting > 0 && flow.new > i64::from(burst) + flow.renumbered
}

impl Intake {
    /// Whether nothing of a mailbox may be taken in, because somebody paused it or the breaker trips, which is then written
    /// down and told once. Asked whenever rows of the ledger are taken up. A crash in between asks again.
    pub(super) async fn is_held(&self, config: &MailboxConfig, uid_validity: u32) -> Result<bool, IntakeError> {
        let now = self.engine.clock.now();
        let mut tx = self.engine.store.read().await?;
        let Some(row) = mailboxes::get(&mut tx, &config.name).await? else { return Ok(false) };
        if row.held_since.is_some() {
            return Ok(true);
        }
        let flow = flow(&mut tx, config, &row, uid_validity, now).await?;
        drop(tx);
        if !trips(config.burst, flow) {
            return Ok(false);
        }
        let (name, burst, Flow { new, waiting, .. }) = (&config.name, config.burst, flow);
        let reason = format!("{new} new within an hour, more than `burst = {burst}` allows");
        let event = Event::new(now, "mailbox.held", &config.customer)
            .with("mailbox", name.as_str())
            .with("reason", reason.as_str())
            .with("new", new)
            .with("waiting", waiting)
            .with("burst", burst);
        let mut tx = self.engine.store.begin().await?;
        let is_first = holds::hold(&mut tx, name, OURSELVES, &reason, waiting, now).await?;
        if is_first {
            events::append(&mut tx, &event).await?;
        }
        tx.commit().await?;
        if is_first {
            error!(
                mailbox = name,
                "mailbox {name} is held: {reason}; {waiting} wait and none is lost. If they are to be taken in: `countersign \
                 mailbox resume {name}`; to leave them on the server, unread: `countersign mailbox resume {name} \
                 --leave-older-than DATE` or `--leave-all`"
            );
        }
        Ok(true)
    }
}

/// Counts no more than it takes to know that nothing trips: this is asked at every poll.
async fn flow(
    tx: &mut Tx,
    config: &MailboxConfig,
    row: &MailboxRow,
    uid_validity: u32,
    now: DateTime<Utc>,
) -> Result<Flow, IntakeError> {
    let mut flow = Flow::default();
    if config.burst == 0 {
        return Ok(flow);
    }
    let since = row.resumed_at.map_or(now - WINDOW, |resumed| resumed.max(now - WINDOW));
    flow.new = holds::new_since(tx, &config.name, uid_validity, since).await?;
    if flow.new > i64::from(config.burst) {
        flow.renumbered = holds::known_before(tx, &config.name, uid_validity, since).await?;
        flow.waiting = holds::waiting_in(tx, &config.name).await?;
    }
    Ok(flow)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_breaker_trips_on_more_new_mail_than_is_allowed() {
        let check = |burst, new, renumbered, waiting, expected| {
            let flow = Flow { new, renumbered, waiting };
            assert_eq!(trips(burst, flow), expected, "burst {burst}: {flow:?}");
        };
        check(500, 500, 0, 500, false);
        check(500, 501, 0, 501, true);
        // Most of it was decided before the rest came.
        check(500, 501, 0, 1, true);
        check(500, 501, 0, 0, false);
        check(1, 2, 0, 2, true);
        // Off.
        check(0, 1_000_000, 0, 1_000_000, false);
        // A renumbered folder lists again what it had, and what is new comes on top.
        check(500, 10_000, 10_000, 10_000, false);
        check(500, 10_500, 10_000, 10_500, false);
        check(500, 10_501, 10_000, 10_501, true);
        check(0, 0, 0, 0, false);
    }
}
