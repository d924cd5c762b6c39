//! The real store and engine on a database of their own: launching, working as the daemon's loops do, and fresh databases.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use async_trait::async_trait;
use chrono::TimeDelta;
use countersign::agents::pdf::PdfReader;
use countersign::agents::{Agent, Outcome, Registry, Settings, Task};
use countersign::behaviour::{Behaviour, Live};
use countersign::blob::Blob;
use countersign::domain::clock::{Clock, SystemClock};
use countersign::domain::duration::Span;
use countersign::domain::ids::{RunId, TransactionId};
use countersign::domain::token::TokenKey;
use countersign::domain::wait::{Asked, WaitKind, WaitRequest};
use countersign::domain::workflow::Workflow;
use countersign::engine::launch::Launch;
use countersign::engine::{Definitions, Engine, Work};
use countersign::reports::audit;
use countersign::store::Store;
use serde_json::{Map, Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::task::JoinSet;

/// Runs launched in one commit: as many as a window of mail.
const WINDOW: usize = 64;

/// The tick of a daemon's loops.
const TICK: Duration = Duration::from_secs(1);

/// Waits for somebody, without telling anybody.
struct Ask;

#[async_trait]
impl Agent for Ask {
    fn name(&self) -> &'static str {
        "bench_ask"
    }
    fn about(&self) -> &'static str {
        "Waits."
    }
    fn check(&self, _: &Map<String, Value>) -> Vec<(String, String)> {
        vec![]
    }
    async fn perform(&self, _: &Task) -> Outcome {
        Outcome::Wait(Box::new(WaitRequest {
            kind: WaitKind::External,
            question: "go on?".into(),
            asked: vec![Asked { person: "olivia".into(), address: "olivia@acme.example".into() }],
            facts: Map::new(),
            notices: vec![],
            ladder: vec![],
            fallback: None,
            until: None,
        }))
    }
}

/// Says when it was begun.
struct Stamp;

#[async_trait]
impl Agent for Stamp {
    fn name(&self) -> &'static str {
        "bench_stamp"
    }
    fn about(&self) -> &'static str {
        "Says when."
    }
    fn check(&self, _: &Map<String, Value>) -> Vec<(String, String)> {
        vec![]
    }
    async fn perform(&self, _: &Task) -> Outcome {
        Outcome::done(json!({ "micros": micros() }))
    }
}

/// Microseconds since 1970, the same for every process of the machine.
pub fn micros() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// Five steps that do nothing, one after the other.
pub fn five_steps() -> anyhow::Result<Workflow> {
    let step = |number: u32| {
        let needs: Vec<_> = (1..number).skip(number.saturating_sub(2) as usize).map(|n| format!("s{n}")).collect();
        json!({"name": format!("s{number}"), "agent": "noop", "needs": needs})
    };
    let steps: Vec<_> = (1..=5).map(step).collect();
    Ok(serde_json::from_value(json!({"name": "five", "version": 1, "prefix": "F", "step": steps}))?)
}

/// A step that waits, and one that says when it was begun.
pub fn ask_and_go_on() -> anyhow::Result<Workflow> {
    let steps =
        json!([{"name": "ask", "agent": "bench_ask"}, {"name": "go", "agent": "bench_stamp", "needs": ["ask"]}]);
    Ok(serde_json::from_value(json!({"name": "ask", "version": 1, "prefix": "A", "step": steps}))?)
}

/// A database of its own on the server of `admin`.
///
/// # Errors
/// When the server is away.
pub async fn fresh_database(admin: &str) -> anyhow::Result<String> {
    let name = format!("bench_{}", uuid::Uuid::now_v7().simple());
    let mut connection = PgConnection::connect(admin).await.context("connect to PostgreSQL")?;
    sqlx::query(AssertSqlSafe(format!("create database {name}"))).execute(&mut connection).await?;
    let (server, rest) = admin.rsplit_once("/postgres").context("a URL of the database `postgres`")?;
    Ok(format!("{server}/{name}{rest}"))
}

/// An engine as the daemon builds it, over `url`.
///
/// # Errors
/// When the database cannot be opened.
pub async fn engine(url: &str, dir: &Path) -> anyhow::Result<Arc<Engine>> {
    let store = Store::open(url, None, 8).await?;
    store.migrate().await?;
    let pdf = PdfReader { program: "none".into(), cpu: Span::from_secs(1), memory_bytes: 1 };
    let mut agents = Registry::standard(Settings { pdf, post_directory: dir.join("posted") });
    agents.add(Ask);
    agents.add(Stamp);
    Ok(Arc::new(Engine {
        store,
        blob: Arc::new(Blob::local(dir.join("store"))),
        clock: Arc::new(SystemClock),
        agents: Arc::new(agents),
        live: Arc::new(Live::new(Behaviour::none().map_err(|_| anyhow::anyhow!("the binary's templates"))?)),
        key: TokenKey::new(b"the key of a benchmark"),
        owner: format!("bench-{}", uuid::Uuid::now_v7().simple()),
        lease: TimeDelta::seconds(60),
        work: Work::default(),
        definitions: Definitions::default(),
    }))
}

/// The loops of a daemon that matter here: workers, word between processes, and, where asked for, the sealing of events.
pub fn work(engine: &Arc<Engine>, workers: usize, seal: bool) -> JoinSet<()> {
    let mut loops = JoinSet::new();
    for _ in 0..workers {
        let engine = Arc::clone(engine);
        loops.spawn(async move {
            loop {
                let poked = engine.work.notified();
                match engine.tick_worker().await {
                    Ok(true) => continue,
                    Ok(false) => {}
                    Err(error) => eprintln!("worker: {error}"),
                }
                let _ = tokio::time::timeout(TICK, poked).await;
            }
        });
    }
    let listening = Arc::clone(engine);
    loops.spawn(async move {
        if let Err(error) = listening.store.listen(&listening.owner, || listening.work.heard()).await {
            eprintln!("listen: {error}");
        }
    });
    let telling = Arc::clone(engine);
    loops.spawn(async move {
        loop {
            telling.work.to_be_told().await;
            if let Err(error) = telling.store.tell(&telling.owner).await {
                eprintln!("tell: {error}");
            }
        }
    });
    if seal {
        let engine = Arc::clone(engine);
        loops.spawn(async move {
            loop {
                if let Err(error) = audit::seal(&engine).await {
                    eprintln!("seal: {error}");
                }
                tokio::time::sleep(TICK).await;
            }
        });
    }
    loops
}

/// Launches runs, a window in each commit.
///
/// # Errors
/// When the database is away.
pub async fn launch(engine: &Engine, workflow: &Workflow, count: usize) -> anyhow::Result<Vec<RunId>> {
    let mut ids = Vec::with_capacity(count);
    while ids.len() < count {
        let mut tx = engine.store.begin().await?;
        for _ in 0..WINDOW.min(count - ids.len()) {
            let launch = Launch {
                documents: &[],
                workflow,
                customer: "acme",
                transaction_id: TransactionId::new(),
                message_id: None,
                inputs: Map::new(),
                origin: Map::new(),
                by: "bench",
            };
            ids.push(engine.launch(&mut tx, launch).await?.id);
        }
        tx.commit().await?;
        engine.work.notify_waiters();
    }
    Ok(ids)
}

/// Waits until nothing is queued or running any more.
///
/// # Errors
/// When the database is away, or the runs are not done within ten minutes.
pub async fn until_done(engine: &Engine) -> anyhow::Result<()> {
    let started = Instant::now();
    let sql = "select (select count(*) from runs where status = 'queued') + (select count(*) from runs where status = 'running')";
    loop {
        let open: i64 = match &engine.store {
            Store::Pg(pool) => sqlx::query_scalar(sql).fetch_one(pool).await?,
            Store::Lite(pool) => sqlx::query_scalar(sql).fetch_one(pool).await?,
        };
        if open == 0 {
            return Ok(());
        }
        anyhow::ensure!(started.elapsed() < Duration::from_secs(600), "{open} runs are not done after ten minutes");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Now, as the engine has it.
pub fn now() -> chrono::DateTime<chrono::Utc> {
    SystemClock.now()
}
