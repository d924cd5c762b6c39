//! The command line: one file per command. What a command needs is in `Context`, built above; what it prints is made in
//! `reports`. `demo`, `run`, `check` and `migrate` are started above, where everything is built.

mod agents;
mod answer;
mod args;
pub mod audit;
pub mod check;
mod control;
mod explain;
mod import;
mod inject;
mod ledger;
pub mod logs;
mod mailbox;
mod output;
mod publish;
mod quarantine;
mod report;
pub mod rules;
mod runs;
mod show;
mod start;
pub mod workflows;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::bail;

pub use agents::Agents;
pub use args::{Args, Command, Format};
pub use audit::Audit;
pub use control::Control;
pub use ledger::Ledger;
pub use logs::Logs;
pub use mailbox::Mailbox;
pub use output::{complain, print};
pub use publish::Publish;
pub use quarantine::Quarantine;
pub use rules::Rules;
pub use runs::List;
pub use start::Start;
pub use workflows::Workflows;

use crate::behaviour::{Behaviour, Rulebook};
use crate::config::Config;
use crate::engine::Engine;
use crate::intake::Intake;
use crate::mailbox::access::Access;
pub use crate::reports::since::Since;

/// What commands work with.
pub struct Context {
    pub config: Config,
    pub rulebook: Rulebook,
    pub engine: Arc<Engine>,
    pub intake: Arc<Intake>,
    pub access: Arc<Access>,
    /// Rules, workflows, presets and templates; none for commands that do not go by them.
    pub behaviour: Arc<Behaviour>,
}

impl Command {
    /// Whether it decides by rules, workflows or templates, so that it refuses faulty ones. The others work whatever state an
    /// edit left them in.
    pub fn goes_by_rules(&self) -> bool {
        match self {
            Self::Demo { .. } | Self::Run { .. } | Self::Check { .. } | Self::Inject { .. } => true,
            Self::Quarantine { what: Quarantine::Release { .. } } | Self::Rules { .. } => true,
            Self::Workflows { what: Workflows::Unpublish { .. } } => false,
            Self::Workflows { .. } | Self::Agents { .. } => true,
            Self::Quarantine { .. } | Self::Mailbox { .. } | Self::Ledger { .. } | Self::Audit { .. } => false,
            Self::Logs(_) | Self::Publish { .. } => false,
            Self::Migrate | Self::Import { .. } | Self::Report { .. } | Self::Runs(_) => false,
            Self::Show { .. } | Self::Explain { .. } | Self::Approve { .. } | Self::Reject { .. } => false,
            // By the definition of now, unless it is said otherwise.
            Self::Control(Control::Rerun { same_version, .. }) => !same_version,
            Self::Control(_) => false,
        }
    }
}

/// What a command says and how it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub text: String,
    pub ending: Ending,
}

/// How a command ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Done,
    Failed,
    /// The command or a file that it was given is wrong.
    Misused,
}

impl From<Ending> for ExitCode {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Done => ExitCode::SUCCESS,
            Ending::Failed => ExitCode::from(1),
            Ending::Misused => ExitCode::from(2),
        }
    }
}

impl Told {
    fn done(text: impl Into<String>) -> Self {
        Self { text: text.into(), ending: Ending::Done }
    }

    fn failed(text: impl Into<String>) -> Self {
        Self { text: text.into(), ending: Ending::Failed }
    }
}

/// Performs a command and prints what it says: to standard output when it is done, else to standard error. A balance is what
/// was asked for, whether or not it adds up, and so is what rules come to.
///
/// # Errors
/// What kept it from being done; print it with `complain`.
pub async fn perform(command: Command, context: &Context) -> anyhow::Result<ExitCode> {
    let is_answer = match &command {
        Command::Ledger { .. } | Command::Rules { .. } => true,
        Command::Workflows { what } => what.is_question(),
        _ => false,
    };
    let told = match command {
        Command::Audit { what: Audit::Tail { lines, follow, json } } => {
            audit::tail(&context.engine, lines, follow, json, print).await?;
            return Ok(ExitCode::SUCCESS);
        }
        Command::Logs(wanted) => {
            logs::show(&context.engine, &wanted, print).await?;
            return Ok(ExitCode::SUCCESS);
        }
        other => tell(other, context, output::width()).await?,
    };
    match told.ending {
        Ending::Done => print(&told.text).map(drop)?,
        Ending::Failed if is_answer => print(&told.text).map(drop)?,
        Ending::Failed | Ending::Misused => eprint(&told.text),
    }
    Ok(told.ending.into())
}

/// Performs a command that says one thing and ends. Tables fit `width`, if there is one.
///
/// # Errors
/// What kept it from being done.
pub async fn tell(command: Command, context: &Context, width: Option<u16>) -> anyhow::Result<Told> {
    let Context { engine, intake, .. } = context;
    match command {
        Command::Import { file } => import::import(engine, &file).await,
        Command::Inject { file, mailbox } => inject::inject(intake, &file, &mailbox).await,
        Command::Runs(list) => runs::list(engine, list, width).await,
        Command::Show { id } => show::show(engine, &id, width).await,
        Command::Explain { id } => explain::explain(engine, &id).await,
        Command::Approve { id, as_user, comment } => answer::approve(engine, &id, &as_user, comment).await,
        Command::Reject { id, as_user, comment } => answer::reject(engine, &id, &as_user, comment).await,
        Command::Control(what) => control::perform(context, what).await,
        Command::Run { what: Some(what), .. } => start::perform(context, what).await,
        Command::Report { format, since, status, tag } => {
            report::report(engine, format, since, status, tag.as_deref(), width).await
        }
        Command::Quarantine { what } => quarantine::perform(context, what, width).await,
        Command::Audit { what: Audit::Verify } => audit::verify(engine).await,
        Command::Audit { what: Audit::Tail { .. } } => bail!("`audit tail` says more than one thing"),
        Command::Logs(_) => bail!("`logs` says more than one thing"),
        Command::Publish { what } => publish::perform(what, context, width).await,
        Command::Mailbox { what } => mailbox::perform(what, context, width).await,
        Command::Ledger { what } => ledger::perform(what, context).await,
        Command::Rules { what } => rules::perform(what, context, width).await,
        Command::Workflows { what } => workflows::perform(what, context, width).await,
        Command::Agents { what } => agents::perform(what, context, width),
        Command::Demo { .. } | Command::Run { .. } | Command::Check { .. } | Command::Migrate => {
            bail!("this command builds its own surroundings and cannot be performed in others")
        }
    }
}

/// Prints what a command says that was asked for an answer, whatever the answer is.
///
/// # Errors
/// When standard output cannot be written.
pub fn say(told: &Told) -> anyhow::Result<ExitCode> {
    match told.ending {
        Ending::Misused => eprint(&told.text),
        Ending::Done | Ending::Failed => print(&told.text).map(drop)?,
    }
    Ok(told.ending.into())
}

fn eprint(text: &str) {
    use std::io::Write;
    // Nobody is left to tell when standard error is gone.
    let _ = std::io::stderr().write_all(text.as_bytes());
}
