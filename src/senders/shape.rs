//! Whether every reader of a message sees the same header: a signature is worth only as much as the agreement of those who
//! check it with those who read the mail. Odd headers are not mended here, they prove nothing.

/// Bytes of a header section; `mime` skips what is beyond.
const SECTION_BYTES: usize = 256 << 10;
/// Fields of a header section; `mime` skips what is beyond.
const FIELDS: usize = 1_000;

/// Where the body starts.
///
/// # Errors
/// What readers could disagree on.
pub fn body_offset(raw: &[u8]) -> Result<usize, &'static str> {
    let (mut at, mut fields) = (0, 0);
    while at < raw.len() {
        let rest = &raw[at..];
        let end = rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len());
        let next = (at + end + 1).min(raw.len());
        let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
        if line.is_empty() {
            return Ok(next);
        }
        if next > SECTION_BYTES {
            return Err("the header is too long");
        }
        if line.iter().any(|byte| matches!(byte, b'\r' | 0)) {
            return Err("the header has control characters");
        }
        if matches!(line[0], b' ' | b'\t') {
            if fields == 0 || line.trim_ascii().is_empty() {
                return Err("the header has a blank line that is not empty");
            }
        } else {
            let colon = line.iter().position(|&byte| byte == b':').unwrap_or(0);
            if colon == 0 || !line[..colon].iter().all(|byte| matches!(byte, 33..=126)) {
                return Err("the header has a line that is no field");
            }
            fields += 1;
            if fields > FIELDS {
                return Err("the header has too many fields");
            }
        }
        at = next;
    }
    Ok(raw.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_header_is_agreed_on() {
        let check = |raw: &str, expected: Result<usize, ()>| {
            assert_eq!(body_offset(raw.as_bytes()).map_err(drop), expected, "{raw:?}");
        };
        check("From: a\r\nTo: b\r\n\tc\r\n\r\nbody", Ok(22));
        check("From: a\nTo: b\n\nbody", Ok(15));
        check("From: a\r\n", Ok(9));
        check("From a@b Mon\nFrom: a\n\n", Err(()));
        check("From : a\n\n", Err(()));
        check("X: y\ngarbage\nApprove\n\nFrom: a\n\n", Err(()));
        check("X: y\n \nFrom: a\n\n", Err(()));
        check("X: y\rFrom: a\n\n", Err(()));
        check(" X: y\n\n", Err(()));
        check("\u{feff}From: a\n\n", Err(()));
        check(&format!("X: {}\n\n", "y".repeat(SECTION_BYTES)), Err(()));
        check(&"X: y\n".repeat(FIELDS + 1), Err(()));
    }
}
