//! The proof: every message on the server is accounted for by the ledger. The balance is pure; reading both sides is here too.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use super::{Intake, IntakeError};
use crate::config::sections::Mailbox as MailboxConfig;
use crate::mailbox::{Listed, Mailbox};
use crate::store::ledger::{self, LedgerRow};

/// What the server has beside what the ledger says of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Balance {
    /// Messages in the folder.
    pub on_server: usize,
    /// Of these, by verdict: a run was started.
    pub run: usize,
    /// It went to a run that waited.
    pub resumed: usize,
    pub ignored: usize,
    pub quarantined: usize,
    /// Its sender was answered by template.
    pub replied: usize,
    /// In the ledger, without a verdict yet.
    pub in_flight: usize,
    /// UIDs of messages that no row of the ledger accounts for.
    pub unaccounted: Vec<String>,
    /// UIDs of rows without a verdict whose message is gone; the next poll says so in the ledger.
    pub gone: Vec<String>,
    /// Messages with a verdict that are not in the folder any more: moved there by `after`, or by somebody.
    pub left: usize,
}

impl Balance {
    /// Messages that the ledger accounts for.
    pub fn accounted(&self) -> usize {
        self.run + self.resumed + self.ignored + self.quarantined + self.replied + self.in_flight
    }

    pub fn adds_up(&self) -> bool {
        self.unaccounted.is_empty() && self.accounted() == self.on_server
    }

    /// The class of a row; none when its words are unknown, so that it accounts for nothing.
    fn class(&mut self, row: &LedgerRow) -> Option<&mut usize> {
        match (row.state.as_str(), row.verdict.as_deref()) {
            ("listed", None) => Some(&mut self.in_flight),
            ("decided", Some("start")) => Some(&mut self.run),
            ("decided", Some("resume")) => Some(&mut self.resumed),
            ("decided", Some("ignore")) => Some(&mut self.ignored),
            ("decided", Some("quarantine")) => Some(&mut self.quarantined),
            ("decided", Some("reply")) => Some(&mut self.replied),
            _ => None,
        }
    }
}

/// Compares the whole folder with the ledger's rows for it, both of the same UIDVALIDITY.
pub fn balance(listed: &[Listed], rows: &[LedgerRow]) -> Balance {
    let mut balance = Balance { on_server: listed.len(), ..Default::default() };
    let by_uid: HashMap<_, _> = rows.iter().map(|row| (row.uid.as_str(), row)).collect();
    for message in listed {
        match by_uid.get(message.uid.as_str()).and_then(|row| balance.class(row)) {
            Some(count) => *count += 1,
            None => balance.unaccounted.push(message.uid.clone()),
        }
    }
    let on_server: HashSet<_> = listed.iter().map(|message| message.uid.as_str()).collect();
    for row in rows.iter().filter(|row| !on_server.contains(row.uid.as_str())) {
        match row.state.as_str() {
            "listed" => balance.gone.push(row.uid.clone()),
            _ => balance.left += 1,
        }
    }
    balance
}

impl Intake {
    /// Compares an open mailbox with its ledger. Changes neither, and needs no lease.
    ///
    /// # Errors
    /// When the server or the database is away.
    pub async fn verify_ledger(
        &self,
        config: &MailboxConfig,
        mailbox: &mut dyn Mailbox,
    ) -> Result<Balance, IntakeError> {
        let begun = self.engine.clock.now();
        let listed = mailbox.list(None).await?;
        // Read second, so that what a daemon takes in meanwhile is known; what it listed later was not there for us.
        let mut tx = self.engine.store.read().await?;
        let mut rows = ledger::of_folder(&mut tx, &config.name, mailbox.uid_validity()).await?;
        let seen: HashSet<_> = listed.iter().map(|message| message.uid.as_str()).collect();
        rows.retain(|row| row.listed_at <= begun || seen.contains(row.uid.as_str()));
        Ok(balance(&listed, &rows))
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    /// `uids` on the server against rows written as `uid:verdict`, `-` for none yet.
    fn check(uids: &str, rows: &str, expected: Balance, adds_up: bool) {
        let listed = |uid: &str| Listed { uid: uid.into(), size_bytes: 1, received_at: None };
        let row = |text: &str| {
            let (uid, verdict) = text.split_once(':').unwrap();
            let verdict = (verdict != "-").then(|| verdict.to_owned());
            let state = if verdict.is_some() { "decided" } else { "listed" };
            LedgerRow { uid: uid.into(), state: state.into(), verdict, listed_at: DateTime::UNIX_EPOCH }
        };
        let listed: Vec<_> = uids.split_whitespace().map(listed).collect();
        let rows: Vec<_> = rows.split_whitespace().map(row).collect();
        let found = balance(&listed, &rows);
        assert_eq!(found, expected, "{uids} against {rows:?}");
        assert_eq!(found.adds_up(), adds_up, "{uids} against {rows:?}");
    }

    #[test]
    fn every_message_on_the_server_is_in_one_class() {
        check("", "", Balance::default(), true);
        let each = Balance {
            on_server: 7,
            run: 2,
            resumed: 1,
            ignored: 1,
            quarantined: 1,
            replied: 1,
            in_flight: 1,
            ..Default::default()
        };
        check("1 2 3 4 5 6 7", "1:start 2:resume 3:ignore 4:quarantine 5:reply 6:- 7:start", each, true);
    }

    #[test]
    fn what_no_row_accounts_for_is_named() {
        let unaccounted = |uids: &[&str]| uids.iter().map(|uid| (*uid).to_owned()).collect();
        check(
            "1 2 3",
            "2:start",
            Balance { on_server: 3, run: 1, unaccounted: unaccounted(&["1", "3"]), ..Default::default() },
            false,
        );
        let strange = Balance { on_server: 1, unaccounted: unaccounted(&["1"]), ..Default::default() };
        check("1", "1:shrug", strange, false);
    }

    #[test]
    fn what_has_left_the_folder_is_explained_by_its_row() {
        let left = Balance { on_server: 1, ignored: 1, left: 2, gone: vec!["4".into()], ..Default::default() };
        check("1", "1:ignore 2:start 3:quarantine 4:-", left, true);
    }
}
