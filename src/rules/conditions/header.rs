//! `header = { name = pattern }`: any header field, every named one must match.

use super::{Compiled, Condition, Held, Kind, Look, Workshop, one_of};
use crate::rules::pattern::Pattern;
use crate::rules::read::{Entry, Fault, shorten, table, texts};
use crate::rules::seen::{Place, Seen};

pub(super) const KINDS: &[Kind] = &[Kind { key: "header", compile }];

#[derive(Debug)]
struct Header(Vec<Field>);

#[derive(Debug)]
struct Field {
    /// In lower case.
    name: String,
    /// Its place in the banks.
    at: usize,
    /// Numbers of the patterns in its bank.
    numbers: Vec<usize>,
    /// The patterns in words.
    wanted: String,
    captures: Vec<String>,
}

fn compile(entry: &Entry<'_>, workshop: &mut Workshop<'_>) -> Compiled {
    let mut wanted = vec![];
    for field in table(entry.value)? {
        let is_name = !field.key.is_empty() && field.key.bytes().all(|b| b.is_ascii_graphic() && b != b':');
        if !is_name {
            let what = format!("`{}` is no name of a header field", field.key);
            return Err(Fault::new(field.key_span(), what, "write it as in the mail, without the colon"));
        }
        let name = field.key.to_ascii_lowercase();
        let at = workshop.banks.header(&name);
        let (mut numbers, mut written, mut captures) = (vec![], vec![], vec![]);
        for (span, text) in texts(field.value)? {
            let pattern = Pattern::parse(text).map_err(|why| Fault::new(span, why, "mend the pattern"))?;
            captures.extend(pattern.capture_names().map(str::to_owned));
            written.push(text);
            numbers.push(workshop.banks.add_header(at, pattern));
        }
        wanted.push(Field { name, at, numbers, wanted: one_of(&written, "patterns"), captures });
    }
    if wanted.is_empty() {
        return Err(Fault::new(entry.value.span(), "no header is named", "write { \"list-id\" = \"*\" }"));
    }
    Ok(Box::new(Header(wanted)))
}

impl Condition for Header {
    fn held(&self, seen: &Seen<'_>) -> Held {
        let is_there = |field: &Field| seen.header(field.at).and_then(|sighted| sighted.any(&field.numbers));
        self.0.iter().all(|field| is_there(field) == Some(true)).into()
    }

    fn look(&self, seen: &Seen<'_>) -> Look {
        let mut found = Look::new(true, "");
        let mut because = vec![];
        for Field { name, at, numbers, wanted, .. } in &self.0 {
            let sighted = seen.header(*at);
            let values = sighted.and_then(|sighted| sighted.values.as_deref()).unwrap_or_default();
            // The topmost field that any pattern matches.
            let hit = sighted.into_iter().find_map(|sighted| {
                values.iter().enumerate().find_map(|(place, value)| {
                    let number = numbers.iter().find(|number| sighted.is_match(place, **number))?;
                    Some((value, sighted.pattern(*number)?))
                })
            });
            match hit {
                Some((value, pattern)) => {
                    found.captures.extend(pattern.captures(value));
                    because.push(format!("{name} `{}` matches `{}`", shorten(value, 80), pattern.written));
                }
                None if values.is_empty() => return Look::new(false, format!("there is no header {name}")),
                None => return Look::new(false, format!("header {name} does not match {wanted}")),
            }
        }
        Look { because: because.join(", "), ..found }
    }

    fn needs(&self) -> Option<(Place, &[usize])> {
        self.0.first().map(|field| (Place::Header(field.at), field.numbers.as_slice()))
    }

    fn wish(&self) -> String {
        let each = self.0.iter().map(|field| format!("header {} matched {}", field.name, field.wanted));
        each.collect::<Vec<_>>().join(" and ")
    }

    fn capture_names(&self) -> Vec<String> {
        self.0.iter().flat_map(|field| field.captures.iter().cloned()).collect()
    }
}
