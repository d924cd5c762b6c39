//! A run once more: a new run for the same transaction, linked to the one that it repeats. Inputs may change.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::launch::{Launch, Launched};
use super::{Engine, EngineError};
use crate::domain::event::Event;
use crate::domain::ids::RunId;
use crate::domain::workflow::Workflow;
use crate::store::{events, run_control, runs, workflows};

/// How a run is repeated.
#[derive(Debug)]
pub struct Rerun<'a> {
    /// The definition of now; none for the one that the parent was launched with.
    pub workflow: Option<&'a Workflow>,
    /// Inputs that change; the others are the parent's.
    pub inputs: Map<String, Value>,
    pub at: Option<DateTime<Utc>>,
    pub by: &'a str,
}

impl Engine {
    /// Launches a run like `parent`, which stays as it is, whatever its state.
    ///
    /// # Errors
    /// `Input` when the definition of now does not take the inputs.
    pub async fn rerun(&self, parent: RunId, rerun: Rerun<'_>) -> Result<Launched, EngineError> {
        let mut tx = self.store.begin().await?;
        let run = runs::lock(&mut tx, parent).await?;
        let pinned = workflows::get(&mut tx, &run.workflow_hash).await?;
        let workflow = rerun.workflow.unwrap_or(&pinned);
        // What nobody gave is given anew by the defaults of the definition.
        let mut inputs: Map<_, _> = run.inputs.0.into_iter().filter(|(_, value)| !value.is_null()).collect();
        inputs.extend(rerun.inputs);
        let launch = Launch {
            workflow,
            customer: &run.customer,
            transaction_id: run.transaction_id,
            message_id: run.message_id,
            documents: &[],
            inputs,
            origin: run.origin.0,
            by: rerun.by,
        };
        let launched = self.launch(&mut tx, launch).await.map_err(|error| match error {
            EngineError::Input(why) if rerun.workflow.is_some() => EngineError::Input(format!(
                "{why} (version {}); with --same-version it runs by version {} again",
                workflow.version, run.workflow_version
            )),
            other => other,
        })?;
        run_control::set_parent(&mut tx, launched.id, parent).await?;
        if let Some(at) = rerun.at {
            self.put_off(&mut tx, &launched, workflow, &run.customer, at, rerun.by).await?;
        }
        let told = |id: RunId, kind: &str, other: &str| {
            Event::new(self.clock.now(), kind, &run.customer).by(rerun.by).run(id).with("other", other)
        };
        events::append(&mut tx, &told(launched.id, "run.repeats", &run.name)).await?;
        events::append(&mut tx, &told(parent, "run.repeated", &launched.name)).await?;
        tx.commit().await?;
        self.work.notify_waiters();
        Ok(launched)
    }
}
