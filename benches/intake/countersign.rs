//! Countersign as it is measured: the real binary as a child, intake alone, with the shipped rules and workflow. A mailbox is
//! drained when every message is flagged; that is read from the database beside it, cheaply, and then proven by the server
//! and by `ledger verify`.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, SqliteConnection};
use tokio::runtime::Runtime;

use crate::mails::{AUTHSERV_ID, SUPPLIERS, domain};
use crate::options::Options;
use crate::process;
use crate::rig::{ADDRESS, PASSWORD, Rig, repository};
use crate::s3;
use crate::table::Sample;

/// How often the database is looked at.
const LOOK: Duration = Duration::from_millis(25);

/// A leg that takes longer is stuck.
const PATIENCE: Duration = Duration::from_secs(3_600);

/// Variable with the password of every mailbox.
const PASSWORD_VARIABLE: &str = "BENCH_PASSWORD";

/// How far the mailbox was listed, and what of it is not done yet: two lookups in partial indexes and one row.
const PROGRESS: &str = "select cast((select coalesce(max(high_water), 0) from mailboxes) as bigint), \
    cast((select count(*) from (select 1 from messages where state = 'listed' limit 1) open) as bigint), \
    cast((select count(*) from (select 1 from messages where state = 'decided' and flagged_at is null limit 1) bare) as bigint)";
const FLAGGED: &str = "select cast(count(*) as bigint) from messages where flagged_at is not null";
const POLLED: &str = "select cast(count(*) as bigint) from mailboxes where last_poll_at is not null";

/// Where mails and state go.
#[derive(Clone, Copy)]
pub enum Backend<'a> {
    /// A directory and SQLite.
    Directory,
    /// A fresh bucket and a fresh database of PostgreSQL.
    S3(&'a s3::Server),
}

/// The program that is measured.
pub struct Program {
    binary: PathBuf,
}

impl Program {
    pub fn new(options: &Options) -> Self {
        Self { binary: options.binary.clone() }
    }

    /// Drains a fresh mailbox with `messages` messages through `port`, from the start of the process to the last flag.
    ///
    /// # Errors
    /// When it does not drain, or the ledger does not add up.
    pub fn drain(
        &self,
        rig: &Rig,
        runtime: &Runtime,
        messages: usize,
        port: u16,
        backend: &Backend,
    ) -> anyhow::Result<Sample> {
        let user = rig.user(messages)?;
        let site = Site::new(rig, runtime, std::slice::from_ref(&user), port, backend)?;
        let started = Instant::now();
        let mut daemon = site.start(self, &[])?;
        let database = site.wait(&mut daemon, async |database| database.is_drained(messages).await)?;
        let wall_secs = started.elapsed().as_secs_f64();
        let usage = process::usage(daemon.id())?;
        process::stop(daemon).context("stop countersign")?;
        drop(database);
        site.verify(self)?;
        let unseen = rig.unseen(&user)?;
        ensure!(unseen == 0, "{unseen} messages are not flagged on the server");
        site.remove()?;
        rig.forget(&user)?;
        Ok(Sample { wall_secs, cpu_secs: usage.cpu_secs, peak_rss_bytes: usage.peak_rss_bytes })
    }
}

/// A configuration with its state.
pub struct Site<'a> {
    rig: &'a Rig,
    runtime: &'a Runtime,
    directory: PathBuf,
    database: String,
}

impl<'a> Site<'a> {
    /// One mailbox for each of `users`.
    ///
    /// # Errors
    /// When it cannot be written, or a bucket or a database not be made.
    pub fn new(
        rig: &'a Rig,
        runtime: &'a Runtime,
        users: &[String],
        port: u16,
        backend: &Backend,
    ) -> anyhow::Result<Self> {
        let first = users.first().context("a site without a mailbox")?;
        let directory = rig.dir().join("sites").join(first);
        fs::create_dir_all(directory.join("rules"))?;
        let (database, store) = match backend {
            Backend::Directory => {
                let database = format!("sqlite:{}", directory.join("state/countersign.db").display());
                (database, "kind = \"directory\"\npath = \"state/store\"".to_owned())
            }
            Backend::S3(server) => {
                let bucket = server.bucket(first)?;
                let store = format!(
                    "kind = \"s3\"\nbucket = \"{bucket}\"\nendpoint = \"{}\"\nregion = \"us-east-1\"\npath_style = true\n\
                     access_key_id = \"secret:env/AWS_ACCESS_KEY_ID\"\nsecret_access_key = \"secret:env/AWS_SECRET_ACCESS_KEY\"",
                    server.url
                );
                (fresh_database(rig, runtime, first)?, store)
            }
        };
        fs::write(directory.join("countersign.toml"), configuration(&database, &store, users, port))?;
        fs::write(directory.join("people.toml"), people())?;
        let rules = fs::read_to_string(repository("rules/ap.toml"))?;
        let rules = rules.replace(r#"mailboxes = ["ap"]"#, &format!("mailboxes = {users:?}"));
        fs::write(directory.join("rules/ap.toml"), rules)?;
        fs::create_dir_all(directory.join("workflows"))?;
        fs::copy(repository("config/workflows/ap-invoice.toml"), directory.join("workflows/ap-invoice.toml"))?;
        Ok(Self { rig, runtime, directory, database })
    }

    /// Starts intake, behind the words of `tracer` if there are any.
    ///
    /// # Errors
    /// When there is no such program.
    pub fn start(&self, program: &Program, tracer: &[&str]) -> anyhow::Result<Child> {
        rustix::fs::sync();
        let mut command = match tracer {
            [] => Command::new(&program.binary),
            [tracer, arguments @ ..] => {
                let mut command = Command::new(tracer);
                command.args(arguments).arg(&program.binary);
                command
            }
        };
        self.finish(&mut command).args(["run", "--roles", "intake"]).stderr(File::create(self.log())?);
        command.spawn().with_context(|| format!("start {}", program.binary.display()))
    }

    /// Waits until `is_done`; gives the connection it was asked on.
    ///
    /// # Errors
    /// When the daemon ends or makes no end.
    pub fn wait(
        &self,
        daemon: &mut Child,
        is_done: impl AsyncFn(&mut Database) -> anyhow::Result<bool>,
    ) -> anyhow::Result<Database> {
        let deadline = Instant::now() + PATIENCE;
        let mut database = None;
        loop {
            if database.is_none() {
                database = self.runtime.block_on(Database::open(&self.database)).ok();
            }
            // The tables may not be there yet.
            if let Some(open) = &mut database
                && self.runtime.block_on(is_done(open)).unwrap_or(false)
                && let Some(database) = database.take()
            {
                return Ok(database);
            }
            if let Some(status) = daemon.try_wait()? {
                bail!("countersign ended with {status}:\n{}", fs::read_to_string(self.log())?);
            }
            if Instant::now() > deadline {
                let _ = daemon.kill();
                bail!("it does not come to an end; log:\n{}", fs::read_to_string(self.log())?);
            }
            sleep(LOOK);
        }
    }

    /// Asks `ledger verify`.
    ///
    /// # Errors
    /// When it does not add up.
    pub fn verify(&self, program: &Program) -> anyhow::Result<()> {
        let mut command = Command::new(&program.binary);
        let out = self.finish(&mut command).args(["ledger", "verify"]).stdout(Stdio::piped()).output()?;
        let told = String::from_utf8_lossy(&out.stdout);
        ensure!(out.status.success(), "the ledger does not add up:\n{told}{}", String::from_utf8_lossy(&out.stderr));
        eprint!("    {told}");
        Ok(())
    }

    /// Removes what it wrote to disk.
    ///
    /// # Errors
    /// When that fails.
    pub fn remove(self) -> anyhow::Result<()> {
        Ok(fs::remove_dir_all(&self.directory)?)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn log(&self) -> PathBuf {
        self.path("log")
    }

    fn finish<'b>(&self, command: &'b mut Command) -> &'b mut Command {
        command.arg("--config").arg(self.path("countersign.toml")).current_dir(&self.directory);
        command.env_remove("CREDENTIALS_DIRECTORY").env(PASSWORD_VARIABLE, PASSWORD).env("RUST_LOG", "warn");
        command.envs(self.rig.settings()).stdin(Stdio::null()).stdout(Stdio::null())
    }
}

/// A connection that only reads.
pub enum Database {
    Lite(SqliteConnection),
    Postgres(PgConnection),
}

impl Database {
    async fn open(url: &str) -> anyhow::Result<Self> {
        Ok(match url.strip_prefix("sqlite:") {
            Some(path) => {
                let options = SqliteConnectOptions::new().filename(Path::new(path)).read_only(true);
                Self::Lite(options.connect().await?)
            }
            None => Self::Postgres(PgConnection::connect(url).await?),
        })
    }

    /// Whether all of the first `messages` UIDs are listed, decided and flagged.
    pub async fn is_drained(&mut self, messages: usize) -> anyhow::Result<bool> {
        let (high_water, open, bare): (i64, i64, i64) = match self {
            Self::Lite(connection) => sqlx::query_as(PROGRESS).fetch_one(connection).await?,
            Self::Postgres(connection) => sqlx::query_as(PROGRESS).fetch_one(connection).await?,
        };
        let messages = i64::try_from(messages)?;
        Ok(high_water >= messages && open == 0 && bare == 0 && self.count(FLAGGED).await? >= messages)
    }

    /// Whether `mailboxes` mailboxes were polled.
    pub async fn is_polled(&mut self, mailboxes: usize) -> anyhow::Result<bool> {
        Ok(self.count(POLLED).await? >= i64::try_from(mailboxes)?)
    }

    async fn count(&mut self, query: &'static str) -> anyhow::Result<i64> {
        Ok(match self {
            Self::Lite(connection) => sqlx::query_scalar(query).fetch_one(connection).await?,
            Self::Postgres(connection) => sqlx::query_scalar(query).fetch_one(connection).await?,
        })
    }
}

fn fresh_database(rig: &Rig, runtime: &Runtime, user: &str) -> anyhow::Result<String> {
    let (url, name) = (rig.setting("CS_RIG_PG_URL")?, user.replace('-', "_"));
    let statement = format!("create database {name}");
    runtime.block_on(async {
        let mut admin = PgConnection::connect(url).await?;
        sqlx::query(AssertSqlSafe(statement)).execute(&mut admin).await
    })?;
    Ok(url.replacen("/postgres?", &format!("/{name}?"), 1))
}

fn configuration(database: &str, store: &str, users: &[String], port: u16) -> String {
    let mut text = format!(
        r#"
[database]
url = "{database}"

[store]
{store}

[files]
rules = "rules"
workflows = "workflows"
people = "people.toml"

[outgoing]
from = "Accounts payable <{ADDRESS}>"

[web]
secret = "secret:env/{PASSWORD_VARIABLE}"
"#
    );
    for user in users {
        let _ = write!(
            text,
            r#"
[[mailbox]]
name = "{user}"
customer = "acme"
address = "{ADDRESS}"
authserv_ids = ["{AUTHSERV_ID}"]
start = "all"
burst = 0
kind = "imap"
host = "127.0.0.1"
port = {port}
tls = "none"
user = "{user}"
password = "secret:env/{PASSWORD_VARIABLE}"
"#
        );
    }
    text
}

fn people() -> String {
    let mut text = "[[customer]]\nname = \"acme\"\n".to_owned();
    for supplier in 0..SUPPLIERS {
        let domain = domain(supplier);
        let _ = write!(text, "\n[[customer.supplier]]\nname = \"Supplier {supplier:02}\"\ndomains = [\"{domain}\"]\n");
    }
    for (name, role) in [("olivia", "budget-owner"), ("frank", "finance-lead")] {
        let _ = write!(
            text,
            "\n[[customer.user]]\nname = \"{name}\"\nfull_name = \"{name}\"\naddress = \"{name}@bench.example\"\n\
             roles = [\"{role}\"]\n"
        );
    }
    text
}
