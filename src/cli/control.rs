//! What is asked of one run: `kill`, `stop`, `pause`, `resume`, `restart`, `rerun`, `override`.

use chrono::{DateTime, TimeDelta, Utc};
use clap::Subcommand;
use clap::builder::NonEmptyStringValueParser;
use serde_json::{Map, Value};

use super::args::ENDINGS;
use super::start::{name_and_value, workflow_for};
use super::{Context, Told};
use crate::domain::run::RunStatus;
use crate::engine::control::{Controlled, KILL_GRACE};
use crate::engine::override_step::Given;
use crate::engine::rerun::Rerun;
use crate::engine::start::read_inputs;
use crate::engine::{Engine, EngineError};
use crate::reports::find::find_run;
use crate::reports::text;
use crate::store::runs::RunRow;
use crate::store::workflows;

/// What can be asked of one run.
#[derive(Debug, Clone, Subcommand)]
pub enum Control {
    /// End a run for good
    #[command(
        after_help = ENDINGS,
        long_about = "Ends a run in any live state, for good: links die, replies to it decide nothing any more, nothing starts. A \
            step that a worker has in hand gets 10 seconds to end and be recorded; with --now it gets none and commits \
            nothing. A run that was killed before says so; one that completed or failed is refused.\n\n\
            Examples:\n  countersign kill AP-000123\n  countersign kill AP-000123 --as alice --now"
    )]
    Kill {
        /// Run such as AP-000123, or its id
        id: String,
        /// Do not wait for the step in hand
        #[arg(long)]
        now: bool,
        /// Who does it, for the audit trail
        #[arg(long = "as", value_name = "USER", default_value = "operator")]
        as_user: String,
    },
    /// End a run, but let the step in hand end first
    #[command(
        after_help = ENDINGS,
        long_about = "Ends a run for good, but lets a step in hand end first, however long that takes, so that what it posts is \
            recorded. Nothing else starts, and links and replies decide nothing from now on. A run that rests is killed at \
            once; `kill` cuts a long end short.\n\n\
            Examples:\n  countersign stop AP-000123 --as alice"
    )]
    Stop {
        /// Run such as AP-000123, or its id
        id: String,
        /// Who does it, for the audit trail
        #[arg(long = "as", value_name = "USER", default_value = "operator")]
        as_user: String,
    },
    /// Hold a run: what is in hand ends, nothing else starts
    #[command(
        after_help = ENDINGS,
        long_about = "Holds a run: a step in hand ends, no other starts. Answers are still taken, reminders still go out.\n\n\
            Examples:\n  countersign pause AP-000123"
    )]
    Pause {
        /// Run such as AP-000123, or its id
        id: String,
        /// Who does it, for the audit trail
        #[arg(long = "as", value_name = "USER", default_value = "operator")]
        as_user: String,
    },
    /// Let a held run go on
    #[command(
        after_help = ENDINGS,
        long_about = "Lets a run go on that `pause` holds; whatever was answered meanwhile counts now.\n\n\
            Examples:\n  countersign resume AP-000123"
    )]
    Resume {
        /// Run such as AP-000123, or its id
        id: String,
        /// Who does it, for the audit trail
        #[arg(long = "as", value_name = "USER", default_value = "operator")]
        as_user: String,
    },
    /// Run an ended run again from a step, with the outputs before it
    #[command(
        after_help = ENDINGS,
        long_about = "Runs a failed or killed run again, or a completed one whose workflow is `restartable`: the same run, by the \
            definition that it was launched with. With --from, that step runs again and everything downstream of it; \
            without, whatever did not succeed, and after a completion everything. The outputs of all other steps are kept. \
            Links and replies of before decide nothing; who is needed is asked again. A step that runs again posts again.\n\n\
            Examples:\n  countersign restart AP-000123\n  countersign restart AP-000123 --from verify --as alice"
    )]
    Restart {
        /// Run such as AP-000123, or its id
        id: String,
        /// First step that runs again
        #[arg(long, value_name = "STEP")]
        from: Option<String>,
        /// Who does it, for the audit trail
        #[arg(long = "as", value_name = "USER", default_value = "operator")]
        as_user: String,
    },
    /// Start a new run like another, for the same transaction
    #[command(
        after_help = ENDINGS,
        long_about = "Starts a new run for the transaction of another, which stays as it is, whatever its state; each names the other. \
            Inputs are the same unless they are given; the definition is the latest of now unless --same-version.\n\n\
            Examples:\n  countersign rerun AP-000123\n  countersign rerun AP-000123 --input supplier=Nordwind \
            --same-version\n  countersign rerun AP-000123 --at 2026-03-02T20:00:00Z"
    )]
    Rerun {
        /// Run such as AP-000123, or its id
        id: String,
        /// An input that changes; once for each
        #[arg(long, value_name = "NAME=VALUE", value_parser = name_and_value)]
        input: Vec<(String, String)>,
        /// By the definition that the other was launched with
        #[arg(long)]
        same_version: bool,
        /// Not before this instant (RFC 3339)
        #[arg(long, value_name = "TIME")]
        at: Option<DateTime<Utc>>,
        /// Who does it, for the audit trail
        #[arg(long = "as", value_name = "USER", default_value = "operator")]
        as_user: String,
    },
    /// Give the output of a step that failed or waits, and go on
    #[command(
        after_help = ENDINGS,
        long_about = "Makes a step that failed, or that waits, a success with the given output, as if its agent had made it, and lets \
            the run go on from there. A run that has ended goes on as after `restart`. The audit trail says who did it and \
            why.\n\n\
            Examples:\n  countersign override AP-000123 post --output '{\"number\": \"4711\"}' --because 'posted by \
            hand'\n  countersign override AP-000123 approve --output '{\"decision\": \"approved\", \"by\": \"cfo\"}' --because \
            'by phone' --as alice"
    )]
    Override {
        /// Run such as AP-000123, or its id
        id: String,
        /// Step by its name
        step: String,
        /// Its output: a JSON object
        #[arg(long, value_name = "JSON", value_parser = json_object)]
        output: Map<String, Value>,
        /// Why, for the audit trail
        #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
        because: String,
        /// Who does it, for the audit trail
        #[arg(long = "as", value_name = "USER", default_value = "operator")]
        as_user: String,
    },
}

fn json_object(text: &str) -> Result<Map<String, Value>, String> {
    serde_json::from_str(text)
        .map_err(|error| format!("write a JSON object, such as {{\"number\": \"4711\"}}: {error}"))
}

impl Control {
    fn id(&self) -> &str {
        match self {
            Self::Kill { id, .. } | Self::Stop { id, .. } | Self::Pause { id, .. } | Self::Resume { id, .. } => id,
            Self::Restart { id, .. } | Self::Rerun { id, .. } | Self::Override { id, .. } => id,
        }
    }
}

pub async fn perform(context: &Context, what: Control) -> anyhow::Result<Told> {
    let engine = &context.engine;
    let run = find_run(&mut engine.store.read().await?, what.id()).await?;
    let name = run.name.clone();
    match carry_out(context, &run, what).await {
        Ok(told) => Ok(Told::done(format!("{name}{told}\n"))),
        Err(error) => Err(refused(engine, &run, error).await?),
    }
}

/// What is said after the run's name.
async fn carry_out(context: &Context, run: &RunRow, what: Control) -> Result<String, EngineError> {
    let (engine, id, name) = (&context.engine, run.id, &run.name);
    Ok(match what {
        Control::Kill { now, as_user, .. } => {
            let grace = if now { TimeDelta::zero() } else { KILL_GRACE };
            ended(engine.kill(id, &as_user, grace).await?)
        }
        Control::Stop { as_user, .. } => ended(engine.stop(id, &as_user).await?),
        Control::Pause { as_user, .. } => {
            let Controlled { state, already, .. } = engine.pause(id, &as_user).await?;
            let held = if already { "held already" } else { "held" };
            format!(": it is {} and {held}; no step starts until `countersign resume {name}`", state.status)
        }
        Control::Resume { as_user, .. } => {
            engine.resume(id, &as_user).await?;
            format!(": nobody holds it any more; `countersign explain {name}` tells what it waits for")
        }
        Control::Restart { from, as_user, .. } => {
            let restarted = engine.restart(id, from.as_deref(), &as_user).await?;
            let (again, kept) = (text::list(&restarted.again), restarted.kept);
            let kept = if kept.is_empty() { String::new() } else { format!("; kept: {}", text::list(&kept)) };
            format!(" is {} again, generation {}; to run: {again}{kept}", restarted.state.status, restarted.generation)
        }
        Control::Rerun { input, same_version, at, as_user, .. } => {
            let behaviour = context.intake.behaviour();
            let pinned;
            let workflow = if same_version {
                pinned = workflows::get(&mut engine.store.read().await?, &run.workflow_hash).await?;
                &pinned
            } else {
                workflow_for(&behaviour, &run.workflow, &run.customer).map_err(EngineError::Input)?
            };
            let inputs = read_inputs(workflow, &input).map_err(EngineError::Input)?;
            let current = (!same_version).then_some(workflow);
            let launched = engine.rerun(id, Rerun { workflow: current, inputs, at, by: &as_user }).await?;
            let when = at.map(|at| format!(" and starts on {}", text::weekday(at))).unwrap_or_default();
            format!(" runs once more as {}, which is queued{when}", launched.name)
        }
        Control::Override { step, output, because, as_user, .. } => {
            let given = Given { step: &step, output, because: &because, by: &as_user };
            let overridden = engine.override_step(id, &given).await?;
            format!(
                ": step {step} is a success by {as_user}; the run is {}, generation {}",
                overridden.state.status, overridden.generation
            )
        }
    })
}

fn ended(controlled: Controlled) -> String {
    let Controlled { state, already, kill_at } = controlled;
    let already = if already { " already" } else { "" };
    if state.status == RunStatus::Killed {
        return format!(" is killed{already}; links and replies to it decide nothing any more");
    }
    let by = kill_at.map(|at| format!(", by {} at the latest", at.format("%H:%M:%S UTC"))).unwrap_or_default();
    format!(" is being ended{already}: it is killed when the step in hand has ended{by}; nothing else starts")
}

/// Why not, and what would work.
async fn refused(engine: &Engine, run: &RunRow, error: EngineError) -> anyhow::Result<anyhow::Error> {
    let name = run.name.clone();
    if !matches!(error, EngineError::Refused(_)) {
        return Ok(anyhow::Error::new(error).context(name));
    }
    let mut tx = engine.store.read().await?;
    let run = crate::store::runs::get(&mut tx, run.id).await?;
    let restartable = workflows::get(&mut tx, &run.workflow_hash).await.is_ok_and(|workflow| workflow.restartable);
    let mut takes: Vec<_> = run.state().takes(restartable).iter().map(|event| event.to_string()).collect();
    takes.push("rerun".into());
    Ok(anyhow::anyhow!("{error}; it takes {}", text::list(&takes)).context(name))
}
