//! Messages: what came in, what became of each, and why.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Web;
use super::page::{self, PageError};
use super::run;
use super::shown::{self, Moment};
use crate::domain::also::Also;
use crate::domain::ids::MessageId;
use crate::domain::verdict::Disposition;
use crate::reports::answered;
use crate::store::messages::MessageRow;
use crate::store::{Tx, events, messages, reply_waits, runs, tags};

/// Messages on the page.
const MOST: i64 = 100;

/// Mailboxes have no calendar; their times are told in this zone.
const ZONE: Tz = Tz::UTC;

#[derive(Serialize)]
struct Line {
    id: String,
    mailbox: String,
    from: Option<String>,
    subject: Option<String>,
    /// `waiting` until a verdict stands.
    verdict: String,
    reason: String,
    runs: Vec<String>,
    received: Moment,
    duplicate: bool,
    known_documents: bool,
    /// `released` or `discarded`, once a person looked at a quarantine.
    disposition: Option<Disposition>,
    tags: Vec<String>,
}

/// What the list may be asked for.
#[derive(Deserialize)]
pub(super) struct Wanted {
    /// Only messages with this tag.
    tag: Option<String>,
}

/// GET: the latest messages.
pub(super) async fn list(
    State(web): State<Arc<Web>>,
    Query(Wanted { tag }): Query<Wanted>,
) -> Result<Response, PageError> {
    let mut tx = web.engine.store.read().await?;
    let found = match &tag {
        Some(tag) => tags::latest(&mut tx, tag, MOST).await?,
        None => messages::latest(&mut tx, MOST).await?,
    };
    let mut lines = vec![];
    for message in found {
        lines.push(line(&mut tx, message).await?);
    }
    let full = lines.len() as i64 == MOST;
    let values = json!({ "root": "", "here": "messages", "lines": lines, "full": full, "most": MOST, "tag": tag });
    Ok(page::page(StatusCode::OK, "mails.html", values))
}

/// GET: one message with the explanation of its verdict.
pub(super) async fn one(State(web): State<Arc<Web>>, Path(id): Path<String>) -> Result<Response, PageError> {
    let missing = PageError::NotFound("message");
    let Ok(id) = id.parse::<MessageId>() else { return Err(missing) };
    let mut tx = web.engine.store.read().await?;
    let message = match messages::get(&mut tx, id).await {
        Err(error) if error.is_not_found() => return Err(missing),
        found => found?,
    };
    let mut parts = vec![];
    for part in messages::parts(&mut tx, id).await? {
        let (name, size) = (part.name.unwrap_or_default(), shown::size(part.size_bytes.unsigned_abs()));
        parts.push(
            json!({ "name": name, "size": size, "kind": part.kind, "role": part.role, "declared": part.declared_type,
                "duplicate_of": part.duplicate_of.map(|id| id.to_string()) }),
        );
    }
    let timeline: Vec<_> = events::of_message(&mut tx, id).await?.iter().map(|event| run::line(event, ZONE)).collect();
    let reply = reply(&mut tx, &message).await?;
    let values = json!({
        "root": "../",
        "here": "message",
        "reply": reply,
        "parts": parts,
        "timeline": timeline,
        "uid": message.uid,
        "size": shown::size(message.size_bytes.unsigned_abs()),
        "message_id": message.header_message_id,
        "raw_sha256": message.raw_sha256,
        "duplicate_of": message.duplicate_of.map(|id| id.to_string()),
        "decided": message.decided_at.map(|at| shown::moment(at, ZONE)),
        "flagged": message.flagged_at.map(|at| shown::moment(at, ZONE)),
        "attempts": message.attempts,
        "facts": message.explanation.as_ref().map(|told| shown::facts(&told.facts)).unwrap_or_default(),
        "explanation": message.explanation.as_ref().map(|told| {
            json!({
        "guard": told.guard,
        "ruleset": told.ruleset,
        "rule": told.rule,
        "also": told.also.iter().map(Also::told).collect::<Vec<_>>(),
        "score": told.score,
        "signals": told.signals,
        "rules": told.rules,
        "passed_over": told.passed_over,
        "taken": told.taken,
        "left": told.left,
        "nearest_miss": told.nearest_miss,
    })
        }),
        "message": line(&mut tx, message).await?,
    });
    Ok(page::page(StatusCode::OK, "mail.html", values))
}

/// Our reply to it with what came in answer, or the message whose reply it answers.
async fn reply(tx: &mut Tx, message: &MessageRow) -> Result<Value, PageError> {
    let waits = reply_waits::of_message(tx, message.id).await?.as_ref().map(answered::waits);
    let about = |other: &MessageRow| json!({ "id": other.id.to_string(), "subject": other.subject });
    let told = |answer: &MessageRow| answered::counts(answer).map(str::to_owned);
    let answers: Vec<_> = reply_waits::answers_to(tx, message.id)
        .await?
        .iter()
        .map(|answer| json!({ "message": about(answer), "told": told(answer) }))
        .collect();
    let first = match message.answer_to {
        Some(id) => Some(messages::get(tx, id).await?),
        None => None,
    };
    let first = first.map(|first| json!({ "message": about(&first), "lies": answered::lies(&first) }));
    Ok(json!({ "waits": waits, "answers": answers, "first": first, "told": told(message) }))
}

async fn line(tx: &mut Tx, message: MessageRow) -> Result<Line, PageError> {
    let runs = runs::of_message(tx, message.id, message.run_id).await?.into_iter().map(|run| run.name).collect();
    let tags = tags::of_message(tx, message.id).await?;
    let waits = message.error.map(|error| format!("tried {} times: {error}", message.attempts));
    Ok(Line {
        id: message.id.to_string(),
        mailbox: message.mailbox,
        from: message.from_address,
        subject: message.subject,
        verdict: message.verdict.unwrap_or_else(|| "waiting".into()),
        reason: message.reason.or(waits).unwrap_or_else(|| "not read yet".into()),
        runs,
        received: shown::moment(message.received_at.unwrap_or(message.listed_at), ZONE),
        duplicate: message.duplicate_of.is_some(),
        known_documents: message.documents_of.is_some(),
        disposition: message.disposition,
        tags,
    })
}
