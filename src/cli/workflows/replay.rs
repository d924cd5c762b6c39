//! `countersign workflows replay`: what changed definitions would have made of runs that are over.

use std::path::Path;

use crate::cli::check::diagnostics_text;
use crate::cli::{Context, Ending, Since, Told};
use crate::config::workflows::{self, Known};
use crate::domain::workflow::Workflow;
use crate::engine::replay::{Change, MOST_RUNS, Replayed};
use crate::reports::text;

/// Plans runs that are over again, by the files of a directory, or by those that are configured.
pub(super) async fn replay(
    context: &Context,
    since: Since,
    directory: Option<&Path>,
    (examples, json): (usize, bool),
    width: Option<u16>,
) -> anyhow::Result<Told> {
    let loaded = match directory {
        None => context.behaviour.written.clone(),
        Some(directory) => {
            let templates: Vec<String> = context.behaviour.templates.names().map(str::to_owned).collect();
            let (agents, presets) = (context.engine.agents.as_ref(), &context.behaviour.presets);
            match workflows::load(directory, &Known { agents, presets, templates: Some(&templates) }) {
                Ok(loaded) => loaded,
                Err(wrong) => return Ok(Told { text: diagnostics_text(&wrong), ending: Ending::Misused }),
            }
        }
    };
    let is_latest =
        |one: &&Workflow| !loaded.iter().any(|o| o.workflow.name == one.name && o.workflow.version > one.version);
    let since = since.instant(context.engine.clock.now());
    let mut replayed = vec![];
    for workflow in loaded.iter().map(|loaded| &loaded.workflow).filter(is_latest) {
        replayed.push(context.engine.replay(workflow, since, examples).await?);
    }
    let text = if json {
        format!("{:#}\n", serde_json::to_value(&replayed)?)
    } else {
        let head = format!(
            "Runs launched since {} that are over, planned again. Nothing was performed.\n",
            text::instant(since)
        );
        head + &replayed.iter().map(|one| told(one, width)).collect::<String>()
    };
    Ok(if replayed.iter().all(|one| one.changed == 0) { Told::done(text) } else { Told::failed(text) })
}

fn told(replayed: &Replayed, width: Option<u16>) -> String {
    let Replayed { workflow, runs, same_definition, changed, is_cut, changes } = replayed;
    let mut told = format!("\n{workflow}: {changed} of {runs} runs would have gone another way");
    if *same_definition > 0 {
        told.push_str(&format!("; {same_definition} ran with this very definition"));
    }
    told.push_str(".\n");
    if *is_cut {
        told.push_str(&format!("Only the latest {MOST_RUNS} runs were looked at.\n"));
    }
    if !changes.is_empty() {
        let row = |change: &Change| {
            let step = change.step.clone().unwrap_or_else(|| "(the run)".to_owned());
            let Change { before, after, count, examples, .. } = change;
            vec![count.to_string(), step, before.clone(), after.clone(), examples.join(", ")]
        };
        let head = ["runs", "step", "before", "after", "such as"];
        told.push_str(&text::indented(&text::table(&head, changes.iter().map(row).collect(), width)));
    }
    told
}
