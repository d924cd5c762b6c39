//! The quarantine: what waits for a person to look at it, and one message with all it takes to decide. Releasing and
//! discarding are left to `intake`.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::picture::MessagePicture;
use super::{explain_message, show_message, text};
use crate::domain::duration::Span;
use crate::domain::ids::MessageId;
use crate::domain::verdict::Severity;
use crate::store::quarantine::{self, HeldRow};
use crate::store::{StoreError, Tx};

/// One message in quarantine. Its JSON keys are stable.
#[derive(Debug, Clone, Serialize)]
pub struct Held {
    pub id: MessageId,
    pub received_at: DateTime<Utc>,
    pub customer: String,
    pub mailbox: String,
    pub from: Option<String>,
    pub subject: Option<String>,
    /// None for what older versions quarantined.
    pub severity: Option<Severity>,
    pub reason: Option<String>,
    /// Since it was listed.
    pub age_secs: i64,
    /// Older than the `keep` of the configuration; it stays until a person decides all the same.
    pub overdue: bool,
}

/// Everything that nobody released or discarded yet, newest first. `keep`: from which age on it is overdue.
pub async fn list(tx: &mut Tx, now: DateTime<Utc>, keep: Option<Span>) -> Result<Vec<Held>, StoreError> {
    let line = |row: HeldRow| Held {
        age_secs: (now - row.listed_at).num_seconds().max(0),
        overdue: keep.is_some_and(|keep| now - row.listed_at > keep.delta()),
        id: row.id,
        received_at: row.received_at.unwrap_or(row.listed_at),
        customer: row.customer,
        mailbox: row.mailbox,
        from: row.from_address,
        subject: row.subject,
        severity: row.severity,
        reason: row.reason,
    };
    Ok(quarantine::held(tx).await?.into_iter().map(line).collect())
}

/// The lines as a table, with the beginning of each id that commands take.
pub fn table(lines: &[Held], width: Option<u16>) -> String {
    if lines.is_empty() {
        return "nothing is in quarantine\n".into();
    }
    let or_dash = |text: &Option<String>| text.as_deref().unwrap_or("-").to_owned();
    let rows = lines.iter().map(|line| {
        vec![
            short(line.id),
            text::instant(line.received_at),
            format!("{}{}", age(line), if line.overdue { ", overdue" } else { "" }),
            line.mailbox.clone(),
            or_dash(&line.from),
            text::short(&or_dash(&line.subject)),
            line.severity.map_or_else(|| "-".into(), |severity| severity.to_string()),
            or_dash(&line.reason),
        ]
    });
    text::table(&["ID", "RECEIVED", "AGE", "MAILBOX", "FROM", "SUBJECT", "SEVERITY", "REASON"], rows.collect(), width)
}

/// The lines as one JSON array.
pub fn json(lines: &[Held]) -> String {
    format!("{}\n", serde_json::to_string_pretty(lines).unwrap_or_default())
}

/// The explanation of one message, its parts and the place of its raw bytes. Tables fit `width`, if there is one.
pub fn show(picture: &MessagePicture, width: Option<u16>) -> String {
    let row = &picture.row;
    let mut told = explain_message::explain(picture);
    if !picture.parts.is_empty() {
        let inner = width.map(|width| width.saturating_sub(2).max(20));
        told.push_str(&format!("\nPARTS\n{}", text::indented(&show_message::parts(picture, inner))));
    }
    let severity = row.severity.map_or_else(String::new, |severity| format!("  severity {severity}\n"));
    told.push_str(&format!("\nKEPT\n  message  {}\n{severity}  raw      {}\n", row.id, show_message::raw_path(row)));
    told
}

/// `3 d`, `5 h`, `12 min`, `40 s`
fn age(line: &Held) -> String {
    let units = [(86_400, "d"), (3_600, "h"), (60, "min")];
    let unit = units.iter().find(|(secs, _)| line.age_secs >= *secs).unwrap_or(&(1, "s"));
    format!("{} {}", line.age_secs / unit.0, unit.1)
}

/// Twelve digits of an id.
fn short(id: MessageId) -> String {
    id.0.simple().to_string().chars().take(12).collect()
}
