//! The pages over real HTTP, in this process: links look without deciding, decide once, and show nothing to strangers.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use chrono::TimeDelta;
use countersign::agents::pdf::PdfReader;
use countersign::agents::{Registry, Settings};
use countersign::blob::Blob;
use countersign::domain::clock::ManualClock;
use countersign::domain::duration::Span;
use countersign::domain::ids::{Delivery, RunId, TransactionId};
use countersign::domain::message::Message;
use countersign::domain::person::Customer;
use countersign::domain::token::{Binding, TokenKey};
use countersign::domain::verdict::{Decision, Verdict};
use countersign::domain::wait::{Effect, WaitStatus};
use countersign::domain::workflow::Workflow;
use countersign::engine::Engine;
use countersign::engine::launch::Launch;
use countersign::http::{Web, router, serve};
use countersign::people::ladder;
use countersign::store::{self, Store, answers, events, mailboxes, messages, notices, runs, tokens, waits};
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tower::ServiceExt;

/// A PDF as browsers show it: one blank page.
pub const PDF: &[u8] =
    b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n\
3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n";

/// A database with one customer, an engine over it, and its pages on a port of this machine.
pub struct World {
    pub engine: Arc<Engine>,
    pub clock: ManualClock,
    pub url: String,
    http: Client,
    _directory: tempfile::TempDir,
}

impl World {
    pub async fn start() -> Self {
        Self::with(None, None).await
    }

    async fn with(password: Option<&str>, base_url: Option<&str>) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path();
        let store =
            Store::open(&format!("sqlite:{}", path.join("cs.db").display()), None, 8).await.expect("a database");
        store.migrate().await.expect("migrations");
        let clock = ManualClock::new("2026-03-02T09:00:00Z".parse().expect("an instant"));
        let pdf = PdfReader { program: "none".into(), cpu: Span::from_secs(1), memory_bytes: 1 };
        let engine = Arc::new(Engine {
            store,
            blob: Arc::new(Blob::local(path.join("store"))),
            clock: Arc::new(clock.clone()),
            agents: Arc::new(Registry::standard(Settings { pdf, post_directory: path.join("posted") })),
            key: TokenKey::new(b"the key of a test"),
            owner: "test".into(),
            lease: TimeDelta::seconds(60),
            work: Notify::new(),
        });
        let customer: Customer = serde_json::from_value(json!({"name": "acme", "user": [
            {"name": "olivia", "full_name": "Olivia Okafor", "address": "olivia@acme.example"},
            {"name": "frank", "full_name": "Frank Feld", "address": "frank@acme.example"},
        ]}))
        .expect("a customer");
        let mut tx = engine.store.begin().await.expect("begin");
        store::people::import(&mut tx, &customer, clock.now_utc()).await.expect("import");
        tx.commit().await.expect("commit");
        let web = Web {
            engine: Arc::clone(&engine),
            password: password.map(|password| password.to_owned().into()),
            base_url: base_url.map(str::to_owned),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(serve(listener, Arc::new(web), std::future::pending()));
        let http = Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().expect("a client");
        Self { engine, clock, url, http, _directory: directory }
    }

    /// Launches a run whose one step is this, and works on it until it waits.
    pub async fn ask(&self, agent: &str, with: Value) -> RunId {
        let workflow = json!({
            "name": "ap-invoice", "title": "Supplier invoice", "version": 1, "prefix": "AP",
            "calendar": {"zone": "Europe/Berlin", "opens": "09:00", "closes": "17:00"},
            "inputs": {"supplier": {"type": "string", "optional": true}},
            "step": [{"name": "ask", "title": "Approval by the budget owner", "agent": agent, "with": with},
                {"name": "done", "agent": "noop", "needs": ["ask"]}],
        });
        let workflow: Workflow = serde_json::from_value(workflow).expect("a workflow");
        assert_eq!(workflow.problems(), []);
        let origin = json!({"from": "billing@nordwind.example", "subject": "Invoice <4711>", "mailbox": "ap-eu",
            "address": "ap@acme.example", "message_id": "first@nordwind.example"});
        let launch = Launch {
            workflow: &workflow,
            customer: "acme",
            transaction_id: TransactionId::new(),
            message_id: None,
            inputs: json!({"supplier": "Nordwind Papier GmbH"}).as_object().expect("an object").clone(),
            origin: origin.as_object().expect("an object").clone(),
            by: "billing@nordwind.example",
        };
        let mut tx = self.engine.store.begin().await.expect("begin");
        let launched = self.engine.launch(&mut tx, launch).await.expect("launch");
        tx.commit().await.expect("commit");
        while self.engine.tick_worker().await.expect("work") {}
        launched.id
    }

    /// An approval with everything that a mail can show; Olivia and Frank are asked.
    pub async fn ask_approval(&self, more: Value) -> RunId {
        let paths = ["acme/t/parts/001.pdf", "acme/t/parts/002.xml"];
        self.engine.blob.put(paths[0], PDF).await.expect("put");
        self.engine.blob.put(paths[1], b"<order><script>alert(1)</script></order>").await.expect("put");
        let document = |path: &str, name: &str, kind: &str| json!({"path": path, "name": name, "kind": kind, "sha256": "ab".repeat(32), "size_bytes": PDF.len()});
        let mut with = json!({
            "question": "Approve invoice 4711 from Nordwind Papier GmbH over 1,190.00 EUR?",
            "approvers": ["olivia", "frank"],
            "facts": [
                {"label": "Supplier", "value": "Nordwind Papier GmbH"}, {"label": "Invoice", "value": "4711"},
                {"label": "Invoice date", "value": "2026-02-27"}, {"label": "Total", "value": "1,190.00 EUR"},
                {"label": "Purchase order", "value": "PO-2026-0088"}, {"label": "IBAN", "value": "DE89 3704 0044 0532 0130 00"},
            ],
            "checks": [
                {"label": "Total", "ok": true, "text": "1,190.00 EUR is what was ordered"},
                {"label": "IBAN", "ok": false, "text": "the account is not known for this supplier"},
            ],
            "documents": [
                document(paths[0], "Rechnung 4711 – März.pdf", "pdf"), document(paths[1], "order.xml", "xml"),
            ],
            "note": "Delivered in two parts.\nThe second came on Friday.",
            "remind_after": ["2d"], "expire_after": "14d",
        });
        with.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        self.ask("approval", with).await
    }

    /// The tokens of everybody who was told, in the order in which they were.
    pub async fn tokens(&self, run: RunId) -> Vec<String> {
        let mut tx = self.engine.store.read().await.expect("read");
        let mut found = vec![];
        for notice in notices::of_run(&mut tx, run).await.expect("notices") {
            let Some(id) = notice.token_id else { continue };
            let token = tokens::get(&mut tx, id).await.expect("token");
            let binding = Binding { id, wait: token.wait_id, generation: token.generation, person: &token.person };
            found.push(self.engine.key.derive(&binding));
        }
        found
    }

    /// What a look must not change: the number of events and of answers, and the statuses of the waits.
    pub async fn state(&self, run: RunId) -> (usize, usize, Vec<WaitStatus>) {
        let mut tx = self.engine.store.read().await.expect("read");
        let all = waits::of_run(&mut tx, run).await.expect("waits");
        let mut said = 0;
        for wait in &all {
            said += answers::of_wait(&mut tx, wait.id).await.expect("answers").len();
        }
        let told = events::of_run(&mut tx, run).await.expect("events").len();
        (told, said, all.iter().map(|wait| wait.status).collect())
    }

    async fn get(&self, path: &str) -> Response {
        self.http.get(format!("{}{path}", self.url)).send().await.expect("an answer")
    }

    async fn page(&self, path: &str, status: u16) -> String {
        let answer = self.get(path).await;
        let (got, page) = (answer.status(), answer.text().await.expect("a page"));
        assert_eq!(got.as_u16(), status, "{path}: {page}");
        page
    }

    async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Response {
        self.http.post(format!("{}{path}", self.url)).form(fields).send().await.expect("an answer")
    }

    /// Posts an answer and gives the status.
    async fn say(&self, token: &str, fields: &[(&str, &str)]) -> u16 {
        self.post(&format!("/l/{token}"), fields).await.status().as_u16()
    }
}

trait NowUtc {
    fn now_utc(&self) -> chrono::DateTime<chrono::Utc>;
}

impl NowUtc for ManualClock {
    fn now_utc(&self) -> chrono::DateTime<chrono::Utc> {
        countersign::domain::clock::Clock::now(self)
    }
}

fn contains(page: &str, wanted: &[&str]) {
    for text in wanted {
        assert!(page.contains(text), "`{text}` is missing in {page}");
    }
}

#[tokio::test]
async fn looking_at_a_link_changes_nothing() {
    let world = World::start().await;
    let run = world.ask_approval(json!({})).await;
    let tokens = world.tokens(run).await;
    let before = world.state(run).await;
    for token in &tokens {
        for _ in 0..2 {
            let page = world.page(&format!("/l/{token}"), 200).await;
            contains(&page, &["Approve invoice 4711", "1,190.00 EUR", "Approve</button>", "Reject</button>"]);
        }
        let head = world.http.head(format!("{}/l/{token}?choice=approve", world.url)).send().await.expect("an answer");
        assert_eq!(head.status(), StatusCode::OK);
        world.page(&format!("/l/{token}?choice=approve&comment=x"), 200).await;
        world.page(&format!("/l/{token}/documents/1"), 200).await;
    }
    let put = world.http.put(format!("{}/l/{}", world.url, tokens[0])).send().await.expect("an answer");
    assert_eq!(put.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(world.state(run).await, before);
    assert_eq!(before.2, [WaitStatus::Open]);
}

#[tokio::test]
async fn the_link_page_shows_what_the_mail_showed() {
    let world = World::start().await;
    let run = world.ask_approval(json!({})).await;
    let token = &world.tokens(run).await[0];
    let page = world.page(&format!("/l/{token}"), 200).await;
    contains(
        &page,
        &[
            "acme</strong> · AP-000001",
            "Hello Olivia Okafor",
            "Frank Feld is asked too",
            "<dt>Purchase order</dt><dd>PO-2026-0088</dd>",
            "✓ Total",
            "✗ IBAN",
            "the account is not known for this supplier",
            "Rechnung 4711 – März.pdf",
            "Delivered in two parts.\nThe second came on Friday.",
            "Please answer by <strong>Monday 16 March 2026, 10:00 CET</strong>",
            "maxlength=\"2000\"",
        ],
    );
    assert!(!page.contains("<script") && !page.contains(" style="), "{page}");
}

#[tokio::test]
async fn a_posted_answer_decides_once_and_its_repeat_shows_the_same_receipt() {
    let world = World::start().await;
    let run = world.ask_approval(json!({})).await;
    let [olivia, frank] = &world.tokens(run).await[..] else { panic!("two are asked") };
    let answer = world.post(&format!("/l/{olivia}"), &[("choice", "approve"), ("comment", " fine \r\nby me")]).await;
    assert_eq!((answer.status().as_u16(), answer.headers()["location"].to_str().unwrap()), (303, olivia.as_str()));
    let receipt = world.page(&format!("/l/{olivia}"), 200).await;
    contains(&receipt, &["✓ Approved", "Olivia Okafor</strong> (you)", "Mon 2 Mar 2026, 10:00 CET", "fine \nby me"]);
    contains(&receipt, &["datetime=\"2026-03-02T09:00:00Z\"", "Your answer is recorded"]);
    assert!(!receipt.contains("<button") && !receipt.contains("<form"), "{receipt}");

    world.clock.advance(TimeDelta::hours(3));
    assert_eq!(world.say(olivia, &[("choice", "approve"), ("comment", "again")]).await, 303);
    assert_eq!(world.page(&format!("/l/{olivia}"), 200).await, receipt);
    // Another answer of the same person, and another person: the first stands.
    assert_eq!(world.say(olivia, &[("choice", "reject")]).await, 303);
    assert_eq!(world.page(&format!("/l/{olivia}"), 200).await, receipt);
    assert_eq!(world.say(frank, &[("choice", "reject")]).await, 303);
    let late = world.page(&format!("/l/{frank}"), 200).await;
    contains(&late, &["✓ Approved", "by <strong>Olivia Okafor</strong><br>", "The first answer counts"]);

    let mut tx = world.engine.store.read().await.unwrap();
    let wait = &waits::of_run(&mut tx, run).await.unwrap()[0];
    let effects: Vec<_> = answers::of_wait(&mut tx, wait.id).await.unwrap().iter().map(|said| said.effect).collect();
    assert_eq!(effects, [Effect::Decided, Effect::Repeated, Effect::Late, Effect::Late]);
    drop(tx);
    while world.engine.tick_worker().await.unwrap() {}
    contains(&world.page("/runs/AP-000001", 200).await, &["badge completed", "fine \nby me"]);
}

#[tokio::test]
async fn racing_answers_of_two_people_make_one_decision() {
    let world = Arc::new(World::start().await);
    let run = world.ask_approval(json!({})).await;
    let tokens = world.tokens(run).await;
    let race = (0..20).map(|n| {
        let (world, token) = (Arc::clone(&world), tokens[n % 2].clone());
        let choice = if n % 2 == 0 { "approve" } else { "reject" };
        tokio::spawn(async move { world.say(&token, &[("choice", choice)]).await })
    });
    for answer in race.collect::<Vec<_>>() {
        assert_eq!(answer.await.unwrap(), 303);
    }
    let mut tx = world.engine.store.read().await.unwrap();
    let wait = &waits::of_run(&mut tx, run).await.unwrap()[0];
    let said = answers::of_wait(&mut tx, wait.id).await.unwrap();
    assert_eq!(said.len(), 20);
    assert_eq!(said.iter().filter(|said| said.effect == Effect::Decided).count(), 1);
    let told = events::of_run(&mut tx, run).await.unwrap();
    assert_eq!(told.iter().filter(|event| event.kind == "wait.answered").count(), 1);
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_decides_nothing() {
    let world = World::start().await;
    let run = world.ask_approval(json!({})).await;
    let token = &world.tokens(run).await[0];
    let before = world.state(run).await;
    let long = "x".repeat(2_001);
    assert_eq!(world.say(token, &[]).await, 400);
    assert_eq!(world.say(token, &[("choice", "maybe")]).await, 400);
    assert_eq!(world.say(token, &[("choice", "supply")]).await, 400);
    assert_eq!(world.say(token, &[("choice", "approve"), ("choice", "reject")]).await, 400);
    assert_eq!(world.say(token, &[("choice", "approve"), ("comment", &long)]).await, 400);
    assert_eq!(world.say(token, &[("choice", "approve"), ("comment", &long.repeat(50))]).await, 413);
    let request = world.http.post(format!("{}/l/{token}", world.url)).body("choice=approve");
    assert_eq!(request.send().await.unwrap().status(), 400, "no form");
    let request = world.http.post(format!("{}/l/{token}", world.url)).form(&[("choice", "approve")]);
    assert_eq!(request.header("sec-fetch-site", "cross-site").send().await.unwrap().status(), 403);
    assert_eq!(world.state(run).await, before);
    // The longest comment is taken, however its characters are encoded.
    assert_eq!(world.say(token, &[("choice", "reject"), ("comment", &"😀".repeat(2_000))]).await, 303);
    contains(&world.page(&format!("/l/{token}"), 200).await, &["✗ Rejected", "😀😀😀"]);
}

#[tokio::test]
async fn dead_and_unknown_links_say_so() {
    let world = World::start().await;
    let run = world.ask_approval(json!({})).await;
    let token = &world.tokens(run).await[0];
    world.engine.kill(run, "admin").await.unwrap();
    let before = world.state(run).await;
    contains(&world.page(&format!("/l/{token}"), 410).await, &["no longer open", "has been withdrawn"]);
    assert_eq!(world.say(token, &[("choice", "approve")]).await, 410);
    contains(&world.page(&format!("/l/{token}/documents/1"), 410).await, &["no longer open"]);
    assert_eq!(world.state(run).await, before);

    let unknown = "A".repeat(43);
    for path in [format!("/l/{unknown}"), "/l/short".into(), "/l/%0d%0aX:y".into(), format!("/l/{unknown}/documents/1")]
    {
        contains(&world.page(&path, 404).await, &["This link is not known here"]);
    }
    assert_eq!(world.say(&unknown, &[("choice", "approve")]).await, 404);
    contains(&world.page("/nonsense", 404).await, &["There is no such page"]);
}

#[tokio::test]
async fn who_was_escalated_away_is_told_and_an_expired_link_too() {
    let world = World::start().await;
    let ladder_of = json!({"approvers": ["olivia"], "fallback": ["frank"], "remind_after": null, "escalate_after": "4d",
        "escalate": "replace", "expire_after": "14d"});
    let run = world.ask_approval(ladder_of).await;
    world.clock.advance(TimeDelta::days(5));
    assert_eq!(ladder::tick(&world.engine).await.unwrap(), 1);
    let [olivia, frank] = &world.tokens(run).await[..] else { panic!("two were asked") };
    contains(&world.page(&format!("/l/{olivia}"), 410).await, &["Somebody else has been asked"]);
    contains(&world.page(&format!("/l/{frank}"), 200).await, &["Hello Frank Feld", "Only you are asked"]);
    assert_eq!(world.say(olivia, &[("choice", "approve")]).await, 410);
    assert_eq!(world.state(run).await.2, [WaitStatus::Open]);
    world.clock.advance(TimeDelta::days(20));
    assert_eq!(ladder::tick(&world.engine).await.unwrap(), 1);
    contains(&world.page(&format!("/l/{frank}"), 410).await, &["The time to answer has run out"]);
}

#[tokio::test]
async fn a_supplier_is_told_what_is_missing_and_cannot_decide() {
    let world = World::start().await;
    let with =
        json!({"missing": ["the purchase order for invoice 4711, as a PDF"], "note": "We pay <b>only</b> with it."});
    let run = world.ask("request_info", with).await;
    let token = &world.tokens(run).await[0];
    let before = world.state(run).await;
    let page = world.page(&format!("/l/{token}"), 200).await;
    contains(
        &page,
        &["We still need", "the purchase order for invoice 4711", "We pay &lt;b&gt;only", "Please answer our mail"],
    );
    assert!(!page.contains("<form") && !page.contains("Olivia"), "{page}");
    assert_eq!(world.say(token, &[("choice", "approve")]).await, 400);
    assert_eq!(world.state(run).await, before);
}

#[tokio::test]
async fn what_strangers_write_is_shown_and_never_run() {
    let world = World::start().await;
    let evil = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&";
    let run = world
        .ask_approval(json!({
            "question": evil, "note": evil, "facts": [{"label": evil, "value": evil}],
            "checks": [{"label": evil, "ok": true, "text": evil}],
        }))
        .await;
    let token = &world.tokens(run).await[0];
    assert_eq!(world.say(token, &[("choice", "reject"), ("comment", evil)]).await, 303);
    for path in [format!("/l/{token}"), "/runs".into(), "/runs/AP-000001".into()] {
        let page = world.page(&path, 200).await;
        assert!(!page.contains("<script") && !page.contains("<img"), "{path}: {page}");
    }
    contains(&world.page("/runs/AP-000001", 200).await, &["&lt;script&gt;alert(1)"]);
}

#[tokio::test]
async fn documents_are_served_as_files_that_run_nothing() {
    let world = World::start().await;
    let run = world.ask_approval(json!({})).await;
    let token = &world.tokens(run).await[0];
    let pdf = world.get(&format!("/l/{token}/documents/1")).await;
    let header = |answer: &Response, name: &str| answer.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header(&pdf, "content-type"), "application/pdf");
    assert_eq!(
        header(&pdf, "content-disposition"),
        "inline; filename=\"Rechnung 4711 _ M_rz.pdf\"; filename*=UTF-8''Rechnung%204711%20%E2%80%93%20M%C3%A4rz.pdf"
    );
    assert!(header(&pdf, "content-security-policy").starts_with("sandbox; default-src 'none'"));
    assert_eq!(
        (header(&pdf, "x-content-type-options"), header(&pdf, "cache-control")),
        ("nosniff".into(), "no-store".into())
    );
    assert_eq!(&pdf.bytes().await.unwrap()[..], PDF);
    let xml = world.get(&format!("/l/{token}/documents/2")).await;
    assert!(header(&xml, "content-disposition").starts_with("attachment; "));
    for n in ["0", "3", "-1", "x", "99999999999999999999999"] {
        world.page(&format!("/l/{token}/documents/{n}"), 404).await;
    }
    assert_eq!(world.say(token, &[("choice", "approve")]).await, 303);
    world.page(&format!("/l/{token}/documents/1"), 200).await;
}

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
    let web = Web { engine: Arc::clone(&world.engine), password: None, base_url: None };
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

#[tokio::test]
async fn a_message_says_its_verdict_and_why() {
    let world = World::start().await;
    let delivery = |uid: &str| Delivery { mailbox: "ap-eu".into(), uid_validity: 7, uid: uid.into() };
    let now = world.clock.now_utc();
    let mut tx = world.engine.store.begin().await.unwrap();
    for uid in ["1", "2"] {
        assert!(messages::record_listed(&mut tx, "acme", &delivery(uid), None, 4_321, now).await.unwrap());
    }
    let message = Message {
        subject: "Sale <now>".into(),
        from: vec![countersign::domain::person::Address::new("a@b.example")],
        ..Message::default()
    };
    let mut decision = Decision::by_guard("loop", Verdict::Ignore, "it is our own mail");
    decision.explanation.rules =
        serde_json::from_value(json!([{"rule": "newsletters", "at": "rules/10.toml:4", "matched": false,
        "conditions": [{"condition": "header list-id", "held": false, "because": "there is none"}]}]))
        .unwrap();
    let decided = messages::Decided {
        id: delivery("1").message_id(),
        message: Some(&message),
        decision: &decision,
        raw_sha256: None,
        size_bytes: 4_321,
        run_id: None,
        wait_id: None,
        duplicate_of: None,
        at: now,
    };
    assert!(messages::decide(&mut tx, &decided).await.unwrap());
    tx.commit().await.unwrap();
    let list = world.page("/messages", 200).await;
    contains(&list, &["Sale &lt;now&gt;", "it is our own mail", "badge ignore", "badge waiting", "not read yet"]);
    let page = world.page(&format!("/messages/{}", delivery("1").message_id()), 200).await;
    contains(&page, &["The guard <strong>loop</strong>", "newsletters", "there is none", "rules/10.toml:4"]);
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
    let now = world.clock.now_utc();
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
    let web = Web { engine: Arc::clone(&world.engine), password: None, base_url: None };
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(serve(listener, Arc::new(web), async { drop(stopped.await) }));
    assert_eq!(world.http.get(&url).send().await.unwrap().status(), 200);
    stop.send(()).unwrap();
    serving.await.unwrap().unwrap();
    assert!(world.http.get(&url).send().await.is_err());
}
