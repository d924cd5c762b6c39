//! What a person wrote anew in a reply: without quoted mail, attribution, signature. Used to read decisions, so it drops
//! rather too much than too little: quoted text must never decide.

use std::sync::LazyLock;

use regex::Regex;

use crate::domain::message::Message;

use super::forwarded::FROM_LABELS;
use super::html::{Quotes, to_text};

/// Lines that are read.
const LINES: usize = 5_000;
/// Lines over which mail programs wrap an attribution.
const ATTRIBUTION_LINES: usize = 4;
/// Longest attribution, in bytes.
const ATTRIBUTION_BYTES: usize = 500;
/// Lines behind a From label in which the other labels of a quoted header stand.
const HEADER_LINES: usize = 8;

/// End of an attribution: "On … wrote:".
static WROTE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"(?ix) (
            \b(wrote|writes|a\ écrit|a\ ecrit|escribió|escribio|escribi[oó]:|ha\ scritto|schreef(\ het\ volgende)?|escreveu|
               napisał\(a\)|napisał|napisała|skrev|kirjoitti|написал|пишет)
            \s* :
          | \b(schrieb|skrev|schreef|schreibt)\b [^:]{0,200} : ) \s* $",
    )
    .ok()
});

/// Start of an attribution; one that starts otherwise is only seen when it is in one line.
const STARTS: &[&str] = &["on ", "am ", "le ", "el ", "il ", "op ", "em ", "den ", "w dniu ", "dnia ", "på "];

/// Lines that mail programs add for themselves.
const PROGRAM_LINES: &[&str] = &[
    "sent from my ",
    "sent from mail for windows",
    "sent from yahoo",
    "sent from outlook",
    "sent via ",
    "get outlook for ",
    "von meinem ",
    "gesendet von ",
    "gesendet mit ",
    "diese nachricht wurde von meinem ",
    "envoyé de mon ",
    "envoyé depuis ",
    "envoyé à partir de ",
    "télécharger outlook",
    "enviado desde ",
    "enviado de mi ",
    "enviado do meu ",
    "inviato da ",
    "inviato dal ",
    "verstuurd vanaf ",
    "skickat från ",
    "sendt fra ",
    "wysłane z ",
    "holen sie sich outlook",
    "outlook für ",
    "outlook for ",
];

const DATE_LABELS: &[&str] = &[
    "sent",
    "date",
    "gesendet",
    "datum",
    "envoyé",
    "date",
    "enviado",
    "enviado el",
    "fecha",
    "inviato",
    "data",
    "verzonden",
    "skickat",
    "sendt",
    "dato",
    "wysłano",
    "enviada em",
    "enviado em",
];
const TO_LABELS: &[&str] = &["to", "an", "à", "para", "a", "aan", "till", "til", "do"];
const SUBJECT_LABELS: &[&str] =
    &["subject", "betreff", "objet", "asunto", "oggetto", "onderwerp", "ämne", "emne", "temat", "assunto"];
/// What stands between dashes above a quoted mail.
const ORIGINAL: &[&str] = &[
    "original message",
    "ursprüngliche nachricht",
    "originalnachricht",
    "message d'origine",
    "message original",
    "mensaje original",
    "messaggio originale",
    "oorspronkelijk bericht",
    "mensagem original",
    "ursprungligt meddelande",
    "oprindelig meddelelse",
    "forwarded message",
    "weitergeleitete nachricht",
    "message transféré",
    "mensaje reenviado",
    "messaggio inoltrato",
    "original appointment",
];

/// The new text of a reply; empty when everything is quoted. Where the body is HTML only, quotations are dropped by their
/// elements before the rules for text apply.
pub fn fresh_text(message: &Message) -> String {
    match &message.html {
        Some(html) if message.text_is_from_html => unquoted(&to_text(html, Quotes::Drop)),
        _ => unquoted(&message.text),
    }
}

/// Drops quoted lines and what announces them. Below `> ` lines the text goes on (answers below the quote); behind an
/// unmarked quotation (Outlook's header block, a dashed line) nothing is believed to be new.
fn unquoted(text: &str) -> String {
    let lines: Vec<&str> = text.lines().take(LINES).collect();
    let mut fresh: Vec<&str> = vec![];
    let mut at = 0;
    while at < lines.len() {
        let line = lines[at].trim_start_matches('\u{feff}');
        let trimmed = line.trim();
        if is_quoted(line) {
            at += 1;
            continue;
        }
        if matches!(line, "-- " | "--") || starts_unmarked_quote(&lines[at..]) {
            break;
        }
        if let Some(length) = attribution(&lines[at..]) {
            let quote = lines[at + length..].iter().find(|line| !line.trim().is_empty());
            if quote.is_some_and(|line| is_quoted(line)) {
                at += length;
                continue;
            }
            // What follows an attribution without marks is the quoted mail.
            break;
        }
        if !is_program_line(trimmed) {
            fresh.push(line.trim_end());
        }
        at += 1;
    }
    let text = fresh.join("\n");
    let mut out = String::with_capacity(text.len());
    for line in text.trim().lines() {
        // Dropped quotes leave holes.
        if !(line.is_empty() && out.ends_with("\n\n")) {
            out.push_str(line);
            out.push('\n');
        }
    }
    out.truncate(out.trim_end().len());
    out
}

fn is_quoted(line: &str) -> bool {
    let start = line.trim_start();
    start.starts_with('>') || start.starts_with("&gt;") || start.starts_with("| ")
}

/// How many lines the attribution takes that starts here.
fn attribution(lines: &[&str]) -> Option<usize> {
    let is_start = |line: &str| STARTS.iter().any(|start| line.to_lowercase().starts_with(start));
    let starts = is_start(lines.first()?.trim());
    let wrote = WROTE.as_ref()?;
    let mut joined = String::new();
    for (n, line) in lines.iter().take(ATTRIBUTION_LINES).enumerate() {
        let line = line.trim();
        if line.is_empty() || (n > 0 && is_quoted(line)) || joined.len() + line.len() > ATTRIBUTION_BYTES {
            return None;
        }
        if n > 0 {
            joined.push(' ');
        }
        joined.push_str(line);
        if n > 0 && (!starts || (is_start(line) && wrote.is_match(line))) {
            // The attribution starts further down; this line was written before it.
            return None;
        }
        if wrote.is_match(&joined) {
            let has_date = joined.chars().any(|c| c.is_ascii_digit());
            return (has_date || joined.contains('@') || n == 0).then_some(n + 1);
        }
    }
    None
}

/// Whether from here on everything is an older mail: a dashed title, a line of underscores, or a block of header labels.
fn starts_unmarked_quote(lines: &[&str]) -> bool {
    let Some(first) = lines.first().map(|line| line.trim().trim_matches('*').trim()) else { return false };
    let is_rule = first.len() >= 20 && first.chars().all(|c| c == '_');
    let title = first.trim_matches(['-', '_', ' ', '—', '–', '=', ':']).to_lowercase();
    let is_dashed = first.starts_with(['-', '—', '–', '_', '=']) && ORIGINAL.contains(&title.as_str());
    let is_apple = title == "begin forwarded message" || title == "anfang der weitergeleiteten nachricht";
    if is_rule || is_dashed || is_apple {
        return true;
    }
    if !label_of(first).is_some_and(|label| FROM_LABELS.contains(&label.as_str())) {
        return false;
    }
    let labels: Vec<String> = lines[1..].iter().take(HEADER_LINES).filter_map(|line| label_of(line.trim())).collect();
    let has = |known: &[&str]| labels.iter().any(|label| known.contains(&label.as_str()));
    let found = [DATE_LABELS, TO_LABELS, SUBJECT_LABELS].into_iter().filter(|known| has(known)).count();
    // All of them in one line: what is left of a block whose line breaks were lost.
    let lower = first.to_lowercase();
    let in_line = |known: &[&str]| known.iter().any(|label| lower.contains(&format!(" {label}:")));
    found >= 2 || (in_line(DATE_LABELS) && (in_line(TO_LABELS) || in_line(SUBJECT_LABELS)))
}

/// `from` of `*From:* Anna`, in lower case.
fn label_of(line: &str) -> Option<String> {
    let (label, _) = line.split_once(':')?;
    let label = label.trim_matches(['*', ' ', '\u{a0}', '_']).to_lowercase();
    (label.chars().count() <= 12).then_some(label)
}

fn is_program_line(line: &str) -> bool {
    let lower = line.to_lowercase();
    let added = PROGRAM_LINES.iter().any(|start| lower.starts_with(start));
    // A sentence of a person may begin like this; what programs add is short.
    added && line.chars().count() <= 80
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let message = Message { text: text.into(), ..Message::default() };
        assert_eq!(fresh_text(&message), expected, "{text}");
    }

    #[test]
    fn text_without_quotes_stays() {
        check("Approved, thanks\n\nOlivia\n", "Approved, thanks\n\nOlivia");
        check("See line 5: a > b\nFrom: here on we pay later", "See line 5: a > b\nFrom: here on we pay later");
        check("", "");
    }

    #[test]
    fn marked_quotes_go_with_their_attribution() {
        check("Approved\n\nOn Mon, 2 Mar 2026 at 10:00, AP <ap@acme.example> wrote:\n> approve?\n> x\n", "Approved");
        check("OK\n\nOn Mon, 2 Mar 2026 at 10:00, Accounts Payable\n<ap@acme.example>\nwrote:\n\n> reject\n", "OK");
        check("Ja\n\nAm 02.03.26 um 10:00 schrieb AP <ap@acme.example>:\n> nein\n", "Ja");
        check("Ja\n\nAm Mo., 2. März 2026 um 10:00 Uhr schrieb Acme\nAP <ap@acme.example>:\n\n> nein\n", "Ja");
        check("Oui\n\nLe lun. 2 mars 2026 à 10:00, AP <ap@acme.example> a écrit :\n> non\n", "Oui");
        check("Sí\n\nEl lun, 2 mar 2026 a las 10:00, AP (<ap@acme.example>) escribió:\n> no\n", "Sí");
        check("Va bene\n\nIl giorno lun 2 mar 2026 AP <ap@acme.example> ha scritto:\n> no\n", "Va bene");
        check("Akkoord\n\nOp ma 2 mrt 2026 om 10:00 schreef AP <ap@acme.example>:\n> nee\n", "Akkoord");
        check("Approved\nOn Mon, 2 Mar 2026 AP <ap@acme.example> wrote:\n> x\n", "Approved");
        check("Am I late? ok\nAm 02.03.26 schrieb AP <ap@acme.example>:\n> x\n", "Am I late? ok");
        check("  > quoted\n>> deeper\nno\n", "no");
    }

    #[test]
    fn answers_below_the_quote_are_found() {
        check("On 2 Mar 2026, AP <ap@acme.example> wrote:\n> approve?\n> second\n\nNot yet.\n", "Not yet.");
        check("> approve?\nrejected\n> why?\nwrong PO\n", "rejected\nwrong PO");
    }

    #[test]
    fn behind_an_unmarked_quote_nothing_is_new() {
        check("no\n\n-----Original Message-----\nFrom: AP\n\napprove\n", "no");
        check("nein\n\n-----Ursprüngliche Nachricht-----\nVon: AP\n\napprove\n", "nein");
        check("no\n________________________________\nFrom: AP <ap@acme.example>\n\napprove\n", "no");
        check("no\n\nFrom: AP <ap@acme.example>\nSent: Monday\nTo: Olivia\nSubject: approve\n\napprove\n", "no");
        check("no\n\n*From:* AP <ap@acme.example>\n*Date:* Monday\n*Subject:* x\n\napprove\n", "no");
        check("nein\n\nVon: AP <ap@acme.example>\nGesendet: Montag\nAn: Olivia\nBetreff: x\n\napprove\n", "nein");
        check("non\n\nDe : AP <ap@acme.example>\nEnvoyé : lundi\nÀ : Olivia\nObjet : x\n\napprove\n", "non");
        check("no\n\nDe: AP\nEnviado el: lunes\nPara: Olivia\nAsunto: x\n\napprove\n", "no");
        check("no\n\nDa: AP\nInviato: lunedì\nA: Olivia\nOggetto: x\n\napprove\n", "no");
        check("no\nFrom: AP <ap@x.example> Sent: Monday To: Olivia Subject: x\napprove\n", "no");
        check("no\n\nOn Mon, 2 Mar 2026 at 10:00, AP <ap@acme.example> wrote:\n\napprove this\n", "no");
    }

    #[test]
    fn signatures_and_program_lines_go() {
        check("Approved\n\n-- \nOlivia\nreject everything\n", "Approved");
        check("Approved\n\nSent from my iPhone\n", "Approved");
        check("Sent from my iPhone\n\n> quoted\n", "");
        check("Freigegeben\n\nVon meinem iPhone gesendet\n\nAm 02.03.2026 um 10:00 schrieb AP:\n> x", "Freigegeben");
        check("ok\nGet Outlook for Android<https://aka.ms/x>\n", "ok");
    }

    #[test]
    fn html_quotes_go_by_their_elements() {
        let check = |html: &str, expected: &str| {
            let message = Message { html: Some(html.into()), text_is_from_html: true, ..Message::default() };
            assert_eq!(fresh_text(&message), expected, "{html}");
        };
        check(
            "<div>Approved</div><div class=gmail_quote><div class=gmail_attr>On x, AP wrote:<br></div><blockquote>reject</blockquote></div>",
            "Approved",
        );
        check("<p>no</p><hr><div id=\"divRplyFwdMsg\"><b>From:</b> AP</div><div>approve</div>", "no");
        check("<div>ok</div><div id=appendonsend></div><div>approve</div>", "ok");
        check(
            "<p>no</p><div style='border-top:solid'><p><b>From:</b> AP<br><b>Sent:</b> Monday<br><b>To:</b> O<br><b>Subject:</b> x</p></div><p>approve</p>",
            "no",
        );
        check(
            "<p>On 2 Mar 2026, at 10:00, AP &lt;ap@x.example&gt; wrote:</p><blockquote type=cite>approve</blockquote><p>rejected</p>",
            "rejected",
        );
        check("<blockquote>approve</blockquote><p>rejected</p>", "rejected");
    }
}
