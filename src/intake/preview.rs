//! What would become of a message in a file, were it mail that came in now. Reads the database, and writes nothing anywhere.

use super::case::{Record, know};
use super::read::{too_large, unparsable};
use super::{Intake, IntakeError};
use crate::domain::ids::{Delivery, MessageId};
use crate::domain::message::Message;
use crate::domain::verdict::Decision;
use crate::rules::RuleSet;
use crate::store::messages::{self, MessageRow};

/// What would become of a message.
#[derive(Debug)]
pub struct Preview {
    /// Empty when it cannot be read.
    pub message: Message,
    /// That of a mail that never came, even where this one did.
    pub decision: Decision,
    /// The message that the same mail came as: for that reason alone it would now be ignored.
    pub came_as: Option<MessageId>,
}

impl Intake {
    /// Screens raw bytes as mail to a mailbox, by `rules` or those in force. Their sender is verified as at arrival, they
    /// are not searched for malware, and a verdict that could not be carried out is told as the rules gave it.
    ///
    /// # Errors
    /// When there is no such mailbox, or the database is away.
    pub async fn preview(&self, mailbox: &str, raw: Vec<u8>, rules: Option<&RuleSet>) -> Result<Preview, IntakeError> {
        let mailbox = self.mailbox(mailbox)?;
        let (size_bytes, limit_bytes) = (raw.len() as u64, self.limits.message_bytes);
        let closed = |decision| Ok(Preview { message: Message::default(), decision, came_as: None });
        if size_bytes > limit_bytes {
            return closed(too_large(size_bytes, limit_bytes));
        }
        let reader = self.reader(mailbox, false);
        let message = match reader.parse(raw.into(), None).await? {
            Ok(message) => message,
            Err(why) => return closed(unparsable(&why)),
        };
        let delivery = Delivery { mailbox: mailbox.name.clone(), uid_validity: 0, uid: "preview".into() };
        let customer = reader.customer_of(&mailbox.customer, &message).await?;
        let row = MessageRow::unlisted(&customer, &delivery, self.engine.clock.now());
        let mut tx = self.engine.store.read().await?;
        let record = Record::read(&mut tx, &[(&row, &message)], None).await?;
        let behaviour = self.behaviour();
        let mut case = know(&mut tx, &record, (mailbox, &behaviour), &row, &message).await?;
        let came_as = case.duplicate_of.take();
        if let (Some(_), Some(author)) = (came_as, message.author()) {
            let others = messages::has_written_besides(&mut tx, &row.customer, &author.address, &message.stable_sha256);
            case.first_time_sender = Some(!others.await?);
        }
        let screen = || rules.unwrap_or(&behaviour.rules).explain(&self.facts(&case));
        let decision = case.tell(case.settled().unwrap_or_else(screen));
        drop(case);
        Ok(Preview { message, decision, came_as })
    }
}
