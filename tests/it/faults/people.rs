//! People and administrators work in the same mailbox while it is read: they read, move and delete mail, rename and
//! replace the folder, and the server forgets its numbers.

use std::collections::BTreeSet;
use std::process::Command;

use super::tap::{FETCH, Tap};
use super::{Backlog, in_clear, wait_for_seen};
use crate::daemon::Daemon;
use crate::rig;

/// Some way into the backlog.
const BYTES: usize = 40_000;

/// A daemon in the middle of an answer, held there.
async fn held(count: usize, folder: &str) -> (Backlog, Tap, Daemon) {
    let tap = Tap::on(rig::imap_port()).await;
    let section = format!("folder = \"{folder}\"");
    let port = tap.port;
    let vary =
        |site: &mut _, sections: &mut crate::daemon::Sections| sections.mailboxes = in_clear(site, port, &section);
    let backlog = Backlog::varied(count, folder, vary).await;
    tap.arm(FETCH, BYTES);
    let daemon = backlog.site.start().await;
    tap.held().await;
    (backlog, tap, daemon)
}

#[tokio::test]
async fn mail_that_a_person_reads_first_is_taken_in_all_the_same() {
    let tap = Tap::on(rig::imap_port()).await;
    let port = tap.port;
    let vary = |site: &mut _, sections: &mut crate::daemon::Sections| sections.mailboxes = in_clear(site, port, "");
    let backlog = Backlog::varied(40, "INBOX", vary).await;
    let mut person = backlog.person().await;
    person.run("UID STORE 1:5,30:40 +FLAGS (\\Seen \\Flagged)").await;
    tap.arm(FETCH, BYTES);
    let daemon = backlog.site.start().await;
    tap.held().await;
    person.run("UID STORE 1:* +FLAGS (\\Seen)").await;
    person.run("UID STORE 10:20 -FLAGS (\\Seen)").await;
    tap.release();
    backlog.ends_clean(vec![daemon]).await;
    assert_eq!(super::seen(&mut person).await.len(), 40, "shown as dealt with, whatever people made of it");
}

#[tokio::test]
async fn mail_that_is_deleted_or_moved_away_meanwhile_runs_at_most_once() {
    let (backlog, tap, daemon) = held(40, "INBOX").await;
    let mut person = backlog.person().await;
    person.run("CREATE Elsewhere").await;
    person.run("UID STORE 1,4,20:24 +FLAGS (\\Deleted)").await;
    person.run("UID EXPUNGE 1,4,20:24").await;
    person.run("UID MOVE 2,5,30:34 Elsewhere").await;
    tap.release();
    let (deleted, moved) = (BTreeSet::from([1, 4, 20, 21, 22, 23, 24]), BTreeSet::from([2, 5, 30, 31, 32, 33, 34]));
    let stayed = &backlog.all() - &(&deleted | &moved);
    backlog.wait_until_done(&stayed).await;
    // Nobody takes them in under the old number; under the new one they are what they always were.
    person.run("SELECT Elsewhere").await;
    person.run("UID MOVE 1:* INBOX").await;
    backlog.ends_with(vec![daemon], &(&stayed | &moved), &deleted).await;
}

#[tokio::test]
async fn a_folder_renamed_away_and_back_loses_and_repeats_nothing() {
    let (mut backlog, tap, daemon) = held(30, "Invoices").await;
    super::server::kill_server(&backlog.site.mailbox);
    let mut person = backlog.person().await;
    person.run("RENAME Invoices Archive").await;
    tap.cut();
    complains(&daemon, "Invoices").await;
    backlog.mails.extend((31..=33).map(super::invoice));
    person.append("Archive", &backlog.mails[30..]).await;
    person.run("RENAME Archive Invoices").await;
    backlog.ends_clean(vec![daemon]).await;
}

#[tokio::test]
async fn a_folder_replaced_by_a_new_one_of_the_same_name_repeats_nothing() {
    let (mut backlog, tap, daemon) = held(30, "Invoices").await;
    // Dovecot 2.3 damages its index when a process of it still has the old folder open.
    super::server::kill_server(&backlog.site.mailbox);
    let mut person = backlog.person().await;
    person.run("RENAME Invoices Old").await;
    person.run("CREATE Invoices").await;
    backlog.mails.extend((31..=33).map(super::invoice));
    person.append("Invoices", &backlog.mails[30..]).await;
    tap.release();
    backlog.wait_until_done(&(31..=33).collect()).await;
    // The old mail comes over, in another order: some of it was taken in before, some was not.
    person.run("SELECT Old").await;
    person.run("UID MOVE 11:* Invoices").await;
    person.run("UID MOVE 1:* Invoices").await;
    backlog.ends_clean(vec![daemon]).await;
}

/// What an administrator does with Dovecot's own tool.
fn renumber(backlog: &Backlog, uid_validity: u32) {
    let out = Command::new("doveadm")
        .args(["-c", &format!("{}/dovecot/dovecot.conf", rig::dir()), "mailbox", "update", "-u"])
        .args([&backlog.site.mailbox, "--uid-validity", &uid_validity.to_string(), "INBOX"])
        .output()
        .expect("run doveadm");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

#[tokio::test]
async fn a_server_that_forgets_its_numbers_in_the_middle_of_an_answer_repeats_nothing() {
    let (backlog, tap, daemon) = held(30, "INBOX").await;
    renumber(&backlog, 4_000_000_001);
    tap.release();
    super::server::kill_server(&backlog.site.mailbox);
    backlog.ends_clean(vec![daemon]).await;
}

#[tokio::test]
async fn a_server_that_forgets_its_numbers_later_repeats_nothing() {
    let mut backlog = Backlog::of(20).await;
    let daemon = backlog.site.start().await;
    wait_for_seen(&mut backlog.person().await, 20).await;
    for uid_validity in [4_000_000_002, 4_000_000_003] {
        renumber(&backlog, uid_validity);
        super::server::kill_server(&backlog.site.mailbox);
        let number = backlog.mails.len() + 1;
        backlog.mails.push(super::invoice(number));
        backlog.person().await.append("INBOX", &backlog.mails[number - 1..]).await;
        backlog.wait_until_done(&backlog.all()).await;
    }
    backlog.ends_clean(vec![daemon]).await;
}

/// Waits until the daemon's log says so.
async fn complains(daemon: &Daemon, words: &str) {
    rig::wait_for(&format!("the daemon to say `{words}`"), async || daemon.log().contains(words).then_some(())).await;
}
