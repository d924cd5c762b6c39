//! What can be asked of a run on its page: a page that says what it means and asks for a click, and the POST of that click.
//! Looking changes nothing. A form is good for one run in one generation, and only this service can make it.

use std::sync::Arc;

use axum::Form;
use axum::extract::rejection::FormRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Web;
use super::page::{self, PageError};
use crate::domain::run::RunEvent;
use crate::domain::workflow::Workflow;
use crate::engine::control::KILL_GRACE;
use crate::engine::rerun::Rerun;
use crate::engine::{Engine, EngineError};
use crate::store::runs::RunRow;
use crate::store::{Tx, runs, workflows};

/// What the form posts.
#[derive(Deserialize)]
pub(super) struct Fields {
    proof: Option<String>,
    /// Of a restart: the first step that runs again; nothing for whatever did not succeed.
    from: Option<String>,
    /// Of a rerun: whether it goes by the old definition.
    same_version: Option<String>,
}

/// One thing that can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Ask(RunEvent),
    Rerun,
}

impl Action {
    fn name(self) -> &'static str {
        match self {
            Self::Ask(event) => event.as_str(),
            Self::Rerun => "rerun",
        }
    }

    fn means(self) -> &'static str {
        match self {
            Self::Ask(RunEvent::Pause) => {
                "What is in hand ends, and no other step starts until somebody resumes it. Answers are still taken."
            }
            Self::Ask(RunEvent::Resume) => "It goes on; whatever was answered meanwhile counts now.",
            Self::Ask(RunEvent::Stop) => {
                "It ends for good as soon as what is in hand has ended. Links and replies decide nothing any more."
            }
            Self::Ask(RunEvent::Kill) => {
                "It ends for good within 10 seconds, whatever is in hand. Links and replies decide nothing any more."
            }
            Self::Ask(_) => {
                "It is the same run, by the definition that it was launched with. Who is needed is asked again; a step that runs again posts again."
            }
            Self::Rerun => "A new run for the same mail and documents, with the same inputs. This one stays as it is.",
        }
    }
}

/// What this run takes now, in the order of the buttons.
fn actions(run: &RunRow, restartable: bool) -> Vec<Action> {
    run.state()
        .takes(restartable)
        .into_iter()
        .filter(|event| !(run.held && *event == RunEvent::Pause))
        .map(Action::Ask)
        .chain([Action::Rerun])
        .collect()
}

/// The names of what a run takes, for the buttons on its page.
pub(super) fn offered(run: &RunRow, workflow: &Workflow) -> Vec<&'static str> {
    actions(run, workflow.restartable).into_iter().map(Action::name).collect()
}

/// GET: what it means, and the form that does it.
pub(super) async fn confirm(
    State(web): State<Arc<Web>>,
    Path((name, action)): Path<(String, String)>,
) -> Result<Response, PageError> {
    let mut tx = web.engine.store.read().await?;
    let (run, workflow) = find(&mut tx, &name).await?;
    let Some(action) = actions(&run, workflow.restartable).into_iter().find(|known| known.name() == action) else {
        return Ok(refused(&run, &workflow, &action));
    };
    let steps: Vec<_> = workflow.steps.iter().map(|step| &step.name).collect();
    let values = json!({
        "root": "../../",
        "here": "run",
        "run": run.name,
        "status": run.status,
        "about": run.origin.get("subject").and_then(Value::as_str),
        "action": action.name(),
        "means": action.means(),
        "ends": matches!(action, Action::Ask(RunEvent::Kill | RunEvent::Stop)),
        "steps": (action == Action::Ask(RunEvent::Restart)).then_some(steps),
        "versions": (action == Action::Rerun).then_some(run.workflow_version),
        "proof": proof(&web.engine, &run),
    });
    Ok(page::page(StatusCode::OK, "control.html", values))
}

/// POST: does it, and leads back to the run, or to the new one.
pub(super) async fn perform(
    State(web): State<Arc<Web>>,
    Path((name, action)): Path<(String, String)>,
    headers: HeaderMap,
    form: Result<Form<Fields>, FormRejection>,
) -> Result<Response, PageError> {
    let mut tx = web.engine.store.read().await?;
    let (run, workflow) = find(&mut tx, &name).await?;
    drop(tx);
    let foreign = headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none");
    let fields = form.ok().map(|Form(fields)| fields).filter(|_| !foreign);
    let Some(fields) = fields.filter(|fields| fields.proof.as_deref() == Some(&proof(&web.engine, &run))) else {
        let what = "This was not sent by the page of the run as it is now. Nothing was changed.";
        return Ok(page::message(StatusCode::FORBIDDEN, "Not done", what, "Open the run again and use its buttons."));
    };
    let Some(action) = actions(&run, workflow.restartable).into_iter().find(|known| known.name() == action) else {
        return Ok(refused(&run, &workflow, &action));
    };
    match carry_out(&web, &run, action, &fields).await {
        Ok(leads_to) => Ok(page::see_other(&format!("../{leads_to}"))),
        Err(EngineError::Refused(_)) => Ok(refused(&run, &workflow, action.name())),
        Err(EngineError::Input(why)) => {
            Ok(page::message(StatusCode::CONFLICT, "Not done", &why, "Nothing was changed."))
        }
        Err(other) => Err(other.into()),
    }
}

/// Gives the name of the run to look at then.
async fn carry_out(web: &Web, run: &RunRow, action: Action, fields: &Fields) -> Result<String, EngineError> {
    let (engine, id) = (&web.engine, run.id);
    let by = if web.password.is_some() { super::auth::USER } else { "operator" };
    match action {
        Action::Ask(RunEvent::Pause) => drop(engine.pause(id, by).await?),
        Action::Ask(RunEvent::Resume) => drop(engine.resume(id, by).await?),
        Action::Ask(RunEvent::Stop) => drop(engine.stop(id, by).await?),
        Action::Ask(RunEvent::Kill) => drop(engine.kill(id, by, KILL_GRACE).await?),
        Action::Ask(_) => {
            let from = fields.from.as_deref().filter(|from| !from.is_empty());
            engine.restart(id, from, by).await?;
        }
        Action::Rerun => {
            let behaviour = web.live.current();
            let same = fields.same_version.is_some();
            let workflow = behaviour.workflow_for(&run.workflow, &run.customer).filter(|_| !same);
            if workflow.is_none() && !same {
                return Err(EngineError::Input(format!(
                    "There is no workflow {} any more: choose the same version as before.",
                    run.workflow
                )));
            }
            let rerun = Rerun { workflow, inputs: serde_json::Map::new(), at: None, by };
            return Ok(engine.rerun(id, rerun).await?.name);
        }
    }
    Ok(run.name.clone())
}

async fn find(tx: &mut Tx, name: &str) -> Result<(RunRow, Workflow), PageError> {
    let run = match runs::by_name(tx, name).await {
        Err(error) if error.is_not_found() => return Err(PageError::NotFound("run")),
        found => found?,
    };
    let workflow = workflows::get(tx, &run.workflow_hash).await?;
    Ok((run, workflow))
}

/// Why not, and what would work.
fn refused(run: &RunRow, workflow: &Workflow, action: &str) -> Response {
    let takes = offered(run, workflow).join(", ");
    let known = ["pause", "resume", "stop", "kill", "restart", "rerun"].contains(&action);
    let what = if known {
        format!("{} is {} and takes no {action} now.", run.name, run.status)
    } else {
        "A run takes no such thing.".into()
    };
    let status = if known { StatusCode::CONFLICT } else { StatusCode::NOT_FOUND };
    page::message(status, "Not done", &what, &format!("Nothing was changed. It takes: {takes}."))
}

/// What only our own page about this run in this generation can hold.
fn proof(engine: &Engine, run: &RunRow) -> String {
    engine.key.form(&format!("{}\n{}", run.id, run.generation))
}
