//! Templates into responses, and the pages that say why there is no page.
//!
//! Values come from mails of strangers: everything is escaped, and marks that turn text around are dropped.

use std::any::Any;
use std::sync::LazyLock;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, Error, Output, State, UndefinedBehavior, Value};
use serde::Serialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use tracing::{error, warn};

use crate::engine::EngineError;
use crate::notify::compose::turns_text;
use crate::store::StoreError;

const STYLE: &str = include_str!("pages/style.css");

const SCRIPT: &str = include_str!("pages/live.js");

const TEMPLATES: [(&str, &str); 10] = [
    ("layout.html", include_str!("pages/layout.html")),
    ("parts.html", include_str!("pages/parts.html")),
    ("link.html", include_str!("pages/link.html")),
    ("over.html", include_str!("pages/over.html")),
    ("message.html", include_str!("pages/message.html")),
    ("runs.html", include_str!("pages/runs.html")),
    ("control.html", include_str!("pages/control.html")),
    ("run.html", include_str!("pages/run.html")),
    ("mails.html", include_str!("pages/mails.html")),
    ("mail.html", include_str!("pages/mail.html")),
];

static PAGES: LazyLock<Result<Environment<'static>, Error>> = LazyLock::new(|| {
    let mut pages = Environment::new();
    pages.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    pages.set_formatter(write);
    pages.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    pages.add_global("style", Value::from_safe_string(STYLE.to_owned()));
    pages.add_global("script", Value::from_safe_string(SCRIPT.to_owned()));
    for (name, source) in TEMPLATES {
        pages.add_template(name, source)?;
    }
    Ok(pages)
});

/// No scripts but on a page that follows its run (`following`); the one style is ours, by its hash.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let style = BASE64_STANDARD.encode(Sha256::digest(STYLE.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{style}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    )
});

/// Why a page cannot be shown.
#[derive(Debug, thiserror::Error)]
pub(super) enum PageError {
    #[error("no {0}")]
    NotFound(&'static str),
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl From<StoreError> for PageError {
    fn from(error: StoreError) -> Self {
        Self::Engine(error.into())
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        match self {
            Self::NotFound(what) => message(
                StatusCode::NOT_FOUND,
                "Not found",
                &format!("There is no such {what}."),
                "The address may be mistyped or cut short.",
            ),
            Self::Engine(trouble) if trouble.is_transient() => {
                warn!("a page could not be shown for now: {trouble}");
                let mut response = away();
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("30"));
                response
            }
            Self::Engine(trouble) => {
                error!("a page could not be shown: {trouble}");
                broken()
            }
        }
    }
}

/// The policy of every page that brings none.
pub(super) fn policy() -> HeaderValue {
    HeaderValue::from_str(&POLICY).unwrap_or(HeaderValue::from_static("default-src 'none'"))
}

/// Lets a page run our one script, by its hash, so that it follows what happens: it fetches from here only.
pub(super) fn following(mut page: Response) -> Response {
    let script = BASE64_STANDARD.encode(Sha256::digest(SCRIPT.as_bytes()));
    let policy = format!("{}; script-src 'sha256-{script}'; connect-src 'self'", *POLICY);
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        page.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    page
}

/// A page from a template.
pub(super) fn page(status: StatusCode, template: &str, values: impl Serialize) -> Response {
    let rendered = PAGES
        .as_ref()
        .map_err(ToString::to_string)
        .and_then(|pages| pages.get_template(template).map_err(|error| error.to_string()))
        .and_then(|page| page.render(Value::from(Serde(values))).map_err(|error| format!("{error:#}")));
    match rendered {
        Ok(html) => html_response(status, html),
        Err(why) => {
            error!("page {template} cannot be made: {why}");
            html_response(StatusCode::INTERNAL_SERVER_ERROR, BROKEN.to_owned())
        }
    }
}

/// A short page: what is the matter, and what to do about it.
pub(super) fn message(status: StatusCode, title: &str, what: &str, mend: &str) -> Response {
    page(status, "message.html", json!({ "title": title, "what": what, "mend": mend }))
}

/// 303: look there with GET (RFC 9110, 15.4.4). `to` is relative and plain.
pub(super) fn see_other(to: &str) -> Response {
    match HeaderValue::from_str(to) {
        Ok(to) => (StatusCode::SEE_OTHER, [(header::LOCATION, to)]).into_response(),
        Err(_) => broken(),
    }
}

pub(super) async fn no_such_page() -> Response {
    PageError::NotFound("page").into_response()
}

pub(super) async fn wrong_method() -> Response {
    message(StatusCode::METHOD_NOT_ALLOWED, "Not possible", "This address cannot do that.", "Open it in a browser.")
}

pub(super) fn away() -> Response {
    message(
        StatusCode::SERVICE_UNAVAILABLE,
        "Not available right now",
        "A part of this service is being restarted or is out of reach. Nothing was changed.",
        "Please try again in a minute.",
    )
}

/// What a panic leaves to be seen. What it said may hold data of others, so only that it was is logged here.
pub(super) fn after_panic(_: Box<dyn Any + Send + 'static>) -> Response {
    error!("a page panicked");
    broken()
}

fn broken() -> Response {
    message(
        StatusCode::INTERNAL_SERVER_ERROR,
        "Something went wrong",
        "The page could not be made. That is our mistake.",
        "Please try again; if it stays, tell whoever runs this service.",
    )
}

const BROKEN: &str = "<!doctype html><title>Something went wrong</title><p>The page could not be made.</p>";

fn html_response(status: StatusCode, html: String) -> Response {
    let kind = HeaderValue::from_static("text/html; charset=utf-8");
    (status, [(header::CONTENT_TYPE, kind)], Body::from(html)).into_response()
}

/// Writes `{{ value }}` escaped; none is nothing. Slashes stay: every value stands in text or in quotes.
fn write(output: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    if value.is_none() {
        return Ok(());
    }
    let Some(text) = value.as_str().filter(|_| !value.is_safe()) else {
        return minijinja::escape_formatter(output, state, value);
    };
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars().filter(|&c| !turns_text(c)) {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    output.write_str(&escaped).map_err(Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_parses_and_strangers_text_is_made_harmless() {
        let pages = PAGES.as_ref().unwrap();
        let page = pages.get_template("message.html").unwrap();
        let html = page.render(Serde(json!({ "title": "<b>&\u{202e}x", "what": "\"'", "mend": "m" }))).unwrap();
        assert!(html.contains("&lt;b&gt;&amp;x") && !html.contains("<b>") && html.contains("&quot;"), "{html}");
    }
}
