//! How reports write times, sizes, short values and tables.

use chrono::{DateTime, TimeDelta, Utc};
use comfy_table::{ContentArrangement, Table, presets};
use serde_json::{Map, Value};

/// Longest value shown in a table cell, in characters.
const MAX_SHORT: usize = 160;

/// `2026-03-02 09:00 UTC`
pub fn instant(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M UTC").to_string()
}

/// As `instant`; `-` for none.
pub fn maybe_instant(at: Option<DateTime<Utc>>) -> String {
    at.map_or_else(|| "-".into(), instant)
}

/// `Wed 2026-03-04 09:00 UTC`, for sentences that people plan by.
pub fn weekday(at: DateTime<Utc>) -> String {
    at.format("%a %Y-%m-%d %H:%M UTC").to_string()
}

/// `2 d 4 h`, `3 h 5 min`, `40 s`: the two largest units.
pub fn lasted(span: TimeDelta) -> String {
    let secs = span.num_seconds().max(0);
    let units = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let first = units.iter().position(|(size, _)| secs >= *size).unwrap_or(units.len() - 1);
    let mut left = secs;
    let mut told = vec![];
    for (size, name) in units.iter().skip(first).take(2) {
        let count = left / size;
        left %= size;
        if count > 0 || told.is_empty() {
            told.push(format!("{count} {name}"));
        }
    }
    told.join(" ")
}

/// `812 B`, `12.3 kB`, `4.0 MB`
pub fn size(bytes: i64) -> String {
    match bytes {
        ..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{}.{} kB", bytes / 1_000, bytes % 1_000 / 100),
        _ => format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000),
    }
}

/// One line without control characters, cut at a length that a table bears.
pub fn short(text: &str) -> String {
    let line = one_line(text);
    if line.chars().count() <= MAX_SHORT {
        return line;
    }
    let cut: String = line.chars().take(MAX_SHORT - 1).collect();
    format!("{}…", cut.trim_end())
}

/// What came from outside as one line that cannot steer a terminal: control and direction characters become spaces.
pub fn one_line(text: &str) -> String {
    let steers = |c: char| {
        c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let clean: String = text.chars().map(|c| if steers(c) { ' ' } else { c }).collect();
    clean.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// One line that ends like a sentence.
pub fn sentence(text: &str) -> String {
    let line = one_line(text);
    if line.ends_with(['.', '?', '!', '…']) { line } else { format!("{line}.") }
}

/// A JSON value as a person reads it: plain strings, objects as `key: value`, long ones cut.
pub fn value(value: &Value) -> String {
    fn pairs(map: &Map<String, Value>) -> String {
        let filled = map.iter().filter(|(_, value)| !value.is_null());
        filled.map(|(key, value)| format!("{key}: {}", plain(value))).collect::<Vec<_>>().join(", ")
    }
    fn plain(value: &Value) -> String {
        match value {
            Value::Null => "none".into(),
            Value::String(text) => text.clone(),
            Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
            Value::Object(map) if map.contains_key("path") && map.contains_key("name") => plain(&map["name"]),
            Value::Object(map) => format!("{{{}}}", pairs(map)),
            other => other.to_string(),
        }
    }
    match value {
        Value::Object(map) if !map.contains_key("path") => short(&pairs(map)),
        other => short(&plain(other)),
    }
}

/// A table without borders. With a width, of a terminal, long cells wrap to fit; without, every row is one line.
pub fn table(head: &[&str], rows: Vec<Vec<String>>, width: Option<u16>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(head.to_vec());
    match width {
        Some(width) => table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width),
        None => table.set_content_arrangement(ContentArrangement::Disabled),
    };
    table.add_rows(rows.into_iter().map(|row| row.iter().map(|cell| one_line(cell)).collect::<Vec<_>>()));
    let last = table.column_count().saturating_sub(1);
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, if index == last { 0 } else { 2 }));
    }
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// Lines pushed in by two spaces.
pub fn indented(text: &str) -> String {
    text.lines().map(|line| if line.is_empty() { "\n".into() } else { format!("  {line}\n") }).collect()
}

/// `a`, `a and b`, `a, b and c`
pub fn list(items: &[String]) -> String {
    match items {
        [] => "nobody".into(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn spans_show_their_two_largest_units() {
        let check = |secs, expected: &str| assert_eq!(lasted(TimeDelta::seconds(secs)), expected);
        check(0, "0 s");
        check(40, "40 s");
        check(3_600 * 3 + 305, "3 h 5 min");
        check(86_400 * 2 + 59, "2 d");
        check(-5, "0 s");
    }

    #[test]
    fn what_came_from_outside_cannot_steer_a_terminal() {
        assert_eq!(one_line("a\u{1b}[31mred\r\nX-Evil: \u{202e}gpj.exe"), "a [31mred X-Evil: gpj.exe");
        let told = short(&"x ".repeat(500));
        assert!(told.chars().count() <= MAX_SHORT && told.ends_with('…'));
    }

    #[test]
    fn values_read_like_words() {
        let check = |given: Value, expected: &str| assert_eq!(value(&given), expected);
        check(json!({"decision": "approved", "by": "olivia", "comment": null}), "decision: approved, by: olivia");
        check(json!([{"path": "a/b.pdf", "name": "b.pdf"}, {"path": "c", "name": "c.pdf"}]), "b.pdf, c.pdf");
        check(json!(null), "none");
        check(json!({"invoice": {"total": "1.00"}}), "invoice: {total: 1.00}");
    }

    #[test]
    fn a_table_fits_a_terminal_and_is_one_line_a_row_in_a_pipe() {
        let rows = || vec![vec!["AP-000001".into(), "long words ".repeat(20)]];
        let piped = table(&["run", "about"], rows(), None);
        assert_eq!(piped.lines().count(), 2);
        let shown = table(&["run", "about"], rows(), Some(60));
        assert!(shown.lines().count() > 2 && shown.lines().all(|line| line.chars().count() <= 60), "{shown}");
    }
}
