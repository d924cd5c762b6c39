//! Agents perform steps. One file each, one line in `registry`; the engine knows them only by this trait.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use crate::blob::Blob;
use crate::domain::calendar::Calendar;
use crate::domain::failure::Failure;
use crate::domain::ids::{RunId, TransactionId};
use crate::domain::person::User;
use crate::domain::wait::WaitRequest;

/// Code that performs a step. It may be performed twice for the same attempt after a crash, so effects outside
/// must be idempotent under `Task::idempotency_key`.
#[async_trait]
pub trait Agent: Send + Sync {
    /// The name that workflow files use.
    fn name(&self) -> &'static str;

    /// One sentence for `--help` and pages.
    fn about(&self) -> &'static str;

    /// Everything wrong with a step's settings, as (key, what is wrong). Strings with `{{` are not known yet.
    fn check(&self, with: &Map<String, Value>) -> Vec<(String, String)>;

    /// Does the work. Never panics on outside data, never retries by itself: `Outcome::Retry` is data.
    async fn perform(&self, task: &Task) -> Outcome;
}

/// What an agent is given.
#[derive(Debug, Clone)]
pub struct Task {
    pub run_id: RunId,
    /// `AP-000123`
    pub run_name: String,
    pub transaction_id: TransactionId,
    pub customer: String,
    pub step: String,
    pub generation: i32,
    pub attempt: i32,
    /// The step's settings with every `{{ }}` filled in.
    pub with: Map<String, Value>,
    /// `inputs`, `steps`, `run`: what expressions see.
    pub context: Value,
    /// People that may be asked, by name; roles resolve through `User::roles`.
    pub users: Vec<User>,
    pub calendar: Calendar,
    pub now: DateTime<Utc>,
    /// Mail metadata of the message that started the run: `from`, `subject`, `message_id`, `received_at`.
    pub origin: Map<String, Value>,
    pub blob: Arc<Blob>,
}

impl Task {
    /// Equal for every repeat of this step in this generation, different for every other step: what "the same posting" means.
    pub fn idempotency_key(&self) -> String {
        format!("{}/{}/{}", self.run_id, self.generation, self.step)
    }
}

/// What became of an attempt.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    Done {
        output: Value,
    },
    /// Worth another attempt, if the step's retry policy allows one.
    Retry(Failure),
    /// For good.
    Fail(Failure),
    /// Needs somebody, or time.
    Wait(Box<WaitRequest>),
}
