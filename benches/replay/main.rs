//! How fast stored mail is screened again: `cargo bench --bench replay -- --messages 20000`. Fills a SQLite database with decided
//! messages, replays them with candidate rules, and holds the figure to the goal. Needs no server.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, anyhow};
use chrono::{DateTime, TimeDelta, Utc};
use clap::Parser;
use countersign::app::{self, App, Parts};
use countersign::config::sections::Mailbox;
use countersign::domain::clock::SystemClock;
use countersign::domain::ids::Delivery;
use countersign::domain::person::Customer;
use countersign::intake::replay::{Against, People, Wanted};
use countersign::mime;
use countersign::rules::{Facts, Surroundings};
use countersign::store::messages::{self, Decided};
use countersign::store::{Tx, people};

/// Messages a minute, on two cores.
const GOAL: f64 = 20_000.0;

/// Fills a database and replays it with candidate rules, as `rules replay --diff` does.
#[derive(Debug, Parser)]
#[command(name = "cargo bench --bench replay --")]
struct Options {
    /// Messages in the database
    #[arg(long, default_value_t = 20_000)]
    messages: usize,
    /// How often they are replayed
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// What cargo says to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

const CONFIG: &str = r#"
[database]
url = "sqlite:state.db"
[store]
kind = "directory"
path = "store"
[[mailbox]]
name = "ap"
customer = "acme"
kind = "maildir"
path = "mail"
address = "ap@acme.example"
authserv_ids = ["mx.acme.example"]
"#;

/// One rule more than those in force.
const CANDIDATE: &str = r#"[[rule]]
name = "offers"
from_domain = "elsewhere.example"
subject = "Offer *"
ignore = "an offer"

[default]"#;

fn main() -> ExitCode {
    // Only `cargo bench` says so. A test runner that asks every target for its tests is told of none.
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    let done = tokio::runtime::Runtime::new()
        .context("start the runtime")
        .and_then(|runtime| runtime.block_on(run(&Options::parse())));
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> anyhow::Result<bool> {
    let dir = tempfile::tempdir()?;
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = format!(
        "[files]\nrules = \"{0}/rules\"\nworkflows = \"{0}/config/workflows\"\npeople = \"{0}/config/demo/people.toml\"\n",
        repository.display()
    );
    let file = dir.path().join("countersign.toml");
    std::fs::write(&file, format!("{CONFIG}{files}"))?;
    let checked = app::check(&file).map_err(|told| anyhow!(app::listed(&told)))?;
    let program = PathBuf::from(env!("CARGO_BIN_EXE_countersign"));
    let app = App::build(checked, Parts { clock: Arc::new(SystemClock), program }).await?;
    let started = Instant::now();
    fill(&app, options.messages).await.context("fill the database")?;
    eprintln!("{} messages written in {:.1} s", options.messages, started.elapsed().as_secs_f64());

    let candidate = dir.path().join("candidate");
    std::fs::create_dir(&candidate)?;
    let rules = std::fs::read_to_string(repository.join("rules/ap.toml"))?;
    std::fs::write(candidate.join("ap.toml"), rules.replace("[default]", CANDIDATE))?;
    let context = app.context();
    let candidate = Arc::new(context.rulebook.load(&candidate).map_err(|told| anyhow!(app::listed(&told)))?);
    let wanted = Wanted {
        since: Utc::now() - TimeDelta::days(30),
        mailbox: None,
        against: Against::Recorded,
        people: People::Then,
        examples: 3,
    };
    let mut worst = f64::INFINITY;
    for round in 1..=options.rounds {
        let started = Instant::now();
        let found = app.intake.replay(&wanted, Some(Arc::clone(&candidate))).await?;
        let rate = found.messages as f64 / started.elapsed().as_secs_f64() * 60.0;
        worst = worst.min(rate);
        println!(
            "round {round}: {} messages, {} screened, {} changed: {rate:.0} messages/min, {} MiB at most",
            found.messages,
            found.screened,
            found.changed,
            peak_mib().unwrap_or_default()
        );
        anyhow::ensure!(found.messages == options.messages && found.changed > 0, "the replay did not see everything");
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let word = if worst >= GOAL { "held" } else { "missed" };
    println!("goal of {GOAL:.0} messages/min: {word} by the slowest round, {worst:.0}, on {cores} cores");
    Ok(worst >= GOAL)
}

/// Messages of six kinds, decided by the rules in force over the last weeks.
async fn fill(app: &App, count: usize) -> anyhow::Result<()> {
    let mailbox = &app.config.mailboxes[0];
    let first = Utc::now() - TimeDelta::days(28);
    let mut number = 0;
    while number < count {
        let mut tx = app.engine.store.begin().await?;
        let customer = people::customer(&mut tx, "acme").await?;
        for _ in 0..1_000.min(count - number) {
            let at = first + TimeDelta::seconds(i64::try_from(number)? * 60 * 24 * 28 * 60 / i64::try_from(count)?);
            write(app, &mut tx, mailbox, &customer, number, at).await?;
            number += 1;
        }
        tx.commit().await?;
    }
    Ok(())
}

async fn write(
    app: &App,
    tx: &mut Tx,
    mailbox: &Mailbox,
    customer: &Customer,
    number: usize,
    at: DateTime<Utc>,
) -> anyhow::Result<()> {
    let delivery = Delivery { mailbox: mailbox.name.clone(), uid_validity: 1, uid: number.to_string() };
    let options = mime::Options { limits: &app.config.limits, authserv_ids: &mailbox.authserv_ids };
    let message = mime::parse(&raw(number), &options).map_err(|why| anyhow!("{}: {}", why.reason, why.details))?;
    let surroundings = Surroundings {
        mailbox: &mailbox.name,
        customer,
        duplicate_of: None,
        earlier: &[],
        first_time_sender: Some(false),
        joined: None,
        now: at,
        documents: &[],
    };
    let decision = app.intake.behaviour().rules.screen(&Facts::gather(&message, &surroundings));
    messages::record_listed(tx, &customer.name, &delivery, Some(at), message.size_bytes, at).await?;
    let decided = Decided {
        id: delivery.message_id(),
        customer: &customer.name,
        message: Some(&message),
        decision: &decision,
        raw_sha256: Some(&message.raw_sha256),
        size_bytes: message.size_bytes,
        run_id: None,
        wait_id: None,
        duplicate_of: None,
        documents_of: None,
        at,
    };
    anyhow::ensure!(messages::decide(tx, &decided).await?, "message {number} was decided before");
    Ok(())
}

fn raw(number: usize) -> Vec<u8> {
    let (from, header, subject) = match number % 6 {
        0 | 1 => ("billing@nordwind.example", "", format!("Invoice {number}")),
        2 => ("news@fair.example", "List-Unsubscribe: <mailto:off@fair.example>\r\n", format!("Programme {number}")),
        3 => ("billing@nordwind.example", "", format!("URGENT: invoice {number}, new bank account")),
        4 => ("info@association.example", "Precedence: bulk\r\n", format!("Circular {number}")),
        _ => ("somebody@elsewhere.example", "", format!("Offer {number}")),
    };
    let domain = from.rsplit('@').next().unwrap_or_default();
    let body = "Dear Sir or Madam, please find the document attached. Kind regards, accounts.\r\n".repeat(30);
    let head = format!(
        "Authentication-Results: mx.acme.example; dmarc=pass header.from={domain}\r\nReceived: from a by b; Mon, 02 Mar 2026 \
         09:00:00 +0000\r\nFrom: Accounts <{from}>\r\nTo: ap@acme.example\r\nSubject: {subject}\r\nMessage-ID: <{number}@{domain}>\r\n\
         {header}MIME-Version: 1.0\r\n"
    );
    let text = format!("Content-Type: text/plain; charset=utf-8\r\n\r\n{body}");
    if matches!(number % 6, 2 | 4) {
        return format!("{head}{text}").into_bytes();
    }
    format!(
        "{head}Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n{text}\r\n--b\r\nContent-Type: application/pdf; \
         name=\"{number}.pdf\"\r\nContent-Disposition: attachment; filename=\"{number}.pdf\"\r\n\r\n%PDF-1.4 {number}\r\n--b--\r\n"
    )
    .into_bytes()
}

/// Most memory that this process ever had, where the system tells.
fn peak_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? / 1024)
}
