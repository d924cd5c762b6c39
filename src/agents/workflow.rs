//! `workflow`: another workflow as one step. The engine launches it on the same transaction and waits for its end.

use async_trait::async_trait;
use serde_json::{Map, Value};

use super::settings::{self, Reader};
use super::{Agent, Outcome, Task};

pub struct SubWorkflow;

fn read(with: &mut Reader) -> (String, Map<String, Value>) {
    (with.required("workflow"), with.optional("inputs").unwrap_or_default())
}

#[async_trait]
impl Agent for SubWorkflow {
    fn name(&self) -> &'static str {
        "workflow"
    }

    fn about(&self) -> &'static str {
        "Runs another `workflow` (the latest version, or `name@3`) with `inputs`; its outputs are the output."
    }

    fn check(&self, with: &Map<String, Value>) -> Vec<(String, String)> {
        settings::check(with, read)
    }

    async fn perform(&self, task: &Task) -> Outcome {
        match settings::filled(&task.with, read) {
            Ok((workflow, inputs)) => Outcome::Launch { workflow, inputs },
            Err(failure) => Outcome::Fail(failure),
        }
    }
}
