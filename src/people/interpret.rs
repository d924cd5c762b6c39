//! What a reply says. Only the first line that is not blank and not quoted decides, matched whole against a closed list.

use crate::domain::wait::Choice;

/// How a reply to an approval reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    Decides {
        choice: Choice,
        /// What follows the deciding words, for the record.
        comment: Option<String>,
    },
    /// It says something about deciding, but not plainly.
    Ambiguous,
    /// It says nothing that decides.
    Comment,
    Empty,
}

/// One language's words. Matched whole, without case, punctuation and courtesies.
struct Words {
    approve: &'static [&'static str],
    reject: &'static [&'static str],
}

/// English, German, French, Spanish, Italian, Dutch.
const LANGUAGES: &[Words] = &[
    Words {
        approve: &[
            "approve",
            "approved",
            "i approve",
            "yes",
            "yes approved",
            "ok",
            "okay",
            "go ahead",
            "agreed",
            "accepted",
        ],
        reject: &["reject", "rejected", "i reject", "no", "not approved", "declined", "decline", "denied", "refused"],
    },
    Words {
        approve: &[
            "genehmigt",
            "freigegeben",
            "freigabe erteilt",
            "ich genehmige",
            "ja",
            "einverstanden",
            "in ordnung",
        ],
        reject: &["abgelehnt", "nicht genehmigt", "nicht freigegeben", "ich lehne ab", "nein"],
    },
    Words {
        approve: &["approuvé", "approuve", "j'approuve", "validé", "oui", "d'accord", "accepté"],
        reject: &["refusé", "rejeté", "non", "je refuse", "pas approuvé", "non approuvé"],
    },
    Words {
        approve: &["aprobado", "apruebo", "sí", "si", "de acuerdo", "aceptado"],
        reject: &["rechazado", "rechazo", "no aprobado", "denegado"],
    },
    Words {
        approve: &["approvato", "approvo", "sì", "va bene", "accettato"],
        reject: &["respinto", "rifiutato", "non approvato", "rifiuto"],
    },
    Words {
        approve: &["goedgekeurd", "akkoord", "ik keur goed", "ja akkoord"],
        reject: &["afgekeurd", "afgewezen", "niet akkoord", "nee", "niet goedgekeurd"],
    },
];

/// Courtesies that may stand before or after the deciding words without changing them.
const COURTESIES: &[&str] = &[
    "thanks",
    "thank you",
    "many thanks",
    "thx",
    "please",
    "cheers",
    "regards",
    "best regards",
    "kind regards",
    "hi",
    "hello",
    "danke",
    "vielen dank",
    "bitte",
    "hallo",
    "gruß",
    "viele grüße",
    "merci",
    "bonjour",
    "gracias",
    "hola",
    "grazie",
    "ciao",
    "bedankt",
    "dank je",
];

/// Longest first line that is read, in bytes; a longer one is prose.
const MAX_LINE_BYTES: usize = 200;

/// Reads the unquoted text of a reply (`mime::reply::fresh_text`).
pub fn read(fresh_text: &str) -> Reading {
    let mut lines = fresh_text.lines().map(str::trim).filter(|line| !line.is_empty());
    let Some(mut first) = lines.next() else { return Reading::Empty };
    // A salutation alone on its line is passed over: "Hi," decides nothing and hides nothing.
    if is_salutation(first)
        && let Some(second) = lines.next()
    {
        first = second;
    }
    let rest: Vec<&str> = lines.collect();
    if first.len() <= MAX_LINE_BYTES
        && let Some(choice) = choice_of(first)
    {
        let comment = Some(rest.join("\n")).filter(|comment| !comment.is_empty());
        return Reading::Decides { choice, comment };
    }
    if mentions_deciding(first) { Reading::Ambiguous } else { Reading::Comment }
}

fn choice_of(line: &str) -> Option<Choice> {
    let phrase = decisive(line)?;
    let is = |words: &[&str]| words.iter().any(|word| plain(word) == phrase);
    let approves = LANGUAGES.iter().any(|language| is(language.approve));
    let rejects = LANGUAGES.iter().any(|language| is(language.reject));
    match (approves, rejects) {
        (true, false) => Some(Choice::Approve),
        (false, true) => Some(Choice::Reject),
        _ => None,
    }
}

/// The line without courtesies; none when more than one phrase is left. A question decides nothing.
fn decisive(line: &str) -> Option<String> {
    if line.contains('?') {
        return None;
    }
    let mut left = line
        .split(['.', ',', '!', ';', ':', '–', '—', '-', '*', '_', '"', '(', ')', '|'])
        .map(plain)
        .filter(|piece| !piece.is_empty() && !COURTESIES.iter().any(|courtesy| plain(courtesy) == *piece))
        .map(|piece| without_courtesies(&piece));
    let only = left.next()?;
    left.all(|other| other == only).then_some(only)
}

/// "approved thanks" and "thanks approved" without the thanks.
fn without_courtesies(piece: &str) -> String {
    let mut piece = piece.to_owned();
    for courtesy in COURTESIES {
        let courtesy = plain(courtesy);
        if let Some(rest) = piece.strip_suffix(&courtesy).filter(|rest| rest.ends_with(' ')) {
            piece = rest.trim().to_owned();
        }
        if let Some(rest) = piece.strip_prefix(&courtesy).filter(|rest| rest.starts_with(' ')) {
            piece = rest.trim().to_owned();
        }
    }
    piece
}

/// Lower case, single spaces, typographic apostrophes plain.
fn plain(text: &str) -> String {
    let lower = text.replace('’', "'").to_lowercase();
    lower.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn is_salutation(line: &str) -> bool {
    let line = plain(line);
    let words: Vec<&str> = line.trim_end_matches([',', '!', '.', ':']).split(' ').collect();
    let greets =
        ["hi", "hello", "dear", "hey", "hallo", "liebe", "lieber", "guten", "bonjour", "hola", "ciao", "beste", "moin"];
    words.len() <= 4
        && words.first().is_some_and(|first| greets.contains(first))
        && choice_of(&line).is_none()
        && !mentions_deciding(&line)
}

/// Whether any deciding word of more than three letters occurs in the line.
fn mentions_deciding(line: &str) -> bool {
    let line = plain(line);
    let words: Vec<&str> = line.split(|c: char| !c.is_alphanumeric() && c != '\'').collect();
    let telling = |word: &&str| word.chars().count() > 3 && words.contains(word);
    LANGUAGES.iter().any(|language| language.approve.iter().chain(language.reject).any(&telling))
        || words
            .iter()
            .any(|word| word.starts_with("approv") || word.starts_with("reject") || word.starts_with("genehmig"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let told = match read(text) {
            Reading::Decides { choice, comment } => match comment {
                Some(comment) => format!("{choice}: {comment}"),
                None => choice.to_string(),
            },
            Reading::Ambiguous => "ambiguous".into(),
            Reading::Comment => "comment".into(),
            Reading::Empty => "empty".into(),
        };
        assert_eq!(told, expected, "{text:?}");
    }

    #[test]
    fn plain_answers_are_understood() {
        for text in [
            "Approved",
            "approve",
            "Approved, thanks",
            "Approved, thanks!",
            "OK",
            "Yes.",
            "  APPROVED. ",
            "Thanks, approved",
        ] {
            check(text, "approve");
        }
        for text in ["Genehmigt", "Freigegeben, danke", "Ja", "Approuvé, merci", "Sí, gracias", "Akkoord"] {
            check(text, "approve");
        }
        for text in
            ["Rejected", "reject", "No", "Not approved", "Abgelehnt", "Nicht genehmigt.", "Refusé", "No, thanks"]
        {
            check(text, "reject");
        }
        check("Hi,\n\nApproved\n\nRegards\nOlivia", "approve: Regards\nOlivia");
        check("approved\nPlease book it to cost centre 12", "approve: Please book it to cost centre 12");
    }

    #[test]
    fn what_can_be_read_in_two_ways_decides_nothing() {
        for text in [
            "Approve if freight is removed",
            "Approved? I do not think so",
            "I do not approve this",
            "Approved / rejected",
            "approve, reject",
            "Approved but only half of it",
            "Who approved this?",
            "not approved yet",
            "Yes and no, approved later maybe",
            "okay I will have a look tomorrow",
        ] {
            check(text, "ambiguous");
        }
    }

    #[test]
    fn what_says_nothing_about_it_is_a_comment_and_silence_is_empty() {
        check("I will look at it tomorrow", "comment");
        check("no idea", "comment");
        check("I am on the road\nApproved", "comment");
        check(" \n\n", "empty");
        check("", "empty");
    }
}
