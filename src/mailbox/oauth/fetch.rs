//! One request to a token endpoint (RFC 6749, 4.4 and 6), and its answer or error in words. What is kept is `super`'s matter.

use std::error::Error as _;
use std::time::Duration;

use chrono::TimeDelta;
use reqwest::{Client, Response, StatusCode, Url, redirect};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

use crate::config::oauth::{Grant, OAuth, is_loopback};
use crate::config::secret::SecretError;
use crate::mailbox::connect::client_config;
use crate::mailbox::login::without;
use crate::mailbox::wire::tidy;

/// Longest wait for the whole answer.
const DEADLINE: Duration = Duration::from_secs(15);
/// Largest answer taken; tokens have one to four kilobytes.
const ANSWER_BYTES: usize = 64 << 10;
/// The life of a token whose server does not tell it, in seconds; and what is believed at most (ten years).
const LIFE_SECS: (i64, i64) = (3600, 315_360_000);

/// Why there is no token. Texts name the endpoint and the server's words, never a secret.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TokenError {
    #[error("a secret that is not there: {0}")]
    Secret(#[from] SecretError),
    #[error("a token from {endpoint}: {why}")]
    Unreachable { endpoint: String, why: String },
    #[error("a token from {endpoint}: refused: {code}{}", described(description))]
    Refused { endpoint: String, code: String, description: String, passes: bool },
    #[error("a token from {endpoint}: {why}")]
    Answer { endpoint: String, why: String, passes: bool },
    #[error("a token: {0}")]
    Config(String),
}

impl TokenError {
    /// Whether the same request may succeed later without anybody's doing.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Secret(error) => error.is_transient(),
            Self::Unreachable { .. } => true,
            Self::Refused { passes, .. } | Self::Answer { passes, .. } => *passes,
            Self::Config(_) => false,
        }
    }

    /// Whether the grant itself is void (RFC 6749, 5.2).
    pub(super) fn voids_the_grant(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if code == "invalid_grant")
    }

    /// What somebody has to do.
    pub fn mend(&self) -> &'static str {
        match self {
            Self::Secret(_) => "put the secret where the reference points",
            Self::Refused { code, .. } => match code.as_str() {
                "invalid_grant" => {
                    "let the mailbox's owner consent again, and put the new refresh token where `refresh_token` points"
                }
                "invalid_client" | "unauthorized_client" => {
                    "see whether the client's secret has expired, and put a new one where `client_secret` points"
                }
                "invalid_scope" => "correct `scope`",
                _ => "ask whoever runs the token endpoint what it dislikes",
            },
            Self::Unreachable { .. } => "see that this machine reaches the token endpoint, and that it is up",
            Self::Answer { passes: true, .. } => "wait for the token endpoint to recover, or ask whoever runs it",
            Self::Answer { .. } | Self::Config(_) => "correct `token_url`",
        }
    }
}

fn described(description: &str) -> String {
    if description.is_empty() { String::new() } else { format!(": {description}") }
}

/// What a server grants.
#[derive(Debug)]
pub(super) struct Granted {
    pub token: SecretString,
    pub life: TimeDelta,
    /// A refresh token that replaces ours.
    pub rotated: Option<SecretString>,
}

/// A client for one token endpoint: no redirects, which would carry the secret elsewhere; no proxy to this machine.
pub(super) async fn client(oauth: &OAuth) -> Result<(Client, Url), TokenError> {
    let url = oauth.endpoint().map_err(|why| TokenError::Config(format!("token_url: {why}")))?;
    let ca_file = oauth.ca_file.clone();
    let tls = tokio::task::spawn_blocking(move || client_config(ca_file.as_deref()))
        .await
        .map_err(|_| TokenError::Config("reading the certificate authorities failed".to_owned()))?
        .map_err(TokenError::Config)?;
    let is_local = url.host_str().is_some_and(is_loopback);
    let builder = Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(redirect::Policy::none())
        .https_only(!is_local)
        .timeout(DEADLINE)
        .referer(false);
    let builder = if is_local { builder.no_proxy() } else { builder };
    let client = builder.build().map_err(|error| TokenError::Config(error_chain(&error)))?;
    Ok((client, url))
}

/// Asks once. `refresh` is the refresh token, where the grant wants one. Cancelling is safe, but for a refresh token that the
/// server replaced meanwhile.
pub(super) async fn fetch(
    client: &Client,
    url: &Url,
    oauth: &OAuth,
    secret: Option<&SecretString>,
    refresh: Option<&SecretString>,
) -> Result<Granted, TokenError> {
    let endpoint = format!("{}{}", url.origin().ascii_serialization(), url.path());
    let mut form = vec![("client_id", oauth.client_id.as_str())];
    form.push(match oauth.grant() {
        Grant::ClientCredentials => ("grant_type", "client_credentials"),
        Grant::RefreshToken => ("grant_type", "refresh_token"),
    });
    form.extend(secret.map(|secret| ("client_secret", secret.expose_secret())));
    form.extend(refresh.map(|refresh| ("refresh_token", refresh.expose_secret())));
    form.extend(oauth.scope.as_deref().map(|scope| ("scope", scope)));
    let unreachable = |why: String| TokenError::Unreachable { endpoint: endpoint.clone(), why };
    let request = client.post(url.clone()).header("accept", "application/json").form(&form);
    let answer = request.send().await.map_err(|error| unreachable(error_chain(&error.without_url())))?;
    let status = answer.status();
    let passes = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
    let odd = |why: String| TokenError::Answer { endpoint: endpoint.clone(), why, passes };
    let body = match bounded(answer).await {
        Ok(Some(body)) => body,
        Ok(None) => return Err(odd(format!("it answered {status} with more than {ANSWER_BYTES} bytes"))),
        Err(error) => return Err(unreachable(error_chain(&error.without_url()))),
    };
    let Ok(Value::Object(told)) = serde_json::from_slice(&body) else {
        return Err(odd(format!("it answered {status} without JSON")));
    };
    if let Some(code) = told.get("error").and_then(Value::as_str) {
        let secrets: Vec<&SecretString> = secret.into_iter().chain(refresh).collect();
        // Cleaned before it is cut short, so that no piece of a secret is left at the cut.
        let clean = |text: &str| tidy(&without(text, &secrets));
        let description = told.get("error_description").and_then(Value::as_str).unwrap_or_default();
        let passes = passes || matches!(code, "temporarily_unavailable" | "server_error");
        return Err(TokenError::Refused { endpoint, code: clean(code), description: clean(description), passes });
    }
    if !status.is_success() {
        return Err(odd(format!("it answered {status}")));
    }
    granted(&told).map_err(odd)
}

async fn bounded(mut answer: Response) -> reqwest::Result<Option<Vec<u8>>> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        if body.len() + chunk.len() > ANSWER_BYTES {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

/// A successful answer (RFC 6749, 5.1).
fn granted(told: &Map<String, Value>) -> Result<Granted, String> {
    let text = |key: &str| told.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let token = text("access_token").ok_or("its answer holds no access_token")?;
    // Whatever else it held would become part of the login (RFC 6750, 2.1).
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("its access_token holds characters that no token has".to_owned());
    }
    if let Some(kind) = text("token_type").filter(|kind| !kind.eq_ignore_ascii_case("bearer")) {
        return Err(format!("its token is of type {}, not Bearer", tidy(kind)));
    }
    let (usual, most) = LIFE_SECS;
    let secs = match told.get("expires_in") {
        None | Some(Value::Null) => usual,
        // Some servers write the number as text.
        Some(Value::String(text)) => text.parse().map_err(|_| "its expires_in is no number")?,
        Some(Value::Number(number)) => {
            number.as_i64().or_else(|| number.as_f64().map(|secs| secs as i64)).ok_or("its expires_in is no number")?
        }
        Some(_) => return Err("its expires_in is no number".to_owned()),
    };
    if secs <= 0 {
        return Err("its token has expired already".to_owned());
    }
    let rotated = text("refresh_token").map(SecretString::from);
    Ok(Granted { token: SecretString::from(token), life: TimeDelta::seconds(secs.min(most)), rotated })
}

/// An error with what is beneath it; the outermost says only that something failed.
fn error_chain(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("no answer within {} s", DEADLINE.as_secs());
    }
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(beneath) = source {
        let text = beneath.to_string();
        if !words.contains(&text) {
            words.push_str(": ");
            words.push_str(&text);
        }
        source = beneath.source();
    }
    tidy(&words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(answer: &str, expected: Result<(&str, i64, Option<&str>), &str>) {
        let Ok(Value::Object(told)) = serde_json::from_str(answer) else { panic!("{answer}") };
        let got = granted(&told);
        let got = got.as_ref().map(|granted| {
            let rotated = granted.rotated.as_ref().map(|rotated| rotated.expose_secret());
            (granted.token.expose_secret(), granted.life.num_seconds(), rotated)
        });
        assert_eq!(got.map_err(String::as_str), expected, "{answer}");
    }

    #[test]
    fn an_answer_is_a_token_with_its_life_or_an_error_that_does_not_quote_it() {
        check(r#"{"access_token": "a.b-c~1", "token_type": "bearer", "expires_in": 60}"#, Ok(("a.b-c~1", 60, None)));
        check(r#"{"access_token": "t", "expires_in": "60", "refresh_token": "r"}"#, Ok(("t", 60, Some("r"))));
        check(r#"{"access_token": "t"}"#, Ok(("t", 3600, None)));
        check(r#"{"access_token": "t", "expires_in": 99999999999999}"#, Ok(("t", 315_360_000, None)));
        check(r#"{"access_token": "t", "expires_in": 1e300}"#, Ok(("t", 315_360_000, None)));
        check(r#"{"access_token": "t", "expires_in": 0}"#, Err("its token has expired already"));
        check(r#"{"access_token": "t", "expires_in": "soon"}"#, Err("its expires_in is no number"));
        check(r#"{"access_token": "t", "token_type": "mac"}"#, Err("its token is of type mac, not Bearer"));
        check(r#"{"access_token": ""}"#, Err("its answer holds no access_token"));
        check(r#"{"access_token": 7}"#, Err("its answer holds no access_token"));
        check(r#"{"access_token": "t\u0001"}"#, Err("its access_token holds characters that no token has"));
        check(r#"{"access_token": "t auth=x"}"#, Err("its access_token holds characters that no token has"));
    }
}
