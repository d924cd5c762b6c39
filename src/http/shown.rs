//! Values as people read them: instants in a zone, sizes, JSON of runs and events.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::Serialize;
use serde_json::{Map, Value};

/// An instant: for machines and for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Moment {
    /// RFC 3339
    pub iso: String,
    /// `Mon 2 Mar 2026, 10:00 CET`
    pub text: String,
}

pub(super) fn moment(at: DateTime<Utc>, zone: Tz) -> Moment {
    let local = at.with_timezone(&zone);
    Moment {
        iso: at.format("%Y-%m-%dT%H:%M:%SZ").to_string(),
        text: local.format("%a %-d %b %Y, %H:%M %Z").to_string(),
    }
}

/// How long something took: `0.4 s`, `12 s`, `3 min`, `2 h 5 min`, `4 d 1 h`.
pub(super) fn span(from: DateTime<Utc>, to: DateTime<Utc>) -> String {
    let millis = (to - from).num_milliseconds().max(0);
    let (secs, mins, hours) = (millis / 1_000, millis / 60_000, millis / 3_600_000);
    match (secs, mins, hours) {
        (0..10, _, _) => format!("{}.{} s", secs, millis % 1_000 / 100),
        (_, 0, _) => format!("{secs} s"),
        (_, _, 0) => format!("{mins} min"),
        (_, _, 0..48) => format!("{hours} h {} min", mins % 60),
        _ => format!("{} d {} h", hours / 24, hours % 24),
    }
}

/// `812 bytes`, `12 KB`, `3.4 MB`; powers of 1000.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} bytes"),
        1_000..1_000_000 => format!("{} KB", bytes / 1_000),
        _ => format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000),
    }
}

/// One label with its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Fact {
    pub label: String,
    pub value: String,
}

/// Every entry of an object as label and value; what is empty is left out.
pub(super) fn facts(object: &Map<String, Value>) -> Vec<Fact> {
    let fact = |(key, value): (&String, &Value)| Fact { label: label(key), value: text(value) };
    object.iter().map(fact).filter(|fact| !fact.value.is_empty()).collect()
}

/// `po_number` to `Po number`.
fn label(key: &str) -> String {
    let words = key.replace('_', " ");
    let mut chars = words.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// A JSON value on one line. A document is its name and size.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(text).filter(|item| !item.is_empty()).collect::<Vec<_>>().join(", "),
        Value::Object(object) => match (object.get("name"), object.get("size_bytes").and_then(Value::as_u64)) {
            (Some(Value::String(name)), Some(bytes)) => format!("{name} ({})", size(bytes)),
            _ => facts(object)
                .iter()
                .map(|fact| format!("{}: {}", fact.label, fact.value))
                .collect::<Vec<_>>()
                .join("; "),
        },
        other => other.to_string(),
    }
}

/// Longest JSON shown in full, in characters.
const MAX_JSON: usize = 20_000;

/// JSON on many lines, cut when it is huge.
pub(super) fn json(value: &Value) -> String {
    let whole = serde_json::to_string_pretty(value).unwrap_or_default();
    match whole.char_indices().nth(MAX_JSON) {
        Some((end, _)) => format!("{}\n… ({} in all)", &whole[..end], size(whole.len() as u64)),
        None => whole,
    }
}

/// `olivia`, `olivia and frank`, `a, b and c`
pub(super) fn list(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn spans_and_sizes_read_as_people_say_them() {
        let check = |millis: i64, expected: &str| {
            let from = DateTime::UNIX_EPOCH;
            assert_eq!(span(from, from + chrono::TimeDelta::milliseconds(millis)), expected);
        };
        check(-5, "0.0 s");
        check(420, "0.4 s");
        check(12_900, "12 s");
        check(200_000, "3 min");
        check(7_500_000, "2 h 5 min");
        check(4 * 86_400_000 + 3_700_000, "4 d 1 h");
        assert_eq!([size(812), size(12_345), size(3_456_789)], ["812 bytes", "12 KB", "3.4 MB"]);
    }

    #[test]
    fn values_of_runs_are_shown_without_their_json() {
        let inputs = json!({
            "documents": [{"path": "p", "name": "a.pdf", "kind": "pdf", "sha256": "x", "size_bytes": 2000}, null],
            "sender": "a@b.example", "note": null, "po_number": {"a": 1, "b": true},
        });
        let shown: Vec<_> =
            facts(inputs.as_object().unwrap()).into_iter().map(|f| format!("{}={}", f.label, f.value)).collect();
        assert_eq!(shown, ["Documents=a.pdf (2 KB)", "Sender=a@b.example", "Po number=A: 1; B: true"]);
    }

    #[test]
    fn an_instant_is_told_in_the_zone_of_its_readers() {
        let at = moment("2026-03-02T09:00:00Z".parse().unwrap(), Tz::Europe__Berlin);
        assert_eq!((at.iso.as_str(), at.text.as_str()), ("2026-03-02T09:00:00Z", "Mon 2 Mar 2026, 10:00 CET"));
    }
}
