//! `answers_reply = true`: whether it answers a reply of ours that waits for it.

use super::{Compiled, Condition, Held, Kind, Look, Workshop};
use crate::rules::read::{Entry, boolean};
use crate::rules::seen::Seen;

pub(super) const KINDS: &[Kind] = &[Kind { key: "answers_reply", compile }];

#[derive(Debug)]
struct AnswersReply(bool);

fn compile(entry: &Entry<'_>, _: &mut Workshop<'_>) -> Compiled {
    Ok(Box::new(AnswersReply(boolean(entry.value)?)))
}

impl Condition for AnswersReply {
    fn held(&self, seen: &Seen<'_>) -> Held {
        (seen.facts.answers_reply == self.0).into()
    }

    fn look(&self, seen: &Seen<'_>) -> Look {
        match seen.facts.answers_reply {
            true => Look::new(self.0, "it answers a reply of ours in time"),
            false => Look::new(!self.0, "it answers no reply of ours that waits"),
        }
    }

    fn wish(&self) -> String {
        format!("answers_reply were {}", self.0)
    }
}
