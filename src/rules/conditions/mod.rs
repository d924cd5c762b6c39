//! What a condition is, and which there are. A family is one file here and one line in `Registry::standard`.

mod answers;
mod attachment;
mod authentication;
mod automatic;
mod duplicate;
mod expr;
mod header;
mod language;
mod list;
mod score;
mod sender;
mod text;
mod window;

use std::collections::BTreeMap;
use std::fmt::Debug;

use super::lists::List;
use super::read::{Entry, Fault};
use super::seen::{Banks, Place, Seen};

/// One key of a rule, compiled. Looking never fails and never panics.
pub(super) trait Condition: Send + Sync + Debug {
    /// Whether it holds, without a word: what is asked of most rules. The same as `look` says.
    fn held(&self, seen: &Seen<'_>) -> Held {
        self.look(seen).held
    }

    fn look(&self, seen: &Seen<'_>) -> Look;

    /// Whether it takes so long to look that the others are asked first.
    fn is_costly(&self) -> bool {
        false
    }

    /// Patterns of which one must match there: when none does, it certainly does not hold. None where that cannot be said.
    fn needs(&self) -> Option<(Place, &[usize])> {
        None
    }

    /// What would have to be so, after "would have matched, if": `dmarc were pass`.
    fn wish(&self) -> String;

    /// Named groups that it may capture.
    fn capture_names(&self) -> Vec<String> {
        vec![]
    }
}

/// Whether a condition holds. What is not known is neither: it never permits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    Yes,
    No,
    Unknown,
    /// Looking failed; the rule's `on_error` decides, unless another condition says no.
    Failed,
}

impl From<bool> for Held {
    fn from(held: bool) -> Self {
        if held { Self::Yes } else { Self::No }
    }
}

/// What a condition found.
#[derive(Debug, Clone)]
pub(super) struct Look {
    pub held: Held,
    /// What was wanted and what the message had.
    pub because: String,
    pub captures: Vec<(String, String)>,
}

impl Look {
    pub fn new(held: bool, because: impl Into<String>) -> Self {
        Self { held: held.into(), because: because.into(), captures: vec![] }
    }

    pub fn unknown(fact: &str) -> Self {
        Self { held: Held::Unknown, because: format!("{fact} is not known"), captures: vec![] }
    }

    pub fn failed(why: String) -> Self {
        Self { held: Held::Failed, because: why, captures: vec![] }
    }
}

/// What compiling a condition may use.
pub(super) struct Workshop<'a> {
    pub banks: &'a mut Banks,
    pub lists: &'a BTreeMap<String, List>,
    /// Whether it belongs to a signal, which cannot know the score.
    pub in_signal: bool,
}

type Compiled = Result<Box<dyn Condition>, Fault>;

/// A kind of condition: the key that names it in files.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    pub key: &'static str,
    pub compile: fn(&Entry<'_>, &mut Workshop<'_>) -> Compiled,
}

/// Every kind of condition by key.
pub(super) struct Registry(BTreeMap<&'static str, Kind>);

impl Registry {
    /// # Errors
    /// When two kinds claim the same key.
    pub fn standard() -> Result<Self, String> {
        let mut registry = Self(BTreeMap::new());
        registry.register(text::KINDS)?;
        registry.register(header::KINDS)?;
        registry.register(attachment::KINDS)?;
        registry.register(answers::KINDS)?;
        registry.register(duplicate::KINDS)?;
        registry.register(authentication::KINDS)?;
        registry.register(sender::KINDS)?;
        registry.register(automatic::KINDS)?;
        registry.register(score::KINDS)?;
        registry.register(list::KINDS)?;
        registry.register(language::KINDS)?;
        registry.register(window::KINDS)?;
        registry.register(expr::KINDS)?;
        Ok(registry)
    }

    pub fn get(&self, key: &str) -> Option<Kind> {
        self.0.get(key).copied()
    }

    pub fn keys(&self) -> impl Iterator<Item = &'static str> + Clone + '_ {
        self.0.keys().copied()
    }

    fn register(&mut self, kinds: &[Kind]) -> Result<(), String> {
        for kind in kinds {
            if self.0.insert(kind.key, *kind).is_some() {
                return Err(format!("two conditions are named `{}`", kind.key));
            }
        }
        Ok(())
    }
}

/// The one of several: "`a`", "`a` or `b`", "one of 7 patterns".
fn one_of<T: AsRef<str>>(values: &[T], kind: &str) -> String {
    match values {
        [one] => format!("`{}`", one.as_ref()),
        [one, two] => format!("`{}` or `{}`", one.as_ref(), two.as_ref()),
        [one, two, three] => format!("`{}`, `{}` or `{}`", one.as_ref(), two.as_ref(), three.as_ref()),
        more => format!("one of {} {kind}", more.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_condition_of_the_same_name_is_refused() {
        let mut registry = Registry::standard().unwrap();
        assert_eq!(registry.register(expr::KINDS), Err("two conditions are named `expr`".into()));
    }
}
