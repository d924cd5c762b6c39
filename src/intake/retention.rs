//! Retention of the quarantine: the bytes of discarded messages go after a while, their rows stay. What nobody has decided
//! about is never removed; `reports::quarantine` shows it as overdue.

use tracing::{info, warn};

use super::{Intake, IntakeError, filing};
use crate::domain::duration::Span;
use crate::domain::event::Event;
use crate::store::retention::{self, DueRow};
use crate::store::{events, messages};

/// Messages in one tick.
const BATCH: i64 = 50;

impl Intake {
    /// Removes the stored bytes of messages that were discarded longer ago than `keep`; true when there were any. Files
    /// first, then the note of it in one commit: a crash in between removes again what is gone already.
    ///
    /// # Errors
    /// The first trouble, after all others of the batch were tried.
    pub async fn tick_retention(&self, keep: Span) -> Result<bool, IntakeError> {
        let before = self.engine.clock.now() - keep.delta();
        let mut tx = self.engine.store.read().await?;
        let due = retention::due(&mut tx, before, BATCH).await?;
        drop(tx);
        let mut trouble = None;
        for row in &due {
            if let Err(error) = self.purge(row, keep).await {
                warn!(message.id = %row.id, "its bytes cannot be removed: {error}");
                trouble = trouble.or(Some(error));
            }
        }
        trouble.map_or(Ok(!due.is_empty()), Err)
    }

    async fn purge(&self, row: &DueRow, keep: Span) -> Result<(), IntakeError> {
        let mut tx = self.engine.store.read().await?;
        let parts = messages::parts(&mut tx, row.id).await?;
        drop(tx);
        let blob = &self.engine.blob;
        let own = filing::directory(&row.customer, row.transaction_id);
        let mut files = blob.remove_all(&own).await?;
        // Those of a reply lie with the run that it was to answer.
        for part in parts.iter().filter(|part| !part.path.starts_with(&format!("{own}/"))) {
            blob.remove(&part.path).await?;
            files += 1;
        }
        let now = self.engine.clock.now();
        let mut tx = self.engine.store.begin().await?;
        if retention::mark_purged(&mut tx, row.id, now).await? {
            let event = Event::new(now, "message.purged", &row.customer)
                .message(row.id)
                .with("mailbox", row.mailbox.as_str())
                .with("keep", keep.to_string())
                .with("files", files);
            events::append(&mut tx, &event).await?;
        }
        tx.commit().await?;
        info!(message.id = %row.id, mailbox = row.mailbox, "message {}: its bytes are removed by retention", row.id);
        Ok(())
    }
}
