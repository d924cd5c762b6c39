//! `noop`: does nothing and succeeds; a place where branches meet.

use async_trait::async_trait;
use serde_json::{Map, Value};

use super::{Agent, Outcome, Task, settings};

pub struct Noop;

#[async_trait]
impl Agent for Noop {
    fn name(&self) -> &'static str {
        "noop"
    }

    fn about(&self) -> &'static str {
        "Does nothing; its output is `output`, if given."
    }

    fn check(&self, with: &Map<String, Value>) -> Vec<(String, String)> {
        settings::check(with, |with| with.optional::<Map<String, Value>>("output"))
    }

    async fn perform(&self, task: &Task) -> Outcome {
        match settings::filled(&task.with, |with| with.optional::<Map<String, Value>>("output")) {
            Ok(output) => Outcome::done(Value::Object(output.unwrap_or_default())),
            Err(failure) => Outcome::Fail(failure),
        }
    }
}
