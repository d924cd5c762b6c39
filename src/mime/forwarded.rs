//! Who first sent a mail that was forwarded as text.

use crate::domain::person::Address;

use super::fields::Field;
use super::headers::addresses_of;

/// Lines that programs put before a forwarded mail, in lower case.
const MARKERS: &[&str] = &[
    "forwarded message",
    "begin forwarded message",
    "weitergeleitete nachricht",
    "anfang der weitergeleiteten nachricht",
    "message transféré",
    "message transfere",
    "début du message réexpédié",
    "mensaje reenviado",
    "messaggio inoltrato",
    "inizio messaggio inoltrato",
    "doorgestuurd bericht",
    "mensagem encaminhada",
    "vidarebefordrat meddelande",
];
const SUBJECTS: &[&str] = &["fwd:", "fw:", "wg:", "tr:", "rv:", "enc:", "i:", "vs:", "doorst:"];
/// Labels of the From line in the languages of common mail programs.
pub const FROM_LABELS: &[&str] = &["from", "von", "de", "da", "van", "från", "fra", "od", "expéditeur", "lähettäjä"];

/// The sender named in the last forwarded block: blocks go from the outermost to the innermost. Without a marker the first
/// block counts, and only when the subject says that the mail was forwarded.
pub fn sender(text: &str, subject: &str) -> Option<Address> {
    let mut marked = None;
    let mut first = None;
    let mut lines_since_marker = usize::MAX;
    for line in text.lines().take(5_000) {
        let line = line.trim_start_matches(['>', ' ', '\t', '*']);
        let lower = line.trim_matches(['-', ' ', ':', '*', '_']).to_lowercase();
        lines_since_marker = lines_since_marker.saturating_add(1);
        if MARKERS.contains(&lower.as_str()) {
            lines_since_marker = 0;
            continue;
        }
        let Some(sender) = from_line(line) else { continue };
        if lines_since_marker <= 4 {
            marked = Some(sender.clone());
        }
        first.get_or_insert(sender);
    }
    let subject = subject.to_lowercase();
    marked.or_else(|| first.filter(|_| SUBJECTS.iter().any(|start| subject.starts_with(start))))
}

/// The address of a line like `From: Anna <a@x.example>`.
fn from_line(line: &str) -> Option<Address> {
    let (label, value) = line.split_once(':')?;
    let label = label.trim_matches(['*', ' ']).to_lowercase();
    if !FROM_LABELS.contains(&label.as_str()) || !value.contains('@') {
        return None;
    }
    // Outlook writes `Anna [mailto:a@x.example]`.
    let value = value.trim_matches(['*', ' ']).replace("[mailto:", "<").replace("<mailto:", "<").replace(']', ">");
    addresses_of(&Field { name: String::new(), value }).into_iter().find(|address| !address.domain().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_forwarded_sender_is_found() {
        let check = |subject: &str, text: &str, expected: Option<&str>| {
            assert_eq!(sender(text, subject).map(|a| a.address).as_deref(), expected, "{text}");
        };
        let gmail = "fyi\n\n---------- Forwarded message ---------\nFrom: Anna <a@x.example>\nDate: x\n";
        check("Fwd: invoice", gmail, Some("a@x.example"));
        check("invoice", gmail, Some("a@x.example"));
        let twice = format!("{gmail}\n---------- Forwarded message ---------\nFrom: Bo <b@y.example>\n");
        check("Fwd: invoice", &twice, Some("b@y.example"));
        check("WG: Rechnung", "Von: Carl [mailto:c@z.example]\nGesendet: Montag\n", Some("c@z.example"));
        check("AW: Rechnung", "ok\n\nVon: Carl <c@z.example>\nGesendet: Montag\n", None);
        check("hello", "Begin forwarded message:\n\n> From: Dee <d@w.example>\n", Some("d@w.example"));
        check("Fwd: x", "From: nobody at all\n", None);
    }
}
