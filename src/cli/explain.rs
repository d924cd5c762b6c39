//! `countersign explain`: why, on whom, what next.

use super::Told;
use crate::engine::Engine;
use crate::reports::find::{Subject, find};
use crate::reports::picture::{MessagePicture, RunPicture};
use crate::reports::{explain_message, explain_run};

pub async fn explain(engine: &Engine, id: &str) -> anyhow::Result<Told> {
    let mut tx = engine.store.read().await?;
    Ok(Told::done(match find(&mut tx, id).await? {
        Subject::Run(run) => explain_run::explain(&RunPicture::read(&mut tx, *run).await?, engine.clock.now()),
        Subject::Message(row) => explain_message::explain(&MessagePicture::read(&mut tx, *row).await?),
    }))
}
