//! Events told to the outside: webhooks with their signatures, repeats and troubles, and traces, to a receiver in this process; and
//! the real program telling one while a browser follows.

use std::net::TcpListener;
use std::process::{Child, Command as Program, Stdio};
use std::sync::{Arc, Mutex};

use aws_lc_rs::hmac;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use chrono::TimeDelta;
use countersign::cli::{self, Command, Publish};
use countersign::publish::Publisher;
use countersign::reports::audit;
use serde_json::{Value, json};

use crate::app::{TestApp, invoice};
use crate::engine_features::workflow;
use crate::live::Reader;
use crate::rig;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// What a receiver was told, and what it answers.
#[derive(Clone, Default)]
struct Receiver {
    told: Arc<Mutex<Vec<(HeaderMap, String, Value)>>>,
    /// Answers in their order; 200 when none is left.
    answers: Arc<Mutex<Vec<u16>>>,
    url: String,
}

impl Receiver {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = Self { url: format!("http://{}", listener.local_addr().unwrap()), ..Self::default() };
        let router = Router::new().fallback(take).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        receiver
    }

    fn told(&self) -> Vec<(HeaderMap, String, Value)> {
        self.told.lock().unwrap().clone()
    }

    fn kinds(&self) -> Vec<String> {
        self.told().iter().map(|(_, _, body)| body["type"].as_str().unwrap().to_owned()).collect()
    }

    fn answers(&self, answers: &[u16]) {
        *self.answers.lock().unwrap() = answers.to_vec();
    }
}

async fn take(State(receiver): State<Receiver>, uri: Uri, headers: HeaderMap, body: Bytes) -> StatusCode {
    if headers.contains_key("webhook-signature") {
        let header = |name: &str| headers[name].to_str().unwrap().to_owned();
        let body = std::str::from_utf8(&body).unwrap();
        let signed = format!("{}.{}.{body}", header("webhook-id"), header("webhook-timestamp"));
        let key = BASE64_STANDARD.decode(SECRET.trim_start_matches("whsec_")).unwrap();
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), signed.as_bytes());
        assert_eq!(header("webhook-signature"), format!("v1,{}", BASE64_STANDARD.encode(tag)));
    }
    let body = serde_json::from_slice(&body).unwrap();
    receiver.told.lock().unwrap().push((headers, uri.path().to_owned(), body));
    let mut answers = receiver.answers.lock().unwrap();
    let answer = if answers.is_empty() { 200 } else { answers.remove(0) };
    StatusCode::from_u16(answer).unwrap()
}

fn webhook(name: &str, url: &str, events: &str) -> String {
    format!(
        "[[publish.webhook]]\nname = \"{name}\"\nurl = \"{url}\"\nevents = {events}\nsecret = \"secret:file/hook.key\"\n"
    )
}

async fn app(sections: &str) -> (TestApp, Arc<Publisher>) {
    let sections = format!("{sections}# engine\n[engine]");
    let app = TestApp::configured_with("[engine]", &sections, &[("hook.key", SECRET)]).await;
    let publisher = app.app.publisher().await.unwrap();
    // From here on they are told.
    for place in 0..publisher.count() {
        publisher.tick(place).await.unwrap();
    }
    (app, publisher)
}

const NOOP: &str = "[[step]]\nname = \"one\"\nagent = \"noop\"";

/// Launches a run of one step and does what is due.
async fn run(app: &TestApp) -> String {
    let name = app.launch(&workflow(NOOP), json!({})).await;
    app.settle().await;
    name
}

async fn tell(publisher: &Publisher, place: usize) {
    while publisher.tick(place).await.unwrap() {}
}

async fn status(app: &TestApp) -> Value {
    let what = Publish::Status { json: true };
    let told = cli::tell(Command::Publish { what }, &app.app.context(), None).await.unwrap();
    serde_json::from_str(&told.text).unwrap()
}

#[tokio::test]
async fn a_webhook_is_told_signed_events_in_order_and_again_what_it_did_not_take() {
    let receiver = Receiver::start().await;
    let (app, publisher) = app(&webhook("erp", &receiver.url, r#"["run.*", "step.done"]"#)).await;
    receiver.answers(&[503]);
    run(&app).await;
    tell(&publisher, 0).await;
    assert_eq!(receiver.kinds(), ["run.launched"]);
    tell(&publisher, 0).await;
    assert_eq!(receiver.kinds().len(), 1, "not before its pause is over");
    let failing = status(&app).await;
    assert_eq!((&failing[0]["name"], &failing[0]["attempts"]), (&json!("erp"), &json!(1)));
    assert_eq!(failing[0]["error"], "it answers 503 Service Unavailable");

    app.clock.advance(TimeDelta::seconds(5));
    tell(&publisher, 0).await;
    assert_eq!(receiver.kinds(), ["run.launched", "run.launched", "step.done", "run.completed"]);
    let told = receiver.told();
    let id = |place: usize| told[place].0["webhook-id"].clone();
    assert_eq!(id(0), id(1), "the same event");
    assert_ne!(id(1), id(2));
    let data = &told[2].2["data"];
    assert_eq!((&data["kind"], &data["step"], &data["customer"]), (&json!("step.done"), &json!("one"), &json!("acme")));
    let well = status(&app).await;
    assert_eq!(
        (&well[0]["behind"], &well[0]["error"], &well[0]["failing_since"]),
        (&json!(0), &Value::Null, &Value::Null)
    );
}

#[tokio::test]
async fn a_receiver_that_is_away_keeps_nobody_else_waiting_and_misses_nothing() {
    let receiver = Receiver::start().await;
    let gone = { TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap() };
    let events = r#"["run.completed"]"#;
    let sections =
        [webhook("away", &format!("http://{gone}/x?token=hunter2"), events), webhook("here", &receiver.url, events)];
    let (app, publisher) = app(&sections.concat()).await;
    for _ in 0..3 {
        run(&app).await;
    }
    tell(&publisher, 0).await;
    tell(&publisher, 1).await;
    assert_eq!(receiver.kinds(), ["run.completed"; 3]);
    let told = status(&app).await;
    assert_eq!((&told[0]["attempts"], &told[1]["behind"]), (&json!(1), &json!(0)));
    assert!(!told.to_string().contains("hunter2"), "{told}");
    // A day later it is back, under another roof.
    app.clock.advance(TimeDelta::days(1));
    let file = app.path("countersign.toml");
    let config = std::fs::read_to_string(&file).unwrap();
    let second = Receiver::start().await;
    std::fs::write(&file, config.replace(&format!("http://{gone}/x?token=hunter2"), &second.url)).unwrap();
    let again = app.rebuilt_without("# engine\n").await;
    let publisher = again.publisher().await.unwrap();
    tell(&publisher, 0).await;
    assert_eq!(second.kinds(), ["run.completed"; 3]);
}

#[tokio::test]
async fn an_event_that_a_receiver_refuses_is_passed_over_and_the_trail_says_so() {
    let receiver = Receiver::start().await;
    let (app, publisher) = app(&webhook("picky", &receiver.url, r#"["run.*"]"#)).await;
    receiver.answers(&[400; 8]);
    run(&app).await;
    for _ in 0..8 {
        tell(&publisher, 0).await;
        app.clock.advance(TimeDelta::hours(1));
    }
    tell(&publisher, 0).await;
    assert_eq!(receiver.kinds(), [["run.launched"; 8].as_slice(), &["run.completed"]].concat());
    let skipped = app.events("publish.skipped").await;
    assert_eq!(skipped.len(), 1);
    assert_eq!((&skipped[0].data["receiver"], &skipped[0].data["kind"]), (&json!("picky"), &json!("run.launched")));
    tell(&publisher, 0).await;
    assert_eq!((receiver.kinds().len(), &status(&app).await[0]["skipped"]), (9, &json!(1)));
}

#[tokio::test]
async fn a_run_is_one_trace_with_a_span_for_each_attempt_and_wait() {
    let receiver = Receiver::start().await;
    let (app, publisher) = app(&format!("[publish.otlp]\nendpoint = \"{}\"\n", receiver.url)).await;
    let steps = "[[step]]\nname = \"pause\"\nagent = \"delay\"\nwith = { for = \"1m\" }\n\
        [[step]]\nname = \"post\"\nagent = \"post_file\"\nneeds = [\"pause\"]\n\
        with = { file = \"erp.json\", record = { a = 1 } }\nretry = { count = 0, interval = \"1s\" }";
    std::fs::create_dir_all(app.path("erp/erp.json")).unwrap();
    let name = app.launch(&workflow(steps), json!({})).await;
    app.settle().await;
    app.pass(TimeDelta::minutes(1)).await;
    tell(&publisher, 0).await;
    let told = receiver.told();
    assert!(
        told.iter().all(|(headers, path, _)| path == "/v1/traces" && headers["content-type"] == "application/json")
    );
    let scope = |body: &Value| {
        let resource = &body["resourceSpans"][0];
        assert_eq!(resource["resource"]["attributes"][0]["value"]["stringValue"], "countersign");
        resource["scopeSpans"][0]["spans"].as_array().unwrap().clone()
    };
    let spans: Vec<Value> = told.iter().flat_map(|(_, _, body)| scope(body)).collect();
    let run = app.run(&name).await;
    let trace = run.id.0.simple().to_string();
    assert!(spans.iter().all(|span| span["traceId"] == trace.as_str() && span["kind"] == 1), "{spans:#?}");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let ids: std::collections::BTreeSet<_> = spans.iter().map(|span| text(&span["spanId"])).collect();
    assert!(ids.len() == spans.len() && ids.iter().all(|id| id.len() == 16));
    let root = spans.iter().find(|span| span.get("parentSpanId").is_none()).unwrap();
    assert_eq!((&root["name"], &root["status"]["code"]), (&json!("w"), &json!(2)));
    let nanos = |span: &Value, key: &str| text(&span[key]).parse::<i64>().unwrap();
    assert_eq!(nanos(root, "endTimeUnixNano") - nanos(root, "startTimeUnixNano"), 60_000_000_000);
    let children = spans.iter().filter(|span| span["parentSpanId"] == root["spanId"]);
    let named: Vec<_> = children.map(|span| (text(&span["name"]), span["status"]["code"].as_i64().unwrap())).collect();
    assert!(named.contains(&("pause".into(), 1)) && named.contains(&("post".into(), 2)), "{named:?}");
}

/// Ends the program when the test does.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn the_real_program_tells_a_webhook_and_a_browser_what_happens() {
    let receiver = Receiver::start().await;
    let port = { TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port() };
    let sections = format!("{}[web]\nlisten = \"127.0.0.1:{port}\"", webhook("erp", &receiver.url, r#"["*"]"#));
    let app = TestApp::configured_with("[web]", &sections, &[("hook.key", SECRET)]).await;
    audit::seal(&app.app.engine).await.unwrap();
    let program = Program::new(env!("CARGO_BIN_EXE_countersign"))
        .args(["run", "--config"])
        .arg(app.path("countersign.toml"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let _daemon = Daemon(program.unwrap());
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://127.0.0.1:{port}");
    rig::wait_for("the pages", async || client.get(format!("{url}/healthz")).send().await.ok()).await;
    let mut reader = Reader::open(client.get(format!("{url}/events?customer=acme"))).await;
    let known = async || status(&app).await[0]["position"].as_i64();
    rig::wait_for("the first contact", known).await;
    let inject = Program::new(env!("CARGO_BIN_EXE_countersign"))
        .args(["inject", "-", "--mailbox", "ap", "--config"])
        .arg(app.path("countersign.toml"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn();
    let mut inject = inject.unwrap();
    std::io::Write::write_all(&mut inject.stdin.take().unwrap(), &Vec::<u8>::from(invoice())).unwrap();
    assert!(inject.wait().unwrap().success());
    let mut seen = vec![];
    while seen.last().is_none_or(|kind| kind != "wait.opened") {
        seen.push(reader.next().await.data["kind"].as_str().unwrap().to_owned());
    }
    assert!(seen.iter().any(|kind| kind == "run.launched"), "{seen:?}");
    let opened = async || receiver.kinds().contains(&"wait.opened".to_owned()).then_some(());
    rig::wait_for("the webhook to be told", opened).await;
    let of_run = |kinds: &[String]| -> Vec<String> {
        kinds.iter().filter(|kind| kind.starts_with("step.") || kind.starts_with("run.")).cloned().collect()
    };
    let told = of_run(&receiver.kinds());
    assert!(told.starts_with(&of_run(&seen)), "{told:?} {seen:?}");
}
