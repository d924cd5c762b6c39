//! How IMAP writes names and sets: modified UTF-7, quoted strings, keywords, compact UID sets. Pure text, no IO.

use std::fmt::Write;

use base64::Engine;
use base64::alphabet::IMAP_MUTF7;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::NO_PAD;

/// Longest UID set in bytes: servers take lines of at least 8,000 bytes (RFC 2683, 3.2.1.5).
const SET_BYTES: usize = 7_000;

/// A folder name in modified UTF-7 (RFC 3501, 5.1.3). The result is printable ASCII, so no name can end a command line.
pub(super) fn utf7(name: &str) -> String {
    let base64 = GeneralPurpose::new(&IMAP_MUTF7, NO_PAD);
    let mut out = String::with_capacity(name.len());
    let mut shifted: Vec<u8> = Vec::new();
    let close = |out: &mut String, shifted: &mut Vec<u8>| {
        if !shifted.is_empty() {
            out.push('&');
            out.push_str(&base64.encode(&*shifted));
            out.push('-');
            shifted.clear();
        }
    };
    for c in name.chars() {
        if matches!(c, ' '..='~') {
            close(&mut out, &mut shifted);
            out.push(c);
            if c == '&' {
                out.push('-');
            }
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                shifted.extend(unit.to_be_bytes());
            }
        }
    }
    close(&mut out, &mut shifted);
    out
}

/// A folder name as a command takes it: modified UTF-7 in a quoted string.
pub(super) fn folder(name: &str) -> String {
    format!("\"{}\"", utf7(name).replace('\\', "\\\\").replace('"', "\\\""))
}

/// Whether a word can be a keyword: an atom (RFC 9051, 9) that is no system flag.
pub(super) fn is_keyword(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|b| b.is_ascii_graphic() && !b"(){%*\"\\]".contains(&b))
}

/// UIDs as sets such as `1:3,7`, sorted and without repeats, each short enough for one command line.
pub(super) fn uid_sets(uids: &[u32]) -> Vec<String> {
    let mut sorted = uids.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let mut sets = Vec::new();
    let mut set = String::new();
    for run in sorted.chunk_by(|a, b| a + 1 == *b) {
        if set.len() > SET_BYTES - 22 {
            sets.push(std::mem::take(&mut set));
        }
        if !set.is_empty() {
            set.push(',');
        }
        // Writing into a String cannot fail.
        let _ = match run {
            [only] => write!(set, "{only}"),
            [first, .., last] => write!(set, "{first}:{last}"),
            [] => Ok(()),
        };
    }
    if !set.is_empty() {
        sets.push(set);
    }
    sets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_names_are_written_in_modified_utf7() {
        for (name, expected) in [
            ("INBOX", "INBOX"),
            ("Entwürfe", "Entw&APw-rfe"),
            ("A&B", "A&-B"),
            ("~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"),
            ("Rechnungen €", "Rechnungen &IKw-"),
            ("📥", "&2D3c5Q-"),
            ("a\r\nb DELETE", "a&AA0ACg-b DELETE"),
        ] {
            assert_eq!(utf7(name), expected);
        }
    }

    #[test]
    fn a_folder_name_cannot_leave_its_quotes() {
        assert_eq!(folder(r#"a"b\c"#), r#""a\"b\\c""#);
        assert!(!folder("x\r\nA1 DELETE INBOX").contains('\n'));
    }

    #[test]
    fn a_keyword_is_an_atom() {
        assert!(is_keyword("$Countersigned") && is_keyword("filed"));
        for word in ["", "two words", "\\Seen", "a(b", "a\r\nb", "ä", "a*"] {
            assert!(!is_keyword(word), "{word}");
        }
    }

    #[test]
    fn uid_sets_are_compact() {
        for (uids, expected) in [
            (vec![], vec![]),
            (vec![5], vec!["5"]),
            (vec![3, 1, 2, 2, 9, 11, 12], vec!["1:3,9,11:12"]),
            (vec![u32::MAX - 1, u32::MAX], vec!["4294967294:4294967295"]),
        ] {
            assert_eq!(uid_sets(&uids), expected);
        }
    }

    #[test]
    fn long_uid_sets_are_split_and_lose_nothing() {
        let uids: Vec<u32> = (0..4_000).map(|i| 4_000_000_000 + 2 * i).collect();
        let sets = uid_sets(&uids);
        assert!(sets.len() > 1 && sets.iter().all(|set| set.len() <= SET_BYTES));
        let back: Vec<u32> = sets.iter().flat_map(|set| set.split(',')).map(|uid| uid.parse().unwrap()).collect();
        assert_eq!(back, uids);
    }
}
