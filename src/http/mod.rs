//! Pages and health: server-rendered, readable on a phone, working without JavaScript. No GET decides anything.
//!
//! Owns the routes and what holds for all of them: headers, limits, shutdown. Every page links relatively, so that a
//! proxy may show us under a sub-path, whether it strips the path or not. What an answer does is left to `people`.

mod auth;
mod control;
mod documents;
mod health;
mod link;
mod messages;
mod page;
mod run;
mod runs;
mod shown;
mod stream;
mod workflows;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::get;
use axum::{Router, serve as accept};
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::timeout::TimeoutLayer;

use crate::behaviour::Live;
use crate::engine::Engine;

/// What the pages work with.
pub struct Web {
    pub engine: Arc<Engine>,
    /// Rules, workflows and templates in force, for health.
    pub live: Arc<Live>,
    /// Password of the run pages (user `admin`, HTTP Basic); without it they answer only to this machine.
    pub password: Option<SecretString>,
    /// What links start with; its path is where a proxy shows us.
    pub base_url: Option<String>,
}

/// Longest time for one answer, the reading of the request included.
const PATIENCE: Duration = Duration::from_secs(30);

/// What requests in hand still get after the shutdown was told.
const GRACE: Duration = Duration::from_secs(5);

/// Largest request; the longest comment, percent-encoded, takes less than half of it.
const BODY_BYTES: usize = 64 * 1024;

/// Serves until `shutdown` completes, then ends what is in hand, for five seconds at most.
///
/// # Errors
/// When the listener fails for good.
pub async fn serve(
    listener: TcpListener,
    web: Arc<Web>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let (told, tells) = oneshot::channel();
    let stop = CancellationToken::new();
    let streams_end = stop.clone();
    let shutdown = async move {
        shutdown.await;
        streams_end.cancel();
        // Nobody listens when the server has ended by itself.
        let _ = told.send(());
    };
    let service = router_until(web, stop).into_make_service_with_connect_info::<SocketAddr>();
    let serving = accept(listener, service).with_graceful_shutdown(shutdown);
    let given_up = async {
        if tells.await.is_err() {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        ended = serving => ended,
        () = given_up => Ok(()),
    }
}

/// Every page. Whether a peer is of this machine is known only with connect info, as `serve` gives it.
pub fn router(web: Arc<Web>) -> Router {
    router_until(web, CancellationToken::new())
}

/// As `router`; streams of events end when `stop` is cancelled.
fn router_until(web: Arc<Web>, stop: CancellationToken) -> Router {
    let streams = Router::new()
        .route("/events", get(stream::all))
        .route("/runs/{name}/events", get(stream::of_run))
        .with_state(stream::Streams::new(Arc::clone(&web.engine), stop));
    let inside = Router::new()
        .route("/runs", get(runs::list))
        .route("/runs/{name}", get(run::one))
        .route("/runs/{name}/{action}", get(control::confirm).post(control::perform))
        .route("/messages", get(messages::list))
        .route("/messages/{id}", get(messages::one))
        .route("/workflows/{name}/schema", get(workflows::schema))
        .route("/workflows/{name}/graph", get(workflows::graph))
        .route("/health", get(health::report))
        .merge(streams)
        .route_layer(middleware::from_fn_with_state(Arc::clone(&web), auth::guard));
    let routes = Router::new()
        .route("/healthz", get(health::alive))
        .route("/l/{token}", get(link::show).post(link::decide))
        .route("/l/{token}/documents/{n}", get(documents::one))
        .merge(inside)
        .method_not_allowed_fallback(page::wrong_method)
        .with_state(Arc::clone(&web));
    // Redirects are relative too: `/cs/` leads to `/cs/runs` by `runs`, and `/cs` by `cs/runs`.
    let home = |to: String| get(async move || page::see_other(&to));
    let router = match web.base_url.as_deref().and_then(base_path) {
        Some(path) => {
            let last = path.rsplit('/').next().unwrap_or_default();
            let below = routes.clone().route("/", home(format!("{last}/runs")));
            routes.nest(path, below).route(&format!("{path}/"), home("runs".into()))
        }
        None => routes,
    };
    router
        .route("/", home("runs".into()))
        .fallback(page::no_such_page)
        .layer(RequestBodyLimitLayer::new(BODY_BYTES))
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, PATIENCE))
        .layer(CatchPanicLayer::custom(page::after_panic))
        .layer(middleware::from_fn(harden))
}

/// The path of `https://ap.acme.example/cs`, for proxies that pass it on; none when there is none, or when it would not
/// be plain to a router.
fn base_path(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let path = rest[rest.find('/')?..].trim_end_matches('/');
    let plain = |c: char| c.is_ascii_alphanumeric() || "/-_.~".contains(c);
    (!path.is_empty() && path.chars().all(plain) && !path.contains("//")).then_some(path)
}

/// What every response says, whatever made it. A page may bring a stricter policy of its own.
async fn harden(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("x-robots-tag"), "noindex, nofollow"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert_with(page::policy);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_the_base_url_is_where_a_proxy_may_show_us() {
        let check = |url: &str, expected: Option<&str>| assert_eq!(base_path(url), expected, "{url}");
        check("https://ap.acme.example", None);
        check("https://ap.acme.example/", None);
        check("https://ap.acme.example/cs", Some("/cs"));
        check("https://ap.acme.example/a/b/", Some("/a/b"));
        check("https://ap.acme.example/{x}", None);
        check("nonsense", None);
    }
}
