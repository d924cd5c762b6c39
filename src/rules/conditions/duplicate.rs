//! `duplicate = true`: whether the same message came before.

use super::{Compiled, Condition, Kind, Look, Workshop};
use crate::rules::read::{Entry, boolean};
use crate::rules::seen::Seen;

pub(super) const KINDS: &[Kind] = &[Kind { key: "duplicate", compile }];

#[derive(Debug)]
struct Duplicate(bool);

fn compile(entry: &Entry<'_>, _: &mut Workshop<'_>) -> Compiled {
    Ok(Box::new(Duplicate(boolean(entry.value)?)))
}

impl Condition for Duplicate {
    fn look(&self, seen: &Seen<'_>) -> Look {
        match &seen.facts.duplicate_of {
            Some(earlier) => Look::new(self.0, format!("it repeats {earlier}")),
            None => Look::new(!self.0, "no earlier message says the same"),
        }
    }

    fn wish(&self) -> String {
        format!("duplicate were {}", self.0)
    }
}
