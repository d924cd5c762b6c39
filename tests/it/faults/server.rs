//! The mail server dies: in the middle of an answer, while it waits with us, with its process or with its line.

use std::process::Command;

use futures_util::future::join_all;
use rustix::process::{Pid, Signal, kill_process};

use super::tap::{FETCH, IDLE, Tap};
use super::{Backlog, in_clear};
use crate::daemon::Daemon;
use crate::rig;

/// How the server dies.
#[derive(Debug, Clone, Copy)]
enum Death {
    /// The line breaks; the server has sent more.
    Line,
    /// The server's process for this mailbox gets SIGKILL.
    Process,
}

async fn tapped(count: usize) -> (Backlog, Tap) {
    let tap = Tap::on(rig::imap_port()).await;
    let port = tap.port;
    let backlog = Backlog::varied(count, "INBOX", |site, sections| sections.mailboxes = in_clear(site, port, "")).await;
    (backlog, tap)
}

fn dies(backlog: &Backlog, tap: &Tap, death: Death) {
    match death {
        Death::Line => tap.cut(),
        Death::Process => {
            assert!(kill_server(&backlog.site.mailbox) > 0, "no process of Dovecot for this mailbox");
            tap.release();
        }
    }
}

/// Kills Dovecot's processes that serve this user; the others go on. Gives how many there were.
pub fn kill_server(user: &str) -> usize {
    let out = Command::new("doveadm")
        .args(["-c", &format!("{}/dovecot/dovecot.conf", rig::dir()), "who", "-1", user])
        .output()
        .expect("run doveadm");
    let told = String::from_utf8_lossy(&out.stdout).into_owned();
    let lines = told.lines().filter(|line| line.starts_with(user));
    let pids: Vec<i32> = lines.filter_map(|line| line.split_whitespace().nth(2)?.parse().ok()).collect();
    for pid in &pids {
        kill_process(Pid::from_raw(*pid).expect("a pid"), Signal::KILL).expect("kill a process of Dovecot");
    }
    pids.len()
}

/// Dies once, so many bytes into the answer with a body.
async fn killed_in_fetch(death: Death, bytes: usize) {
    println!("{death:?} dies {bytes} bytes into an answer");
    let (backlog, tap) = tapped(20).await;
    tap.arm(FETCH, bytes);
    let daemon = backlog.site.start().await;
    tap.held().await;
    dies(&backlog, &tap, death);
    backlog.ends_clean(vec![daemon]).await;
}

#[tokio::test]
async fn a_line_that_breaks_in_the_middle_of_an_answer_loses_and_repeats_nothing() {
    // Within the first literal's announcement, its header, its document; in later mails; before the last line's end.
    join_all([0, 3, 400, 2_000, 30_000, 90_000].map(|bytes| killed_in_fetch(Death::Line, bytes))).await;
}

#[tokio::test]
async fn a_server_killed_in_the_middle_of_an_answer_loses_and_repeats_nothing() {
    join_all([1, 1_000, 50_000].map(|bytes| killed_in_fetch(Death::Process, bytes))).await;
}

#[tokio::test]
async fn a_server_killed_again_and_again_while_it_sends_loses_and_repeats_nothing() {
    let (backlog, tap) = tapped(40).await;
    let mut daemon: Option<Daemon> = None;
    for (death, bytes) in [(Death::Line, 40_000), (Death::Process, 40_000), (Death::Line, 5)] {
        tap.arm(FETCH, bytes);
        if daemon.is_none() {
            daemon = Some(backlog.site.start().await);
        }
        tap.held().await;
        dies(&backlog, &tap, death);
    }
    backlog.ends_clean(daemon.into_iter().collect()).await;
}

/// Dies while it waits with us; mail arrives before anybody can have noticed.
async fn killed_in_idle(death: Death) {
    println!("{death:?} dies while it waits");
    let (mut backlog, tap) = tapped(2).await;
    let daemon = backlog.site.start().await;
    backlog.wait_until_done(&backlog.all()).await;
    for _ in 0..3 {
        tap.arm(IDLE, 0);
        tap.held().await;
        dies(&backlog, &tap, death);
        let number = backlog.mails.len() + 1;
        backlog.mails.push(super::invoice(number));
        backlog.person().await.append("INBOX", &backlog.mails[number - 1..]).await;
        backlog.wait_until_done(&backlog.all()).await;
    }
    backlog.ends_clean(vec![daemon]).await;
}

#[tokio::test]
async fn a_server_that_dies_while_we_wait_for_news_loses_no_news() {
    join_all([Death::Line, Death::Process].map(killed_in_idle)).await;
}
