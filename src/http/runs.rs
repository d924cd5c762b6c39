//! The list of runs: the latest first, by status, and on whom each waits.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Web;
use super::page::{self, PageError};
use super::shown::{self, Moment};
use crate::domain::run::RunStatus;
use crate::domain::wait::{WaitKind, WaitStatus};
use crate::reports::since::Since;
use crate::store::run_list::{self, Wanted};
use crate::store::runs::RunRow;
use crate::store::waits::WaitRow;
use crate::store::{Tx, people, runs, waits, workflows};

/// Runs on the page.
const MOST: i64 = 100;

/// What the address asks for; empty fields of a form ask for nothing.
#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Filter {
    status: String,
    workflow: String,
    customer: String,
    since: String,
    until: String,
    step: String,
    agent: String,
    failed_with: String,
    waiting_for: String,
    parent: String,
    /// `name=value`
    input: String,
}

impl Filter {
    /// # Errors
    /// What is wrong, and what would work.
    async fn wanted(&self, tx: &mut Tx, now: DateTime<Utc>) -> Result<Result<Wanted, String>, PageError> {
        let text = |text: &String| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let parent = match text(&self.parent) {
            None => None,
            Some(name) => match runs::by_name(tx, &name).await {
                Err(error) if error.is_not_found() => return Ok(Err(format!("there is no run `{name}`"))),
                found => Some(found?.id),
            },
        };
        let instant = |given: &String| text(given).map(|given| given.parse::<Since>()).transpose();
        let status = text(&self.status).map(|status| status.parse::<RunStatus>()).transpose();
        let input = text(&self.input).map(|input| match input.split_once('=') {
            Some((name, value)) => Ok((name.trim().to_owned(), value.to_owned())),
            None => Err(format!("`{input}` is no input: write name=value")),
        });
        let read = || -> Result<Wanted, String> {
            Ok(Wanted {
                status: status?,
                workflow: text(&self.workflow),
                customer: text(&self.customer),
                since: instant(&self.since)?.map(|since| since.instant(now)),
                until: instant(&self.until)?.map(|until| until.instant(now)),
                step: text(&self.step),
                agent: text(&self.agent),
                failed_with: text(&self.failed_with),
                waiting_for: text(&self.waiting_for),
                parent,
                inputs: input.transpose()?.into_iter().collect(),
            })
        };
        Ok(read())
    }

    fn is_narrow(&self) -> bool {
        let rest =
            [&self.workflow, &self.customer, &self.since, &self.until, &self.step, &self.agent, &self.failed_with];
        rest.into_iter().chain([&self.waiting_for, &self.parent, &self.input]).any(|text| !text.is_empty())
    }
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

/// GET: the list, of those that the address asks for: `?status=waiting&waiting_for=olivia`.
pub(super) async fn list(State(web): State<Arc<Web>>, Query(filter): Query<Filter>) -> Result<Response, PageError> {
    let mut tx = web.engine.store.read().await?;
    let wanted = match filter.wanted(&mut tx, web.engine.clock.now()).await? {
        Ok(wanted) => wanted,
        Err(why) => return Ok(page::message(StatusCode::BAD_REQUEST, "Not found", "This cannot be looked for.", &why)),
    };
    let mut names = Names::default();
    let mut zones = BTreeMap::new();
    let mut lines = vec![];
    for run in run_list::list(&mut tx, &wanted, MOST).await? {
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
    let (chosen, full) = (wanted.status.map(RunStatus::as_str), lines.len() as i64 == MOST);
    let values = json!({ "root": "", "here": "runs", "lines": lines, "statuses": statuses, "chosen": chosen, "full": full, "most": MOST, "filter": filter, "narrow": filter.is_narrow() });
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
