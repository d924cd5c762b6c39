//! `also`: what a rule has done besides its verdict. `also = { move = "Contracts", tag = "contract" }`, or a list of such
//! tables.

use std::ops::Range;

use super::Known;
use super::read::{Entry, Fault, tables, texts, words};
use crate::domain::also::Deed;

/// The keys of one table.
pub(super) const KEYS: [&str; 5] = ["forward", "move", "tag", "notify", "template"];

/// Templates that tell of a message; the first one when none is named.
pub(super) const TEMPLATES: [&str; 2] = ["rule-note", "notify"];

/// Longest name of a folder and longest tag, in characters.
const MAX_NAME: usize = 200;

/// A deed and where it is written.
type Written = (Range<usize>, Deed);

/// Reads what a test expects: as in a rule, and `[]` is nothing.
///
/// # Errors
/// What is wrong wherever it stands: keys, addresses, words.
pub(super) fn read_expected(entry: &Entry<'_>) -> Result<Vec<Deed>, Fault> {
    Ok(read_tables(entry)?.into_iter().map(|(_, deed)| deed).collect())
}

/// Reads what a rule or the default says.
///
/// # Errors
/// As `read_expected`; two folders, a folder or an address of ours, people that nobody is.
pub(super) fn read(entry: &Entry<'_>, known: &Known) -> Result<Vec<Deed>, Fault> {
    let deeds = read_tables(entry)?;
    if deeds.is_empty() {
        return Err(Fault::new(entry.value.span(), "`also` is empty", "say what else happens, or remove it"));
    }
    let mut folders = 0;
    for (span, deed) in &deeds {
        match deed {
            Deed::Forward { forward } => refuse_own(span, forward, known)?,
            Deed::Notify { notify, .. } if notify.contains('@') => refuse_own(span, notify, known)?,
            Deed::Notify { notify, .. } => refuse_unknown(span, notify, known)?,
            Deed::Move { folder } => {
                folders += 1;
                if folders > 1 {
                    return Err(Fault::new(span.clone(), "a mail goes to one folder", "keep one `move`"));
                }
                if known.folders.iter().any(|read| read.eq_ignore_ascii_case(folder)) {
                    let what = format!("mail is read from folder {folder}: it would come again");
                    return Err(Fault::new(span.clone(), what, "name a folder that no mailbox reads"));
                }
            }
            Deed::Tag { .. } => {}
        }
    }
    Ok(deeds.into_iter().map(|(_, deed)| deed).collect())
}

fn read_tables(entry: &Entry<'_>) -> Result<Vec<Written>, Fault> {
    let mut deeds: Vec<Written> = vec![];
    for (span, keys) in tables(entry.value)? {
        let template = keys.iter().find(|key| key.key == "template").map(template).transpose()?;
        let mut says_nothing = true;
        for key in &keys {
            let deed: fn(&str) -> Deed = match key.key {
                "forward" => |text| Deed::Forward { forward: text.to_owned() },
                "move" => |text| Deed::Move { folder: text.to_owned() },
                "tag" => |text| Deed::Tag { tag: text.to_owned() },
                "notify" => |text| Deed::Notify { notify: text.to_owned(), template: String::new() },
                "template" => continue,
                other => return Err(Fault::unknown(key.key_span(), "key", other, KEYS)),
            };
            says_nothing = false;
            for (span, text) in texts(key.value)? {
                let mut deed = deed(text);
                check(&span, &deed)?;
                if let Deed::Notify { template: by, .. } = &mut deed {
                    *by = template.unwrap_or(TEMPLATES[0]).to_owned();
                }
                if !deeds.iter().any(|(_, known)| *known == deed) {
                    deeds.push((span, deed));
                }
            }
        }
        if let Some(stray) = keys.iter().find(|key| key.key == "template")
            && !keys.iter().any(|key| key.key == "notify")
        {
            return Err(Fault::new(stray.key_span(), "`template` goes with `notify`", "remove it"));
        }
        if says_nothing {
            return Err(Fault::new(span, "this says nothing", "write { forward = \"somebody@acme.example\" }"));
        }
    }
    Ok(deeds)
}

fn template<'a>(entry: &Entry<'a>) -> Result<&'a str, Fault> {
    let name = words(entry.value)?;
    match TEMPLATES.contains(&name) {
        true => Ok(name),
        false => Err(Fault::unknown(entry.value.span(), "template for `notify`", name, TEMPLATES)),
    }
}

/// Whether a text is what its key takes.
fn check(span: &Range<usize>, deed: &Deed) -> Result<(), Fault> {
    let wrong = |what: String, mend: &str| Err(Fault::new(span.clone(), what, mend));
    match deed {
        Deed::Forward { forward: address } => check_address(span, address),
        Deed::Notify { notify, .. } if notify.contains('@') => check_address(span, notify),
        Deed::Notify { notify, .. } if notify.trim().is_empty() || notify == "role:" => {
            wrong("nobody is named".to_owned(), "write a user, \"role:finance\", or an address")
        }
        Deed::Notify { .. } => Ok(()),
        Deed::Move { folder } => {
            let parts = || folder.split(['/', '.']);
            if parts().any(|part| part.trim().is_empty()) || folder.chars().any(char::is_control) {
                return wrong(format!("`{folder}` is no folder"), "write \"Contracts\" or \"Filed/Contracts\"");
            }
            match folder.chars().count() > MAX_NAME {
                true => wrong("this name is too long".to_owned(), "write a shorter one"),
                false => Ok(()),
            }
        }
        Deed::Tag { tag } => {
            let is_word = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
            match !tag.is_empty() && tag.chars().all(is_word) && tag.chars().count() <= MAX_NAME {
                true => Ok(()),
                false => wrong(format!("`{tag}` is no tag"), "write one word, such as \"contract\""),
            }
        }
    }
}

/// As the sending of it would refuse it.
fn check_address(span: &Range<usize>, address: &str) -> Result<(), Fault> {
    match address.parse::<lettre::Address>() {
        Ok(_) => Ok(()),
        Err(_) => Err(Fault::new(span.clone(), format!("`{address}` is no mail address"), "write local@domain")),
    }
}

fn refuse_own(span: &Range<usize>, address: &str, known: &Known) -> Result<(), Fault> {
    match known.addresses.iter().any(|own| crate::domain::person::same_base(address, own)) {
        true => {
            let what = format!("{address} is an address of ours: the mail would go in circles");
            Err(Fault::new(span.clone(), what, "name an address that no mailbox here reads"))
        }
        false => Ok(()),
    }
}

fn refuse_unknown(span: &Range<usize>, name: &str, known: &Known) -> Result<(), Fault> {
    match &known.people {
        Some(people) if !people.iter().any(|known| known == name) => {
            let kind = if name.starts_with("role:") { "role" } else { "user" };
            Err(Fault::unknown(span.clone(), kind, name, people.iter().map(String::as_str)))
        }
        _ => Ok(()),
    }
}
