//! How the demo tells its story: lines with their time, the table at the end, the tree of one working directory.

use std::time::Duration;

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};

use super::stage::Stage;
use crate::store::messages::{self, MessageRow};
use crate::store::{Tx, runs};

/// What each message must have come to, in the order in which they arrived: verdict, and the status of its run.
const EXPECTED: &[(&str, &str)] = &[
    ("start", "completed"),
    ("resume", "completed"),
    ("start", "completed"),
    ("resume", "completed"),
    ("resume", "completed"),
    ("start", "completed"),
    ("ignore", "completed"),
    ("ignore", ""),
    ("quarantine", ""),
];

/// Columns of the table, for a usual terminal.
const WIDTH: u16 = 120;

pub fn chapter(title: &str) {
    println!("\n{title}\n{}", "-".repeat(title.chars().count()));
}

pub fn say(stage: &Stage, line: &str) {
    println!("{}  {line}", stage.now().format("%a %d %b %H:%M UTC"));
}

/// The table of all messages, the tree of the first working directory, and how long it took.
pub async fn end(stage: &Stage, took: Duration) -> anyhow::Result<()> {
    chapter("What happened to each message");
    let mut tx = stage.app.engine.store.read().await?;
    let all = told(stage, &mut tx).await?;
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_width(WIDTH);
    table.set_header(["from", "subject", "verdict", "reason", "run", "status"]);
    for message in &all {
        let run = match message.run_id {
            Some(id) => Some(runs::get(&mut tx, id).await?),
            None => None,
        };
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let (name, status) = run.map(|run| (run.name, run.status.to_string())).unwrap_or_default();
        table.add_row([
            text(&message.from_address),
            text(&message.subject),
            text(&message.verdict),
            text(&message.reason),
            name,
            status,
        ]);
    }
    drop(tx);
    println!("{table}");
    if let Some(first) = all.first() {
        tree(stage, &format!("{}/{}", first.customer, first.transaction_id)).await?;
    }
    println!("\nPlayed in {:.1} s.", took.as_secs_f32());
    Ok(())
}

/// Whether every message came to what it must; the differences, in words.
pub async fn differences(stage: &Stage) -> anyhow::Result<Vec<String>> {
    let mut tx = stage.app.engine.store.read().await?;
    let all = told(stage, &mut tx).await?;
    let mut surprises = vec![];
    if all.len() != EXPECTED.len() {
        surprises.push(format!("{} messages came in, not {}", all.len(), EXPECTED.len()));
    }
    for (message, (verdict, status)) in all.iter().zip(EXPECTED) {
        let run = match message.run_id {
            Some(id) => Some(runs::get(&mut tx, id).await?.status.as_str()),
            None => None,
        };
        let got = (message.verdict.as_deref().unwrap_or("none"), run.unwrap_or_default());
        if got != (*verdict, *status) {
            surprises.push(format!(
                "\"{}\": expected {verdict} {status}, got {got:?}",
                message.subject.as_deref().unwrap_or("")
            ));
        }
    }
    Ok(surprises)
}

/// The messages in the order in which they arrived.
async fn told(stage: &Stage, tx: &mut Tx) -> anyhow::Result<Vec<MessageRow>> {
    let mut rows = vec![];
    for id in &stage.told {
        rows.push(messages::get(tx, *id).await?);
    }
    Ok(rows)
}

async fn tree(stage: &Stage, directory: &str) -> anyhow::Result<()> {
    chapter("One working directory");
    println!("{directory}/");
    let mut shown: Vec<&str> = vec![];
    let entries = stage.app.engine.blob.list(directory).await?;
    for entry in &entries {
        let inside: Vec<&str> = entry.path.trim_start_matches(directory).trim_start_matches('/').split('/').collect();
        let common = shown.iter().zip(&inside).take_while(|(a, b)| a == b).count();
        for (depth, name) in inside.iter().enumerate().skip(common.min(inside.len().saturating_sub(1))) {
            let is_file = depth + 1 == inside.len();
            let size = if is_file { format!("  ({} bytes)", entry.size_bytes) } else { "/".into() };
            println!("{}{name}{size}", "  ".repeat(depth + 1));
        }
        shown = inside;
    }
    Ok(())
}
