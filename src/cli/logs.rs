//! `countersign logs`: what agents said while they worked on a run, as it is and as it grows.

use std::io;
use std::time::Duration;

use clap::Args;

use super::args::ENDINGS;
use crate::engine::Engine;
use crate::reports::find::find_run;
use crate::reports::log::Printed;
use crate::store::{logs, runs};

/// Pause between looks at a run that is followed.
const POLL: Duration = Duration::from_secs(1);

/// Show what the agents of a run said while they worked
#[derive(Debug, Clone, Args)]
#[command(
    after_help = ENDINGS,
    long_about = "Shows what the agents of a run said while they worked, by time: when, step, attempt, and what. Of one attempt at \
        most 1000 lines or 64 KiB are kept. With --follow it goes on with what comes, until the run has ended or Ctrl-C.\n\n\
        Examples:\n  countersign logs AP-000123\n  countersign logs AP-000123 --step extract\n  countersign logs AP-000123 -f"
)]
pub struct Logs {
    /// Run such as AP-000123, or its id
    pub id: String,
    /// Only of this step
    #[arg(long, value_name = "STEP")]
    pub step: Option<String>,
    /// Go on with what comes
    #[arg(long, short)]
    pub follow: bool,
}

/// Hands lines as text to `print`; to follow, every later one, until the run has ended, it is interrupted, or `print` says that
/// nobody reads any more.
///
/// # Errors
/// When there is no such run, its log cannot be read or the text not written.
pub async fn show(
    engine: &Engine,
    wanted: &Logs,
    mut print: impl FnMut(&str) -> io::Result<bool>,
) -> anyhow::Result<()> {
    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    let run = find_run(&mut engine.store.read().await?, &wanted.id).await?.id;
    let mut printed = Printed::default();
    loop {
        let mut tx = engine.store.read().await?;
        // Read first: what is said up to the end is written with the end.
        let ended = runs::get(&mut tx, run).await?.status.is_final();
        let rows = logs::of_run(&mut tx, run, wanted.step.as_deref()).await?;
        drop(tx);
        if !print(&printed.new_of(&rows))? || !wanted.follow || ended {
            return Ok(());
        }
        tokio::select! {
            heard = &mut interrupted => return Ok(heard?),
            () = tokio::time::sleep(POLL) => {}
        }
    }
}
