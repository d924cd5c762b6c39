//! The mail of a test in a rule file, as facts.

use std::path::Path;

use chrono::{DateTime, Utc};
use toml::de::DeValue;

use super::Parse;
use super::facts::{Facts, Surroundings};
use super::language::LANGUAGES;
use super::read::{Entry, Fault, boolean, closed, size, table, tables, text, texts, to_json, words};
use crate::domain::document::{DocumentRef, EarlierDocument};
use crate::domain::ids::MessageId;
use crate::domain::message::{AuthResult, Automatic, Message, Part, PartKind, PartRole};
use crate::domain::person::{Address, Customer, Supplier, User};

/// The mail of a test. What a key does not say is not known or not there, as in a mail that lacks it.
#[derive(Debug, Default)]
pub(super) struct Sample {
    eml: Option<String>,
    mailbox: Option<String>,
    customer: Option<String>,
    from: Vec<String>,
    from_name: Option<String>,
    to: Vec<String>,
    subject: Option<String>,
    body: Option<String>,
    headers: Vec<(String, String)>,
    parts: Vec<Part>,
    innermost_from: Option<String>,
    dmarc: Option<AuthResult>,
    spf: Option<AuthResult>,
    dkim: Vec<AuthResult>,
    supplier: Option<String>,
    user: Option<String>,
    lookalike_of: Option<String>,
    first_time_sender: Option<bool>,
    answers_reply: bool,
    duplicate_of: Option<String>,
    /// Names of attachments that came before.
    came_before: Vec<String>,
    automatic: Option<Automatic>,
    now: Option<DateTime<Utc>>,
    language: Option<&'static str>,
    /// Domains of further suppliers.
    supplier_domains: Vec<String>,
}

pub(super) const KEYS: [&str; 25] = [
    "eml",
    "mailbox",
    "customer",
    "from",
    "from_name",
    "to",
    "subject",
    "body",
    "headers",
    "attachments",
    "innermost_from",
    "dmarc",
    "spf",
    "dkim",
    "supplier",
    "user",
    "lookalike_of",
    "first_time_sender",
    "answers_reply",
    "duplicate_of",
    "came_before",
    "automatic",
    "now",
    "language",
    "supplier_domains",
];

impl Sample {
    /// Takes a key of a test; false when the key says nothing about the mail.
    pub fn take(&mut self, key: &Entry<'_>) -> Result<bool, Fault> {
        let node = key.value;
        let own = |text: Result<&str, Fault>| text.map(str::to_owned);
        match key.key {
            "eml" => self.eml = Some(own(words(node))?),
            "mailbox" => self.mailbox = Some(own(words(node))?),
            "customer" => self.customer = Some(own(words(node))?),
            "from" => self.from = texts(node)?.iter().map(|(_, text)| (*text).to_owned()).collect(),
            "from_name" => self.from_name = Some(own(text(node))?),
            "to" => self.to = texts(node)?.iter().map(|(_, text)| (*text).to_owned()).collect(),
            "subject" => self.subject = Some(own(text(node))?),
            "body" => self.body = Some(own(text(node))?),
            "headers" => {
                for header in table(node)? {
                    self.headers.push((header.key.to_ascii_lowercase(), own(text(header.value))?));
                }
            }
            "attachments" => self.parts = attachments(key)?,
            "innermost_from" => self.innermost_from = Some(own(words(node))?),
            "dmarc" => self.dmarc = closed(node, "result", AuthResult::ALL)?.pop(),
            "spf" => self.spf = closed(node, "result", AuthResult::ALL)?.pop(),
            "dkim" => self.dkim = closed(node, "result", AuthResult::ALL)?,
            "supplier" => self.supplier = Some(own(words(node))?),
            "user" => self.user = Some(own(words(node))?),
            "lookalike_of" => self.lookalike_of = Some(own(words(node))?),
            "first_time_sender" => self.first_time_sender = Some(boolean(node)?),
            "answers_reply" => self.answers_reply = boolean(node)?,
            "duplicate_of" => self.duplicate_of = Some(own(words(node))?),
            "came_before" => self.came_before = texts(node)?.iter().map(|(_, text)| (*text).to_owned()).collect(),
            "automatic" => self.automatic = closed(node, "kind of automatic mail", Automatic::ALL)?.pop(),
            "language" => self.language = closed(node, "language", LANGUAGES)?.pop(),
            "supplier_domains" => {
                self.supplier_domains = texts(node)?.iter().map(|(_, text)| (*text).to_owned()).collect();
            }
            "now" => {
                let written = to_json(node.get_ref());
                let at = written.as_str().and_then(|text| DateTime::parse_from_rfc3339(text).ok());
                let refuse = || Fault::new(node.span(), "this is no point in time", "write 2026-11-23T09:00:00Z");
                self.now = Some(at.ok_or_else(refuse)?.to_utc());
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// What rules would know of it.
    ///
    /// # Errors
    /// When the sample file cannot be read, in words.
    pub fn facts(&self, directory: &Path, mailbox: &str, parse: Parse<'_>) -> Result<Facts, String> {
        let mut message = match &self.eml {
            Some(name) => parse(&directory.join(name)).map_err(|why| format!("cannot read sample {name}: {why}"))?,
            None => Message::default(),
        };
        self.apply(&mut message);
        let customer = self.customer(&message);
        let reference = |part: &Part| DocumentRef {
            path: format!("sample/{}", part.stored_name()),
            name: part.name.clone().unwrap_or_default(),
            kind: part.kind,
            sha256: part.sha256.clone(),
            size_bytes: part.size_bytes,
        };
        let documents: Vec<_> = message.documents().map(reference).collect();
        let came_before =
            |part: &&Part| part.name.as_ref().is_some_and(|name| self.came_before.iter().any(|known| known == name));
        let earlier = |part: &Part| EarlierDocument {
            sha256: part.sha256.clone(),
            message: MessageId(uuid::Uuid::nil()),
            run: Some("SAMPLE-000001".to_owned()),
        };
        let earlier: Vec<_> = message.documents().filter(came_before).map(earlier).collect();
        let around = Surroundings {
            mailbox: self.mailbox.as_deref().unwrap_or(mailbox),
            customer: &customer,
            duplicate_of: self.duplicate_of.clone(),
            earlier: &earlier,
            first_time_sender: self.first_time_sender,
            now: self.now.unwrap_or(DateTime::UNIX_EPOCH),
            documents: &documents,
            joined: None,
        };
        let mut facts = Facts { answers_reply: self.answers_reply, ..Facts::gather(&message, &around) };
        if self.language.is_some() {
            facts.language = std::sync::OnceLock::from(self.language);
        }
        Ok(facts)
    }

    fn apply(&self, message: &mut Message) {
        if !self.from.is_empty() {
            let named = |from: &String| Address::named(self.from_name.as_deref().unwrap_or_default(), from);
            message.from = self.from.iter().map(named).collect();
        }
        if !self.to.is_empty() {
            message.to = self.to.iter().map(|to| Address::new(to)).collect();
        }
        if let Some(subject) = &self.subject {
            message.subject.clone_from(subject);
        }
        if let Some(body) = &self.body {
            message.text.clone_from(body);
        }
        if let Some(from) = &self.innermost_from {
            message.innermost_from = Some(Address::new(from));
        }
        message.automatic = self.automatic.or(message.automatic);
        message.headers.extend(self.headers.iter().cloned());
        message.parts.extend(self.parts.iter().cloned());
        let domain = message.author().map(|author| author.domain().to_owned()).unwrap_or_default();
        let proof = &mut message.authentication;
        if self.dmarc.is_some() || self.spf.is_some() || !self.dkim.is_empty() {
            proof.authserv_id = Some("sample".to_owned());
        }
        if self.dmarc.is_some() {
            (proof.dmarc, proof.dmarc_from) = (self.dmarc, Some(domain.clone()));
        }
        proof.spf = self.spf.or(proof.spf);
        proof.dkim.extend(self.dkim.iter().map(|result| (*result, domain.clone())));
    }

    /// A customer who knows just the people that the test names.
    fn customer(&self, message: &Message) -> Customer {
        let author = message.author().map(|author| author.address.clone()).unwrap_or_default();
        let supplier = |name: &str, domain: Option<&String>, address: Option<&String>| Supplier {
            name: name.to_owned(),
            domains: domain.into_iter().cloned().collect(),
            addresses: address.into_iter().cloned().collect(),
            ibans: vec![],
        };
        let imitated = self.lookalike_of.iter().map(|domain| supplier("genuine", Some(domain), None));
        let further = self.supplier_domains.iter().map(|domain| supplier(domain, Some(domain), None));
        let speaking = self.supplier.iter().map(|name| supplier(name, None, Some(&author)));
        let user = |name: &String| User {
            name: name.clone(),
            full_name: String::new(),
            address: author.clone(),
            roles: vec![],
        };
        Customer {
            name: self.customer.clone().unwrap_or_else(|| "test".to_owned()),
            aliases: vec![],
            suppliers: speaking.chain(imitated).chain(further).collect(),
            users: self.user.iter().map(user).collect(),
        }
    }
}

/// `["invoice.pdf", { name = "x", kind = "pdf", role = "document", size = "20 kB" }]`.
fn attachments(key: &Entry<'_>) -> Result<Vec<Part>, Fault> {
    let mut parts = vec![];
    if let DeValue::Array(items) = key.value.get_ref() {
        for item in items.iter() {
            let index = u32::try_from(parts.len()).unwrap_or(u32::MAX).saturating_add(1);
            match item.get_ref() {
                DeValue::String(name) => parts.push(part(index, name)),
                _ => {
                    for (_, keys) in tables(item)? {
                        parts.push(described(index, keys)?);
                    }
                }
            }
        }
        return Ok(parts);
    }
    Ok(vec![part(1, text(key.value)?)])
}

fn described(index: u32, keys: Vec<Entry<'_>>) -> Result<Part, Fault> {
    let name = keys.iter().find(|key| key.key == "name").map(|key| text(key.value)).transpose()?;
    let mut described = part(index, name.unwrap_or_default());
    for key in keys {
        match key.key {
            "name" => {}
            "kind" => {
                described.kind = closed(key.value, "kind of part", PartKind::ALL)?.pop().unwrap_or(described.kind)
            }
            "role" => {
                described.role = closed(key.value, "role of part", PartRole::ALL)?.pop().unwrap_or(described.role)
            }
            "size" => described.size_bytes = size(key.value)?,
            // Of the attachment before it.
            "twin" => described.twin_of = boolean(key.value)?.then(|| index.saturating_sub(1)).filter(|twin| *twin > 0),
            other => {
                return Err(Fault::unknown(key.key_span(), "key", other, ["name", "kind", "role", "size", "twin"]));
            }
        }
    }
    Ok(described)
}

/// A part of the kind that its name says.
fn part(index: u32, name: &str) -> Part {
    let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_lowercase()).unwrap_or_default();
    let (kind, role) = match extension.as_str() {
        "pdf" => (PartKind::Pdf, PartRole::Document),
        "xml" => (PartKind::Xml, PartRole::Document),
        "png" | "jpg" | "jpeg" | "gif" | "tif" | "tiff" => (PartKind::Image, PartRole::Document),
        "doc" | "docx" => (PartKind::Word, PartRole::Document),
        "xls" | "xlsx" => (PartKind::Sheet, PartRole::Document),
        "csv" => (PartKind::Csv, PartRole::Document),
        "txt" => (PartKind::Text, PartRole::Document),
        "zip" => (PartKind::Zip, PartRole::Container),
        "eml" => (PartKind::Mail, PartRole::Container),
        "dat" => (PartKind::Tnef, PartRole::Container),
        "ics" => (PartKind::Calendar, PartRole::Refused),
        "exe" | "js" | "scr" => (PartKind::Executable, PartRole::Refused),
        _ => (PartKind::Other, PartRole::Refused),
    };
    Part {
        index,
        container: None,
        name: Some(name.to_owned()),
        declared_type: "application/octet-stream".to_owned(),
        kind,
        role,
        sha256: format!("{index:064x}"),
        size_bytes: 50_000,
        content_id: None,
        twin_of: None,
        content: Default::default(),
    }
}
