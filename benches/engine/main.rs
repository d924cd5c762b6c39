//! How fast the engine is: `cargo bench --bench engine`. Runs of five steps that do nothing through the real store and engine, on
//! SQLite and PostgreSQL, with empty and with full tables, by one process and by two, beside DBOS on the same PostgreSQL in the
//! same rounds; how long a claim takes; how soon a decision is followed by the next step. Starts the PostgreSQL of the tests,
//! unless CS_BENCH_PG_URL names the database `postgres` of another.

mod fill;
mod world;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Parser;
use comfy_table::{Table, presets};
use countersign::domain::wait::{Answer, Channel, Choice, WaitStatus};
use countersign::engine::decide::Ending;
use countersign::store::{claims, steps, waits};

/// Runs five steps that do nothing, as often as it can.
#[derive(Debug, Parser)]
#[command(name = "cargo bench --bench engine --")]
struct Options {
    /// Runs of one measurement
    #[arg(long, default_value_t = 2000)]
    runs: usize,
    /// How often each is measured, in turn with the others
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Workers of each process
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// Queue depth at which claims are timed
    #[arg(long, default_value_t = 100_000)]
    depth: usize,
    /// Also with 400,000 finished runs (2,000,000 steps) and a queue of 1,000,000
    #[arg(long)]
    deep: bool,
    /// Without DBOS
    #[arg(long)]
    alone: bool,
    /// Workflows that DBOS runs in one measurement
    #[arg(long, default_value_t = 300)]
    dbos_runs: usize,
    /// Be the second process: work on this database until standard input ends
    #[arg(long, hide = true)]
    helper: Option<String>,
    /// What cargo says to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    // Only `cargo bench` says so. A test runner that asks every target for its tests is told of none.
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    let done = tokio::runtime::Runtime::new()
        .context("start the runtime")
        .and_then(|runtime| runtime.block_on(run(&Options::parse())));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    if let Some(url) = &options.helper {
        let engine = world::engine(url, dir.path()).await?;
        let _loops = world::work(&engine, options.workers, false);
        println!("ready");
        let ended = tokio::task::spawn_blocking(|| std::io::read_to_string(std::io::stdin()));
        ended.await??;
        return Ok(());
    }
    let server = Server::start(dir.path())?;
    let mut rates = Rates::default();
    let finished: &[usize] = if options.deep { &[0, 10_000, 400_000] } else { &[0, 10_000] };
    let mut databases = vec![];
    for (number, finished) in finished.iter().enumerate() {
        let lite = format!("sqlite:{}", dir.path().join(format!("{number}.db")).display());
        for (name, url) in [("SQLite", lite), ("PostgreSQL", world::fresh_database(&server.url).await?)] {
            let engine = world::engine(&url, dir.path()).await?;
            fill::fill(&engine.store, &world::five_steps()?, "completed", "D", *finished).await?;
            eprintln!("{name} has {finished} finished runs");
            databases.push((format!("{name}, {finished} finished"), url, engine));
        }
    }
    let python = if options.alone { None } else { Some(install(dir.path())?) };
    for round in 1..=options.rounds {
        for (name, url, engine) in &databases {
            rates.add(&format!("{name}, 1 process"), throughput(options, engine, url, dir.path(), 1).await?);
            if name.starts_with("PostgreSQL") {
                rates.add(&format!("{name}, 2 processes"), throughput(options, engine, url, dir.path(), 2).await?);
            }
        }
        for how in ["threads", "async"] {
            if let Some(python) = &python {
                let url = world::fresh_database(&server.url).await?;
                rates.add(&format!("DBOS, {how}"), dbos(python, &url, options.dbos_runs, how)?);
            }
        }
        eprintln!("round {round} is done");
    }
    rates.print(options);
    println!("\n{}", latencies(options, &server, dir.path()).await?);
    Ok(())
}

/// Runs a second, launches included.
async fn throughput(
    options: &Options,
    engine: &std::sync::Arc<countersign::engine::Engine>,
    url: &str,
    dir: &Path,
    processes: usize,
) -> anyhow::Result<f64> {
    let helper = (processes > 1).then(|| Helper::start(options, url, dir)).transpose()?;
    let mut loops = world::work(engine, options.workers, true);
    // So that connections, plans and the second process are warm.
    world::launch(engine, &world::five_steps()?, 100).await?;
    world::until_done(engine).await?;
    let started = Instant::now();
    world::launch(engine, &world::five_steps()?, options.runs).await?;
    world::until_done(engine).await?;
    let rate = options.runs as f64 / started.elapsed().as_secs_f64();
    loops.shutdown().await;
    drop(helper);
    Ok(rate)
}

fn dbos(python: &Path, url: &str, runs: usize, how: &str) -> anyhow::Result<f64> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/engine/peer.py");
    let out = Command::new(python).arg(script).args([url, &runs.to_string(), how]).stderr(Stdio::null()).output()?;
    ensure!(out.status.success(), "DBOS ended with {}", out.status);
    let text = String::from_utf8(out.stdout)?;
    text.lines().rev().find_map(|line| line.trim().parse().ok()).context("a rate of DBOS")
}

fn install(dir: &Path) -> anyhow::Result<PathBuf> {
    let at = std::env::var_os("CS_BENCH_DBOS").map_or_else(|| dir.join("dbos"), PathBuf::from);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/engine/install");
    let out = Command::new(script).arg(at).stderr(Stdio::inherit()).output()?;
    ensure!(out.status.success(), "benches/engine/install ended with {}", out.status);
    Ok(String::from_utf8(out.stdout)?.trim().into())
}

/// Milliseconds of claims at a depth, and from a decision's commit to the begin of the next step.
async fn latencies(options: &Options, server: &Server, dir: &Path) -> anyhow::Result<Table> {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(["milliseconds", "p50", "p99"]);
    let depths = if options.deep { vec![50_000, options.depth, 1_000_000] } else { vec![options.depth] };
    for depth in depths {
        let lite = format!("sqlite:{}", dir.join(format!("queue-{depth}.db")).display());
        for (name, url) in [("SQLite", lite), ("PostgreSQL", world::fresh_database(&server.url).await?)] {
            let engine = world::engine(&url, dir).await?;
            fill::fill(&engine.store, &world::five_steps()?, "queued", "Q", depth).await?;
            for most in [1, 64] {
                let mut taken = vec![];
                for _ in 0..200 {
                    let started = Instant::now();
                    let mut tx = engine.store.begin().await?;
                    let now = world::now();
                    let found = claims::claim(&mut tx, "bench", now, now + engine.lease, most).await?;
                    tx.commit().await?;
                    ensure!(!found.is_empty(), "the queue is empty");
                    taken.push(started.elapsed().as_secs_f64() * 1e3);
                }
                table.add_row(row(&format!("claim {most} of {depth} queued, {name}"), taken));
            }
        }
    }
    let lite = format!("sqlite:{}", dir.join("idle.db").display());
    for (name, url) in [("SQLite", lite), ("PostgreSQL", world::fresh_database(&server.url).await?)] {
        for elsewhere in [false, true] {
            if elsewhere && name == "SQLite" {
                continue;
            }
            let taken = decisions(options, &url, dir, elsewhere).await?;
            let place = if elsewhere { "in another process" } else { "in the same process" };
            table.add_row(row(&format!("decision to start, idle, {name}, {place}"), taken));
        }
    }
    Ok(table)
}

async fn decisions(options: &Options, url: &str, dir: &Path, elsewhere: bool) -> anyhow::Result<Vec<f64>> {
    let engine = world::engine(url, dir).await?;
    let workflow = world::ask_and_go_on()?;
    let helper = elsewhere.then(|| Helper::start(options, url, dir)).transpose()?;
    let mut loops = world::work(&engine, if elsewhere { 0 } else { options.workers }, false);
    let mut taken = vec![];
    for _ in 0..200 {
        let ids = world::launch(&engine, &workflow, 1).await?;
        let id = *ids.first().context("a run")?;
        let wait = loop {
            world::until_done(&engine).await?;
            let mut tx = engine.store.read().await?;
            if let Some(wait) = waits::of_run(&mut tx, id).await?.pop() {
                break wait;
            }
        };
        ensure!(wait.status == WaitStatus::Open, "the wait is not open");
        tokio::time::sleep(Duration::from_millis(20)).await;
        let answer = Answer {
            by: "olivia".into(),
            choice: Choice::Proceed,
            comment: None,
            via: Channel::Cli,
            verified: "bench".into(),
            output: serde_json::Map::new(),
        };
        let mut tx = engine.store.begin().await?;
        engine.decide(&mut tx, wait.id, Ending::Answer(answer), None).await?;
        tx.commit().await?;
        let decided = world::micros();
        engine.work.notify_waiters();
        world::until_done(&engine).await?;
        let mut tx = engine.store.read().await?;
        let rows = steps::of_run(&mut tx, id, 1).await?;
        let output = rows.iter().find(|row| row.name == "go").and_then(|row| row.output.as_ref());
        let begun = output.and_then(|output| output.0.get("micros")?.as_u64()).context("a stamp")?;
        taken.push(begun.saturating_sub(decided) as f64 / 1e3);
    }
    loops.shutdown().await;
    drop(helper);
    Ok(taken)
}

fn row(name: &str, mut values: Vec<f64>) -> [String; 3] {
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values.get((values.len() as f64 * share) as usize).copied().unwrap_or_default();
    [name.to_owned(), format!("{:.2}", at(0.5)), format!("{:.2}", at(0.99))]
}

/// Runs a second, by leg, in the order of rounds.
#[derive(Default)]
struct Rates(Vec<(String, Vec<f64>)>);

impl Rates {
    fn add(&mut self, leg: &str, rate: f64) {
        eprintln!("{leg}: {rate:.0} runs/s");
        match self.0.iter_mut().find(|(name, _)| name == leg) {
            Some((_, rates)) => rates.push(rate),
            None => self.0.push((leg.to_owned(), vec![rate])),
        }
    }

    fn print(&self, options: &Options) {
        let median = |rates: &[f64]| {
            let mut sorted = rates.to_vec();
            sorted.sort_by(f64::total_cmp);
            sorted.get(sorted.len() / 2).copied().unwrap_or_default()
        };
        let theirs = self.0.iter().filter(|(name, _)| name.starts_with("DBOS"));
        let theirs = theirs.map(|(_, rates)| median(rates)).fold(0.0, f64::max);
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN);
        table.set_header(["5-step runs, launched and worked off", "runs/s", "smallest..largest", ": DBOS (goal 10)"]);
        for (name, rates) in &self.0 {
            let (low, high) =
                (rates.iter().copied().fold(f64::INFINITY, f64::min), rates.iter().copied().fold(0.0, f64::max));
            let ratio = if theirs > 0.0 { format!("{:.1}", median(rates) / theirs) } else { "-".into() };
            table.add_row([name.clone(), format!("{:.0}", median(rates)), format!("{low:.0}..{high:.0}"), ratio]);
        }
        println!("{} runs, {} workers a process, {} interleaved rounds", options.runs, options.workers, options.rounds);
        println!("\n{table}");
    }
}

/// The second process; it ends with this.
struct Helper(std::process::Child);

impl Helper {
    fn start(options: &Options, url: &str, dir: &Path) -> anyhow::Result<Self> {
        let workers = options.workers.to_string();
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--bench", "--helper", url, "--workers", &workers])
            .current_dir(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        if let Some(out) = child.stdout.take() {
            std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut line)?;
        }
        ensure!(line.trim() == "ready", "the second process did not start");
        Ok(Self(child))
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// PostgreSQL: the rig's, unless one is named.
struct Server {
    url: String,
    rig: Option<PathBuf>,
}

impl Server {
    fn start(dir: &Path) -> anyhow::Result<Self> {
        if let Ok(url) = std::env::var("CS_BENCH_PG_URL") {
            return Ok(Self { url, rig: None });
        }
        let at = dir.join("rig");
        std::fs::create_dir(&at)?;
        let up = "SETTINGS=$(tests/rig/up \"$0\") && eval \"$SETTINGS\" && echo \"URL $CS_RIG_PG_PORT\"";
        let out = Command::new("bash")
            .args(["-c", up])
            .arg(&at)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env("CS_RIG_SERVERS", "postgres")
            .stderr(Stdio::inherit())
            .output()?;
        let server = Self { url: String::new(), rig: Some(at) };
        ensure!(out.status.success(), "tests/rig/up ended with {}", out.status);
        let text = String::from_utf8(out.stdout)?;
        let port = text.lines().find_map(|line| line.strip_prefix("URL ")).context("the port of PostgreSQL")?;
        // Without TLS on both sides: it is on this machine, and DBOS would have to be told of the rig's authority.
        let url = format!("postgres://postgres:secret@127.0.0.1:{port}/postgres?sslmode=disable");
        let mut server = server;
        server.url = url;
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(rig) = self.rig.take() {
            let down = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rig/down");
            let _ = Command::new(down).env("CS_RIG_DIR", rig).status();
        }
    }
}
