//! Whether a definition hangs together: names, needs without circles, expressions that look up only what will be there.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Step, Workflow};
use crate::domain::expression;
use crate::domain::nearest::nearest;

/// Something wrong with a definition, and what to do about it. The loader adds file and line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub step: Option<String>,
    /// Key of the table at fault.
    pub key: String,
    pub what: String,
    pub mend: String,
}

impl Workflow {
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
            if let Some(Err(why)) = step.when.as_ref().map(|when| expression::check(&when.expression())) {
                say(Some(&step.name), "when", why, "see the minijinja expression syntax");
            }
            let with = Value::Object(step.with.clone());
            if let Err(why) = expression::check_fill(&with) {
                say(Some(&step.name), "with", why, "see the minijinja template syntax");
            }
            let in_condition = step.when.as_ref().map(|when| expression::names(&when.expression())).unwrap_or_default();
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
}

fn is_name(name: &str) -> bool {
    name.bytes().next().is_some_and(|first| first.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
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
}
