//! Whether a step that has not started may: what its needs lead to, what leads to it by failing, and its condition.

use serde_json::Value;

use super::{Situation, each};
use crate::domain::expression;
use crate::domain::failure::Failure;
use crate::domain::step::StepStatus;
use crate::domain::workflow::{Join, Need, OnError, Step, Workflow};

pub(super) enum Ready {
    Not,
    Start,
    /// Once for each of these.
    Spread(Vec<Value>),
    Skip(String),
    Broken(Failure),
}

/// Where a need leads, as far as is known.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lead {
    Open,
    Here,
    /// Skipped, come to another case, or failed and gone on elsewhere.
    Elsewhere,
}

pub(super) fn readiness(situation: &Situation<'_>, step: &Step, context: &Value) -> Ready {
    if let Some(early) = by_failures(situation, step) {
        return early;
    }
    if let Some(early) = by_needs(situation, step) {
        return early;
    }
    if let Some(condition) = &step.when {
        match expression::holds(&condition.expression(), context) {
            Ok(true) => {}
            Ok(false) => return Ready::Skip(format!("`{condition}` does not hold")),
            // An unknown fact neither starts a step nor passes it over in silence.
            Err(why) => {
                let details = format!("condition `{condition}` of step {}: {why}", step.name);
                return Ready::Broken(Failure::high("expression_error", details));
            }
        }
    }
    match &step.for_each {
        None => Ready::Start,
        Some(list) => each::items(step, list, context).map_or_else(Ready::Broken, Ready::Spread),
    }
}

/// Steps whose failure leads to `name`.
pub(super) fn leading_by_failure<'a>(workflow: &'a Workflow, name: &'a str) -> impl Iterator<Item = &'a Step> {
    let leads = move |step: &&Step| matches!(&step.on_error, OnError::GoTo(target) if target == name);
    workflow.steps.iter().filter(leads)
}

/// A step that failures lead to starts only after one of them. None when its needs decide.
fn by_failures(situation: &Situation<'_>, step: &Step) -> Option<Ready> {
    let mut sources = leading_by_failure(situation.workflow, &step.name).peekable();
    sources.peek()?;
    let statuses: Vec<_> = sources.map(|source| status(situation, &source.name)).collect();
    if statuses.contains(&Some(StepStatus::Failure)) {
        return None;
    }
    let all_final = statuses.iter().all(|status| status.is_some_and(StepStatus::is_final));
    Some(if all_final { Ready::Skip("nothing failed that leads here".into()) } else { Ready::Not })
}

/// What the needs say by themselves. None when enough of them lead here.
fn by_needs(situation: &Situation<'_>, step: &Step) -> Option<Ready> {
    let leads: Vec<Lead> = step.needs().map(|need| lead(situation, need, step)).collect();
    if leads.is_empty() {
        return None;
    }
    let count = |wanted: Lead| leads.iter().filter(|lead| **lead == wanted).count();
    let (open, here) = (count(Lead::Open), count(Lead::Here));
    let wanted = match step.join {
        Join::All if open > 0 => return Some(Ready::Not),
        Join::All | Join::Any => 1,
        Join::Count(wanted) => usize::try_from(wanted).unwrap_or(usize::MAX),
    };
    if here >= wanted {
        None
    } else if here + open >= wanted {
        Some(Ready::Not)
    } else if here == 0 && wanted == 1 {
        Some(Ready::Skip("every step that it needs was skipped".into()))
    } else {
        Some(Ready::Skip(format!("{here} of the steps that it needs led here, not {wanted}")))
    }
}

fn lead(situation: &Situation<'_>, need: Need<'_>, to: &Step) -> Lead {
    let Some(progress) = situation.steps.get(need.step).filter(|progress| progress.status.is_final()) else {
        return Lead::Open;
    };
    let on_error = situation.workflow.step(need.step).map(|step| &step.on_error);
    let leads = match (progress.status, on_error) {
        (StepStatus::Failure, Some(OnError::GoTo(target))) => *target == to.name,
        (StepStatus::Success, _) | (StepStatus::Failure, Some(OnError::Continue)) => {
            need.case.is_none_or(|case| progress.output.as_ref().is_some_and(|output| output["case"] == case))
        }
        _ => false,
    };
    if leads { Lead::Here } else { Lead::Elsewhere }
}

fn status(situation: &Situation<'_>, name: &str) -> Option<StepStatus> {
    situation.steps.get(name).map(|progress| progress.status)
}
