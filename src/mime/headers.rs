//! What header fields mean: people, ids, dates (RFC 5322). Structured fields are read from their raw value; only names are
//! decoded, so that an encoded word never becomes an address or an id.

use chrono::{DateTime, Utc};
use mail_parser::HeaderValue;
use mail_parser::parsers::MessageStream;

use crate::domain::person::Address;

use super::fields::{Entity, Field, clean_line, cut};
use super::names;

/// Addresses kept of all fields of one name.
const ADDRESSES: usize = 500;
/// Ids kept of In-Reply-To and References.
const IDS: usize = 200;
/// Longest id or address kept: a line of RFC 5322.
const TOKEN_BYTES: usize = 998;

/// Every mailbox of every field of that name, members of groups included, in order.
pub fn addresses(entity: &Entity<'_>, name: &str) -> Vec<Address> {
    let fields = entity.fields.iter().filter(|field| field.name == name);
    fields.flat_map(addresses_of).take(ADDRESSES).collect()
}

/// The mailboxes of one address field.
pub fn addresses_of(field: &Field) -> Vec<Address> {
    let line = field.line();
    let HeaderValue::Address(parsed) = MessageStream::new(&line).parse_address() else { return vec![] };
    let found = parsed.iter().filter_map(|mailbox| {
        let address = token(mailbox.address.as_deref()?);
        let name: String =
            mailbox.name.as_deref().unwrap_or("").chars().filter(|&c| c == ' ' || !names::is_hidden(c)).collect();
        (!address.is_empty()).then(|| Address::named(cut(&clean_line(&name), TOKEN_BYTES), &address))
    });
    found.collect()
}

/// Where the mail was really delivered, topmost first, without repeats.
pub fn delivered_to(entity: &Entity<'_>) -> Vec<Address> {
    let mut found: Vec<Address> = vec![];
    for field in &entity.fields {
        if matches!(field.name.as_str(), "delivered-to" | "x-original-to" | "envelope-to" | "x-envelope-to") {
            for address in addresses_of(field) {
                if found.len() < ADDRESSES && !found.iter().any(|known| known.same_as(&address.address)) {
                    found.push(address);
                }
            }
        }
    }
    found
}

/// The topmost Return-Path: the address, or nothing between the brackets.
pub fn return_path(entity: &Entity<'_>) -> Option<String> {
    let value = entity.field("return-path")?.value.as_str();
    let inside = match (value.find('<'), value.rfind('>')) {
        (Some(open), Some(close)) if open < close => &value[open + 1..close],
        _ => value,
    };
    let address = token(inside);
    Some(if address.is_empty() { address } else { Address::new(&address).address })
}

/// The Message-ID without brackets.
pub fn message_id(entity: &Entity<'_>) -> Option<String> {
    ids(entity.value("message-id")).into_iter().next()
}

/// Ids of In-Reply-To, then of References from last to first, without repeats.
pub fn answers(entity: &Entity<'_>) -> Vec<String> {
    let mut found: Vec<String> = vec![];
    let replied = ids(entity.value("in-reply-to"));
    let referred = ids(entity.value("references"));
    for id in replied.into_iter().chain(referred.into_iter().rev()) {
        if found.len() < IDS && !found.contains(&id) {
            found.push(id);
        }
    }
    found
}

/// The Date field as an instant; None when it is missing or impossible.
pub fn date(entity: &Entity<'_>) -> Option<DateTime<Utc>> {
    let field = entity.field("date")?;
    let line = field.line();
    match MessageStream::new(&line).parse_date() {
        HeaderValue::DateTime(date) if date.is_valid() => DateTime::from_timestamp(date.to_timestamp(), 0),
        // Seconds may be missing (RFC 5322, 3.3).
        _ => DateTime::parse_from_rfc2822(&field.value).ok().map(|date| date.to_utc()),
    }
}

/// Everything between angle brackets; a value without any is one id.
fn ids(value: &str) -> Vec<String> {
    let bracketed = value.split('<').skip(1).filter_map(|rest| rest.split_once('>')).map(|(id, _)| token(id));
    let found: Vec<String> = bracketed.filter(|id| !id.is_empty()).collect();
    match found.is_empty() {
        true if !value.contains('<') => value.split_whitespace().next().map(token).into_iter().collect(),
        _ => found,
    }
}

/// Without blanks and invisible characters, bounded.
fn token(text: &str) -> String {
    let visible: String = text.chars().filter(|&c| !c.is_whitespace() && !names::is_hidden(c)).collect();
    cut(&visible, TOKEN_BYTES).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entity(header: &str) -> Entity<'_> {
        Entity::split(header.as_bytes())
    }

    #[test]
    fn addresses_of_every_shape_are_read() {
        let check = |from: &str, expected: &[&str]| {
            let header = format!("From: {from}\n\n");
            let found: Vec<String> = addresses(&entity(&header), "from").iter().map(ToString::to_string).collect();
            assert_eq!(found, expected, "{from}");
        };
        check("a@X.Example", &["a@x.example"]);
        check("Anna Berg <a@x.example>", &["Anna Berg <a@x.example>"]);
        check("=?utf-8?q?J=C3=BCrgen?= <j@x.example>", &["Jürgen <j@x.example>"]);
        check("a@x.example, \"B, C\" <b@x.example>", &["a@x.example", "B, C <b@x.example>"]);
        check("Team: a@x.example, B <b@x.example>;", &["a@x.example", "B <b@x.example>"]);
        check("undisclosed-recipients:;", &[]);
        check("\"boss@acme.example\" <evil@evil.example>", &["boss@acme.example <evil@evil.example>"]);
        check("boss@acme.example <evil@evil.example>", &["boss@acme.example <evil@evil.example>"]);
        check(
            "=?utf-8?q?boss=40acme=2Eexample=3E=2C?= <evil@evil.example>",
            &["boss@acme.example>, <evil@evil.example>"],
        );
        check("", &[]);
        check("<>", &[]);
    }

    #[test]
    fn every_from_field_counts() {
        assert_eq!(addresses(&entity("From: a@x.example\nFrom: b@x.example\n\n"), "from").len(), 2);
    }

    #[test]
    fn delivery_is_read_topmost_first() {
        let header = "Delivered-To: ap+7@acme.example\nX-Original-To: invoices@acme.example\nDelivered-To: AP+7@acme.example\n\n";
        let found: Vec<_> = delivered_to(&entity(header)).into_iter().map(|a| a.address).collect();
        assert_eq!(found, ["ap+7@acme.example", "invoices@acme.example"]);
    }

    #[test]
    fn ids_lose_their_brackets() {
        let header = "Message-ID: <a@b>\nIn-Reply-To: <c@d> (mail of Monday)\nReferences: <r1@x>\n <c@d> <r2@x>\n\n";
        let entity = entity(header);
        assert_eq!(message_id(&entity).as_deref(), Some("a@b"));
        assert_eq!(answers(&entity), ["c@d", "r2@x", "r1@x"]);
        assert_eq!(ids("bare@id"), ["bare@id"]);
        assert_eq!(ids("<broken"), Vec::<String>::new());
    }

    #[test]
    fn the_null_path_is_not_a_missing_one() {
        assert_eq!(return_path(&entity("Return-Path: <>\n\n")).as_deref(), Some(""));
        assert_eq!(return_path(&entity("Return-Path: <a@B.example>\n\n")).as_deref(), Some("a@b.example"));
        assert_eq!(return_path(&entity("From: x\n\n")), None);
    }

    #[test]
    fn impossible_dates_are_none() {
        let check = |value: &str| date(&entity(&format!("Date: {value}\n\n"))).map(|date| date.to_rfc3339());
        assert_eq!(check("Mon, 2 Mar 2026 10:00:00 +0100").as_deref(), Some("2026-03-02T09:00:00+00:00"));
        assert_eq!(check("2 Mar 26 10:00 GMT").as_deref(), Some("2026-03-02T10:00:00+00:00"));
        assert_eq!(check("Mon, 99 Foo 2026 99:00:00"), None);
        assert_eq!(check("yesterday"), None);
    }
}
