//! A step that is performed once for each item of a list. Its own row keeps the list while its instances, rows named
//! `step[0]`, `step[1]`, ..., are performed; when they are over it gets their outputs.

use serde_json::Value;

use super::{Acts, Gathered, Left, Situation, failure_of, look_at};
use crate::domain::expression;
use crate::domain::failure::Failure;
use crate::domain::step::StepStatus;
use crate::domain::workflow::{OnError, Step};

/// Most items of one list.
pub const MAX_ITEMS: usize = 1000;

/// Most instances at the same time where the step does not say.
const DEFAULT_WIDTH: usize = 10;

/// The name of an instance's row.
pub fn instance(step: &str, index: usize) -> String {
    format!("{step}[{index}]")
}

/// The step and the index of a row of an instance; none for any other row.
pub fn parts(row: &str) -> Option<(&str, usize)> {
    let (step, rest) = row.split_once('[')?;
    Some((step, rest.strip_suffix(']')?.parse().ok()?))
}

/// The list that a step is performed for.
///
/// # Errors
/// A failure that names the step and what the value is instead.
pub(super) fn items(step: &Step, list: &str, context: &Value) -> Result<Vec<Value>, Failure> {
    let broken = |what: String| {
        let details = format!("`for_each = \"{list}\"` of step {}: {what}", step.name);
        Err(Failure::high("expression_error", details))
    };
    match expression::fill(&Value::from(list), context) {
        Ok(Value::Array(items)) if items.len() <= MAX_ITEMS => Ok(items),
        Ok(Value::Array(items)) => broken(format!("the list has {} items; at most {MAX_ITEMS} are taken", items.len())),
        Ok(other) => {
            let shown: String = other.to_string().chars().take(80).collect();
            broken(format!("{shown} is no list"))
        }
        Err(why) => broken(why),
    }
}

/// What comes next of a step that was spread over the items in its row.
pub(super) fn look(situation: &Situation<'_>, step: &Step, items: &[Value], acts: &mut Acts, left: &mut Left) {
    let (mut outputs, mut unstarted, mut failed, mut active) = (vec![], vec![], None, 0);
    let mut inside = Acts::default();
    for name in (0..items.len()).map(|index| instance(&step.name, index)) {
        match situation.steps.get(&name) {
            None => unstarted.push(name),
            Some(progress) if progress.status.is_final() => {
                if progress.status == StepStatus::Failure {
                    failed = failed.or_else(|| Some(failure_of(&name, Some(progress))));
                }
                outputs.push(progress.output.clone().unwrap_or(Value::Null));
            }
            Some(progress) => {
                active += 1;
                look_at(situation, &name, progress, &mut inside, left);
            }
        }
    }
    if let Some(failure) = failed.filter(|_| step.on_error != OnError::Continue) {
        // What still waits ends with the run; where the run goes on, it ends by itself first.
        if active == 0 || step.on_error == OnError::Fail {
            acts.gather.push((step.name.clone(), Gathered::Failed(failure)));
        } else {
            acts.start.append(&mut inside.start);
        }
        return;
    }
    if active == 0 && unstarted.is_empty() {
        acts.gather.push((step.name.clone(), Gathered::Done(Value::Array(outputs))));
        return;
    }
    let width = step.width.and_then(|width| usize::try_from(width).ok()).unwrap_or(DEFAULT_WIDTH).max(1);
    acts.start.append(&mut inside.start);
    acts.start.extend(unstarted.into_iter().take(width.saturating_sub(active)));
}
