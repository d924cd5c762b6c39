//! `countersign ledger`: whether every message on the server is accounted for, and writing down what is not.

use clap::Subcommand;
use serde_json::json;

use super::args::ENDINGS;
use super::{Context, Told};
use crate::config::sections::Mailbox;
use crate::intake::{Balance, IntakeError};
use crate::reports::text;

/// What can be asked of the ledger.
#[derive(Debug, Clone, Subcommand)]
pub enum Ledger {
    /// Compare every message on the server with the ledger
    #[command(
        after_help = ENDINGS,
        long_about = "Lists each mailbox in whole and compares it with the ledger: every message must be accounted for as run, \
            resumed, ignored, quarantined, replied or in flight. Prints the balance and names what is unaccounted for; fails \
            when it does not add up or a mailbox cannot be read. Nothing is changed, neither here nor on the server. Mail that \
            came in this moment, and that the daemon has not listed yet, is named as well: ask again.\n\n\
            Examples:\n  countersign ledger verify\n  countersign ledger verify --mailbox ap\n  countersign ledger verify \
            --json | jq '.[] | select(.adds_up | not)'"
    )]
    Verify {
        /// Only this mailbox
        #[arg(long, short, value_name = "NAME")]
        mailbox: Option<String>,
        /// One JSON array instead of lines
        #[arg(long)]
        json: bool,
    },
    /// Write down every message on the server that the ledger does not know
    #[command(
        after_help = ENDINGS,
        long_about = "Lists each mailbox in whole and writes into the ledger what has no row there. The daemon takes it in from \
            there; it does the same by itself at its start and once a day.\n\n\
            Examples:\n  countersign ledger reconcile\n  countersign ledger reconcile --mailbox ap"
    )]
    Reconcile {
        /// Only this mailbox
        #[arg(long, short, value_name = "NAME")]
        mailbox: Option<String>,
    },
}

pub async fn perform(what: Ledger, context: &Context) -> anyhow::Result<Told> {
    match what {
        Ledger::Verify { mailbox, json } => verify(context, mailbox.as_deref(), json).await,
        Ledger::Reconcile { mailbox } => reconcile(context, mailbox.as_deref()).await,
    }
}

/// Each mailbox stands alone: one that cannot be read fails the command and hides no other.
async fn verify(context: &Context, only: Option<&str>, json: bool) -> anyhow::Result<Told> {
    let (mut told, mut objects, mut adds_up) = (String::new(), vec![], true);
    for config in mailboxes(context, only)? {
        let name = &config.name;
        match balance_of(context, config).await {
            Ok(balance) => {
                adds_up &= balance.adds_up();
                told.push_str(&lines(name, &balance));
                objects.push(json!({"mailbox": name, "adds_up": balance.adds_up(), "balance": balance}));
            }
            Err(error) => {
                adds_up = false;
                told.push_str(&unread(name, &error));
                objects.push(json!({"mailbox": name, "adds_up": false, "error": error.to_string()}));
            }
        }
    }
    let text = if json { format!("{}\n", serde_json::to_string_pretty(&objects)?) } else { told };
    Ok(if adds_up { Told::done(text) } else { Told::failed(text) })
}

async fn balance_of(context: &Context, config: &Mailbox) -> Result<Balance, IntakeError> {
    let mut mailbox = context.access.open(config).await?;
    context.intake.verify_ledger(config, mailbox.as_mut()).await
}

async fn reconcile(context: &Context, only: Option<&str>) -> anyhow::Result<Told> {
    let (mut told, mut failed) = (String::new(), false);
    for config in mailboxes(context, only)? {
        let found = async {
            let mut mailbox = context.access.open(config).await?;
            context.intake.reconcile(config, mailbox.as_mut()).await
        };
        match found.await {
            Ok(0) => told.push_str(&format!("{}: the ledger knows every message\n", config.name)),
            Ok(found) => told.push_str(&format!("{}: {found} written into the ledger\n", config.name)),
            Err(error) => {
                failed = true;
                told.push_str(&unread(&config.name, &error));
            }
        }
    }
    Ok(if failed { Told::failed(told) } else { Told::done(told) })
}

fn mailboxes<'a>(context: &'a Context, only: Option<&str>) -> Result<Vec<&'a Mailbox>, IntakeError> {
    match only {
        Some(name) => Ok(vec![context.intake.mailbox(name)?]),
        None => Ok(context.intake.mailboxes.iter().collect()),
    }
}

fn unread(name: &str, error: &IntakeError) -> String {
    format!("{name}: {}\n", text::one_line(&error.to_string()))
}

/// `ap: 3 on the server = 1 run + 1 resumed + …`, and a line for whatever is to be known beside it.
fn lines(name: &str, balance: &Balance) -> String {
    let sign = if balance.adds_up() { "=" } else { "is not" };
    let mut told = format!(
        "{name}: {} on the server {sign} {} run + {} resumed + {} ignored + {} quarantined + {} replied + {} in flight\n",
        balance.on_server,
        balance.run,
        balance.resumed,
        balance.ignored,
        balance.quarantined,
        balance.replied,
        balance.in_flight
    );
    for uid in &balance.unaccounted {
        told.push_str(&format!("  uid {} is unaccounted for\n", text::one_line(uid)));
    }
    for uid in &balance.gone {
        told.push_str(&format!("  uid {} is gone; somebody removed it before it was read\n", text::one_line(uid)));
    }
    if balance.left > 0 {
        told.push_str(&format!("  {} more were dealt with and have left the folder\n", balance.left));
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_balance_names_what_does_not_add_up() {
        let mut balance = Balance { on_server: 3, run: 2, in_flight: 1, left: 4, ..Default::default() };
        let sum = "2 run + 0 resumed + 0 ignored + 0 quarantined + 0 replied + 1 in flight\n";
        let left = "  4 more were dealt with and have left the folder\n";
        assert_eq!(lines("ap", &balance), format!("ap: 3 on the server = {sum}{left}"));
        balance.on_server = 4;
        balance.unaccounted.push("17".into());
        balance.gone.push("9".into());
        let named = "  uid 17 is unaccounted for\n  uid 9 is gone; somebody removed it before it was read\n";
        assert_eq!(lines("ap", &balance), format!("ap: 4 on the server is not {sum}{named}{left}"));
    }
}
