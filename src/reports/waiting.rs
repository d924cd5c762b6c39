//! What a run waits for and on whom, in a few words.

use chrono::{DateTime, Utc};

use super::text;
use crate::domain::run::RunStatus;
use crate::domain::wait::WaitKind;
use crate::store::runs::RunRow;
use crate::store::waits::WaitRow;

/// Why a run rests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Users and addresses that are asked, or `an operator`; nobody when only time is needed.
    pub on: Vec<String>,
    /// What for: the question, or what comes when.
    pub what: String,
    pub since: Option<DateTime<Utc>>,
}

/// Why a run rests, from its open waits; none when it does not.
pub fn waiting(run: &RunRow, open: &[WaitRow]) -> Option<Waiting> {
    let held = run.held && !run.status.is_final();
    if run.status != RunStatus::Waiting && !held {
        return None;
    }
    let mut waiting = Waiting { on: vec![], what: String::new(), since: None };
    let mut whats = vec![];
    if held {
        waiting.on.push("an operator".into());
        whats.push("held".to_owned());
    }
    for wait in open.iter().filter(|wait| wait.run_id == run.id) {
        for asked in wait.asked.iter().filter(|_| wait.kind != WaitKind::Timer) {
            if !waiting.on.contains(&asked.person) {
                waiting.on.push(asked.person.clone());
            }
        }
        whats.push(what(wait));
        waiting.since = waiting.since.or(Some(wait.opened_at));
    }
    if let Some(at) = run.wake_at {
        whats.push(format!("the next attempt at {}", text::instant(at)));
    }
    waiting.what = whats.join("; ");
    Some(waiting)
}

fn what(wait: &WaitRow) -> String {
    match wait.kind {
        WaitKind::Timer => wait.due_at.map_or_else(|| "a timer".into(), |at| format!("{} to come", text::instant(at))),
        WaitKind::Approval | WaitKind::Reply | WaitKind::External | WaitKind::Operator => {
            format!("{}: {}", wait.kind, text::one_line(&wait.question))
        }
    }
}
