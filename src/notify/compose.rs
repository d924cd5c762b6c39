//! A notice as a mail: header fields, MIME parts and envelope, ready for any transport.
//!
//! Every value may come from outside: nothing written here can add a header field or a recipient.

use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue};
use lettre::message::{Attachment, Body, Mailbox, MessageBuilder, MultiPart, SinglePart};

use super::{File, Outgoing};
use crate::domain::person::Address;

/// A mail and where it goes. There is always one recipient, as one refused RCPT would stop the others.
#[derive(Debug, Clone)]
pub struct Composed {
    /// Return path: where bounces go.
    pub from: lettre::Address,
    pub to: lettre::Address,
    /// The mail with CRLF line ends; ASCII, unless an address is not.
    pub bytes: Vec<u8>,
}

/// Why a notice cannot be a mail. Repeating it helps nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ComposeError {
    #[error("{field}: `{address}` is no mail address")]
    Address { field: &'static str, address: String },
    #[error("`{0}` is no Message-ID")]
    MessageId(String),
    #[error("compose the mail: {0}")]
    Other(String),
}

/// Longest Message-ID that is repeated, in bytes; a header line holds 998 (RFC 5322, 2.1.1).
const MAX_ID_BYTES: usize = 900;
/// Most Message-IDs kept in References: the first, which names the thread, and the latest.
const MAX_REFERENCES: usize = 20;

/// Makes the mail.
///
/// # Errors
/// When an address or the Message-ID cannot be written as one.
pub fn compose(mail: &Outgoing) -> Result<Composed, ComposeError> {
    let from = mailbox("From", &mail.from)?;
    let to = mailbox("To", &mail.to)?;
    if !is_id(&mail.message_id) {
        return Err(ComposeError::MessageId(one_line(&mail.message_id)));
    }
    let envelope = (from.email.clone(), to.email.clone());
    let mut builder = lettre::Message::builder().from(from).to(to);
    if let Some(reply_to) = &mail.reply_to {
        builder = builder.reply_to(mailbox("Reply-To", reply_to)?);
    }
    let builder = builder
        .subject(one_line(&mail.subject))
        .date(mail.date.into())
        .raw_header(plain("Message-ID", format!("<{}>", mail.message_id)));
    let builder = thread(builder, mail)
        .raw_header(plain("Auto-Submitted", mail.auto.as_str().to_owned()))
        .raw_header(plain("X-Auto-Response-Suppress", "All".to_owned()))
        .raw_header(plain("X-Countersign-Notice", mail.id.to_string()));
    let message = body(builder, mail).map_err(|error| ComposeError::Other(error.to_string()))?;
    let mut bytes = message.formatted();
    // A single part ends with a line break more than its text.
    while bytes.ends_with(b"\r\n\r\n") {
        bytes.truncate(bytes.len() - 2);
    }
    Ok(Composed { from: envelope.0, to: envelope.1, bytes })
}

/// Reads `Name <local@domain>` or a bare address, as configuration files write it.
///
/// # Errors
/// When it is neither.
pub fn address(text: &str) -> Result<Address, ComposeError> {
    let wrong = || ComposeError::Address { field: "address", address: one_line(text) };
    let mailbox: Mailbox = text.trim().parse().map_err(|_| wrong())?;
    Ok(Address::named(mailbox.name.as_deref().unwrap_or_default(), mailbox.email.as_ref()))
}

/// Text on one line: line breaks, controls and runs of blanks become one blank, marks that turn text around are dropped.
pub fn one_line(text: &str) -> String {
    let clean: String = text
        .chars()
        .filter(|&c| !turns_text(c))
        .map(|c| if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { ' ' } else { c })
        .collect();
    clean.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether a character changes the direction of the text after it (Unicode UAX 9, 2); none is needed to read a value.
pub fn turns_text(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn mailbox(field: &'static str, address: &Address) -> Result<Mailbox, ComposeError> {
    let wrong = |_| ComposeError::Address { field, address: one_line(&address.address) };
    let email = address.address.parse().map_err(wrong)?;
    let name = address.name.as_deref().map(one_line).filter(|name| !name.is_empty());
    Ok(Mailbox::new(name, email))
}

/// In-Reply-To and References (RFC 5322, 3.6.4). Ids come from mails of others: what is none is left out.
fn thread(builder: MessageBuilder, mail: &Outgoing) -> MessageBuilder {
    let parent = mail.in_reply_to.as_deref().filter(|id| is_id(id));
    let mut references: Vec<&str> = Vec::new();
    for id in mail.references.iter().map(String::as_str).chain(parent).filter(|id| is_id(id)) {
        references.retain(|known| *known != id);
        references.push(id);
    }
    if references.len() > MAX_REFERENCES {
        references.drain(1..=references.len() - MAX_REFERENCES);
    }
    let builder = match parent {
        Some(id) => builder.raw_header(plain("In-Reply-To", format!("<{id}>"))),
        None => builder,
    };
    if references.is_empty() {
        return builder;
    }
    let folded = references.iter().map(|id| format!("<{id}>")).collect::<Vec<_>>().join("\r\n ");
    builder.raw_header(plain("References", folded))
}

fn body(builder: MessageBuilder, mail: &Outgoing) -> Result<lettre::Message, lettre::error::Error> {
    let text = SinglePart::plain(line_feeds(&mail.text));
    let Some(html) = &mail.html else {
        if mail.attachments.is_empty() {
            return builder.singlepart(text);
        }
        return builder.multipart(attach(MultiPart::mixed().singlepart(text), &mail.attachments));
    };
    let words = MultiPart::alternative().singlepart(text).singlepart(SinglePart::html(line_feeds(html)));
    if mail.attachments.is_empty() {
        return builder.multipart(words);
    }
    builder.multipart(attach(MultiPart::mixed().multipart(words), &mail.attachments))
}

fn attach(mixed: MultiPart, files: &[File]) -> MultiPart {
    files.iter().fold(mixed, |mixed, file| {
        let name = one_line(&file.name);
        let name = if name.is_empty() { "attachment".to_owned() } else { name };
        if let Some(mail) = as_mail(file) {
            return mixed.singlepart(Attachment::new(name).body(mail, content_type_of_mail()));
        }
        // Base64 whatever it is, so that the bytes arrive as they are: other encodings may change line ends.
        let bytes = match Body::new_with_encoding(file.bytes.clone(), ContentTransferEncoding::Base64) {
            Ok(body) => body,
            Err(bytes) => Body::new(bytes),
        };
        mixed.singlepart(Attachment::new(name).body(bytes, content_type(&file.content_type)))
    })
}

/// A whole mail as `message/rfc822`, which must not be encoded (RFC 2046, 5.2.1): only where nothing on its way has a reason
/// to change it. Line ends of a mail are CRLF, however a Maildir keeps them. Any other mail goes as a file.
fn as_mail(file: &File) -> Option<Body> {
    if !file.content_type.eq_ignore_ascii_case(MAIL) {
        return None;
    }
    let feeds = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == b'\n').count();
    let bytes = match (file.bytes.contains(&b'\r'), feeds(&file.bytes)) {
        (true, all) => {
            let pairs = file.bytes.windows(2).filter(|pair| pair == b"\r\n").count();
            let returns = file.bytes.iter().filter(|byte| **byte == b'\r').count();
            (pairs == all && pairs == returns).then(|| file.bytes.clone())?
        }
        (false, 0) => file.bytes.clone(),
        (false, _) => file.bytes.split(|byte| *byte == b'\n').collect::<Vec<_>>().join(&b"\r\n"[..]),
    };
    let is_plain = |line: &[u8]| line.len() <= MAX_LINE_BYTES && line.is_ascii() && !line.contains(&0);
    if !bytes.split(|byte| *byte == b'\n').all(is_plain) {
        return None;
    }
    Some(Body::dangerous_pre_encoded(bytes, ContentTransferEncoding::SevenBit))
}

const MAIL: &str = "message/rfc822";

/// Longest line, without its LF (RFC 5322, 2.1.1).
const MAX_LINE_BYTES: usize = 999;

fn content_type_of_mail() -> ContentType {
    ContentType::parse(MAIL).unwrap_or(ContentType::TEXT_PLAIN)
}

/// The type as declared, where it is one; `message/*` and `multipart/*` may not be base64 (RFC 2045, 6.4).
fn content_type(declared: &str) -> ContentType {
    let lower = declared.trim().to_lowercase();
    if !lower.starts_with("message/")
        && !lower.starts_with("multipart/")
        && let Ok(known) = ContentType::parse(declared.trim())
    {
        return known;
    }
    ContentType::parse("application/octet-stream").unwrap_or(ContentType::TEXT_PLAIN)
}

/// A header field whose value is already what goes on the wire: the encoder would break long ids apart.
fn plain(name: &'static str, value: String) -> HeaderValue {
    HeaderValue::dangerous_new_pre_encoded(HeaderName::new_from_ascii_str(name), value.clone(), value)
}

/// Whether this can stand between angle brackets in a header field.
fn is_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= MAX_ID_BYTES && id.chars().all(|c| c.is_ascii_graphic() && c != '<' && c != '>')
}

/// Any line ends as LF; the encoder makes them CRLF.
fn line_feeds(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n")
}

#[cfg(test)]
pub(in crate::notify) mod tests;
