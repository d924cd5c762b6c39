//! Who is told what about a run and its steps: completion, repeats, lateness, failure. Written in the commit of its cause.

use serde_json::{Map, Value, json};

use super::{Engine, EngineError};
use crate::agents::resolve;
use crate::domain::failure::Failure;
use crate::domain::notice::Draft;
use crate::domain::person::User;
use crate::domain::step::StepStatus;
use crate::domain::wait::Asked;
use crate::domain::workflow::{Step, Tell, Workflow};
use crate::store::runs::RunRow;
use crate::store::steps::StepRow;
use crate::store::{Tx, people, workflows};

impl Engine {
    /// Tells of a step as it now is: done, to be repeated, or failed. Of instances nobody is told, only of their step. False
    /// when nobody is told.
    pub(super) async fn tell_of_step(
        &self,
        tx: &mut Tx,
        run: &RunRow,
        workflow: &Workflow,
        row: &StepRow,
    ) -> Result<bool, EngineError> {
        let Some(step) = workflow.step(&row.name).filter(|step| step.name == row.name) else { return Ok(false) };
        let (told, title) = match row.status {
            StepStatus::Success => (&step.notify.completion, format!("{} is done", called(step))),
            StepStatus::FailureRetry => {
                let told = step.notify.retry.as_ref().or(workflow.notify.retry.as_ref());
                let Some(told) = told else { return Ok(false) };
                let title = format!("{} failed and is tried again", called(step));
                return self.tell(tx, run, workflow, told, news(run, title, row.failure.as_deref())).await;
            }
            StepStatus::Failure => (&step.notify.failure, format!("{} failed", called(step))),
            _ => return Ok(false),
        };
        let Some(told) = told else { return Ok(false) };
        self.tell(tx, run, workflow, told, news(run, title, row.failure.as_deref())).await
    }

    /// Tells that a step takes longer than its soft timeout; the owner where nobody is named.
    pub(super) async fn tell_of_late_step(
        &self,
        tx: &mut Tx,
        run: &RunRow,
        workflow: &Workflow,
        step: &Step,
    ) -> Result<bool, EngineError> {
        let told = step.notify.timeout.as_ref().or(workflow.notify.timeout.as_ref()).cloned().unwrap_or_default();
        let soft = workflow.soft_timeout_of(step).map(|soft| format!(" after {soft}")).unwrap_or_default();
        let title = format!("{} is not done{soft}", called(step));
        self.tell(tx, run, workflow, &told, news(run, title, None)).await
    }

    /// Tells that a run is not done by its soft deadline; the owner where nobody is named.
    pub(super) async fn tell_of_late_run(
        &self,
        tx: &mut Tx,
        run: &RunRow,
        workflow: &Workflow,
    ) -> Result<bool, EngineError> {
        let told = workflow.notify.timeout.clone().unwrap_or_default();
        self.tell(tx, run, workflow, &told, news(run, format!("not finished yet: {}", subject(run)), None)).await
    }

    pub(super) async fn tell_of_completion(
        &self,
        tx: &mut Tx,
        run: &RunRow,
        workflow: &Workflow,
    ) -> Result<bool, EngineError> {
        let Some(told) = &workflow.notify.completion else { return Ok(false) };
        self.tell(tx, run, workflow, told, news(run, format!("done: {}", subject(run)), None)).await
    }

    /// Tells that a run has failed: whom its definition names, otherwise the owner. Where the definition cannot be read
    /// nobody is told; the trail has it.
    pub(super) async fn tell_of_failure(
        &self,
        tx: &mut Tx,
        run: &RunRow,
        failure: &Failure,
    ) -> Result<bool, EngineError> {
        let workflow = match workflows::get(tx, &run.workflow_hash).await {
            Ok(workflow) => workflow,
            Err(error) if error.is_transient() => return Err(error.into()),
            Err(_) => return Ok(false),
        };
        let told = workflow.notify.failure.clone().unwrap_or_default();
        self.tell(tx, run, &workflow, &told, news(run, format!("failed: {}", subject(run)), Some(failure))).await
    }

    /// False when nobody is named. Names that are nobody's are passed over: news is no question, and nothing waits for it.
    async fn tell(
        &self,
        tx: &mut Tx,
        run: &RunRow,
        workflow: &Workflow,
        told: &Tell,
        news: Map<String, Value>,
    ) -> Result<bool, EngineError> {
        let names: Vec<String> =
            if told.to.is_empty() { workflow.owner.iter().cloned().collect() } else { told.to.clone() };
        if names.is_empty() {
            return Ok(false);
        }
        let users = people::users(tx, &run.customer).await?;
        for asked in recipients(&names, &users) {
            let draft = Draft {
                medium: "email".into(),
                person: asked.person,
                address: asked.address,
                template: told.template.clone().unwrap_or_else(|| "notify".into()),
                data: news.clone(),
                attachments: vec![],
                answerable: false,
                in_reply_to: None,
            };
            self.write_notice(tx, run, None, &draft).await?;
        }
        Ok(true)
    }
}

/// Users, roles and plain addresses, each address once.
fn recipients(names: &[String], users: &[User]) -> Vec<Asked> {
    let mut found: Vec<Asked> = vec![];
    for name in names {
        let meant = match name.contains('@') {
            true => vec![Asked { person: name.clone(), address: name.clone() }],
            false => resolve(std::slice::from_ref(name), users),
        };
        for asked in meant {
            if !found.iter().any(|known| known.address.eq_ignore_ascii_case(&asked.address)) {
                found.push(asked);
            }
        }
    }
    found
}

/// What templates show of it.
fn news(run: &RunRow, title: String, failure: Option<&Failure>) -> Map<String, Value> {
    let fact = |label: &str, value: &str| json!({ "label": label, "value": value });
    let mut facts: Vec<Value> = failure.iter().map(|failure| fact("Reason", &failure.reason)).collect();
    facts.push(fact("Mail", subject(run)));
    let text = failure.map(|failure| format!("{}.", failure.details)).unwrap_or_default();
    let mut news = Map::new();
    news.insert("title".into(), title.into());
    news.insert("text".into(), text.into());
    news.insert("facts".into(), facts.into());
    news
}

fn subject(run: &RunRow) -> &str {
    run.origin.get("subject").and_then(Value::as_str).unwrap_or("-")
}

fn called(step: &Step) -> String {
    if step.title.is_empty() { format!("step {}", step.name) } else { step.title.clone() }
}
