//! The HTTP client of one receiver, and its troubles in words. Addresses may hold secrets: no word repeats one.

use std::error::Error as _;
use std::path::Path;

use anyhow::{Context as _, anyhow};
use reqwest::{Client, RequestBuilder, StatusCode, Url, redirect};

use super::Trouble;
use crate::config::oauth::is_loopback;
use crate::domain::duration::Span;
use crate::mailbox::client_config;

/// No redirects, which would carry events elsewhere; no proxy to this machine.
pub(super) fn client(url: &str, ca_file: Option<&Path>, timeout: Span) -> anyhow::Result<Client> {
    let url = Url::parse(url).context("read the address")?;
    let is_local = url.host_str().is_some_and(is_loopback);
    let builder = Client::builder()
        .tls_backend_preconfigured(client_config(ca_file).map_err(|why| anyhow!(why))?)
        .redirect(redirect::Policy::none())
        .https_only(!is_local)
        .timeout(std::time::Duration::from_secs(u64::from(timeout.secs)))
        .user_agent(concat!("countersign/", env!("CARGO_PKG_VERSION")))
        .referer(false);
    let builder = if is_local { builder.no_proxy() } else { builder };
    builder.build().context("make the HTTP client")
}

/// Sends once. Only an answer of success counts as taken (RFC 9110, 15.3).
pub(super) async fn send(request: RequestBuilder) -> Result<(), Trouble> {
    let answer = request.send().await.map_err(|error| Trouble { why: words(error), refused: false })?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let refused = matches!(
        status,
        StatusCode::BAD_REQUEST
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNSUPPORTED_MEDIA_TYPE
            | StatusCode::UNPROCESSABLE_ENTITY
    );
    Err(Trouble { why: format!("it answers {status}"), refused })
}

fn words(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
