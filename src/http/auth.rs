//! Who may see runs and messages: `admin` with the configured password, or, without one, this machine only.
//! Links need none of this: they are secrets themselves.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::Web;
use super::page;

pub(super) const USER: &str = "admin";

/// Lets a request through to the pages inside, or says what is missing.
pub(super) async fn guard(State(web): State<Arc<Web>>, request: Request, next: Next) -> Response {
    match &web.password {
        Some(password) if knows(request.headers(), password) => next.run(request).await,
        Some(_) => challenge(),
        None if is_of_this_machine(&request) => next.run(request).await,
        None => page::message(
            StatusCode::FORBIDDEN,
            "Only for this machine",
            "Without a password, runs and messages are shown only to a browser on the server itself.",
            "Set web.password in the configuration, restart, and sign in as admin.",
        ),
    }
}

/// HTTP Basic (RFC 7617). Hashes are compared, in constant time, so that not even the length shows.
fn knows(headers: &HeaderMap, password: &SecretString) -> bool {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some((scheme, encoded)) = given.and_then(|given| given.split_once(' ')) else { return false };
    let Ok(given) = BASE64_STANDARD.decode(encoded.trim()) else { return false };
    let wanted = password.expose_secret();
    if !scheme.eq_ignore_ascii_case("basic") || wanted.is_empty() {
        return false;
    }
    let (given, wanted) = (Sha256::digest(given), Sha256::digest(format!("{USER}:{wanted}")));
    verify_slices_are_equal(&given, &wanted).is_ok()
}

fn challenge() -> Response {
    let mut response = page::message(
        StatusCode::UNAUTHORIZED,
        "Please sign in",
        "Runs and messages are shown to the user admin with the password of the configuration (web.password).",
        "Links in mails need no sign-in.",
    );
    let asks = HeaderValue::from_static("Basic realm=\"Countersign\", charset=\"UTF-8\"");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, asks);
    response
}

/// Whether the peer is this machine and speaks for itself. A proxy on this machine forwards strangers; and a page of a
/// stranger may point its own name at 127.0.0.1 (DNS rebinding), which the Host field gives away.
fn is_of_this_machine(request: &Request) -> bool {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let headers = request.headers();
    let forwarded = headers.keys().any(|name| {
        let name = name.as_str();
        name.starts_with("x-forwarded") || matches!(name, "forwarded" | "via" | "x-real-ip")
    });
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    peer.is_some_and(|ConnectInfo(peer)| peer.ip().to_canonical().is_loopback())
        && !forwarded
        && host.is_some_and(is_local_name)
}

/// `localhost:8025`, `127.0.0.1`, `[::1]:8025`
fn is_local_name(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_local() {
        let check = |host: &str, expected: bool| assert_eq!(is_local_name(host), expected, "{host}");
        for host in ["localhost", "LOCALHOST:8025", "127.0.0.1:8025", "127.8.0.1", "[::1]:8025", "[::1]"] {
            check(host, true);
        }
        for host in ["rebound.example:8025", "localhost.evil.example", "10.0.0.1", "", ":8025", "127.0.0.1.evil"] {
            check(host, false);
        }
    }

    #[test]
    fn basic_authentication_takes_admin_and_the_password_and_nothing_else() {
        let check = |value: &str, password: &str, expected: bool| {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())]);
            assert_eq!(knows(&headers, &SecretString::from(password)), expected, "{value}");
        };
        let basic = |text: &str| format!("Basic {}", BASE64_STANDARD.encode(text));
        check(&basic("admin:s3cret"), "s3cret", true);
        check(&basic("admin:s3cret").replace("Basic", "basic"), "s3cret", true);
        check(&basic("admin:s3cret "), "s3cret", false);
        check(&basic("root:s3cret"), "s3cret", false);
        check(&basic("admin:"), "", false);
        check("Bearer s3cret", "s3cret", false);
        check("Basic %%%", "s3cret", false);
    }
}
