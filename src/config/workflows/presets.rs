//! Agents with settings of their own: a file names an agent and how it is set, steps name the file's `name` as their agent.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{KnownAgents, toml_files};
use crate::config::diagnostic::Diagnostic;
use crate::config::located::{Located, Part};
use crate::domain::nearest::nearest;
use crate::domain::workflow::{Retry, Step, Timeout};

/// One configured agent.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// What steps write as their `agent`.
    pub name: String,
    #[serde(default)]
    pub title: String,
    #[serde(default)]
    pub description: String,
    /// The agent that performs it.
    pub agent: String,
    /// Settings that a step need not write; what it writes goes before, key by key at every depth.
    #[serde(default)]
    pub with: Map<String, Value>,
    #[serde(default)]
    pub retry: Option<Retry>,
    #[serde(default)]
    pub timeout: Option<Timeout>,
    #[serde(skip)]
    pub file: PathBuf,
}

/// All of them, by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Presets(BTreeMap<String, Preset>);

impl Presets {
    /// Loads every `*.toml` of a directory. There need not be one.
    ///
    /// # Errors
    /// Everything that is wrong, each with file, line and mend.
    pub fn load(directory: &Path, agents: &dyn KnownAgents) -> Result<Self, Vec<Diagnostic>> {
        let files = match toml_files(directory) {
            Ok(files) => files,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => {
                let mend = Some("name another directory as `agents` under `files`".to_owned());
                return Err(vec![Diagnostic::whole(directory, format!("cannot read the directory: {error}"), mend)]);
            }
        };
        let (mut all, mut told) = (Self::default(), vec![]);
        for file in files {
            let located = match Located::read(&file) {
                Ok(located) => located,
                Err(errors) => {
                    told.extend(errors);
                    continue;
                }
            };
            let Some(mut preset) = located.take::<Preset>(&[], &[], &mut told) else { continue };
            all.check(&located, &preset, agents, &mut told);
            preset.file = file;
            all.0.insert(preset.name.clone(), preset);
        }
        if told.is_empty() { Ok(all) } else { Err(told) }
    }

    fn check(&self, located: &Located, preset: &Preset, agents: &dyn KnownAgents, told: &mut Vec<Diagnostic>) {
        let mut say = |at: &[&str], what: String, mend: &str| {
            told.push(located.complain(at, Part::Value, what, Some(mend.to_owned())));
        };
        let Preset { name, agent, .. } = preset;
        let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
        if name.is_empty() || !name.bytes().all(is_plain) {
            say(&["name"], format!("`{name}` is no name of an agent"), "use lower-case letters, digits, `_` and `-`");
        }
        if agents.names().contains(&name.as_str()) {
            say(&["name"], format!("`{name}` is an agent already"), "give the preset a name of its own");
        }
        if let Some(first) = self.0.get(name) {
            say(&["name"], format!("`{name}` is defined in {} already", first.file.display()), "rename one of them");
        }
        match agents.check(agent, &preset.with) {
            None => {
                let names = agents.names();
                let near = nearest(agent, names.iter().copied()).map(|near| format!("did you mean `{near}`?"));
                let mend = near.unwrap_or_else(|| format!("known here: {}", names.join(", ")));
                say(&["agent"], format!("there is no agent `{agent}`"), &mend);
            }
            // What is missing here, steps may say.
            Some(wrong) => {
                for (key, what) in wrong {
                    let at: Vec<&str> = ["with"].into_iter().chain(key.split('.')).collect();
                    if located.has(&at) {
                        told.push(located.complain(
                            &at,
                            Part::Value,
                            format!("agent `{agent}`, `{key}`: {what}"),
                            None,
                        ));
                    }
                }
            }
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Preset> {
        self.0.values()
    }

    pub fn get(&self, name: &str) -> Option<&Preset> {
        self.0.get(name)
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Makes a step whole whose agent is a preset: it names the agent then, and has all settings.
    pub(super) fn fill_in(&self, step: &mut Step) {
        let Some(preset) = self.0.get(&step.agent) else { return };
        step.agent.clone_from(&preset.agent);
        if step.title.is_empty() {
            step.title.clone_from(&preset.title);
        }
        let own = std::mem::replace(&mut step.with, preset.with.clone());
        lay_over(&mut step.with, own);
        step.retry = step.retry.take().or_else(|| preset.retry.clone());
        step.timeout = step.timeout.or(preset.timeout);
    }
}

fn lay_over(below: &mut Map<String, Value>, above: Map<String, Value>) {
    for (key, value) in above {
        match (below.get_mut(&key), value) {
            (Some(Value::Object(lower)), Value::Object(upper)) => lay_over(lower, upper),
            (_, value) => drop(below.insert(key, value)),
        }
    }
}
