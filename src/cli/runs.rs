//! `countersign runs`: the list.

use clap::Args;

use super::Told;
use super::args::{ENDINGS, status_parser};
use super::start::name_and_value;
use crate::domain::run::RunStatus;
use crate::engine::Engine;
use crate::reports::find::find_run;
use crate::reports::runs;
use crate::reports::since::Since;
use crate::store::run_list::Wanted;

/// List runs: what they wait for, and on whom
#[derive(Debug, Clone, Default, Args)]
#[command(
    after_help = ENDINGS,
    long_about = "Lists runs, the latest first: status, on whom they wait and for what, subject, and since when. What is asked for \
        together must hold together.\n\n\
        Examples:\n  countersign runs\n  countersign runs --status waiting --waiting-for olivia\n  countersign runs \
        --failed-with approval_expired --since 7d\n  countersign runs --input supplier=Nordwind --json | jq '.[].name'"
)]
pub struct List {
    /// Only runs of this status
    #[arg(long, value_parser = status_parser())]
    pub status: Option<RunStatus>,
    /// Only runs of this workflow
    #[arg(long, value_name = "NAME")]
    pub workflow: Option<String>,
    /// Only runs of this customer
    #[arg(long, value_name = "NAME")]
    pub customer: Option<String>,
    /// Launched since then: a span such as 7d or 12h, a date (UTC), or an instant (RFC 3339)
    #[arg(long, value_name = "SINCE")]
    pub since: Option<Since>,
    /// Launched before then, written as --since
    #[arg(long, value_name = "UNTIL")]
    pub until: Option<Since>,
    /// Only runs that stand at this step: it runs, waits, is to be repeated, or has failed
    #[arg(long, value_name = "STEP")]
    pub step: Option<String>,
    /// Only runs that stand at a step of this agent
    #[arg(long, value_name = "AGENT")]
    pub agent: Option<String>,
    /// Only runs that failed for this reason, such as approval_expired
    #[arg(long, value_name = "REASON")]
    pub failed_with: Option<String>,
    /// Only runs that wait for this user or address; `operator` for held ones
    #[arg(long, value_name = "PERSON")]
    pub waiting_for: Option<String>,
    /// Only reruns of this run
    #[arg(long, value_name = "RUN")]
    pub parent: Option<String>,
    /// Only runs with this input; once for each
    #[arg(long, value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub input: Vec<(String, String)>,
    /// One JSON array instead of a table
    #[arg(long)]
    pub json: bool,
    /// How many at most
    #[arg(long, short, value_name = "N", default_value_t = 50)]
    pub limit: u32,
}

pub async fn list(engine: &Engine, list: List, width: Option<u16>) -> anyhow::Result<Told> {
    let now = engine.clock.now();
    let mut tx = engine.store.read().await?;
    let parent = match &list.parent {
        Some(parent) => Some(find_run(&mut tx, parent).await?.id),
        None => None,
    };
    let wanted = Wanted {
        status: list.status,
        workflow: list.workflow,
        customer: list.customer,
        since: list.since.map(|since| since.instant(now)),
        until: list.until.map(|until| until.instant(now)),
        step: list.step,
        agent: list.agent,
        failed_with: list.failed_with,
        waiting_for: list.waiting_for,
        parent,
        inputs: list.input,
    };
    let lines = runs::list(&mut tx, &wanted, list.limit.into()).await?;
    Ok(Told::done(if list.json { runs::json(&lines) } else { runs::table(&lines, width) }))
}
