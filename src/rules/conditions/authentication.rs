//! Conditions on what a trusted server said about the sender: `dmarc`, `spf`, `dkim`, and whether the author is proven.

use super::{Compiled, Condition, Held, Kind, Look, Workshop, one_of};
use crate::domain::message::AuthResult;
use crate::rules::read::{Entry, boolean, closed};
use crate::rules::seen::Seen;

pub(super) const KINDS: &[Kind] = &[
    Kind { key: "dmarc", compile: |entry, _| compile(entry, Method::Dmarc) },
    Kind { key: "spf", compile: |entry, _| compile(entry, Method::Spf) },
    Kind { key: "dkim", compile: |entry, _| compile(entry, Method::Dkim) },
    Kind { key: "authenticated", compile: compile_authenticated },
];

#[derive(Debug, Clone, Copy)]
enum Method {
    Dmarc,
    Spf,
    Dkim,
}

impl Method {
    fn name(self) -> &'static str {
        match self {
            Self::Dmarc => "dmarc",
            Self::Spf => "spf",
            Self::Dkim => "dkim",
        }
    }
}

#[derive(Debug)]
struct Result {
    method: Method,
    wanted: Vec<AuthResult>,
}

fn compile(entry: &Entry<'_>, method: Method) -> Compiled {
    Ok(Box::new(Result { method, wanted: closed(entry.value, "result", AuthResult::ALL)? }))
}

impl Condition for Result {
    fn held(&self, seen: &Seen<'_>) -> Held {
        let facts = seen.facts;
        let is = |result: Option<AuthResult>| result.map_or(Held::Unknown, |r| self.wanted.contains(&r).into());
        match self.method {
            Method::Dmarc => is(facts.dmarc),
            Method::Spf => is(facts.spf),
            Method::Dkim if facts.dkim.is_empty() => Held::Unknown,
            Method::Dkim => facts.dkim.iter().any(|(result, _)| self.wanted.contains(result)).into(),
        }
    }

    fn look(&self, seen: &Seen<'_>) -> Look {
        let facts = seen.facts;
        let has: Vec<AuthResult> = match self.method {
            Method::Dmarc => facts.dmarc.into_iter().collect(),
            Method::Spf => facts.spf.into_iter().collect(),
            Method::Dkim => facts.dkim.iter().map(|(result, _)| *result).collect(),
        };
        if has.is_empty() {
            return Look::unknown(self.method.name());
        }
        let held = has.iter().any(|result| self.wanted.contains(result));
        let told: Vec<_> = has.iter().map(|result| result.as_str()).collect();
        Look::new(held, format!("{} is {}", self.method.name(), told.join(", ")))
    }

    fn wish(&self) -> String {
        let wanted: Vec<_> = self.wanted.iter().map(|result| result.as_str()).collect();
        match wanted.as_slice() {
            [one] => format!("{} were {one}", self.method.name()),
            _ => format!("{} were {}", self.method.name(), one_of(&wanted, "results")),
        }
    }
}

#[derive(Debug)]
struct Authenticated(bool);

fn compile_authenticated(entry: &Entry<'_>, _: &mut Workshop<'_>) -> Compiled {
    Ok(Box::new(Authenticated(boolean(entry.value)?)))
}

impl Condition for Authenticated {
    fn held(&self, seen: &Seen<'_>) -> Held {
        (seen.facts.authenticated.is_some() == self.0).into()
    }

    fn look(&self, seen: &Seen<'_>) -> Look {
        match &seen.facts.authenticated {
            Some(how) => Look::new(self.0, how.clone()),
            None => Look::new(!self.0, "nothing proves the sender"),
        }
    }

    fn wish(&self) -> String {
        format!("the sender were {}proven", if self.0 { "" } else { "not " })
    }
}
