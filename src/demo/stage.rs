//! The stage: a directory with the demo's files, the product built on it, a mailbox to drop mail into, and pages.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use chrono::{DateTime, TimeDelta, Utc};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::app::{self, App, Parts};
use crate::config::sections::Source;
use crate::domain::clock::{Clock, ManualClock};
use crate::domain::ids::MessageId;
use crate::domain::message::Message;
use crate::http;
use crate::mailbox::{self, maildir};
use crate::mime;

/// The files of the demo, as they are written into its directory. Admins would keep them under version control.
const FILES: &[(&str, &str)] = &[
    ("people.toml", include_str!("../../config/demo/people.toml")),
    ("workflows/ap-invoice.toml", include_str!("../../config/workflows/ap-invoice.toml")),
    ("rules/ap.toml", include_str!("../../rules/ap.toml")),
];

/// Where the pages are, unless the port is taken.
const USUAL_ADDRESS: &str = "127.0.0.1:8025";

/// A Monday morning.
const BEGINNING: &str = "2026-03-02T09:00:00Z";

pub struct Stage {
    pub app: App,
    pub clock: ManualClock,
    pub dir: PathBuf,
    /// `http://127.0.0.1:8025`
    pub base_url: String,
    /// Whatever came out otherwise than expected.
    pub surprises: Vec<String>,
    /// Messages that the story has told of, in the order in which they arrived.
    pub told: Vec<MessageId>,
    temporary: bool,
    stop: Arc<Notify>,
    pages: JoinHandle<std::io::Result<()>>,
}

impl Stage {
    /// Writes the files, builds the product on them and serves its pages.
    pub async fn set(dir: Option<PathBuf>) -> anyhow::Result<Self> {
        let temporary = dir.is_none();
        let dir =
            dir.unwrap_or_else(|| std::env::temp_dir().join(format!("countersign-demo-{}", uuid::Uuid::now_v7())));
        if dir.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
            bail!("{} is not empty; name a new directory, or remove what an earlier demo left there", dir.display());
        }
        std::fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
        let dir = dir.canonicalize()?;
        let listener = match TcpListener::bind(USUAL_ADDRESS).await {
            Ok(listener) => listener,
            Err(_) => TcpListener::bind("127.0.0.1:0").await.context("find a port for the pages")?,
        };
        let address = listener.local_addr()?;
        for (name, text) in FILES {
            let path = dir.join(name);
            std::fs::create_dir_all(path.parent().unwrap_or(&dir))?;
            std::fs::write(path, text)?;
        }
        let file = dir.join("countersign.toml");
        std::fs::write(&file, configuration(&address.to_string()))?;
        maildir::create(&dir.join("mail"))?;
        let clock = ManualClock::new(BEGINNING.parse()?);
        let checked = app::check(&file).map_err(|told| anyhow::anyhow!(app::listed(&told)))?;
        let parts = Parts { clock: Arc::new(clock.clone()), program: std::env::current_exe()? };
        let app = App::build(checked, parts).await?;
        app.import_people().await?;
        let stop = Arc::new(Notify::new());
        let stopped = Arc::clone(&stop);
        let pages = tokio::spawn(http::serve(listener, app.web().await?, async move { stopped.notified().await }));
        let base_url = format!("http://{address}");
        Ok(Self { app, clock, dir, base_url, surprises: vec![], told: vec![], temporary, stop, pages })
    }

    /// Lets time pass, and everything that is due then happen.
    pub async fn pass(&self, time: TimeDelta) -> anyhow::Result<()> {
        self.clock.advance(time);
        self.app.settle().await
    }

    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Drops a mail into the mailbox and lets the product take it in.
    pub async fn receive(&self, raw: &str) -> anyhow::Result<()> {
        let name = maildir::deliver(&self.dir.join("mail"), raw.as_bytes())?;
        // A Maildir tells the time of receipt by the file's.
        std::fs::File::open(self.dir.join("mail/new").join(name))?.set_modified(self.now().into())?;
        let Some(config) = self.app.config.mailboxes.first() else { bail!("the demo has no mailbox") };
        let mut mailbox = mailbox::open(&config.source, None).await?;
        self.app.intake.poll(config, mailbox.as_mut()).await?;
        debug_assert!(matches!(config.source, Source::Maildir(_)));
        self.app.settle().await
    }

    /// The latest mail that went out to an address, read back as its recipient's program would.
    pub fn latest_mail_to(&self, address: &str) -> anyhow::Result<Message> {
        let mut newest: Option<(String, Message)> = None;
        for entry in std::fs::read_dir(self.dir.join("outgoing"))? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let message = self.read_back(&path)?;
            // Notices are named by their ids, which grow.
            if message.to.iter().any(|to| to.same_as(address)) && newest.as_ref().is_none_or(|(known, _)| *known < name)
            {
                newest = Some((name, message));
            }
        }
        newest.map(|(_, message)| message).with_context(|| format!("no mail went out to {address}"))
    }

    /// How many mails went out.
    pub fn mails_sent(&self) -> usize {
        std::fs::read_dir(self.dir.join("outgoing")).map(Iterator::count).unwrap_or_default()
    }

    fn read_back(&self, path: &Path) -> anyhow::Result<Message> {
        let raw = std::fs::read(path)?;
        let options = mime::Options { limits: &self.app.config.limits, authserv_ids: &[] };
        mime::parse(&raw, &options).map_err(|error| anyhow::anyhow!("{}: {}", error.reason, error.details))
    }

    /// Says so when something came out otherwise.
    pub fn must_be(&mut self, what: &str, expected: impl ToString, got: impl ToString) {
        let (expected, got) = (expected.to_string(), got.to_string());
        if expected != got {
            self.surprises.push(format!("{what}: expected {expected}, got {got}"));
        }
    }

    /// Keeps the pages until the process is told to stop, and does what their visitors decide.
    pub async fn stay(&self) -> anyhow::Result<()> {
        println!("\nThe pages stay at {}/runs until you press ctrl-c.", self.base_url);
        println!("Look around: countersign --config {} runs", self.dir.join("countersign.toml").display());
        loop {
            tokio::select! {
                stopped = tokio::signal::ctrl_c() => return Ok(stopped?),
                () = self.app.engine.work.notified() => self.app.settle().await?,
            }
        }
    }

    /// Ends the pages and removes a temporary directory.
    pub async fn strike(self) -> anyhow::Result<()> {
        self.stop.notify_one();
        self.pages.await??;
        self.app.engine.store.close().await;
        if self.temporary {
            std::fs::remove_dir_all(&self.dir)?;
        }
        Ok(())
    }
}

fn configuration(address: &str) -> String {
    format!(
        r#"# The demo: everything embedded, nothing installed. See config/base.toml for every key.

[database]
url = "sqlite:countersign.db"

[store]
kind = "directory"
path = "store"

[files]
rules = "rules"
workflows = "workflows"
people = "people.toml"

[[mailbox]]
name = "ap"
customer = "acme"
kind = "maildir"
path = "mail"
address = "ap@acme.example"
plus_address = true
authserv_ids = ["mx.acme.example"]

[outgoing]
from = "Acme accounts payable <ap@acme.example>"
transport = {{ kind = "directory", path = "outgoing" }}

[web]
listen = "{address}"
base_url = "http://{address}"

[engine]
post_directory = "erp"
"#
    )
}
