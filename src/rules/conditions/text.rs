//! Conditions on texts and addresses: patterns over one field.

use super::{Compiled, Condition, Held, Kind, Look, Workshop, one_of};
use crate::rules::pattern::Pattern;
use crate::rules::read::{Entry, Fault, shorten, texts};
use crate::rules::seen::{Field, Place, Seen};

pub(super) const KINDS: &[Kind] = &[
    Kind { key: "mailbox", compile },
    Kind { key: "customer", compile },
    Kind { key: "from", compile },
    Kind { key: "from_domain", compile },
    Kind { key: "innermost_from", compile },
    Kind { key: "to", compile },
    Kind { key: "subject", compile },
    Kind { key: "body", compile },
    Kind { key: "any_text", compile },
];

#[derive(Debug)]
struct Text {
    field: Field,
    /// Numbers of the patterns in the field's bank.
    numbers: Vec<usize>,
    /// The patterns in words.
    wanted: String,
    captures: Vec<String>,
}

fn compile(entry: &Entry<'_>, workshop: &mut Workshop<'_>) -> Compiled {
    let field = Field::of_key(entry.key)
        .ok_or_else(|| Fault::new(entry.key_span(), "this key names no text", "report this as a fault"))?;
    let mut text = Text { field, numbers: vec![], wanted: String::new(), captures: vec![] };
    let mut all = vec![];
    for (span, written) in texts(entry.value)? {
        let pattern = Pattern::parse(written).map_err(|why| {
            Fault::new(span, why, "write a glob such as \"*invoice*\", or a regex such as \"/inv-\\\\d+/i\"")
        })?;
        text.captures.extend(pattern.capture_names().map(str::to_owned));
        all.push(pattern.written.clone());
        text.numbers.push(workshop.banks.add(field, pattern));
    }
    text.wanted = one_of(&all, "patterns");
    Ok(Box::new(text))
}

impl Condition for Text {
    fn held(&self, seen: &Seen<'_>) -> Held {
        seen.field(self.field).any(&self.numbers).map_or(Held::Unknown, Held::from)
    }

    fn look(&self, seen: &Seen<'_>) -> Look {
        let key = self.field.key();
        let sighted = seen.field(self.field);
        let hit = |number: &usize| Some((sighted.pattern(*number)?, sighted.first(*number)?));
        if let Some((pattern, value)) = self.numbers.iter().find_map(hit) {
            let because = match self.field {
                Field::Body | Field::AnyText => format!("{key} matches `{}`", pattern.written),
                _ => format!("{key} `{}` matches `{}`", shorten(value, 80), pattern.written),
            };
            return Look { captures: pattern.captures(value), ..Look::new(true, because) };
        }
        let wanted = &self.wanted;
        match sighted.values.as_deref() {
            None => Look::unknown(key),
            Some([]) => Look::new(false, format!("there is no {key} to match {wanted}")),
            Some([value]) if self.field != Field::Body => {
                Look::new(false, format!("{key} `{}` is not {wanted}", shorten(value, 80)))
            }
            Some(_) => Look::new(false, format!("{key} does not match {wanted}")),
        }
    }

    fn needs(&self) -> Option<(Place, &[usize])> {
        Some((Place::Field(self.field), &self.numbers))
    }

    fn wish(&self) -> String {
        format!("{} matched {}", self.field.key(), self.wanted)
    }

    fn capture_names(&self) -> Vec<String> {
        self.captures.clone()
    }
}
