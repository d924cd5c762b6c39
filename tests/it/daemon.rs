//! The real program as a daemon: its configuration directory, its process, and its state as seen from outside.
//! What people do with it is in `story.rs`.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use countersign::store::{Store, StoreError};
use rustix::process::{Pid, Signal, kill_process};
use secrecy::SecretString;
use tempfile::TempDir;

use crate::rig;
use crate::state::State;

/// What a stop may take.
const STOP: Duration = Duration::from_secs(10);

/// Where a configuration's secrets are kept.
#[derive(Debug, Clone, Copy)]
pub enum Keeper {
    Env,
    File,
    /// Secrets Manager, each secret the field of one JSON object.
    Aws,
}

/// A configuration directory, and the people of its one customer: all new to the rig's servers.
pub struct Site {
    dir: TempDir,
    /// A short name: the tag of a Reply-To must fit into the 64 octets of a local part beside it.
    pub mailbox: String,
    pub supplier: String,
    pub approver: String,
    /// URL that the test reads the database at.
    pub database: String,
    /// Further mailboxes by name.
    pub others: Vec<String>,
    pub env: BTreeMap<String, String>,
    /// A program that the daemon is started by, with its arguments; none by itself.
    pub under: Vec<String>,
    starts: Cell<usize>,
}

/// The sections of `countersign.toml` that tests vary, as text.
pub struct Sections {
    pub database: String,
    pub store: String,
    pub mailboxes: String,
    /// Port that mail goes out by, with TLS.
    pub smtp_port: u16,
    pub smtp_password: String,
    pub more: String,
}

impl Site {
    /// A directory with rules, workflows and people, for SQLite in it; `countersign.toml` comes with `write`.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let database = format!("sqlite:{}", dir.path().join("state/countersign.db").display());
        let site = Self {
            dir,
            mailbox: format!("ap-{}@rig.test", &uuid::Uuid::new_v4().simple().to_string()[..16]),
            supplier: rig::fresh_user("supplier"),
            approver: rig::fresh_user("olivia"),
            database,
            others: vec![],
            env: BTreeMap::new(),
            under: vec![],
            starts: Cell::new(0),
        };
        site.put("workflows/ap-invoice.toml", &repository("config/workflows/ap-invoice.toml"));
        site.put("people.toml", &people(&site.supplier, &site.approver));
        site
    }

    /// SQLite, a directory as store, secrets by environment, and leases that a restarted process does not wait for long.
    pub fn usual() -> Self {
        let mut site = Self::new();
        let sections = site.sections();
        site.write(&sections);
        site
    }

    /// The usual sections, to be varied.
    pub fn sections(&mut self) -> Sections {
        let password = self.secret(Keeper::Env, "password", rig::PASSWORD);
        Sections {
            database: "url = \"sqlite:state/countersign.db\"".into(),
            store: "kind = \"directory\"\npath = \"state/store\"".into(),
            mailboxes: mailbox("ap", &self.mailbox, rig::imaps_port(), &password, true),
            smtp_port: rig::submission_port(),
            smtp_password: password,
            more: String::new(),
        }
    }

    /// Writes `countersign.toml`.
    pub fn write(&mut self, sections: &Sections) {
        let Sections { database, store, mailboxes, smtp_port, smtp_password, more, .. } = sections;
        let names: Vec<String> = ["ap"].iter().map(|name| (*name).to_owned()).chain(self.others.clone()).collect();
        let rules = repository("rules/ap.toml").replace(r#"mailboxes = ["ap"]"#, &format!("mailboxes = {names:?}"));
        self.put("rules/ap.toml", &rules);
        let web_secret = self.secret(Keeper::File, "web", "a key of links that is long enough for anybody");
        let (user, ca) = (&self.mailbox, rig::ca());
        let tls = if *smtp_port == rig::smtps_port() { "implicit" } else { "starttls" };
        let text = format!(
            r#"
[database]
{database}

[store]
{store}

[files]
rules = "rules"
workflows = "workflows"
people = "people.toml"

{mailboxes}
[outgoing]
from = "Acme accounts payable <{user}>"

[outgoing.transport]
kind = "smtp"
host = "localhost"
port = {smtp_port}
tls = "{tls}"
ca_file = "{ca}"
user = "{user}"
password = "{smtp_password}"

[web]
listen = "127.0.0.1:0"
base_url = "http://pages.test"
secret = "{web_secret}"

[engine]
lease = "2s"
post_directory = "state/posted"

{more}
"#
        );
        self.put("countersign.toml", &text);
    }

    /// Keeps a secret (in the environment or a file; `moto.rs` knows the third) and gives the reference to it.
    pub fn secret(&mut self, keeper: Keeper, name: &str, value: &str) -> String {
        match keeper {
            Keeper::Env => {
                let variable = format!("TEST_{}", name.to_uppercase().replace('-', "_"));
                self.env.insert(variable.clone(), value.to_owned());
                format!("secret:env/{variable}")
            }
            Keeper::File => {
                self.put(&format!("secrets/{name}"), value);
                format!("secret:file/secrets/{name}")
            }
            Keeper::Aws => panic!("kept by Secrets Manager, which this does not talk to"),
        }
    }

    /// Sets a variable of the program's environment.
    pub fn set(&mut self, variable: &str, value: &str) {
        self.env.insert(variable.into(), value.into());
    }

    /// Writes a file of the directory.
    pub fn put(&self, name: &str, text: &str) {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("make a directory");
        std::fs::write(path, text).expect("write a file");
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Starts the daemon and waits until all of it is up.
    pub async fn start(&self) -> Daemon {
        let mut daemon = self.spawn(&[]);
        rig::wait_for("the daemon to come up", async || {
            assert!(daemon.ended().is_none(), "the daemon ended at its start");
            daemon.port()
        })
        .await;
        daemon
    }

    /// Starts the daemon that kills itself at a crash point; it may be dead when this returns.
    pub fn start_armed(&self, point: &str) -> Daemon {
        self.spawn(&[("COUNTERSIGN_CRASH_AT", point)])
    }

    /// Starts the daemon with further variables, and does not wait for it.
    pub fn spawn(&self, more: &[(&str, &str)]) -> Daemon {
        let start = self.starts.get() + 1;
        self.starts.set(start);
        let log = self.path(&format!("{start:03}.log"));
        let mut words = self.under.clone();
        words.push(env!("CARGO_BIN_EXE_countersign").into());
        let child = Command::new(&words[0])
            .args(&words[1..])
            .args(["run", "--config"])
            .arg(self.path("countersign.toml"))
            .current_dir(self.dir.path())
            .env_remove("CREDENTIALS_DIRECTORY")
            .env("RUST_LOG", "info")
            .envs(&self.env)
            .envs(more.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).expect("make a log"))
            .spawn()
            .expect("start the daemon");
        Daemon { child, log, ended: None }
    }

    /// Reads the database; none while it is not there yet, or away. A new connection each time, so that a restarted
    /// daemon meets the files as the dead one left them.
    pub async fn state(&self) -> Option<State> {
        let store = Store::open(&self.database, None::<&SecretString>, 2).await.ok()?;
        let state = State::read(&store).await;
        store.close().await;
        match state {
            Ok(state) => Some(state),
            Err(StoreError::Sql(_)) => None,
            Err(other) => panic!("read the database: {other}"),
        }
    }

    /// Waits until the database's state answers `probe`.
    pub async fn wait_for_state<T>(&self, what: &str, probe: impl Fn(&State) -> Option<T>) -> T {
        rig::wait_for(what, async || self.state().await.as_ref().and_then(&probe)).await
    }

    /// What the demo's ERP was told, by idempotency key.
    pub fn postings(&self) -> serde_json::Map<String, serde_json::Value> {
        let path = self.path("state/posted/erp.json");
        if !path.exists() {
            return serde_json::Map::new();
        }
        serde_json::from_slice(&std::fs::read(path).expect("read the post file")).expect("the post file")
    }

    fn logs(&self) -> String {
        let mut all = String::new();
        for start in 1..=self.starts.get() {
            let text = std::fs::read_to_string(self.path(&format!("{start:03}.log"))).unwrap_or_default();
            let _ = writeln!(all, "--- start {start} of the daemon of {}\n{text}", self.mailbox);
        }
        all
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.logs());
        }
    }
}

/// A started daemon; it does not outlive this.
pub struct Daemon {
    child: Child,
    log: PathBuf,
    ended: Option<ExitStatus>,
}

impl Daemon {
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The port of its pages; none before they are up.
    pub fn port(&self) -> Option<u16> {
        let log = self.log();
        let (_, after) = log.split_once("pages on http://127.0.0.1:")?;
        after.split_once('\n')?.0.trim().parse().ok()
    }

    /// How it ended; none while it runs.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().expect("look at the daemon");
        }
        self.ended
    }

    /// Waits until it has killed itself.
    pub async fn wait_for_death(&mut self, point: &str) {
        let status = rig::wait_for(&format!("the daemon to die at {point}"), async || self.ended()).await;
        assert_eq!(status.signal(), Some(Signal::KILL.as_raw()), "the daemon ended by itself: {status}");
    }

    /// Stops it by SIGTERM: within ten seconds, and without complaint.
    pub async fn stop(mut self) {
        let told = Instant::now();
        self.signal(Signal::TERM);
        let status = rig::wait_for("the daemon to stop", async || self.ended()).await;
        assert!(told.elapsed() < STOP, "the stop took {:?}", told.elapsed());
        assert!(status.success(), "stopped with {status}");
    }

    /// Ends it by SIGKILL.
    pub fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if self.ended().is_none() {
            self.signal(Signal::KILL);
            self.ended = self.child.wait().ok();
        }
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("signal the daemon");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.end();
    }
}

/// The section of an IMAP mailbox over TLS, polled every second.
pub fn mailbox(name: &str, user: &str, port: u16, password: &str, plus_address: bool) -> String {
    let ca = rig::ca();
    format!(
        r#"
[[mailbox]]
name = "{name}"
customer = "acme"
address = "{user}"
plus_address = {plus_address}
authserv_ids = ["mx.rig.test"]
poll = "* * * * * *"
kind = "imap"
host = "localhost"
port = {port}
ca_file = "{ca}"
user = "{user}"
password = "{password}"
"#
    )
}

fn people(supplier: &str, approver: &str) -> String {
    format!(
        r#"
[[customer]]
name = "acme"

[[customer.supplier]]
name = "Nordwind Papier GmbH"
addresses = ["{supplier}"]
ibans = ["DE89370400440532013000"]

[[customer.user]]
name = "olivia"
full_name = "Olivia Okafor"
address = "{approver}"
roles = ["budget-owner"]

[[customer.user]]
name = "frank"
full_name = "Frank Feld"
address = "frank@rig.test"
roles = ["finance-lead"]
"#
    )
}

/// The text of a file of the repository.
pub fn repository(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()))
}
