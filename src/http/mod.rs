//! Pages and health: server-rendered, readable on a phone, working without JavaScript. No GET decides anything.

use std::sync::Arc;

use secrecy::SecretString;

use crate::engine::Engine;

/// What the pages work with.
pub struct Web {
    pub engine: Arc<Engine>,
    /// Password of the run pages (user `admin`, HTTP Basic); without it they answer only to this machine.
    pub password: Option<SecretString>,
    /// What links start with; its path is where a proxy shows us.
    pub base_url: Option<String>,
}
