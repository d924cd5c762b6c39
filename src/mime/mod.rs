//! Raw bytes to `Message`: header facts, parts, body text, sender's authentication, automatic mail, bounces.
//!
//! Leaves to others: rules and guards (they judge the facts), storage (the raw bytes are the evidence; nothing here writes),
//! reading documents (agents). Everything is bounded by `Limits`, and no input panics.

use std::panic::{AssertUnwindSafe, catch_unwind};

use sha2::{Digest, Sha256};

use crate::config::sections::Limits;
use crate::domain::message::{Message, PartKind};
use crate::domain::person::Address;

mod auth_results;
mod automatic;
mod bounce;
mod budget;
mod containers;
mod decode;
mod fields;
mod forwarded;
mod headers;
mod html;
mod kinds;
mod names;
mod parts;
pub mod reply;
mod roles;
mod structure;
mod tags;
mod tnef;

#[cfg(test)]
mod tests;

pub use kinds::kind_of;

use fields::{Entity, clean_line, cut};
use parts::{Piece, Place, Walk, hex};

/// Longest header value kept, in bytes.
const VALUE_BYTES: usize = 8 << 10;

/// What parsing depends on besides the bytes.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    pub limits: &'a Limits,
    /// Servers whose Authentication-Results are believed (RFC 8601).
    pub authserv_ids: &'a [String],
}

/// Why bytes are no message. They belong into quarantine as they are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{details}")]
pub struct Unparsable {
    /// `empty`, `too_large`, `not_mime` or `parser_panicked`.
    pub reason: String,
    pub details: String,
}

impl Unparsable {
    fn new(reason: &str, details: impl Into<String>) -> Self {
        Self { reason: reason.to_owned(), details: details.into() }
    }
}

/// Takes a message apart. The same bytes and options always give the same message.
///
/// Whatever has one header field is a message; what is wrong with it is in `defects`. Enclosed mail, zip archives and TNEF
/// are opened, their members are parts with `container` set. A part over the budget is there with role `refused` and no bytes.
pub fn parse(raw: &[u8], options: &Options<'_>) -> Result<Message, Unparsable> {
    if raw.is_empty() {
        return Err(Unparsable::new("empty", "the message has no bytes"));
    }
    let limit = options.limits.message_bytes;
    if raw.len() as u64 > limit {
        return Err(Unparsable::new("too_large", format!("the message has {} bytes, more than {limit}", raw.len())));
    }
    // The libraries below have panicked on odd input before.
    catch_unwind(AssertUnwindSafe(|| assemble(raw, options)))
        .unwrap_or_else(|_| Err(Unparsable::new("parser_panicked", "the message made the parser panic")))
}

/// SHA-256 (hex) of the raw bytes.
pub fn raw_sha256(raw: &[u8]) -> String {
    hex(&Sha256::digest(raw))
}

fn assemble(raw: &[u8], options: &Options<'_>) -> Result<Message, Unparsable> {
    let entity = Entity::split(raw);
    if entity.fields.is_empty() {
        return Err(Unparsable::new("not_mime", "the message has no header field"));
    }
    let mut walk = Walk::new(options.limits);
    let pieces = walk.entity(&entity, &Place::default());
    walk.finish();

    let mut message = header_facts(&entity, options);
    message.size_bytes = raw.len() as u64;
    message.raw_sha256 = raw_sha256(raw);
    set_text(&mut message, pieces);
    message.innermost_from = walk.take_enclosed_sender();
    message.bounce = walk.delivery_status.as_deref().map(|status| bounce::read(status, walk.returned));
    message.parts = walk.parts;
    message.defects.append(&mut walk.defects);
    message.automatic = automatic::judge(&message);
    message.innermost_from = match (&message.bounce, message.innermost_from.take()) {
        // What a bounce encloses is a mail of ours.
        (Some(_), _) => None,
        (None, None) => forwarded::sender(&message.text, &message.subject),
        (None, enclosed) => enclosed,
    };
    message.stable_sha256 = stable_sha256(&message);
    Ok(message)
}

fn header_facts(entity: &Entity<'_>, options: &Options<'_>) -> Message {
    let mut message = Message {
        message_id: headers::message_id(entity),
        answers: headers::answers(entity),
        from: headers::addresses(entity, "from"),
        sender: headers::addresses(entity, "sender").into_iter().next(),
        reply_to: headers::addresses(entity, "reply-to"),
        to: headers::addresses(entity, "to"),
        cc: headers::addresses(entity, "cc"),
        delivered_to: headers::delivered_to(entity),
        return_path: headers::return_path(entity),
        subject: entity.field("subject").map(|field| cut(&field.decoded(), VALUE_BYTES).to_owned()).unwrap_or_default(),
        date: headers::date(entity),
        headers: entity.fields.iter().map(|f| (f.name.clone(), cut(&f.decoded(), VALUE_BYTES).to_owned())).collect(),
        authentication: auth_results::read(&entity.fields, options.authserv_ids),
        ..Message::default()
    };
    let count = |name: &str| entity.fields.iter().filter(|field| field.name == name).count();
    match (count("from"), message.from.is_empty()) {
        (0, _) => message.defects.push("there is no From field".into()),
        (_, true) => message.defects.push("the From field names nobody".into()),
        (1, _) => {}
        _ => message.defects.push("there are several From fields".into()),
    }
    if entity.field("date").is_some() && message.date.is_none() {
        message.defects.push("the Date field is no date".into());
    }
    message
}

/// Joins the pieces of the body. HTML is kept only where there is nothing else.
fn set_text(message: &mut Message, pieces: Vec<Piece>) {
    let has_plain = pieces.iter().any(|piece| matches!(piece, Piece::Plain(text) if !text.trim().is_empty()));
    let mut texts = vec![];
    let mut htmls = vec![];
    for piece in pieces {
        match piece {
            Piece::Plain(text) => texts.push(text),
            Piece::Html(html) => {
                texts.push(html::to_text(&html, html::Quotes::Mark));
                htmls.push(html);
            }
        }
    }
    texts.retain(|text| !text.trim().is_empty());
    message.text = texts.join("\n");
    message.text_is_from_html = !has_plain && !htmls.is_empty();
    message.html = message.text_is_from_html.then(|| htmls.join("\n"));
}

/// Hash of what stays the same when a mail is delivered again on another way: stable header fields, decoded, and the
/// content of its own parts, text without its kind of line ends.
fn stable_sha256(message: &Message) -> String {
    let mut hash = Sha256::new();
    let mut line = |name: &str, value: &str| {
        hash.update(format!("{name}:{}\n", clean_line(value)));
    };
    let people = |people: &[Address]| people.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    line("from", &people(&message.from));
    line("to", &people(&message.to));
    line("cc", &people(&message.cc));
    line("subject", &message.subject);
    line("date", message.header("date").unwrap_or_default());
    line("message-id", message.message_id.as_deref().unwrap_or_default());
    for part in message.parts.iter().filter(|part| part.container.is_none()) {
        let content = match part.kind {
            PartKind::Text | PartKind::Html | PartKind::Csv | PartKind::Xml | PartKind::Mail | PartKind::Calendar => {
                let unix: Vec<u8> = part.content.iter().copied().filter(|&byte| byte != b'\r').collect();
                raw_sha256(unix.trim_ascii_end())
            }
            _ => part.sha256.clone(),
        };
        line("part", &content);
    }
    hex(&hash.finalize())
}
