//! Runs: launched, planned, worked on, paused and ended. Nothing here knows mail, people's words or pages.

mod alarm;
mod child;
pub mod control;
pub mod decide;
mod definitions;
mod finish;
mod gate;
mod journal;
pub mod launch;
pub mod notice;
pub mod override_step;
pub mod plan;
pub mod replay;
pub mod rerun;
pub mod restart;
mod rows;
pub mod start;
mod tell;
pub mod timers;
pub mod wait;
mod work;
mod worker;

use std::sync::Arc;

use chrono::TimeDelta;

pub use definitions::Definitions;
pub use work::Work;

use crate::agents::Registry;
use crate::behaviour::Live;
use crate::blob::Blob;
use crate::domain::clock::SharedClock;
use crate::domain::run::Refusal;
use crate::domain::step::IllegalStep;
use crate::domain::token::TokenKey;
use crate::store::{Store, StoreError};

/// What the engine works with. Shared by every loop of a process.
pub struct Engine {
    pub store: Store,
    pub blob: Arc<Blob>,
    pub clock: SharedClock,
    pub agents: Arc<Registry>,
    /// Where the workflows that steps launch are found.
    pub live: Arc<Live>,
    pub key: TokenKey,
    /// Name of this process in leases.
    pub owner: String,
    pub lease: TimeDelta,
    /// Poked after every commit that may have left work.
    pub work: Work,
    pub definitions: Definitions,
}

/// Why the engine did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The state of the run does not allow it; the text is meant for the person who asked.
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Step(#[from] IllegalStep),
    #[error("{0}")]
    Input(String),
}

impl EngineError {
    /// Whether what was to be committed may be committed.
    pub fn is_unsure(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_unsure())
    }

    /// Whether the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_transient())
    }
}
