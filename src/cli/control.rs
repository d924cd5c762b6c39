//! `countersign kill`, `pause` and `resume`.

use super::Told;
use crate::domain::ids::RunId;
use crate::engine::{Engine, EngineError};
use crate::reports::find::find_run;

pub async fn kill(engine: &Engine, id: &str, by: &str) -> anyhow::Result<Told> {
    let (run, name) = run(engine, id).await?;
    engine.kill(run, by).await.map_err(|error| named(&name, error))?;
    Ok(Told::done(format!("{name} is killed; links and replies to it decide nothing any more\n")))
}

pub async fn pause(engine: &Engine, id: &str, by: &str) -> anyhow::Result<Told> {
    let (run, name) = run(engine, id).await?;
    let state = engine.pause(run, by).await.map_err(|error| named(&name, error))?;
    let so = format!("it is {} and held", state.status);
    Ok(Told::done(format!("{name}: {so}; no step starts until `countersign resume {name}`\n")))
}

pub async fn resume(engine: &Engine, id: &str, by: &str) -> anyhow::Result<Told> {
    let (run, name) = run(engine, id).await?;
    engine.resume(run, by).await.map_err(|error| named(&name, error))?;
    Ok(Told::done(format!("{name}: nobody holds it any more; `countersign explain {name}` tells what it waits for\n")))
}

async fn run(engine: &Engine, id: &str) -> anyhow::Result<(RunId, String)> {
    let mut tx = engine.store.read().await?;
    let run = find_run(&mut tx, id).await?;
    Ok((run.id, run.name))
}

fn named(name: &str, error: EngineError) -> anyhow::Error {
    anyhow::Error::new(error).context(name.to_owned())
}
