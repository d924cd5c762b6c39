//! `countersign audit`: the trail, as it is and as it grows, and whether it is whole.

use std::io;
use std::time::Duration;

use clap::Subcommand;

use super::Told;
use super::args::ENDINGS;
use crate::engine::Engine;
use crate::reports::audit;

/// What can be asked of the audit trail.
#[derive(Debug, Clone, Subcommand)]
pub enum Audit {
    /// Print the last events, and follow what comes
    #[command(
        after_help = ENDINGS,
        long_about = "Prints the last events of the audit trail in order: place, time, actor, kind, and what it was about. Ctrl-C ends \
            following.\n\n\
            Examples:\n  countersign audit tail\n  countersign audit tail -n 1000 --json\n  countersign audit tail -f"
    )]
    Tail {
        /// How many
        #[arg(long, short = 'n', value_name = "N", default_value_t = 20)]
        lines: u32,
        /// Go on with what comes
        #[arg(long, short)]
        follow: bool,
        /// One JSON object per line, with every field
        #[arg(long)]
        json: bool,
    },
    /// Compute every hash of the chain again
    #[command(
        after_help = ENDINGS,
        long_about = "Reads the whole audit trail and computes the hash of every event again. Prints how many events are in order and \
            the hash of the last one: keep it somewhere else, and nobody can cut the trail short unseen. Fails with the first \
            place that was changed, removed or moved.\n\n\
            Examples:\n  countersign audit verify"
    )]
    Verify,
}

/// Pause between looks at a trail that is followed.
const POLL: Duration = Duration::from_secs(1);

/// Hands the last `lines` events as text to `print` and, to follow, every later one, until it is interrupted or `print`
/// says that nobody reads any more.
///
/// # Errors
/// When the trail cannot be read or the text not written.
pub async fn tail(
    engine: &Engine,
    lines: u32,
    follow: bool,
    json: bool,
    mut print: impl FnMut(&str) -> io::Result<bool>,
) -> anyhow::Result<()> {
    let show = if json { audit::json } else { audit::line };
    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    audit::seal(engine).await?;
    let (mut position, mut events) = audit::tail(engine, lines).await?;
    loop {
        if !print(&events.iter().map(show).collect::<String>())? || !follow {
            return Ok(());
        }
        if events.is_empty() {
            tokio::select! {
                heard = &mut interrupted => return Ok(heard?),
                () = tokio::time::sleep(POLL) => audit::seal(engine).await?,
            }
        }
        events = audit::after(engine, position).await?;
        position = events.last().map_or(position, |event| event.position);
    }
}

pub(super) async fn verify(engine: &Engine) -> anyhow::Result<Told> {
    let verified = audit::verify(engine).await?;
    let text = audit::verdict(&verified);
    Ok(match verified.broken {
        None => Told::done(text),
        Some(_) => Told::failed(format!("countersign: {text}")),
    })
}
