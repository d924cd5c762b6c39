//! `countersign quarantine`: what was kept for a person, and letting it in or putting it aside.

use clap::Subcommand;
use clap::builder::NonEmptyStringValueParser;

use super::args::ENDINGS;
use super::{Context, Told};
use crate::domain::ids::MessageId;
use crate::engine::Engine;
use crate::intake::{Intake, Released};
use crate::reports::find::find_message;
use crate::reports::picture::MessagePicture;
use crate::reports::{quarantine as report, text};
use crate::store::{messages, runs};

/// What can be done about the quarantine.
#[derive(Debug, Clone, Subcommand)]
pub enum Quarantine {
    /// List what nobody has released or discarded yet
    #[command(
        after_help = ENDINGS,
        long_about = "Lists the messages in quarantine that nobody has released or discarded yet, the newest first. Those that \
            are older than `keep` in [quarantine] are overdue; they stay until somebody decides.\n\n\
            Examples:\n  countersign quarantine list\n  countersign quarantine list --json | jq '.[] | \
            select(.severity == \"high\")'"
    )]
    List {
        /// One JSON array instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Show why a message is in quarantine, and what came with it
    #[command(
        after_help = ENDINGS,
        long_about = "Shows why a message was put in quarantine and what would have changed that, its parts, and where its raw \
            bytes lie.\n\n\
            Examples:\n  countersign quarantine show 0197c2d48a11"
    )]
    Show {
        /// Message by its id, or its first 8 digits or more
        id: String,
    },
    /// Screen a message again with the rules of now, and let it in
    #[command(
        after_help = ENDINGS,
        long_about = "Screens a message in quarantine again, with the guards and rules of now, and carries the verdict out as if \
            it had just come in; the audit trail names who did it. When the rules would quarantine it again, it stays: the \
            command says why and fails. With --start, that workflow is then launched all the same, with the documents, \
            sender, subject and supplier that it takes as inputs; never for a message that cannot be read.\n\n\
            A message is released or discarded once. What the mail server shows (`after_quarantine`) does not change.\n\n\
            Examples:\n  countersign quarantine release 0197c2d48a11 --as frank\n  countersign quarantine release \
            0197c2d48a11 --as frank --start ap-invoice"
    )]
    Release {
        /// Message by its id, or its first 8 digits or more
        id: String,
        /// Who does it, for the audit trail
        #[arg(long = "as", value_name = "USER", value_parser = NonEmptyStringValueParser::new())]
        as_user: String,
        /// Launch this workflow when the rules would quarantine the message again
        #[arg(long, value_name = "WORKFLOW")]
        start: Option<String>,
    },
    /// Put a message aside for good
    #[command(
        after_help = ENDINGS,
        long_about = "Puts a message in quarantine aside for good: it leaves the list and can no longer be released. Its raw \
            bytes stay in the store as long as `keep` in [quarantine] says, for good without it, and what the mail server shows does not change.\n\n\
            Examples:\n  countersign quarantine discard 0197c2d48a11 --as frank\n  countersign quarantine discard \
            0197c2d48a11 --as frank --reason 'phishing; told the supplier'"
    )]
    Discard {
        /// Message by its id, or its first 8 digits or more
        id: String,
        /// Who does it, for the audit trail
        #[arg(long = "as", value_name = "USER", value_parser = NonEmptyStringValueParser::new())]
        as_user: String,
        /// Why, for the audit trail
        #[arg(long, value_name = "TEXT", default_value = "no reason given")]
        reason: String,
    },
}

pub async fn perform(context: &Context, what: Quarantine, width: Option<u16>) -> anyhow::Result<Told> {
    let Context { config, engine, intake, .. } = context;
    match what {
        Quarantine::List { json } => {
            let lines =
                report::list(&mut engine.store.read().await?, engine.clock.now(), config.quarantine.keep).await?;
            Ok(Told::done(if json { report::json(&lines) } else { report::table(&lines, width) }))
        }
        Quarantine::Show { id } => show(engine, &id, width).await,
        Quarantine::Release { id, as_user, start } => release(intake, &id, &as_user, start.as_deref()).await,
        Quarantine::Discard { id, as_user, reason } => {
            let id = message(engine, &id).await?;
            intake.discard(id, &as_user, &reason).await?;
            let until = config.quarantine.keep.map_or_else(String::new, |keep| format!(" for {keep}"));
            Ok(Told::done(format!("message {id} is discarded by {as_user}; its raw bytes stay{until}\n")))
        }
    }
}

async fn show(engine: &Engine, id: &str, width: Option<u16>) -> anyhow::Result<Told> {
    let mut tx = engine.store.read().await?;
    let row = find_message(&mut tx, id).await?;
    if row.verdict.as_deref() != Some("quarantine") {
        let verdict = row.verdict.as_deref().unwrap_or("none yet");
        anyhow::bail!("message {} was not quarantined; its verdict is {verdict}", row.id);
    }
    Ok(Told::done(report::show(&MessagePicture::read(&mut tx, row).await?, width)))
}

async fn release(intake: &Intake, id: &str, by: &str, start: Option<&str>) -> anyhow::Result<Told> {
    let id = message(&intake.engine, id).await?;
    if let Released::Stays { reason, readable } = intake.release(id, by, start).await? {
        let otherwise = match (readable, start) {
            (true, None) => "; --start WORKFLOW launches a run all the same",
            (true, Some(_)) => "",
            (false, _) => "; nothing can be started from it",
        };
        let reason = text::one_line(&reason);
        return Ok(Told::failed(format!("countersign: message {id} stays in quarantine: {reason}{otherwise}\n")));
    }
    let mut tx = intake.engine.store.read().await?;
    let row = messages::get(&mut tx, id).await?;
    let verdict = row.released_as.as_deref().unwrap_or_default();
    let reason = text::one_line(row.disposed_reason.as_deref().unwrap_or_default());
    let mut told = format!("message  {id}\nreleased by {by}\nverdict  {verdict}\nreason   {reason}\n");
    for run in runs::of_message(&mut tx, row.id, row.run_id).await? {
        told.push_str(&format!("run      {} ({})\n", run.name, run.status));
    }
    Ok(Told::done(told))
}

async fn message(engine: &Engine, id: &str) -> anyhow::Result<MessageId> {
    Ok(find_message(&mut engine.store.read().await?, id).await?.id)
}
