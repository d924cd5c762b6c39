//! The start of a run, inside the commit of what caused it.

use serde_json::{Map, Value};

use super::{Engine, EngineError};
use crate::domain::event::Event;
use crate::domain::ids::{MessageId, RunId, TransactionId};
use crate::domain::workflow::Workflow;
use crate::store::runs::NewRun;
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

impl Engine {
    /// Writes a queued run. It exists when, and only when, the caller's transaction commits; poke `work` then.
    ///
    /// # Errors
    /// `Input` when the workflow refuses the inputs; nothing is written then.
    pub async fn launch(&self, tx: &mut Tx, launch: Launch<'_>) -> Result<Launched, EngineError> {
        let now = self.clock.now();
        let workflow = launch.workflow;
        let inputs = workflow.accept(launch.inputs).map_err(EngineError::Input)?;
        let hash = workflows::keep(tx, workflow, now).await?;
        let number = runs::next_number(tx, &format!("run.{}", workflow.prefix)).await?;
        let launched = Launched { id: RunId::new(), name: format!("{}-{number:06}", workflow.prefix) };
        let new = NewRun {
            id: launched.id,
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
            by: launch.by,
            at: now,
        };
        runs::insert(tx, &new).await?;
        let mut event = Event::new(now, "run.launched", launch.customer)
            .by(launch.by)
            .run(launched.id)
            .with("run", launched.name.as_str())
            .with("workflow", workflow.name.as_str())
            .with("version", workflow.version);
        if !launch.documents.is_empty() {
            event = event.with("documents", launch.documents.to_vec());
        }
        event.message = launch.message_id;
        events::append(tx, &event).await?;
        Ok(launched)
    }
}
