//! The product in this process, on a temporary directory and a clock that stands still: SQLite, a Maildir, a directory
//! store, and outgoing mail as files. Features are tested through it; what a person would see is what it gives back.

mod letter;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use countersign::app::{self, App, Parts};
use countersign::domain::clock::{Clock, ManualClock};
use countersign::domain::event::Event;
use countersign::domain::ids::{Delivery, RunId, TransactionId};
use countersign::domain::message::Message;
use countersign::domain::run::RunStatus;
use countersign::domain::wait::WaitStatus;
use countersign::domain::workflow::Workflow;
use countersign::engine::launch::Launch;
use countersign::intake::{IntakeError, Polled};
use countersign::mailbox::{self, maildir};
use countersign::mime;
use countersign::reports::audit;
use countersign::store::answers::AnswerRow;
use countersign::store::messages::MessageRow;
use countersign::store::runs::RunRow;
use countersign::store::steps::StepRow;
use countersign::store::waits::WaitRow;
use countersign::store::{Tx, answers, events, messages, notices, runs, steps, waits};
use serde_json::{Map, Value, json};

pub use letter::{Mail, answer, file, invoice, invoice_without_po, mail, token_in};

pub const OLIVIA: &str = "olivia@acme.example";
pub const FRANK: &str = "frank@acme.example";
pub const NORDWIND: &str = "billing@nordwind.example";
pub const SUNDA: &str = "accounts@sunda.example";
pub const AP: &str = "ap@acme.example";

/// A Monday morning, ten o'clock in Berlin.
const BEGINNING: &str = "2026-03-02T09:00:00Z";

const CONFIG: &str = r#"
[database]
url = "sqlite:state.db"
connections = 4
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
transport = { kind = "directory", path = "outgoing" }
[web]
base_url = "http://127.0.0.1:8025"
[engine]
post_directory = "erp"
"#;

/// What is used unless a test brings its own.
const FILES: &[(&str, &str)] = &[
    ("countersign.toml", CONFIG),
    ("people.toml", include_str!("../../config/demo/people.toml")),
    ("workflows/ap-invoice.toml", include_str!("../../config/workflows/ap-invoice.toml")),
    ("rules/ap.toml", include_str!("../../rules/ap.toml")),
];

pub struct TestApp {
    pub app: App,
    pub clock: ManualClock,
    dir: tempfile::TempDir,
}

impl TestApp {
    /// With the demo's people, rules and workflow.
    pub async fn demo() -> Self {
        Self::with(&[]).await
    }

    /// With other files, by their path; `countersign.toml` is the configuration.
    pub async fn with(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        for (name, text) in FILES.iter().filter(|(name, _)| !files.iter().any(|(other, _)| other == name)).chain(files)
        {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("make a directory");
            std::fs::write(path, text).expect("write a file");
        }
        maildir::create(&dir.path().join("mail")).expect("make the Maildir");
        let checked =
            app::check(&dir.path().join("countersign.toml")).unwrap_or_else(|told| panic!("{}", app::listed(&told)));
        let clock = ManualClock::new(BEGINNING.parse().expect("an instant"));
        let program = PathBuf::from(env!("CARGO_BIN_EXE_countersign"));
        let app =
            App::build(checked, Parts { clock: Arc::new(clock.clone()), program }).await.expect("build the product");
        app.import_people().await.expect("import the people");
        Self { app, clock, dir }
    }

    /// With one line of the configuration replaced by others.
    pub async fn configured(line: &str, by: &str) -> Self {
        Self::configured_with(line, by, &[]).await
    }

    /// As `configured`, with other files as well.
    pub async fn configured_with(line: &str, by: &str, files: &[(&str, &str)]) -> Self {
        assert!(CONFIG.contains(line), "{line} is not in the configuration");
        let config = CONFIG.replace(line, by);
        Self::with(&[&[("countersign.toml", config.as_str())], files].concat()).await
    }

    /// The product built anew on the same state, without a section at the end of which `[engine]` stands.
    pub async fn rebuilt_without(&self, section: &str) -> App {
        let file = self.path("countersign.toml");
        let config = std::fs::read_to_string(&file).expect("read the configuration");
        let (before, rest) = config.split_once(section).expect("the section");
        let (_, after) = rest.split_once("[engine]").expect("the next section");
        std::fs::write(&file, format!("{before}[engine]{after}")).expect("write the configuration");
        let checked = app::check(&file).unwrap_or_else(|told| panic!("{}", app::listed(&told)));
        let program = PathBuf::from(env!("CARGO_BIN_EXE_countersign"));
        App::build(checked, Parts { clock: Arc::new(self.clock.clone()), program }).await.expect("build the product")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Puts mail into the mailbox; nobody looks at it yet.
    pub fn deliver(&self, raw: &[u8]) -> Delivery {
        let uid = maildir::deliver(&self.path("mail"), raw).expect("deliver");
        Delivery { mailbox: "ap".into(), uid_validity: 0, uid }
    }

    pub async fn poll(&self) -> Result<Polled, IntakeError> {
        let config = &self.app.config.mailboxes[0];
        let mut mailbox = mailbox::open(&config.source, None).await.expect("open the Maildir");
        self.app.intake.poll(config, mailbox.as_mut()).await
    }

    /// Delivers a mail, takes it in, and does whatever follows. Gives its row in the ledger.
    pub async fn receive(&self, raw: impl Into<Vec<u8>>) -> MessageRow {
        let delivery = self.deliver(&raw.into());
        self.poll().await.expect("poll");
        self.settle().await;
        messages::get(&mut self.tx().await, delivery.message_id()).await.expect("a row of the ledger")
    }

    pub async fn settle(&self) {
        self.app.settle().await.expect("settle");
    }

    /// Lets time pass, and all that is due then happen.
    pub async fn pass(&self, time: TimeDelta) {
        self.clock.advance(time);
        self.settle().await;
    }

    /// Moves time to the next rung or timer, and lets it happen.
    pub async fn pass_to_next(&self) {
        let due = waits::next_due(&mut self.tx().await).await.expect("read waits").expect("something is due");
        self.clock.advance_to(due);
        self.settle().await;
    }

    /// Every mail that went out, oldest first, read back as its recipient's program would.
    pub fn outbox(&self) -> Vec<Message> {
        let Ok(entries) = std::fs::read_dir(self.path("outgoing")) else { return vec![] };
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
        files.sort();
        files.iter().map(|file| self.read_back(file)).collect()
    }

    fn read_back(&self, file: &Path) -> Message {
        let raw = std::fs::read(file).expect("read a mail");
        mime::parse(&raw, &mime::Options { limits: &self.app.config.limits, authserv_ids: &[] }).expect("a mail")
    }

    pub fn sent_to(&self, address: &str) -> Vec<Message> {
        self.outbox().into_iter().filter(|mail| mail.to.iter().any(|to| to.same_as(address))).collect()
    }

    /// The latest mail to an address.
    pub fn last_to(&self, address: &str) -> Message {
        self.sent_to(address).pop().unwrap_or_else(|| panic!("no mail went to {address}"))
    }

    /// A transaction to look around in; dropped, it leaves no trace.
    pub async fn tx(&self) -> Tx {
        self.app.engine.store.read().await.expect("a transaction")
    }

    pub async fn run(&self, name: &str) -> RunRow {
        runs::by_name(&mut self.tx().await, name).await.expect("a run")
    }

    pub async fn runs(&self) -> Vec<RunRow> {
        runs::latest(&mut self.tx().await, None, 1000).await.expect("runs")
    }

    pub async fn steps(&self, name: &str) -> BTreeMap<String, StepRow> {
        let run = self.run(name).await;
        let rows = steps::of_run(&mut self.tx().await, run.id, run.generation).await.expect("steps");
        rows.into_iter().map(|row| (row.name.clone(), row)).collect()
    }

    /// `extract=success ask_po=skipped approve=waiting`, in the order of their start, then by name.
    pub async fn progress(&self, name: &str) -> String {
        let run = self.run(name).await;
        let rows = steps::of_run(&mut self.tx().await, run.id, run.generation).await.expect("steps");
        rows.iter().map(|row| format!("{}={}", row.name, row.status)).collect::<Vec<_>>().join(" ")
    }

    pub async fn waits(&self, name: &str) -> Vec<WaitRow> {
        let run = self.run(name).await;
        waits::of_run(&mut self.tx().await, run.id).await.expect("waits")
    }

    pub async fn open_wait(&self, name: &str) -> WaitRow {
        let open = |wait: &WaitRow| wait.status == WaitStatus::Open;
        self.waits(name).await.into_iter().find(open).expect("an open wait")
    }

    /// What was said to all waits of a run, oldest first: `olivia decided approve`, `-` where nothing was chosen.
    pub async fn said(&self, name: &str) -> Vec<String> {
        let line = |answer: AnswerRow| {
            format!("{} {} {}", answer.person, answer.effect, answer.choice.map_or("-", |choice| choice.as_str()))
        };
        let mut said = vec![];
        for wait in self.waits(name).await {
            said.extend(answers::of_wait(&mut self.tx().await, wait.id).await.expect("answers").into_iter().map(line));
        }
        said
    }

    /// The ledger, oldest first.
    pub async fn messages(&self) -> Vec<MessageRow> {
        let mut rows = messages::latest(&mut self.tx().await, 1000).await.expect("messages");
        rows.reverse();
        rows
    }

    /// Sealed events of one kind, oldest first.
    pub async fn events(&self, kind: &str) -> Vec<Event> {
        audit::seal(&self.app.engine).await.expect("seal");
        let sealed = events::after(&mut self.tx().await, 0, 100_000).await.expect("events");
        sealed.into_iter().map(|sealed| sealed.event).filter(|event| event.kind == kind).collect()
    }

    /// Postings in the demo's ERP.
    pub fn postings(&self) -> Vec<Value> {
        let Ok(text) = std::fs::read(self.path("erp/erp.json")) else { return vec![] };
        let postings: Map<String, Value> = serde_json::from_slice(&text).expect("postings");
        postings.into_values().collect()
    }

    /// Launches a run of a workflow written as TOML, past every rule. Gives its name; nothing is done yet.
    pub async fn launch(&self, workflow: &str, inputs: Value) -> String {
        let workflow: Workflow = toml::from_str(workflow).expect("a workflow");
        assert_eq!(workflow.problems(), []);
        let origin = json!({"from": NORDWIND, "subject": "test", "mailbox": "ap", "address": AP});
        let launch = Launch {
            workflow: &workflow,
            customer: "acme",
            transaction_id: TransactionId::new(),
            message_id: None,
            documents: &[],
            inputs: inputs.as_object().cloned().unwrap_or_default(),
            origin: origin.as_object().cloned().unwrap_or_default(),
            by: "test",
        };
        let mut tx = self.app.engine.store.begin().await.expect("begin");
        let launched = self.app.engine.launch(&mut tx, launch).await.expect("launch");
        tx.commit().await.expect("commit");
        launched.name
    }

    pub async fn id(&self, name: &str) -> RunId {
        self.run(name).await.id
    }

    /// The directory of the run's transaction in the store, with everything that belongs to its message.
    pub async fn stored(&self, row: &MessageRow) -> Vec<String> {
        let prefix = format!("acme/{}", row.transaction_id);
        let entries = self.app.engine.blob.list(&prefix).await.expect("list the store");
        entries.iter().map(|entry| entry.path[prefix.len() + 1..].to_owned()).collect()
    }

    /// Says what is left to do; a test that ends here has nothing in hand.
    pub async fn finish(self) {
        self.settle().await;
        let now = self.now();
        let mut tx = self.app.engine.store.begin().await.expect("begin");
        let later = now + TimeDelta::days(3650);
        let open = messages::open(&mut tx, "ap", later, 10).await.expect("open messages");
        assert!(open.is_empty(), "messages without a verdict: {open:#?}");
        let unflagged = messages::unflagged(&mut tx, "ap", 10).await.expect("unflagged messages");
        assert!(unflagged.is_empty(), "messages that are not flagged: {unflagged:#?}");
        let notice = notices::claim(&mut tx, later, later).await.expect("notices");
        assert!(notice.is_none(), "a notice that was not sent: {notice:#?}");
        for status in [RunStatus::Queued, RunStatus::Running] {
            let left = runs::latest(&mut tx, Some(status), 10).await.expect("runs");
            assert!(left.is_empty(), "runs that nobody works on: {left:#?}");
        }
    }
}
