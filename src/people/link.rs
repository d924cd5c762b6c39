//! Links: what the page behind one shows, and the answer that its form posts. Looking never changes anything.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde_json::{Map, Value};

use crate::domain::crash;
use crate::domain::notice::Attachment;
use crate::domain::token::token_hash;
use crate::domain::wait::{Answer, Channel, Choice, WaitKind, WaitStatus};
use crate::engine::decide::{Decided, Ending};
use crate::engine::{Engine, EngineError};
use crate::store::tokens::TokenRow;
use crate::store::waits::WaitRow;
use crate::store::{Tx, notices, people, runs, tokens, waits, workflows};

/// What a link shows to the person it was sent to.
#[derive(Debug, Clone)]
pub struct LinkView {
    /// `AP-000123`
    pub run: String,
    pub customer: String,
    /// What is wanted: a decision, or that something is sent.
    pub kind: WaitKind,
    /// Who the link was sent to, as people call them.
    pub person: String,
    /// Everybody whose answer counts, as people call them.
    pub asked: Vec<String>,
    /// Where the people of this run read their clocks.
    pub zone: Tz,
    pub question: String,
    /// What the mail showed: `facts`, `checks`, `note`, `due`.
    pub shown: Map<String, Value>,
    pub documents: Vec<Attachment>,
    pub state: LinkState,
}

/// Whether the link can still decide.
#[derive(Debug, Clone, PartialEq)]
pub enum LinkState {
    Open,
    Answered {
        by: String,
        choice: Choice,
        comment: Option<String>,
        at: Option<DateTime<Utc>>,
        mine: bool,
    },
    /// Others are asked now, or it ended without an answer.
    Over(String),
}

/// What the page behind a link shows; none when no such link was ever made.
pub async fn look(engine: &Engine, token: &str) -> Result<Option<LinkView>, EngineError> {
    let mut tx = engine.store.read().await?;
    let Some((row, wait)) = find(&mut tx, token).await? else { return Ok(None) };
    let run = runs::get(&mut tx, wait.run_id).await?;
    let notice =
        notices::of_run(&mut tx, wait.run_id).await?.into_iter().find(|notice| notice.token_id == Some(row.id));
    let (shown, documents) = notice.map(|notice| (notice.data.0, notice.attachments.0)).unwrap_or_default();
    let users = people::users(&mut tx, &run.customer).await?;
    let called = |name: &str| {
        let user = users.iter().find(|user| user.name == name).map(|user| user.full_name.clone());
        user.filter(|name| !name.is_empty()).unwrap_or_else(|| name.to_owned())
    };
    let state = match (&wait.status, &wait.answer) {
        (WaitStatus::Answered, Some(answer)) => LinkState::Answered {
            by: called(&answer.by),
            choice: answer.choice,
            comment: answer.comment.clone(),
            at: wait.closed_at,
            mine: answer.by == row.person,
        },
        (WaitStatus::Open, _) if row.void_at.is_none() => LinkState::Open,
        (WaitStatus::Open, _) => LinkState::Over("Somebody else has been asked in the meantime.".into()),
        (WaitStatus::Expired, _) => LinkState::Over("The time to answer has run out.".into()),
        _ => LinkState::Over("This request has been withdrawn.".into()),
    };
    Ok(Some(LinkView {
        kind: wait.kind,
        person: called(&row.person),
        asked: wait.asked.iter().map(|asked| called(&asked.person)).collect(),
        zone: workflows::get(&mut tx, &run.workflow_hash).await?.calendar.zone,
        run: run.name,
        customer: run.customer,
        question: wait.question,
        shown,
        documents,
        state,
    }))
}

/// What a posted answer came to.
#[derive(Debug, Clone, PartialEq)]
pub enum Posted {
    Decided(Decided),
    /// The token cannot decide: escalated away, its run was killed, failed or restarted, or it asks for documents.
    Dead,
    /// No such link was ever made.
    Unknown,
}

/// Takes the answer that the page's form posted. The token names the person; it works once, by the wait's guarded update.
pub async fn answer(
    engine: &Engine,
    token: &str,
    choice: Choice,
    comment: Option<String>,
) -> Result<Posted, EngineError> {
    let mut tx = engine.store.begin().await?;
    let Some((_, wait)) = find(&mut tx, token).await? else { return Ok(Posted::Unknown) };
    // Read again under the lock: the ladder may have asked somebody else meanwhile.
    runs::lock(&mut tx, wait.run_id).await?;
    let Some((row, wait)) = find(&mut tx, token).await? else { return Ok(Posted::Unknown) };
    let is_dead = row.void_at.is_some() && wait.status != WaitStatus::Answered;
    if is_dead || wait.kind != WaitKind::Approval {
        return Ok(Posted::Dead);
    }
    let answer = Answer {
        by: row.person.clone(),
        choice,
        comment,
        via: Channel::Link,
        verified: format!("holds the link sent to {}", row.person),
        output: Map::new(),
    };
    let decided = engine.decide(&mut tx, wait.id, Ending::Answer(answer), None).await?;
    tx.commit().await?;
    crash::point("decide.committed");
    engine.work.notify_waiters();
    Ok(Posted::Decided(decided))
}

async fn find(tx: &mut Tx, token: &str) -> Result<Option<(TokenRow, WaitRow)>, EngineError> {
    let Some(row) = tokens::by_hash(tx, &token_hash(token)).await? else { return Ok(None) };
    let wait = waits::get(tx, row.wait_id).await?;
    Ok(Some((row, wait)))
}
