//! One rule with its tests, as TOML. Pure. What senders wrote goes into it quoted, and into comments as one line.

use std::collections::BTreeSet;

use super::{Kind, Release};
use crate::domain::message::{AuthResult, Message, PartKind, PartRole};
use crate::domain::workflow::Workflow;
use crate::reports::text;

/// Releases shown as tests.
const MOST_TESTS: usize = 5;

/// A drafted rule.
pub(super) struct Draft {
    pub name: String,
    /// What it is drawn from.
    pub about: String,
    pub text: String,
}

/// Drafts a rule that takes in what all releases have in common, and no more.
///
/// # Errors
/// Why no rule should be made of them, in words.
pub(super) fn draft(
    kind: &Kind,
    releases: &[Release],
    workflow: &Workflow,
    shared: bool,
    names: &[String],
) -> Result<Draft, String> {
    let messages = || releases.iter().map(|release| &release.mail.message);
    if !messages().all(|message| message.author().is_some_and(|a| message.authentication.proves(a).is_some())) {
        return Err("not every sender was proven, and anybody can write that From".into());
    }
    let words = common_words(messages());
    let kinds = common_kinds(messages());
    if words.is_empty() && kinds.is_empty() {
        return Err("they have nothing in common but the sender".into());
    }
    let name = free_name(&format!("released-{}", slug(&kind.domain)), names);
    let mut rule = comment(kind, releases);
    rule.push_str(&format!("[[rule]]\nname = {}\nmailbox = {}\n", quoted(&name), quoted(&glob(&kind.mailbox))));
    if shared {
        rule.push_str(&format!("customer = {}\n", quoted(&glob(&kind.customer))));
    }
    let authors: BTreeSet<String> =
        messages().filter_map(|message| Some(message.author()?.address.to_lowercase())).collect();
    match authors.first().filter(|_| authors.len() == 1) {
        Some(only) => rule.push_str(&format!("from = {}\n", quoted(&glob(only)))),
        None => rule.push_str(&format!("from_domain = {}\n", quoted(&glob(&kind.domain)))),
    }
    rule.push_str("authenticated = true\n");
    if let Some(word) = words.first() {
        rule.push_str(&format!("subject = {}\n", quoted(&format!("*{word}*"))));
    }
    if let Some(kind) = kinds.first() {
        rule.push_str(&format!("attachment = {{ kind = \"{kind}\", role = \"document\" }}\n"));
    }
    rule.push_str("unless = { lookalike_domain = true }\n");
    rule.push_str(&format!("start = {}\n", quoted(&kind.workflow)));
    rule.push_str(&inputs(workflow, releases)?);
    rule.push_str("reason = \"people released such mail of {{ from_domain }}\"\n");
    rule.extend(releases.iter().take(MOST_TESTS).map(|release| test(kind, release)));
    Ok(Draft { name, about: kind.told(releases), text: rule })
}

fn comment(kind: &Kind, releases: &[Release]) -> String {
    let by: BTreeSet<String> = releases.iter().map(|release| text::one_line(&release.by)).collect();
    let held: BTreeSet<String> = releases
        .iter()
        .map(|release| release.held_by.as_ref().map_or("the default".to_owned(), |rule| format!("`{rule}`")))
        .collect();
    let list = |items: BTreeSet<String>| text::list(&Vec::from_iter(items));
    let mut told = format!(
        "# Drawn from {}, by {}. The rules in force quarantine such mail by {}.\n",
        kind.told(releases),
        list(by),
        list(held)
    );
    told.extend(releases.iter().map(|Release { id, at, mail, .. }| {
        let from = mail.message.author().map(|author| text::short(&author.address)).unwrap_or_default();
        format!("#   {id}  {}  {from}  \"{}\"\n", text::instant(*at), text::short(&mail.message.subject))
    }));
    told
}

/// The inputs that a release hands over, as far as the workflow takes them.
fn inputs(workflow: &Workflow, releases: &[Release]) -> Result<String, String> {
    let has_supplier = releases.iter().all(|release| release.supplier.is_some());
    let known = [("documents", "documents"), ("sender", "from"), ("subject", "subject"), ("supplier", "supplier")];
    let known = known.iter().filter(|(name, _)| *name != "supplier" || has_supplier);
    let given: Vec<_> = known.filter(|(name, _)| workflow.inputs.contains_key(*name)).collect();
    let missing = workflow.inputs.iter().find(|(name, input)| {
        !input.optional && input.default.is_none() && !given.iter().any(|(given, _)| given == name)
    });
    if let Some((name, _)) = missing {
        return Err(format!("the workflow needs input `{name}`, which only a person knows"));
    }
    if given.is_empty() {
        return Ok(String::new());
    }
    let given: Vec<_> = given.iter().map(|(name, fact)| format!("{name} = \"{{{{ {fact} }}}}\"")).collect();
    Ok(format!("inputs = {{ {} }}\n", given.join(", ")))
}

fn test(kind: &Kind, release: &Release) -> String {
    let message = &release.mail.message;
    let from = message.author().map(|author| author.address.clone()).unwrap_or_default();
    let mut told = format!("\n[[rule.test]]\nname = \"release of {}\"\n", release.id);
    let mut say = |key: &str, value: &str| told.push_str(&format!("{key} = {}\n", quoted(value)));
    say("mailbox", &kind.mailbox);
    say("customer", &kind.customer);
    say("from", &from);
    say("subject", &text::one_line(&message.subject));
    if let Some(supplier) = &release.supplier {
        say("supplier", supplier);
    }
    if let Some(user) = &release.user {
        say("user", user);
    }
    if let Some(automatic) = message.automatic {
        say("automatic", automatic.as_str());
    }
    let dmarc = message.authentication.dmarc.filter(|result| *result != AuthResult::Pass);
    if let Some(result) = dmarc {
        say("dmarc", result.as_str());
        say("dkim", "pass");
    } else {
        say("dmarc", "pass");
    }
    say("workflow", &kind.workflow);
    let parts = message.parts.iter().filter(|part| !matches!(part.role, PartRole::Body | PartRole::Decoration));
    let parts: Vec<_> = parts
        .map(|part| {
            let name = quoted(&text::one_line(part.name.as_deref().unwrap_or_default()));
            format!(
                "{{ name = {name}, kind = \"{}\", role = \"{}\", size = {} }}",
                part.kind, part.role, part.size_bytes
            )
        })
        .collect();
    if !parts.is_empty() {
        told.push_str(&format!("attachments = [{}]\n", parts.join(", ")));
    }
    told
}

/// Words of letters that every subject has, in the order of the first.
fn common_words<'a>(messages: impl Iterator<Item = &'a Message>) -> Vec<String> {
    let mut words: Option<Vec<String>> = None;
    for message in messages {
        let subject = message.subject.to_lowercase();
        let own: Vec<&str> = subject.split(|c: char| !c.is_alphanumeric()).collect();
        match &mut words {
            Some(words) => words.retain(|word| own.contains(&word.as_str())),
            None => {
                let says = |word: &&&str| word.chars().count() > 3 && word.chars().all(char::is_alphabetic);
                words = Some(own.iter().filter(says).map(|word| (*word).to_owned()).collect());
            }
        }
    }
    words.unwrap_or_default()
}

/// Kinds that every message has a document of, in the order of the first.
fn common_kinds<'a>(mut messages: impl Iterator<Item = &'a Message>) -> Vec<PartKind> {
    let kinds = |message: &Message| message.documents().map(|part| part.kind).collect::<Vec<_>>();
    let mut common = messages.next().map(kinds).unwrap_or_default();
    for message in messages {
        let own = kinds(message);
        common.retain(|kind| own.contains(kind));
    }
    common
}

fn free_name(wanted: &str, names: &[String]) -> String {
    let is_free = |name: &String| !names.contains(name);
    let others = (2_usize..).map(|number| format!("{wanted}-{number}"));
    std::iter::once(wanted.to_owned()).chain(others).find(is_free).unwrap_or_default()
}

fn slug(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect()
}

/// A glob for exactly this text.
fn glob(text: &str) -> String {
    let special = |(at, c): (usize, char)| matches!(c, '*' | '?' | '\\') || (at == 0 && c == '/');
    let escaped = text.char_indices().flat_map(|(at, c)| special((at, c)).then_some('\\').into_iter().chain([c]));
    escaped.collect()
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_senders_wrote_stays_inside_its_quotes() {
        let check = |text: &str| {
            let written = format!("a = {}\nb = {}\n", quoted(text), quoted(&glob(text)));
            let read: toml::Table = toml::from_str(&written).unwrap();
            assert_eq!(read["a"].as_str(), Some(text), "{written}");
            assert_eq!(read.len(), 2);
        };
        for text in ["plain", "\"]\nstart = \"x", "'''", "a\\b*?", "/x/", "\u{1b}[31m", "{{ captures.x }}", ""] {
            check(text);
        }
        assert_eq!((glob("/a*b?"), slug("Nord-wind.example")), ("\\/a\\*b\\?".into(), "nord-wind-example".into()));
        assert_eq!(free_name("a", &["a".into(), "a-2".into()]), "a-3");
    }

    #[test]
    fn only_what_all_have_is_common() {
        let message = |subject: &str| Message { subject: subject.into(), ..Default::default() };
        let check = |subjects: &[&str], expected: &[&str]| {
            let messages: Vec<_> = subjects.iter().map(|subject| message(subject)).collect();
            assert_eq!(common_words(messages.iter()), expected, "{subjects:?}");
        };
        check(&["Invoice 4711 for order", "Your INVOICE: 12, order"], &["invoice", "order"]);
        check(&["Invoice 4711", "Invoice 4711"], &["invoice"]);
        check(&["Invoice", "Rechnung"], &[]);
        check(&[], &[]);
    }
}
