//! `header = { name = pattern }`: any header field, every named one must match.

use super::{Compiled, Condition, Kind, Look, Workshop, one_of};
use crate::rules::pattern::Pattern;
use crate::rules::read::{Entry, Fault, shorten, table, texts};
use crate::rules::seen::Seen;

pub(super) const KINDS: &[Kind] = &[Kind { key: "header", compile }];

#[derive(Debug)]
struct Header(Vec<(String, Vec<Pattern>)>);

fn compile(entry: &Entry<'_>, _: &mut Workshop<'_>) -> Compiled {
    let mut wanted = vec![];
    for field in table(entry.value)? {
        let is_name = !field.key.is_empty() && field.key.bytes().all(|b| b.is_ascii_graphic() && b != b':');
        if !is_name {
            let what = format!("`{}` is no name of a header field", field.key);
            return Err(Fault::new(field.key_span(), what, "write it as in the mail, without the colon"));
        }
        let parse = |(span, written)| Pattern::parse(written).map_err(|why| Fault::new(span, why, "mend the pattern"));
        let patterns = texts(field.value)?.into_iter().map(parse).collect::<Result<_, _>>()?;
        wanted.push((field.key.to_ascii_lowercase(), patterns));
    }
    if wanted.is_empty() {
        return Err(Fault::new(entry.value.span(), "no header is named", "write { \"list-id\" = \"*\" }"));
    }
    Ok(Box::new(Header(wanted)))
}

impl Condition for Header {
    fn look(&self, seen: &Seen<'_>) -> Look {
        let mut found = Look::new(true, "");
        let mut because = vec![];
        for (name, patterns) in &self.0 {
            let mut values = seen.facts.headers.iter().filter(|(known, _)| known == name).map(|(_, value)| value);
            let hit = values.clone().find_map(|value| Some((value, patterns.iter().find(|p| p.is_match(value))?)));
            match hit {
                Some((value, pattern)) => {
                    found.captures.extend(pattern.captures(value));
                    because.push(format!("{name} `{}` matches `{}`", shorten(value, 80), pattern.written));
                }
                None if values.next().is_none() => return Look::new(false, format!("there is no header {name}")),
                None => return Look::new(false, format!("header {name} does not match {}", written(patterns))),
            }
        }
        Look { because: because.join(", "), ..found }
    }

    fn wish(&self) -> String {
        let each = self.0.iter().map(|(name, patterns)| format!("header {name} matched {}", written(patterns)));
        each.collect::<Vec<_>>().join(" and ")
    }

    fn capture_names(&self) -> Vec<String> {
        let patterns = self.0.iter().flat_map(|(_, patterns)| patterns);
        patterns.flat_map(|pattern| pattern.capture_names().map(str::to_owned)).collect()
    }
}

fn written(patterns: &[Pattern]) -> String {
    one_of(&patterns.iter().map(|pattern| pattern.written.as_str()).collect::<Vec<_>>(), "patterns")
}
