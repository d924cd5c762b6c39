//! What can be said on the command line of the benchmark.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Case {
    /// Into a directory and SQLite
    #[value(name = "dir")]
    Directory,
    /// mbsync beside it
    Mbsync,
    /// A tenth of the messages beside it
    Scale,
    /// Barriers and commits per mail, traced and not timed
    Barriers,
    /// Through 40 ms of round trip, beside without
    Delay,
    /// Into S3 (s3s-fs) and PostgreSQL, beside a Python worker with boto3
    #[value(name = "s3")]
    S3,
    /// The same with 20 ms of round trip to S3; only when named
    #[value(name = "far-s3")]
    FarS3,
    /// The same into moto; only when named
    Moto,
    /// Many mailboxes with IDLE and nothing to do
    Idle,
}

/// Drains generated messages from a real Dovecot with the real binary and prints one table, with the goals. Installs
/// (as root), starts and stops the servers it needs.
#[derive(Debug, Parser)]
#[command(
    name = "cargo bench --bench intake --",
    after_help = "Progress goes to standard error, the table to standard output."
)]
pub struct Options {
    /// Messages in the mailbox
    #[arg(long, default_value_t = 300)]
    pub messages: usize,
    /// The table of the goals: 10,000 messages
    #[arg(long)]
    full: bool,
    /// How often each leg is run, in turn with the others
    #[arg(long, default_value_t = 3)]
    pub rounds: usize,
    /// Only these; when missing, all but moto and far-s3
    #[arg(long, value_enum, value_delimiter = ',', value_name = "CASE,...")]
    only: Vec<Case>,
    /// Mailboxes of the idle case
    #[arg(long, default_value_t = 300)]
    pub idle_mailboxes: usize,
    /// How long they are watched
    #[arg(long, default_value_t = 60)]
    pub idle_secs: u64,
    /// Seed of the messages
    #[arg(long, default_value_t = 3)]
    pub seed: u64,
    /// Another countersign than the one built with the benchmark
    #[arg(long, default_value = env!("CARGO_BIN_EXE_countersign"), hide_default_value = true)]
    pub binary: PathBuf,
    /// Leave logs and states of the servers behind, and say where
    #[arg(long)]
    pub keep: bool,
    /// What cargo says to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    /// The command line with what follows from it.
    pub fn read() -> Self {
        let mut options = Self::parse();
        if options.full {
            options.messages = 10_000;
        }
        options.rounds = options.rounds.max(1);
        options
    }

    pub fn has(&self, case: Case) -> bool {
        if self.only.is_empty() { !matches!(case, Case::Moto | Case::FarS3) } else { self.only.contains(&case) }
    }
}
