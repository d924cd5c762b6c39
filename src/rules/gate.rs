//! Gates: most rules of a large set begin with a text that the message does not have. What is there opens the few that have to be
//! asked; the others are passed over without a look at their conditions.

use std::cell::OnceCell;
use std::collections::HashMap;

use super::compile::Clauses;
use super::seen::{Place, Seen};

/// One gate for each that begins with patterns, by its number.
#[derive(Debug, Default)]
pub(super) struct Gates {
    places: Vec<Gate>,
    /// The place of the gate of each; none where something else is asked first.
    of: Vec<Option<usize>>,
}

/// Patterns over one place, and whom each opens.
#[derive(Debug)]
struct Gate {
    place: Place,
    /// Key of the conditions that look there.
    key: &'static str,
    opens: HashMap<usize, Vec<usize>>,
}

impl Gates {
    pub fn new<'c>(all: impl Iterator<Item = &'c Clauses>) -> Self {
        let mut gates = Self::default();
        for (number, clauses) in all.enumerate() {
            let first = clauses.all.iter().find(|clause| !clause.condition.is_costly());
            let gate = first.and_then(|clause| Some((clause.key, clause.condition.needs()?)));
            let at = gate.map(|(key, (place, patterns))| {
                let at = gates.at(place, key);
                for pattern in patterns {
                    gates.places[at].opens.entry(*pattern).or_default().push(number);
                }
                at
            });
            gates.of.push(at);
        }
        gates
    }

    fn at(&mut self, place: Place, key: &'static str) -> usize {
        let known = self.places.iter().position(|gate| gate.place == place);
        known.unwrap_or_else(|| {
            self.places.push(Gate { place, key, opens: HashMap::new() });
            self.places.len() - 1
        })
    }

    /// For one message.
    pub fn for_message(&self) -> Open<'_> {
        Open { gates: self, numbers: vec![OnceCell::new(); self.places.len()] }
    }
}

/// What one message opens, found out when it is first asked.
#[derive(Debug)]
pub(super) struct Open<'g> {
    gates: &'g Gates,
    /// Whom each place opens, in order; none: everybody, because the fact is not known.
    numbers: Vec<OnceCell<Option<Vec<usize>>>>,
}

impl Open<'_> {
    /// The condition by which the one of this number certainly does not match. None: its conditions have to say.
    pub fn closed_by(&self, number: usize, seen: &Seen<'_>) -> Option<&'static str> {
        let at = (*self.gates.of.get(number)?)?;
        let gate = self.gates.places.get(at)?;
        let open = self.numbers.get(at)?.get_or_init(|| {
            let mut open: Vec<usize> =
                seen.matching(gate.place)?.iter().filter_map(|p| gate.opens.get(p)).flatten().copied().collect();
            open.sort_unstable();
            Some(open)
        });
        open.as_ref()?.binary_search(&number).is_err().then_some(gate.key)
    }
}
