//! Agents perform steps. One file each, one line in `registry`; the engine knows them only by this trait.

mod approval;
mod asking;
mod delay;
mod extract_pdf;
mod invoice;
mod journal;
mod noop;
mod notify;
pub mod pdf;
mod post_file;
mod registry;
mod request_info;
mod settings;
mod switch;
#[cfg(test)]
mod testing;
mod verify_invoice;
mod workflow;

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

pub use asking::resolve;
pub use journal::{HowFar, Journal, Level, Line, Unwritten};
pub use registry::{Registry, Settings};

use crate::blob::{Blob, BlobError};
use crate::domain::calendar::Calendar;
use crate::domain::failure::Failure;
use crate::domain::ids::{RunId, TransactionId};
use crate::domain::notice::Draft;
use crate::domain::person::{Address, User};
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
    /// What the agent says while it works: see `log`, `warn` and `progress`.
    pub journal: Journal,
}

impl Task {
    /// Keeps a line for whoever looks at the step: what was done, read or found. No secret, and no text of a mail; bounded,
    /// and it costs next to nothing.
    pub fn log(&self, text: &str) {
        self.journal.say(Level::Info, text);
    }

    /// As `log`, for what somebody should look at though the step goes on.
    pub fn warn(&self, text: &str) {
        self.journal.say(Level::Warn, text);
    }

    /// Tells how far the attempt is, 0 to 100, and what it does now. Any word counts as a heartbeat (`timeout.heartbeat`).
    pub fn progress(&self, percent: u8, message: &str) {
        self.journal.progress(Some(percent), message);
    }

    /// Equal for every repeat of this step in this generation, different for every other step: what "the same posting" means.
    pub fn idempotency_key(&self) -> String {
        format!("{}/{}/{}", self.run_id, self.generation, self.step)
    }

    /// Path in the blob store of a file that this attempt makes, for people who want to see how it came about.
    pub fn artifact(&self, name: &str) -> String {
        let Self { customer, transaction_id, run_name, step, generation, attempt, .. } = self;
        // Several runs may share a transaction, and attempts are counted anew in each generation.
        format!("{customer}/{transaction_id}/artifacts/{run_name}/{step}/{generation}.{attempt}/{name}")
    }

    /// Address of whoever sent the mail that started the run; none when it had no single author.
    pub fn requester(&self) -> Option<Address> {
        let from = self.origin.get("from")?.as_str()?;
        let address = match from.rsplit_once('<') {
            Some((name, rest)) => Address::named(name.trim_matches(['"', ' ']), rest.trim_end_matches('>')),
            None => Address::new(from),
        };
        (!address.domain().is_empty()).then_some(address)
    }
}

/// What became of an attempt.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    Done {
        output: Value,
        /// Told in the same commit; nobody waits for an answer.
        notices: Vec<Draft>,
    },
    /// Worth another attempt, if the step's retry policy allows one.
    Retry(Failure),
    /// For good.
    Fail(Failure),
    /// Needs somebody, or time.
    Wait(Box<WaitRequest>),
    /// Needs another workflow to run with these inputs, and to end.
    Launch { workflow: String, inputs: Map<String, Value> },
}

impl Outcome {
    pub fn done(output: Value) -> Self {
        Self::Done { output, notices: vec![] }
    }

    /// Done, but not wholly: the output says so as `partial`, for conditions, people and reports. What depends on all of it
    /// has to look: `{ key = "steps.x.partial", exists = false }`.
    pub fn partial(mut output: Map<String, Value>, why: &Failure) -> Self {
        output.insert("partial".into(), serde_json::to_value(why).unwrap_or_default());
        Self::done(Value::Object(output))
    }
}

impl From<Failure> for Outcome {
    fn from(failure: Failure) -> Self {
        Self::Fail(failure)
    }
}

/// What a trouble with the blob store means for the attempt: away is worth another, missing is not.
fn blob_trouble(path: &str, error: &BlobError) -> Outcome {
    if error.is_not_found() {
        return Outcome::Fail(Failure::high("document_missing", format!("{path} is not in the store")));
    }
    let failure = Failure::medium("store_unavailable", format!("cannot reach {path} in the store: {error}"));
    if error.is_transient() { Outcome::Retry(failure) } else { Outcome::Fail(failure) }
}
