//! The sections of a configuration file, as types. `config/base.toml` shows every key with its comment.

use std::path::{Path, PathBuf};

use serde::Deserialize;

pub use super::mailboxes::{After, Imap, Mailbox, Maildir, Source, Tls};
use super::malware::Malware;
use super::publish::Workflows;
use super::quarantine::Quarantine;
use super::receivers::Publish;
use super::secret::SecretRef;
use super::senders::Dns;
use crate::domain::duration::Span;
use crate::domain::words::words;

/// The whole configuration. Relative paths are relative to the directory of the file that names them.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    #[serde(default)]
    pub database: Database,
    #[serde(default)]
    pub store: Store,
    #[serde(default)]
    pub files: Files,
    #[serde(default, rename = "mailbox")]
    pub mailboxes: Vec<Mailbox>,
    #[serde(default)]
    pub outgoing: Outgoing,
    #[serde(default)]
    pub web: Web,
    #[serde(default)]
    pub limits: Limits,
    #[serde(default)]
    pub quarantine: Quarantine,
    #[serde(default)]
    pub dns: Dns,
    pub malware: Option<Malware>,
    #[serde(default)]
    pub engine: Engine,
    #[serde(default)]
    pub workflows: Workflows,
    pub publish: Publish,
    #[serde(default)]
    pub aws: Aws,
    #[serde(default)]
    pub log: Log,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Database {
    /// `sqlite:PATH` or `postgres://…`.
    pub url: String,
    /// Password for `postgres://`, when the URL has none.
    pub password: Option<SecretRef>,
    /// Connections kept open at most.
    pub connections: u32,
}

impl Default for Database {
    fn default() -> Self {
        Self { url: "sqlite:state/countersign.db".into(), password: None, connections: 8 }
    }
}

/// Where working directories live.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Store {
    Directory {
        path: PathBuf,
    },
    S3 {
        bucket: String,
        /// Key prefix inside the bucket.
        #[serde(default)]
        prefix: String,
        /// Any S3-compatible endpoint; AWS when missing.
        #[serde(default)]
        endpoint: Option<String>,
        #[serde(default)]
        region: Option<String>,
        /// Bucket in the path rather than in the host name.
        #[serde(default)]
        path_style: bool,
        /// Keys, where the machine has no role of its own.
        #[serde(default)]
        access_key_id: Option<SecretRef>,
        #[serde(default)]
        secret_access_key: Option<SecretRef>,
    },
}

impl Default for Store {
    fn default() -> Self {
        Self::Directory { path: "state/store".into() }
    }
}

/// Where the admin's files are.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Files {
    /// Directory of rule files, `*.toml`.
    pub rules: PathBuf,
    /// Directory of workflow files, `*.toml`.
    pub workflows: PathBuf,
    /// Directory of agent presets, `*.toml`; there need not be one.
    pub agents: PathBuf,
    /// Directory of templates; a template missing there is taken from the binary.
    pub templates: Option<PathBuf>,
    /// File with customers, their suppliers and users, taken into the database at start (`countersign import` does it by hand).
    pub people: Option<PathBuf>,
    /// Whether rules, workflows and templates are taken as soon as they change; otherwise at SIGHUP.
    pub watch: bool,
}

impl Files {
    /// The directories of what is reloaded live, as one set.
    pub fn behaviour(&self) -> Vec<&Path> {
        let always = [self.rules.as_path(), self.workflows.as_path(), self.agents.as_path()];
        always.into_iter().chain(self.templates.as_deref()).collect()
    }
}

impl Default for Files {
    fn default() -> Self {
        Self {
            rules: "rules".into(),
            workflows: "workflows".into(),
            agents: "agents".into(),
            templates: None,
            people: None,
            watch: true,
        }
    }
}

/// How mail leaves.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Outgoing {
    /// From of our mails: `Countersign <ap@acme.example>`.
    pub from: String,
    pub transport: Transport,
}

impl Default for Outgoing {
    fn default() -> Self {
        Self {
            from: "Countersign <countersign@localhost>".into(),
            transport: Transport::Directory { path: "state/outgoing".into() },
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Transport {
    Smtp {
        host: String,
        /// 465 for implicit TLS, 587 for STARTTLS, 25 otherwise, when missing.
        #[serde(default)]
        port: Option<u16>,
        #[serde(default)]
        tls: Tls,
        #[serde(default)]
        ca_file: Option<PathBuf>,
        #[serde(default)]
        user: Option<String>,
        #[serde(default)]
        password: Option<SecretRef>,
        #[serde(default = "thirty_seconds")]
        timeout: Span,
    },
    Sendmail {
        #[serde(default = "sendmail")]
        command: PathBuf,
    },
    /// One `.eml` file per mail.
    Directory { path: PathBuf },
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Web {
    /// Address and port to listen on.
    pub listen: String,
    /// What links in mails start with, without a slash at the end: `https://ap.acme.example/cs`.
    pub base_url: Option<String>,
    /// Key that link tokens are derived from; a file `secret.key` beside the SQLite database when missing.
    pub secret: Option<SecretRef>,
    /// Password of the run pages (user `admin`, HTTP Basic). Without it they are shown only to this machine.
    pub password: Option<SecretRef>,
}

impl Default for Web {
    fn default() -> Self {
        Self { listen: "127.0.0.1:8025".into(), base_url: None, secret: None, password: None }
    }
}

/// Bounds on what comes in.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Larger messages are quarantined with their raw bytes, unparsed.
    pub message_bytes: u64,
    /// Raw bytes fetched and not yet committed, over all mailboxes of a process. A larger message travels alone.
    pub in_flight_bytes: u64,
    /// Decoded bytes of all parts together, containers unpacked.
    pub unpacked_bytes: u64,
    pub parts: u32,
    /// How deep containers and multiparts may nest.
    pub depth: u32,
    /// Processor time for reading one PDF.
    pub pdf: Span,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes: 25 << 20,
            in_flight_bytes: 64 << 20,
            unpacked_bytes: 100 << 20,
            parts: 500,
            depth: 20,
            pdf: Span::from_secs(20),
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Engine {
    /// Runs worked on at the same time by one process.
    pub workers: u32,
    /// How long a claimed run or mailbox stays with a process that says nothing; twice as long for a mail in sending.
    pub lease: Span,
    /// How often timers and queues are looked at when nothing wakes us.
    pub tick: Span,
    /// Directory that `post_file` may write into.
    pub post_directory: PathBuf,
}

impl Default for Engine {
    fn default() -> Self {
        Self { workers: 4, lease: Span::from_secs(60), tick: Span::from_secs(1), post_directory: "state/posted".into() }
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Aws {
    pub region: Option<String>,
    /// Endpoint of Secrets Manager, where it is not AWS's own.
    pub secretsmanager_endpoint: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// `text` or `json`.
    pub format: LogFormat,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

pub(super) fn thirty_seconds() -> Span {
    Span::from_secs(30)
}

fn sendmail() -> PathBuf {
    "/usr/sbin/sendmail".into()
}

words! {
    /// What one process does of all there is to do; by default everything.
    Role {
        Intake = "intake", Worker = "worker", Delivery = "delivery", Http = "http", Scheduler = "scheduler",
    }
}
