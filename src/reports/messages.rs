//! The report: one line per message and run of it, what became of it and where it waits, with totals; as a table, CSV or JSON.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

use super::csv;
use super::text;
use super::waiting::waiting;
use crate::domain::ids::{MessageId, RunId};
use crate::domain::run::RunStatus;
use crate::domain::verdict::Disposition;
use crate::store::reports::ReportRow;
use crate::store::{StoreError, Tx, reports, runs, tags};

/// One message in the report, with one of its runs. Its JSON keys, and the CSV columns of the same names, are stable.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    pub message_id: MessageId,
    pub received_at: DateTime<Utc>,
    pub customer: String,
    pub mailbox: String,
    pub from: Option<String>,
    pub subject: Option<String>,
    /// None while it has no verdict.
    pub verdict: Option<String>,
    /// Why it has this verdict, or why it has none yet.
    pub reason: Option<String>,
    pub run: Option<String>,
    pub run_id: Option<RunId>,
    pub run_status: Option<RunStatus>,
    pub waiting_on: Vec<String>,
    pub waiting_for: Option<String>,
    pub failure_reason: Option<String>,
    pub failure_details: Option<String>,
    pub finished_at: Option<DateTime<Utc>>,
    /// What a person made of a quarantine.
    pub disposition: Option<Disposition>,
    /// The first delivery of the same mail.
    pub duplicate_of: Option<MessageId>,
    /// The first message that brought one of its documents.
    pub documents_of: Option<MessageId>,
    /// Words that rules keep it under.
    pub tags: Vec<String>,
}

/// Messages that came since an instant, oldest first; only those whose run has a status, and those with a tag, when given.
pub async fn load(
    tx: &mut Tx,
    since: Option<DateTime<Utc>>,
    status: Option<RunStatus>,
    tag: Option<&str>,
) -> Result<Vec<Line>, StoreError> {
    let open = reports::open_waits(tx).await?;
    let mut tagged = tags::since(tx, since).await?;
    let mut lines = vec![];
    for row in reports::messages_since(tx, since, status).await? {
        let tags = tagged.remove(&row.id).unwrap_or_default();
        if tag.is_some_and(|wanted| !tags.iter().any(|tag| tag == wanted)) {
            continue;
        }
        let waiting = match row.run_id {
            Some(id) if row.run_status.is_some_and(|status| !status.is_final()) => {
                waiting(&runs::get(tx, id).await?, &open)
            }
            _ => None,
        };
        let mut line = line(row, tags);
        if let Some(waiting) = waiting {
            line.waiting_on = waiting.on;
            line.waiting_for = Some(waiting.what);
        }
        lines.push(line);
    }
    Ok(lines)
}

fn line(row: ReportRow, tags: Vec<String>) -> Line {
    let failure = row.run_failure.map(|failure| failure.0);
    Line {
        message_id: row.id,
        received_at: row.received_at.unwrap_or(row.listed_at),
        customer: row.customer,
        mailbox: row.mailbox,
        from: row.from_address,
        subject: row.subject,
        verdict: row.verdict,
        reason: row.reason.or(row.error),
        run: row.run_name,
        run_id: row.run_id,
        run_status: row.run_status,
        waiting_on: vec![],
        waiting_for: None,
        failure_reason: failure.as_ref().map(|failure| failure.reason.clone()),
        failure_details: failure.map(|failure| failure.details),
        finished_at: row.run_finished_at,
        disposition: row.disposition,
        duplicate_of: row.duplicate_of,
        documents_of: row.documents_of,
        tags,
    }
}

/// The lines as a table with totals below.
pub fn table(lines: &[Line], width: Option<u16>) -> String {
    if lines.is_empty() {
        return "no messages\n".into();
    }
    let or_dash = |text: &Option<String>| text.as_deref().unwrap_or("-").to_owned();
    let rows = lines.iter().map(|line| {
        vec![
            text::instant(line.received_at),
            line.mailbox.clone(),
            or_dash(&line.from),
            or_dash(&line.subject),
            verdict(line),
            or_dash(&line.reason),
            or_dash(&line.run),
            line.run_status.map_or_else(|| "-".into(), |status| status.to_string()),
            where_it_is(line),
            text::maybe_instant(line.finished_at),
        ]
    });
    let head = [
        "RECEIVED",
        "MAILBOX",
        "FROM",
        "SUBJECT",
        "VERDICT",
        "REASON",
        "RUN",
        "STATUS",
        "WAITING ON, OR FAILED WITH",
        "FINISHED",
    ];
    let table = text::table(&head, rows.collect(), width);
    // Lines of one message stand together.
    let by_message = || lines.chunk_by(|one, next| one.message_id == next.message_id).filter_map(<[Line]>::first);
    let by_verdict = count(by_message().map(|line| line.verdict.as_deref().unwrap_or("in flight")));
    // A run that several messages belong to counts once.
    let runs: BTreeMap<_, _> = lines.iter().filter_map(|line| Some((line.run_id?, line.run_status?))).collect();
    let by_status = count(runs.values().map(|status| status.as_str()));
    let messages = by_message().count();
    let messages = format!("{messages} message{}", if messages == 1 { "" } else { "s" });
    let of_runs = format!("{} run{}", runs.len(), if runs.len() == 1 { "" } else { "s" });
    format!("{table}\n{messages}{by_verdict}\n{of_runs}{by_status}\n")
}

/// `quarantine, known documents, released #contract`
fn verdict(line: &Line) -> String {
    let repeat = match (line.duplicate_of, line.documents_of) {
        (Some(_), _) => Some("duplicate"),
        (None, Some(_)) => Some("known documents"),
        (None, None) => None,
    };
    let verdict = line.verdict.as_deref().unwrap_or("in flight");
    let told: Vec<&str> =
        [Some(verdict), repeat, line.disposition.map(Disposition::as_str)].into_iter().flatten().collect();
    let tags = line.tags.iter().map(|tag| format!(" #{tag}"));
    told.join(", ") + &tags.collect::<String>()
}

fn where_it_is(line: &Line) -> String {
    match (&line.waiting_for, &line.failure_reason) {
        (Some(what), _) if line.waiting_on.is_empty() => what.clone(),
        (Some(what), _) => format!("{}: {what}", text::list(&line.waiting_on)),
        (None, Some(reason)) => reason.clone(),
        (None, None) => "-".into(),
    }
}

/// `: 3 ignore, 1 start`, or nothing.
fn count<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let mut counts = BTreeMap::<&str, usize>::new();
    for word in words {
        *counts.entry(word).or_default() += 1;
    }
    let told: Vec<_> = counts.iter().map(|(word, count)| format!("{count} {word}")).collect();
    if told.is_empty() { String::new() } else { format!(": {}", told.join(", ")) }
}

/// The lines as CSV; lists inside a field are separated by `; `.
pub fn csv(lines: &[Line]) -> String {
    let head = [
        "message_id",
        "received_at",
        "customer",
        "mailbox",
        "from",
        "subject",
        "verdict",
        "reason",
        "run",
        "run_id",
        "run_status",
        "waiting_on",
        "waiting_for",
        "failure_reason",
        "failure_details",
        "finished_at",
        "disposition",
        "duplicate_of",
        "documents_of",
        "tags",
    ];
    let time = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let cells: Vec<Vec<String>> = lines
        .iter()
        .map(|line| {
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            vec![
                line.message_id.to_string(),
                time(line.received_at),
                line.customer.clone(),
                line.mailbox.clone(),
                text(&line.from),
                text(&line.subject),
                text(&line.verdict),
                text(&line.reason),
                text(&line.run),
                line.run_id.map(|id| id.to_string()).unwrap_or_default(),
                line.run_status.map(|status| status.to_string()).unwrap_or_default(),
                line.waiting_on.join("; "),
                text(&line.waiting_for),
                text(&line.failure_reason),
                text(&line.failure_details),
                line.finished_at.map(time).unwrap_or_default(),
                line.disposition.map(|disposition| disposition.to_string()).unwrap_or_default(),
                line.duplicate_of.map(|id| id.to_string()).unwrap_or_default(),
                line.documents_of.map(|id| id.to_string()).unwrap_or_default(),
                line.tags.join("; "),
            ]
        })
        .collect();
    csv::csv(&head, cells.iter().map(|row| row.iter().map(String::as_str).collect()))
}

/// The lines as one JSON array.
pub fn json(lines: &[Line]) -> String {
    format!("{}\n", serde_json::to_string_pretty(lines).unwrap_or_default())
}
