//! `countersign agents`: what steps may name as their agent, presets included.

use anyhow::bail;
use clap::Subcommand;
use serde_json::json;

use super::args::ENDINGS;
use super::{Context, Told};
use crate::domain::nearest::nearest;
use crate::reports::text;

/// What can be asked of agents.
#[derive(Debug, Clone, Subcommand)]
pub enum Agents {
    /// List agents and presets
    #[command(
        after_help = ENDINGS,
        long_about = "Lists what a step may name as its agent: the agents of this program, and the presets, which are agents with settings of \
            their own from files.\n\n\
            Examples:\n  countersign agents list\n  countersign agents list --json | jq -r '.[].name'"
    )]
    List {
        /// One JSON array instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Show one agent or preset
    #[command(
        after_help = ENDINGS,
        long_about = "Shows what an agent does, or what a preset sets.\n\nExamples:\n  countersign agents show approval\n  \
            countersign agents show ask-boss"
    )]
    Show {
        /// Agent or preset
        name: String,
    },
}

/// Performs one of them.
pub fn perform(what: Agents, context: &Context, width: Option<u16>) -> anyhow::Result<Told> {
    let (agents, presets) = (&context.engine.agents, &context.behaviour.presets);
    match what {
        Agents::List { json } => {
            let own = agents.list().map(|(name, about)| (name.to_owned(), None, about.to_owned(), None));
            let preset = presets.iter().map(|one| {
                let about = if one.title.is_empty() { &one.description } else { &one.title };
                (one.name.clone(), Some(one.agent.clone()), about.clone(), Some(one.file.display().to_string()))
            });
            let all = own.chain(preset);
            if json {
                let all: Vec<_> = all
                    .map(|(name, preset_of, about, file)| {
                        json!({"name": name, "preset_of": preset_of, "about": about, "file": file})
                    })
                    .collect();
                return Ok(Told::done(format!("{:#}\n", json!(all))));
            }
            let rows = all.map(|(name, of, about, file)| {
                vec![name, of.unwrap_or_else(|| "-".into()), about, file.unwrap_or_else(|| "-".into())]
            });
            Ok(Told::done(text::table(&["agent", "preset of", "what it does", "file"], rows.collect(), width)))
        }
        Agents::Show { name } => {
            if let Some(one) = presets.get(&name) {
                let shown = json!({"agent": one.agent, "with": one.with, "retry": one.retry, "timeout": one.timeout});
                let head = format!("{}  {}\n{}", one.name, one.title, one.file.display());
                let about = if one.description.is_empty() { String::new() } else { format!("\n{}", one.description) };
                return Ok(Told::done(format!("{head}{about}\n{shown:#}\n")));
            }
            let Some((name, about)) = agents.list().find(|(known, _)| *known == name) else {
                let known: Vec<&str> = agents.list().map(|(name, _)| name).chain(presets.names()).collect();
                match nearest(&name, known.iter().copied()) {
                    Some(near) => bail!("there is no agent `{name}`; did you mean `{near}`?"),
                    None => bail!("there is no agent `{name}`; there are: {}", known.join(", ")),
                }
            };
            Ok(Told::done(format!("{name}\n{about}\n")))
        }
    }
}
