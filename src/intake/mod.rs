//! The way in: listed, fetched, filed, parsed, guarded, screened, committed, and only then flagged on the server.

mod also;
mod answers;
mod breaker;
mod case;
mod fetching;
mod filing;
mod guard;
mod hold;
mod inject;
mod ledger;
mod listing;
mod mark;
mod message;
mod outcome;
mod poll;
mod preview;
mod read;
mod recipient;
mod release;
mod renumbered;
pub mod replay;
mod retention;
mod scan;
mod suggest;
mod watch;
mod window;

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::behaviour::{Behaviour, Live};
use crate::blob::BlobError;
use crate::config::sections::{Limits, Mailbox};
use crate::engine::{Engine, EngineError};
use crate::mailbox::MailboxError;
use crate::malware::{ScanError, Scanner};
use crate::senders::Verifier;
use crate::store::StoreError;

pub use hold::{Leave, Resumed};
pub use inject::Injected;
pub use ledger::{Balance, balance};
pub use poll::Polled;
pub use preview::Preview;
pub use release::Released;
pub use watch::watch;

/// Takes in the mail of every mailbox.
pub struct Intake {
    pub engine: Arc<Engine>,
    pub limits: Limits,
    pub mailboxes: Vec<Mailbox>,
    live: Arc<Live>,
    /// Messages parsed at the same time, one for each processor.
    hands: Arc<Semaphore>,
    /// Room for fetched bytes that are not committed, over all mailboxes: `limits.in_flight_bytes` in KiB.
    room: Arc<Semaphore>,
    room_kib: u32,
    /// None when no mailbox wants senders verified by ourselves.
    verifier: Option<Arc<Verifier>>,
    /// None: nothing is scanned.
    scanner: Option<Arc<Scanner>>,
}

impl Intake {
    pub fn new(engine: Arc<Engine>, limits: Limits, mailboxes: Vec<Mailbox>, live: Arc<Live>) -> Self {
        let hands = std::thread::available_parallelism().map_or(1, usize::from);
        let room_kib = u32::try_from(limits.in_flight_bytes / 1024).unwrap_or(u32::MAX).clamp(1, 1 << 22);
        let (hands, room) = (Arc::new(Semaphore::new(hands)), Arc::new(Semaphore::new(room_kib as usize)));
        Self { engine, limits, mailboxes, live, hands, room, room_kib, verifier: None, scanner: None }
    }

    /// With what verifies senders ourselves.
    pub fn verifying(self, verifier: Option<Verifier>) -> Self {
        Self { verifier: verifier.map(Arc::new), ..self }
    }

    /// With what looks for malware.
    pub fn scanning(self, scanner: Option<Scanner>) -> Self {
        Self { scanner: scanner.map(Arc::new), ..self }
    }

    /// A configured mailbox by its name.
    ///
    /// # Errors
    /// Names those that there are.
    pub fn mailbox(&self, name: &str) -> Result<&Mailbox, IntakeError> {
        self.mailboxes.iter().find(|known| known.name == name).ok_or_else(|| {
            let known: Vec<_> = self.mailboxes.iter().map(|known| known.name.as_str()).collect();
            IntakeError::Message(format!("there is no mailbox `{name}`; there are: {}", known.join(", ")))
        })
    }

    /// The rules and workflows in force. What is decided and committed together goes by one of them.
    pub fn behaviour(&self) -> Arc<Behaviour> {
        self.live.current()
    }
}

/// Why intake stopped. The message at fault, if any, is tried again; nothing was flagged.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    #[error(transparent)]
    Mailbox(#[from] MailboxError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Blob(#[from] BlobError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Scan(#[from] ScanError),
    #[error("{0}")]
    Message(String),
}

impl IntakeError {
    /// Whether it concerns more than one message, so that the rest of the mailbox has to wait too.
    pub fn stops_the_mailbox(&self) -> bool {
        match self {
            Self::Mailbox(error) => error.is_broken(),
            Self::Store(error) => error.is_transient(),
            // A store that refuses refuses every message: quarantining and flagging them one by one would lose their bytes.
            Self::Blob(error) => !matches!(error, BlobError::BadPath { .. } | BlobError::NotFound { .. }),
            Self::Engine(error) => error.is_transient(),
            Self::Scan(error) => error.is_away(),
            Self::Message(_) => false,
        }
    }
}
