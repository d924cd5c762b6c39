//! The program: arguments, tracing, then the command.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::Parser;
use countersign::agents::pdf;
use countersign::app::{self, App, Checked, Parts, logging, signals};
use countersign::cli::{self, Args, Command, Ending, Rules, Workflows, check, workflows};
use countersign::config::secret::SecretError;
use countersign::config::sections::{LogFormat, Role};
use countersign::demo;
use countersign::domain::{clock::SystemClock, crash};
use rustix::fs::Mode;

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|first| first == pdf::CHILD_ARGUMENT) {
        return pdf::child_main();
    }
    keep_memory_small();
    // What we write is mail and links: for us alone.
    rustix::process::umask(Mode::from_raw_mode(0o077));
    let Args { config, command } = Args::parse();
    let done = tokio::runtime::Runtime::new()
        .context("start the runtime")
        .and_then(|runtime| runtime.block_on(perform(&config, command)));
    done.unwrap_or_else(|error| {
        cli::complain(&error);
        let is_absent = |cause: &SecretError| !cause.is_transient();
        let misused = error.chain().filter_map(|cause| cause.downcast_ref()).any(is_absent);
        if misused { Ending::Misused.into() } else { Ending::Failed.into() }
    })
}

/// Keeps glibc from giving each thread a heap of its own: mail comes in large pieces, and what one heap has free is of no use
/// to another. Measured by `benches/intake`: a third less memory and no slower.
fn keep_memory_small() {
    #[cfg(target_env = "gnu")]
    // SAFETY: sets a number, before there is any other thread.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 2);
    }
}

async fn perform(file: &Path, command: Command) -> anyhow::Result<ExitCode> {
    if let Command::Demo { once, dir } = command {
        logging::start(LogFormat::Text, "warn");
        return demo::play(demo::Options { once, dir }).await;
    }
    if let Command::Rules { what: Rules::Test { place, json } } = command {
        // The rules in force may be at fault: that is what it is there to tell.
        return cli::rules::run_tests(app::rulebook(file), place.as_deref(), json);
    }
    let check = if command.goes_by_rules() { app::check } else { app::check_without_behaviour };
    let checked = match check(file) {
        Ok(checked) => checked,
        Err(told) => {
            check::print_diagnostics(&told);
            return Ok(Ending::Misused.into());
        }
    };
    let is_daemon = matches!(command, Command::Run { what: None, .. });
    let plays = matches!(command, Command::Check { .. } | Command::Workflows { what: Workflows::Test { .. } });
    // What goes wrong in a scenario is no trouble of this machine.
    let level = if is_daemon {
        "info"
    } else if plays {
        "error"
    } else {
        "warn"
    };
    logging::start(checked.config.log.format, level);
    match command {
        Command::Check { strict: false } => {
            println!("{}", checked.summary());
            Ok(Ending::Done.into())
        }
        Command::Check { strict: true } => {
            let told = workflows::check_strictly(&checked.config.files.workflows, &checked.behaviour.written).await?;
            if told.ending != Ending::Done {
                return cli::say(&told);
            }
            println!("{}", checked.summary());
            cli::say(&told)
        }
        Command::Workflows { what: Workflows::Test { files, json } } => {
            let (directory, written) = (&checked.config.files.workflows, &checked.behaviour.written);
            cli::say(&workflows::test(directory, written, &files, json).await?)
        }
        Command::Migrate => build(checked).await.map(|_| Ending::Done.into()),
        Command::Run { roles, what: None } => run(checked, if roles.is_empty() { Role::ALL } else { &roles }).await,
        other => cli::perform(other, &build(checked).await?.context()).await,
    }
}

async fn run(checked: Checked, roles: &[Role]) -> anyhow::Result<ExitCode> {
    if let Ok(point) = std::env::var("COUNTERSIGN_CRASH_AT") {
        crash::arm(&point).map_err(anyhow::Error::msg)?;
    }
    let stop = signals::told_to_stop()?;
    let mut hangups = signals::told_to_reload()?;
    let app = Arc::new(build(checked).await?);
    let told = Arc::clone(&app);
    tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            told.reload_now.notify_one();
        }
    });
    let listener = app.listen(roles).await?;
    app.run(roles, listener, stop).await?;
    Ok(Ending::Done.into())
}

async fn build(checked: Checked) -> anyhow::Result<App> {
    App::build(checked, Parts { clock: Arc::new(SystemClock), program: std::env::current_exe()? }).await
}
