//! Conditions and values in files: minijinja expressions with strict unknowns and bounded work.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use minijinja::{Environment, Expression, UndefinedBehavior};
use serde_json::{Map, Value};

/// Longest expression or template string in a file, in bytes; longer chains could overflow the stack.
pub const MAX_BYTES: usize = 4096;
/// Most minus signs in a row.
const MAX_SIGNS: usize = 200;
const FUEL: u64 = 100_000;

/// One for all: making it costs more than most expressions. Fuel is counted anew for each evaluation.
static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(50);
    environment
});

fn environment<'s>() -> &'static Environment<'s> {
    &ENVIRONMENT
}

/// A condition compiled once, for many messages.
#[derive(Debug)]
pub struct Condition {
    source: String,
    compiled: Expression<'static, 'static>,
}

/// Named values made ready once, for many conditions.
#[derive(Debug, Clone)]
pub struct Context(minijinja::Value);

impl Context {
    pub fn new(values: &Value) -> Self {
        Self(minijinja::Value::from(minijinja::value::Serde(values)))
    }
}

impl Condition {
    /// # Errors
    /// What is wrong with it, in words.
    pub fn new(source: &str) -> Result<Self, String> {
        bounded(source)?;
        let compiled = ENVIRONMENT.compile_expression_owned(source.to_owned()).map_err(words)?;
        Ok(Self { source: source.to_owned(), compiled })
    }

    pub fn source(&self) -> &str {
        &self.source
    }

    /// # Errors
    /// As `holds`.
    pub fn holds(&self, context: &Context) -> Result<bool, String> {
        let value = self.compiled.eval(context.0.clone()).map_err(words)?;
        match value.is_undefined() {
            true => Err(format!("`{}` is not known here", self.source)),
            false => Ok(value.is_true()),
        }
    }
}

/// Whether `source` is a well-formed expression.
///
/// # Errors
/// What is wrong with it, in words.
pub fn check(source: &str) -> Result<(), String> {
    bounded(source)?;
    environment().compile_expression(source).map(|_| ()).map_err(words)
}

/// Evaluates an expression over named values.
///
/// # Errors
/// For unknown names (never read as false), type errors and exhausted fuel, in words.
pub fn evaluate(source: &str, context: &Value) -> Result<Value, String> {
    known(source, context, |value| serde_json::to_value(value).map_err(|error| error.to_string()))
}

/// Evaluates a condition. A value that is not a boolean counts as true unless empty, zero or none.
///
/// # Errors
/// As `evaluate`; an unknown fact is an error, so that it can never permit.
pub fn holds(source: &str, context: &Value) -> Result<bool, String> {
    known(source, context, |value| Ok(value.is_true()))
}

fn known<T>(
    source: &str,
    context: &Value,
    take: impl FnOnce(&minijinja::Value) -> Result<T, String>,
) -> Result<T, String> {
    bounded(source)?;
    let environment = environment();
    let expression = environment.compile_expression(source).map_err(words)?;
    let value = expression.eval(minijinja::value::Serde(context)).map_err(words)?;
    if value.is_undefined() {
        return Err(format!("`{source}` is not known here"));
    }
    take(&value)
}

/// Dotted names that an expression looks up: `steps.extract.po`, `inputs.documents`. None when it does not compile.
pub fn names(source: &str) -> BTreeSet<String> {
    let environment = environment();
    let compiled = bounded(source).and_then(|()| environment.compile_expression(source).map_err(words));
    compiled.map(|expression| expression.undeclared_variables(true).into_iter().collect()).unwrap_or_default()
}

/// As `names`, for every string inside `value`.
pub fn names_in(value: &Value) -> BTreeSet<String> {
    match value {
        Value::String(text) => match sole_expression(text) {
            Some(source) => names(source),
            None => environment()
                .template_from_str(text)
                .map(|template| template.undeclared_variables(true).into_iter().collect())
                .unwrap_or_default(),
        },
        Value::Array(items) => items.iter().flat_map(names_in).collect(),
        Value::Object(map) => map.values().flat_map(names_in).collect(),
        _ => BTreeSet::new(),
    }
}

/// Fills in the `{{ }}` of every string inside `value`. A string that is one expression keeps the type of its result.
///
/// # Errors
/// Names the key and what is wrong with it.
pub fn fill(value: &Value, context: &Value) -> Result<Value, String> {
    match value {
        Value::String(text) => fill_text(text, context),
        Value::Array(items) => items.iter().map(|item| fill(item, context)).collect(),
        Value::Object(map) => map
            .iter()
            .map(|(key, item)| Ok((key.clone(), fill(item, context).map_err(|why| format!("{key}: {why}"))?)))
            .collect::<Result<Map<_, _>, String>>()
            .map(Value::Object),
        other => Ok(other.clone()),
    }
}

/// Checks the `{{ }}` of every string inside `value` without values.
///
/// # Errors
/// Names the key and what is wrong with it.
pub fn check_fill(value: &Value) -> Result<(), String> {
    match value {
        Value::String(text) => match sole_expression(text) {
            Some(source) => check(source),
            None => bounded(text).and_then(|()| environment().template_from_str(text).map(|_| ()).map_err(words)),
        },
        Value::Array(items) => items.iter().try_for_each(check_fill),
        Value::Object(map) => {
            map.iter().try_for_each(|(key, item)| check_fill(item).map_err(|why| format!("{key}: {why}")))
        }
        _ => Ok(()),
    }
}

fn fill_text(text: &str, context: &Value) -> Result<Value, String> {
    if !text.contains("{{") && !text.contains("{%") {
        return Ok(Value::String(text.to_owned()));
    }
    if let Some(source) = sole_expression(text) {
        return evaluate(source, context);
    }
    bounded(text)?;
    environment().render_str(text, minijinja::value::Serde(context)).map(Value::String).map_err(words)
}

/// The inside of `{{ … }}` when that is all there is.
fn sole_expression(text: &str) -> Option<&str> {
    let inside = text.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    (!inside.contains("{{") && !inside.contains("}}") && !inside.contains("{%")).then(|| inside.trim())
}

fn bounded(source: &str) -> Result<(), String> {
    if source.len() > MAX_BYTES {
        return Err(format!("the expression is longer than {MAX_BYTES} bytes"));
    }
    // minijinja bounds all nesting but this: each sign is a call on the stack of its parser.
    let mut signs = 0;
    for c in source.chars().filter(|c| !c.is_whitespace()) {
        signs = if c == '-' { signs + 1 } else { 0 };
        if signs > MAX_SIGNS {
            return Err(format!("there are more than {MAX_SIGNS} minus signs in a row"));
        }
    }
    Ok(())
}

fn words(error: minijinja::Error) -> String {
    match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_unknown_fact_never_permits() {
        let facts = json!({"total": 5, "po": null});
        assert!(holds("total > 4", &facts).unwrap());
        assert!(!holds("po", &facts).unwrap());
        for unknown in ["missing", "missing > 1", "not missing", "po.number", "missing.deeper"] {
            assert!(holds(unknown, &facts).is_err(), "{unknown}");
        }
    }

    #[test]
    fn a_lone_expression_keeps_its_type_and_text_around_it_makes_text() {
        let context = json!({"n": 3, "list": [1, 2]});
        let value = json!({"a": "{{ list }}", "b": "n={{ n }}", "c": 7});
        assert_eq!(fill(&value, &context).unwrap(), json!({"a": [1, 2], "b": "n=3", "c": 7}));
        assert!(fill(&json!({"a": "{{ nothing }}"}), &context).unwrap_err().starts_with("a: "));
    }

    #[test]
    fn endless_work_and_endless_text_end_in_an_error() {
        let chain = format!("1{}", "+1".repeat(MAX_BYTES));
        assert!(check(&chain).is_err());
        for deep in
            ["-".repeat(4000), "- ".repeat(2000), "(".repeat(4000), "not ".repeat(1000), "1 if 1 else ".repeat(340)]
        {
            let _ = check(&format!("{deep}1"));
        }
        assert!(check(&format!("{}1", "-".repeat(MAX_SIGNS + 1))).unwrap_err().contains("minus signs"));
        assert!(
            fill(&json!("{% for i in range(9999) %}{% for j in range(9999) %}x{% endfor %}{% endfor %}"), &json!({}))
                .is_err()
        );
    }
}
