//! `countersign inject`: a message from a file, taken in as if the mailbox had received it.

use super::read::Taken;
use super::{Intake, IntakeError};
use crate::domain::event::sha256_hex;
use crate::domain::ids::{Delivery, MessageId};
use crate::domain::verdict::Decision;
use crate::store::messages;

/// What became of an injected message.
#[derive(Debug)]
pub struct Injected {
    pub id: MessageId,
    /// None when the very same bytes were injected before; nothing was done then.
    pub decision: Option<Decision>,
}

impl Intake {
    /// Takes raw bytes in for a mailbox. The delivery is named by their hash, so the same file never counts twice.
    ///
    /// # Errors
    /// When there is no such mailbox, or database or store are away.
    pub async fn inject(&self, mailbox: &str, raw: Vec<u8>) -> Result<Injected, IntakeError> {
        let config = self.mailbox(mailbox)?;
        let now = self.engine.clock.now();
        let uid = format!("injected-{}", &sha256_hex(&raw)[..24]);
        // UIDVALIDITY is never 0 on a server (RFC 9051, 2.3.1.1), so this is nobody else's delivery.
        let delivery = Delivery { mailbox: mailbox.to_owned(), uid_validity: 0, uid };
        let mut tx = self.engine.store.begin().await?;
        messages::record_listed(&mut tx, &config.customer, &delivery, Some(now), raw.len() as u64, now).await?;
        let row = messages::get(&mut tx, delivery.message_id()).await?;
        tx.commit().await?;
        if row.state != "listed" {
            return Ok(Injected { id: row.id, decision: None });
        }
        let Taken { row, content, staged } = self.reader(config, false).take(row, Ok(raw)).await;
        let taken = Taken { row: row.clone(), content: Ok(content?), staged };
        let decision = self.take_in(config, &[taken], &[]).await?.pop().map(|settled| settled.decision);
        let mut tx = self.engine.store.begin().await?;
        messages::mark_flagged(&mut tx, &[row.id], self.engine.clock.now()).await?;
        tx.commit().await?;
        Ok(Injected { id: row.id, decision })
    }
}
