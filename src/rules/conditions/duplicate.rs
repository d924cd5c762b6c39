//! `duplicate = true`, `duplicate_documents = ["all"]`: whether the same message, or what it brings, came before.

use super::{Compiled, Condition, Held, Kind, Look, Workshop, one_of};
use crate::domain::document::Repeated;
use crate::rules::read::{Entry, boolean, closed};
use crate::rules::seen::Seen;

pub(super) const KINDS: &[Kind] =
    &[Kind { key: "duplicate", compile }, Kind { key: "duplicate_documents", compile: compile_documents }];

#[derive(Debug)]
struct Duplicate(bool);

fn compile(entry: &Entry<'_>, _: &mut Workshop<'_>) -> Compiled {
    Ok(Box::new(Duplicate(boolean(entry.value)?)))
}

impl Condition for Duplicate {
    fn held(&self, seen: &Seen<'_>) -> Held {
        (seen.facts.duplicate_of.is_some() == self.0).into()
    }

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

#[derive(Debug)]
struct DuplicateDocuments(Vec<Repeated>);

fn compile_documents(entry: &Entry<'_>, _: &mut Workshop<'_>) -> Compiled {
    Ok(Box::new(DuplicateDocuments(closed(entry.value, "amount of documents", Repeated::ALL)?)))
}

impl Condition for DuplicateDocuments {
    fn held(&self, seen: &Seen<'_>) -> Held {
        self.0.contains(&seen.facts.duplicate_documents).into()
    }

    fn look(&self, seen: &Seen<'_>) -> Look {
        let facts = seen.facts;
        let held = self.0.contains(&facts.duplicate_documents);
        match &facts.duplicate_documents_of {
            Some(earlier) => {
                Look::new(held, format!("{} of its documents came before, with {earlier}", facts.duplicate_documents))
            }
            None => Look::new(held, "none of its documents came before"),
        }
    }

    fn wish(&self) -> String {
        let wanted: Vec<_> = self.0.iter().map(|repeated| repeated.as_str()).collect();
        format!("duplicate_documents were {}", one_of(&wanted, "amounts"))
    }
}
