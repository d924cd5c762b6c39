//! A whole product on a desk: configuration, rules, people, one workflow with an approval, a clock to move; and mails.

use std::path::PathBuf;

use chrono::TimeDelta;
use countersign::app::{self, App, Parts};
use countersign::cli::{self, Command, Context, Ending, Told};
use countersign::domain::clock::ManualClock;
use countersign::store::Store;
use regex::Regex;

const CONFIG: &str = r#"
[database]
url = "sqlite:state/countersign.db"
[files]
people = "people.toml"
[[mailbox]]
name = "ap"
customer = "acme"
address = "ap@acme.example"
authserv_ids = ["mx.acme.example"]
kind = "maildir"
path = "maildir"
"#;

pub const PEOPLE: &str = r#"
[[customer]]
name = "acme"
[[customer.supplier]]
name = "Nordwind"
domains = ["nordwind.example"]
[[customer.user]]
name = "olivia"
full_name = "Olivia Okafor"
address = "olivia@acme.example"
roles = ["budget-owner"]
[[customer.user]]
name = "frank"
full_name = "Frank Feld"
address = "frank@acme.example"
"#;

const RULES: &str = r#"
[[rule]]
name = "newsletter"
header = { list-unsubscribe = "*" }
ignore = "a newsletter"
[[rule]]
name = "known"
known_supplier = true
authenticated = true
start = "ask"
inputs = { subject = "{{ subject }}" }
reason = "a mail from {{ supplier }}"
[default]
quarantine = "unknown sender"
"#;

const WORKFLOW: &str = r#"
name = "ask"
version = 1
prefix = "AP"
[inputs]
subject = { type = "string" }
[[step]]
name = "approve"
agent = "approval"
[step.with]
question = "Approve {{ inputs.subject }}?"
approvers = ["role:budget-owner"]
fallback = ["frank"]
facts = [{ label = "Subject", value = "{{ inputs.subject }}" }]
remind_after = ["2d"]
escalate_after = "4d"
escalate = "replace"
expire_after = "14d"
[[step]]
name = "pause"
agent = "noop"
needs = ["approve"]
when = "steps.approve.decision == 'rejected'"
"#;

/// Everything of one process, on Monday 2026-03-02 09:00 UTC.
pub struct Desk {
    pub directory: tempfile::TempDir,
    pub clock: ManualClock,
    pub app: App,
    context: Context,
}

impl Desk {
    pub async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = directory.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("countersign.toml", CONFIG);
        write("people.toml", PEOPLE);
        write("rules/ap.toml", RULES);
        write("workflows/ask.toml", WORKFLOW);
        let checked = app::check(&directory.path().join("countersign.toml")).unwrap_or_else(|told| panic!("{told:?}"));
        let clock = ManualClock::new("2026-03-02T09:00:00Z".parse().unwrap());
        let program = PathBuf::from(env!("CARGO_BIN_EXE_countersign"));
        let parts = Parts { clock: std::sync::Arc::new(clock.clone()), program };
        let app = App::build(checked, parts).await.unwrap();
        app.import_people().await.unwrap();
        let context = app.context();
        Self { directory, clock, app, context }
    }

    /// As `new`, with one run that waits for olivia.
    pub async fn waiting() -> Self {
        let desk = Self::new().await;
        let told = desk.inject("invoice.eml", INVOICE).await;
        assert!(told.contains("AP-000001"), "{told}");
        desk
    }

    pub async fn command(&self, command: Command) -> anyhow::Result<Told> {
        cli::tell(command, &self.context, None).await
    }

    /// What a command says that must succeed.
    pub async fn done(&self, command: Command) -> String {
        let told = self.command(command).await.unwrap();
        assert_eq!(told.ending, Ending::Done, "{}", told.text);
        told.text
    }

    pub async fn inject(&self, name: &str, raw: &str) -> String {
        let file = self.directory.path().join(name);
        std::fs::write(&file, raw.replace('\n', "\r\n")).unwrap();
        let told = self.done(Command::Inject { file, mailbox: "ap".into() }).await;
        self.app.settle().await.unwrap();
        told
    }

    pub async fn pass(&self, days: i64) {
        for _ in 0..days {
            self.clock.advance(TimeDelta::days(1));
            self.app.settle().await.unwrap();
        }
    }

    pub async fn explain(&self, id: &str) -> String {
        self.done(Command::Explain { id: id.into() }).await
    }

    pub async fn approve(&self, user: &str) -> anyhow::Result<Told> {
        let told = self.command(Command::Approve { id: "ap-000001".into(), as_user: user.into(), comment: None }).await;
        self.app.settle().await.unwrap();
        told
    }

    pub async fn sql(&self, sql: &'static str) {
        let Store::Lite(pool) = &self.app.engine.store else { panic!("not SQLite") };
        sqlx::query(sql).execute(pool).await.unwrap();
    }
}

pub const INVOICE: &str = "\
Authentication-Results: mx.acme.example; dmarc=pass header.from=nordwind.example
From: Nordwind <billing@nordwind.example>
To: ap@acme.example
Subject: Invoice 4711
Date: Mon, 02 Mar 2026 08:58:12 +0000
Message-ID: <4711@nordwind.example>

Please pay.
";

pub const NEWSLETTER: &str = "\
From: news@fair.example
To: ap@acme.example
Subject: =HYPERLINK(\"http://evil.example\"), 50% off
Message-ID: <17@fair.example>
List-Unsubscribe: <https://fair.example/off>

Buy.
";

pub const STRANGER: &str = "\
From: clerk@elsewhere.example
To: ap@acme.example
Subject: Invoice 1
Message-ID: <1@elsewhere.example>

Pay me.
";

/// Ids and hashes as words, so that texts can be compared.
pub fn masked(text: &str) -> String {
    let replace =
        |text: &str, pattern: &str, with: &str| Regex::new(pattern).unwrap().replace_all(text, with).into_owned();
    let text = replace(text, r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "[id]");
    let text = replace(&text, r"\b[0-9a-f]{64}\b", "[sha256]");
    let text = replace(&text, r"injected-[0-9a-f]{24}", "[uid]");
    let text = replace(&text, r"written to \S+", "written to [file]");
    // Masks differ in length from what they hide.
    replace(&text, r" {2,}", "  ")
}

pub fn message_id(told: &str) -> String {
    told.lines().find_map(|line| line.strip_prefix("message  ")).unwrap().to_owned()
}
