//! What can be written on the command line, with help that makes a manual unnecessary.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Parser, Subcommand, ValueEnum};

use super::agents::Agents;
use super::audit::Audit;
use super::control::Control;
use super::ledger::Ledger;
use super::logs::Logs;
use super::mailbox::Mailbox;
use super::publish::Publish;
use super::quarantine::Quarantine;
use super::rules::Rules;
use super::runs::List;
use super::start::Start;
use super::workflows::Workflows;
use crate::config::sections::Role;
use crate::domain::run::RunStatus;
use crate::reports::since::Since;

/// The whole command line.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "countersign",
    version,
    about = "Mail in, decision out: turns a mailbox into a durable, audited work queue",
    long_about = "Countersign turns a mailbox into a durable, audited work queue. Rules decide what becomes of each message; \
        workflows ask people by mail; a reply or a click resumes the run; everything it did, and why, can be read back.\n\n\
        Try it without any server:\n  countersign demo\n\n\
        Run it:\n  countersign check --config prod.toml\n  countersign run --config prod.toml",
    after_help = ENDINGS,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub struct Args {
    /// Configuration file; a base.toml beside it is read first
    #[arg(long, value_name = "FILE", env = "COUNTERSIGN_CONFIG", default_value = "countersign.toml", global = true)]
    pub config: PathBuf,
    #[command(subcommand)]
    pub command: Command,
}

pub(super) const ENDINGS: &str = "Exit codes: 0 done, 1 failed, 2 wrong use or bad configuration.\n\
    What is asked for goes to standard output, everything else to standard error.";

/// What can be asked for.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Play the main job on this machine, with nothing else installed
    #[command(
        after_help = ENDINGS,
        long_about = "Plays the main job with real mails and PDFs on this machine: nothing else is needed, and no configuration. \
            It narrates as it goes, ends with a table of what became of each message, and leaves the web page running.\n\n\
            Examples:\n  countersign demo\n  countersign demo --once\n  countersign demo --dir /tmp/countersign-demo"
    )]
    Demo {
        /// End when the story is told; exit 0 only if every outcome was the expected one
        #[arg(long)]
        once: bool,
        /// Keep the state in DIR instead of a temporary directory
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
    /// Run the daemon: take mail in, work on runs, send notices, serve pages; or start one run by hand
    #[command(
        after_help = ENDINGS,
        args_conflicts_with_subcommands = true,
        long_about = "Runs the daemon until SIGTERM or Ctrl-C, which end it within 10 seconds; what is in hand is taken up again at \
            the next start. Changed rules, workflows, templates and people are taken over while it runs; SIGHUP does it at \
            once. When one has a fault, the last good set stays.\n\nSeveral machines share the work over one PostgreSQL and one bucket; --roles says what this \
            one does.\n\n\
            Examples:\n  countersign run --config prod.toml\n  countersign run --config prod.toml --roles intake,worker"
    )]
    Run {
        /// What this process does: intake, worker, delivery, http, scheduler; everything when missing
        #[arg(long, value_name = "ROLE,...", value_delimiter = ',')]
        roles: Vec<Role>,
        #[command(subcommand)]
        what: Option<Start>,
    },
    /// Check configuration, rules, workflows, templates and people, without touching any server
    #[command(
        after_help = ENDINGS,
        long_about = "Checks the configuration and every file that it names: each fault with file, line, snippet and mend. The tests \
            inside the rule files are run as well. No server is touched and nothing is changed. \
            With --strict every scenario of the workflows is played as well, and a workflow that has none does not pass.\n\n\
            Examples:\n  countersign check --config prod.toml\n  countersign check && systemctl restart countersign\n  countersign \
            check --strict"
    )]
    Check {
        /// Play the scenarios of the workflows too; each workflow must have one
        #[arg(long)]
        strict: bool,
    },
    /// Bring the database to this version's tables
    #[command(
        after_help = ENDINGS,
        long_about = "Brings the database to the tables of this version. Every command that needs the database does it as \
            well; do it by hand to choose the moment. Forward only: take a backup first.\n\n\
            Examples:\n  countersign migrate --config prod.toml"
    )]
    Migrate,
    /// Take customers, suppliers and users from a file into the database
    #[command(
        after_help = ENDINGS,
        long_about = "Takes customers with their suppliers and users from a TOML file into the database. Suppliers and users of a \
            customer in the file that it no longer names are removed; other customers are left alone. All or nothing.\n\n\
            Examples:\n  countersign import people.toml"
    )]
    Import {
        /// TOML file with [[customer]], [[customer.supplier]] and [[customer.user]]
        file: PathBuf,
    },
    /// Take a message from a file in, as if a mailbox had received it
    #[command(
        after_help = ENDINGS,
        long_about = "Takes a raw message (RFC 5322) in, as if the mailbox had received it, and prints its verdict, the reason, and \
            the run if one was started. Any verdict is a success. The same bytes never count twice: the second time it \
            says what became of them the first time.\n\n\
            Examples:\n  countersign inject invoice.eml --mailbox ap\n  curl -s https://example.com/a.eml | countersign inject - \
            --mailbox ap"
    )]
    Inject {
        /// The message; - for standard input
        file: PathBuf,
        /// Mailbox by its configured name
        #[arg(long, short, value_name = "NAME")]
        mailbox: String,
    },
    /// See how each mailbox is, try one, hold one, and let it go on
    Mailbox {
        #[command(subcommand)]
        what: Mailbox,
    },
    /// Look at what was kept for a person, and release or discard it
    Quarantine {
        #[command(subcommand)]
        what: Quarantine,
    },
    /// Try rules: run their tests, ask about one mail, replay the past, draft new ones
    Rules {
        #[command(subcommand)]
        what: Rules,
    },
    Runs(List),
    /// List, show, check, test, publish, compare, replay and draw workflows
    #[command(alias = "workflow")]
    Workflows {
        #[command(subcommand)]
        what: Workflows,
    },
    /// List what steps may name as their agent, presets included
    Agents {
        #[command(subcommand)]
        what: Agents,
    },
    /// Show everything about one run or message
    #[command(
        after_help = ENDINGS,
        long_about = "Shows everything about a run (inputs, steps, waits, answers, notices, files) or a message (metadata, verdict, \
            parts, its run).\n\n\
            Examples:\n  countersign show AP-000123\n  countersign show 0197c2d4-8a11-7c50-9d1e-5a0c3ef1b2aa\n  countersign \
            show 0197c2d48a11"
    )]
    Show {
        /// Run such as AP-000123, or a run's or message's id, or its first 8 digits or more
        id: String,
    },
    /// Explain why a message went where it went, or why a run stands where it stands
    #[command(
        after_help = ENDINGS,
        long_about = "Explains in plain sentences. For a message: why it went where it went, each rule that was passed over and why, \
            and what would have changed it. For a run: why it waits, on whom, what happens next and when, what was said so \
            far; or why it failed.\n\n\
            Examples:\n  countersign explain AP-000123\n  countersign explain 0197c2d48a11"
    )]
    Explain {
        /// Run such as AP-000123, or a run's or message's id, or its first 8 digits or more
        id: String,
    },
    /// Approve what a run asks, in the place of a user
    #[command(
        after_help = ENDINGS,
        long_about = "Answers the open approval of a run with yes, in the place of a user who is asked. The audit trail says that it \
            was given here. Fails when somebody answered before, and says who.\n\n\
            Examples:\n  countersign approve AP-000123 --as olivia\n  countersign approve AP-000123 --as olivia --comment \
            'by phone'"
    )]
    Approve {
        /// Run such as AP-000123, or its id
        id: String,
        /// User who is asked, by name
        #[arg(long = "as", value_name = "USER")]
        as_user: String,
        /// Words to keep with the answer
        #[arg(long, short, value_name = "TEXT")]
        comment: Option<String>,
    },
    /// Reject what a run asks, in the place of a user
    #[command(
        after_help = ENDINGS,
        long_about = "Answers the open approval of a run with no, in the place of a user who is asked. A rejection is an outcome: \
            what follows is up to the workflow. Fails when somebody answered before, and says who.\n\n\
            Examples:\n  countersign reject AP-000123 --as olivia --comment 'wrong cost centre'"
    )]
    Reject {
        /// Run such as AP-000123, or its id
        id: String,
        /// User who is asked, by name
        #[arg(long = "as", value_name = "USER")]
        as_user: String,
        /// Words to keep with the answer
        #[arg(long, short, value_name = "TEXT")]
        comment: Option<String>,
    },
    #[command(flatten)]
    Control(Control),
    Logs(Logs),
    /// See how far the receivers of events have been told
    Publish {
        #[command(subcommand)]
        what: Publish,
    },
    /// Report what came in and what became of it
    #[command(
        after_help = ENDINGS,
        long_about = "Reports one line per message: when it came, from whom, its verdict and reason, its run, on whom that waits or why \
            it failed. The table ends with totals. CSV is safe to open in a spreadsheet.\n\n\
            Examples:\n  countersign report --since 7d\n  countersign report --since 2026-03-01 --format csv > march.csv\n  \
            countersign report --status failed --format json | jq '.[].failure_reason'"
    )]
    Report {
        /// How it is written
        #[arg(long, short, value_enum, default_value_t = Format::Table)]
        format: Format,
        /// Only what came since then: a span such as 7d or 12h, a date (UTC), or an instant (RFC 3339)
        #[arg(long, value_name = "SINCE")]
        since: Option<Since>,
        /// Only messages whose run has this status
        #[arg(long, value_parser = status_parser())]
        status: Option<RunStatus>,
        /// Only messages that a rule gave this tag
        #[arg(long)]
        tag: Option<String>,
    },
    /// Read the audit trail, or verify that it is whole
    Audit {
        #[command(subcommand)]
        what: Audit,
    },
    /// Prove that no message is lost: compare the mailboxes with the ledger
    Ledger {
        #[command(subcommand)]
        what: Ledger,
    },
}

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Table,
    Csv,
    Json,
}

pub(super) fn status_parser() -> impl TypedValueParser<Value = RunStatus> {
    PossibleValuesParser::new(RunStatus::ALL.iter().map(|status| status.as_str()))
        .try_map(|word| word.parse::<RunStatus>())
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, error::ErrorKind};

    use super::*;

    fn parse(line: &str) -> Result<Args, clap::Error> {
        Args::try_parse_from(line.split(' '))
    }

    #[test]
    fn every_command_explains_itself_with_examples_and_exit_codes() {
        let mut top = Args::command();
        top.clone().debug_assert();
        top.build();
        let named = |command: &&clap::Command| command.get_name() != "help";
        let commands: Vec<_> = top
            .get_subcommands()
            .filter(named)
            .flat_map(|command| match command.has_subcommands() {
                true if !command.is_subcommand_required_set() => {
                    command.get_subcommands().filter(named).chain([command]).collect()
                }
                true => command.get_subcommands().filter(named).collect(),
                false => vec![command],
            })
            .collect();
        assert_eq!(commands.len(), 49);
        for command in commands {
            let help = command.clone().render_long_help().to_string();
            for part in ["Examples:\n  countersign ", "Exit codes: 0 done, 1 failed, 2 wrong use", "--config <FILE>"] {
                assert!(help.contains(part), "{} lacks {part}:\n{help}", command.get_name());
            }
        }
    }

    #[test]
    fn wrong_use_is_refused_with_two() {
        for line in [
            "countersign approve AP-000001",
            "countersign report --since yesterday",
            "countersign runs --status open",
            "countersign inject a.eml",
            "countersign audit",
            "countersign quarantine",
            "countersign quarantine release 0197c2d48a11",
            "countersign ledger",
            "countersign mailbox",
            "countersign mailbox pause ap",
            "countersign mailbox resume ap --leave-all --leave-older-than 7d",
            "countersign run start",
            "countersign run start ap-invoice --input supplier",
            "countersign rerun AP-000001 --input",
            "countersign override AP-000001 post --output 7 --because x",
            "countersign override AP-000001 post --output {}",
            "countersign frobnicate",
        ] {
            assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
        }
        assert_eq!(parse("countersign --help").unwrap_err().kind(), ErrorKind::DisplayHelp);
        let told = parse("countersign runs --status open").unwrap_err().to_string();
        assert!(told.contains("queued, running, waiting, completed, failed, killed"), "{told}");
    }

    #[test]
    fn commands_are_read() {
        let Args { config, command } = parse("countersign approve AP-000001 --as olivia --config prod.toml").unwrap();
        assert_eq!(config, PathBuf::from("prod.toml"));
        assert!(matches!(command, Command::Approve { as_user, comment: None, .. } if as_user == "olivia"));
        let Args { command, .. } = parse("countersign run --roles intake,worker").unwrap();
        assert!(matches!(command, Command::Run { roles, what: None } if roles == [Role::Intake, Role::Worker]));
        let Args { command, .. } = parse("countersign audit tail -f -n 5").unwrap();
        assert!(matches!(command, Command::Audit { what: Audit::Tail { lines: 5, follow: true, json: false } }));
    }
}
