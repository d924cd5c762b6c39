//! Every template: its files in the binary, the values it gets, and a sample of them.

use serde_json::{Map, Value, json};

/// A notice that can be written.
pub(super) struct Known {
    pub name: &'static str,
    /// Values besides the common ones, as a sample.
    sample: fn() -> Value,
    /// Which of them may be none or empty.
    optional: &'static [&'static str],
}

/// Values that delivery adds to every notice.
const COMMON_OPTIONAL: &[&str] = &["person", "link"];

pub(super) const KNOWN: &[Known] = &[
    Known { name: "approval", sample: approval, optional: APPROVAL_OPTIONAL },
    Known { name: "reminder", sample: reminder, optional: APPROVAL_OPTIONAL },
    Known { name: "escalation", sample: escalation, optional: ESCALATION_OPTIONAL },
    Known { name: "request-info", sample: request_info, optional: &["subject", "missing", "note"] },
    Known { name: "request-info-reminder", sample: request_info_reminder, optional: &["subject", "missing", "note"] },
    Known { name: "notify", sample: notify, optional: &["text", "facts"] },
    Known { name: "rule-note", sample: rule_note, optional: RULE_NOTE_OPTIONAL },
    Known { name: "forward", sample: rule_note, optional: RULE_NOTE_OPTIONAL },
    Known { name: "late-answer", sample: late_answer, optional: &["decided_by", "when"] },
    Known { name: "ambiguous-answer", sample: ambiguous_answer, optional: &["said"] },
    Known { name: "not-counted", sample: not_counted, optional: &[] },
    Known { name: "reply-received", sample: reply_received, optional: &["subject"] },
    Known { name: "reply-no-document", sample: reply_no_document, optional: &["subject"] },
];

const APPROVAL_OPTIONAL: &[&str] = &["facts", "documents", "due", "note", "checks"];
const ESCALATION_OPTIONAL: &[&str] = &["facts", "documents", "due", "note", "checks", "instead_of", "undelivered"];

const RULE_NOTE_OPTIONAL: &[&str] = &["title", "text", "facts", "subject", "from"];

macro_rules! embedded {
    ($($file:literal),* $(,)?) => {
        &[$(($file, include_str!(concat!("../../../templates/", $file)))),*]
    };
}

/// Every file in the binary. Those with a leading underscore and the layout are parts of the others.
pub(super) const EMBEDDED: &[(&str, &str)] = embedded![
    "layout.html",
    "_ask.html",
    "_ask.txt",
    "_facts.html",
    "_facts.txt",
    "_missing.html",
    "_missing.txt",
    "approval.html",
    "approval.txt",
    "reminder.html",
    "reminder.txt",
    "escalation.html",
    "escalation.txt",
    "request-info.html",
    "request-info.txt",
    "request-info-reminder.html",
    "request-info-reminder.txt",
    "notify.html",
    "notify.txt",
    "rule-note.html",
    "rule-note.txt",
    "forward.html",
    "forward.txt",
    "late-answer.html",
    "late-answer.txt",
    "ambiguous-answer.html",
    "ambiguous-answer.txt",
    "not-counted.html",
    "not-counted.txt",
    "reply-received.txt",
    "reply-no-document.txt",
];

impl Known {
    /// All values, as delivery would give them.
    pub fn sample(&self) -> Map<String, Value> {
        let common = json!({
            "run": "AP-000123",
            "customer": "Acme GmbH",
            "person": "Olivia Brandt",
            "link": "https://ap.acme.example/d/4f1c9f0e2b7d4c55a1",
            "reply_works": true,
        });
        object(common).into_iter().chain(object((self.sample)())).collect()
    }

    /// Every optional value as it is when there is none.
    pub fn nothing(&self) -> Map<String, Value> {
        let optional = COMMON_OPTIONAL.iter().chain(self.optional).copied();
        let sample = self.sample();
        optional
            .map(|key| match sample.get(key) {
                Some(Value::Array(_)) => (key.to_owned(), json!([])),
                _ => (key.to_owned(), Value::Null),
            })
            .collect()
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn approval() -> Value {
    json!({
        "question": "Approve invoice RE-2026-0417 from Nordwind Logistik GmbH over 4,760.00 EUR?",
        "facts": [
            {"label": "Supplier", "value": "Nordwind Logistik GmbH"},
            {"label": "Invoice", "value": "RE-2026-0417"},
            {"label": "Amount", "value": "4,760.00 EUR"},
            {"label": "Purchase order", "value": "PO-88213"},
            {"label": "Invoice date", "value": "12 November 2026"},
            {"label": "IBAN", "value": "DE02 1203 0000 0000 2020 51"},
        ],
        "documents": ["Rechnung RE-2026-0417.pdf", "Lieferschein 88213.pdf"],
        "due": "Wednesday 25 November 2026, 17:00 CET",
        "note": "The freight was agreed by phone with M. Keller.",
        "checks": [
            {"label": "Supplier is known", "ok": true, "text": "Nordwind Logistik GmbH"},
            {"label": "Matches the purchase order", "ok": true, "text": "3 of 3 lines"},
            {"label": "Amount within tolerance", "ok": false, "text": "260.00 EUR over the order"},
        ],
    })
}

fn reminder() -> Value {
    with(approval(), json!({"number": 2}))
}

fn escalation() -> Value {
    with(approval(), json!({"instead_of": ["Olivia Brandt", "Jonas Weber"], "undelivered": false}))
}

fn request_info() -> Value {
    json!({
        "supplier": "Nordwind Logistik GmbH",
        "subject": "Rechnung RE-2026-0417",
        "missing": ["The purchase order number", "The delivery note as a PDF"],
        "note": "Without the number we cannot match your invoice to an order.",
    })
}

fn request_info_reminder() -> Value {
    with(request_info(), json!({"number": 1}))
}

fn notify() -> Value {
    json!({
        "title": "Invoice RE-2026-0417 was posted",
        "text": "The invoice was approved and posted to the ERP.\nNothing is left to do.",
        "facts": [{"label": "Approved by", "value": "Olivia Brandt"}, {"label": "Posting", "value": "5100004711"}],
    })
}

fn rule_note() -> Value {
    json!({
        "title": "quarantine: Rahmenvertrag 2027",
        "text": "a contract goes to a person",
        "facts": [
            {"label": "Subject", "value": "Rahmenvertrag 2027"},
            {"label": "From", "value": "Nordwind Logistik GmbH <billing@nordwind.example>"},
            {"label": "Mailbox", "value": "ap"},
            {"label": "Received", "value": "Monday 16 November 2026, 09:12 UTC"},
            {"label": "Verdict", "value": "quarantine"},
            {"label": "Reason", "value": "a contract goes to a person"},
            {"label": "Rule", "value": "contract"},
        ],
        "subject": "Rahmenvertrag 2027",
        "from": "Nordwind Logistik GmbH <billing@nordwind.example>",
        "verdict": "quarantine",
        "reason": "a contract goes to a person",
    })
}

fn late_answer() -> Value {
    json!({"decided_by": "Jonas Weber", "decision": "approved", "when": "Tuesday 24 November 2026, 09:12 CET"})
}

fn ambiguous_answer() -> Value {
    json!({
        "question": "Approve invoice RE-2026-0417 from Nordwind Logistik GmbH over 4,760.00 EUR?",
        "said": "Approve if the freight is removed",
    })
}

fn not_counted() -> Value {
    json!({
        "question": "Approve invoice RE-2026-0417 from Nordwind Logistik GmbH over 4,760.00 EUR?",
        "why": "Your mail server did not confirm that the mail is really from you.",
    })
}

fn reply_received() -> Value {
    json!({"subject": "Rechnung RE-2026-0417"})
}

fn reply_no_document() -> Value {
    reply_received()
}

fn with(base: Value, more: Value) -> Value {
    Value::Object(object(base).into_iter().chain(object(more)).collect())
}
