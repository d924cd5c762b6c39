//! `countersign run start`: a run without a mail.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use chrono::{DateTime, Utc};
use clap::Subcommand;
use serde_json::json;

use super::args::ENDINGS;
use super::{Context, Told, inject};
use crate::behaviour::Behaviour;
use crate::domain::document::DocumentRef;
use crate::domain::event::sha256_hex;
use crate::domain::ids::TransactionId;
use crate::domain::nearest::nearest;
use crate::domain::workflow::Workflow;
use crate::engine::{self, start};
use crate::mime::kind_of;
use crate::reports::text;
use crate::store::people;

/// What can be run besides the daemon.
#[derive(Debug, Clone, Subcommand)]
pub enum Start {
    /// Start one run by hand, now or at a time
    #[command(
        after_help = ENDINGS,
        long_about = "Starts a run of the latest version of a workflow, without a mail, and prints its name. It is queued for the \
            daemon; with --at it exists at once but is begun only then. Files become documents: of the input `documents`, or \
            of the only input of kind `file`.\n\n\
            Examples:\n  countersign run start ap-invoice --file invoice.pdf --input sender=billing@nordwind.example\n  \
            countersign run start month-end --customer acme --at 2026-03-31T20:00:00Z --as alice"
    )]
    Start {
        /// Workflow by its name
        workflow: String,
        /// An input; once for each. Money as '1190.00 EUR', lists and objects as JSON
        #[arg(long, value_name = "NAME=VALUE", value_parser = name_and_value)]
        input: Vec<(String, String)>,
        /// A document; once for each
        #[arg(long, value_name = "PATH")]
        file: Vec<PathBuf>,
        /// Customer by name; the only one when missing
        #[arg(long, value_name = "NAME")]
        customer: Option<String>,
        /// Not before this instant (RFC 3339)
        #[arg(long, value_name = "TIME")]
        at: Option<DateTime<Utc>>,
        /// Who does it, for the audit trail
        #[arg(long = "as", value_name = "USER", default_value = "operator")]
        as_user: String,
    },
}

/// `name=value`
pub(super) fn name_and_value(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.trim().to_owned(), value.to_owned()))
}

/// What a start of `name` for a customer launches.
pub(super) fn workflow_for<'a>(behaviour: &'a Behaviour, name: &str, customer: &str) -> Result<&'a Workflow, String> {
    behaviour.workflow_named(name, customer).ok_or_else(|| {
        let known: Vec<_> = behaviour.workflows.iter().map(|known| known.name.as_str()).collect();
        match nearest(name, known.iter().copied()) {
            Some(near) => format!("there is no workflow `{name}`; did you mean `{near}`?"),
            None => format!("there is no workflow `{name}`; there are: {}", known.join(", ")),
        }
    })
}

pub async fn perform(context: &Context, what: Start) -> anyhow::Result<Told> {
    let Start::Start { workflow, input, file, customer, at, as_user } = what;
    let engine = &context.engine;
    let behaviour = context.intake.behaviour();
    let customer = match customer {
        Some(customer) => customer,
        None => only_customer(engine).await?,
    };
    let workflow = workflow_for(&behaviour, &workflow, &customer).map_err(|why| anyhow!(why))?;
    let mut inputs = start::read_inputs(workflow, &input).map_err(|why| anyhow!(why))?;
    let transaction_id = TransactionId::new();
    let files = file.iter().map(|path| Ok((path, inject::read(path)?))).collect::<anyhow::Result<Vec<_>>>()?;
    let directory = format!("{customer}/{transaction_id}");
    let documents: Vec<_> =
        files.iter().enumerate().map(|(place, (path, bytes))| document(&directory, place, path, bytes)).collect();
    // Before anything is written: what the workflow does not take leaves no trace.
    start::take_documents(workflow, &mut inputs, &documents).map_err(|why| anyhow!(why))?;
    workflow.accept(inputs.clone()).map_err(|why| anyhow!(why))?;
    let record =
        json!({ "transaction_id": transaction_id, "customer": customer, "by": as_user, "documents": documents });
    let record = (format!("{directory}/transaction.json"), serde_json::to_vec_pretty(&record)?.into());
    let written = documents.iter().zip(files).map(|(document, (_, bytes))| (document.path.clone(), bytes.into()));
    let staged = engine.blob.stage_all(written.chain([record]).collect()).await?;
    engine.blob.sync(staged).await?;
    let by = as_user.as_str();
    let launched = engine.start(start::Start { workflow, customer: &customer, transaction_id, inputs, at, by }).await?;
    let when = at.map(|at| format!(" and starts on {}", text::weekday(at))).unwrap_or_default();
    Ok(Told::done(format!("{} is queued{when}\n", launched.name)))
}

fn document(directory: &str, place: usize, path: &Path, bytes: &[u8]) -> DocumentRef {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let kind = kind_of(bytes, "", name.as_deref());
    let sha256 = sha256_hex(bytes);
    let stored = format!("{:03}-{}.{}", place + 1, &sha256[..8], kind.extension());
    DocumentRef {
        path: format!("{directory}/parts/{stored}"),
        name: name.unwrap_or(stored),
        kind,
        sha256,
        size_bytes: bytes.len() as u64,
    }
}

async fn only_customer(engine: &engine::Engine) -> anyhow::Result<String> {
    let mut names = people::customers(&mut engine.store.read().await?).await.context("read the customers")?;
    match (names.pop(), names.is_empty()) {
        (Some(name), true) => Ok(name),
        (None, _) => Err(anyhow!("there is no customer yet: `countersign import` takes them from a file")),
        (Some(last), false) => Err(anyhow!("say for which customer: --customer {} or {last}", names.join(", "))),
    }
}
