//! `recipients` of a mailbox that several customers share: which address is whose, and what is wrong with such a table.
//! Matching mail against it is `intake::recipient`'s business.

use std::collections::BTreeMap;

use serde::Deserialize;

/// Customers by who the mail is sent to: an address, a whole domain (`@acme.example`), or a plus tag of the mailbox's own
/// address (`+acme`). As written; compared without case.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Recipients(BTreeMap<String, String>);

/// What becomes of mail whose recipients are in no table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnknownRecipient {
    /// It belongs to the mailbox's own customer.
    #[default]
    Customer,
    /// A person looks at it.
    Quarantine,
}

/// The plus tag that marks answers to our own mails, `ap+c-…@acme.example`; see `engine::notice`.
const OUR_TAG: &str = "c-";

impl Recipients {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Every customer named, with the key that names it.
    pub fn customers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, customer)| (key.as_str(), customer.as_str()))
    }

    /// Whose mail to this address is: the address itself counts before a tag of `own`, that before the address without
    /// its tag, and that before the domain.
    pub fn customer_of(&self, address: &str, own: &str) -> Option<&str> {
        let (local, domain) = address.rsplit_once('@')?;
        let named =
            |key: &str| self.0.iter().find(|(known, _)| same(known, key)).map(|(_, customer)| customer.as_str());
        let (base, tag) = local.split_once('+').map_or((local, None), |(base, tag)| (base, Some(tag)));
        let plain = format!("{base}@{domain}");
        let tagged = || named(&format!("+{}", tag.filter(|_| same(&plain, own))?));
        named(address).or_else(tagged).or_else(|| named(&plain)).or_else(|| named(&format!("@{domain}")))
    }

    /// Every key that cannot work: the key, what is wrong with it, and the mend.
    pub fn problems(&self, plus_address: bool) -> Vec<(&str, String, &'static str)> {
        let mut told = vec![];
        let mut seen: BTreeMap<String, &str> = BTreeMap::new();
        for key in self.0.keys() {
            if let Some(first) = seen.insert(key.to_lowercase(), key) {
                told.push((key.as_str(), format!("`{key}` says the same as `{first}`"), "leave one of them out"));
            }
            match key.strip_prefix('+') {
                Some(tag) if tag.starts_with(OUR_TAG) => {
                    let what = format!("`{key}` looks like the tag of an answer to one of our mails");
                    told.push((key, what, "choose a tag that does not begin with `c-`"));
                }
                Some(_) if !plus_address => {
                    let what = format!("`{key}` is of no use while the mailbox takes no tags");
                    told.push((key, what, "add `plus_address = true` to the mailbox, or write whole addresses"));
                }
                _ if !is_key(key) => {
                    let what = format!("`{}` is neither an address, a domain nor a tag", key.escape_debug());
                    told.push((key, what, "write \"ap@acme.example\", \"@acme.example\" or \"+acme\""));
                }
                _ => {}
            }
        }
        told
    }
}

fn same(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other) || one.to_lowercase() == other.to_lowercase()
}

fn is_key(key: &str) -> bool {
    let is_word =
        |text: &str| !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || "@<>,;:\"".contains(c));
    let is_domain = |text: &str| is_word(text) && !text.split('.').any(str::is_empty);
    match key.strip_prefix('+') {
        Some(tag) => is_word(tag),
        None => key
            .rsplit_once('@')
            .is_some_and(|(local, domain)| is_domain(domain) && (local.is_empty() || is_word(local))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "ap@shared.example";

    fn table(keys: &[&str]) -> Recipients {
        Recipients(keys.iter().map(|key| ((*key).to_owned(), format!("customer of {key}"))).collect())
    }

    #[test]
    fn the_most_particular_key_says_whose_an_address_is() {
        let table = table(&["Pay@Acme.example", "@acme.example", "+globex", "ap+initech@shared.example"]);
        let check = |address: &str, expected: Option<&str>| {
            let expected = expected.map(|key| format!("customer of {key}"));
            assert_eq!(table.customer_of(address, OWN), expected.as_deref(), "{address}");
        };
        check("PAY@acme.EXAMPLE", Some("Pay@Acme.example"));
        check("pay+2026@acme.example", Some("Pay@Acme.example"));
        check("other@acme.example", Some("@acme.example"));
        check("AP+Globex@shared.example", Some("+globex"));
        check("ap+initech@shared.example", Some("ap+initech@shared.example"));
        for other in
            ["ap@shared.example", "ap+umbrella@shared.example", "x+globex@shared.example", "ap+globex@evil.example"]
        {
            check(other, None);
        }
        for other in ["a@sub.acme.example", "a@acme.example.evil", "a@xacme.example", "acme.example", ""] {
            check(other, None);
        }
    }

    #[test]
    fn a_key_that_cannot_work_is_told() {
        let check = |keys: &[&str], expected: &str| {
            let table = table(keys);
            let told = table.problems(true).into_iter().map(|(_, what, _)| what).collect::<Vec<_>>().join("; ");
            assert_eq!(told, expected);
        };
        check(&["ap@acme.example", "@acme.example", "+acme", "ap+x@acme.example"], "");
        check(&["AP@acme.example", "ap@acme.example"], "`ap@acme.example` says the same as `AP@acme.example`");
        check(&["+c-x"], "`+c-x` looks like the tag of an answer to one of our mails");
        for odd in ["acme.example", "@", "+", "ap@", "a@b@c.example", "Ap <ap@acme.example>", "ap@acme..example"] {
            check(&[odd], &format!("`{odd}` is neither an address, a domain nor a tag"));
        }
        assert!(table(&["+acme"]).problems(false)[0].1.contains("takes no tags"));
    }
}
