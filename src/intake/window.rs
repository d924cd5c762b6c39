//! Windows: the messages that travel together. One command fetches them, one barrier makes them durable, one commit decides
//! them, one command flags them. A lone mail is a window of its own.

use std::collections::VecDeque;

use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;

use super::read::Taken;
use crate::domain::ids::MessageId;
use crate::store::messages::MessageRow;

/// Messages in one window at most.
const MESSAGES: usize = 64;
/// Bytes in one window at most, unless it is a single message.
const BYTES: u64 = 10 << 20;

/// A window whose messages have all been fetched.
pub(super) struct Window {
    /// In the order in which the server received them.
    pub mails: Vec<JoinHandle<Taken>>,
    /// What the server has flagged meanwhile, to be noted in the same commit.
    pub flagged: Vec<MessageId>,
    /// Room for its bytes, given back when it is committed.
    pub room: OwnedSemaphorePermit,
}

/// Takes the messages of the next window off the queue; none only when the queue is empty.
pub(super) fn cut(queue: &mut VecDeque<MessageRow>) -> Vec<MessageRow> {
    let mut rows = vec![];
    let mut bytes = 0u64;
    while let Some(row) = queue.front() {
        bytes = bytes.saturating_add(size_of(row));
        if !rows.is_empty() && (rows.len() >= MESSAGES || bytes > BYTES) {
            break;
        }
        rows.extend(queue.pop_front());
    }
    rows
}

/// Bytes of a message as the server told them.
pub(super) fn size_of(row: &MessageRow) -> u64 {
    u64::try_from(row.size_bytes).unwrap_or_default()
}
