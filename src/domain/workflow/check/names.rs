//! Expressions and templates: that they can be read, and look up only what will be there.

use std::collections::BTreeSet;

use serde_json::Value;

use super::flow::before;
use super::{Problems, like};
use crate::domain::expression;
use crate::domain::workflow::{Step, Workflow};

/// What a place in the file may look up.
struct Sight<'a> {
    workflow: &'a Workflow,
    step: Option<&'a Step>,
    /// Steps whose outputs are seen; none where no step is.
    steps: Option<BTreeSet<&'a str>>,
    /// What else is seen: `run`, `item`, `index`, `output`.
    also: Vec<&'static str>,
}

pub(super) fn check(workflow: &Workflow, told: &mut Problems) {
    for step in &workflow.steps {
        let steps = Some(before(workflow, step, true));
        let mut sight = Sight { workflow, step: Some(step), steps, also: vec!["run"] };
        if let Some(when) = &step.when {
            let source = when.expression();
            match expression::check(&source) {
                Ok(()) => sight.names("when", &expression::names(&source), told),
                Err(why) => told.say(Some(&step.name), "when", why, "see the minijinja expression syntax"),
            }
        }
        if let Some(list) = &step.for_each {
            if !list.contains("{{") {
                let what = format!("`{list}` is a text, and no list");
                told.say(Some(&step.name), "for_each", what, format!("write it as \"{{{{ {list} }}}}\""));
            }
            sight.template("for_each", &Value::from(list.as_str()), told);
            sight.also.extend(["item", "index"]);
        }
        sight.template("with", &Value::Object(step.with.clone()), told);
        sight.also.push("output");
        sight.template("outputs", &Value::Object(step.outputs.clone()), told);
    }
    let all = workflow.steps.iter().map(|step| step.name.as_str()).collect();
    let end = Sight { workflow, step: None, steps: Some(all), also: vec!["run"] };
    end.template("outputs", &Value::Object(workflow.outputs.clone()), told);
    let start = Sight { workflow, step: None, steps: None, also: vec![] };
    for (key, text) in [
        ("number_by", workflow.number_by.as_deref()),
        ("concurrency.key", workflow.concurrency.as_ref().map(|concurrency| concurrency.key.as_str())),
    ] {
        let Some(text) = text else { continue };
        start.template(key, &Value::from(text), told);
    }
}

impl Sight<'_> {
    fn template(&self, key: &str, value: &Value, told: &mut Problems) {
        match expression::check_fill(value) {
            Ok(()) => self.names(key, &expression::names_in(value), told),
            Err(why) => {
                let step = self.step.map(|step| step.name.as_str());
                told.say(step, key, why, "see the minijinja template syntax");
            }
        }
    }

    fn names(&self, key: &str, names: &BTreeSet<String>, told: &mut Problems) {
        for (what, mend) in names.iter().filter_map(|name| self.unknown(name)) {
            told.say(self.step.map(|step| step.name.as_str()), key, what, mend);
        }
    }

    /// What is wrong with a dotted name, and the mend.
    fn unknown(&self, name: &str) -> Option<(String, String)> {
        let mut path = name.split('.');
        let (root, first) = (path.next().unwrap_or_default(), path.next());
        match (root, first, &self.steps) {
            ("inputs", Some(input), _) if !self.workflow.inputs.contains_key(input) => {
                let known = self.workflow.inputs.keys().map(String::as_str);
                Some((format!("there is no input `{input}`"), like(input, known)))
            }
            ("inputs", _, _) | ("steps", None, Some(_)) => None,
            ("steps", Some(other), Some(seen)) if seen.contains(other) => None,
            ("steps", Some(other), Some(seen)) => Some(match (self.workflow.step(other), self.step) {
                (Some(_), Some(step)) => {
                    let what = format!("step `{other}` need not be done before `{}`", step.name);
                    (what, format!("add `{other}` to its needs"))
                }
                _ => (format!("there is no step `{other}`"), like(other, seen.iter().copied())),
            }),
            (also, _, _) if self.also.contains(&also) => None,
            ("item" | "index", _, _) => {
                let what = format!("`{root}` is known only where a step is performed `for_each`");
                Some((what, "add `for_each` to the step, and use it in `with` or `outputs`".to_owned()))
            }
            ("output", _, _) => {
                let what = "`output` is known only in `outputs` of a step".to_owned();
                Some((what, "write `steps.` and the step's name".to_owned()))
            }
            _ => {
                let steps = if self.steps.is_some() { &["steps"][..] } else { &[] };
                let seen: Vec<String> =
                    ["inputs"].iter().chain(steps).chain(&self.also).map(|name| format!("`{name}`")).collect();
                Some((format!("`{root}` is not known here"), format!("what is known here: {}", seen.join(", "))))
            }
        }
    }
}
