//! What bytes are, judged by the bytes. The declared type and the name only decide between readings of plain text.

use crate::domain::message::PartKind;

use super::names;

/// Bytes looked at when text is told from binary.
const SAMPLE: usize = 64 << 10;
/// A compound file (MS-CFB, 2.2): office files of old, encrypted ones of today, saved mails, installers.
const OLE: &[u8] = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1";
/// Stream of an encrypted office file (MS-OFFCRYPTO, 2.3.4.4), in UTF-16.
const ENCRYPTED_PACKAGE: &[u8] = b"E\0n\0c\0r\0y\0p\0t\0e\0d\0P\0a\0c\0k\0a\0g\0e\0";
/// Streams of a mail saved by Outlook (MS-OXMSG, 2.1).
const SAVED_MAIL: &[u8] = b"_\0_\0s\0u\0b\0s\0t\0g\x001\0.\x000\0_\0";

/// What a part's content is. `declared` is its Content-Type in lower case, `name` its file name.
pub fn kind_of(content: &[u8], declared: &str, name: Option<&str>) -> PartKind {
    // A container may hold a PDF as it is, so near its beginning that it would pass for one.
    if content.starts_with(b"PK\x03\x04") || content.starts_with(b"PK\x05\x06") {
        return zip_kind(content);
    }
    if content.starts_with(b"\x78\x9f\x3e\x22") {
        return PartKind::Tnef;
    }
    let start = &content[..content.len().min(1024)];
    if find(start, b"%PDF-").is_some() {
        return PartKind::Pdf;
    }
    if content.starts_with(OLE) {
        return ole_kind(content);
    }
    if let Some(text) = as_text(content) {
        return text_kind(&text, declared, name);
    }
    match infer::get(content) {
        Some(found) if found.matcher_type() == infer::MatcherType::Image => PartKind::Image,
        Some(found) => match found.extension() {
            "doc" | "docx" | "odt" | "rtf" => PartKind::Word,
            "xls" | "xlsx" | "ods" => PartKind::Sheet,
            "exe" | "dll" | "elf" | "mach" | "class" | "dex" | "dey" | "wasm" | "bc" | "msi" | "lnk" | "cab" => {
                PartKind::Executable
            }
            "der" if declared.contains("signature") => PartKind::Signature,
            _ => PartKind::Other,
        },
        // A shell link (MS-SHLLINK, 2.1) and a PE whose header infer does not know.
        None if content.starts_with(b"\x4c\0\0\0\x01\x14\x02\0") || content.starts_with(b"MZ") => PartKind::Executable,
        None if declared.contains("signature") && content.starts_with(b"\x30") => PartKind::Signature,
        None => PartKind::Other,
    }
}

/// Whether a PDF (ISO 32000-1, 7.6) or an office file (MS-OFFCRYPTO, 2.3.4.4) says that it is encrypted.
pub fn is_encrypted(content: &[u8], kind: PartKind) -> bool {
    if kind == PartKind::Pdf {
        let mut rest = content;
        while let Some(at) = find(rest, b"/Encrypt") {
            rest = &rest[at + b"/Encrypt".len()..];
            let value = rest.trim_ascii_start().first().copied().unwrap_or(b' ');
            if value.is_ascii_digit() || value == b'<' {
                return true;
            }
        }
        return false;
    }
    content.starts_with(OLE) && find(content, ENCRYPTED_PACKAGE).is_some()
}

/// Whether bytes that were declared as text may be read as text although some of them are none.
pub fn is_nearly_text(content: &[u8]) -> bool {
    let sample = &content[..content.len().min(SAMPLE)];
    let odd = sample.iter().filter(|byte| byte.is_ascii_control() && !byte.is_ascii_whitespace()).count();
    infer::get(content).is_none() && odd <= 1 + sample.len() / 10
}

/// First position of `needle`.
pub fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    let first = *needle.first()?;
    let mut at = 0;
    while let Some(step) = haystack.get(at..)?.iter().position(|&byte| byte == first) {
        at += step;
        if haystack[at..].starts_with(needle) {
            return Some(at);
        }
        at += 1;
    }
    None
}

/// `infer` takes every compound file that it does not know for an installer.
fn ole_kind(content: &[u8]) -> PartKind {
    match infer::get(content).map(|found| found.extension()) {
        Some("doc") => PartKind::Word,
        Some("xls") => PartKind::Sheet,
        Some("ppt") => PartKind::Other,
        _ if find(content, ENCRYPTED_PACKAGE).is_some() || find(content, SAVED_MAIL).is_some() => PartKind::Other,
        _ => PartKind::Executable,
    }
}

fn zip_kind(content: &[u8]) -> PartKind {
    match infer::get(content).map(|found| found.extension()) {
        Some("docx" | "odt") => return PartKind::Word,
        Some("xlsx" | "ods") => return PartKind::Sheet,
        Some("pptx" | "odp" | "epub") => return PartKind::Other,
        _ => {}
    }
    // Office Open XML whose members come in another order than infer expects.
    if find(content, b"[Content_Types].xml").is_some() {
        if find(content, b"word/document.xml").is_some() {
            return PartKind::Word;
        }
        if find(content, b"xl/workbook.").is_some() {
            return PartKind::Sheet;
        }
    }
    PartKind::Zip
}

/// The beginning as text, when the bytes are text: UTF-8, UTF-16 with a mark, or an 8-bit charset without control bytes.
fn as_text(content: &[u8]) -> Option<String> {
    let sample = &content[..content.len().min(SAMPLE)];
    if sample.is_empty() {
        return None;
    }
    if let [0xff, 0xfe, rest @ ..] | [0xfe, 0xff, rest @ ..] = sample {
        let big = sample[0] == 0xfe;
        let units: Vec<u16> = rest
            .as_chunks::<2>()
            .0
            .iter()
            .map(|&pair| if big { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) })
            .collect();
        return Some(String::from_utf16_lossy(&units)).filter(|text| !text.chars().any(is_binary));
    }
    if sample.iter().any(|&byte| is_binary(char::from(byte)) && byte < 0x80) {
        return None;
    }
    let text = String::from_utf8_lossy(sample);
    // Letters of an 8-bit charset are rare among the ASCII ones; packed data is full of high bytes.
    let odd = text.chars().filter(|&c| c == char::REPLACEMENT_CHARACTER).count();
    (odd * 4 <= sample.len()).then(|| text.trim_start_matches('\u{feff}').to_owned())
}

fn is_binary(c: char) -> bool {
    c.is_ascii_control() && !matches!(c, '\n' | '\r' | '\t' | '\u{c}' | '\u{1b}' | '\u{1a}')
}

fn text_kind(text: &str, declared: &str, name: Option<&str>) -> PartKind {
    let text = text.trim();
    let start = cut_lower(text, 512);
    let extension = name.and_then(names::extension).unwrap_or_default();
    if start.starts_with("begin:vcalendar") {
        PartKind::Calendar
    } else if start.starts_with("-----begin pgp signature") || start.starts_with("-----begin pkcs7") {
        PartKind::Signature
    } else if start.starts_with("{\\rtf") {
        PartKind::Word
    } else if start.starts_with("#!") {
        PartKind::Executable
    } else if start.starts_with("<!doctype html") || start.starts_with("<html") || is_xhtml(&start) {
        PartKind::Html
    } else if start.starts_with("<svg") || (start.starts_with("<?xml") && start.contains("<svg")) {
        PartKind::Image
    } else if start.starts_with("<?xml")
        || (start.starts_with('<') && (declared.ends_with("xml") || extension == "xml"))
    {
        PartKind::Xml
    } else if declared == "text/html" {
        PartKind::Html
    } else if is_mail(&start) {
        PartKind::Mail
    } else if is_table(text) {
        PartKind::Csv
    } else {
        PartKind::Text
    }
}

fn is_xhtml(start: &str) -> bool {
    start.starts_with("<?xml") && (start.contains("<html") || start.contains("<!doctype html"))
}

/// A saved mail: begins with header fields, among them one that only mail has.
fn is_mail(start: &str) -> bool {
    let known = |name: &str| start.starts_with(name) || start.contains(&format!("\n{name}"));
    let first = start.split(':').next().unwrap_or("");
    let begins = !first.is_empty() && first.len() < 60 && first.bytes().all(|byte| matches!(byte, 33..=126));
    begins
        && known("from:")
        && (known("received:") || known("message-id:") || known("mime-version:") || known("return-path:"))
}

/// Two or more lines with the same number of separators each.
fn is_table(text: &str) -> bool {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).take(20).collect();
    let same = |separator: char| {
        let counts: Vec<usize> = lines.iter().map(|line| line.matches(separator).count()).collect();
        counts[0] > 0 && counts.iter().all(|count| *count == counts[0])
    };
    lines.len() >= 2 && [';', ',', '\t'].into_iter().any(same)
}

fn cut_lower(text: &str, bytes: usize) -> String {
    super::fields::cut(text, bytes).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_decides_not_the_name() {
        let check = |content: &[u8], declared: &str, name: &str, expected: PartKind| {
            let found = kind_of(content, declared, Some(name));
            assert_eq!(found, expected, "{declared} {name}: {:?}", String::from_utf8_lossy(content));
        };
        check(b"\r\n%PDF-1.7 ...", "application/octet-stream", "scan.dat", PartKind::Pdf);
        check(b"MZ\x90\0\x03\0\0\0", "application/pdf", "invoice.pdf", PartKind::Executable);
        check(b"#!/bin/sh\nrm", "text/plain", "a.txt", PartKind::Executable);
        check(b"<?xml version='1.0'?><Invoice/>", "application/octet-stream", "a.bin", PartKind::Xml);
        check(b"\xef\xbb\xbf<Invoice/>", "application/xml", "a.xml", PartKind::Xml);
        check(b"<!DOCTYPE html><p>", "text/plain", "a.txt", PartKind::Html);
        check(b"<p>hello", "text/html", "a.htm", PartKind::Html);
        check(b"a;b;c\n1;2;3\n", "text/plain", "a.txt", PartKind::Csv);
        check(b"Dear Sir,\nplease pay, now, thanks\n", "text/plain", "a.txt", PartKind::Text);
        check("Grüße\n".as_bytes(), "text/plain", "a.txt", PartKind::Text);
        check(b"Gr\xfc\xdfe aus Z\xfcrich\n", "text/plain", "a.txt", PartKind::Text);
        check(b"BEGIN:VCALENDAR\r\n", "text/plain", "a", PartKind::Calendar);
        check(b"Received: x\r\nFrom: a@b\r\n\r\nhi", "application/octet-stream", "a", PartKind::Mail);
        check(b"From: me\nTo: you\nSubject: memo\n", "text/plain", "a.txt", PartKind::Text);
        check(b"\x78\x9f\x3e\x22\0\0", "application/octet-stream", "winmail.dat", PartKind::Tnef);
        check(b"\x89PNG\r\n\x1a\n\0\0", "application/pdf", "a.pdf", PartKind::Image);
        check(b"\xff\xfe<\0?\0x\0m\0l\0 \0", "text/xml", "a.xml", PartKind::Xml);
        check(b"PK\x03\x04stored as it is: %PDF-1.4", "application/zip", "a.zip", PartKind::Zip);
        check(b"\x78\x9f\x3e\x22\0 %PDF-1.4", "application/octet-stream", "winmail.dat", PartKind::Tnef);
        check(&[OLE, &[0; 504], ENCRYPTED_PACKAGE].concat(), "application/vnd.ms-excel", "a.xlsx", PartKind::Other);
        check(&[OLE, &[0; 504], SAVED_MAIL].concat(), "application/vnd.ms-outlook", "a.msg", PartKind::Other);
        check(&[OLE, &[0; 504]].concat(), "application/octet-stream", "setup.dat", PartKind::Executable);
        check(b"PK\x03\x04rest", "application/zip", "a.zip", PartKind::Zip);
        check(b"PK\x03\x04 [Content_Types].xml xl/workbook.xml", "application/zip", "a.zip", PartKind::Sheet);
        check(b"-----BEGIN PGP SIGNATURE-----", "application/pgp-signature", "s", PartKind::Signature);
        check(b"\x30\x80\x06\x09\0", "application/pkcs7-signature", "smime.p7s", PartKind::Signature);
        check(b"", "application/pdf", "a.pdf", PartKind::Other);
        check(b"\0\x01\x02", "application/pdf", "a.pdf", PartKind::Other);
    }

    #[test]
    fn encryption_is_seen() {
        assert!(is_encrypted(b"%PDF-1.4 trailer << /Encrypt 5 0 R >>", PartKind::Pdf));
        assert!(is_encrypted(b"%PDF-1.4 trailer <</Encrypt<</Filter/Standard>>>>", PartKind::Pdf));
        assert!(!is_encrypted(b"%PDF-1.4 /EncryptMetadata true (/Encrypt)", PartKind::Pdf));
        let office =
            [b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".as_slice(), b"..E\0n\0c\0r\0y\0p\0t\0e\0d\0P\0a\0c\0k\0a\0g\0e\0"]
                .concat();
        assert!(is_encrypted(&office, PartKind::Other));
    }
}
