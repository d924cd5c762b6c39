//! What an operator does to a run: kill, pause, resume. Each answers with the new state or refuses with the reason.

use serde_json::{Map, Value, json};

use super::{Engine, EngineError};
use crate::agents::resolve;
use crate::domain::event::Event;
use crate::domain::failure::Failure;
use crate::domain::ids::RunId;
use crate::domain::notice::Draft;
use crate::domain::run::{self, RunEvent, RunState};
use crate::store::runs::RunRow;
use crate::store::{Tx, events, people, runs, workflows};

impl Engine {
    /// Ends a run in any live state, for good. A step in hand finds its fence gone and commits nothing.
    ///
    /// # Errors
    /// `Refused` when it has ended already.
    pub async fn kill(&self, id: RunId, by: &str) -> Result<RunState, EngineError> {
        self.control(id, RunEvent::Kill, "run.killed", by).await
    }

    /// Holds a run: what is in hand ends, nothing else starts.
    ///
    /// # Errors
    /// `Refused` when it has ended.
    pub async fn pause(&self, id: RunId, by: &str) -> Result<RunState, EngineError> {
        self.control(id, RunEvent::Pause, "run.paused", by).await
    }

    /// Lets a held run go on.
    ///
    /// # Errors
    /// `Refused` when nobody holds it.
    pub async fn resume(&self, id: RunId, by: &str) -> Result<RunState, EngineError> {
        self.control(id, RunEvent::Resume, "run.resumed", by).await
    }

    async fn control(&self, id: RunId, event: RunEvent, kind: &str, by: &str) -> Result<RunState, EngineError> {
        let mut tx = self.store.begin().await?;
        let run = runs::lock(&mut tx, id).await?;
        let next = run::next_status(run.state(), event, false)?;
        let failure = run.failure.as_ref().map(|failure| &failure.0);
        runs::set_state(&mut tx, &run, next, failure, run.wake_at, self.clock.now()).await?;
        if next.status.is_final() {
            self.void_waits(&mut tx, &run).await?;
        }
        let event =
            Event::new(self.clock.now(), kind, &run.customer).by(by).run(id).with("status", next.status.as_str());
        events::append(&mut tx, &event).await?;
        tx.commit().await?;
        self.work.notify_waiters();
        Ok(next)
    }

    /// Fails a locked run.
    pub(super) async fn fail_run(&self, tx: &mut Tx, run: &RunRow, failure: &Failure) -> Result<(), EngineError> {
        let next = run::next_status(run.state(), RunEvent::Fatal, false)?;
        runs::set_state(tx, run, next, Some(failure), None, self.clock.now()).await?;
        self.void_waits(tx, run).await?;
        let event = Event::new(self.clock.now(), "run.failed", &run.customer)
            .run(run.id)
            .with("reason", failure.reason.as_str())
            .with("details", failure.details.as_str())
            .with("criticality", serde_json::to_value(failure.criticality).unwrap_or_default());
        events::append(tx, &event).await?;
        self.tell_owner(tx, run, failure).await
    }

    /// Tells the workflow's owner that a run has failed. An owner who is nobody known, or stands in a definition that cannot be read, is told nothing; the trail has it.
    async fn tell_owner(&self, tx: &mut Tx, run: &RunRow, failure: &Failure) -> Result<(), EngineError> {
        let owner = match workflows::get(tx, &run.workflow_hash).await {
            Ok(workflow) => workflow.owner,
            Err(error) if error.is_transient() => return Err(error.into()),
            Err(_) => None,
        };
        let Some(owner) = owner else { return Ok(()) };
        let users = people::users(tx, &run.customer).await?;
        let mut data = Map::new();
        let subject = run.origin.get("subject").and_then(Value::as_str).unwrap_or("-");
        data.insert("title".into(), format!("failed: {subject}").into());
        data.insert("text".into(), format!("{}.", failure.details).into());
        let fact = |label: &str, value: &str| json!({ "label": label, "value": value });
        data.insert("facts".into(), json!([fact("Reason", &failure.reason), fact("Mail", subject)]));
        for asked in resolve(&[owner], &users) {
            let draft = Draft {
                medium: "email".into(),
                person: asked.person,
                address: asked.address,
                template: "notify".into(),
                data: data.clone(),
                attachments: vec![],
                answerable: false,
                in_reply_to: None,
            };
            self.write_notice(tx, run, None, &draft).await?;
        }
        Ok(())
    }
}
