//! The page behind a link of a mail: what is asked, and the form that answers it. Looking, by GET or HEAD, changes
//! nothing; only the form's POST decides. The token in the address is the secret; it is never logged or shown elsewhere.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Form;
use axum::extract::rejection::FormRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Web;
use super::page::{self, PageError};
use super::shown;
use crate::domain::wait::{Choice, WaitKind};
use crate::engine::decide::Decided;
use crate::people::link::{self, LinkState, LinkView, Posted};

/// Longest comment, in characters.
const COMMENT_CHARS: usize = 2_000;

/// What the form posts.
#[derive(Deserialize)]
pub(super) struct Fields {
    choice: Option<String>,
    comment: Option<String>,
}

/// GET: the question, or what became of it.
pub(super) async fn show(State(web): State<Arc<Web>>, Path(token): Path<String>) -> Result<Response, PageError> {
    Ok(match look(&web, &token).await? {
        Some(view) => shown_page(&token, &view),
        None => unknown(),
    })
}

/// POST: the answer. It ends with a redirect to the receipt, so that a reload repeats nothing.
pub(super) async fn decide(
    State(web): State<Arc<Web>>,
    Path(token): Path<String>,
    headers: HeaderMap,
    form: Result<Form<Fields>, FormRejection>,
) -> Result<Response, PageError> {
    if headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site") {
        return Ok(page::message(
            StatusCode::FORBIDDEN,
            "Not counted",
            "This answer was sent by a page of somebody else. Nothing was decided.",
            "Open the link in your mail and answer there.",
        ));
    }
    let Some(view) = look(&web, &token).await? else { return Ok(unknown()) };
    let (choice, comment) = match read(&view, form) {
        Ok(answer) => answer,
        Err(Refused { status, what, mend }) => return Ok(page::message(status, "Not counted", &what, mend)),
    };
    match link::answer(&web.engine, &token, choice, comment).await? {
        Posted::Unknown => Ok(unknown()),
        Posted::Decided(Decided::Now | Decided::Repeated(_) | Decided::Late(_)) => Ok(page::see_other(&token)),
        Posted::Decided(Decided::Over(_)) | Posted::Dead => show(State(web), Path(token)).await,
    }
}

/// The page behind a token; none for what cannot be one.
pub(super) async fn look(web: &Web, token: &str) -> Result<Option<LinkView>, PageError> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if token.len() != 43 || !token.bytes().all(plain) {
        return Ok(None);
    }
    Ok(link::look(&web.engine, token).await?)
}

pub(super) fn unknown() -> Response {
    page::message(
        StatusCode::NOT_FOUND,
        "This link is not known here",
        "It may have been cut short on its way.",
        "Open it again from the mail, or copy the whole address. You can also answer the mail itself.",
    )
}

/// What a link shows that can no longer answer and that nobody answered.
pub(super) fn over(view: &LinkView, why: &str) -> Response {
    let (run, customer, question) = (&view.run, &view.customer, &view.question);
    page::page(
        StatusCode::GONE,
        "over.html",
        json!({ "run": run, "customer": customer, "question": question, "why": why }),
    )
}

struct Refused {
    status: StatusCode,
    what: String,
    mend: &'static str,
}

fn read(view: &LinkView, form: Result<Form<Fields>, FormRejection>) -> Result<(Choice, Option<String>), Refused> {
    let bad = |what: &str, mend| Refused { status: StatusCode::BAD_REQUEST, what: what.to_owned(), mend };
    const BACK: &str = "Nothing was decided. Go back, and use one of the buttons.";
    let Form(fields) = form.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Refused {
            status: StatusCode::PAYLOAD_TOO_LARGE,
            what: "Your answer is too long.".into(),
            mend: "Nothing was decided. Go back, and shorten the comment.",
        },
        _ => bad("The form could not be read.", BACK),
    })?;
    if view.kind != WaitKind::Approval {
        return Err(bad("There is nothing to decide here.", "Please answer our mail and attach what is missing."));
    }
    let choice = match fields.choice.as_deref() {
        Some("approve") => Choice::Approve,
        Some("reject") => Choice::Reject,
        _ => return Err(bad("It says neither approve nor reject.", BACK)),
    };
    let comment = fields.comment.unwrap_or_default().replace("\r\n", "\n").trim().to_owned();
    if comment.chars().count() > COMMENT_CHARS {
        let what = format!("The comment is longer than {COMMENT_CHARS} characters.");
        return Err(bad(&what, "Nothing was decided. Go back, and shorten it."));
    }
    Ok((choice, Some(comment).filter(|comment| !comment.is_empty())))
}

fn shown_page(token: &str, view: &LinkView) -> Response {
    let receipt = match &view.state {
        LinkState::Open => None,
        LinkState::Over(why) => return over(view, why),
        LinkState::Answered { by, choice, comment, at, mine } => {
            let at = at.map(|at| shown::moment(at, view.zone));
            Some(json!({ "by": by, "choice": choice, "did": did(*choice), "comment": comment, "at": at, "mine": mine }))
        }
    };
    let own = |key: &str| view.shown.get(key).map(shown::text).unwrap_or_default();
    let others: Vec<String> = view.asked.iter().filter(|asked| **asked != view.person).cloned().collect();
    let documents: Vec<_> = view.documents.iter().map(|document| &document.name).collect();
    let values = json!({
        "token": token,
        "receipt": receipt,
        "documents": documents,
        "decides": view.kind == WaitKind::Approval,
        "run": view.run,
        "customer": view.customer,
        "person": view.person,
        "question": view.question,
        "others": shown::list(&others),
        "facts": texts(view, "facts", ["label", "value"]),
        "checks": texts(view, "checks", ["label", "ok", "text"]),
        "missing": view.shown.get("missing").and_then(Value::as_array).map(|all| all.iter().map(shown::text).collect::<Vec<_>>()),
        "note": own("note"),
        "due": own("due"),
        "comment_chars": COMMENT_CHARS,
    });
    page::page(StatusCode::OK, "link.html", values)
}

/// The texts of an array of objects, by these keys; what is missing is empty.
fn texts<const N: usize>(view: &LinkView, list: &str, keys: [&str; N]) -> Vec<BTreeMap<String, String>> {
    let rows = view.shown.get(list).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let text = |row: &Value, key: &str| row.get(key).map(shown::text).unwrap_or_default();
    rows.iter().map(|row| keys.iter().map(|key| ((*key).to_owned(), text(row, key))).collect()).collect()
}

fn did(choice: Choice) -> &'static str {
    match choice {
        Choice::Approve => "Approved",
        Choice::Reject => "Rejected",
        Choice::Supply => "Received",
        Choice::Proceed => "Continued",
    }
}
