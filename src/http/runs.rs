//! The list of runs: the latest first, by status, and on whom each waits.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Web;
use super::page::{self, PageError};
use super::shown::{self, Moment};
use crate::domain::run::RunStatus;
use crate::domain::wait::{WaitKind, WaitStatus};
use crate::store::runs::RunRow;
use crate::store::waits::WaitRow;
use crate::store::{Tx, people, runs, waits, workflows};

/// Runs on the page.
const MOST: i64 = 100;

#[derive(Deserialize)]
pub(super) struct Filter {
    status: Option<String>,
}

#[derive(Serialize)]
struct Line {
    name: String,
    status: RunStatus,
    held: bool,
    workflow: String,
    about: String,
    from: String,
    waiting: Vec<String>,
    failure: Option<String>,
    since: Moment,
    created: Moment,
}

/// GET: the list; `?status=waiting` for those of one status.
pub(super) async fn list(State(web): State<Arc<Web>>, Query(filter): Query<Filter>) -> Result<Response, PageError> {
    let status = match filter.status.as_deref().filter(|status| !status.is_empty()).map(str::parse::<RunStatus>) {
        None => None,
        Some(Ok(status)) => Some(status),
        Some(Err(_)) => {
            let known = RunStatus::ALL.iter().map(|status| status.as_str()).collect::<Vec<_>>().join(", ");
            let what = "There is no such status of a run.";
            return Ok(page::message(StatusCode::BAD_REQUEST, "Not found", what, &format!("There are: {known}.")));
        }
    };
    let mut tx = web.engine.store.read().await?;
    let mut names = Names::default();
    let mut zones = BTreeMap::new();
    let mut lines = vec![];
    for run in runs::latest(&mut tx, status, MOST).await? {
        let zone = match zones.get(&run.workflow_hash) {
            Some(zone) => *zone,
            None => {
                let zone = workflows::get(&mut tx, &run.workflow_hash).await?.calendar.zone;
                *zones.entry(run.workflow_hash.clone()).or_insert(zone)
            }
        };
        lines.push(line(&mut tx, run, zone, &mut names).await?);
    }
    let statuses: Vec<_> = RunStatus::ALL.iter().map(|status| status.as_str()).collect();
    let (chosen, full) = (status.map(RunStatus::as_str), lines.len() as i64 == MOST);
    let values = json!({ "root": "", "here": "runs", "lines": lines, "statuses": statuses, "chosen": chosen, "full": full, "most": MOST });
    Ok(page::page(StatusCode::OK, "runs.html", values))
}

async fn line(tx: &mut Tx, run: RunRow, zone: Tz, names: &mut Names) -> Result<Line, PageError> {
    let mut waiting = vec![];
    let mut since = run.finished_at.unwrap_or(run.updated_at);
    if run.status == RunStatus::Waiting {
        for wait in waits::of_run(tx, run.id).await?.iter().filter(|wait| wait.status == WaitStatus::Open) {
            since = wait.opened_at;
            waiting.push(names.waiting_on(tx, wait).await?);
        }
        if waiting.is_empty() && run.wake_at.is_some() {
            waiting.push("the next attempt".into());
        }
    }
    let known = |map: &serde_json::Map<String, Value>, key: &str| map.get(key).map(shown::text).unwrap_or_default();
    let origin = &run.origin.0;
    let sender = [known(&run.inputs.0, "supplier"), known(origin, "from_name"), known(origin, "from")];
    Ok(Line {
        about: known(origin, "subject"),
        from: sender.into_iter().find(|name| !name.is_empty()).unwrap_or_default(),
        waiting,
        failure: run.failure.as_ref().map(|failure| failure.details.clone()),
        since: shown::moment(since, zone),
        created: shown::moment(run.created_at, zone),
        name: run.name,
        status: run.status,
        held: run.held,
        workflow: run.workflow,
    })
}

/// What people are called, looked up once for each customer.
#[derive(Default)]
pub(super) struct Names(BTreeMap<String, BTreeMap<String, String>>);

impl Names {
    /// The full name of a user; anybody else is called what they are.
    pub(super) async fn call(&mut self, tx: &mut Tx, customer: &str, person: &str) -> Result<String, PageError> {
        if !self.0.contains_key(customer) {
            let users = people::users(tx, customer).await?;
            let named = users.into_iter().filter(|user| !user.full_name.is_empty());
            self.0.insert(customer.to_owned(), named.map(|user| (user.name, user.full_name)).collect());
        }
        let known = self.0.get(customer).and_then(|users| users.get(person));
        Ok(known.cloned().unwrap_or_else(|| person.to_owned()))
    }

    /// Everybody that an open wait waits for.
    pub(super) async fn waiting_on(&mut self, tx: &mut Tx, wait: &WaitRow) -> Result<String, PageError> {
        let mut asked = vec![];
        for person in wait.asked.iter() {
            asked.push(self.call(tx, &wait.customer, &person.person).await?);
        }
        Ok(match wait.kind {
            WaitKind::Timer => "the clock".into(),
            _ if asked.is_empty() => wait.kind.to_string(),
            _ => shown::list(&asked),
        })
    }
}
