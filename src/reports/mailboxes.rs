//! How each mailbox is: read, in trouble, or held, and what waits in it.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::text;
use crate::config::sections::{Mailbox, Source};
use crate::store::holds::{self, WaitingRow};
use crate::store::mailboxes::{self, MailboxRow};
use crate::store::{StoreError, Tx};

/// One mailbox. Its JSON keys are stable.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    pub name: String,
    pub customer: String,
    /// `imap` or `maildir`; none for one that is configured no more.
    pub kind: Option<&'static str>,
    /// `held`, `healthy`, `unhealthy`, or `unknown` before the first poll.
    pub health: String,
    pub last_poll_at: Option<DateTime<Utc>>,
    pub next_poll_at: Option<DateTime<Utc>>,
    pub last_error: Option<String>,
    /// Messages without a verdict.
    pub open: i64,
    /// When the server received the first and the last of them.
    pub open_oldest: Option<DateTime<Utc>>,
    pub open_newest: Option<DateTime<Utc>>,
    pub held: Option<Hold>,
    pub uid_validity: Option<i64>,
    /// Highest UID that the ledger knows.
    pub high_water: i64,
}

/// Why a mailbox is held.
#[derive(Debug, Clone, Serialize)]
pub struct Hold {
    pub since: DateTime<Utc>,
    /// `countersign`, or who paused it.
    pub by: String,
    pub reason: String,
    /// Messages that waited when the hold began.
    pub waiting: i64,
}

/// Every configured mailbox in the order of the configuration, then those that only the database knows.
pub async fn list(tx: &mut Tx, configured: &[Mailbox]) -> Result<Vec<Line>, StoreError> {
    let rows = mailboxes::all(tx).await?;
    let waiting = holds::waiting(tx).await?;
    let row_of = |name: &str| rows.iter().find(|row| row.name == name);
    let waiting_in = |name: &str| waiting.iter().find(|waiting| waiting.mailbox == name);
    let known = configured.iter().map(|config| {
        let kind = match config.source {
            Source::Imap(_) => "imap",
            Source::Maildir(_) => "maildir",
        };
        line(&config.name, &config.customer, Some(kind), row_of(&config.name), waiting_in(&config.name))
    });
    let is_forgotten = |row: &&MailboxRow| !configured.iter().any(|config| config.name == row.name);
    let forgotten = rows.iter().filter(is_forgotten);
    let forgotten = forgotten.map(|row| line(&row.name, &row.customer, None, Some(row), waiting_in(&row.name)));
    Ok(known.chain(forgotten).collect())
}

fn line(
    name: &str,
    customer: &str,
    kind: Option<&'static str>,
    row: Option<&MailboxRow>,
    waiting: Option<&WaitingRow>,
) -> Line {
    let hold = |row: &MailboxRow| {
        row.held_since.map(|since| Hold {
            since,
            by: row.held_by.clone().unwrap_or_default(),
            reason: row.held_reason.clone().unwrap_or_default(),
            waiting: row.held_waiting.unwrap_or_default(),
        })
    };
    Line {
        name: name.to_owned(),
        customer: customer.to_owned(),
        kind,
        health: row.map_or("unknown", MailboxRow::condition).to_owned(),
        last_poll_at: row.and_then(|row| row.last_poll_at),
        next_poll_at: row.and_then(|row| row.next_poll_at),
        last_error: row.and_then(|row| row.last_error.clone()),
        open: waiting.map_or(0, |waiting| waiting.count),
        open_oldest: waiting.and_then(|waiting| waiting.oldest),
        open_newest: waiting.and_then(|waiting| waiting.newest),
        held: row.and_then(hold),
        uid_validity: row.and_then(|row| row.uid_validity),
        high_water: row.map_or(0, |row| row.high_water),
    }
}

/// The lines as a table; below it what each held mailbox waits for.
pub fn table(lines: &[Line], width: Option<u16>) -> String {
    if lines.is_empty() {
        return "no mailbox is configured\n".into();
    }
    let rows = lines.iter().map(|line| {
        vec![
            line.name.clone(),
            line.customer.clone(),
            line.kind.unwrap_or("not configured").to_owned(),
            line.health.clone(),
            text::maybe_instant(line.last_poll_at),
            line.open.to_string(),
            line.high_water.to_string(),
            line.last_error.as_deref().map_or_else(|| "-".into(), text::one_line),
        ]
    });
    let head = ["NAME", "CUSTOMER", "KIND", "HEALTH", "LAST POLL", "OPEN", "HIGH WATER", "LAST ERROR"];
    let held: String = lines.iter().filter_map(|line| line.held.as_ref().map(|hold| told(line, hold))).collect();
    text::table(&head, rows.collect(), width) + &held
}

fn told(line: &Line, hold: &Hold) -> String {
    let since = text::instant(hold.since);
    let received = match (line.open_oldest, line.open_newest) {
        (Some(oldest), Some(newest)) => {
            format!(", received from {} to {}", text::instant(oldest), text::instant(newest))
        }
        _ => String::new(),
    };
    format!(
        "\n{name} is held since {since} by {by}: {reason}\n  {open} waiting{received}\n  `countersign mailbox resume {name}` \
         takes them in; with --leave-older-than DATE or --leave-all it leaves them on the server\n",
        name = line.name,
        by = text::one_line(&hold.by),
        reason = text::one_line(&hold.reason),
        open = line.open,
    )
}

/// The lines as one JSON array.
pub fn json(lines: &[Line]) -> String {
    format!("{}\n", serde_json::to_string_pretty(lines).unwrap_or_default())
}
