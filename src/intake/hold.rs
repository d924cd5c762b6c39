//! Holding a mailbox and letting it go on, by a person. That the breaker holds one is in `breaker`.

use chrono::{DateTime, Utc};
use tracing::info;

use super::{Intake, IntakeError};
use crate::domain::event::Event;
use crate::domain::verdict::{Decision, Verdict};
use crate::store::{events, holds, mailboxes};

/// Which of the waiting messages are left on the server when a mailbox goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    Nothing,
    /// What the server received before this instant. What it gave no time for is taken in.
    OlderThan(DateTime<Utc>),
    All,
}

/// What a resume came to, in messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resumed {
    /// Still waiting; the next poll takes them in.
    pub waiting: u64,
    /// Decided unread, and left on the server as they are.
    pub left: u64,
}

impl Intake {
    /// Holds a mailbox: it is listed, and nothing of it is decided until somebody resumes it. On every machine, and after
    /// any restart. A message in hand at this moment may still be decided. Gives how many wait.
    ///
    /// # Errors
    /// When it is not configured, or held already; the text says by whom.
    pub async fn pause_mailbox(&self, name: &str, by: &str, reason: &str) -> Result<u64, IntakeError> {
        let config = self.mailbox(name)?;
        let now = self.engine.clock.now();
        let mut tx = self.engine.store.begin().await?;
        mailboxes::ensure(&mut tx, name, &config.customer).await?;
        let waiting = holds::waiting_in(&mut tx, name).await?;
        if !holds::hold(&mut tx, name, by, reason, waiting, now).await? {
            let row = mailboxes::get(&mut tx, name).await?;
            let who = row.and_then(|row| row.held_by).unwrap_or_default();
            return Err(IntakeError::Message(format!("mailbox `{name}` is held already, by {who}")));
        }
        let event = Event::new(now, "mailbox.paused", &config.customer)
            .by(by)
            .with("mailbox", name)
            .with("reason", reason)
            .with("waiting", waiting);
        events::append(&mut tx, &event).await?;
        tx.commit().await?;
        info!(mailbox = name, "mailbox {name} is paused");
        Ok(u64::try_from(waiting).unwrap_or_default())
    }

    /// Lets a held mailbox go on, whoever held it, in one commit. What waits is taken in by the next poll and is no burst
    /// any more, except for what `leave` says: that gets its verdict unread, as `start` gives it at a first contact, and
    /// stays as it is on the server.
    ///
    /// # Errors
    /// When it is not configured or not held.
    pub async fn resume_mailbox(&self, name: &str, by: &str, leave: Leave) -> Result<Resumed, IntakeError> {
        let config = self.mailbox(name)?;
        let now = self.engine.clock.now();
        let mut tx = self.engine.store.begin().await?;
        if !holds::release(&mut tx, name, now).await? {
            return Err(IntakeError::Message(format!("mailbox `{name}` is not held")));
        }
        let (which, older_than) = match leave {
            Leave::Nothing => (None, None),
            Leave::All => (Some("what waited".to_owned()), None),
            Leave::OlderThan(at) => {
                (Some(format!("what was received before {}", at.format("%Y-%m-%d %H:%M UTC"))), Some(at))
            }
        };
        let left = match which {
            None => 0,
            Some(which) => {
                let reason = format!("{by} resumed the mailbox and left {which} alone");
                let decision = Decision::by_guard("left", Verdict::Ignore, reason);
                holds::leave(&mut tx, name, older_than, &decision, now).await?
            }
        };
        let waiting = u64::try_from(holds::waiting_in(&mut tx, name).await?).unwrap_or_default();
        let mut event = Event::new(now, "mailbox.resumed", &config.customer)
            .by(by)
            .with("mailbox", name)
            .with("waiting", waiting)
            .with("left_alone", left);
        if let Some(at) = older_than {
            event = event.with("older_than", at.to_rfc3339());
        }
        events::append(&mut tx, &event).await?;
        tx.commit().await?;
        info!(mailbox = name, "mailbox {name} goes on: {waiting} waiting, {left} left alone");
        Ok(Resumed { waiting, left })
    }
}
