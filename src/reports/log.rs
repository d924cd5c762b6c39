//! What agents said while they worked, as lines.

use std::collections::BTreeMap;

use super::text;
use crate::store::logs::{LogRow, ProgressRow};

/// `09:00:05  read invoice.pdf: 2 pages`; the second attempt and what is not plain talk are marked.
pub fn line(row: &LogRow) -> String {
    let mark = if row.level == "info" { String::new() } else { format!("{}: ", row.level) };
    let again = if row.attempt > 1 { format!("[attempt {}] ", row.attempt) } else { String::new() };
    format!("{}  {again}{mark}{}", row.at.format("%H:%M:%S"), text::one_line(&row.text))
}

/// `2026-03-02 09:00:05Z  extract  1  read invoice.pdf: 2 pages`, with day, step and attempt.
fn whole(row: &LogRow) -> String {
    let mark = if row.level == "info" { String::new() } else { format!("{}: ", row.level) };
    let at = row.at.format("%Y-%m-%d %H:%M:%SZ");
    format!("{at}  {}  {}  {mark}{}\n", row.step, row.attempt, text::one_line(&row.text))
}

/// `40 % page 3 of 8`
pub fn how_far(row: &ProgressRow) -> String {
    let percent = row.percent.map(|percent| format!("{percent} % ")).unwrap_or_default();
    format!("{percent}{}", row.message).trim_end().to_owned()
}

/// Which lines are printed: the last place of each attempt.
#[derive(Debug, Default)]
pub struct Printed(BTreeMap<(i32, String, i32), i32>);

impl Printed {
    /// The lines that are new, as text. Attempts write beside each other, so each is followed by its own count.
    pub fn new_of(&mut self, rows: &[LogRow]) -> String {
        let mut text = String::new();
        for row in rows {
            let last = self.0.entry((row.generation, row.step.clone(), row.attempt)).or_default();
            if row.seq > *last {
                *last = row.seq;
                text.push_str(&whole(row));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(step: &str, seq: i32, level: &str) -> LogRow {
        LogRow {
            generation: 1,
            step: step.into(),
            attempt: 1,
            seq,
            at: "2026-03-02T09:00:05Z".parse().unwrap(),
            level: level.into(),
            text: format!("said {seq}"),
        }
    }

    #[test]
    fn what_is_followed_is_printed_once_whatever_order_attempts_write_in() {
        let mut printed = Printed::default();
        assert_eq!(printed.new_of(&[row("b", 1, "info")]), "2026-03-02 09:00:05Z  b  1  said 1\n");
        let rows = [row("a", 1, "warn"), row("b", 1, "info"), row("b", 2, "cut")];
        assert_eq!(
            printed.new_of(&rows),
            "2026-03-02 09:00:05Z  a  1  warn: said 1\n2026-03-02 09:00:05Z  b  1  cut: said 2\n"
        );
        assert_eq!(printed.new_of(&rows), "");
    }
}
