//! Where the parts of a multipart begin and end (RFC 2046, 5.1.1). Bounded and linear: each call looks once at each byte.
//!
//! The cutting is ours and not mail-parser's: that one allocates for each part as if it were the rest of the message,
//! returns base64 undecoded where the closing boundary is missing, and drops text behind a boundary that stands in a line.

use regex::bytes::Regex;

/// A multipart body, cut.
#[derive(Debug, Default)]
pub struct Split<'a> {
    /// Header and body of each part.
    pub parts: Vec<&'a [u8]>,
    pub defects: Vec<&'static str>,
    /// Whether there were more parts than asked for.
    pub has_more: bool,
}

/// Cuts at the lines `--boundary`, at most `at_most` times. A boundary at the end of a line counts too: some programs forget
/// the line break before it. Without any boundary there are no parts.
pub fn split<'a>(body: &'a [u8], boundary: &str, at_most: usize) -> Split<'a> {
    let mut found = Split::default();
    let Ok(delimiter) = Regex::new(&format!("--{}", regex::escape(boundary))) else { return found };
    let mut start: Option<usize> = None;
    let mut closed_at = None;
    for hit in delimiter.find_iter(body) {
        let Some((next, is_closing)) = delimiter_end(body, hit.end()) else { continue };
        let before = &body[..hit.start()];
        let at_line_start = before.is_empty() || before.ends_with(b"\n");
        if !at_line_start {
            found.defects.push("a boundary stands in the middle of a line");
        }
        if let Some(start) = start {
            let end = hit.start() - if !at_line_start { 0 } else { line_end_length(before) };
            found.parts.push(&body[start.min(end)..end]);
        }
        start = Some(next);
        if is_closing {
            closed_at = Some(next);
            break;
        }
        if found.parts.len() >= at_most {
            found.has_more = true;
            break;
        }
    }
    match (start, closed_at) {
        (_, Some(end)) if !body[end..].trim_ascii().is_empty() => found.defects.push("text follows the last boundary"),
        (_, Some(_)) | (None, None) => {}
        (Some(start), None) if !found.has_more => {
            found.defects.push("the closing boundary is missing");
            found.parts.push(&body[start..]);
        }
        (Some(_), None) => {}
    }
    found.defects.dedup();
    found
}

/// Where the line of a delimiter ends, and whether it is the closing one; None when more text follows in the line.
fn delimiter_end(body: &[u8], at: usize) -> Option<(usize, bool)> {
    let rest = &body[at..];
    let is_closing = rest.starts_with(b"--");
    let rest = if is_closing { &rest[2..] } else { rest };
    let blanks = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r')).count();
    let skipped = body.len() - rest.len() + blanks;
    match rest.get(blanks) {
        None => Some((skipped, is_closing)),
        Some(b'\n') => Some((skipped + 1, is_closing)),
        Some(_) => None,
    }
}

/// The line break before a delimiter belongs to the delimiter.
fn line_end_length(before: &[u8]) -> usize {
    match before {
        [.., b'\r', b'\n'] => 2,
        [.., b'\n'] => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, parts: &[&str], defects: &[&str]) {
        let found = split(body.as_bytes(), "b+1", 10);
        let texts: Vec<_> = found.parts.iter().map(|part| String::from_utf8_lossy(part).into_owned()).collect();
        assert_eq!(
            (texts.as_slice(), found.defects.as_slice()),
            (&*parts.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>(), defects),
            "{body:?}"
        );
    }

    #[test]
    fn parts_are_cut_at_whole_lines() {
        check("preamble\r\n--b+1\r\none\r\n--b+1 \t\r\n\r\ntwo\r\n--b+1--\r\n", &["one", "\r\ntwo"], &[]);
        check("--b+1\none\n--b+12\n--b+1 x\ntwo\n--b+1--", &["one\n--b+12\n--b+1 x\ntwo"], &[]);
        check("--b+1\n--b+1\n--b+1--\n", &["", ""], &[]);
        check("no boundary", &[], &[]);
    }

    #[test]
    fn faults_are_mended_and_told() {
        check("--b+1\none\n--b+1\ntwo", &["one", "two"], &["the closing boundary is missing"]);
        check("--b+1\none--b+1\ntwo--b+1--\n", &["one", "two"], &["a boundary stands in the middle of a line"]);
        check("--b+1\none\n--b+1--\nfooter\n", &["one"], &["text follows the last boundary"]);
    }

    #[test]
    fn the_number_of_parts_is_bounded() {
        let body = "--b\nx\n".repeat(1_000);
        let found = split(body.as_bytes(), "b", 5);
        assert!(found.parts.len() == 5 && found.has_more);
    }
}
