//! `countersign runs`: the list.

use super::Told;
use crate::domain::run::RunStatus;
use crate::engine::Engine;
use crate::reports::runs;

pub async fn list(
    engine: &Engine,
    status: Option<RunStatus>,
    json: bool,
    limit: u32,
    width: Option<u16>,
) -> anyhow::Result<Told> {
    let mut tx = engine.store.read().await?;
    let lines = runs::list(&mut tx, status, limit.into()).await?;
    Ok(Told::done(if json { runs::json(&lines) } else { runs::table(&lines, width) }))
}
