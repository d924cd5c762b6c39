//! Definitions of workflows: what an admin writes, and whether it hangs together.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::calendar::Calendar;
use super::duration::Span;
use super::event::{canonical_json, sha256_hex};
use super::words::words;

/// A named, versioned definition. Every run pins the version it was launched with by `hash`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workflow {
    /// Unique name, such as `ap-invoice`.
    pub name: String,
    pub version: u32,
    #[serde(default)]
    pub title: String,
    #[serde(default)]
    pub description: String,
    /// Letters before the number of a run's human id: `AP` gives `AP-000123`.
    pub prefix: String,
    /// User or role that notices about the run go to.
    #[serde(default)]
    pub owner: Option<String>,
    /// Whether a completed run may be restarted.
    #[serde(default)]
    pub restartable: bool,
    /// Time after which a run that is not finished fails.
    #[serde(default)]
    pub deadline: Option<Span>,
    #[serde(default)]
    pub calendar: Calendar,
    #[serde(default)]
    pub inputs: BTreeMap<String, Input>,
    /// What a step has when it says nothing itself.
    #[serde(default)]
    pub defaults: Defaults,
    #[serde(default, rename = "step")]
    pub steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    #[serde(rename = "type")]
    pub kind: InputKind,
    #[serde(default)]
    pub optional: bool,
    #[serde(default)]
    pub default: Option<Value>,
    #[serde(default)]
    pub title: String,
}

words! {
    /// Type of a workflow input.
    InputKind {
        String = "string", Number = "number", Money = "money", Date = "date", File = "file", List = "list", Object = "object",
        Boolean = "boolean",
    }
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Defaults {
    pub retry: Option<Retry>,
    pub timeout: Option<Timeout>,
}

/// One node: an agent with its settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    pub name: String,
    #[serde(default)]
    pub title: String,
    pub agent: String,
    /// Settings of the agent; strings may hold `{{ }}` over `inputs`, `steps` and `run`.
    #[serde(default)]
    pub with: Map<String, Value>,
    /// Steps that must be done or skipped first.
    #[serde(default)]
    pub needs: Vec<String>,
    /// The step is skipped when this is false.
    #[serde(default)]
    pub when: Option<String>,
    #[serde(default)]
    pub retry: Option<Retry>,
    #[serde(default)]
    pub timeout: Option<Timeout>,
    #[serde(default)]
    pub on_error: OnError,
}

/// How often and how soon a failed attempt is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// Further attempts after the first.
    pub count: u32,
    pub interval: Span,
    #[serde(default)]
    pub backoff: Backoff,
}

impl Default for Retry {
    fn default() -> Self {
        Self { count: 3, interval: Span::from_secs(30), backoff: Backoff::Exponential }
    }
}

impl Retry {
    /// Longest pause between attempts.
    const MAX_PAUSE_SECS: u32 = 86_400;

    /// Pause before attempt `attempt + 1`, when `attempt` (from 1) has failed; none when no more are allowed.
    pub fn pause_after(&self, attempt: u32) -> Option<Span> {
        if attempt > self.count {
            return None;
        }
        let factor = match self.backoff {
            Backoff::Fixed => 1,
            Backoff::Exponential => 2u32.saturating_pow(attempt.saturating_sub(1)),
        };
        Some(Span::from_secs(self.interval.secs.saturating_mul(factor).min(Self::MAX_PAUSE_SECS)))
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backoff {
    Fixed,
    #[default]
    Exponential,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timeout {
    /// Ends the attempt, working or waiting.
    pub hard: Span,
}

/// What a step that failed for good does to its run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    #[default]
    Fail,
    /// The run goes on; the step's output is its failure.
    Continue,
}

/// A hard timeout where nobody wrote one: for an attempt that works, not for one that waits.
pub const DEFAULT_WORK_TIMEOUT: Span = Span::from_secs(300);

impl Workflow {
    /// SHA-256 (hex) of the definition: two files that mean the same have the same hash.
    pub fn hash(&self) -> String {
        sha256_hex(canonical_json(&serde_json::to_value(self).unwrap_or_default()).as_bytes())
    }

    pub fn step(&self, name: &str) -> Option<&Step> {
        self.steps.iter().find(|step| step.name == name)
    }

    pub fn retry_of(&self, step: &Step) -> Retry {
        step.retry.or(self.defaults.retry).unwrap_or_default()
    }

    /// The hard timeout written for a step, if any.
    pub fn timeout_of(&self, step: &Step) -> Option<Span> {
        step.timeout.or(self.defaults.timeout).map(|timeout| timeout.hard)
    }

    /// Takes raw inputs: fills in defaults, refuses unknown and missing ones.
    ///
    /// # Errors
    /// Names the input and what is wrong with it.
    pub fn accept(&self, mut given: Map<String, Value>) -> Result<Map<String, Value>, String> {
        if let Some(unknown) = given.keys().find(|name| !self.inputs.contains_key(*name)) {
            return Err(format!("workflow {} has no input `{unknown}`", self.name));
        }
        for (name, input) in &self.inputs {
            let value = given.remove(name).filter(|value| !value.is_null()).or_else(|| input.default.clone());
            match value {
                Some(value) if input.kind.fits(&value) => drop(given.insert(name.clone(), value)),
                Some(_) => return Err(format!("input `{name}` of workflow {} is no {}", self.name, input.kind)),
                None if input.optional => drop(given.insert(name.clone(), Value::Null)),
                None => return Err(format!("workflow {} needs input `{name}`", self.name)),
            }
        }
        Ok(given)
    }
}

impl InputKind {
    fn fits(self, value: &Value) -> bool {
        match self {
            Self::String | Self::Date => value.is_string(),
            Self::Number => value.is_number(),
            Self::Boolean => value.is_boolean(),
            Self::List => value.is_array(),
            Self::Money | Self::File | Self::Object => value.is_object(),
        }
    }
}

/// The known name most like `wanted`, for error messages; none when nothing is near.
pub fn nearest<'a>(wanted: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (wanted.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|name| (edit_distance(wanted, name), name))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, name)| name)
}

fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, a_char) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b_char) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(a_char != *b_char);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn workflow(steps: Value) -> Workflow {
        serde_json::from_value(json!({"name": "w", "version": 1, "prefix": "W", "step": steps})).unwrap()
    }

    #[test]
    fn retries_pause_longer_and_end() {
        let retry = Retry { count: 3, interval: Span::from_secs(10), backoff: Backoff::Exponential };
        let pauses: Vec<_> = (1..=4).map(|attempt| retry.pause_after(attempt).map(|span| span.secs)).collect();
        assert_eq!(pauses, [Some(10), Some(20), Some(40), None]);
    }

    #[test]
    fn inputs_are_checked_before_a_run_exists() {
        let mut definition = workflow(json!([]));
        let input = |value| serde_json::from_value(value).unwrap();
        definition.inputs.insert("documents".into(), input(json!({"type": "list"})));
        definition.inputs.insert("note".into(), input(json!({"type": "string", "default": "-"})));
        let accept = |value: Value| definition.accept(value.as_object().unwrap().clone());
        assert_eq!(Value::from(accept(json!({"documents": [1]})).unwrap()), json!({"documents": [1], "note": "-"}));
        assert!(accept(json!({})).unwrap_err().contains("needs input `documents`"));
        assert!(accept(json!({"documents": "x"})).unwrap_err().contains("is no list"));
        assert!(accept(json!({"documents": [], "x": 1})).unwrap_err().contains("no input `x`"));
    }
}
