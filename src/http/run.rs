//! One run: inputs, steps, what it waits for and what happens in silence, answers, notices, timeline.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use chrono::DateTime;
use chrono_tz::Tz;
use serde::Serialize;
use serde_json::{Value, json};

use super::Web;
use super::control;
use super::page::{self, PageError};
use super::runs::Names;
use super::shown::{self, Fact, Moment};
use crate::domain::event::Event;
use crate::domain::run::RunStatus;
use crate::domain::wait::{Asked, RungAction, WaitKind, WaitStatus};
use crate::domain::workflow::Workflow;
use crate::reports::log;
use crate::store::runs::RunRow;
use crate::store::steps::StepRow;
use crate::store::waits::WaitRow;
use crate::store::{Tx, answers, events, logs, notices, run_control, runs, steps, waits, workflows};

/// GET: everything about the run of this name.
pub(super) async fn one(State(web): State<Arc<Web>>, Path(name): Path<String>) -> Result<Response, PageError> {
    let mut tx = web.engine.store.read().await?;
    let run = match runs::by_name(&mut tx, &name).await {
        Err(error) if error.is_not_found() => return Err(PageError::NotFound("run")),
        found => found?,
    };
    let workflow = workflows::get(&mut tx, &run.workflow_hash).await?;
    let zone = workflow.calendar.zone;
    // Read first: what happens from here on makes the page show itself anew.
    let (told_until, _) = events::head(&mut tx).await?;
    let mut names = Names::default();
    let mut pauses = vec![];
    for wait in waits::of_run(&mut tx, run.id).await? {
        pauses.push(pause(&mut tx, &wait, zone, &mut names).await?);
    }
    let (open, ended): (Vec<_>, Vec<_>) = pauses.into_iter().partition(|pause| pause.status == WaitStatus::Open);
    let mut shown_steps = all_steps(steps::of_run(&mut tx, run.id, run.generation).await?, &workflow, zone);
    let spoken = logs::of_run(&mut tx, run.id, None).await?;
    for progress in logs::progress(&mut tx, run.id, run.generation).await? {
        let at_work = |step: &&mut Step| step.name == progress.step && step.attempt == progress.attempt;
        if let Some(step) = shown_steps.iter_mut().find(at_work) {
            step.progress = (step.status == "running").then(|| log::how_far(&progress));
        }
    }
    for step in &mut shown_steps {
        let of_step = spoken.iter().filter(|line| line.step == step.name && line.generation == run.generation);
        let lines: Vec<_> = of_step.map(log::line).collect();
        step.log = (!lines.is_empty()).then(|| lines.join("\n"));
    }
    let mut told = vec![];
    for notice in notices::of_run(&mut tx, run.id).await? {
        let person = names.call(&mut tx, &run.customer, &notice.person).await?;
        let (created, sent) =
            (shown::moment(notice.created_at, zone), notice.sent_at.map(|at| shown::moment(at, zone)));
        let (template, status, address, error) = (notice.template, notice.status, notice.address, notice.error);
        told.push(json!({ "person": person, "address": address, "template": template, "status": status, "error": error, "created": created, "sent": sent, "medium": notice.medium }));
    }
    let timeline: Vec<_> = events::of_run(&mut tx, run.id).await?.iter().map(|event| line(event, zone)).collect();
    let parent = match run.parent_run {
        Some(parent) => Some(runs::get(&mut tx, parent).await?.name),
        None => None,
    };
    let children: Vec<_> = run_control::children(&mut tx, run.id).await?.into_iter().map(|run| run.name).collect();
    let values = json!({
        "root": "../",
        "here": "run",
        "told": told_until,
        "open": open,
        "ended": ended,
        "timeline": timeline,
        "run": head(&run, &workflow, parent, zone),
        "actions": control::offered(&run, &workflow),
        "children": children,
        "inputs": shown::facts(&run.inputs),
        "origin": shown::facts(&run.origin),
        "steps": shown_steps,
        "notices": told,
    });
    Ok(page::following(page::page(StatusCode::OK, "run.html", values)))
}

fn head(run: &RunRow, workflow: &Workflow, parent: Option<String>, zone: Tz) -> Value {
    json!({
        "name": run.name,
        "customer": run.customer,
        "status": run.status,
        "held": run.held,
        "stopping": run.stopping,
        "kill_at": run.kill_at.filter(|_| run.stopping).map(|at| shown::moment(at, zone)),
        "not_before": run.not_before.filter(|_| run.status == RunStatus::Queued).map(|at| shown::moment(at, zone)),
        "parent": parent,
        "title": (if workflow.title.is_empty() { &workflow.name } else { &workflow.title }),
        "workflow": run.workflow,
        "version": run.workflow_version,
        "generation": run.generation,
        "failure": run.failure.as_ref().map(|failure| &failure.0),
        "by": run.created_by,
        "message": run.message_id.map(|id| id.to_string()),
        "transaction": run.transaction_id.to_string(),
        "created": shown::moment(run.created_at, zone),
        "finished": run.finished_at.map(|at| shown::moment(at, zone)),
        "took": run.finished_at.map(|at| shown::span(run.created_at, at)),
        "deadline": run.deadline_at.filter(|_| !run.status.is_final()).map(|at| shown::moment(at, zone)),
        "wake": run.wake_at.map(|at| shown::moment(at, zone)),
    })
}

#[derive(Serialize)]
struct Step {
    name: String,
    title: String,
    agent: String,
    /// `not started` where there is no row yet.
    status: &'static str,
    attempt: i32,
    started: Option<Moment>,
    took: Option<String>,
    retry: Option<Moment>,
    failure: Option<String>,
    output: Option<String>,
    /// How far it is, while it works.
    progress: Option<String>,
    /// What its agent said, in every attempt of this generation.
    log: Option<String>,
}

/// The steps in the order of the file; those that have not started too.
fn all_steps(mut rows: Vec<StepRow>, workflow: &Workflow, zone: Tz) -> Vec<Step> {
    let mut shown_steps = vec![];
    for step in &workflow.steps {
        let place = rows.iter().position(|row| row.name == step.name);
        let row = place.map(|place| rows.remove(place));
        let did = row.as_ref().filter(|row| row.attempt > 0);
        shown_steps.push(Step {
            name: step.name.clone(),
            title: if step.title.is_empty() { step.name.clone() } else { step.title.clone() },
            agent: step.agent.clone(),
            status: row.as_ref().map_or("not started", |row| row.status.as_str()),
            attempt: row.as_ref().map_or(0, |row| row.attempt),
            started: did.map(|row| shown::moment(row.started_at, zone)),
            took: did.and_then(|row| row.finished_at.map(|end| shown::span(row.started_at, end))),
            retry: row.as_ref().and_then(|row| row.retry_at).map(|at| shown::moment(at, zone)),
            failure: row.as_ref().and_then(|row| row.failure.as_ref().map(|failure| failure.to_string())),
            output: row.as_ref().and_then(|row| row.output.as_ref().map(|output| shown::json(output))),
            progress: None,
            log: None,
        });
    }
    shown_steps
}

#[derive(Serialize)]
struct Pause {
    status: WaitStatus,
    kind: WaitKind,
    step: String,
    question: String,
    asked: String,
    facts: Vec<Fact>,
    opened: Moment,
    closed: Option<Moment>,
    /// The ladder: what is to come, with its time.
    next: Vec<Rung>,
    answers: Vec<Said>,
}

#[derive(Serialize)]
struct Rung {
    what: String,
    at: Option<Moment>,
}

#[derive(Serialize)]
struct Said {
    by: String,
    choice: Option<String>,
    comment: Option<String>,
    via: String,
    verified: String,
    effect: String,
    at: Moment,
}

async fn pause(tx: &mut Tx, wait: &WaitRow, zone: Tz, names: &mut Names) -> Result<Pause, PageError> {
    let mut said = vec![];
    for answer in answers::of_wait(tx, wait.id).await? {
        said.push(Said {
            by: names.call(tx, &wait.customer, &answer.person).await?,
            choice: answer.choice.map(|choice| choice.to_string()),
            comment: answer.comment,
            via: answer.via.to_string(),
            verified: answer.verified,
            effect: answer.effect.to_string(),
            at: shown::moment(answer.at, zone),
        });
    }
    let mut next = vec![];
    if wait.status == WaitStatus::Open {
        if wait.kind == WaitKind::Timer {
            next.push(Rung { what: "it goes on".into(), at: wait.due_at.map(|at| shown::moment(at, zone)) });
        }
        let climbed = usize::try_from(wait.rung).unwrap_or(usize::MAX);
        for (place, rung) in wait.ladder.iter().enumerate().skip(climbed) {
            // The next rung may have been put off by a grace; only `due_at` knows.
            let at = if place == climbed { wait.due_at.or(rung.at) } else { rung.at };
            let what = match &rung.action {
                RungAction::Remind { .. } => "a reminder to whoever is asked then".to_owned(),
                RungAction::Escalate { to, replace, .. } => {
                    let who = called(tx, wait, to, names).await?;
                    let how = if *replace { "instead" } else { "as well" };
                    format!("{who} is asked {how}")
                }
                RungAction::Expire { failure } => format!("the step fails: {failure}"),
            };
            next.push(Rung { what, at: at.map(|at| shown::moment(at, zone)) });
        }
    }
    Ok(Pause {
        status: wait.status,
        kind: wait.kind,
        step: wait.step.clone(),
        question: wait.question.clone(),
        asked: names.waiting_on(tx, wait).await?,
        facts: shown::facts(&wait.facts),
        opened: shown::moment(wait.opened_at, zone),
        closed: wait.closed_at.map(|at| shown::moment(at, zone)),
        next,
        answers: said,
    })
}

async fn called(tx: &mut Tx, wait: &WaitRow, people: &[Asked], names: &mut Names) -> Result<String, PageError> {
    let mut called = vec![];
    for asked in people {
        called.push(names.call(tx, &wait.customer, &asked.person).await?);
    }
    Ok(shown::list(&called))
}

/// A line of a timeline.
#[derive(Serialize)]
pub(super) struct Line {
    at: Moment,
    kind: String,
    actor: String,
    step: Option<String>,
    data: Vec<Fact>,
}

/// Ids and hashes are for the audit trail itself.
const LEFT_OUT: [&str; 5] = ["wait", "notice", "facts_sha256", "run", "documents"];

/// An event as a line. Instants are told in the zone; what is not the case is left out.
pub(super) fn line(event: &Event, zone: Tz) -> Line {
    let mut data = event.data.clone();
    data.retain(|key, value| !LEFT_OUT.contains(&key.as_str()) && *value != Value::Bool(false));
    for value in data.values_mut() {
        let at = value.as_str().and_then(|text| DateTime::parse_from_rfc3339(text).ok());
        if let Some(at) = at {
            *value = shown::moment(at.to_utc(), zone).text.into();
        }
    }
    Line {
        at: shown::moment(event.at, zone),
        kind: event.kind.clone(),
        actor: event.actor.clone(),
        step: event.step.clone(),
        data: shown::facts(&data),
    }
}
