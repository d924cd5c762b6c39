//! Definitions of workflows: what an admin writes, and whether it hangs together.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::calendar::Calendar;
use super::duration::Span;
use super::event::{canonical_json, sha256_hex};
use super::expression;
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

    /// Everything wrong with the definition that it can tell by itself. Agents check their own settings.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = vec![];
        let mut say = |step: Option<&str>, key: &str, what: String, mend: &str| {
            let (step, key, mend) = (step.map(str::to_owned), key.to_owned(), mend.to_owned());
            problems.push(Problem { step, key, what, mend });
        };
        if self.steps.is_empty() {
            say(None, "step", "the workflow has no steps".into(), "add at least one [[step]]");
        }
        if self.prefix.is_empty() || !self.prefix.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit()) {
            say(
                None,
                "prefix",
                format!("`{}` is no prefix", self.prefix),
                "use capital letters and digits, such as AP",
            );
        }
        let mut names = BTreeSet::new();
        for step in &self.steps {
            if !is_name(&step.name) {
                let mend = "use a lower-case letter, then letters, digits and `_`, so that expressions can name it";
                say(Some(&step.name), "name", format!("`{}` is no step name", step.name), mend);
            }
            if !names.insert(step.name.as_str()) {
                say(Some(&step.name), "name", format!("two steps are named `{}`", step.name), "rename one of them");
            }
        }
        for step in &self.steps {
            for need in &step.needs {
                if !names.contains(need.as_str()) {
                    let mend = nearest(need, names.iter().copied()).map_or_else(
                        || "name a step of this workflow".to_owned(),
                        |near| format!("did you mean `{near}`?"),
                    );
                    say(Some(&step.name), "needs", format!("there is no step `{need}`"), &mend);
                }
            }
            if let Some(Err(why)) = step.when.as_deref().map(expression::check) {
                say(Some(&step.name), "when", why, "see the minijinja expression syntax");
            }
            let with = Value::Object(step.with.clone());
            if let Err(why) = expression::check_fill(&with) {
                say(Some(&step.name), "with", why, "see the minijinja template syntax");
            }
            let in_condition = step.when.as_deref().map(expression::names).unwrap_or_default();
            for (key, names) in [("when", in_condition), ("with", expression::names_in(&with))] {
                for (what, mend) in names.iter().filter_map(|name| self.unknown_name(step, name)) {
                    say(Some(&step.name), key, what, &mend);
                }
            }
        }
        if let Some(cycle) = self.cycle() {
            let what = format!("steps wait for each other: {}", cycle.join(" -> "));
            say(cycle.first().map(String::as_str), "needs", what, "remove one of these needs");
        }
        problems
    }

    /// What is wrong with a dotted name in an expression of `step`, and the mend: only inputs, earlier steps and the run exist.
    fn unknown_name(&self, step: &Step, name: &str) -> Option<(String, String)> {
        let mut path = name.split('.');
        let (root, first) = (path.next().unwrap_or_default(), path.next());
        let like = |wanted: &str, known: Vec<&str>| match nearest(wanted, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there are: {}", known.join(", ")),
        };
        match (root, first) {
            ("inputs", Some(input)) if !self.inputs.contains_key(input) => {
                let known = self.inputs.keys().map(String::as_str).collect();
                Some((format!("there is no input `{input}`"), like(input, known)))
            }
            ("steps", Some(earlier)) => {
                let before = self.before(step);
                if before.contains(earlier) {
                    return None;
                }
                let what = if self.step(earlier).is_some() {
                    format!("step `{earlier}` need not be done before `{}`", step.name)
                } else {
                    format!("there is no step `{earlier}`")
                };
                let mend = match self.step(earlier) {
                    Some(_) => format!("add `{earlier}` to its needs"),
                    None => like(earlier, before.into_iter().collect()),
                };
                Some((what, mend))
            }
            ("inputs" | "steps" | "run", _) => None,
            _ => {
                Some((format!("`{root}` is not known here"), "expressions see `inputs`, `steps` and `run`".to_owned()))
            }
        }
    }

    /// Every step that is done or skipped before `step` starts.
    fn before<'a>(&'a self, step: &'a Step) -> BTreeSet<&'a str> {
        let mut found = BTreeSet::new();
        let mut open: Vec<&str> = step.needs.iter().map(String::as_str).collect();
        while let Some(name) = open.pop() {
            if found.insert(name) {
                open.extend(self.step(name).into_iter().flat_map(|step| step.needs.iter().map(String::as_str)));
            }
        }
        found
    }

    /// Names of steps along a circle of needs, first and last equal.
    fn cycle(&self) -> Option<Vec<String>> {
        fn visit<'a>(
            workflow: &'a Workflow,
            name: &'a str,
            path: &mut Vec<&'a str>,
            done: &mut BTreeSet<&'a str>,
        ) -> Option<Vec<String>> {
            if done.contains(name) {
                return None;
            }
            if let Some(at) = path.iter().position(|seen| *seen == name) {
                return Some(path[at..].iter().copied().chain([name]).map(str::to_owned).collect());
            }
            path.push(name);
            let found = workflow.step(name)?.needs.iter().find_map(|need| visit(workflow, need, path, done));
            path.pop();
            done.insert(name);
            found
        }
        let mut done = BTreeSet::new();
        self.steps.iter().find_map(|step| visit(self, &step.name, &mut vec![], &mut done))
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

/// Something wrong with a definition, and what to do about it. The loader adds file and line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub step: Option<String>,
    /// Key of the table at fault.
    pub key: String,
    pub what: String,
    pub mend: String,
}

fn is_name(name: &str) -> bool {
    name.bytes().next().is_some_and(|first| first.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
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

    fn check(steps: Value, expected: &str) {
        let told: Vec<_> = workflow(steps).problems().into_iter().map(|p| format!("{} ({})", p.what, p.mend)).collect();
        assert!(told.iter().any(|line| line.contains(expected)), "{told:?} lacks {expected}");
    }

    #[test]
    fn a_definition_that_does_not_hang_together_says_why() {
        let step = |name: &str, needs: &[&str]| json!({"name": name, "agent": "noop", "needs": needs});
        check(json!([]), "has no steps");
        check(json!([step("a", &["b"]), step("b", &["c"]), step("c", &["b"])]), "b -> c -> b");
        check(json!([step("a", &["a"])]), "a -> a");
        check(json!([step("verify", &["extrct"]), step("extract", &[])]), "did you mean `extract`?");
        check(json!([step("a", &[]), step("a", &[])]), "two steps are named `a`");
        check(json!([step("Bad-Name", &[])]), "is no step name");
        check(json!([{"name": "a", "agent": "noop", "when": "1 +"}]), "syntax error");
        check(json!([{"name": "a", "agent": "noop", "with": {"x": "{{ 1 + }}"}}]), "x: syntax error");
        assert_eq!(workflow(json!([step("a", &[]), step("b", &["a"])])).problems(), []);
    }

    #[test]
    fn expressions_name_only_what_will_be_there() {
        let with = |value: &str| {
            json!([{"name": "extract", "agent": "noop"}, {"name": "other", "agent": "noop"},
            {"name": "b", "agent": "noop", "needs": ["extract"], "with": {"x": value}}])
        };
        check(with("{{ steps.extrct.po }}"), "there is no step `extrct` (did you mean `extract`?)");
        check(with("no {{ steps.other.po }}"), "step `other` need not be done before `b` (add `other` to its needs)");
        check(with("{{ inputs.docments }}"), "there is no input `docments`");
        check(with("{{ extract.po }}"), "`extract` is not known here");
        check(json!([{"name": "a", "agent": "noop", "when": "not steps.b.po"}]), "there is no step `b`");
        let fine = with("{{ steps.extract.po if steps.extract.po else run.name }}");
        assert_eq!(workflow(fine).problems(), []);
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
