//! How steps follow each other: needs, cases, joins and ways out of a failure, all without circles.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Problems, is_name, like};
use crate::domain::workflow::{Join, Need, OnError, Step, Workflow};

/// The agent whose output names a case.
pub const SWITCH: &str = "switch";

pub(super) fn check(workflow: &Workflow, told: &mut Problems) {
    if workflow.steps.is_empty() {
        told.say(None, "step", "the workflow has no steps", "add at least one [[step]]");
    }
    let mut names = BTreeSet::new();
    for step in &workflow.steps {
        let name = Some(step.name.as_str());
        if !is_name(&step.name) {
            let mend = "use a lower-case letter, then letters, digits and `_`, so that expressions can name it";
            told.say(name, "name", format!("`{}` is no step name", step.name), mend);
        }
        if !names.insert(step.name.as_str()) {
            told.say(name, "name", format!("two steps are named `{}`", step.name), "rename one of them");
        }
    }
    for step in &workflow.steps {
        needs(workflow, step, told);
        joins(step, told);
        way_out(workflow, step, told);
    }
    if let Some(circle) = circle(workflow, false) {
        let what = format!("steps wait for each other: {}", circle.join(" -> "));
        told.say(circle.first().copied(), "needs", what, "remove one of these needs");
    } else if let Some(circle) = circle(workflow, true) {
        // A way out waits for the step that it leads from.
        let back = |step: &&Step| circle.contains(&step.name.as_str()) && matches!(step.on_error, OnError::GoTo(_));
        let from = workflow.steps.iter().find(back).map(|step| step.name.as_str());
        if !told.0.iter().any(|problem| problem.step.as_deref() == from && problem.key == "on_error.go_to") {
            let what = format!("steps wait for each other: {}", circle.join(" -> "));
            told.say(from, "on_error.go_to", what, "go to a step that waits for none of these");
        }
    }
}

fn needs(workflow: &Workflow, step: &Step, told: &mut Problems) {
    let name = Some(step.name.as_str());
    let mut seen = BTreeSet::new();
    for text in &step.needs {
        if !seen.insert(text) {
            told.say(name, "needs", format!("`{text}` is needed twice"), "name it once");
        }
        let Need { step: needed, case } = Need::of(text);
        let Some(other) = workflow.step(needed) else {
            let mend = like(needed, workflow.steps.iter().map(|step| step.name.as_str()));
            // The element of the list is what is quoted.
            let what = if case.is_some() { format!("`{text}`: there is no step `{needed}`") } else { no_step(needed) };
            told.say(name, "needs", what, mend);
            continue;
        };
        let Some(case) = case else { continue };
        if other.agent != SWITCH {
            let what = format!("`{text}`: step `{needed}` has no cases, for its agent is `{}`", other.agent);
            told.say(name, "needs", what, format!("need `{needed}` alone, or make it a `{SWITCH}`"));
        } else if let Some(cases) = cases(other)
            && !cases.contains(&case)
        {
            told.say(name, "needs", format!("`{text}`: step `{needed}` has no case `{case}`"), like(case, cases));
        }
    }
}

fn no_step(name: &str) -> String {
    format!("there is no step `{name}`")
}

/// Cases of a switch: texts of a list or keys of a table, and its default. None when they are not known before it is performed.
pub fn cases(step: &Step) -> Option<Vec<&str>> {
    let is_known = |text: &&str| !text.contains("{{");
    let mut names: Vec<&str> = match step.with.get("cases")? {
        Value::Object(table) => table.keys().map(String::as_str).collect(),
        Value::Array(list) => list.iter().map(|case| case.as_str().filter(is_known)).collect::<Option<_>>()?,
        _ => return None,
    };
    if let Some(default) = step.with.get("default").and_then(Value::as_str) {
        names.push(Some(default).filter(is_known)?);
    }
    Some(names)
}

fn joins(step: &Step, told: &mut Problems) {
    let name = Some(step.name.as_str());
    let needs = u32::try_from(step.needs.len()).unwrap_or(u32::MAX);
    match step.join {
        Join::All => {}
        _ if needs == 0 => told.say(name, "join", "there is nothing to join: `needs` is empty", "remove it"),
        Join::Count(count) if count > needs => {
            let what = format!("{count} steps are to lead here, and only {needs} may");
            told.say(name, "join", what, format!("write at most {needs}, or name more steps in `needs`"));
        }
        Join::Any | Join::Count(_) => {}
    }
    match (&step.for_each, step.width) {
        (None, Some(_)) => told.say(name, "width", "`width` is of no use without `for_each`", "remove it"),
        (Some(_), Some(0)) => told.say(name, "width", "nothing would ever be performed", "write at least 1"),
        _ => {}
    }
}

fn way_out(workflow: &Workflow, step: &Step, told: &mut Problems) {
    let OnError::GoTo(target) = &step.on_error else { return };
    let (name, key) = (Some(step.name.as_str()), "on_error.go_to");
    if workflow.step(target).is_none() {
        let others = workflow.steps.iter().map(|step| step.name.as_str());
        told.say(name, key, no_step(target), like(target, others));
    } else if *target == step.name || before(workflow, step, false).contains(target.as_str()) {
        let what = format!("`{target}` comes before a failure of `{}`, not after it", step.name);
        told.say(name, key, what, "go to a step that comes later; `retry` repeats a step");
    }
}

/// Every step that may be over before `step` starts: what it needs, and those that lead to it by failing.
pub(super) fn before<'a>(workflow: &'a Workflow, step: &'a Step, by_failure: bool) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut open: Vec<&str> = leads_to(workflow, step, by_failure);
    while let Some(name) = open.pop() {
        if found.insert(name) {
            open.extend(workflow.step(name).into_iter().flat_map(|step| leads_to(workflow, step, by_failure)));
        }
    }
    found
}

/// What must be over right before a step.
fn leads_to<'a>(workflow: &'a Workflow, step: &'a Step, by_failure: bool) -> Vec<&'a str> {
    let failing = workflow
        .steps
        .iter()
        .filter(|other| by_failure && matches!(&other.on_error, OnError::GoTo(target) if *target == step.name));
    step.needs().map(|need| need.step).chain(failing.map(|other| other.name.as_str())).collect()
}

/// Names of steps along a circle, first and last equal.
fn circle(workflow: &Workflow, by_failure: bool) -> Option<Vec<&str>> {
    fn visit<'a>(
        (workflow, by_failure): (&'a Workflow, bool),
        name: &'a str,
        path: &mut Vec<&'a str>,
        done: &mut BTreeSet<&'a str>,
    ) -> Option<Vec<&'a str>> {
        if done.contains(name) {
            return None;
        }
        if let Some(at) = path.iter().position(|seen| *seen == name) {
            return Some(path[at..].iter().copied().chain([name]).collect());
        }
        path.push(name);
        let leading = leads_to(workflow, workflow.step(name)?, by_failure);
        let found = leading.into_iter().find_map(|next| visit((workflow, by_failure), next, path, done));
        path.pop();
        done.insert(name);
        found
    }
    let mut done = BTreeSet::new();
    let mut names = workflow.steps.iter().map(|step| step.name.as_str());
    names.find_map(|name| visit((workflow, by_failure), name, &mut vec![], &mut done))
}
