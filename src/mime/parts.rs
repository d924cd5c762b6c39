//! The walk through a message: from MIME entities to `Part`s with kind and role, and to the pieces of its body text.

use std::collections::HashSet;

use sha2::{Digest, Sha256};

use crate::config::sections::Limits;
use crate::domain::message::{Part, PartKind, PartRole};
use crate::domain::person::Address;

use super::budget::Budget;
use super::fields::{Entity, Parameterised, clean_line, cut};
use super::roles::{body_kind, choose, twin_of};
use super::{containers, decode, headers, html, kinds, names, structure};

/// Images below this size beside an HTML body are taken for logos.
const LOGO_BYTES: u64 = 8 << 10;
/// Bytes of body text kept of one message, enclosed mails included.
const TEXT_BYTES: usize = 4 << 20;
/// Defects kept of one message.
const DEFECTS: usize = 50;

/// A piece of the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    Plain(String),
    Html(String),
}

/// Where in the message something is.
#[derive(Debug, Clone, Default)]
pub struct Place {
    /// Index of the part it was taken from.
    pub container: Option<u32>,
    /// Multiparts and containers around it.
    pub depth: u32,
    /// Content type of the multipart around it; empty directly in a message or archive.
    pub multipart: String,
}

/// Something to become a part that is no body.
#[derive(Debug, Default)]
pub struct File {
    pub name: Option<String>,
    pub declared_type: String,
    pub content: Vec<u8>,
    pub content_id: Option<String>,
    /// Whether the sender wants it shown within the text.
    pub is_inline: bool,
    /// Where the role is known from outside.
    pub role: Option<PartRole>,
}

impl File {
    /// A member of an archive: a name and bytes.
    pub fn member(name: Option<String>, content: Vec<u8>) -> Self {
        Self { name: name.as_deref().and_then(names::sanitise), content, ..Self::default() }
    }
}

/// Everything found so far.
pub struct Walk {
    pub budget: Budget,
    pub parts: Vec<Part>,
    pub defects: Vec<String>,
    /// Content of the message's own `message/delivery-status` part.
    pub delivery_status: Option<Vec<u8>>,
    /// Message-IDs of the mails returned in the message's own report.
    pub returned: Vec<String>,
    enclosed_sender: Option<(u32, Address)>,
    shown_ids: HashSet<String>,
    inline: HashSet<u32>,
    has_html: bool,
    is_full: bool,
    text_left: usize,
}

impl Walk {
    pub fn new(limits: &Limits) -> Self {
        Self {
            budget: Budget::new(limits),
            parts: vec![],
            defects: vec![],
            delivery_status: None,
            returned: vec![],
            enclosed_sender: None,
            shown_ids: HashSet::new(),
            inline: HashSet::new(),
            has_html: false,
            is_full: false,
            text_left: TEXT_BYTES,
        }
    }

    /// Walks a message or part; returns what it adds to the body text.
    pub fn entity(&mut self, entity: &Entity<'_>, place: &Place) -> Vec<Piece> {
        if !self.pays_part() {
            return vec![];
        }
        for defect in &entity.defects {
            self.defect((*defect).to_owned());
        }
        let mut content_type = Parameterised::of(entity.field("content-type"));
        if content_type.value.is_empty() && place.multipart == "multipart/digest" {
            content_type.value = "message/rfc822".into();
        }
        if content_type.family() == "multipart" {
            if let Some(pieces) = self.multipart(entity, &content_type, place) {
                return pieces;
            }
            self.defect("a multipart without its boundary was taken as text".into());
            content_type = Parameterised::plain("text/plain");
        }
        self.leaf(entity, content_type, place)
    }

    /// Adds a part that is no body, opening it when it is a container.
    pub fn file(&mut self, file: File, place: &Place) {
        let (declared, name) = (file.declared_type.as_str(), file.name.as_deref());
        let kind = match declared {
            "message/rfc822" | "message/global" => PartKind::Mail,
            "application/ms-tnef" | "application/vnd.ms-tnef" if !file.content.is_empty() => PartKind::Tnef,
            _ => kinds::kind_of(&file.content, declared, name),
        };
        let is_refused = kind == PartKind::Executable || name.is_some_and(names::is_runnable);
        let is_container = matches!(kind, PartKind::Mail | PartKind::Zip | PartKind::Tnef);
        let role = match file.role {
            Some(role) => role,
            None if is_refused => PartRole::Refused,
            None if is_container => PartRole::Container,
            None if kind == PartKind::Signature || declared == "application/pgp-encrypted" => PartRole::Decoration,
            None if place.multipart == "multipart/encrypted" => PartRole::NeedsPassword,
            None if kinds::is_encrypted(&file.content, kind) => PartRole::NeedsPassword,
            None => PartRole::Document,
        };
        if is_refused {
            self.defect(format!("part {} is executable, it was refused", self.parts.len() + 1));
        }
        let is_inline = file.is_inline;
        let index = self.push(file, kind, role, place);
        if is_inline {
            self.inline.insert(index);
        }
        if role == PartRole::Container {
            self.open(index, kind, place);
        }
    }

    /// Adds a part whose bytes are not taken.
    pub fn refuse(&mut self, name: Option<String>, why: &str, place: &Place) {
        let file = File { name: name.as_deref().and_then(names::sanitise), ..File::default() };
        let index = self.push(file, PartKind::Other, PartRole::Refused, place);
        self.defect(format!("part {index} {why}"));
    }

    /// Pays for a part; says once when there are too many.
    pub fn pays_part(&mut self) -> bool {
        let paid = self.budget.take_part();
        if !paid && !std::mem::replace(&mut self.is_full, true) {
            self.defect("too many parts, the rest was not read".into());
        }
        paid
    }

    pub fn defect(&mut self, defect: String) {
        if self.defects.len() < DEFECTS && !self.defects.contains(&defect) {
            self.defects.push(defect);
        }
    }

    /// Notes who sent an enclosed mail; the deepest counts, the first of several.
    pub fn saw_enclosed_sender(&mut self, sender: Address, depth: u32) {
        if self.enclosed_sender.as_ref().is_none_or(|(known, _)| depth > *known) {
            self.enclosed_sender = Some((depth, sender));
        }
    }

    pub fn take_enclosed_sender(&mut self) -> Option<Address> {
        self.enclosed_sender.take().map(|(_, sender)| sender)
    }

    /// Tells decoration from documents and finds twins; to be called when everything has been walked.
    pub fn finish(&mut self) {
        for part in self.parts.iter_mut().filter(|part| part.kind == PartKind::Image && part.role == PartRole::Document)
        {
            let is_shown = part.content_id.as_ref().is_some_and(|id| self.shown_ids.contains(id));
            let is_placed = part.content_id.is_some() || self.inline.contains(&part.index);
            if is_shown || (self.has_html && is_placed && part.size_bytes < LOGO_BYTES) {
                part.role = PartRole::Decoration;
            }
        }
        let twins: Vec<(usize, u32)> =
            (0..self.parts.len()).filter_map(|at| Some((at, twin_of(&self.parts[at], &self.parts)?))).collect();
        for (at, twin) in twins {
            self.parts[at].twin_of = Some(twin);
        }
    }

    /// None when there is no boundary to cut at.
    fn multipart(&mut self, entity: &Entity<'_>, content_type: &Parameterised, place: &Place) -> Option<Vec<Piece>> {
        let boundary =
            content_type.parameter("boundary").map(str::trim_end).filter(|b| !b.is_empty() && b.len() <= 500)?;
        let inner = Place { depth: place.depth + 1, multipart: content_type.value.clone(), ..place.clone() };
        if !self.budget.allows_depth(inner.depth) {
            self.refuse(None, "is nested too deeply, it was not read", place);
            return Some(vec![]);
        }
        let found = structure::split(entity.body, boundary, self.budget.parts_left() as usize);
        if found.parts.is_empty() {
            return None;
        }
        for defect in found.defects {
            self.defect(defect.to_owned());
        }
        let children: Vec<Vec<Piece>> =
            found.parts.into_iter().map(|part| self.entity(&Entity::split(part), &inner)).collect();
        if found.has_more {
            self.pays_part();
            self.defect("too many parts, the rest was not read".into());
        }
        Some(if content_type.value == "multipart/alternative" { choose(children) } else { children.concat() })
    }

    fn leaf(&mut self, entity: &Entity<'_>, content_type: Parameterised, place: &Place) -> Vec<Piece> {
        let disposition = Parameterised::of(entity.field("content-disposition"));
        let name = disposition.parameter("filename").or(content_type.parameter("name")).and_then(names::sanitise);
        let declared = match content_type.value.as_str() {
            "" | "text" => "text/plain".to_owned(),
            value => cut(value, 200).to_owned(),
        };
        if declared == "message/external-body" {
            self.refuse(name, "is kept elsewhere, it was not fetched", place);
            return vec![];
        }
        if !self.budget.take_bytes(entity.body.len()) {
            self.refuse(name, "is larger than what may still be unpacked", place);
            return vec![];
        }
        let encoding = entity.value("content-transfer-encoding").split([';', '(']).next().unwrap_or("");
        let (content, defect) = decode::transfer(encoding, entity.body);
        if let Some(defect) = defect {
            self.defect(format!("part {}: {defect}", self.parts.len() + 1));
        }
        let content_id = entity.field("content-id").map(|field| clean_line(field.value.trim_matches(['<', '>', ' '])));
        let file = File {
            name,
            content: content.into_owned(),
            content_id: content_id.filter(|id| !id.is_empty()).map(|id| cut(&id, 500).to_owned()),
            is_inline: disposition.value != "attachment",
            role: self.known_role(&declared, &content_type, place),
            declared_type: declared,
        };
        let charset = content_type.parameter("charset");
        if let Some(kind) = body_kind(&file, charset, &disposition, place) {
            return self.body(file, kind, charset, place);
        }
        if place.multipart == "multipart/report" && place.container.is_none() {
            self.report_part(&file);
        }
        self.file(file, place);
        vec![]
    }

    /// Roles that follow from what the sender declares, where content cannot tell.
    fn known_role(&mut self, declared: &str, content_type: &Parameterised, place: &Place) -> Option<PartRole> {
        match declared {
            "message/delivery-status" | "message/global-delivery-status" | "message/disposition-notification" => {
                Some(PartRole::Body)
            }
            "text/rfc822-headers" | "message/global-headers" => Some(PartRole::Body),
            _ if place.multipart == "multipart/alternative" && declared.starts_with("text/x-amp") => {
                Some(PartRole::Body)
            }
            "application/pkcs7-mime" | "application/x-pkcs7-mime" => match content_type.parameter("smime-type") {
                Some(kind) if kind.eq_ignore_ascii_case("signed-data") => {
                    self.defect(
                        "the content is wrapped in a signature (S/MIME signed-data), it was not unpacked".into(),
                    );
                    None
                }
                _ => Some(PartRole::NeedsPassword),
            },
            _ => None,
        }
    }

    fn body(&mut self, file: File, kind: PartKind, charset: Option<&str>, place: &Place) -> Vec<Piece> {
        let (text, is_cut) = decode::text(&file.content, charset);
        let kept = cut(&text, self.text_left).to_owned();
        if is_cut || kept.len() < text.len() {
            self.defect("the body text was cut, it is too long".into());
        }
        self.text_left -= kept.len();
        let text = kept;
        self.push(file, kind, PartRole::Body, place);
        vec![if kind == PartKind::Html {
            self.has_html = true;
            self.shown_ids.extend(html::content_ids(&text));
            Piece::Html(text)
        } else {
            Piece::Plain(text)
        }]
    }

    /// Takes the facts of a delivery status notification.
    fn report_part(&mut self, file: &File) {
        match file.declared_type.as_str() {
            "message/delivery-status" | "message/global-delivery-status" => {
                self.delivery_status = Some(file.content.clone());
            }
            "text/rfc822-headers" | "message/global-headers" | "message/rfc822" | "message/global" => {
                self.returned.extend(headers::message_id(&Entity::split(&file.content)));
            }
            _ => {}
        }
    }

    fn open(&mut self, index: u32, kind: PartKind, place: &Place) {
        let at = index as usize - 1;
        // Taken out while its members are added behind it.
        let content = std::mem::take(&mut self.parts[at].content);
        let inner = Place { container: Some(index), depth: place.depth + 1, multipart: String::new() };
        if let Err(why) = containers::open(self, kind, &content, &inner) {
            self.parts[at].role = PartRole::Refused;
            self.defect(format!("part {index} {why}"));
        }
        self.parts[at].content = content;
    }

    fn push(&mut self, file: File, kind: PartKind, role: PartRole, place: &Place) -> u32 {
        let index = self.parts.len() as u32 + 1;
        self.parts.push(Part {
            index,
            container: place.container,
            name: file.name,
            declared_type: file.declared_type,
            kind,
            role,
            sha256: hex(&Sha256::digest(&file.content)),
            size_bytes: file.content.len() as u64,
            content_id: file.content_id,
            twin_of: None,
            content: file.content.into(),
        });
        index
    }
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        // Writing to a string cannot fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}
