//! How far the receivers of events have been told.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::text;
use crate::store::{StoreError, Tx, events, receivers};

/// One receiver. Its JSON keys are stable.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    pub name: String,
    /// Place of the last event that is dealt with; none before the first contact.
    pub position: Option<i64>,
    /// Events after it, those that it does not want too.
    pub behind: i64,
    pub sent_at: Option<DateTime<Utc>>,
    pub failing_since: Option<DateTime<Utc>>,
    pub attempts: i32,
    pub error: Option<String>,
    pub next_at: Option<DateTime<Utc>>,
    /// Events that it refused until they were passed over.
    pub skipped: i64,
}

/// The receivers of these names, in their order.
pub async fn list(tx: &mut Tx, names: &[String]) -> Result<Vec<Line>, StoreError> {
    let (head, _) = events::head(tx).await?;
    let mut lines = vec![];
    for name in names {
        let row = receivers::get(tx, name).await?;
        let position = row.as_ref().map(|row| row.position);
        let failing = row.as_ref().filter(|row| row.failing_since.is_some());
        lines.push(Line {
            name: name.clone(),
            position,
            behind: position.map_or(0, |position| head - position),
            next_at: failing.map(|row| row.next_at),
            failing_since: failing.and_then(|row| row.failing_since),
            attempts: row.as_ref().map_or(0, |row| row.attempts),
            sent_at: row.as_ref().and_then(|row| row.sent_at),
            skipped: row.as_ref().map_or(0, |row| row.skipped),
            error: row.and_then(|row| row.error),
        });
    }
    Ok(lines)
}

pub fn json(lines: &[Line]) -> String {
    format!("{}\n", serde_json::to_string_pretty(lines).unwrap_or_default())
}

pub fn table(lines: &[Line], width: Option<u16>) -> String {
    let row = |line: &Line| {
        let state = match (line.position, line.failing_since) {
            (None, _) => "not begun".to_owned(),
            (_, Some(since)) => format!("failing since {}, {} times", text::instant(since), line.attempts),
            _ => "ok".to_owned(),
        };
        vec![
            line.name.clone(),
            state,
            line.behind.to_string(),
            line.skipped.to_string(),
            text::maybe_instant(line.sent_at),
            text::maybe_instant(line.next_at),
            line.error.as_deref().map(text::one_line).unwrap_or_default(),
        ]
    };
    let head = ["receiver", "state", "behind", "passed over", "last taken", "next try", "error"];
    text::table(&head, lines.iter().map(row).collect(), width)
}
