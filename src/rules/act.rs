//! What a rule that matched, or the default, comes to: its verdict with inputs and reason filled in.

use serde_json::{Map, Value};

use super::action::{Action, Does};
use super::seen::Seen;
use super::starts::{self, Started};
use crate::domain::expression;
use crate::domain::verdict::{Explanation, Verdict};

/// Fills in inputs and reason.
///
/// # Errors
/// When an input cannot be filled in. A reason that cannot stands as it is written: it decides nothing.
pub(super) fn act(action: &Action, seen: &Seen<'_>, captures: &[(String, String)]) -> Result<Started, String> {
    let always = |verdict: &Verdict, reason| Started { verdict: verdict.clone(), reason, taken: vec![], left: vec![] };
    let fills_reason = action.reason.as_deref().is_some_and(|reason| reason.contains("{{") || reason.contains("{%"));
    let mut context = match &action.does {
        Does::Always(verdict) if !fills_reason => return Ok(always(verdict, action.reason.clone())),
        Does::Start(starts) if !fills_reason && starts.is_plain() => Value::Null,
        _ => seen.values().clone(),
    };
    // The first pattern to capture a name keeps it.
    let captured: Map<_, _> = captures.iter().rev().map(|(k, v)| (k.clone(), Value::String(v.clone()))).collect();
    if let Value::Object(facts) = &mut context {
        facts.insert("captures".into(), Value::Object(captured));
    }
    let reason = action.reason.as_ref().map(|reason| {
        let filled = fills_reason.then(|| expression::fill(&Value::String(reason.clone()), &context));
        match filled {
            Some(Ok(Value::String(text))) => text,
            Some(Ok(other)) => other.to_string(),
            Some(Err(_)) | None => reason.clone(),
        }
    });
    match &action.does {
        Does::Always(verdict) => Ok(always(verdict, reason)),
        Does::Start(starts) => {
            let started = starts.work_out(seen.facts, &mut context)?;
            Ok(Started { reason: started.reason.or(reason), ..started })
        }
    }
}

/// The verdict with its reason; what its runs take, and what is left, stands in the explanation.
pub(super) fn say(
    wanted: &Action,
    started: Started,
    told: &mut Explanation,
    otherwise: impl FnOnce() -> String,
) -> (Verdict, String) {
    let Started { verdict, reason, taken, left } = started;
    let mut reason = reason.unwrap_or_else(otherwise);
    if !left.is_empty() {
        reason.push_str(&format!("; no run takes {}", starts::list(&left)));
    }
    (told.taken, told.left) = (taken, left);
    if matches!(wanted.does, Does::Start(_)) && !matches!(verdict, Verdict::Start(_)) {
        told.leave_undone();
    }
    (verdict, reason)
}
