//! Content-Transfer-Encoding and charsets: wire bytes to content bytes to text. Lenient, because what cannot be decoded
//! exactly is still worth reading; says when it had to be.

use std::borrow::Cow;

use mail_parser::decoders::base64::base64_decode;
use mail_parser::decoders::charsets::map::charset_decoder;

use super::fields::{cut, text_of};

/// Longest body text kept, in bytes.
const TEXT_BYTES: usize = 1 << 20;

/// Undoes a Content-Transfer-Encoding (RFC 2045, 6). The result is never longer than the input.
/// The second value says what was wrong.
pub fn transfer<'a>(encoding: &str, body: &'a [u8]) -> (Cow<'a, [u8]>, Option<&'static str>) {
    match encoding.trim().to_ascii_lowercase().as_str() {
        "base64" => match base64_decode(body) {
            Some(bytes) => (Cow::Owned(bytes), None),
            None => (Cow::Owned(lenient_base64(body)), Some("base64 is damaged")),
        },
        "quoted-printable" => {
            let (bytes, sound) = quoted_printable(body);
            (Cow::Owned(bytes), (!sound).then_some("quoted-printable is damaged"))
        }
        "" | "7bit" | "8bit" | "binary" => (Cow::Borrowed(body), None),
        _ => (Cow::Borrowed(body), Some("unknown Content-Transfer-Encoding")),
    }
}

/// Content as text by its declared charset, else UTF-8, else windows-1252; line ends are `\n`, control characters gone.
/// Cut at 1 MiB; the second value says so.
pub fn text(content: &[u8], charset: Option<&str>) -> (String, bool) {
    // A charset never makes one character out of more than four bytes.
    let is_cut = content.len() > TEXT_BYTES;
    let content = &content[..content.len().min(TEXT_BYTES)];
    let is_utf8 = charset.is_none_or(|charset| {
        let charset = charset.trim().to_ascii_lowercase();
        matches!(charset.as_str(), "utf-8" | "utf8" | "us-ascii" | "ascii" | "")
    });
    let decoder = charset.filter(|_| !is_utf8).and_then(|charset| charset_decoder(charset.trim().as_bytes()));
    let decoded = match decoder {
        Some(decode) => decode(content),
        // A cut may have gone through a character.
        None if is_cut => String::from_utf8_lossy(content).into_owned(),
        None => text_of(content),
    };
    (clean(cut(&decoded, TEXT_BYTES)), is_cut || decoded.len() > TEXT_BYTES)
}

/// Text with `\n` line ends and without control characters (a database refuses NUL) or a byte order mark.
pub fn clean(text: &str) -> String {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n").replace('\r', "\n");
    text.chars().filter(|&c| matches!(c, '\n' | '\t') || !c.is_control()).collect()
}

/// Takes what is base64 and drops the rest. Stops at padding and at a line that is prose: footers are put behind attachments.
fn lenient_base64(body: &[u8]) -> Vec<u8> {
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    let mut digits = vec![];
    for line in body.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty()) {
        if !line.iter().any(is_digit) || line.contains(&b' ') {
            break;
        }
        let end = line.iter().position(|&byte| byte == b'=').unwrap_or(line.len());
        digits.extend(line[..end].iter().copied().filter(is_digit));
        if end < line.len() {
            break;
        }
    }
    base64_decode(&digits).unwrap_or_default()
}

/// RFC 2045, 6.7; an `=` that is no escape stays as it is.
fn quoted_printable(body: &[u8]) -> (Vec<u8>, bool) {
    let mut out = Vec::with_capacity(body.len());
    let mut sound = true;
    let mut lines = body.split(|&byte| byte == b'\n').peekable();
    while let Some(line) = lines.next() {
        let is_last = lines.peek().is_none();
        let has_cr = line.ends_with(b"\r");
        // Blanks at the end of a line were added in transport.
        let mut line = if is_last && !has_cr { line } else { line.trim_ascii_end() };
        let soft = line.ends_with(b"=");
        if soft {
            line = &line[..line.len() - 1];
        }
        let mut at = 0;
        while at < line.len() {
            let escape = (line[at] == b'=').then(|| line.get(at + 1..at + 3).and_then(hex)).flatten();
            sound &= line[at] != b'=' || escape.is_some();
            out.push(escape.unwrap_or(line[at]));
            at += if escape.is_some() { 3 } else { 1 };
        }
        if !soft && !is_last {
            out.extend_from_slice(if has_cr { b"\r\n" } else { b"\n" });
        }
    }
    (out, sound)
}

fn hex(digits: &[u8]) -> Option<u8> {
    let digits =
        std::str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    u8::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(encoding: &str, body: &str, expected: &[u8], sound: bool) {
        let (content, defect) = transfer(encoding, body.as_bytes());
        assert_eq!((content.as_ref(), defect.is_none()), (expected, sound), "{encoding}: {body:?}");
    }

    #[test]
    fn transfer_encodings_are_undone() {
        check("BASE64 ", "aGVs\r\nbG8=\r\n", b"hello", true);
        check("base64", "aGVsbG8", b"hello", true);
        check("base64", "aG!Vs#bG8=\r\n-- \r\nA footer.", b"hello", false);
        check("base64", "aGVsbG8h\r\n____\r\nfooter", b"hello!", false);
        check("quoted-printable", "caf=C3=A9 =\r\nau lait \r\nx", "café au lait\r\nx".as_bytes(), true);
        check("quoted-printable", "a=b =3", b"a=b =3", false);
        check("quoted-printable", "=\u{e9}", "=\u{e9}".as_bytes(), false);
        check("7bit", "as it is", b"as it is", true);
        check("x-uuencode", "as it is", b"as it is", false);
    }

    #[test]
    fn charsets_are_decoded_and_guessed() {
        let check = |bytes: &[u8], charset: Option<&str>, expected: &str| {
            assert_eq!(text(bytes, charset), (expected.to_owned(), false));
        };
        check(b"f\xfcr", Some("iso-8859-1"), "für");
        check(b"f\xfcr \x80", None, "für €");
        check("für\r\n\0x".as_bytes(), Some("us-ascii"), "für\nx");
        check(b"f\xfcr", Some("no-such-charset"), "für");
    }

    #[test]
    fn long_text_is_cut_on_a_character() {
        let (text, is_cut) = text("ü".repeat(TEXT_BYTES).as_bytes(), None);
        assert!(is_cut && text.len() <= TEXT_BYTES + 3 && text.starts_with("üü"));
    }
}
