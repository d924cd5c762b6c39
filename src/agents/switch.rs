//! `switch`: which of several cases holds. Steps go on by it: `needs = ["route:high"]`.

use async_trait::async_trait;
use serde_json::{Map, Value, json};

use super::settings::{self, Reader, Setting, shown};
use super::{Agent, Outcome, Task};
use crate::domain::expression;
use crate::domain::failure::Failure;

pub struct Switch;

#[derive(Default)]
struct Wants {
    on: Value,
    cases: Cases,
    default: Option<String>,
}

/// Names that `on` is compared with, in order; or names with expressions, of which exactly one may hold.
#[derive(Debug, Clone, PartialEq)]
enum Cases {
    Named(Vec<String>),
    When(Vec<(String, String)>),
}

impl Default for Cases {
    fn default() -> Self {
        Self::Named(vec![])
    }
}

/// Any value at all.
struct Anything(Value);

impl Setting for Anything {
    const WHAT: &'static str = "a value";
    fn read(value: &Value, _: bool) -> Result<Self, String> {
        Ok(Self(value.clone()))
    }
}

impl Setting for Cases {
    const WHAT: &'static str = "a list of names, or a table of names with expressions";
    fn read(value: &Value, checking: bool) -> Result<Self, String> {
        match value {
            Value::Object(table) => table
                .iter()
                .map(|(name, when)| {
                    let when = when.as_str().ok_or_else(|| format!("case `{name}` must be an expression"))?;
                    expression::check(when).map_err(|why| format!("case `{name}`: {why}"))?;
                    Ok((name.clone(), when.to_owned()))
                })
                .collect::<Result<_, _>>()
                .map(Self::When),
            Value::Array(_) => Vec::read(value, checking).map(Self::Named),
            _ => Err(String::new()),
        }
    }
}

fn read(with: &mut Reader) -> Wants {
    let on = with.optional::<Anything>("on").map(|on| on.0).unwrap_or_default();
    let cases = if with.has("cases") { with.optional("cases") } else { Some(with.required("cases")) };
    if matches!(cases, Some(Cases::Named(_))) && !with.mentions("on") {
        with.say("on", "`on` is missing: the value to compare with the cases");
    }
    Wants { on, cases: cases.unwrap_or_default(), default: with.optional("default") }
}

#[async_trait]
impl Agent for Switch {
    fn name(&self) -> &'static str {
        "switch"
    }

    fn about(&self) -> &'static str {
        "Tells which of `cases` holds: the one that equals `on`, or whose expression is true; else `default`."
    }

    fn check(&self, with: &Map<String, Value>) -> Vec<(String, String)> {
        settings::check(with, read)
    }

    async fn perform(&self, task: &Task) -> Outcome {
        match choose(task) {
            Ok(case) => Outcome::done(json!({ "case": case })),
            Err(failure) => Outcome::Fail(failure),
        }
    }
}

fn choose(task: &Task) -> Result<String, Failure> {
    let Wants { on, cases, default } = settings::filled(&task.with, read)?;
    let (step, tried) = (&task.step, shown(&on));
    let mut holding = match cases {
        Cases::Named(names) => names.into_iter().filter(|name| !on.is_null() && *name == tried).take(1).collect(),
        Cases::When(cases) => {
            let mut seen = task.context.clone();
            seen["on"] = on;
            let mut holding = vec![];
            for (name, when) in cases {
                let holds = expression::holds(&when, &seen).map_err(|why| {
                    Failure::high("expression_error", format!("case `{name}` (`{when}`) of step {step}: {why}"))
                })?;
                holding.extend(holds.then_some(name));
            }
            holding
        }
    };
    // The order of a table is not kept everywhere, so it must not decide.
    if holding.len() > 1 {
        let details = format!("step {step}: several cases hold: {}", holding.join(", "));
        return Err(Failure::high("several_cases", details));
    }
    holding.pop().or(default).ok_or_else(|| {
        Failure::high("no_case", format!("step {step}: no case holds for {tried}, and there is no default"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::testing::{perform, task};

    async fn check(with: Value, expected: &str) {
        let told = match perform(&Switch, &task(with.clone())).await {
            Outcome::Done { output, .. } => output["case"].as_str().unwrap().to_owned(),
            Outcome::Fail(failure) => failure.reason,
            other => panic!("{other:?}"),
        };
        assert_eq!(told, expected, "{with}");
    }

    #[tokio::test]
    async fn the_case_that_holds_is_the_one_told() {
        let named = |on: Value| json!({"on": on, "cases": ["high", "7", "yes"], "default": "other"});
        check(named(json!("high")), "high").await;
        check(named(json!(7)), "7").await;
        check(named(json!(true)), "yes").await;
        check(named(json!("low")), "other").await;
        check(named(Value::Null), "other").await;
        check(json!({"on": "low", "cases": ["high"]}), "no_case").await;
        let when = |on: Value| json!({"on": on, "cases": {"high": "on > 100", "low": "on <= 100", "odd": "on == 3"}});
        check(when(json!(101)), "high").await;
        check(when(json!(1)), "low").await;
        check(when(json!(3)), "several_cases").await;
        check(json!({"cases": {"a": "steps.nobody.total > 1"}, "default": "b"}), "expression_error").await;
    }

    #[test]
    fn settings_that_cannot_work_are_told() {
        let count = |with: Value| Switch.check(with.as_object().unwrap()).len();
        assert_eq!(count(json!({"on": "{{ inputs.x }}", "cases": ["a", "b"]})), 0);
        assert_eq!(count(json!({"cases": {"a": "inputs.x > 1"}})), 0);
        assert_eq!(count(json!({"cases": ["a"]})), 1, "nothing to compare");
        assert_eq!(count(json!({"on": "x"})), 1, "no cases");
        assert_eq!(count(json!({"cases": {"a": "1 +"}})), 1);
        assert_eq!(count(json!({"cases": {"a": 1}})), 1);
    }
}
