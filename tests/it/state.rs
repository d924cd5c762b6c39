//! What a daemon has written, read past it from the database.

use countersign::domain::event::Event;
use countersign::store::mailboxes::{self, MailboxRow};
use countersign::store::messages::{self, MessageRow};
use countersign::store::notices::{self, NoticeRow};
use countersign::store::runs::{self, RunRow};
use countersign::store::{Store, StoreError, events};

/// Everything in the database that the tests look at, of one moment.
pub struct State {
    /// Oldest first.
    pub messages: Vec<MessageRow>,
    pub runs: Vec<RunRow>,
    /// Of all runs.
    pub notices: Vec<NoticeRow>,
    /// Of all messages and runs.
    pub events: Vec<Event>,
    pub mailboxes: Vec<MailboxRow>,
}

impl State {
    pub async fn read(store: &Store) -> Result<Self, StoreError> {
        let mut tx = store.read().await?;
        let mut messages = messages::latest(&mut tx, 100).await?;
        messages.reverse();
        let runs = runs::latest(&mut tx, None, 100).await?;
        let (mut notices, mut all) = (vec![], vec![]);
        for run in &runs {
            notices.extend(notices::of_run(&mut tx, run.id).await?);
            all.extend(events::of_run(&mut tx, run.id).await?);
        }
        for message in &messages {
            let of_message = events::of_message(&mut tx, message.id).await?;
            all.extend(of_message.into_iter().filter(|event| event.run.is_none()));
        }
        let mailboxes = mailboxes::all(&mut tx).await?;
        Ok(Self { messages, runs, notices, events: all, mailboxes })
    }

    pub fn count(&self, kind: &str) -> usize {
        self.events.iter().filter(|event| event.kind == kind).count()
    }

    pub fn mailbox(&self, name: &str) -> Option<&MailboxRow> {
        self.mailboxes.iter().find(|row| row.name == name)
    }
}
