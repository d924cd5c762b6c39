//! The time machine: stored mail screened again, by candidate rules or those in force, and what would become of it otherwise.
//! Reads the database and nothing else; writes nothing.
//!
//! Pages of rows are read in the order of listing and screened on all processors while the next page is read, so what is in
//! memory stays the same however long the past is.

mod outcome;
mod recall;
mod tally;

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};

pub use outcome::Outcome;
pub use recall::{Mail, Recalled};
pub use tally::{Caught, Change, Example, Replay};

use super::outcome::refused_by_workflow;
use super::{Intake, IntakeError};
use crate::behaviour::Behaviour;
use crate::domain::person::Customer;
use crate::domain::verdict::Decision;
use crate::domain::words::words;
use crate::rules::{Facts, RuleSet};
use crate::store::past::{self, PastRow, Place};
use crate::store::people;
use tally::{Compared, Fate, Seen, Tally};

words! {
    /// What new verdicts are compared with.
    Against {
        /// The verdict that was given at the time.
        Recorded = "recorded",
        /// The verdict that the rules in force would give.
        Current = "current",
    }
}

words! {
    /// Whose suppliers and users count.
    People {
        /// As they were when the message was decided.
        Then = "then",
        Now = "now",
    }
}

/// What to replay, and how.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub since: DateTime<Utc>,
    /// All when missing.
    pub mailbox: Option<String>,
    pub against: Against,
    pub people: People,
    /// Kept for each kind of change.
    pub examples: usize,
}

/// Rows read at once, and so at most twice as many in memory.
const PAGE: usize = 256;

impl Intake {
    /// Screens what was decided on mail listed since an instant once more, by `candidate` or the rules in force.
    ///
    /// # Errors
    /// When there is no such mailbox, or the database is away.
    pub async fn replay(
        self: &Arc<Self>,
        wanted: &Wanted,
        candidate: Option<Arc<RuleSet>>,
    ) -> Result<Replay, IntakeError> {
        if let Some(name) = &wanted.mailbox {
            self.mailbox(name)?;
        }
        let until = self.engine.clock.now();
        let screening = Screening {
            intake: Arc::clone(self),
            current: self.behaviour(),
            candidate,
            against: wanted.against,
            people: wanted.people,
        };
        let hands = std::thread::available_parallelism().map_or(1, usize::from);
        let mut tally = Tally::new(wanted.examples);
        let mut customers: HashMap<String, Arc<Customer>> = HashMap::new();
        let (mut place, mut in_hand) = (Place::before(wanted.since), vec![]);
        loop {
            let mut tx = self.engine.store.read().await?;
            let rows = past::page(&mut tx, place, until, wanted.mailbox.as_deref(), PAGE as i64).await?;
            let mut page = Vec::with_capacity(rows.len());
            for row in rows {
                place = Place::of(&row);
                let customer = match customers.get(&row.customer) {
                    Some(known) => Arc::clone(known),
                    None => {
                        let customer = Arc::new(people::customer(&mut tx, &row.customer).await?);
                        customers.insert(row.customer.clone(), Arc::clone(&customer));
                        customer
                    }
                };
                page.push((row, customer));
            }
            drop(tx);
            for screened in in_hand.drain(..) {
                let screened: tokio::task::JoinHandle<Vec<Seen>> = screened;
                let screened = screened.await;
                let failed = |error| IntakeError::Message(format!("screen stored mail: {error}"));
                screened.map_err(failed)?.into_iter().for_each(|seen| tally.add(seen));
            }
            if page.is_empty() {
                break;
            }
            let share = page.len().div_ceil(hands);
            while !page.is_empty() {
                let rest = page.split_off(share.min(page.len()));
                let (share, screening) = (std::mem::replace(&mut page, rest), screening.clone());
                in_hand.push(tokio::task::spawn_blocking(move || {
                    share.into_iter().map(|(row, customer)| screening.see(row, &customer)).collect()
                }));
            }
        }
        Ok(tally.told(wanted, until, screening.rules()))
    }
}

/// What each message is screened with.
#[derive(Clone)]
struct Screening {
    intake: Arc<Intake>,
    /// What is in force.
    current: Arc<Behaviour>,
    candidate: Option<Arc<RuleSet>>,
    against: Against,
    people: People,
}

impl Screening {
    fn rules(&self) -> &RuleSet {
        self.candidate.as_deref().unwrap_or(&self.current.rules)
    }

    fn see(&self, row: PastRow, customer: &Customer) -> Seen {
        let fate = match Recalled::from(&row) {
            Recalled::Guarded => Fate::Guarded,
            Recalled::Unreadable => Fate::Unreadable,
            Recalled::ForRules(mail) => Fate::Screened(Box::new(self.compare(&row, &mail, customer))),
        };
        Seen {
            id: row.id,
            received_at: row.received_at.unwrap_or(row.listed_at),
            from: row.from_address,
            subject: row.subject,
            fate,
        }
    }

    fn compare(&self, row: &PastRow, mail: &Mail, customer: &Customer) -> Compared {
        let facts = mail.facts(row, customer, self.people);
        let after = self.intake.decide_by(self.rules(), &facts);
        let current = || self.intake.decide_by(&self.current.rules, &facts);
        let outcome = Outcome::of(&after);
        if self.against == Against::Current {
            let before = current();
            // Both are known in whole, inputs included.
            let other_inputs = before.verdict != after.verdict && Outcome::of(&before).is_same(&outcome);
            let before = (Outcome::of(&before), before.reason);
            return Compared { before, after: (outcome, after.reason), other_inputs, by_candidate: true };
        }
        let before = Outcome::recorded(row, &mail.explanation);
        let changed = !before.is_same(&outcome);
        let by_candidate = changed && self.candidate.is_some() && !Outcome::of(&current()).is_same(&outcome);
        let before = (before, row.reason.clone().unwrap_or_default());
        Compared { before, after: (outcome, after.reason), other_inputs: false, by_candidate }
    }
}

impl Intake {
    /// What rules make of facts; a start that its workflow would refuse is the quarantine that it would become.
    pub(super) fn decide_by(&self, rules: &RuleSet, facts: &Facts) -> Decision {
        refused_by_workflow(&self.behaviour(), &facts.customer, rules.screen(facts))
    }
}
