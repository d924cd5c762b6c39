//! The command line: one file per command. What a command needs is in `Context`, built above.

use std::sync::Arc;

use crate::config::Config;
use crate::engine::Engine;
use crate::intake::Intake;

/// What commands work with.
pub struct Context {
    pub config: Config,
    pub engine: Arc<Engine>,
    pub intake: Arc<Intake>,
}
