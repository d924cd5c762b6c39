//! Loading of workflow files: TOML to `domain::workflow::Workflow`, with positions for every problem. What hangs
//! together is decided by the definition itself, what an agent takes by the agent.

mod extends;
mod place;
pub mod presets;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use self::extends::Family;
use self::place::place;
use self::presets::Presets;
use super::diagnostic::Diagnostic;
use super::located::{Located, Part};
use crate::domain::nearest::nearest;
use crate::domain::workflow::{Notify, Workflow};

/// The agents that exist, as far as a loader must know them.
pub trait KnownAgents {
    fn names(&self) -> Vec<&'static str>;

    /// Everything wrong with settings for `agent`, as (key, what is wrong); none when there is no such agent. A key
    /// inside another one is written with a dot.
    fn check(&self, agent: &str, with: &Map<String, Value>) -> Option<Vec<(String, String)>>;
}

/// What definitions may name.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    pub agents: &'a dyn KnownAgents,
    pub presets: &'a Presets,
    /// Names of templates; none where they cannot be read, so that none is called unknown.
    pub templates: Option<&'a [String]>,
}

/// A definition that holds together, and its file. Presets and what it extends are resolved in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    pub workflow: Workflow,
    pub file: PathBuf,
}

/// Loads every `*.toml` of a directory, sorted by file name; hidden files are passed over.
///
/// # Errors
/// Everything that is wrong, each with file, line and mend. Then nothing is loaded, so that the last good set stays.
pub fn load(directory: &Path, known: &Known<'_>) -> Result<Vec<Loaded>, Vec<Diagnostic>> {
    let files = toml_files(directory).map_err(|error| {
        let mend = "make the directory, or name another one under `files`".to_owned();
        vec![Diagnostic::whole(directory, format!("cannot read the directory: {error}"), Some(mend))]
    })?;
    let (mut told, mut read) = (vec![], vec![]);
    for file in files {
        match Located::read(&file) {
            Ok(located) => read.push((file, located)),
            Err(errors) => told.extend(errors),
        }
    }
    let family = Family::new(&read);
    let mut checked: Vec<Option<Workflow>> = vec![None; read.len()];
    let mut seen = BTreeMap::new();
    for index in family.bases_first() {
        let (file, located) = &read[index];
        let Some(whole) = family.resolve(index, &checked, &mut told) else { continue };
        let before = told.len();
        let workflow = check(&whole, located, known, &family, &mut told);
        let Some(workflow) = workflow else { continue };
        if let Some(first) = seen.insert((workflow.name.clone(), workflow.version), file.clone()) {
            let Workflow { name, version, .. } = &workflow;
            let what = format!("version {version} of `{name}` is defined in {} already", first.display());
            let mend = "give this one the next version, or remove one of the files".to_owned();
            told.push(located.complain(&["version"], Part::Value, what, Some(mend)));
        }
        if told.len() == before {
            checked[index] = Some(workflow);
        }
    }
    family.rivals(&checked, &mut told);
    if !told.is_empty() {
        told.sort_by_key(|one| (one.file.clone(), one.span.as_ref().map(|span| span.start)));
        return Err(told);
    }
    let loaded = read.into_iter().zip(checked);
    Ok(loaded.filter_map(|((file, _), workflow)| Some(Loaded { workflow: workflow?, file })).collect())
}

/// Names of the inputs of every definition of a directory that writes them itself. Of several versions, the latest counts.
pub fn inputs(directory: &Path) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, (i64, Vec<String>)> = BTreeMap::new();
    for file in toml_files(directory).unwrap_or_default() {
        let table = std::fs::read_to_string(file).ok().and_then(|text| text.parse::<toml::Table>().ok());
        let Some(table) = table.filter(|table| !table.contains_key("extends")) else { continue };
        let Some(name) = table.get("name").and_then(toml::Value::as_str) else { continue };
        let version = table.get("version").and_then(toml::Value::as_integer).unwrap_or_default();
        let inputs = table.get("inputs").and_then(toml::Value::as_table).cloned().unwrap_or_default();
        if found.get(name).is_none_or(|(known, _)| *known <= version) {
            found.insert(name.to_owned(), (version, inputs.keys().cloned().collect()));
        }
    }
    found.into_iter().map(|(name, (_, inputs))| (name, inputs)).collect()
}

/// Names of all definitions in a directory, also of those that do not hold together: so that whoever refers to one is not
/// told that there is none.
pub fn names(directory: &Path) -> Vec<String> {
    let tables = toml_files(directory).unwrap_or_default().into_iter().filter_map(|file| {
        let text = std::fs::read_to_string(file).ok()?;
        text.parse::<toml::Table>().ok()
    });
    tables.filter_map(|table| table.get("name").and_then(toml::Value::as_str).map(str::to_owned)).collect()
}

/// Every `*.toml` of a directory, sorted; hidden files are passed over.
///
/// # Errors
/// When it cannot be read.
pub fn toml_files(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = vec![];
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let is_hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if !is_hidden && path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Makes a definition of a document that is whole. `own` is the file as written: what comes from another is told there.
fn check(
    whole: &Located,
    own: &Located,
    known: &Known<'_>,
    family: &Family<'_>,
    told: &mut Vec<Diagnostic>,
) -> Option<Workflow> {
    let mut here = vec![];
    let mut workflow = whole.take::<Workflow>(&[], &[], &mut here);
    for step in workflow.iter_mut().flat_map(|workflow| &mut workflow.steps) {
        known.presets.fill_in(step);
    }
    for problem in workflow.iter().flat_map(Workflow::problems) {
        here.push(place(whole, workflow.as_ref()?, problem));
    }
    if let Some(workflow) = &workflow {
        templates(whole, &[], &workflow.notify, known, &mut here);
    }
    for (index, step) in workflow.iter().flat_map(|workflow| workflow.steps.iter().enumerate()) {
        let index = index.to_string();
        templates(whole, &["step", &index], &step.notify, known, &mut here);
        if step.agent == SUB_WORKFLOW {
            sub_workflow(whole, &index, step.with.get("workflow"), family, &mut here);
        }
        match known.agents.check(&step.agent, &step.with) {
            None => {
                let names: Vec<&str> = known.agents.names().into_iter().chain(known.presets.names()).collect();
                let near = nearest(&step.agent, names.iter().copied()).map(|near| format!("did you mean `{near}`?"));
                let mend = near.unwrap_or_else(|| format!("known here: {}", names.join(", ")));
                let what = format!("there is no agent `{}`", step.agent);
                here.push(whole.complain(&["step", &index, "agent"], Part::Value, what, Some(mend)));
            }
            Some(wrong) => here.extend(wrong.into_iter().map(|(key, what)| {
                let quoted = ["step", index.as_str(), "with", key.as_str()];
                let parts: Vec<&str> = quoted[..3].iter().copied().chain(key.split('.')).collect();
                let at = if whole.has(&quoted) { &quoted[..] } else { &parts };
                whole.complain(at, Part::Value, format!("agent `{}`, `{key}`: {what}", step.agent), None)
            })),
        }
    }
    here.sort_by_key(|one| one.span.as_ref().map(|span| span.start));
    told.extend(here.into_iter().map(|one| extends::told_where_it_is_written(own, one)));
    workflow
}

/// The agent that runs another workflow.
const SUB_WORKFLOW: &str = "workflow";

fn sub_workflow(
    located: &Located,
    index: &str,
    named: Option<&Value>,
    family: &Family<'_>,
    told: &mut Vec<Diagnostic>,
) {
    let Some(named) = named.and_then(Value::as_str).filter(|name| !name.contains("{{")) else { return };
    if !family.has(named) {
        let known: BTreeSet<&str> = family.names().collect();
        let what = format!("there is no workflow `{named}`");
        let mend = nearest(named, known.iter().copied()).map_or_else(
            || format!("there are: {}", known.iter().copied().collect::<Vec<_>>().join(", ")),
            |near| format!("did you mean `{near}`?"),
        );
        told.push(located.complain(&["step", index, "with", "workflow"], Part::Value, what, Some(mend)));
    }
}

fn templates(located: &Located, at: &[&str], notify: &Notify, known: &Known<'_>, told: &mut Vec<Diagnostic>) {
    let Some(names) = known.templates else { return };
    for (when, tell) in notify.all() {
        let Some(template) = tell.template.as_ref().filter(|template| !names.contains(template)) else { continue };
        let near = nearest(template, names.iter().map(String::as_str)).map(|near| format!("did you mean `{near}`?"));
        let mend = near.unwrap_or_else(|| format!("there are: {}", names.join(", ")));
        let at: Vec<&str> = at.iter().copied().chain(["notify", when, "template"]).collect();
        told.push(located.complain(&at, Part::Value, format!("there is no template `{template}`"), Some(mend)));
    }
}

#[cfg(test)]
mod schema_tests;
#[cfg(test)]
mod tests;
