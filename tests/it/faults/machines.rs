//! Two daemons on one mailbox: two processes over one SQLite file, two machines over one PostgreSQL and one bucket. One of
//! them is killed in the middle of an answer, or stays there until the other has done all of it.

use futures_util::future::join_all;
use uuid::Uuid;

use super::tap::{FETCH, Tap};
use super::{Backlog, in_clear, site};
use crate::daemon::{Daemon, Sections, Site};
use crate::{end_to_end, rig};

/// What becomes of the first one.
#[derive(Debug, Clone, Copy, PartialEq)]
enum First {
    Dies,
    /// Comes back when its lease is long another's.
    Lags,
}

/// The second daemon finds the first one held in the middle of an answer.
async fn check(backlog: Backlog, second: Option<Site>, tap: Tap, becomes: First) {
    tap.arm(FETCH, 40_000);
    let first = backlog.site.start().await;
    tap.held().await;
    let other = second.as_ref().unwrap_or(&backlog.site).start().await;
    let mut left = vec![];
    if becomes == First::Dies {
        first.kill();
    } else {
        takes_over(&other).await;
        left.push(first);
    }
    // Released in any case, and in the middle of the other's work: what the first one still has counts no more.
    tap.release();
    left.push(other);
    backlog.ends_clean(left).await;
}

async fn takes_over(daemon: &Daemon) {
    rig::wait_for("the other daemon to take over", async || daemon.log().contains(" of ap: start").then_some(())).await;
}

async fn two_processes(becomes: First) {
    let tap = Tap::on(rig::imap_port()).await;
    let port = tap.port;
    let backlog = Backlog::varied(30, "INBOX", |site, sections| sections.mailboxes = in_clear(site, port, "")).await;
    // The tap holds one connection, once; the second process reads through it unhindered.
    check(backlog, None, tap, becomes).await;
}

async fn two_machines(becomes: First) {
    let tap = Tap::on(rig::imap_port()).await;
    let bucket = format!("papers-{}", Uuid::now_v7().simple());
    end_to_end::s3().await.create_bucket().bucket(&bucket).send().await.expect("make a bucket");
    let database = rig::fresh_database().await;
    let vary = |site: &mut Site, sections: &mut Sections, port| {
        site.database.clone_from(&database);
        sections.database = format!("url = \"{database}\"");
        sections.store = in_bucket(site, &bucket, &rig::moto_url());
        sections.mailboxes = in_clear(site, port, "");
    };
    let port = tap.port;
    let backlog = Backlog::varied(30, "INBOX", |site, sections| vary(site, sections, port)).await;
    let mailbox = backlog.site.mailbox.clone();
    let second = site(|site, sections| {
        site.mailbox = mailbox;
        vary(site, sections, rig::imap_port());
    });
    check(backlog, Some(second), tap, becomes).await;
}

/// The section of a store in a bucket at `endpoint`.
pub fn in_bucket(site: &mut Site, bucket: &str, endpoint: &str) -> String {
    let key = site.secret(crate::daemon::Keeper::Env, "key", "testing");
    format!(
        "kind = \"s3\"\nbucket = \"{bucket}\"\nendpoint = \"{endpoint}\"\npath_style = true\n\
         access_key_id = \"{key}\"\nsecret_access_key = \"{key}\""
    )
}

#[tokio::test]
async fn two_processes_on_one_sqlite_file_do_everything_once_between_them() {
    join_all([First::Dies, First::Lags].map(two_processes)).await;
}

#[tokio::test]
async fn two_machines_on_one_postgresql_do_everything_once_between_them() {
    join_all([First::Dies, First::Lags].map(two_machines)).await;
}
