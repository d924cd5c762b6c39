//! `countersign report`: what came in and what became of it.

use super::{Format, Since, Told};
use crate::domain::run::RunStatus;
use crate::engine::Engine;
use crate::reports::messages;

pub async fn report(
    engine: &Engine,
    format: Format,
    since: Option<Since>,
    status: Option<RunStatus>,
    tag: Option<&str>,
    width: Option<u16>,
) -> anyhow::Result<Told> {
    let since = since.map(|since| since.instant(engine.clock.now()));
    let mut tx = engine.store.read().await?;
    let lines = messages::load(&mut tx, since, status, tag).await?;
    Ok(Told::done(match format {
        Format::Table => messages::table(&lines, width),
        Format::Csv => messages::csv(&lines),
        Format::Json => messages::json(&lines),
    }))
}
