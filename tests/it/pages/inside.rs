//! The pages for those who run the service: runs, messages, health; who may see them, and what every response carries.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use countersign::domain::also::Deed;
use countersign::domain::clock::Clock;
use countersign::domain::ids::{Delivery, MessageId};
use countersign::domain::message::Message;
use countersign::domain::person::Address;
use countersign::domain::verdict::{Decision, Verdict};
use countersign::http::{Web, router, serve};
use countersign::store::{mailboxes, messages, tags};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower::ServiceExt;

use super::world::{World, contains};

#[tokio::test]
async fn every_response_carries_the_security_headers() {
    let world = World::start().await;
    let run = world.ask_approval(json!({})).await;
    let token = &world.tokens(run).await[0];
    for path in ["/", "/runs", "/messages", "/health", "/healthz", "/nothing", "/l/x", &format!("/l/{token}")] {
        let answer = world.get(path).await;
        let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let is = |name: &str, value: &str| assert_eq!(header(name).as_deref(), Some(value), "{path}");
        is("referrer-policy", "no-referrer");
        is("cache-control", "no-store");
        is("x-content-type-options", "nosniff");
        let policy = header("content-security-policy").unwrap();
        contains(&policy, &["default-src 'none'", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"]);
    }
}

#[tokio::test]
async fn runs_and_messages_need_the_password_and_links_do_not() {
    let world = World::with(Some("s3cret"), None).await;
    let run = world.ask_approval(json!({})).await;
    let token = &world.tokens(run).await[0];
    for path in ["/runs", "/runs/AP-000001", "/runs/AP-9", "/messages", "/messages/x", "/health"] {
        let answer = world.get(path).await;
        assert_eq!(answer.status(), 401, "{path}");
        assert!(answer.headers()["www-authenticate"].to_str().unwrap().starts_with("Basic "));
        assert!(!answer.text().await.unwrap().contains("AP-0"));
    }
    let signed_in = |user: &str, password: &str| {
        world.http.get(format!("{}/runs", world.url)).basic_auth(user, Some(password)).send()
    };
    assert_eq!(signed_in("admin", "wrong").await.unwrap().status(), 401);
    assert_eq!(signed_in("olivia", "s3cret").await.unwrap().status(), 401);
    contains(&signed_in("admin", "s3cret").await.unwrap().text().await.unwrap(), &["AP-000001"]);
    world.page(&format!("/l/{token}"), 200).await;
    assert_eq!(world.page("/healthz", 200).await, "ok\n");
}

#[tokio::test]
async fn without_a_password_only_this_machine_sees_runs() {
    let world = World::start().await;
    let run = world.ask_approval(json!({})).await;
    let token = &world.tokens(run).await[0];
    world.page("/runs", 200).await;
    for (name, value) in [
        ("x-forwarded-for", "10.0.0.1"),
        ("forwarded", "for=10.0.0.1"),
        ("x-forwarded-host", "a.example"),
        ("host", "rebound.example"),
    ] {
        let answer = world.http.get(format!("{}/runs", world.url)).header(name, value).send().await.unwrap();
        assert_eq!(answer.status(), 403, "{name}");
        contains(&answer.text().await.unwrap(), &["web.password"]);
    }
    let web = Web { engine: Arc::clone(&world.engine), password: None, base_url: None, live: Arc::clone(&world.live) };
    let router = router(Arc::new(web));
    let status = async |peer: Option<&str>, path: &str| {
        let mut request = Request::get(path).header("host", "127.0.0.1").body(Body::empty()).unwrap();
        if let Some(peer) = peer {
            request.extensions_mut().insert(ConnectInfo(peer.parse::<SocketAddr>().unwrap()));
        }
        router.clone().oneshot(request).await.unwrap().status().as_u16()
    };
    assert_eq!(status(Some("[::ffff:127.0.0.1]:5"), "/runs").await, 200);
    assert_eq!(status(Some("10.0.0.1:5"), "/runs").await, 403);
    assert_eq!(status(Some("10.0.0.1:5"), "/messages").await, 403);
    assert_eq!(status(None, "/runs").await, 403);
    assert_eq!(status(Some("10.0.0.1:5"), &format!("/l/{token}")).await, 200);
}

#[tokio::test]
async fn pages_work_under_the_path_of_a_proxy_whether_it_strips_it_or_not() {
    let world = World::with(None, Some("https://ap.acme.example/a/cs")).await;
    let run = world.ask_approval(json!({})).await;
    let token = &world.tokens(run).await[0];
    let location = async |path: &str| world.get(path).await.headers()["location"].to_str().unwrap().to_owned();
    assert_eq!([location("/").await, location("/a/cs").await, location("/a/cs/").await], ["runs", "cs/runs", "runs"]);
    for path in ["", "/a/cs"] {
        let page = world.page(&format!("{path}/l/{token}"), 200).await;
        contains(&page, &[&format!("href=\"{token}/documents/1\""), "<form method=\"post\">"]);
        contains(&world.page(&format!("{path}/runs"), 200).await, &["href=\"runs/AP-000001\""]);
        contains(&world.page(&format!("{path}/runs/AP-000001"), 200).await, &["href=\"../messages\""]);
    }
    let answer = world.post(&format!("/a/cs/l/{token}"), &[("choice", "approve")]).await;
    assert_eq!(answer.headers()["location"].to_str().unwrap(), token);
}

#[tokio::test]
async fn the_run_pages_say_what_is_waited_for_and_what_comes_next() {
    let world = World::start().await;
    world
        .ask_approval(
            json!({"approvers": ["olivia"], "fallback": ["frank"], "escalate_after": "4d", "escalate": "replace"}),
        )
        .await;
    let failed = world.ask("approval", json!({"question": "q", "approvers": ["nobody"]})).await;
    assert_eq!(world.state(failed).await.2, []);
    let list = world.page("/runs", 200).await;
    contains(&list, &["AP-000001", "AP-000002", "Nordwind Papier GmbH", "Invoice &lt;4711&gt;", "Olivia Okafor"]);
    assert!(list.find("AP-000002") < list.find("AP-000001"), "newest first");
    let waiting = world.page("/runs?status=waiting", 200).await;
    assert!(waiting.contains("AP-000001") && !waiting.contains("AP-000002"));
    contains(&world.page("/runs?status=completed", 200).await, &["No run is completed"]);
    world.page("/runs?status=nonsense", 400).await;

    let page = world.page("/runs/ap-000001", 200).await;
    contains(&page, &["Waiting for <strong>Olivia Okafor</strong>", "a reminder to whoever is asked then"]);
    contains(&page, &["Frank Feld is asked instead", "Fri 6 Mar 2026, 10:00 CET", "the step fails: approval_expired"]);
    contains(&page, &["not-started", "wait opened", "olivia@acme.example", "Supplier invoice"]);
    contains(&world.page("/runs/AP-000002", 200).await, &["nobody to ask", "badge failed"]);
    contains(&world.page("/runs/AP-000009", 404).await, &["There is no such run"]);
}

/// Where a message of the tests was found.
fn delivery(uid: &str) -> Delivery {
    Delivery { mailbox: "ap-eu".into(), uid_validity: 7, uid: uid.into() }
}

fn first_message() -> MessageId {
    delivery("1").message_id()
}

/// One message that a guard ignored, and one that has no verdict yet.
async fn seed_messages(world: &World) {
    let now = world.clock.now();
    let mut tx = world.engine.store.begin().await.unwrap();
    for uid in ["1", "2"] {
        assert!(messages::record_listed(&mut tx, "acme", &delivery(uid), None, 4_321, now).await.unwrap());
    }
    let message =
        Message { subject: "Sale <now>".into(), from: vec![Address::new("a@b.example")], ..Message::default() };
    let mut decision = Decision::by_guard("loop", Verdict::Ignore, "it is our own mail");
    decision.explanation.rules =
        serde_json::from_value(json!([{"rule": "newsletters", "at": "rules/10.toml:4", "matched": false,
        "conditions": [{"condition": "header list-id", "held": false, "because": "there is none"}]}]))
        .unwrap();
    decision.explanation.also = vec![Deed::Tag { tag: "a-sale".into() }.into()];
    tags::insert(&mut tx, first_message(), "a-sale").await.unwrap();
    let decided = messages::Decided {
        id: first_message(),
        customer: "acme",
        message: Some(&message),
        decision: &decision,
        raw_sha256: None,
        size_bytes: 4_321,
        run_id: None,
        wait_id: None,
        duplicate_of: None,
        documents_of: None,
        at: now,
    };
    assert!(messages::decide(&mut tx, &decided).await.unwrap());
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn a_message_says_its_verdict_and_why() {
    let world = World::start().await;
    seed_messages(&world).await;
    let list = world.page("/messages", 200).await;
    contains(&list, &["Sale &lt;now&gt;", "it is our own mail", "badge ignore", "badge waiting", "not read yet"]);
    let page = world.page(&format!("/messages/{}", first_message()), 200).await;
    contains(
        &page,
        &["The guard <strong>loop</strong>", "newsletters", "there is none", "rules/10.toml:4", "Also: tagged a-sale"],
    );
    contains(&page, &["messages?tag=a-sale"]);
    contains(&world.page("/messages?tag=a-sale", 200).await, &["Sale &lt;now&gt;", "Only those tagged a-sale"]);
    assert!(!world.page("/messages?tag=other", 200).await.contains("Sale &lt;now&gt;"));
    for id in ["x".to_owned(), delivery("3").message_id().to_string()] {
        contains(&world.page(&format!("/messages/{id}"), 404).await, &["There is no such message"]);
    }
}

#[tokio::test]
async fn health_tells_what_is_away() {
    let world = World::start().await;
    world.ask_approval(json!({})).await;
    let health = async |status: u16| serde_json::from_str::<Value>(&world.page("/health", status).await).unwrap();
    let well = health(200).await;
    assert_eq!((&well["status"], &well["notices"]["unsent"]), (&json!("ok"), &json!(2)));
    let mut tx = world.engine.store.begin().await.unwrap();
    let now = world.clock.now();
    mailboxes::ensure(&mut tx, "ap-eu", "acme").await.unwrap();
    mailboxes::note_failure(&mut tx, "ap-eu", "login refused", now, now).await.unwrap();
    tx.commit().await.unwrap();
    let degraded = health(200).await;
    assert_eq!(
        (&degraded["status"], &degraded["mailboxes"][0]["last_error"]),
        (&json!("degraded"), &json!("login refused"))
    );
    world.engine.store.close().await;
    let down = health(503).await;
    assert_eq!(
        (&down["status"], &down["database"]["ok"], &down["store"]["ok"]),
        (&json!("down"), &json!(false), &json!(true))
    );
    contains(&world.page("/runs", 503).await, &["Not available right now"]);
    assert_eq!(world.page("/healthz", 200).await, "ok\n");
}

#[tokio::test]
async fn the_server_ends_when_told() {
    let world = World::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/healthz", listener.local_addr().unwrap());
    let web = Web { engine: Arc::clone(&world.engine), password: None, base_url: None, live: Arc::clone(&world.live) };
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(serve(listener, Arc::new(web), async { drop(stopped.await) }));
    assert_eq!(world.http.get(&url).send().await.unwrap().status(), 200);
    stop.send(()).unwrap();
    serving.await.unwrap().unwrap();
    assert!(world.http.get(&url).send().await.is_err());
}
