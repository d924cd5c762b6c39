//! The start of a run, inside the commit of what caused it.

use serde_json::{Map, Value, json};

use super::{Engine, EngineError};
use crate::domain::event::Event;
use crate::domain::expression;
use crate::domain::ids::{MessageId, RunId, TransactionId};
use crate::domain::workflow::Workflow;
use crate::store::runs::{NewRun, RunRow};
use crate::store::workflows::Published;
use crate::store::{Tx, events, runs, workflows};

/// What is launched, for which transaction, on whose behalf.
#[derive(Debug)]
pub struct Launch<'a> {
    pub workflow: &'a Workflow,
    pub customer: &'a str,
    pub transaction_id: TransactionId,
    pub message_id: Option<MessageId>,
    /// SHA-256 (hex) of the documents of the message that it is about, told in the trail.
    pub documents: &'a [String],
    pub inputs: Map<String, Value>,
    /// Metadata of the mail that started it: `from`, `subject`, `message_id`, `mailbox`, `received_at`.
    pub origin: Map<String, Value>,
    pub by: &'a str,
}

/// A run as it was launched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launched {
    pub id: RunId,
    /// `AP-000123`
    pub name: String,
}

/// What a run is launched below.
#[derive(Debug, Clone, Copy)]
pub(super) struct Above<'a> {
    /// The run above and those above it, nearest first; at least one.
    pub runs: &'a [RunRow],
    /// The step that waits.
    pub step: &'a str,
}

impl Engine {
    /// Writes a queued run. It exists when, and only when, the caller's transaction commits; poke `work` then.
    ///
    /// # Errors
    /// `Input` when the workflow refuses the inputs, or its version is published with another content or withdrawn; nothing is
    /// written then. A version that was never published is published by its first launch.
    pub async fn launch(&self, tx: &mut Tx, launch: Launch<'_>) -> Result<Launched, EngineError> {
        self.launch_as(tx, launch, RunId::new(), None).await
    }

    /// As `launch`, with an id that is known before, below a run that waits for it.
    ///
    /// # Errors
    /// As `launch`.
    pub(super) async fn launch_below_runs(
        &self,
        tx: &mut Tx,
        launch: Launch<'_>,
        id: RunId,
        above: Above<'_>,
    ) -> Result<Launched, EngineError> {
        self.launch_as(tx, launch, id, Some(above)).await
    }

    async fn launch_as(
        &self,
        tx: &mut Tx,
        launch: Launch<'_>,
        id: RunId,
        above: Option<Above<'_>>,
    ) -> Result<Launched, EngineError> {
        let now = self.clock.now();
        let workflow = launch.workflow;
        let inputs = workflow.accept(launch.inputs).map_err(EngineError::Input)?;
        let series = series(workflow, &inputs).map_err(EngineError::Input)?;
        let key = match &workflow.concurrency {
            Some(concurrency) => {
                Some(key(workflow, "concurrency.key", &concurrency.key, &inputs).map_err(EngineError::Input)?)
            }
            None => None,
        };
        // What has a place above would wait for itself.
        let has_place = |run: &RunRow| run.workflow == workflow.name && run.concurrency_key == key && !run.gated;
        let gated = key.is_some() && !above.is_some_and(|above| above.runs.iter().any(has_place));
        let hash = self.publish(tx, workflow, launch.by).await?;
        let number = runs::next_number(tx, &format!("run.{series}")).await?;
        let launched = Launched { id, name: format!("{series}-{number:06}") };
        let new = NewRun {
            id,
            name: &launched.name,
            customer: launch.customer,
            transaction_id: launch.transaction_id,
            message_id: launch.message_id,
            workflow: &workflow.name,
            workflow_version: workflow.version,
            workflow_hash: &hash,
            inputs: &inputs,
            origin: &launch.origin,
            deadline_at: workflow.deadline_after(now),
            parent_run: above.and_then(|above| above.runs.first()).map(|run| run.id),
            parent_step: above.map(|above| above.step),
            concurrency_key: key.as_deref(),
            gated,
            by: launch.by,
            at: now,
        };
        runs::insert(tx, &new).await?;
        self.set_run_alarm(tx, id, 1, workflow, now).await?;
        let mut event = Event::new(now, "run.launched", launch.customer)
            .by(launch.by)
            .run(id)
            .with("run", launched.name.as_str())
            .with("workflow", workflow.name.as_str())
            .with("version", workflow.version);
        if let Some(run) = above.and_then(|above| above.runs.first()) {
            event = event.with("above", run.name.as_str());
        }
        if !launch.documents.is_empty() {
            event = event.with("documents", launch.documents.to_vec());
        }
        event.message = launch.message_id;
        events::append(tx, &event).await?;
        Ok(launched)
    }
}

impl Engine {
    /// Publishes a definition with its first launch, and gives its hash.
    async fn publish(&self, tx: &mut Tx, workflow: &Workflow, by: &str) -> Result<String, EngineError> {
        let (label, now) = (workflow.label(), self.clock.now());
        match workflows::publish(tx, workflow, by, now).await? {
            Published::New { hash } => {
                let event = Event::new(now, "workflow.published", "").by(by);
                events::append(tx, &event.with("workflow", label).with("hash", hash.as_str())).await?;
                Ok(hash)
            }
            Published::Before { hash, is_withdrawn: false } => Ok(hash),
            Published::Before { .. } => {
                Err(EngineError::Input(format!("workflow {label} was unpublished and starts no run")))
            }
            Published::Otherwise => {
                let why = format!("workflow {label} was published with other content; give the file the next version");
                Err(EngineError::Input(why))
            }
        }
    }
}

/// Longest key of a record, in characters.
const MAX_KEY: usize = 64;

/// What the numbers of a run count in: `AP`, or `AP-R17` for the record `R17`. Names are found in capital letters, so the
/// record is written in them; what is neither letter nor digit becomes `_`.
fn series(workflow: &Workflow, inputs: &Map<String, Value>) -> Result<String, String> {
    let Some(template) = &workflow.number_by else { return Ok(workflow.prefix.clone()) };
    let record = key(workflow, "number_by", template, inputs)?;
    let record: String =
        record.to_uppercase().chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '_' }).collect();
    Ok(format!("{}-{record}", workflow.prefix))
}

/// The text that a template over `inputs` gives.
fn key(workflow: &Workflow, field: &str, template: &str, inputs: &Map<String, Value>) -> Result<String, String> {
    let broken = |why: String| format!("`{field} = \"{template}\"` of workflow {}: {why}", workflow.name);
    let text = match expression::fill(&Value::from(template), &json!({ "inputs": inputs })).map_err(broken)? {
        Value::String(text) => text,
        Value::Number(number) => number.to_string(),
        other => return Err(broken(format!("{other} is no text"))),
    };
    match text.chars().count() {
        0 => Err(broken("it is empty".into())),
        1..=MAX_KEY => Ok(text),
        count => Err(broken(format!("it has {count} characters; at most {MAX_KEY} are taken"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_count_for_each_record() {
        let check = |number_by: &str, record: Value, expected: Result<&str, &str>| {
            let definition = json!({"name": "w", "version": 1, "prefix": "AP", "number_by": number_by, "step": []});
            let workflow: Workflow = serde_json::from_value(definition).unwrap();
            let got = series(&workflow, json!({ "record": record }).as_object().unwrap());
            match expected {
                Ok(name) => assert_eq!(got.unwrap(), name),
                Err(part) => assert!(got.as_ref().unwrap_err().contains(part), "{got:?}"),
            }
        };
        check("{{ inputs.record }}", json!("R17"), Ok("AP-R17"));
        check("{{ inputs.record }}", json!(17), Ok("AP-17"));
        check("{{ inputs.record }}", json!("r 17/é"), Ok("AP-R_17__"));
        check(
            "{{ inputs.record }}",
            json!(""),
            Err("`number_by = \"{{ inputs.record }}\"` of workflow w: it is empty"),
        );
        check("{{ inputs.record }}", json!("x".repeat(65)), Err("65 characters"));
        check("{{ inputs.record }}", json!(null), Err("null is no text"));
        check("{{ inputs.nothing }}", json!("x"), Err("of workflow w: "));
    }
}
