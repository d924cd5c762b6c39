//! `countersign publish`: how far the receivers of events have been told.

use clap::Subcommand;

use super::args::ENDINGS;
use super::{Context, Told};
use crate::reports::{audit, receivers};

/// What can be asked about receivers.
#[derive(Debug, Clone, Subcommand)]
pub enum Publish {
    /// List receivers: how far each is, and what is the matter
    #[command(
        after_help = ENDINGS,
        long_about = "Lists the receivers of events that the configuration names ([publish]): how many events each has still to be \
            told, when it took the last, since when it fails and why, and when it is tried next.\n\n\
            Examples:\n  countersign publish status\n  countersign publish status --json | jq '.[] | select(.error)'"
    )]
    Status {
        /// One JSON array instead of a table
        #[arg(long)]
        json: bool,
    },
}

pub(super) async fn perform(what: Publish, context: &Context, width: Option<u16>) -> anyhow::Result<Told> {
    let Publish::Status { json } = what;
    audit::seal(&context.engine).await?;
    let names = context.config.publish.names();
    if names.is_empty() && !json {
        return Ok(Told::done("no receivers of events are configured; see [publish]\n"));
    }
    let lines = receivers::list(&mut context.engine.store.read().await?, &names).await?;
    let text = if json { receivers::json(&lines) } else { receivers::table(&lines, width) };
    Ok(Told::done(text))
}
