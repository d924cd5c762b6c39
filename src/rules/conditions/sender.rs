//! Conditions on who the author is to the customer.

use super::{Compiled, Condition, Held, Kind, Look};
use crate::rules::facts::Facts;
use crate::rules::read::{Entry, boolean};
use crate::rules::seen::Seen;

pub(super) const KINDS: &[Kind] = &[
    Kind {
        key: "known_supplier",
        compile: |entry, _| {
            compile(entry, "known_supplier", supplier, |facts| facts.from.as_ref().map(|_| facts.supplier.is_some()))
        },
    },
    Kind {
        key: "known_user",
        compile: |entry, _| {
            compile(entry, "known_user", user, |facts| facts.from.as_ref().map(|_| facts.user.is_some()))
        },
    },
    Kind {
        key: "lookalike_domain",
        compile: |entry, _| {
            compile(entry, "lookalike_domain", lookalike, |facts| {
                facts.from.as_ref().map(|_| facts.lookalike_of.is_some())
            })
        },
    },
    Kind {
        key: "first_time_sender",
        compile: |entry, _| compile(entry, "first_time_sender", first_time, |facts| facts.first_time_sender),
    },
];

/// Whether it is so, and in words why; none when not known.
type Ask = fn(&Facts) -> Option<(bool, String)>;

/// Whether it is so; none when not known.
type Is = fn(&Facts) -> Option<bool>;

#[derive(Debug)]
struct Sender {
    key: &'static str,
    wanted: bool,
    ask: Ask,
    is: Is,
}

fn compile(entry: &Entry<'_>, key: &'static str, ask: Ask, is: Is) -> Compiled {
    Ok(Box::new(Sender { key, wanted: boolean(entry.value)?, ask, is }))
}

impl Condition for Sender {
    fn held(&self, seen: &Seen<'_>) -> Held {
        (self.is)(seen.facts).map_or(Held::Unknown, |is| (is == self.wanted).into())
    }

    fn look(&self, seen: &Seen<'_>) -> Look {
        match (self.ask)(seen.facts) {
            Some((is, because)) => Look::new(is == self.wanted, because),
            None => Look::unknown(self.key),
        }
    }

    fn wish(&self) -> String {
        format!("{} were {}", self.key, self.wanted)
    }
}

fn supplier(facts: &Facts) -> Option<(bool, String)> {
    let from = facts.from.as_ref()?;
    Some(match &facts.supplier {
        Some(name) => (true, format!("{} speaks for supplier {name}", from.address)),
        None => (false, format!("{} speaks for no supplier", from.address)),
    })
}

fn user(facts: &Facts) -> Option<(bool, String)> {
    let from = facts.from.as_ref()?;
    Some(match &facts.user {
        Some(name) => (true, format!("{} is user {name}", from.address)),
        None => (false, format!("{} is no user", from.address)),
    })
}

fn lookalike(facts: &Facts) -> Option<(bool, String)> {
    let from = facts.from.as_ref()?;
    Some(match &facts.lookalike_of {
        Some(genuine) => (true, format!("{} looks like {genuine}", from.domain())),
        None => (false, format!("{} looks like no other known domain", from.domain())),
    })
}

fn first_time(facts: &Facts) -> Option<(bool, String)> {
    let first = facts.first_time_sender?;
    Some((first, if first { "the sender never wrote before" } else { "the sender wrote before" }.to_owned()))
}
