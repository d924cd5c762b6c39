//! A stored message as rules saw it when it was decided. Pure.
//!
//! From the record: what the mail says, as it was parsed and verified at arrival; the instant; whether it or its documents had
//! come before; whether its author had written before; and, unless today's people are asked for, which supplier or user the
//! author was and whom the domain imitated. Computed anew from these: everything else. Nothing is fetched.

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::People;
use crate::domain::message::Message;
use crate::domain::person::Customer;
use crate::domain::verdict::Explanation;
use crate::intake::filing;
use crate::rules::{Facts, Surroundings};
use crate::store::past::PastRow;

/// What a stored message is to a replay.
pub enum Recalled {
    /// A guard had settled it before any rule, and would again: guards are no rules.
    Guarded,
    /// It was never parsed, or an older version wrote it otherwise.
    Unreadable,
    ForRules(Box<Mail>),
}

/// A message that rules decided.
pub struct Mail {
    pub message: Message,
    pub explanation: Explanation,
}

impl Recalled {
    pub fn from(row: &PastRow) -> Self {
        let explanation: Option<Explanation> = read(row.explanation.as_deref());
        let Some(explanation) = explanation else { return Self::Unreadable };
        if explanation.guard.is_some() {
            return Self::Guarded;
        }
        // What a person started against the rules was quarantined by rules; its explanation still tells.
        match read(row.facts.as_deref()) {
            Some(message) => Self::ForRules(Box::new(Mail { message, explanation })),
            None => Self::Unreadable,
        }
    }
}

impl Mail {
    /// What rules would know of it. `customer` is as the database has it today.
    pub fn facts(&self, row: &PastRow, customer: &Customer, people: People) -> Facts {
        let then = &self.explanation.facts;
        let joined = self.explanation.answers.as_ref().and_then(|answers| answers.joined.as_ref());
        let joins = joined.map(|joined| (joined.transaction, row.id));
        let paths = filing::part_paths(&row.customer, row.transaction_id, &self.message, joins);
        let mut documents = filing::documents(&self.message, &paths);
        documents.extend(joined.iter().flat_map(|joined| joined.documents.iter().cloned()));
        let decided = row.decided_at.unwrap_or(row.listed_at);
        let surroundings = Surroundings {
            mailbox: &row.mailbox,
            customer,
            duplicate_of: known(then, "duplicate_of").flatten(),
            earlier: &[],
            first_time_sender: known(then, "first_time_sender"),
            now: known::<DateTime<Utc>>(then, "now").unwrap_or(decided),
            documents: &documents,
            joined,
        };
        let mut facts = Facts::gather(&self.message, &surroundings);
        if let Some(repeated) = known(then, "duplicate_documents") {
            facts.duplicate_documents = repeated;
            facts.duplicate_documents_of = known(then, "duplicate_documents_of").flatten();
        }
        if people == People::Then {
            let told = [
                ("supplier", &mut facts.supplier),
                ("user", &mut facts.user),
                ("lookalike_of", &mut facts.lookalike_of),
            ];
            for (name, fact) in told {
                if let Some(then) = known(then, name) {
                    *fact = then;
                }
            }
        }
        facts
    }
}

fn read<T: DeserializeOwned>(text: Option<&str>) -> Option<T> {
    serde_json::from_str(text?).ok()
}

/// A fact as it was written down; none when nothing was.
fn known<T: DeserializeOwned>(facts: &Map<String, Value>, name: &str) -> Option<T> {
    facts.get(name).and_then(|value| T::deserialize(value).ok())
}
