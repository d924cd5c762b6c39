//! `countersign mailbox`: how each mailbox is, a try of one, and holding it or letting it go on.

use std::collections::HashSet;

use anyhow::Context as _;
use clap::Subcommand;
use clap::builder::NonEmptyStringValueParser;

use super::args::ENDINGS;
use super::{Context, Since, Told};
use crate::intake::Leave;
use crate::reports::{mailboxes, text};
use crate::store::ledger;

/// What can be done about mailboxes.
#[derive(Debug, Clone, Subcommand)]
pub enum Mailbox {
    /// List the mailboxes: how each is, what waits, and which are held
    #[command(
        after_help = ENDINGS,
        long_about = "Lists the mailboxes: health, last poll and its error, how many messages have no verdict yet, and the highest \
            UID that the ledger knows. Below the table, why a mailbox is held and what to do.\n\n\
            Examples:\n  countersign mailbox list\n  countersign mailbox list --json | jq '.[] | select(.held)'"
    )]
    List {
        /// One JSON array instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Let a held mailbox go on, with all that waits in it or without
    #[command(
        after_help = ENDINGS,
        long_about = "Lets a mailbox go on that the burst breaker or `mailbox pause` holds. What waits is taken in at the next poll \
            and counts as no burst any more. What is to be left alone gets the verdict ignore, unread, and stays on the server \
            as it is; it is not taken in later either.\n\n\
            Examples:\n  countersign mailbox resume ap\n  countersign mailbox resume ap --leave-older-than 2026-03-01\n  \
            countersign mailbox resume ap --leave-all --as frank"
    )]
    Resume {
        /// Mailbox by its configured name
        name: String,
        /// Leave what the server received before then: a date (UTC), an instant (RFC 3339), or a span such as 7d
        #[arg(long, value_name = "DATE", conflicts_with = "leave_all")]
        leave_older_than: Option<Since>,
        /// Leave all that waits
        #[arg(long)]
        leave_all: bool,
        /// Who does it, for the audit trail
        #[arg(long = "as", value_name = "USER", default_value = "operator")]
        as_user: String,
    },
    /// Hold a mailbox: it is listed, and nothing of it is taken in
    #[command(
        after_help = ENDINGS,
        long_about = "Holds a mailbox on every machine: new mail is written into the ledger, and nothing of it is fetched, decided or \
            flagged until `mailbox resume`. A message in hand at this moment may still be decided.\n\n\
            Examples:\n  countersign mailbox pause ap --reason 'rules are being changed'"
    )]
    Pause {
        /// Mailbox by its configured name
        name: String,
        /// Why, for the audit trail and for whoever asks
        #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
        reason: String,
        /// Who does it, for the audit trail
        #[arg(long = "as", value_name = "USER", default_value = "operator")]
        as_user: String,
    },
    /// Connect to a mailbox as the daemon does, and say what is there
    #[command(
        after_help = ENDINGS,
        long_about = "Connects to a mailbox with its password, selects its folder and lists it: how many messages there are, from \
            when to when, and how many of them the ledger does not know yet. Changes nothing, neither here nor on the \
            server.\n\n\
            Examples:\n  countersign mailbox test ap"
    )]
    Test {
        /// Mailbox by its configured name
        name: String,
    },
}

pub async fn perform(what: Mailbox, context: &Context, width: Option<u16>) -> anyhow::Result<Told> {
    let Context { engine, intake, .. } = context;
    match what {
        Mailbox::List { json } => {
            let lines = mailboxes::list(&mut engine.store.read().await?, &intake.mailboxes).await?;
            Ok(Told::done(if json { mailboxes::json(&lines) } else { mailboxes::table(&lines, width) }))
        }
        Mailbox::Resume { name, leave_older_than, leave_all, as_user } => {
            let leave = match leave_older_than {
                Some(since) => Leave::OlderThan(since.instant(engine.clock.now())),
                None if leave_all => Leave::All,
                None => Leave::Nothing,
            };
            let resumed = intake.resume_mailbox(&name, &as_user, leave).await?;
            let waiting = messages(resumed.waiting);
            let left = match leave {
                Leave::Nothing => String::new(),
                _ => format!(", {} left alone", resumed.left),
            };
            Ok(Told::done(format!("{name} goes on: {waiting} taken in from its next poll on{left}\n")))
        }
        Mailbox::Pause { name, reason, as_user } => {
            let waiting = messages(intake.pause_mailbox(&name, &as_user, &reason).await?);
            let mend = format!("`countersign mailbox resume {name}`");
            Ok(Told::done(format!("{name} is held, {waiting} waiting; nothing is taken in until {mend}\n")))
        }
        Mailbox::Test { name } => test(context, &name).await,
    }
}

async fn test(context: &Context, name: &str) -> anyhow::Result<Told> {
    let config = context.intake.mailbox(name)?;
    let mut mailbox = context.access.open(config).await.with_context(|| format!("open {name}"))?;
    let listed = mailbox.list(None).await.with_context(|| format!("list {name}"))?;
    let uid_validity = mailbox.uid_validity();
    let mut tx = context.engine.store.read().await?;
    let known = ledger::of_folder(&mut tx, name, uid_validity).await?;
    let known: HashSet<_> = known.iter().map(|row| row.uid.as_str()).collect();
    let new = listed.iter().filter(|message| !known.contains(message.uid.as_str())).count();
    let received = listed.iter().filter_map(|message| message.received_at);
    let (oldest, newest) = (received.clone().min(), received.max());
    let mut told = format!("{name}: it opens\nmessages     {}\nuidvalidity  {uid_validity}\n", listed.len());
    if let (Some(oldest), Some(newest)) = (oldest, newest) {
        told.push_str(&format!("received     {} to {}\n", text::instant(oldest), text::instant(newest)));
    }
    told.push_str(&format!("not listed   {new}\n"));
    Ok(Told::done(told))
}

/// `1 message`, `12 messages`
fn messages(count: u64) -> String {
    if count == 1 { "1 message".into() } else { format!("{count} messages") }
}
