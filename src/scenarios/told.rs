//! What was expected beside what happened. Pure.

use chrono::{DateTime, Utc};

use super::Tried;
use super::clockwork::{Picture, Played};
use super::read::{Claim, Expected, MINUTE, NOT_STARTED, Scenario};
use crate::domain::event::Event;
use crate::domain::failure::Failure;

/// Holds what happened against what was expected.
pub(super) fn judge(scenario: &Scenario, played: &Played) -> Tried {
    let mut lines = happened(scenario, played);
    let mut failures = vec![];
    for (index, why) in &played.impossible {
        let Some(happening) = scenario.events.get(*index) else { continue };
        lines.push((happening.at, format!("! {why}")));
        failures.push(scenario.impossible(happening, why.clone()).to_string());
    }
    for expected in &scenario.expected {
        let Some(found) = unmet(scenario, expected, played) else { continue };
        let wanted = wanted(scenario, expected);
        // What was expected at the end stands there.
        let at = expected.at.or_else(|| played.pictures.last().map(|picture| picture.at)).unwrap_or(scenario.start);
        lines.push((at, format!("! expected: {wanted}")));
        failures.push(scenario.unmet(expected, format!("expected: {wanted}; {found}")).to_string());
    }
    if played.endless {
        failures.push(format!("{}: it goes on and on; add `until`", scenario.file.display()));
    }
    lines.sort_by_key(|(at, _)| *at);
    Tried {
        file: scenario.file.clone(),
        about: scenario.about.clone(),
        workflow: scenario.workflow.label(),
        passed: failures.is_empty(),
        failures,
        timeline: lines.into_iter().map(|(at, what)| format!("{}  {what}", scenario.local(at))).collect(),
    }
}

/// What is not as expected: what was found instead. None when it is met.
fn unmet(scenario: &Scenario, expected: &Expected, played: &Played) -> Option<String> {
    let fits = |at: DateTime<Utc>| expected.at.is_none_or(|wanted| at >= wanted && at < wanted + MINUTE);
    match &expected.claim {
        Claim::Notice { template, to, times } => {
            let alike = |notice: &&crate::store::notices::NoticeRow| {
                notice.template == *template
                    && to.as_ref().is_none_or(|to| notice.person == *to || notice.address == *to)
            };
            let all: Vec<DateTime<Utc>> = played.notices.iter().filter(alike).map(|notice| notice.created_at).collect();
            counted(scenario, &all, fits, *times)
        }
        Claim::Event { kind, step, times } => {
            let alike = |(_, event): &&(String, Event)| {
                event.kind == *kind && step.as_ref().is_none_or(|step| event.step.as_ref() == Some(step))
            };
            let all: Vec<DateTime<Utc>> = played.events.iter().filter(alike).map(|(_, event)| event.at).collect();
            counted(scenario, &all, fits, *times)
        }
        Claim::Step { step, status, reason } => {
            let picture = picture(played, expected.at);
            let found = picture.and_then(|picture| picture.steps.get(step));
            let (is, failure) = found.map_or((NOT_STARTED, None), |(is, failure)| (is.as_str(), failure.as_ref()));
            compared(status, reason.as_deref(), is, failure)
        }
        Claim::Run { status, reason } => {
            let picture = picture(played, expected.at)?;
            compared(status.as_str(), reason.as_deref(), picture.status.as_str(), picture.failure.as_ref())
        }
    }
}

/// How the run stood at an instant, or at the end.
fn picture(played: &Played, at: Option<DateTime<Utc>>) -> Option<&Picture> {
    match at {
        None => played.pictures.last(),
        Some(at) => played.pictures.iter().rfind(|picture| picture.at < at + MINUTE),
    }
}

fn counted(
    scenario: &Scenario,
    all: &[DateTime<Utc>],
    fits: impl Fn(DateTime<Utc>) -> bool,
    times: Option<usize>,
) -> Option<String> {
    let count = all.iter().filter(|at| fits(**at)).count();
    let is_met = times.map_or(count > 0, |times| count == times);
    if is_met {
        return None;
    }
    let at: Vec<String> = all.iter().map(|at| scenario.local(*at)).collect();
    Some(match at.as_slice() {
        [] => "there was none".to_owned(),
        _ => format!("there was one at {}", at.join(", ")),
    })
}

fn compared(status: &str, reason: Option<&str>, is: &str, failure: Option<&Failure>) -> Option<String> {
    let is_met = status == is && reason.is_none_or(|reason| failure.is_some_and(|failure| failure.reason == reason));
    let why = failure.map_or_else(String::new, |failure| format!(" ({failure})"));
    (!is_met).then(|| format!("it was {is}{why}"))
}

fn wanted(scenario: &Scenario, expected: &Expected) -> String {
    let times = |times: &Option<usize>| times.map_or_else(String::new, |times| format!(", {times} times"));
    let because = |reason: &Option<String>| reason.as_ref().map_or_else(String::new, |reason| format!(" ({reason})"));
    let what = match &expected.claim {
        Claim::Notice { template, to, times: count } => {
            let to = to.as_ref().map_or_else(String::new, |to| format!(" to {to}"));
            format!("notice {template}{to}{}", times(count))
        }
        Claim::Event { kind, step, times: count } => {
            let step = step.as_ref().map_or_else(String::new, |step| format!(" of {step}"));
            format!("event {kind}{step}{}", times(count))
        }
        Claim::Step { step, status, reason } => format!("step {step} {status}{}", because(reason)),
        Claim::Run { status, reason } => format!("run {status}{}", because(reason)),
    };
    expected.at.map_or_else(|| what.clone(), |at| format!("{what} at {}", scenario.local(at)))
}

fn happened(scenario: &Scenario, played: &Played) -> Vec<(DateTime<Utc>, String)> {
    let several = played.events.iter().any(|(run, _)| Some(run) != played.events.first().map(|(first, _)| first));
    let event = |(run, event): &(String, Event)| {
        let step = event.step.as_ref().map_or_else(String::new, |step| format!(" {step}"));
        let by =
            if event.actor == crate::domain::event::OURSELVES { String::new() } else { format!(" by {}", event.actor) };
        let told = ["choice", "reason", "why", "action", "attempt", "retry_at"].iter().filter_map(|key| {
            let value = event.data.get(*key)?;
            Some(format!(" {key}={}", value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
        });
        let run = if several { format!("{run} ") } else { String::new() };
        (event.at, format!("  {run}{}{step}{by}{}", event.kind, told.collect::<String>()))
    };
    let mut lines: Vec<(DateTime<Utc>, String)> = played.events.iter().map(event).collect();
    lines.extend(
        played
            .notices
            .iter()
            .map(|notice| (notice.created_at, format!("  notice {} to {}", notice.template, notice.person))),
    );
    for happening in &scenario.events {
        if let super::read::What::Down(span) = &happening.what {
            lines.push((happening.at, format!("  down for {span}")));
        }
    }
    // Stable: what was told in the same instant stays in its order.
    lines.sort_by_key(|(at, _)| *at);
    lines
}
