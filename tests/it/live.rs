//! Runs told live: streams of events that lose nothing and repeat nothing, logs and progress of agents, and heartbeats.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::TimeDelta;
use countersign::agents::{Agent, Outcome, Registry, Task};
use countersign::behaviour::{Behaviour, Live};
use countersign::blob::Blob;
use countersign::cli::{self, Logs};
use countersign::domain::clock::{Clock, SystemClock};
use countersign::domain::event::Event;
use countersign::domain::ids::RunId;
use countersign::domain::run::RunStatus;
use countersign::domain::token::TokenKey;
use countersign::engine::{Definitions, Engine, Work};
use countersign::http::{Web, serve};
use countersign::reports::audit;
use countersign::store::events::{self, Wanted};
use countersign::store::{Store, logs};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::app::TestApp;
use crate::engine_features::{failure, workflow};
use crate::store_contract::on_both;

/// What one reader is told.
pub struct Reader {
    answer: Response,
    buffer: String,
}

/// One event of a stream.
#[derive(Debug)]
pub struct Told {
    pub id: Option<i64>,
    pub name: Option<String>,
    pub data: Value,
}

impl Reader {
    pub async fn open(request: RequestBuilder) -> Self {
        let answer = request.send().await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["content-type"]),
            (200, &"text/event-stream".parse().unwrap())
        );
        Self { answer, buffer: String::new() }
    }

    /// The next event; comments and `retry` are passed over.
    pub async fn next(&mut self) -> Told {
        loop {
            let block = self.block().await;
            let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
            if let Some(data) = field("data: ") {
                let id = field("id: ").map(|id| id.parse().unwrap());
                return Told { id, name: field("event: "), data: serde_json::from_str(&data).unwrap() };
            }
        }
    }

    /// Everything up to the next empty line.
    pub async fn block(&mut self) -> String {
        loop {
            if let Some((block, rest)) = self.buffer.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.buffer = rest;
                return block;
            }
            let chunk = self.answer.chunk().await.unwrap().expect("the stream goes on");
            self.buffer.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }
}

/// An engine with nothing but this store, and its pages.
async fn pages_over(store: Store) -> (Arc<Engine>, String) {
    let live = Arc::new(Live::new(Behaviour::none().unwrap()));
    let engine = Arc::new(Engine {
        live: Arc::clone(&live),
        store,
        blob: Arc::new(Blob::local(std::env::temp_dir().join("countersign-no-such-store"))),
        clock: Arc::new(SystemClock),
        agents: Arc::new(Registry::default()),
        key: TokenKey::new(b"the key of a test"),
        owner: "test".into(),
        lease: TimeDelta::seconds(60),
        work: Work::default(),
        definitions: Definitions::default(),
    });
    let url = pages(Web { engine: Arc::clone(&engine), live, password: None, base_url: None }).await;
    (engine, url)
}

async fn pages(web: Web) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(serve(listener, Arc::new(web), std::future::pending()));
    url
}

fn client() -> Client {
    Client::builder().no_proxy().build().unwrap()
}

#[tokio::test]
async fn an_event_that_is_committed_late_comes_after_those_that_were_seen() {
    on_both(async |store| {
        let event = |n: i64| Event::new(SystemClock.now(), "test.made", "acme").with("n", n);
        let seal = async || {
            let mut tx = store.begin().await.unwrap();
            events::seal(&mut tx, 100).await.unwrap();
            tx.commit().await.unwrap();
        };
        let look = async |after: i64| {
            let mut tx = store.read().await.unwrap();
            let (found, reached) = events::wanted(&mut tx, &Wanted::default(), after, 100).await.unwrap();
            (found.into_iter().map(|sealed| sealed.event.data["n"].as_i64().unwrap()).collect::<Vec<_>>(), reached)
        };
        // On PostgreSQL the first is written before the second and committed after it. SQLite lets nobody write beside it.
        let mut reached = 0;
        let mut seen = vec![];
        if matches!(store, Store::Pg(_)) {
            let mut late = store.begin().await.unwrap();
            events::append(&mut late, &event(1)).await.unwrap();
            let mut early = store.begin().await.unwrap();
            events::append(&mut early, &event(2)).await.unwrap();
            early.commit().await.unwrap();
            seal().await;
            let found = look(reached).await;
            seen.extend(found.0);
            reached = found.1;
            late.commit().await.unwrap();
        } else {
            for n in [2, 1] {
                let mut tx = store.begin().await.unwrap();
                events::append(&mut tx, &event(n)).await.unwrap();
                tx.commit().await.unwrap();
                seal().await;
            }
        }
        seal().await;
        let found = look(reached).await;
        seen.extend(found.0);
        assert_eq!((seen, found.1), (vec![2, 1], 2));
        assert_eq!(look(found.1).await, (vec![], 2));
    })
    .await;
}

#[tokio::test]
async fn a_reader_that_comes_back_loses_nothing_and_sees_nothing_twice() {
    const WRITERS: i64 = 6;
    const EACH: i64 = 25;
    on_both(async |store| {
        let (engine, url) = pages_over(store).await;
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..WRITERS {
            let engine = Arc::clone(&engine);
            writers.spawn(async move {
                for n in 0..EACH {
                    let mut tx = engine.store.begin().await.unwrap();
                    let customer = if n % 5 == 0 { "globex" } else { "acme" };
                    let event = Event::new(engine.clock.now(), "test.made", customer).with("n", writer * EACH + n);
                    events::append(&mut tx, &event).await.unwrap();
                    tokio::task::yield_now().await;
                    tx.commit().await.unwrap();
                    engine.work.notify_waiters();
                    audit::seal(&engine).await.unwrap();
                }
            });
        }
        let (mut places, mut numbers) = (vec![], BTreeSet::new());
        while places.len() < usize::try_from(WRITERS * EACH).unwrap() {
            let request = client().get(format!("{url}/events?after=0"));
            // As a browser does it, and with the later word in the header.
            let request = match places.last() {
                Some(last) => request.header("last-event-id", format!("{last}")),
                None => request,
            };
            let mut reader = Reader::open(request).await;
            for _ in 0..7 {
                if places.len() < usize::try_from(WRITERS * EACH).unwrap() {
                    let told = reader.next().await;
                    places.push(told.id.unwrap());
                    numbers.insert(told.data["data"]["n"].as_i64().unwrap());
                    assert_eq!((&told.data["position"], &told.data["kind"]), (&json!(told.id), &json!("test.made")));
                }
            }
        }
        while let Some(ended) = writers.join_next().await {
            ended.unwrap();
        }
        assert_eq!(places, (1..=WRITERS * EACH).collect::<Vec<_>>());
        assert_eq!(numbers, (0..WRITERS * EACH).collect());

        let mut reader = Reader::open(client().get(format!("{url}/events?customer=globex&after=0"))).await;
        for _ in 0..WRITERS * EACH / 5 {
            assert_eq!(reader.next().await.data["customer"], "globex");
        }
        let nonsense = client().get(format!("{url}/events")).header("last-event-id", "x").send().await.unwrap();
        assert_eq!(nonsense.status(), 400);
    })
    .await;
}

#[tokio::test]
async fn a_stream_begins_with_when_to_come_back_and_there_are_not_endlessly_many() {
    let app = TestApp::demo().await;
    let (_, url) = pages_over(app.app.engine.store.clone()).await;
    let mut readers = vec![];
    for _ in 0..64 {
        readers.push(Reader::open(client().get(format!("{url}/events"))).await);
    }
    assert_eq!(readers[0].block().await, "retry: 3000");
    assert_eq!(readers[0].block().await, ":", "a sign of life, though nothing happens");
    let full = client().get(format!("{url}/events")).send().await.unwrap();
    assert_eq!((full.status().as_u16(), full.headers()["retry-after"].to_str().unwrap()), (503, "60"));
    readers.pop();
    // The place of one that left is free as soon as its leaving is noticed.
    crate::rig::wait_for("a free place", async || {
        let answer = client().get(format!("{url}/events")).send().await.unwrap();
        (answer.status() == 200).then_some(())
    })
    .await;
    let gone = client().get(format!("{url}/runs/AP-000009/events")).send().await.unwrap();
    assert_eq!(gone.status(), 404);
}

/// An agent that says something whenever it is told to go on, and ends at the third time.
#[derive(Clone, Default)]
struct Talker {
    spoke: Arc<Notify>,
    go_on: Arc<Notify>,
}

#[async_trait]
impl Agent for Talker {
    fn name(&self) -> &'static str {
        "talker"
    }
    fn about(&self) -> &'static str {
        "Says what it does."
    }
    fn check(&self, _: &Map<String, Value>) -> Vec<(String, String)> {
        vec![]
    }
    async fn perform(&self, task: &Task) -> Outcome {
        for word in ["first", "second", "third"] {
            task.log(word);
            task.progress(40, "reading\npage 2");
            self.spoke.notify_one();
            self.go_on.notified().await;
        }
        task.warn("last");
        Outcome::done(json!({}))
    }
}

fn engine(app: &TestApp, agent: Talker) -> Arc<Engine> {
    let mut agents = Registry::default();
    agents.add(agent);
    let ours = &app.app.engine;
    Arc::new(Engine {
        live: Arc::clone(&ours.live),
        store: ours.store.clone(),
        blob: Arc::clone(&ours.blob),
        clock: Arc::clone(&ours.clock),
        agents: Arc::new(agents),
        key: ours.key.clone(),
        owner: "talking".into(),
        lease: TimeDelta::hours(1),
        work: Work::default(),
        definitions: Definitions::default(),
    })
}

const TALKER: &str = "[[step]]\nname = \"talk\"\nagent = \"talker\"\ntimeout = { heartbeat = \"1m\", hard = \"10m\" }\n\
    retry = { count = 0, interval = \"1s\" }";

async fn said(app: &TestApp, run: RunId) -> Vec<String> {
    let rows = logs::of_run(&mut app.tx().await, run, Some("talk")).await.unwrap();
    rows.iter().map(|row| format!("{} {} {} {}", row.attempt, row.seq, row.level, row.text)).collect()
}

#[tokio::test]
async fn what_an_agent_says_is_seen_while_it_works_and_kept_when_it_ends() {
    let app = TestApp::demo().await;
    let agent = Talker::default();
    let engine = engine(&app, agent.clone());
    let name = app.launch(&workflow(TALKER), json!({})).await;
    let id = app.id(&name).await;
    let web = Web { engine: Arc::clone(&engine), live: Arc::clone(&app.app.live), password: None, base_url: None };
    let url = pages(web).await;
    let (worked, ()) = tokio::join!(engine.tick_worker(), async {
        agent.spoke.notified().await;
        assert!(said(&app, id).await.is_empty(), "not at once: a second is waited for more");
        app.clock.advance(TimeDelta::seconds(1));
        let mut reader = Reader::open(client().get(format!("{url}/runs/{name}/events"))).await;
        let told = loop {
            let told = reader.next().await;
            if told.name.is_some() {
                break told;
            }
        };
        assert_eq!((told.name.as_deref(), told.id), (Some("progress"), None));
        assert_eq!((&told.data["percent"], &told.data["message"]), (&json!(40), &json!("reading page 2")));
        assert_eq!(said(&app, id).await, ["1 1 info first"]);
        let page = client().get(format!("{url}/runs/{name}")).send().await.unwrap();
        let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
        assert!(policy.contains("script-src 'sha256-") && policy.contains("connect-src 'self'"), "{policy}");
        let page = page.text().await.unwrap();
        for part in ["40 % reading page 2", "first", "data-events=\"W-000001/events?after="] {
            assert!(page.contains(part), "{part}: {page}");
        }
        agent.go_on.notify_one();
        agent.spoke.notified().await;
        agent.go_on.notify_one();
        agent.spoke.notified().await;
        agent.go_on.notify_one();
    });
    assert!(worked.unwrap());
    assert_eq!(app.run(&name).await.status, RunStatus::Completed);
    assert_eq!(said(&app, id).await, ["1 1 info first", "1 2 info second", "1 3 info third", "1 4 warn last"]);

    let mut printed = String::new();
    let wanted = Logs { id: name, step: Some("talk".into()), follow: true };
    let print = |text: &str| {
        printed.push_str(text);
        Ok(true)
    };
    cli::logs::show(&engine, &wanted, print).await.unwrap();
    assert!(printed.ends_with("2026-03-02 09:00:01Z  talk  1  warn: last\n"), "{printed}");
    assert_eq!(printed.lines().count(), 4, "{printed}");
}

#[tokio::test]
async fn an_agent_that_falls_silent_is_given_up() {
    let app = TestApp::demo().await;
    let agent = Talker::default();
    let engine = engine(&app, agent.clone());
    let name = app.launch(&workflow(TALKER), json!({})).await;
    let (worked, ()) = tokio::join!(engine.tick_worker(), async {
        agent.spoke.notified().await;
        app.clock.advance(TimeDelta::seconds(50));
        agent.go_on.notify_one();
        agent.spoke.notified().await;
        app.clock.advance(TimeDelta::seconds(50));
        // Longer than the heartbeat since the first word, not since the second.
        agent.go_on.notify_one();
        agent.spoke.notified().await;
        app.clock.advance(TimeDelta::seconds(61));
    });
    assert!(worked.unwrap());
    let failure = failure(&app, &name).await;
    assert_eq!((failure.reason.as_str(), failure.details.as_str()), ("heartbeat", "step talk told no progress for 1m"));
    let id = app.id(&name).await;
    assert_eq!(said(&app, id).await.len(), 3, "what it said until then is kept");
}

#[tokio::test]
async fn the_agents_of_the_main_job_say_what_they_did() {
    let app = TestApp::demo().await;
    app.receive(crate::app::invoice()).await;
    let run = app.runs().await.remove(0);
    let rows = logs::of_run(&mut app.tx().await, run.id, None).await.unwrap();
    let lines: Vec<_> = rows.iter().map(|row| format!("{}: {}", row.step, row.text)).collect();
    assert!(lines.iter().any(|line| line.contains("pages, invoice")), "{lines:#?}");
}
