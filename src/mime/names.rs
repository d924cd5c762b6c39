//! File names given by senders, made safe to show and to keep. They never name a file of ours.

use unicode_normalization::UnicodeNormalization;

use super::fields::decode_words;

/// Longest name kept, in characters.
const LENGTH: usize = 150;

/// Names that Windows keeps for devices, whatever follows the first dot.
const RESERVED: &[&str] = &["con", "prn", "aux", "nul"];

/// Extensions of files that run when they are opened.
const RUNNABLE: &[&str] = &[
    "exe", "scr", "com", "pif", "bat", "cmd", "msi", "msp", "cpl", "js", "jse", "vbs", "vbe", "wsf", "wsh", "hta",
    "ps1", "psm1", "jar", "lnk", "reg", "sh", "apk", "app", "iso", "img", "vhd", "vhdx", "chm", "xll", "url", "appx",
    "msix",
];

/// The name as it is kept: decoded (RFC 2047 where mailers put it wrongly), NFC, last path component only, without control,
/// bidi and invisible characters, characters that file systems refuse, or device names. None when nothing is left.
pub fn sanitise(given: &str) -> Option<String> {
    let given = if given.contains("=?") { decode_words(given) } else { given.to_owned() };
    let visible: String = given.nfc().filter(|&c| !is_hidden(c)).collect();
    let base = visible.trim_end_matches(['/', '\\']).rsplit(['/', '\\']).next().unwrap_or("");
    let safe: String =
        base.chars().map(|c| if matches!(c, '<' | '>' | ':' | '"' | '|' | '?' | '*') { '_' } else { c }).collect();
    let safe = safe.split_whitespace().collect::<Vec<_>>().join(" ");
    let safe = shorten(safe.trim_matches(['.', ' ']));
    let stem = safe.split('.').next().unwrap_or("").trim_end().to_lowercase();
    let port = stem.strip_prefix("com").or_else(|| stem.strip_prefix("lpt"));
    let is_device =
        RESERVED.contains(&stem.as_str()) || port.is_some_and(|n| n.len() == 1 && n != "0" && n.parse::<u8>().is_ok());
    match safe.is_empty() {
        true => None,
        false if is_device => Some(format!("_{safe}")),
        false => Some(safe),
    }
}

/// Whether the extension makes a file run when somebody opens it.
pub fn is_runnable(name: &str) -> bool {
    extension(name).is_some_and(|extension| RUNNABLE.contains(&extension.as_str()))
}

/// Extension in lower case.
pub fn extension(name: &str) -> Option<String> {
    let (stem, extension) = name.rsplit_once('.')?;
    (!stem.is_empty()).then(|| extension.to_lowercase())
}

/// The name without its extension, in lower case.
pub fn stem(name: &str) -> String {
    name.rsplit_once('.').map_or(name, |(stem, _)| stem).to_lowercase()
}

/// Control, bidi (UAX 9) and zero-width characters: they make a name look like another.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(c, '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Cuts the stem, never the extension.
fn shorten(name: &str) -> String {
    let length = name.chars().count();
    if length <= LENGTH {
        return name.to_owned();
    }
    match name.rsplit_once('.').filter(|(_, extension)| extension.chars().count() <= 10) {
        Some((stem, extension)) => {
            let kept = LENGTH - 1 - extension.chars().count();
            format!("{}.{extension}", stem.chars().take(kept).collect::<String>())
        }
        None => name.chars().take(LENGTH).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_safe() {
        let check = |given: &str, expected: Option<&str>| assert_eq!(sanitise(given).as_deref(), expected, "{given:?}");
        check("invoice.pdf", Some("invoice.pdf"));
        check("Rechnung  Ma\u{308}rz.pdf", Some("Rechnung März.pdf"));
        check("../../etc/passwd", Some("passwd"));
        check("C:\\Users\\x\\a.pdf", Some("a.pdf"));
        check("dir/", Some("dir"));
        check("invoice\u{202e}fdp.exe", Some("invoicefdp.exe"));
        check("a\0b\r\n.pdf", Some("ab.pdf"));
        check("CON.pdf", Some("_CON.pdf"));
        check("lpt1", Some("_lpt1"));
        check("com10.pdf", Some("com10.pdf"));
        check("a<b>:c?.pdf", Some("a_b__c_.pdf"));
        check("=?utf-8?q?f=C3=BCr=2Epdf?=", Some("für.pdf"));
        check(" .. ", None);
        check("", None);
        check("\u{200b}", None);
    }

    #[test]
    fn long_names_keep_their_extension() {
        let name = sanitise(&format!("{}.pdf", "ü".repeat(500))).unwrap_or_default();
        assert!(name.chars().count() == LENGTH && name.ends_with("ü.pdf"));
    }

    #[test]
    fn runnable_names_are_known() {
        assert!(is_runnable("a.pdf.EXE") && is_runnable("x.js") && !is_runnable("exe") && !is_runnable("a.pdf"));
    }
}
