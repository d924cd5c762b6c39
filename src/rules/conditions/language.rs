//! `language = ["de", "fr"]`: the language of subject and body. A text that is short or not clear is in none: never permits.

use super::{Compiled, Condition, Held, Kind, Look, Workshop, one_of};
use crate::rules::language::LANGUAGES;
use crate::rules::read::{Entry, closed};
use crate::rules::seen::Seen;

pub(super) const KINDS: &[Kind] = &[Kind { key: "language", compile }];

#[derive(Debug)]
struct Language(Vec<&'static str>);

fn compile(entry: &Entry<'_>, _: &mut Workshop<'_>) -> Compiled {
    Ok(Box::new(Language(closed(entry.value, "language", LANGUAGES)?)))
}

impl Condition for Language {
    fn held(&self, seen: &Seen<'_>) -> Held {
        seen.facts.language().map_or(Held::Unknown, |language| self.0.contains(&language).into())
    }

    fn look(&self, seen: &Seen<'_>) -> Look {
        match seen.facts.language() {
            Some(language) => Look::new(self.0.contains(&language), format!("the language is {language}")),
            None => Look::unknown("language"),
        }
    }

    fn is_costly(&self) -> bool {
        true
    }

    fn wish(&self) -> String {
        format!("the language were {}", one_of(&self.0, "languages"))
    }
}
