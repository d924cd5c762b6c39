//! `countersign audit`: the trail, as it is and as it grows, and whether it is whole.

use std::time::Duration;

use super::{Told, print};
use crate::engine::Engine;
use crate::reports::audit;

/// Pause between looks at a trail that is followed.
const POLL: Duration = Duration::from_secs(1);

/// Prints the last `lines` events and, to follow, every later one until it is interrupted or nobody reads any more.
pub async fn tail(engine: &Engine, lines: u32, follow: bool, json: bool) -> anyhow::Result<()> {
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

pub async fn verify(engine: &Engine) -> anyhow::Result<Told> {
    let verified = audit::verify(engine).await?;
    let text = audit::verdict(&verified);
    Ok(match verified.broken {
        None => Told::done(text),
        Some(_) => Told::failed(format!("countersign: {text}")),
    })
}
