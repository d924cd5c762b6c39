//! Whether a machine wrote a mail, and how (RFC 3834). Bounces are `bounce`'s business.

use crate::domain::message::{Automatic, Message};

/// Subjects of vacation replies. They prove nothing alone: people write about absences too.
const SUBJECTS: &[&str] = &[
    "automatic reply",
    "auto reply",
    "auto-reply",
    "autoreply",
    "auto:",
    "out of office",
    "out of the office",
    "away from",
    "automatische antwort",
    "automatische abwesenheitsnotiz",
    "abwesenheit",
    "abwesend",
    "nicht im büro",
    "réponse automatique",
    "absence du bureau",
    "absent",
    "respuesta automática",
    "fuera de la oficina",
    "risposta automatica",
    "fuori ufficio",
    "automatisch antwoord",
    "afwezig",
    "resposta automática",
    "autosvar",
    "automatiskt svar",
    "frånvaro",
    "odpowiedź automatyczna",
];

/// Reads the header of a message whose fields are already taken apart.
pub fn judge(message: &Message) -> Option<Automatic> {
    let field = |name: &str| message.header(name).map(|value| value.trim().to_lowercase());
    let submitted = field("auto-submitted").unwrap_or_default();
    match submitted.split([';', ' ', '(']).next().unwrap_or("") {
        "auto-replied" => return Some(Automatic::Reply),
        "auto-generated" | "auto-notified" => return Some(Automatic::Generated),
        _ => {}
    }
    let says_yes = |name: &str| field(name).is_some_and(|value| !matches!(value.as_str(), "no" | "false" | "0"));
    if ["x-autoreply", "x-autorespond", "x-autoresponder", "x-auto-reply"].into_iter().any(says_yes)
        || field("content-type").is_some_and(|value| value.contains("disposition-notification"))
    {
        return Some(Automatic::Reply);
    }
    let precedence = field("precedence").unwrap_or_default();
    if precedence == "auto_reply" {
        return Some(Automatic::Reply);
    }
    let answers = !message.answers.is_empty();
    let null_path = message.return_path.as_deref() == Some("");
    let bulk = matches!(precedence.as_str(), "bulk" | "list" | "junk");
    let subject = message.subject.to_lowercase();
    let is_away = SUBJECTS.iter().any(|start| subject.starts_with(start));
    if null_path || (is_away && (answers || bulk || field("x-auto-response-suppress").is_some())) {
        return Some(Automatic::Reply);
    }
    let listed = ["list-id", "list-unsubscribe", "list-post"].into_iter().any(|name| field(name).is_some());
    (bulk || listed).then_some(Automatic::Bulk)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(header: &str, expected: Option<Automatic>) {
        let raw = format!("From: a@b.example\n{header}\n\nx");
        let message = super::super::tests::parsed(raw.as_bytes());
        assert_eq!(message.automatic, expected, "{header}");
    }

    #[test]
    fn standard_marks_are_proof() {
        check("Auto-Submitted: auto-replied (vacation)", Some(Automatic::Reply));
        check("Auto-Submitted: auto-generated; owner-email=\"x@y\"", Some(Automatic::Generated));
        check("Auto-Submitted: auto-notified", Some(Automatic::Generated));
        check("Auto-Submitted: no", None);
        check("Return-Path: <>", Some(Automatic::Reply));
        check("Return-Path: <a@b.example>", None);
        check("X-Autoreply: yes", Some(Automatic::Reply));
        check("X-Autorespond: On holiday", Some(Automatic::Reply));
        check("X-Autoreply: no", None);
        check("Precedence: auto_reply", Some(Automatic::Reply));
        check(
            "Content-Type: multipart/report; report-type=disposition-notification; boundary=x",
            Some(Automatic::Reply),
        );
    }

    #[test]
    fn lists_are_bulk() {
        check("Precedence: bulk", Some(Automatic::Bulk));
        check("List-Id: <news.example>", Some(Automatic::Bulk));
        check("List-Unsubscribe: <mailto:u@x.example>", Some(Automatic::Bulk));
        check("Auto-Submitted: auto-generated\nList-Unsubscribe: <mailto:u@x.example>", Some(Automatic::Generated));
    }

    #[test]
    fn subjects_and_suppression_alone_prove_nothing() {
        check("Subject: Out of office", None);
        check("X-Auto-Response-Suppress: All", None);
        check("Subject: Abwesenheitsnotiz\nIn-Reply-To: <a@b>", Some(Automatic::Reply));
        check("Subject: Automatic reply: PO\nX-Auto-Response-Suppress: All", Some(Automatic::Reply));
        check("Subject: Re: Out of office chairs, order\nIn-Reply-To: <a@b>", None);
    }
}
