//! Orders to a mailbox and their results, in flight: many at once where the kind sends ahead, one by one where not.

use std::collections::VecDeque;

use async_trait::async_trait;

use super::{Mailbox, MailboxError};
use crate::config::sections::After;

/// Work for a mailbox.
#[derive(Debug, Clone)]
pub enum Order {
    /// Bodies of messages; the result of each is one `Done::Body`, in any order.
    Fetch { wanted: VecDeque<Wanted>, limit_bytes: u64 },
    /// As `Mailbox::mark`; the result is one `Done::Marked`.
    Mark { uids: Vec<String>, after: After },
}

/// A message to fetch, with its size as the server told it.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub uid: String,
    pub size_bytes: u64,
}

/// What became of an order.
#[derive(Debug)]
pub enum Done {
    /// The raw bytes, or why there are none: `Gone` or `TooLarge`.
    Body { uid: String, body: Result<Vec<u8>, MailboxError> },
    /// The server may have refused the mark and still be good for everything else.
    Marked { uids: Vec<String>, result: Result<(), MailboxError> },
}

/// A kind of mailbox that carries out several orders at the same time.
#[async_trait]
pub trait Ahead: Send {
    /// Sends what the order asks for, or keeps it for when it can be sent.
    async fn send(&mut self, order: &Order) -> Result<(), MailboxError>;

    /// The next result; none when nothing is under way.
    async fn receive(&mut self) -> Result<Option<Done>, MailboxError>;
}

/// A mailbox with its orders, carried out in the order given. Dropped with orders in hand, the mailbox is of no more use.
pub struct Flow<'a> {
    mailbox: &'a mut dyn Mailbox,
    waiting: VecDeque<Order>,
}

impl<'a> Flow<'a> {
    pub fn new(mailbox: &'a mut dyn Mailbox) -> Self {
        Self { mailbox, waiting: VecDeque::new() }
    }

    /// Takes an order, and sends it at once where the protocol allows it.
    ///
    /// # Errors
    /// When the connection is of no more use.
    pub async fn order(&mut self, order: Order) -> Result<(), MailboxError> {
        match self.mailbox.ahead() {
            Some(ahead) => ahead.send(&order).await,
            None => {
                self.waiting.push_back(order);
                Ok(())
            }
        }
    }

    /// The next result; none when every order is done. To be awaited to its end.
    ///
    /// # Errors
    /// When the connection is of no more use.
    pub async fn next(&mut self) -> Result<Option<Done>, MailboxError> {
        if let Some(ahead) = self.mailbox.ahead() {
            return ahead.receive().await;
        }
        match self.waiting.pop_front() {
            None => Ok(None),
            Some(Order::Mark { uids, after }) => {
                let result = self.mailbox.mark(&uids, &after).await;
                Ok(Some(Done::Marked { uids, result }))
            }
            Some(Order::Fetch { mut wanted, limit_bytes }) => {
                let Some(first) = wanted.pop_front() else { return Ok(None) };
                if !wanted.is_empty() {
                    self.waiting.push_front(Order::Fetch { wanted, limit_bytes });
                }
                let uid = first.uid;
                match self.mailbox.fetch(&uid, limit_bytes).await {
                    Err(error) if error.is_broken() => Err(error),
                    body => Ok(Some(Done::Body { uid, body })),
                }
            }
        }
    }
}
