//! The header section of a message or part: cut into fields, unfolded, decoded. What the fields mean is `headers`' business.
//!
//! The cutting is ours, so that it is bounded and keeps what a repair would hide; RFC 2045, 2047 and 2231 are mail-parser's.

use mail_parser::HeaderValue;
use mail_parser::decoders::charsets::map::charset_decoder;
use mail_parser::parsers::MessageStream;

/// Bytes of one header section that are looked at; what follows is skipped.
const SECTION_BYTES: usize = 256 << 10;
/// Fields kept of one header section.
const FIELDS: usize = 1_000;
/// Bytes of one field that are decoded: decoding may look at a byte more than once.
const FIELD_BYTES: usize = 32 << 10;

/// One header field.
#[derive(Debug, Clone)]
pub struct Field {
    /// In lower case.
    pub name: String,
    /// Unfolded and trimmed, not decoded.
    pub value: String,
}

/// A header section and what follows it.
#[derive(Debug, Default)]
pub struct Entity<'a> {
    pub fields: Vec<Field>,
    pub body: &'a [u8],
    pub defects: Vec<&'static str>,
}

impl<'a> Entity<'a> {
    /// Cuts a message or part at the end of its header. Never fails: without fields everything is body.
    pub fn split(raw: &'a [u8]) -> Self {
        let mut entity = Entity::default();
        let mut kept: Vec<(String, Vec<u8>)> = vec![];
        let mut at = if raw.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        let start = at;
        entity.body = &[];
        while at < raw.len() {
            let (line, next) = line_at(raw, at);
            if line.is_empty() {
                entity.body = &raw[next..];
                break;
            }
            let full = at > SECTION_BYTES || kept.len() >= FIELDS;
            if full {
                note(&mut entity.defects, "header section is too long, its end was skipped");
            }
            match field_name(line) {
                _ if matches!(line[0], b' ' | b'\t') && !kept.is_empty() => {
                    if let Some((_, value)) = kept.last_mut().filter(|_| !full) {
                        value.push(b' ');
                        value.extend_from_slice(line.trim_ascii());
                    }
                }
                Some((name, value)) => {
                    if !full {
                        kept.push((name, value.trim_ascii().to_vec()));
                    }
                }
                None if at == start && (line.starts_with(b"From ") || line.starts_with(b">From ")) => {}
                None if next < raw.len() && !kept.is_empty() && field_name(line_at(raw, next).0).is_some() => {
                    note(&mut entity.defects, "a line in the header is no field, it was skipped");
                }
                None => {
                    note(&mut entity.defects, "no blank line between header and body");
                    entity.body = &raw[at..];
                    break;
                }
            }
            at = next;
        }
        entity.fields = kept.into_iter().map(|(name, value)| Field { name, value: text_of(&value) }).collect();
        entity
    }

    /// First field of that lower-case name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// First value of that name, unfolded; empty when missing.
    pub fn value(&self, name: &str) -> &str {
        self.field(name).map_or("", |field| field.value.as_str())
    }
}

impl Field {
    /// The value with its encoded words decoded (RFC 2047).
    pub fn decoded(&self) -> String {
        match MessageStream::new(&self.line()).parse_unstructured() {
            HeaderValue::Text(text) => clean_line(&text),
            _ => String::new(),
        }
    }

    /// The value as mail-parser reads structured fields: one line, bounded, with its line end.
    pub fn line(&self) -> Vec<u8> {
        let mut line = cut(&self.value, FIELD_BYTES).as_bytes().to_vec();
        line.push(b'\n');
        line
    }
}

/// Content-Type or Content-Disposition (RFC 2045, 5.1; RFC 2183) with decoded parameters (RFC 2231).
#[derive(Debug, Clone, Default)]
pub struct Parameterised {
    /// In lower case: `text/plain`, `attachment`. Empty when the field is missing or unreadable.
    pub value: String,
    parameters: Vec<(String, String)>,
}

impl Parameterised {
    pub fn of(field: Option<&Field>) -> Self {
        let Some(field) = field else { return Self::default() };
        let line = field.line();
        let HeaderValue::ContentType(parsed) = MessageStream::new(&line).parse_content_type() else {
            return Self::default();
        };
        let value = match &parsed.c_subtype {
            Some(subtype) => format!("{}/{subtype}", parsed.c_type),
            None => parsed.c_type.to_string(),
        };
        let parameters = parsed.attributes.into_iter().flatten();
        Self {
            value: clean_line(&value).to_lowercase(),
            parameters: parameters.map(|a| (a.name.to_lowercase(), a.value.into_owned())).collect(),
        }
    }

    /// A value without parameters.
    pub fn plain(value: &str) -> Self {
        Self { value: value.to_owned(), parameters: vec![] }
    }

    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The part before the slash.
    pub fn family(&self) -> &str {
        self.value.split('/').next().unwrap_or("")
    }
}

/// Decodes encoded words (RFC 2047) where they should not be, as in file names.
pub fn decode_words(text: &str) -> String {
    Field { name: String::new(), value: text.to_owned() }.decoded()
}

/// Bytes as text: UTF-8 where they are, windows-1252 otherwise.
pub fn text_of(bytes: &[u8]) -> String {
    match (std::str::from_utf8(bytes), charset_decoder(b"windows-1252")) {
        (Ok(text), _) => text.to_owned(),
        (_, Some(decode)) => decode(bytes),
        _ => String::from_utf8_lossy(bytes).into_owned(),
    }
}

/// One line without control characters and without repeated blanks: fit for a database, a log and a page.
pub fn clean_line(text: &str) -> String {
    let visible: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    visible.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The longest start of `text` that has at most `bytes` bytes.
pub fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

fn note(defects: &mut Vec<&'static str>, defect: &'static str) {
    if !defects.contains(&defect) {
        defects.push(defect);
    }
}

/// The line that starts at `at`, without its end, and where the next one starts.
fn line_at(raw: &[u8], at: usize) -> (&[u8], usize) {
    let rest = &raw[at..];
    let (line, next) = match rest.iter().position(|&byte| byte == b'\n') {
        Some(end) => (&rest[..end], at + end + 1),
        None => (rest, raw.len()),
    };
    (line.strip_suffix(b"\r").unwrap_or(line), next)
}

/// Field name in lower case and the rest of the line (RFC 5322, 2.2; blanks before the colon as in 4.5).
fn field_name(line: &[u8]) -> Option<(String, &[u8])> {
    let colon = line.iter().take(200).position(|&byte| byte == b':')?;
    let name = line[..colon].trim_ascii_end();
    let valid = !name.is_empty() && name.iter().all(|byte| matches!(byte, 33..=126));
    valid.then(|| (String::from_utf8_lossy(name).to_lowercase(), &line[colon + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(raw: &[u8], fields: &[(&str, &str)], body: &str) -> Vec<&'static str> {
        let entity = Entity::split(raw);
        let found: Vec<_> = entity.fields.iter().map(|f| (f.name.clone(), f.decoded())).collect();
        let fields: Vec<_> = fields.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        assert_eq!((found, String::from_utf8_lossy(entity.body).into_owned()), (fields, body.to_owned()));
        entity.defects
    }

    #[test]
    fn fields_are_unfolded_and_decoded() {
        let raw = b"Subject: =?utf-8?q?Rechnung_f=C3=BCr?=\r\n =?utf-8?q?_M=C3=A4rz?=\r\nX-A : b\r\n\r\nbody";
        assert!(check(raw, &[("subject", "Rechnung für März"), ("x-a", "b")], "body").is_empty());
    }

    #[test]
    fn raw_latin_bytes_and_nul_are_mended() {
        check(b"Subject: f\xfcr\0 Sie\n\n", &[("subject", "für Sie")], "");
    }

    #[test]
    fn a_header_without_end_has_no_body() {
        check(b"A: 1\nB: 2", &[("a", "1"), ("b", "2")], "");
    }

    #[test]
    fn what_is_no_field_is_told() {
        let defects = check(b"From x@y Mon\nA: 1\nrubbish line\nB: 2\n\nbody", &[("a", "1"), ("b", "2")], "body");
        assert_eq!(defects, ["a line in the header is no field, it was skipped"]);
        let defects = check(b"A: 1\nHello there\nmore", &[("a", "1")], "Hello there\nmore");
        assert_eq!(defects, ["no blank line between header and body"]);
    }

    #[test]
    fn parameters_are_decoded() {
        let check = |value: &str, name: &str| {
            let field = Field { name: "content-disposition".into(), value: value.into() };
            assert_eq!(Parameterised::of(Some(&field)).parameter("filename").map(decode_words).as_deref(), Some(name));
        };
        check("attachment; filename=\"a b.pdf\"", "a b.pdf");
        check("attachment; filename*=utf-8''Rechnung%20f%C3%BCr.pdf", "Rechnung für.pdf");
        check("attachment; filename*0=\"Rech\"; filename*1=\"nung.pdf\"", "Rechnung.pdf");
        check("attachment; filename*0*=utf-8''f%C3%BC; filename*1=r.pdf", "für.pdf");
        check("attachment; filename=\"=?iso-8859-1?Q?f=FCr=2Epdf?=\"", "für.pdf");
    }
}
