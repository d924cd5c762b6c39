//! Faults while a backlog is taken in: of servers, stores, machines, people and the power. Each story ends with a clean
//! `ledger verify` and exactly one run for each mail. Here: the backlog, and what must be true of it at any moment.

mod disk;
mod machines;
mod people;
mod power;
mod server;
mod stores;
mod tap;
mod unwilling;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use countersign::domain::event::sha256_hex;
use countersign::domain::run::RunStatus;
use countersign::store::messages::{self, MessageRow, PartRow};
use countersign::store::runs::{self, RunRow};
use countersign::store::{Store, StoreError};
use secrecy::SecretString;

use crate::app::mail;
use crate::daemon::{Daemon, Sections, Site, mailbox};
use crate::imap_rig::{self, Raw};
use crate::rig;

/// Starts a run for whatever has a number and a document.
const RULES: &str = r#"
mailboxes = ["ap"]

[[rule]]
name = "invoice"
subject = "Invoice *"
documents_min = 1
start = "filed"
inputs = { subject = "{{ subject }}" }
reason = "an invoice"

[default]
quarantine = "no invoice"
"#;

/// As little work as a run can be: what is tried here is the way in.
const WORKFLOW: &str = r#"
name = "filed"
version = 1
prefix = "F"

[inputs]
subject = { type = "string" }

[[step]]
name = "file"
agent = "noop"
"#;

/// A site, and mails that each start one run. Mail `n` (from 1) has UID `n` where nobody moved it.
pub struct Backlog {
    pub site: Site,
    pub mails: Vec<Vec<u8>>,
}

/// The ledger and the runs at one moment.
pub struct Books {
    pub messages: Vec<MessageRow>,
    pub parts: BTreeMap<String, Vec<PartRow>>,
    pub runs: Vec<RunRow>,
}

impl Backlog {
    /// Mails in the INBOX of a new mailbox, read over TLS; SQLite, and a directory as store.
    pub async fn of(count: usize) -> Self {
        Self::varied(count, "INBOX", |_, _| {}).await
    }

    /// Mails in a folder, and a configuration that `vary` changes.
    pub async fn varied(count: usize, folder: &str, vary: impl FnOnce(&mut Site, &mut Sections)) -> Self {
        let backlog = Self { site: site(vary), mails: (1..=count).map(invoice).collect() };
        let mut person = backlog.person().await;
        if folder != "INBOX" {
            person.run(&format!("CREATE {folder}")).await;
        }
        person.append(folder, &backlog.mails).await;
        backlog
    }

    /// Somebody who works in the same mailbox; INBOX is open.
    pub async fn person(&self) -> Raw {
        imap_rig::raw(&self.site.mailbox).await
    }

    /// The numbers of all mails.
    pub fn all(&self) -> BTreeSet<usize> {
        (1..=self.mails.len()).collect()
    }

    /// Exit code and words of `countersign ledger verify`. Never blocks: it may read through a tap that runs here.
    pub async fn verify(&self) -> (Option<i32>, String) {
        let out = tokio::process::Command::new(env!("CARGO_BIN_EXE_countersign"))
            .args(["ledger", "verify", "--config"])
            .arg(self.site.path("countersign.toml"))
            .current_dir(self.site.path(""))
            .envs(&self.site.env)
            .output()
            .await
            .expect("run countersign");
        (out.status.code(), String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned())
    }

    pub async fn books(&self) -> Result<Books, StoreError> {
        books(&self.site.database).await
    }

    /// Waits until each of these has its run, every run is done, and no message waits for a verdict or a flag.
    pub async fn wait_until_done(&self, numbers: &BTreeSet<usize>) {
        rig::wait_for("the backlog to be dealt with", async || {
            let books = self.books().await.ok()?;
            let done = books.runs.iter().all(|run| run.status == RunStatus::Completed);
            let flagged = books.messages.iter().all(|row| row.flagged_at.is_some());
            let left = numbers - &books.runs.iter().map(number).collect();
            (done && flagged && left.is_empty()).then_some(())
        })
        .await;
        rig::wait_for("a clean ledger", async || {
            let (code, told) = self.verify().await;
            (code == Some(0) && told.contains(" + 0 in flight\n")).then_some(())
        })
        .await;
    }

    /// The end of every story: all of it done, the daemons stopped, the ledger clean, one run for each of `numbers`.
    pub async fn ends_clean(&self, daemons: Vec<Daemon>) {
        self.ends_with(daemons, &self.all(), &BTreeSet::new()).await;
    }

    /// As `ends_clean`, where some mails may or may not have had their run before somebody took them away.
    pub async fn ends_with(&self, daemons: Vec<Daemon>, sure: &BTreeSet<usize>, maybe: &BTreeSet<usize>) {
        self.wait_until_done(sure).await;
        for daemon in daemons {
            daemon.stop().await;
        }
        let (code, told) = self.verify().await;
        assert_eq!(code, Some(0), "{told}");
        let books = self.books().await.expect("the database");
        let mut ran: Vec<_> = books.runs.iter().map(number).filter(|number| !maybe.contains(number)).collect();
        ran.sort_unstable();
        assert_eq!(ran, sure.iter().copied().collect::<Vec<_>>(), "one run for each mail");
        let ran: Vec<_> = books.runs.iter().map(number).filter(|number| maybe.contains(number)).collect();
        assert_eq!(ran.len(), ran.iter().collect::<BTreeSet<_>>().len(), "at most one run: {ran:?}");
        let started = books.messages.iter().filter(|row| row.verdict.as_deref() == Some("start"));
        let owned: Vec<_> = started.map(|row| row.run_id.expect("its run").0).collect();
        assert_eq!(owned.len(), owned.iter().collect::<BTreeSet<_>>().len(), "a run belongs to one message");
        let quarantined = books.messages.iter().filter(|row| row.verdict.as_deref() == Some("quarantine"));
        assert_eq!(quarantined.count(), 0, "nothing is quarantined for a fault of ours");
    }

    /// What is not whole of these flagged messages, by UID: verdict, run, raw bytes, parts. Reads nothing but the database
    /// and the directories below `state`.
    pub async fn lost(&self, flagged: &[u32], store: &Path) -> Vec<String> {
        let books = match self.books().await {
            Ok(books) => books,
            Err(error) => return vec![format!("all of it: {error}")],
        };
        let check =
            |uid: &u32| lost(&books, *uid, &self.mails[*uid as usize - 1], store).map(|why| format!("{uid}: {why}"));
        flagged.iter().filter_map(check).collect()
    }
}

/// Why a flagged message is not whole; none when it is.
fn lost(books: &Books, uid: u32, sent: &[u8], store: &Path) -> Option<String> {
    let Some(row) = books.messages.iter().find(|row| row.uid == uid.to_string()) else { return Some("no row".into()) };
    if row.verdict.as_deref() != Some("start") {
        return Some(format!("{} {:?}", row.state, row.verdict));
    }
    if !books.runs.iter().any(|run| Some(run.id) == row.run_id) {
        return Some("no run".into());
    }
    let raw = store.join(&row.customer).join(row.transaction_id.to_string()).join("message.eml");
    match std::fs::read(&raw) {
        Ok(bytes) if bytes == sent => {}
        Ok(bytes) => return Some(format!("{} of {} raw bytes, or others", bytes.len(), sent.len())),
        Err(error) => return Some(format!("message.eml: {error}")),
    }
    let parts = books.parts.get(&row.id.to_string()).map(Vec::as_slice).unwrap_or_default();
    let document = sha256_hex(&pdf(uid as usize));
    if !parts.iter().any(|part| part.sha256 == document) {
        return Some(format!("{} parts, none of them the document", parts.len()));
    }
    // What has no file of its own lies in the raw message.
    let mut apart = parts.iter().map(|part| (part, store.join(&part.path))).filter(|(_, path)| *path != raw);
    apart.find_map(|(part, path)| match std::fs::read(path) {
        Ok(bytes) if sha256_hex(&bytes) == part.sha256 => None,
        Ok(bytes) => Some(format!("{}: {} bytes, or others", part.path, bytes.len())),
        Err(error) => Some(format!("{}: {error}", part.path)),
    })
}

/// A site whose rules start a run of `WORKFLOW` for each invoice.
pub fn site(vary: impl FnOnce(&mut Site, &mut Sections)) -> Site {
    let mut site = Site::new();
    let mut sections = site.sections();
    vary(&mut site, &mut sections);
    site.write(&sections);
    site.put("rules/ap.toml", RULES);
    site.put("workflows/filed.toml", WORKFLOW);
    site
}

/// The section of the mailbox read in clear at `port`, so that a tap there sees what passes.
pub fn in_clear(site: &Site, port: u16, more: &str) -> String {
    format!("{}tls = \"none\"\n{more}\n", mailbox("ap", &site.mailbox, port, "secret:env/TEST_PASSWORD", true))
}

/// A database as it is now. A new connection each time, as whoever restarts has it.
pub async fn books(url: &str) -> Result<Books, StoreError> {
    let store = Store::open(url, None::<&SecretString>, 2).await?;
    let read = async {
        let mut tx = store.read().await?;
        let messages = messages::latest(&mut tx, 10_000).await?;
        let runs = runs::latest(&mut tx, None, 10_000).await?;
        let mut parts = BTreeMap::new();
        for row in &messages {
            parts.insert(row.id.to_string(), messages::parts(&mut tx, row.id).await?);
        }
        Ok(Books { messages, parts, runs })
    }
    .await;
    store.close().await;
    read
}

/// UIDs that the server shows as seen in the open folder.
pub async fn seen(person: &mut Raw) -> Vec<u32> {
    person.run("NOOP").await;
    let told = person.run("UID SEARCH SEEN").await;
    let found = told.lines().find_map(|line| line.strip_prefix("* SEARCH")).expect("a search result");
    found.split_whitespace().map(|uid| uid.parse().expect("a UID")).collect()
}

/// Watches the server until it shows so many messages as seen; returns at once then, in the middle of whatever goes on.
pub async fn wait_for_seen(person: &mut Raw, count: usize) {
    let watch = async { while seen(person).await.len() < count {} };
    tokio::time::timeout(Duration::from_secs(60), watch)
        .await
        .unwrap_or_else(|_| panic!("{count} messages are not seen"));
}

/// The number of the mail that started a run.
pub fn number(run: &RunRow) -> usize {
    let subject = run.inputs.0["subject"].as_str().expect("a subject");
    subject.strip_prefix("Invoice ").and_then(|number| number.parse().ok()).expect("a number")
}

pub fn invoice(number: usize) -> Vec<u8> {
    mail("billing@nordwind.example", &format!("Invoice {number}"), "Our invoice.")
        .attach(&format!("invoice-{number}.pdf"), &pdf(number))
        .raw()
}

/// A document of 1 to 9 KB that no other number has, and that does not compress.
fn pdf(number: usize) -> Vec<u8> {
    let mut bytes = format!("%PDF-1.4\n% invoice {number}\n").into_bytes();
    let mut random = Random(number as u64);
    let size = 1024 + random.below(8 << 10);
    bytes.extend((0..size).map(|_| random.below(256) as u8));
    bytes
}

/// Numbers that a seed repeats (SplitMix64).
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % limit as u64) as usize
    }
}
