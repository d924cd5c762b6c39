//! Conditions on what is attached: `attachment`, `documents_min`, `usable_documents`.

use super::{Compiled, Condition, Held, Kind, Look, Workshop, one_of};
use crate::domain::message::{PartKind, PartRole};
use crate::rules::facts::Attachment;
use crate::rules::pattern::Pattern;
use crate::rules::read::{Entry, Fault, closed, count, integer, shorten, size, tables, texts};
use crate::rules::seen::{Place, Seen};

pub(super) const KINDS: &[Kind] = &[
    Kind { key: "attachment", compile },
    Kind { key: "documents_min", compile: compile_documents },
    Kind { key: "usable_documents", compile: compile_usable },
];

/// At least `count_min` parts that are all of this.
#[derive(Debug, Default)]
struct Wanted {
    /// Numbers of the patterns in the bank of file names.
    names: Vec<usize>,
    captures: Vec<String>,
    kinds: Vec<PartKind>,
    roles: Vec<PartRole>,
    size_min: u64,
    size_max: Option<u64>,
    count_min: usize,
    written: String,
}

/// Any one of several.
#[derive(Debug)]
struct AnyAttachment(Vec<Wanted>);

fn compile(entry: &Entry<'_>, workshop: &mut Workshop<'_>) -> Compiled {
    const KEYS: [&str; 6] = ["name", "kind", "role", "size_min", "size_max", "count_min"];
    let mut all = vec![];
    for (span, keys) in tables(entry.value)? {
        let mut wanted = Wanted { count_min: 1, ..Default::default() };
        if keys.is_empty() {
            return Err(Fault::new(span, "no attachment is described", "write { kind = \"pdf\" }"));
        }
        for key in keys {
            match key.key {
                "name" => {
                    for (span, written) in texts(key.value)? {
                        let mend = "write a glob such as \"*.pdf\"";
                        let pattern = Pattern::parse(written).map_err(|why| Fault::new(span, why, mend))?;
                        wanted.captures.extend(pattern.capture_names().map(str::to_owned));
                        wanted.names.push(workshop.banks.add_file_name(pattern));
                    }
                }
                "kind" => wanted.kinds = closed(key.value, "kind of part", PartKind::ALL)?,
                "role" => wanted.roles = closed(key.value, "role of part", PartRole::ALL)?,
                "size_min" => wanted.size_min = size(key.value)?,
                "size_max" => wanted.size_max = Some(size(key.value)?),
                "count_min" => wanted.count_min = count(key.value)?.max(1),
                other => return Err(Fault::unknown(key.key_span(), "key", other, KEYS)),
            }
            let space = if wanted.written.is_empty() { "" } else { ", " };
            wanted.written.push_str(&format!("{space}{}", key.written()));
        }
        if wanted.size_max.is_some_and(|max| max < wanted.size_min) {
            return Err(Fault::new(span, "size_max is less than size_min", "no attachment can be both; swap them"));
        }
        all.push(wanted);
    }
    if all.is_empty() {
        return Err(Fault::new(entry.value.span(), "this list is empty", "describe an attachment, or remove the key"));
    }
    Ok(Box::new(AnyAttachment(all)))
}

impl Wanted {
    /// Whether the attachment at this place is all of it.
    fn fits(&self, seen: &Seen<'_>, at: usize, part: &Attachment) -> bool {
        (self.names.is_empty() || self.names.iter().any(|number| seen.file_names().is_match(at, *number)))
            && (self.kinds.is_empty() || self.kinds.contains(&part.kind))
            && (self.roles.is_empty() || self.roles.contains(&part.role))
            && part.size_bytes >= self.size_min
            && self.size_max.is_none_or(|max| part.size_bytes <= max)
    }
}

impl Condition for AnyAttachment {
    fn held(&self, seen: &Seen<'_>) -> Held {
        let parts = || seen.facts.attachments.iter().enumerate();
        let enough = |wanted: &Wanted| {
            parts().filter(|(at, part)| wanted.fits(seen, *at, part)).take(wanted.count_min).count() == wanted.count_min
        };
        self.0.iter().any(enough).into()
    }

    fn look(&self, seen: &Seen<'_>) -> Look {
        let parts = &seen.facts.attachments;
        for wanted in &self.0 {
            let fits = |(at, part): &(usize, &Attachment)| wanted.fits(seen, *at, part);
            let fitting: Vec<_> = parts.iter().enumerate().filter(fits).map(|(_, part)| part).collect();
            if fitting.len() >= wanted.count_min {
                let names: Vec<_> = fitting.iter().map(|part| shorten(&part.name, 60)).collect();
                let patterns = wanted.names.iter().filter_map(|number| seen.file_names().pattern(*number));
                let pattern = patterns.zip(fitting.iter().cycle());
                let captures = pattern.flat_map(|(pattern, part)| pattern.captures(&part.name)).collect();
                let because = format!("attached: {} ({})", one_of(&names, "files"), wanted.written);
                return Look { captures, ..Look::new(true, because) };
            }
        }
        Look::new(false, format!("of {} attachments not enough are {}", parts.len(), self.written()))
    }

    fn needs(&self) -> Option<(Place, &[usize])> {
        match self.0.as_slice() {
            [only] if !only.names.is_empty() => Some((Place::FileName, &only.names)),
            _ => None,
        }
    }

    fn wish(&self) -> String {
        format!("an attachment had {}", self.written())
    }

    fn capture_names(&self) -> Vec<String> {
        self.0.iter().flat_map(|wanted| wanted.captures.iter().cloned()).collect()
    }
}

impl AnyAttachment {
    fn written(&self) -> String {
        self.0.iter().map(|wanted| wanted.written.as_str()).collect::<Vec<_>>().join("; or ")
    }
}

/// A count within bounds.
#[derive(Debug)]
struct Documents {
    usable: bool,
    min: usize,
    max: Option<usize>,
}

fn compile_documents(entry: &Entry<'_>, _: &mut Workshop<'_>) -> Compiled {
    Ok(Box::new(Documents { usable: false, min: count(entry.value)?, max: None }))
}

fn compile_usable(entry: &Entry<'_>, _: &mut Workshop<'_>) -> Compiled {
    let mut wanted = Documents { usable: true, min: 0, max: None };
    if entry.value.get_ref().is_integer() {
        integer(entry.value)?;
        wanted.min = count(entry.value)?;
        wanted.max = Some(wanted.min);
        return Ok(Box::new(wanted));
    }
    for (_, keys) in tables(entry.value)? {
        for key in keys {
            match key.key {
                "min" => wanted.min = count(key.value)?,
                "max" => wanted.max = Some(count(key.value)?),
                other => return Err(Fault::unknown(key.key_span(), "key", other, ["min", "max"])),
            }
        }
    }
    if wanted.max.is_some_and(|max| max < wanted.min) {
        return Err(Fault::new(entry.value.span(), "max is less than min", "no count can be both; swap them"));
    }
    Ok(Box::new(wanted))
}

impl Documents {
    fn count(&self, seen: &Seen<'_>) -> usize {
        if self.usable { seen.facts.usable_documents } else { seen.facts.document_count }
    }

    fn bounds(&self) -> String {
        let noun = if self.usable { "usable documents" } else { "documents" };
        match self.max {
            Some(max) if max == self.min => format!("exactly {max} {noun}"),
            Some(max) => format!("{} to {max} {noun}", self.min),
            None => format!("at least {} {noun}", self.min),
        }
    }
}

impl Condition for Documents {
    fn held(&self, seen: &Seen<'_>) -> Held {
        let has = self.count(seen);
        (has >= self.min && self.max.is_none_or(|max| has <= max)).into()
    }

    fn look(&self, seen: &Seen<'_>) -> Look {
        let has = self.count(seen);
        Look::new(self.held(seen) == Held::Yes, format!("{has} there, wanted {}", self.bounds()))
    }

    fn wish(&self) -> String {
        format!("there were {}", self.bounds())
    }
}
