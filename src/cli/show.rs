//! `countersign show`: everything about one run or message.

use super::Told;
use crate::engine::Engine;
use crate::reports::find::{Subject, find};
use crate::reports::picture::{MessagePicture, RunPicture, files};
use crate::reports::{show_message, show_run};

pub async fn show(engine: &Engine, id: &str, width: Option<u16>) -> anyhow::Result<Told> {
    let mut tx = engine.store.read().await?;
    match find(&mut tx, id).await? {
        Subject::Run(run) => {
            let picture = RunPicture::read(&mut tx, *run).await?;
            drop(tx);
            let files = files(engine, &picture.run).await?;
            Ok(Told::done(show_run::show(&picture, &files, width)))
        }
        Subject::Message(row) => {
            let picture = MessagePicture::read(&mut tx, *row).await?;
            Ok(Told::done(show_message::show(&picture, width)))
        }
    }
}
