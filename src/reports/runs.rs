//! The list of runs.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::text;
use super::waiting::waiting;
use crate::domain::failure::Failure;
use crate::domain::ids::RunId;
use crate::domain::run::RunStatus;
use crate::store::run_list::Wanted;
use crate::store::runs::RunRow;
use crate::store::waits::WaitRow;
use crate::store::{StoreError, Tx, reports, run_list};

/// One run in the list. Its JSON keys are stable.
#[derive(Debug, Clone, Serialize)]
pub struct RunLine {
    pub name: String,
    pub id: RunId,
    pub customer: String,
    pub workflow: String,
    pub workflow_version: i32,
    pub status: RunStatus,
    /// Whether an operator holds it.
    pub held: bool,
    /// Who is asked.
    pub waiting_on: Vec<String>,
    pub waiting_for: Option<String>,
    /// From and subject of the mail that started it.
    pub from: Option<String>,
    pub subject: Option<String>,
    pub failure: Option<Failure>,
    pub created_at: DateTime<Utc>,
    /// Not begun before, while it is queued.
    pub not_before: Option<DateTime<Utc>>,
    /// When it came into the state that it is in.
    pub since: DateTime<Utc>,
    pub finished_at: Option<DateTime<Utc>>,
}

/// The latest runs that are as wanted, newest first.
pub async fn list(tx: &mut Tx, wanted: &Wanted, most: i64) -> Result<Vec<RunLine>, StoreError> {
    let open = reports::open_waits(tx).await?;
    let runs = run_list::list(tx, wanted, most).await?;
    Ok(runs.into_iter().map(|run| line(run, &open)).collect())
}

fn line(run: RunRow, open: &[WaitRow]) -> RunLine {
    let waiting = waiting(&run, open);
    let origin = |key: &str| run.origin.get(key).and_then(|value| value.as_str()).map(str::to_owned);
    let asked_since = waiting.as_ref().and_then(|waiting| waiting.since);
    RunLine {
        from: origin("from"),
        subject: origin("subject"),
        since: run.finished_at.or(asked_since).unwrap_or(run.updated_at),
        waiting_on: waiting.as_ref().map(|waiting| waiting.on.clone()).unwrap_or_default(),
        waiting_for: waiting.map(|waiting| waiting.what),
        name: run.name,
        id: run.id,
        customer: run.customer,
        workflow: run.workflow,
        workflow_version: run.workflow_version,
        status: run.status,
        held: run.held,
        failure: run.failure.map(|failure| failure.0),
        created_at: run.created_at,
        not_before: run.not_before.filter(|_| run.status == RunStatus::Queued),
        finished_at: run.finished_at,
    }
}

/// The list as a table; one sentence when it is empty.
pub fn table(lines: &[RunLine], width: Option<u16>) -> String {
    if lines.is_empty() {
        return "no runs\n".into();
    }
    let rows = lines.iter().map(|line| {
        vec![
            line.name.clone(),
            line.workflow.clone(),
            line.status.to_string(),
            state_in_words(line),
            line.subject.clone().unwrap_or_else(|| "-".into()),
            text::instant(line.since),
        ]
    });
    text::table(&["RUN", "WORKFLOW", "STATUS", "ON WHOM, FOR WHAT", "SUBJECT", "SINCE"], rows.collect(), width)
}

fn state_in_words(line: &RunLine) -> String {
    match (&line.waiting_for, &line.failure) {
        (Some(what), _) if line.waiting_on.is_empty() => what.clone(),
        (Some(what), _) => format!("{}: {what}", text::list(&line.waiting_on)),
        (None, Some(failure)) => failure.to_string(),
        (None, None) => "-".into(),
    }
}

/// The list as one JSON array.
pub fn json(lines: &[RunLine]) -> String {
    format!("{}\n", serde_json::to_string_pretty(lines).unwrap_or_default())
}
