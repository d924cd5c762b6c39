//! Scenarios: what a workflow does while time passes, written beside it and tried on the real engine, ladder and timers under
//! a virtual clock. No server, no mail and no effect: documents are not read, and agents give what the scenario says.

mod agents;
mod clockwork;
mod read;
mod told;
mod world;

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::agents::Registry;
use crate::config::diagnostic::Diagnostic;
use crate::config::workflows::Loaded;
use crate::domain::workflow::Workflow;
use read::Scenario;
use world::World;

/// Where scenarios are, inside the directory of the workflows.
pub const DIRECTORY: &str = "scenarios";

/// What came of one scenario.
#[derive(Debug, Clone, Serialize)]
pub struct Tried {
    pub file: PathBuf,
    pub about: String,
    /// `ap-invoice@1`
    pub workflow: String,
    pub passed: bool,
    /// What was expected and did not come, each with file and line.
    pub failures: Vec<String>,
    /// What happened, in the zone of the workflow's calendar, with what was expected and did not come in its place.
    pub timeline: Vec<String>,
}

/// Names of the scenario files of a directory of workflows, sorted.
///
/// # Errors
/// When the directory is there and cannot be read.
pub fn files(workflows: &Path) -> Result<Vec<PathBuf>, Diagnostic> {
    let directory = workflows.join(DIRECTORY);
    if !directory.exists() {
        return Ok(vec![]);
    }
    crate::config::workflows::toml_files(&directory)
        .map_err(|error| Diagnostic::whole(&directory, format!("cannot read the directory: {error}"), None))
}

/// Tries scenario files on definitions, one after the other. `agents` must touch nothing: see `World`.
///
/// # Errors
/// Everything wrong with the files, each with its place; a scenario that fails is no error here.
pub async fn try_all(
    files: &[PathBuf],
    written: &[Loaded],
    agents: impl Fn(&Path) -> Registry,
) -> anyhow::Result<Result<Vec<Tried>, Vec<Diagnostic>>> {
    let workflows: Vec<Workflow> = written.iter().map(|loaded| loaded.workflow.clone()).collect();
    let (mut scenarios, mut wrong) = (vec![], vec![]);
    for file in files {
        match Scenario::read(file, &workflows) {
            Ok(scenario) => scenarios.push(scenario),
            Err(told) => wrong.extend(told),
        }
    }
    if !wrong.is_empty() {
        return Ok(Err(wrong));
    }
    let scratch = world::Scratch::new().await?;
    let mut tried = vec![];
    for scenario in scenarios {
        let world = World::new(&scratch, &scenario, &workflows, &agents).await?;
        let played = world.play(&scenario).await?;
        tried.push(told::judge(&scenario, &played));
    }
    Ok(Ok(tried))
}

/// Latest versions of workflows that none of these scenarios is about.
pub fn untried<'a>(written: &'a [Loaded], tried: &[Tried]) -> Vec<&'a Loaded> {
    let is_latest = |one: &&Loaded| {
        let newer =
            |other: &Loaded| other.workflow.name == one.workflow.name && other.workflow.version > one.workflow.version;
        !written.iter().any(newer)
    };
    let is_tried = |one: &Loaded| tried.iter().any(|tried| tried.workflow == one.workflow.label());
    written.iter().filter(is_latest).filter(|one| !is_tried(one)).collect()
}
