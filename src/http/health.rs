//! Health: `/healthz` says that the process answers, `/health` how everything it depends on is.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::Web;
use crate::behaviour::Live;
use crate::domain::notice::NoticeStatus;
use crate::store::{Store, StoreError, holds, mailboxes, notices};

/// Longest wait for the database or the store; then it counts as away.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn alive() -> &'static str {
    "ok\n"
}

/// 200, or 503 when the database or the store is away. An unhealthy or a held mailbox, and files that are
/// refused, are `degraded`: the rest works.
pub(super) async fn report(State(web): State<Arc<Web>>) -> Response {
    let engine = &web.engine;
    let (store, database) = tokio::join!(
        within(engine.blob.check()),
        within(async {
            engine.store.check().await?;
            state(&engine.store).await
        })
    );
    let (database, state) = match database {
        Ok(state) => (json!({"ok": true}), Some(state)),
        Err(why) => (json!({"ok": false, "error": why}), None),
    };
    let place = engine.blob.describe();
    let store = match store {
        Ok(()) => json!({"ok": true, "place": place}),
        Err(why) => json!({"ok": false, "place": place, "error": why}),
    };
    let up = database["ok"] == true && store["ok"] == true;
    let behaviour = behaviour(&web.live);
    let well = state.as_ref().is_some_and(|state| state.well) && behaviour["ok"] == true;
    let status = match (up, well) {
        (false, _) => "down",
        (true, false) => "degraded",
        (true, true) => "ok",
    };
    let (mailboxes, notices) = state.map(|state| (state.mailboxes, state.notices)).unwrap_or_default();
    let report = json!({
        "status": status,
        "at": engine.clock.now(),
        "database": database,
        "store": store,
        "behaviour": behaviour,
        "mailboxes": mailboxes,
        "notices": notices,
    });
    let code = if up { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(report)).into_response()
}

/// Which rules are in force, and what is wrong with the files if they say something else.
fn behaviour(live: &Live) -> Value {
    let current = live.current();
    let ruleset = current.rules.hash();
    let Some((since, refused)) = live.refused() else { return json!({"ok": true, "ruleset": ruleset}) };
    let refused = json!({"since": since, "why": refused.summaries(), "mend": "countersign check"});
    json!({"ok": false, "ruleset": ruleset, "refused": refused})
}

#[derive(Default)]
struct Situation {
    mailboxes: Value,
    notices: Value,
    well: bool,
}

async fn state(store: &Store) -> Result<Situation, StoreError> {
    let mut tx = store.read().await?;
    let rows = mailboxes::all(&mut tx).await?;
    let mut count = async |status| notices::count_of(&mut tx, status).await;
    let (pending, sending) = (count(NoticeStatus::Pending).await?, count(NoticeStatus::Sending).await?);
    let failed = count(NoticeStatus::Failed).await?;
    let waiting = holds::waiting(&mut tx).await?;
    let mailbox = |row: &mailboxes::MailboxRow| {
        let waiting = waiting.iter().find(|waiting| waiting.mailbox == row.name).map_or(0, |waiting| waiting.count);
        let held = row.held_since.map(|since| {
            let mend = format!("countersign mailbox resume {}", row.name);
            json!({"since": since, "by": row.held_by, "reason": row.held_reason, "mend": mend})
        });
        json!({
            "name": row.name, "customer": row.customer, "health": row.condition(), "failures": row.failures,
            "last_error": row.last_error, "last_poll_at": row.last_poll_at, "next_poll_at": row.next_poll_at,
            "waiting": waiting, "held": held,
        })
    };
    Ok(Situation {
        well: rows.iter().all(|row| row.health != "unhealthy" && row.held_since.is_none()),
        mailboxes: rows.iter().map(mailbox).collect(),
        notices: json!({"unsent": pending + sending, "failed": failed}),
    })
}

async fn within<T, E: ToString>(answer: impl Future<Output = Result<T, E>>) -> Result<T, String> {
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}
