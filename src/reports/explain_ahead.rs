//! What lies before and behind a run where it stands: attempts and rungs to come, which steps are next, what operators did,
//! and how an ended run goes on. In plain sentences. Pure.

use super::picture::RunPicture;
use super::show_run::{rung_in_words, rungs_ahead};
use super::text;
use crate::domain::event::Event;
use crate::domain::failure::Failure;
use crate::domain::run::RunStatus;
use crate::domain::step::StepStatus;
use crate::domain::wait::{RungAction, WaitKind};
use crate::domain::workflow::{OnError, Step};
use crate::store::waits::WaitRow;

/// Steps that failed and are tried again.
pub(super) fn retries(picture: &RunPicture) -> String {
    let failed = picture.steps.iter().filter(|step| step.status == StepStatus::FailureRetry);
    let mut told = String::new();
    for step in failed {
        let why = step.failure.as_ref().map_or_else(|| "failed".into(), |failure| failure.0.to_string());
        let when = step.retry_at.map_or_else(|| "soon".into(), text::weekday);
        told.push_str(&format!(
            "Step {} failed at attempt {} ({why}); the next one is {when}.\n",
            step.name, step.attempt
        ));
    }
    told
}

/// Which steps come next, after those that are open now.
pub(super) fn then(picture: &RunPicture) -> String {
    let status = |name: &str| picture.steps.iter().find(|row| row.name == name).map(|row| row.status);
    let is_open = |name: &str| status(name).is_some_and(|status| !status.is_final());
    let is_next = |step: &&Step| {
        let reached = step.needs.iter().all(|need| status(need).is_some());
        status(&step.name).is_none() && reached
    };
    let mut told = String::new();
    for step in picture.workflow.steps.iter().filter(is_next) {
        let after: Vec<_> = step.needs.iter().filter(|need| is_open(need)).cloned().collect();
        let when = step
            .when
            .as_ref()
            .map(|when| format!(", if `{}` holds", text::one_line(&when.expression())))
            .unwrap_or_default();
        let after = if after.is_empty() { "Next".into() } else { format!("After {}", text::list(&after)) };
        told.push_str(&format!("{after}: step {} ({}){when}.\n", step.name, step.agent));
    }
    told
}

/// What operators did to it besides holding it, and the runs that it repeats or that repeat it.
pub(super) fn history(picture: &RunPicture) -> String {
    let field = |event: &Event, key: &str| event.data.get(key).map(text::value).unwrap_or_default();
    let mut told = String::new();
    for event in &picture.events {
        let (by, at) = (text::one_line(&event.actor), text::instant(event.at));
        let step = event.step.as_deref().unwrap_or_default();
        told.push_str(&match event.kind.as_str() {
            "run.repeats" => format!("It runs {} once more, as {by} asked.\n", field(event, "other")),
            "run.repeated" => format!("{by} let it run once more as {} on {at}.\n", field(event, "other")),
            "run.restarted" => {
                let (again, generation) = (field(event, "again"), field(event, "generation"));
                format!("{by} restarted it on {at} (generation {generation}); to run again were: {again}.\n")
            }
            "step.overridden" => {
                format!("{by} gave step {step} its output on {at}: {}\n", text::sentence(&field(event, "because")))
            }
            _ => continue,
        });
    }
    told
}

/// How a run that ended without success goes on.
pub(super) fn to_go_on(picture: &RunPicture) -> String {
    if picture.run.status == RunStatus::Completed {
        return String::new();
    }
    let name = &picture.run.name;
    let stuck = picture.steps.iter().find(|step| !matches!(step.status, StepStatus::Success | StepStatus::Skipped));
    let override_it = stuck.map(|step| {
        format!(
            "; if step {} was done by hand: `countersign override {name} {} --output JSON --because TEXT`",
            step.name, step.name
        )
    });
    format!("To go on: `countersign restart {name}`{}.\n", override_it.unwrap_or_default())
}

/// What happens by itself, and when.
pub(super) fn ahead(picture: &RunPicture, open: &[&WaitRow]) -> String {
    let mut told = String::new();
    for wait in open {
        let mut asked: Vec<_> = wait.asked.iter().map(|asked| text::one_line(&asked.person)).collect();
        for (at, rung) in rungs_ahead(wait) {
            let what = match &rung.action {
                RungAction::Expire { failure } => expiry(picture, wait, failure),
                action => rung_in_words(action, &asked),
            };
            told.push_str(&format!("  {at}  {what}\n"));
            // Who is asked by then is who later rungs speak of.
            if let RungAction::Escalate { to, replace, .. } = &rung.action {
                if *replace {
                    asked.clear();
                }
                asked.extend(to.iter().map(|asked| text::one_line(&asked.person)));
            }
        }
    }
    if let Some(at) = picture.run.deadline_at {
        told.push_str(&format!("  {}  the run fails, because its deadline passes\n", text::weekday(at)));
    }
    let asks = open.iter().any(|wait| wait.kind != WaitKind::Timer);
    match (told.is_empty(), asks) {
        (false, true) => format!("\nWHAT HAPPENS NEXT IF NOBODY ANSWERS\n{told}"),
        (false, false) => format!("\nWHAT HAPPENS NEXT\n{told}"),
        (true, true) => "Nothing happens by itself: it waits until somebody answers.\n".into(),
        (true, false) => told,
    }
}

/// What giving up does to the run.
fn expiry(picture: &RunPicture, wait: &WaitRow, failure: &Failure) -> String {
    let goes_on = picture.workflow.step(&wait.step).is_some_and(|step| step.on_error == OnError::Continue);
    let then = if goes_on { "the run goes on without an answer; its step fails" } else { "the run fails" };
    format!("{then} with {}: {}", failure.reason, text::one_line(&failure.details))
}
