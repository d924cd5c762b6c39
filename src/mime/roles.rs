//! What a part is for, where the kind of its bytes does not settle it: body text, alternatives, twins.

use crate::domain::message::{Part, PartKind, PartRole};

use super::fields::Parameterised;
use super::parts::{File, Piece, Place};
use super::{kinds, names};

/// Text or HTML, when the part is meant to be read as the message: declared as text, without a name, not an attachment,
/// and really text. A message that is nothing but one part may name it.
pub fn body_kind(file: &File, charset: Option<&str>, disposition: &Parameterised, place: &Place) -> Option<PartKind> {
    let declared = match file.declared_type.as_str() {
        "text/plain" | "text/enriched" => PartKind::Text,
        "text/html" => PartKind::Html,
        _ => return None,
    };
    // UTF-16 without its mark looks like binary.
    let is_wide = charset.is_some_and(|charset| charset.to_ascii_lowercase().starts_with("utf-16"));
    let is_named = file.name.is_some() && !place.multipart.is_empty();
    if disposition.value == "attachment" || is_named {
        return None;
    }
    let is_text = match kinds::kind_of(&file.content, &file.declared_type, None) {
        PartKind::Pdf | PartKind::Image | PartKind::Zip | PartKind::Tnef | PartKind::Word | PartKind::Sheet => false,
        PartKind::Other | PartKind::Executable => is_wide || kinds::is_nearly_text(&file.content),
        _ => true,
    };
    is_text.then_some(declared)
}

/// Of alternatives the plain text when there is any, else the richest.
pub fn choose(children: Vec<Vec<Piece>>) -> Vec<Piece> {
    let is_plain = |pieces: &Vec<Piece>| {
        pieces.iter().all(|piece| matches!(piece, Piece::Plain(_)))
            && pieces.iter().any(|piece| matches!(piece, Piece::Plain(text) if !text.trim().is_empty()))
    };
    if let Some(plain) = children.iter().find(|pieces| is_plain(pieces)) {
        return plain.clone();
    }
    let has_html = |pieces: &Vec<Piece>| pieces.iter().any(|piece| matches!(piece, Piece::Html(_)));
    children.iter().rfind(|pieces| has_html(pieces)).cloned().unwrap_or_else(|| children.concat())
}

/// The PDF that an XML part repeats: the one of the same name, or the only one beside an XML of a standard name
/// (Factur-X, ZUGFeRD and XRechnung fix it).
pub fn twin_of(part: &Part, all: &[Part]) -> Option<u32> {
    const STANDARD: &[&str] = &["factur-x.xml", "xrechnung.xml", "zugferd-invoice.xml"];
    let name = part.name.as_deref()?;
    if part.kind != PartKind::Xml || part.role != PartRole::Document {
        return None;
    }
    let pdfs: Vec<&Part> =
        all.iter().filter(|other| other.kind == PartKind::Pdf && other.container == part.container).collect();
    let same_stem = |pdf: &&&Part| pdf.name.as_deref().is_some_and(|other| names::stem(other) == names::stem(name));
    match (pdfs.iter().find(same_stem), pdfs.as_slice()) {
        (Some(pdf), _) => Some(pdf.index),
        (None, [only]) if STANDARD.contains(&name.to_lowercase().as_str()) => Some(only.index),
        _ => None,
    }
}
