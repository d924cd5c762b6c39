//! `countersign approve` and `countersign reject`: an operator answers for a user who is asked.

use super::Told;
use crate::domain::wait::{Answer, Choice, WaitKind, WaitStatus};
use crate::engine::decide::Decided;
use crate::engine::{Engine, EngineError};
use crate::people::operator;
use crate::reports::find::find_run;
use crate::reports::text;
use crate::store::runs::RunRow;
use crate::store::waits::{self, WaitRow};

pub async fn approve(engine: &Engine, id: &str, user: &str, comment: Option<String>) -> anyhow::Result<Told> {
    answer(engine, id, user, Choice::Approve, comment).await
}

pub async fn reject(engine: &Engine, id: &str, user: &str, comment: Option<String>) -> anyhow::Result<Told> {
    answer(engine, id, user, Choice::Reject, comment).await
}

async fn answer(
    engine: &Engine,
    id: &str,
    user: &str,
    choice: Choice,
    comment: Option<String>,
) -> anyhow::Result<Told> {
    let mut tx = engine.store.read().await?;
    let run = find_run(&mut tx, id).await?;
    drop(tx);
    let decided = match operator::answer(engine, run.id, user, choice, comment).await {
        Ok(decided) => decided,
        // Nothing is open, or the user is not asked: whoever was first tells more than that.
        Err(EngineError::Input(why)) => match answered(engine, &run).await? {
            Some(wait) => return Ok(late(&run, &wait, user, choice)),
            None => anyhow::bail!("{}: {why}", run.name),
        },
        Err(other) => return Err(other.into()),
    };
    let name = &run.name;
    Ok(match decided {
        Decided::Now => Told::done(format!("{name} is {} by {user}; it goes on\n", past(choice))),
        Decided::Repeated(_) => Told::done(format!("{user} had {} {name} before; nothing new\n", past(choice))),
        Decided::Late(first) => Told::failed(first_was(name, &first, None)),
        Decided::Over(status) => Told::failed(format!("countersign: the request of {name} is {status}\n")),
    })
}

/// The latest answered approval, when none is open.
async fn answered(engine: &Engine, run: &RunRow) -> Result<Option<WaitRow>, EngineError> {
    let mut tx = engine.store.read().await?;
    let approvals = waits::of_run(&mut tx, run.id).await?.into_iter().filter(|wait| wait.kind == WaitKind::Approval);
    let approvals: Vec<_> = approvals.collect();
    if approvals.iter().any(|wait| wait.status == WaitStatus::Open) {
        return Ok(None);
    }
    Ok(approvals.into_iter().rfind(|wait| wait.answer.is_some()))
}

fn late(run: &RunRow, wait: &WaitRow, user: &str, choice: Choice) -> Told {
    match &wait.answer {
        Some(first) if first.by == user && first.choice == choice => {
            Told::done(format!("{user} had {} {} before; nothing new\n", past(choice), run.name))
        }
        Some(first) => Told::failed(first_was(&run.name, first, wait.closed_at.map(text::instant))),
        None => Told::failed(format!("countersign: the request of {} is {}\n", run.name, wait.status)),
    }
}

fn first_was(name: &str, first: &Answer, at: Option<String>) -> String {
    let at = at.map_or_else(String::new, |at| format!(" on {at}"));
    let by = text::one_line(&first.by);
    format!("countersign: too late: {by} {} {name}{at} by {}\n", past(first.choice), first.via)
}

fn past(choice: Choice) -> &'static str {
    match choice {
        Choice::Approve => "approved",
        Choice::Reject => "rejected",
        Choice::Supply => "supplied what was asked of",
        Choice::Proceed => "let go on",
    }
}
