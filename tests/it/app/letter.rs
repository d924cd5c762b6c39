//! Mail as senders' programs write it, and the usual invoices of the demo.

use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use countersign::domain::message::Message;

use super::{AP, NORDWIND, SUNDA};

/// A mail as its sender's program writes it and our border receives it: proven by DMARC unless `unproven`.
#[derive(Debug, Clone)]
pub struct Mail {
    from: String,
    to: String,
    subject: String,
    body: String,
    html: bool,
    proven: bool,
    headers: Vec<(String, String)>,
    attachments: Vec<(String, Vec<u8>)>,
}

/// Mail to the mailbox, from an address or `Name <address>`.
pub fn mail(from: &str, subject: &str, body: &str) -> Mail {
    Mail {
        from: from.into(),
        to: AP.into(),
        subject: subject.into(),
        body: body.into(),
        html: false,
        proven: true,
        headers: vec![("Message-ID".into(), format!("<{}@sender.example>", uuid::Uuid::now_v7().simple()))],
        attachments: vec![],
    }
}

/// An answer to a mail of ours, addressed as a mail program does it.
pub fn answer(from: &str, to: &Message, body: &str) -> Mail {
    let id = to.message_id.as_deref().expect("a Message-ID");
    let mut mail = mail(from, &format!("Re: {}", to.subject), body).header("In-Reply-To", &format!("<{id}>"));
    mail.to = to.reply_to.first().expect("a Reply-To").address.clone();
    mail
}

impl Mail {
    pub fn to(mut self, address: &str) -> Self {
        self.to = address.into();
        self
    }

    /// Adds a header field, or replaces it.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self.headers.push((name.into(), value.into()));
        self
    }

    pub fn unproven(mut self) -> Self {
        self.proven = false;
        self
    }

    pub fn html(mut self) -> Self {
        self.html = true;
        self
    }

    pub fn attach(mut self, name: &str, content: &[u8]) -> Self {
        self.attachments.push((name.into(), content.into()));
        self
    }

    /// Attaches a file of the repository.
    pub fn attach_file(self, path: &str) -> Self {
        let name = path.rsplit('/').next().unwrap_or(path);
        self.attach(name, &file(path))
    }

    pub fn raw(&self) -> Vec<u8> {
        let domain = self.from.trim_end_matches('>').rsplit('@').next().unwrap_or_default();
        let mut raw = String::new();
        if self.proven {
            raw += &format!("Authentication-Results: mx.acme.example; dmarc=pass header.from={domain}\r\n");
        }
        for (name, value) in [("From", &self.from), ("To", &self.to), ("Subject", &self.subject)] {
            raw += &format!("{name}: {value}\r\n");
        }
        raw += "Date: Mon, 02 Mar 2026 09:00:00 +0000\r\n";
        raw.extend(self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")));
        let kind = if self.html { "html" } else { "plain" };
        let text = format!("Content-Type: text/{kind}; charset=utf-8\r\n\r\n{}\r\n", self.body.replace('\n', "\r\n"));
        if self.attachments.is_empty() {
            return format!("{raw}MIME-Version: 1.0\r\n{text}").into_bytes();
        }
        raw += &format!("MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b0\r\n\r\n--b0\r\n{text}");
        for (name, content) in &self.attachments {
            raw += &format!("--b0\r\nContent-Type: application/octet-stream; name=\"{name}\"\r\n");
            raw += &format!(
                "Content-Disposition: attachment; filename=\"{name}\"\r\nContent-Transfer-Encoding: base64\r\n\r\n"
            );
            for line in BASE64_STANDARD.encode(content).as_bytes().chunks(76) {
                raw += &format!("{}\r\n", String::from_utf8_lossy(line));
            }
        }
        format!("{raw}--b0--\r\n").into_bytes()
    }
}

impl From<Mail> for Vec<u8> {
    fn from(mail: Mail) -> Self {
        mail.raw()
    }
}

/// A file of the repository.
pub fn file(path: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(path))
        .unwrap_or_else(|error| panic!("read {path}: {error}"))
}

/// Nordwind's invoice over 1,190.00 EUR, with its purchase order: waits for olivia's approval.
pub fn invoice() -> Mail {
    mail(NORDWIND, "Invoice 4711", "Please find it attached.")
        .attach_file("config/demo/documents/invoice-4711.pdf")
        .attach_file("config/demo/documents/po-88001.pdf")
}

/// Sunda's invoice without its purchase order: waits for the supplier.
pub fn invoice_without_po() -> Mail {
    mail(SUNDA, "Invoice 2209", "Our invoice.").attach_file("config/demo/documents/invoice-2209.pdf")
}

/// The link in a mail of ours: its token.
pub fn token_in(mail: &Message) -> String {
    let (_, rest) = mail.text.split_once("/l/").unwrap_or_else(|| panic!("no link in:\n{}", mail.text));
    rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-' || *c == '_').collect()
}
