//! Checks of expressions and of `{{ }}` texts against the documented facts, before a message meets them.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::LazyLock;

use minijinja::{Environment, ErrorKind};
use serde_json::Value;

use super::facts::FACTS;
use super::read::Fault;

/// Only to see which names a text uses.
static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(Environment::new);

fn environment<'s>() -> &'static Environment<'s> {
    &ENVIRONMENT
}

/// Refuses an expression that names a fact that does not exist, or one of `hidden`.
pub(super) fn check_names(span: Range<usize>, source: &str, hidden: &[&str]) -> Result<(), Fault> {
    let environment = environment();
    let Ok(expression) = environment.compile_expression(source) else { return Ok(()) };
    refuse_unknown(span, expression.undeclared_variables(false), hidden)
}

/// Refuses a value whose `{{ }}` name facts that do not exist, one of `hidden`, or captures that the rule does not make.
pub(super) fn check_fill_names(
    span: Range<usize>,
    value: &Value,
    captures: &[String],
    hidden: &[&str],
) -> Result<(), Fault> {
    let text = match value {
        Value::String(text) => text,
        Value::Array(items) => {
            return items.iter().try_for_each(|item| check_fill_names(span.clone(), item, captures, hidden));
        }
        Value::Object(map) => {
            return map.values().try_for_each(|item| check_fill_names(span.clone(), item, captures, hidden));
        }
        _ => return Ok(()),
    };
    let environment = environment();
    let Ok(template) = environment.template_from_str(text) else { return Ok(()) };
    refuse_unknown(span.clone(), template.undeclared_variables(false), hidden)?;
    for name in template.undeclared_variables(true) {
        if let Some(capture) = name.strip_prefix("captures.")
            && !captures.iter().any(|known| known == capture)
        {
            return Err(Fault::unknown(span, "capture", capture, captures.iter().map(String::as_str)));
        }
    }
    Ok(())
}

/// Whether a value's `{{ }}` name a fact.
pub(super) fn names_fact(value: &Value, fact: &str) -> bool {
    match value {
        Value::String(text) => {
            let template = environment().template_from_str(text);
            template.is_ok_and(|template| template.undeclared_variables(false).contains(fact))
        }
        Value::Array(items) => items.iter().any(|item| names_fact(item, fact)),
        Value::Object(map) => map.values().any(|item| names_fact(item, fact)),
        _ => false,
    }
}

/// Whether an expression failed because a fact is not known, rather than by its own fault.
pub(super) fn is_unknown(why: &str) -> bool {
    why.starts_with(&ErrorKind::UndefinedError.to_string()) || why.ends_with("is not known here")
}

fn refuse_unknown(span: Range<usize>, names: impl IntoIterator<Item = String>, hidden: &[&str]) -> Result<(), Fault> {
    let environment = environment();
    let globals: BTreeSet<&str> = environment.globals().map(|(name, _)| name).collect();
    let known: Vec<&str> = FACTS.iter().map(|(name, _)| *name).filter(|name| !hidden.contains(name)).collect();
    let mut names: Vec<String> = names.into_iter().collect();
    names.sort();
    match names.iter().find(|name| !known.contains(&name.as_str()) && !globals.contains(name.as_str())) {
        Some(name) => Err(Fault::unknown(span, "fact", name, known)),
        None => Ok(()),
    }
}
