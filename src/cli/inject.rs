//! `countersign inject`: a message from a file, as if received.

use std::io::Read;
use std::path::Path;

use anyhow::Context;

use super::Told;
use crate::intake::Intake;
use crate::reports::text;
use crate::store::{messages, runs};

pub async fn inject(intake: &Intake, file: &Path, mailbox: &str) -> anyhow::Result<Told> {
    let raw = read(file)?;
    let injected = intake.inject(mailbox, raw).await?;
    let mut tx = intake.engine.store.read().await?;
    let row = messages::get(&mut tx, injected.id).await?;
    let mut told = String::new();
    if injected.decision.is_none() {
        told.push_str("the same bytes were injected before; nothing was done now. What became of them then:\n");
    }
    told.push_str(&format!("message  {}\n", row.id));
    told.push_str(&format!("verdict  {}\n", row.verdict.as_deref().unwrap_or("none yet")));
    if let Some(reason) = &row.reason {
        told.push_str(&format!("reason   {}\n", text::one_line(reason)));
    }
    for run in runs::of_message(&mut tx, row.id, row.run_id).await? {
        told.push_str(&format!("run      {} ({})\n", run.name, run.status));
    }
    Ok(Told::done(told))
}

pub(super) fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    if file == Path::new("-") {
        let mut raw = vec![];
        std::io::stdin().lock().read_to_end(&mut raw).context("read a message from standard input")?;
        return Ok(raw);
    }
    std::fs::read(file).with_context(|| format!("read {}", file.display()))
}
