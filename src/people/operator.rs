//! Answers given on the command line, by an operator who acts as a user.

use serde_json::Map;

use crate::domain::ids::RunId;
use crate::domain::wait::{Answer, Channel, Choice, WaitKind, WaitStatus};
use crate::engine::decide::{Decided, Ending};
use crate::engine::{Engine, EngineError};
use crate::store::{runs, waits};

/// Answers the open approval of a run as `user`.
///
/// # Errors
/// `Input` when no approval is open, or when the user is not asked.
pub async fn answer(
    engine: &Engine,
    run: RunId,
    user: &str,
    choice: Choice,
    comment: Option<String>,
) -> Result<Decided, EngineError> {
    let mut tx = engine.store.begin().await?;
    runs::lock(&mut tx, run).await?;
    let all = waits::of_run(&mut tx, run).await?;
    let open = all.into_iter().find(|wait| wait.kind == WaitKind::Approval && wait.status == WaitStatus::Open);
    let Some(wait) = open else {
        return Err(EngineError::Input("no approval of this run is open".into()));
    };
    if !wait.asked.iter().any(|asked| asked.person == user) {
        let asked: Vec<_> = wait.asked.iter().map(|asked| asked.person.as_str()).collect();
        return Err(EngineError::Input(format!("`{user}` is not asked here; asked: {}", asked.join(", "))));
    }
    let answer = Answer {
        by: user.to_owned(),
        choice,
        comment,
        via: Channel::Cli,
        verified: "given by an operator on the server".into(),
        output: Map::new(),
    };
    let decided = engine.decide(&mut tx, wait.id, Ending::Answer(answer), None).await?;
    tx.commit().await?;
    engine.work.notify_waiters();
    Ok(decided)
}
