//! `automatic = ["bulk", …]`: whether and how a machine wrote it (RFC 3834).

use super::{Compiled, Condition, Held, Kind, Look, Workshop, one_of};
use crate::domain::message::Automatic;
use crate::rules::read::{Entry, closed};
use crate::rules::seen::Seen;

pub(super) const KINDS: &[Kind] = &[Kind { key: "automatic", compile }];

#[derive(Debug)]
struct Wanted(Vec<Automatic>);

fn compile(entry: &Entry<'_>, _: &mut Workshop<'_>) -> Compiled {
    Ok(Box::new(Wanted(closed(entry.value, "kind of automatic mail", Automatic::ALL)?)))
}

impl Condition for Wanted {
    fn held(&self, seen: &Seen<'_>) -> Held {
        seen.facts.automatic.is_some_and(|automatic| self.0.contains(&automatic)).into()
    }

    fn look(&self, seen: &Seen<'_>) -> Look {
        match seen.facts.automatic {
            Some(automatic) => Look::new(self.0.contains(&automatic), format!("automatic is {automatic}")),
            None => Look::new(false, "nothing says that a machine wrote it"),
        }
    }

    fn wish(&self) -> String {
        let wanted: Vec<_> = self.0.iter().map(|automatic| automatic.as_str()).collect();
        format!("automatic were {}", one_of(&wanted, "kinds"))
    }
}
