//! `countersign workflows`: definitions, as files and as published.

mod replay;
mod scenarios;
mod told;

pub use scenarios::{check_strictly, test};

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Subcommand;

use super::args::ENDINGS;
use super::check::diagnostics_text;
use super::{Context, Since, Told};
use crate::domain::event::Event;
use crate::domain::nearest::nearest;
use crate::domain::workflow::{Workflow, diff};
use crate::engine::Engine;
use crate::reports::graph::Graph;
use crate::store::events;
use crate::store::workflows::{self, Published, PublishedRow};

/// What can be asked of workflows.
#[derive(Debug, Clone, Subcommand)]
pub enum Workflows {
    /// List definitions: files and published versions
    #[command(
        after_help = ENDINGS,
        long_about = "Lists every version of each workflow: whether it is published, by whom and when, what it extends and for which \
            customers, and its file.\n\n\
            Examples:\n  countersign workflows list\n  countersign workflows list --json | jq '.[] | select(.published == null)'"
    )]
    List {
        /// One JSON array instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Show one definition with everything resolved, or the JSON Schema of its inputs
    #[command(
        after_help = ENDINGS,
        long_about = "Shows one definition: inputs, steps with agent, needs and conditions. Presets and what it extends are \
            resolved.\n\n\
            Examples:\n  countersign workflows show ap-invoice\n  countersign workflows show ap-invoice@2 --json\n  countersign \
            workflows show ap-invoice --schema > inputs.schema.json"
    )]
    Show {
        /// Workflow such as ap-invoice (its latest version) or ap-invoice@3
        name: String,
        /// The JSON Schema (draft 2020-12) of its inputs, of which a form can be made
        #[arg(long)]
        schema: bool,
        /// The whole definition as JSON, as runs pin it
        #[arg(long, conflicts_with = "schema")]
        json: bool,
    },
    /// Check the files, also against what is published
    #[command(
        after_help = ENDINGS,
        long_about = "Checks every workflow and agent file, and tells of each that says otherwise than its version was published \
            with, and how. `countersign check` does the same without the database.\n\n\
            Examples:\n  countersign workflows check --config prod.toml"
    )]
    Check,
    /// Play the scenarios of workflows: what each does while time passes
    #[command(
        after_help = ENDINGS,
        long_about = "Plays scenarios on the real engine under a virtual clock, in milliseconds each, and prints each with what came \
            of it; of one that fails, what was expected, with file and line, in the timeline of what happened. Scenarios are \
            files beside the workflows, `scenarios/*.toml`; without a name all of them are played. Nothing is sent, no server \
            is touched. Fails when a scenario fails.\n\n\
            Examples:\n  countersign workflows test\n  countersign workflow test workflows/scenarios/silence.toml\n  countersign \
            workflows test --json | jq '.[] | select(.passed | not).timeline'"
    )]
    Test {
        /// Scenario files; all of the configured directory when missing
        #[arg(value_name = "FILE")]
        files: Vec<PathBuf>,
        /// One JSON array instead of lines
        #[arg(long)]
        json: bool,
    },
    /// Publish a version: it never changes again
    #[command(
        after_help = ENDINGS,
        long_about = "Writes a definition into the database with everything resolved. A version is published once, and never changes; \
            publishing an unpublished one lets it start runs again. With publish = \"files\" the first launch does it by itself.\n\n\
            Examples:\n  countersign workflows publish ap-invoice --as alice\n  countersign workflows publish ap-invoice@3"
    )]
    Publish {
        /// Workflow such as ap-invoice (its latest version) or ap-invoice@3
        name: String,
        /// Who does it, for the audit trail
        #[arg(long = "as", value_name = "USER", default_value = "operator")]
        as_user: String,
    },
    /// Let a published version start no run any more
    #[command(
        after_help = ENDINGS,
        long_about = "Lets a published version start no run any more; runs that have started go on with it. What it says stays taken: \
            another content needs another version.\n\n\
            Examples:\n  countersign workflows unpublish ap-invoice@3 --as alice"
    )]
    Unpublish {
        /// Workflow with its version, such as ap-invoice@3
        name: String,
        /// Who does it, for the audit trail
        #[arg(long = "as", value_name = "USER", default_value = "operator")]
        as_user: String,
    },
    /// Tell what differs between two definitions, step by step
    #[command(
        after_help = ENDINGS,
        long_about = "Tells what differs between two definitions: keys above the steps, then each step that is new, gone or other. With one \
            name, between its published version and its file.\n\n\
            Examples:\n  countersign workflows diff ap-invoice@1 ap-invoice@2\n  countersign workflows diff ap-invoice@2"
    )]
    Diff {
        /// The earlier one
        old: String,
        /// The later one; the file of the same version when missing
        new: Option<String>,
    },
    /// Tell what changed definitions would have made of past runs
    #[command(
        after_help = REPLAY_ENDINGS,
        long_about = "Plans runs that are over again by the files as they are now, with the outputs that their steps gave, and tells \
            which steps would have been performed, skipped or not reached otherwise, with counts and examples. A step that no \
            run has performed has no outcome: what depends on it is left out. Nothing is performed and nothing is changed.\n\n\
            Examples:\n  countersign workflows replay --since 30d\n  countersign workflows replay --since 30d --workflows \
            new-workflows --json | jq '.[].changes'"
    )]
    Replay {
        /// Runs launched since then: a span such as 30d or 12h, a date (UTC), or an instant (RFC 3339)
        #[arg(long, value_name = "SINCE")]
        since: Since,
        /// Directory of candidate workflow files; the configured one when missing
        #[arg(long, value_name = "DIR")]
        workflows: Option<PathBuf>,
        /// Examples of each kind of change
        #[arg(long, value_name = "N", default_value_t = 3)]
        examples: usize,
        /// One JSON array with everything
        #[arg(long)]
        json: bool,
    },
    /// Draw a definition
    #[command(
        after_help = ENDINGS,
        long_about = "Prints a definition as a Mermaid flowchart, or writes it as an SVG picture: steps with agent and condition, cases, ways \
            out of a failure (dashed), approvals marked.\n\n\
            Examples:\n  countersign workflows graph ap-invoice\n  countersign workflows graph ap-invoice@2 --svg ap.svg"
    )]
    Graph {
        /// Workflow such as ap-invoice (its latest version) or ap-invoice@3
        name: String,
        /// Write an SVG picture there instead
        #[arg(long, value_name = "FILE")]
        svg: Option<PathBuf>,
    },
}

const REPLAY_ENDINGS: &str = "Exit codes: 0 done, 1 failed, 2 wrong use or bad configuration; 0 when no run changes, 1 when one does.\n\
    What is asked for goes to standard output, everything else to standard error.";

impl Workflows {
    /// Whether it was asked for an answer, which is one whatever it says.
    pub(super) fn is_question(&self) -> bool {
        matches!(self, Self::Test { .. } | Self::Replay { .. })
    }
}

/// Performs one of them.
pub async fn perform(what: Workflows, context: &Context, width: Option<u16>) -> anyhow::Result<Told> {
    let engine = &context.engine;
    let mut tx = engine.store.read().await?;
    let rows = workflows::published(&mut tx).await?;
    drop(tx);
    let all = All { context, rows: &rows };
    match what {
        Workflows::List { json } => {
            let lines = told::lines(&context.behaviour.written, &rows);
            Ok(Told::done(if json { told::json(&lines) } else { told::table(&lines, width) }))
        }
        Workflows::Show { name, schema, json } => {
            let workflow = all.one(&name)?;
            let text = match (schema, json) {
                (true, _) => format!("{:#}\n", workflow.input_schema()),
                (_, true) => format!("{:#}\n", serde_json::to_value(workflow)?),
                _ => told::show(workflow, width),
            };
            Ok(Told::done(text))
        }
        Workflows::Check => {
            let wrong = context.behaviour.differences(&rows);
            if !wrong.is_empty() {
                return Ok(Told::failed(diagnostics_text(&wrong)));
            }
            Ok(Told::done(format!(
                "in order: {} definitions, {} published\n",
                context.behaviour.written.len(),
                rows.len()
            )))
        }
        Workflows::Test { files, json } => {
            test(&context.config.files.workflows, &context.behaviour.written, &files, json).await
        }
        Workflows::Replay { since, workflows, examples, json } => {
            replay::replay(context, since, workflows.as_deref(), (examples, json), width).await
        }
        Workflows::Publish { name, as_user } => publish(engine, all.written(&name)?, &as_user).await,
        Workflows::Unpublish { name, as_user } => unpublish(engine, &name, &as_user).await,
        Workflows::Diff { old, new } => {
            let (old, new) = match &new {
                Some(new) => (all.one(&old)?, all.one(new)?),
                None => (all.published(&old)?, all.written(&old)?),
            };
            let lines = diff(old, new);
            let text = if lines.is_empty() { "no difference".to_owned() } else { lines.join("\n") };
            Ok(Told::done(format!("{} -> {}\n{text}\n", old.label(), new.label())))
        }
        Workflows::Graph { name, svg } => {
            let graph = Graph::of(all.one(&name)?);
            let Some(file) = svg else { return Ok(Told::done(graph.mermaid())) };
            std::fs::write(&file, graph.svg()).with_context(|| format!("write {}", file.display()))?;
            Ok(Told::done(format!("drawn: {}\n", file.display())))
        }
    }
}

/// Every definition that can be named.
struct All<'a> {
    context: &'a Context,
    rows: &'a [PublishedRow],
}

impl<'a> All<'a> {
    /// `ap-invoice@3`, or the latest version of `ap-invoice`: the published one, if it is published.
    fn one(&self, name: &str) -> anyhow::Result<&'a Workflow> {
        let written = self.context.behaviour.written.iter().map(|loaded| &loaded.workflow);
        let all: Vec<_> = self.rows.iter().map(|row| &row.definition.0).chain(written).collect();
        find(name, &all)
    }

    fn written(&self, name: &str) -> anyhow::Result<&'a Workflow> {
        find(name, &self.context.behaviour.written.iter().map(|loaded| &loaded.workflow).collect::<Vec<_>>())
    }

    fn published(&self, name: &str) -> anyhow::Result<&'a Workflow> {
        find(name, &self.rows.iter().map(|row| &row.definition.0).collect::<Vec<_>>())
    }
}

/// Of several of one label the first.
fn find<'a>(name: &str, all: &[&'a Workflow]) -> anyhow::Result<&'a Workflow> {
    let is_meant = |one: &&&Workflow| one.name == name || one.label() == name;
    let found = all.iter().filter(is_meant).rev().max_by_key(|one| one.version);
    match found {
        Some(found) => Ok(found),
        None => {
            let mut labels: Vec<String> = all.iter().map(|one| one.label()).collect();
            labels.sort();
            labels.dedup();
            match nearest(name, labels.iter().map(String::as_str)) {
                Some(near) => bail!("there is no workflow `{name}` here; did you mean `{near}`?"),
                None => bail!("there is no workflow `{name}` here; there are: {}", labels.join(", ")),
            }
        }
    }
}

async fn publish(engine: &Engine, workflow: &Workflow, by: &str) -> anyhow::Result<Told> {
    let (label, now) = (workflow.label(), engine.clock.now());
    let mut tx = engine.store.begin().await?;
    let event = Event::new(now, "workflow.published", "").by(by).with("workflow", label.as_str());
    let text = match workflows::publish(&mut tx, workflow, by, now).await? {
        Published::Otherwise => {
            let text =
                format!("{label} is published with other content: raise `version` (`workflows diff {label}` tells)\n");
            return Ok(Told::failed(text));
        }
        Published::Before { is_withdrawn: false, .. } => {
            return Ok(Told::done(format!("{label} is published already\n")));
        }
        Published::Before { hash, .. } => {
            workflows::set_withdrawn(&mut tx, (&workflow.name, workflow.version), None).await?;
            events::append(&mut tx, &event.with("hash", hash)).await?;
            format!("{label} is published again and starts runs\n")
        }
        Published::New { hash } => {
            let text = format!("{label} is published and never changes again; hash {hash}\n");
            events::append(&mut tx, &event.with("hash", hash)).await?;
            text
        }
    };
    tx.commit().await?;
    Ok(Told::done(text))
}

async fn unpublish(engine: &Engine, name: &str, by: &str) -> anyhow::Result<Told> {
    let Some((known, version)) = name.split_once('@').and_then(|(name, version)| Some((name, version.parse().ok()?)))
    else {
        bail!("`{name}` has no version; write it as ap-invoice@3");
    };
    let now = engine.clock.now();
    let mut tx = engine.store.begin().await?;
    if !workflows::set_withdrawn(&mut tx, (known, version), Some((by, now))).await? {
        return Ok(Told::failed(format!("{name} is not published\n")));
    }
    events::append(&mut tx, &Event::new(now, "workflow.unpublished", "").by(by).with("workflow", name)).await?;
    tx.commit().await?;
    Ok(Told::done(format!("{name} starts no run any more; runs that have started go on with it\n")))
}
