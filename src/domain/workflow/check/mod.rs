//! Whether a definition hangs together: everything that it can tell of itself, without knowing agents, people or templates.

pub mod flow;
mod names;
mod values;

use super::Workflow;
use crate::domain::nearest::nearest;

/// Something wrong with a definition, and what to do about it. The loader adds file and line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub step: Option<String>,
    /// Key at fault, with dots into tables: `needs`, `timeout.soft`.
    pub key: String,
    pub what: String,
    pub mend: String,
}

/// What is found, in the order of looking.
#[derive(Debug, Default)]
struct Problems(Vec<Problem>);

impl Problems {
    fn say(&mut self, step: Option<&str>, key: &str, what: impl Into<String>, mend: impl Into<String>) {
        let (step, key) = (step.map(str::to_owned), key.to_owned());
        self.0.push(Problem { step, key, what: what.into(), mend: mend.into() });
    }
}

impl Workflow {
    /// Everything wrong with the definition that it can tell by itself. Agents check their own settings.
    pub fn problems(&self) -> Vec<Problem> {
        let mut told = Problems::default();
        values::check(self, &mut told);
        flow::check(self, &mut told);
        names::check(self, &mut told);
        told.0
    }
}

/// Whether expressions can name it.
fn is_name(name: &str) -> bool {
    name.bytes().next().is_some_and(|first| first.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// The name that was meant, or those that there are.
fn like<'a>(wanted: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    match nearest(wanted, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => "there are none".to_owned(),
        None => format!("there are: {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

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

    /// Everything told of `a` (a switch), `b` with `more`, and what `above` says of the workflow.
    fn told(above: Value, more: Value) -> Vec<String> {
        let cases = json!({"high": "inputs.total > 5"});
        let mut b = json!({"name": "b", "agent": "noop", "needs": ["a"]});
        b.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let mut whole = json!({"name": "w", "version": 1, "prefix": "W", "inputs": {"total": {"type": "number"}}, "step": [
            {"name": "a", "agent": "switch", "with": {"cases": cases, "default": "low"}}, b,
            {"name": "c", "agent": "noop", "needs": ["b"]}]});
        whole.as_object_mut().unwrap().extend(above.as_object().unwrap().clone());
        let workflow: Workflow = serde_json::from_value(whole).unwrap();
        let line = |p: Problem| format!("{} {}: {} ({})", p.step.unwrap_or_default(), p.key, p.what, p.mend);
        workflow.problems().into_iter().map(line).collect()
    }

    #[test]
    fn every_way_of_leading_on_is_checked() {
        for more in [
            json!({"needs": ["a:high", "a:low"], "join": "any"}),
            json!({"on_error": {"go_to": "c"}, "retry": {"count": 1, "interval": "5s", "cap": "5s", "never_on": ["away"]}}),
            json!({"for_each": "{{ steps.a.list }}", "width": 2, "with": {"x": "{{ item.y }} {{ index }}"}}),
            json!({"outputs": {"x": "{{ output.y + inputs.total }}"}, "timeout": {"soft": "1h", "hard": "2h"}}),
            json!({"notify": {"failure": {"to": ["role:finance", "jo@acme.example", "jo"]}}}),
        ] {
            assert_eq!(told(json!({}), more.clone()), Vec::<String>::new(), "{more}");
        }
        for (more, expected) in [
            (json!({"needs": ["a:hig"]}), "b needs: `a:hig`: step `a` has no case `hig` (did you mean `high`?)"),
            (json!({"needs": ["a"], "with": {"x": "{{ steps.a:x }}"}}), "b with: x: syntax error"),
            (json!({"needs": ["a", "a"]}), "b needs: `a` is needed twice"),
            (json!({"join": 2}), "b join: 2 steps are to lead here, and only 1 may"),
            (json!({"needs": [], "join": "any"}), "b join: there is nothing to join"),
            (json!({"width": 2}), "b width: `width` is of no use without `for_each`"),
            (json!({"for_each": "{{ steps.a }}", "width": 0}), "b width: nothing would ever be performed"),
            (
                json!({"for_each": "steps.a"}),
                "b for_each: `steps.a` is a text, and no list (write it as \"{{ steps.a }}\")",
            ),
            (json!({"for_each": "{{ item }}"}), "b for_each: `item` is known only"),
            (json!({"with": {"x": "{{ index }}"}}), "b with: `index` is known only"),
            (json!({"with": {"x": "{{ output }}"}}), "b with: `output` is known only"),
            (json!({"on_error": {"go_to": "a"}}), "b on_error.go_to: `a` comes before a failure of `b`"),
            (json!({"on_error": {"go_to": "b"}}), "b on_error.go_to: `b` comes before a failure of `b`"),
            (json!({"on_error": {"go_to": "d"}}), "b on_error.go_to: there is no step `d`"),
            (json!({"timeout": {}}), "b timeout: the table says nothing"),
            (json!({"timeout": {"soft": "2h", "hard": "1h"}}), "b timeout.soft: `soft` (2h) would never come before"),
            (json!({"timeout": {"heartbeat": "0s"}}), "b timeout.heartbeat: no time at all"),
            (json!({"retry": {"count": 1, "interval": "5s", "cap": "4s"}}), "b retry.cap: the longest pause"),
            (json!({"retry": {"count": 1, "interval": "5s", "jitter_percent": 101}}), "b retry.jitter_percent: 101"),
            (
                json!({"retry": {"count": 1, "interval": "5s", "never_on": ["Not found"]}}),
                "b retry.never_on: `Not found`",
            ),
            (json!({"notify": {"failure": {"to": ["role:"]}}}), "b notify.failure.to: `role:` names nobody"),
        ] {
            let told = told(json!({}), more.clone());
            assert!(told.len() == 1 && told[0].contains(expected), "{more}: {told:?} lacks {expected}");
        }
    }

    #[test]
    fn a_case_is_of_a_switch_and_ways_out_make_no_circle() {
        check(
            json!([{"name": "a", "agent": "noop"}, {"name": "b", "agent": "noop", "needs": ["a:x"]}]),
            "has no cases",
        );
        let out = |name: &str, to: &str| json!({"name": name, "agent": "noop", "on_error": {"go_to": to}});
        check(json!([out("a", "b"), out("b", "a")]), "steps wait for each other");
        let target = json!({"name": "b", "agent": "noop", "with": {"x": "{{ steps.a.reason }}"}});
        assert_eq!(workflow(json!([out("a", "b"), target])).problems(), [], "the failing step is over by then");
    }

    #[test]
    fn what_stands_above_the_steps_is_checked() {
        let input = |more: Value| json!({"inputs": {"total": {"type": "number"}, "x": more}});
        for (above, expected) in [
            (input(json!({"type": "date", "default": "soon"})), "inputs.x.default: the default \"soon\" does not fit"),
            (input(json!({"type": "string", "enum": ["a", 1]})), "inputs.x.enum: the choice 1 does not fit"),
            (input(json!({"type": "string", "enum": ["a"], "default": "b"})), "is not one of `enum`"),
            (
                json!({"number_by": "{{ run.name }}"}),
                "number_by: `run` is not known here (what is known here: `inputs`)",
            ),
            (json!({"concurrency": {"key": "{{ steps.a }}"}}), "concurrency.key: `steps` is not known here"),
            (json!({"concurrency": {"key": "{{ inputs.total }}", "width": 0}}), "concurrency.width: no run"),
            (json!({"deadline": {"soft": "3d", "hard": "2d"}}), "deadline.soft: `soft` (3d)"),
            (json!({"deadline": {}}), "deadline: the table says nothing"),
            (json!({"owner": "a b"}), "owner: `a b` names nobody"),
            (json!({"may_start": ["jo@acme.example"]}), "may_start: `jo@acme.example` is an address"),
            (json!({"outputs": {"x": "{{ steps.d }}"}}), "outputs: there is no step `d`"),
            (json!({"outputs": {"x": "{{ item }}"}}), "outputs: `item` is known only"),
        ] {
            let told = told(above.clone(), json!({}));
            assert!(told.len() == 1 && told[0].contains(expected), "{above}: {told:?} lacks {expected}");
        }
        assert_eq!(told(json!({"outputs": {"x": "{{ steps.c.x }} {{ run.name }}"}}), json!({})), Vec::<String>::new());
    }
}
