//! What a replay found, counted. Pure.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{Against, Outcome, People, Wanted};
use crate::domain::ids::MessageId;
use crate::rules::RuleSet;

/// What a replay found.
#[derive(Debug, Clone, Serialize)]
pub struct Replay {
    pub since: DateTime<Utc>,
    pub until: DateTime<Utc>,
    pub mailbox: Option<String>,
    /// Hash of the rules that screened.
    pub ruleset: String,
    pub against: Against,
    pub people: People,
    /// Messages looked at.
    pub messages: usize,
    /// Of them: settled by a guard, before any rule.
    pub guarded: usize,
    /// Of them: could not be read again.
    pub unreadable: usize,
    /// Of them: screened.
    pub screened: usize,
    /// Of the screened: another verdict.
    pub changed: usize,
    /// Of the changed: the rules in force would not give the new verdict either, so it is the candidate's doing.
    pub by_candidate: usize,
    /// Of the screened: the same verdict, by another rule.
    pub by_another_rule: usize,
    /// The commonest first.
    pub changes: Vec<Change>,
    /// What each rule decided, in file order, the default last.
    pub rules: Vec<Caught>,
}

/// Messages whose verdict changes in the same way.
#[derive(Debug, Clone, Serialize)]
pub struct Change {
    pub before: Outcome,
    pub after: Outcome,
    /// The verdicts are the same, and what is handed to the workflow is not.
    pub other_inputs: bool,
    pub by_candidate: bool,
    pub count: usize,
    pub examples: Vec<Example>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Example {
    pub id: MessageId,
    pub received_at: DateTime<Utc>,
    pub from: Option<String>,
    pub subject: Option<String>,
    pub before: String,
    pub after: String,
}

/// Messages that one rule decided.
#[derive(Debug, Clone, Serialize)]
pub struct Caught {
    /// None: the default.
    pub rule: Option<String>,
    /// Verdict in words, with how many messages got it. None: it matched nothing.
    pub verdicts: Vec<(String, usize)>,
}

/// One message, seen again.
pub(super) struct Seen {
    pub id: MessageId,
    pub received_at: DateTime<Utc>,
    pub from: Option<String>,
    pub subject: Option<String>,
    pub fate: Fate,
}

pub(super) enum Fate {
    Guarded,
    Unreadable,
    Screened(Box<Compared>),
}

/// Two verdicts on one message.
pub(super) struct Compared {
    /// With the reason.
    pub before: (Outcome, String),
    pub after: (Outcome, String),
    pub other_inputs: bool,
    pub by_candidate: bool,
}

type Kind = (Outcome, Outcome, bool, bool);

/// Counts messages in the order in which they are given.
pub(super) struct Tally {
    most_examples: usize,
    messages: usize,
    guarded: usize,
    unreadable: usize,
    screened: usize,
    by_another_rule: usize,
    changes: BTreeMap<Kind, (usize, Vec<Example>)>,
    /// Rule, then verdict in words.
    caught: BTreeMap<Option<String>, BTreeMap<String, usize>>,
}

impl Tally {
    pub fn new(most_examples: usize) -> Self {
        Self {
            most_examples,
            messages: 0,
            guarded: 0,
            unreadable: 0,
            screened: 0,
            by_another_rule: 0,
            changes: BTreeMap::new(),
            caught: BTreeMap::new(),
        }
    }

    pub fn add(&mut self, seen: Seen) {
        self.messages += 1;
        let Seen { id, received_at, from, subject, fate } = seen;
        let Compared { before, after, other_inputs, by_candidate } = match fate {
            Fate::Guarded => {
                self.guarded += 1;
                return;
            }
            Fate::Unreadable => {
                self.unreadable += 1;
                return;
            }
            Fate::Screened(compared) => *compared,
        };
        self.screened += 1;
        *self.caught.entry(after.0.rule.clone()).or_default().entry(after.0.told()).or_default() += 1;
        if before.0.is_same(&after.0) && !other_inputs {
            self.by_another_rule += usize::from(before.0.rule != after.0.rule);
            return;
        }
        let (count, examples) =
            self.changes.entry((before.0, after.0, other_inputs, by_candidate)).or_insert((0, vec![]));
        *count += 1;
        if examples.len() < self.most_examples {
            let (before, after) = (before.1, after.1);
            examples.push(Example { id, received_at, from, subject, before, after });
        }
    }

    pub fn told(mut self, wanted: &Wanted, until: DateTime<Utc>, rules: &RuleSet) -> Replay {
        let names = rules.rule_names().map(|name| Some(name.to_owned())).chain([None]);
        let caught = names.map(|rule| {
            let verdicts = self.caught.remove(&rule).unwrap_or_default().into_iter().collect();
            Caught { rule, verdicts }
        });
        let rules_told = caught.collect();
        let change = |((before, after, other_inputs, by_candidate), (count, examples)): (Kind, _)| Change {
            before,
            after,
            other_inputs,
            by_candidate,
            count,
            examples,
        };
        let mut changes: Vec<Change> = self.changes.into_iter().map(change).collect();
        changes.sort_by_key(|change| std::cmp::Reverse(change.count));
        Replay {
            since: wanted.since,
            until,
            mailbox: wanted.mailbox.clone(),
            ruleset: rules.hash().to_owned(),
            against: wanted.against,
            people: wanted.people,
            messages: self.messages,
            guarded: self.guarded,
            unreadable: self.unreadable,
            screened: self.screened,
            changed: changes.iter().map(|change| change.count).sum(),
            by_candidate: changes.iter().filter(|change| change.by_candidate).map(|change| change.count).sum(),
            by_another_rule: self.by_another_rule,
            changes,
            rules: rules_told,
        }
    }
}
