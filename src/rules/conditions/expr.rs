//! `expr = "…"`: an expression over the documented facts, for what no other condition says.

use super::{Compiled, Condition, Held, Kind, Look, Workshop, one_of};
use crate::domain::expression;
use crate::rules::expressions::{check_names, is_unknown};
use crate::rules::read::{Entry, Fault, shorten, texts};
use crate::rules::seen::Seen;

pub(super) const KINDS: &[Kind] = &[Kind { key: "expr", compile }];

/// Any one of several expressions.
#[derive(Debug)]
struct Expressions(Vec<expression::Condition>);

fn compile(entry: &Entry<'_>, workshop: &mut Workshop<'_>) -> Compiled {
    let mut sources = vec![];
    for (span, source) in texts(entry.value)? {
        let compiled = expression::Condition::new(source)
            .map_err(|why| Fault::new(span.clone(), why, "write a minijinja expression, such as \"score > 3\""))?;
        let hidden: &[&str] = if workshop.in_signal { &["score", "captures", "group"] } else { &["captures", "group"] };
        check_names(span, source, hidden)?;
        sources.push(compiled);
    }
    Ok(Box::new(Expressions(sources)))
}

impl Condition for Expressions {
    fn held(&self, seen: &Seen<'_>) -> Held {
        let mut held = Held::No;
        for expression in &self.0 {
            match expression.holds(seen.context()) {
                Ok(true) => return Held::Yes,
                Ok(false) => {}
                Err(why) if is_unknown(&why) => held = Held::Unknown,
                Err(_) => return Held::Failed,
            }
        }
        held
    }

    fn look(&self, seen: &Seen<'_>) -> Look {
        let mut worst: Option<Look> = None;
        for expression in &self.0 {
            let source = expression.source();
            match expression.holds(seen.context()) {
                Ok(true) => return Look::new(true, format!("`{}` holds", shorten(source, 80))),
                Ok(false) => {}
                Err(why) if is_unknown(&why) => {
                    let fact = format!("something in `{}`", shorten(source, 80));
                    worst.get_or_insert_with(|| Look::unknown(&fact));
                }
                Err(why) => return Look::failed(format!("`{}`: {why}", shorten(source, 80))),
            }
        }
        worst.unwrap_or_else(|| Look::new(false, format!("{} does not hold", self.written())))
    }

    fn is_costly(&self) -> bool {
        true
    }

    fn wish(&self) -> String {
        format!("{} held", self.written())
    }
}

impl Expressions {
    fn written(&self) -> String {
        one_of(&self.0.iter().map(|expression| shorten(expression.source(), 80)).collect::<Vec<_>>(), "expressions")
    }
}
