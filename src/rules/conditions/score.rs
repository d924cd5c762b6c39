//! `score_min` and `score_max`: the sum of all signals.

use super::{Compiled, Condition, Held, Kind, Look, Workshop};
use crate::rules::read::{Entry, Fault, integer};
use crate::rules::seen::Seen;

pub(super) const KINDS: &[Kind] = &[
    Kind { key: "score_min", compile: |entry, workshop| compile(entry, workshop, true) },
    Kind { key: "score_max", compile: |entry, workshop| compile(entry, workshop, false) },
];

#[derive(Debug)]
struct Score {
    is_min: bool,
    bound: i64,
}

fn compile(entry: &Entry<'_>, workshop: &mut Workshop<'_>, is_min: bool) -> Compiled {
    if workshop.in_signal {
        let mend = "signals are added up before there is a score; ask for it in a rule";
        return Err(Fault::new(entry.key_span(), "a signal cannot ask for the score", mend));
    }
    Ok(Box::new(Score { is_min, bound: integer(entry.value)? }))
}

impl Condition for Score {
    fn held(&self, seen: &Seen<'_>) -> Held {
        let is_within = |score| if self.is_min { score >= self.bound } else { score <= self.bound };
        seen.score.map_or(Held::Unknown, |score| is_within(score).into())
    }

    fn look(&self, seen: &Seen<'_>) -> Look {
        let Some(score) = seen.score else { return Look::unknown("score") };
        Look::new(self.held(seen) == Held::Yes, format!("score is {score}"))
    }

    fn wish(&self) -> String {
        format!("score were at {} {}", if self.is_min { "least" } else { "most" }, self.bound)
    }
}
