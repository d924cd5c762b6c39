//! `in_list = { from_domain = "name" }`: whether an address is in a list of the file.

use super::{Compiled, Condition, Held, Kind, Look, Workshop};
use crate::rules::lists::List;
use crate::rules::read::{Entry, Fault, shorten, table, texts};
use crate::rules::seen::{Field, Seen};

pub(super) const KINDS: &[Kind] = &[Kind { key: "in_list", compile }];

const FIELDS: [Field; 5] = [Field::From, Field::FromDomain, Field::InnermostFrom, Field::To, Field::Subject];

/// Each field must be in one of its lists.
#[derive(Debug)]
struct InList(Vec<(Field, Vec<(String, List)>)>);

fn compile(entry: &Entry<'_>, workshop: &mut Workshop<'_>) -> Compiled {
    let mut wanted = vec![];
    for key in table(entry.value)? {
        let field = FIELDS
            .into_iter()
            .find(|field| field.key() == key.key)
            .ok_or_else(|| Fault::unknown(key.key_span(), "fact", key.key, FIELDS.map(Field::key)))?;
        let mut lists = vec![];
        for (span, name) in texts(key.value)? {
            let known = workshop.lists.keys().map(String::as_str);
            let list = workshop.lists.get(name).ok_or_else(|| Fault::unknown(span, "list", name, known))?;
            lists.push((name.to_owned(), list.clone()));
        }
        wanted.push((field, lists));
    }
    if wanted.is_empty() {
        return Err(Fault::new(entry.value.span(), "no list is named", "write { from_domain = \"name of a list\" }"));
    }
    Ok(Box::new(InList(wanted)))
}

impl Condition for InList {
    fn held(&self, seen: &Seen<'_>) -> Held {
        for (field, lists) in &self.0 {
            if seen.field(*field).values.is_none() {
                return Held::Unknown;
            }
            if !lists.iter().any(|(_, list)| seen.listed(*field, list).is_some()) {
                return Held::No;
            }
        }
        Held::Yes
    }

    fn look(&self, seen: &Seen<'_>) -> Look {
        let mut because = vec![];
        for (field, lists) in &self.0 {
            let key = field.key();
            let Some(values) = &seen.field(*field).values else { return Look::unknown(key) };
            let hit =
                values.iter().find_map(|v| Some((v, lists.iter().find(|(_, list)| list.contains(seen.facts, v))?)));
            let Some((value, (name, _))) = hit else {
                return Look::new(false, format!("{key} is not in {}", names(lists)));
            };
            because.push(format!("{key} `{}` is in {name}", shorten(value, 80)));
        }
        Look::new(true, because.join(", "))
    }

    fn wish(&self) -> String {
        let each = self.0.iter().map(|(field, lists)| format!("{} were in {}", field.key(), names(lists)));
        each.collect::<Vec<_>>().join(" and ")
    }
}

fn names(lists: &[(String, List)]) -> String {
    lists.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(" or ")
}
