//! The sections of a configuration file, as types. `config/base.toml` shows every key with its comment.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::malware::Malware;
use super::oauth::{Auth, OAuth, Preset};
use super::quarantine::Quarantine;
use super::recipients::{Recipients, UnknownRecipient};
use super::secret::SecretRef;
use super::senders::{Dns, Verify};
use super::start::Start;
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
    /// Directory of templates; a template missing there is taken from the binary.
    pub templates: Option<PathBuf>,
    /// File with customers, their suppliers and users, taken into the database at start (`countersign import` does it by hand).
    pub people: Option<PathBuf>,
}

impl Default for Files {
    fn default() -> Self {
        Self { rules: "rules".into(), workflows: "workflows".into(), templates: None, people: None }
    }
}

/// A source of mail: one folder. Serde cannot deny unknown keys beside a flattened field; the types of `source` do.
#[derive(Debug, Clone, Deserialize)]
pub struct Mailbox {
    pub name: String,
    /// The customer whose mail this is.
    pub customer: String,
    #[serde(flatten)]
    pub source: Source,
    /// Cron schedule with seconds, in UTC: `0 * * * * *` is every minute.
    #[serde(default = "every_minute")]
    pub poll: String,
    /// Address that mail to this mailbox is sent to; our mails carry it as Reply-To.
    pub address: String,
    /// Whether `local+anything@domain` arrives here too; our Reply-To then carries the token.
    #[serde(default)]
    pub plus_address: bool,
    /// Whose mail it is by its recipients, where several customers share the mailbox.
    #[serde(default)]
    pub recipients: Recipients,
    #[serde(default)]
    pub unknown_recipient: UnknownRecipient,
    /// Whether To and Cc, the sender's word, say whose mail it is although the server told where it was delivered.
    #[serde(default)]
    pub believe_to: bool,
    /// The authserv-ids whose Authentication-Results we believe (RFC 8601). Where none of them spoke, `verify` counts.
    #[serde(default)]
    pub authserv_ids: Vec<String>,
    #[serde(default)]
    pub verify: Verify,
    /// Our own hosts that receive this mail, as they call themselves in Received: what they say of the client, SPF needs.
    #[serde(default)]
    pub received_by: Vec<String>,
    /// What of the mail that lies there at the first contact is taken in.
    #[serde(default)]
    pub start: Start,
    /// New messages within an hour that are taken in without asking; 0 asks never.
    #[serde(default = "five_hundred")]
    pub burst: u32,
    /// What is done on the server when a message is dealt with.
    #[serde(default)]
    pub after: After,
    /// As `after`, for quarantined messages.
    #[serde(default)]
    pub after_quarantine: Option<After>,
}

impl Mailbox {
    /// The keys of every mailbox, whatever its kind.
    pub const KEYS: &[&str] = &[
        "name",
        "customer",
        "kind",
        "poll",
        "address",
        "plus_address",
        "recipients",
        "unknown_recipient",
        "believe_to",
        "authserv_ids",
        "verify",
        "received_by",
        "start",
        "burst",
        "after",
        "after_quarantine",
    ];
}

fn five_hundred() -> u32 {
    500
}

fn every_minute() -> String {
    "0 * * * * *".into()
}

#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Source {
    Imap(Imap),
    Maildir(Maildir),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Imap {
    /// What is not written is then filled in, before anybody sees it.
    pub preset: Option<Preset>,
    /// Whose directory at Microsoft 365.
    pub tenant: Option<String>,
    #[serde(default)]
    pub host: String,
    /// 993 for implicit TLS, 143 otherwise, when missing.
    #[serde(default)]
    pub port: Option<u16>,
    #[serde(default)]
    pub tls: Tls,
    /// PEM file with further certificate authorities.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    pub user: String,
    /// LOGIN, or PLAIN where LOGIN does not do, when missing.
    pub auth: Option<Auth>,
    pub password: Option<SecretRef>,
    pub oauth: Option<Box<OAuth>>,
    #[serde(default = "inbox")]
    pub folder: String,
    /// Wait for new mail by IDLE (RFC 2177) between polls.
    #[serde(default = "yes")]
    pub idle: bool,
    /// Longest wait for the answer to one command.
    #[serde(default = "thirty_seconds")]
    pub command_timeout: Span,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Maildir {
    /// The directory with `new`, `cur` and `tmp`.
    pub path: PathBuf,
}

words! {
    /// How a connection is encrypted.
    Tls {
        /// From the first byte (RFC 8314).
        Implicit = "implicit", StartTls = "starttls",
        /// Not at all; only to this machine.
        None = "none",
    }
}

#[allow(clippy::derivable_impls)]
impl Default for Tls {
    fn default() -> Self {
        Self::Implicit
    }
}

/// What is done on the server once a message is dealt with.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum After {
    /// Flag `\Seen`.
    #[default]
    Seen,
    /// Flag with a keyword of ours.
    Keyword(String),
    /// Move to a folder.
    Move(String),
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

fn inbox() -> String {
    "INBOX".into()
}

fn yes() -> bool {
    true
}

fn thirty_seconds() -> Span {
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
