//! What we write to gives out: the disk of the store or of the database is full, S3 answers 503, PostgreSQL crashes and
//! comes back.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use uuid::Uuid;

use super::machines::in_bucket;
use super::unwilling::{Mood, Unwilling};
use super::{Backlog, disk, seen, wait_for_seen};
use crate::daemon::{Daemon, Site};
use crate::state::State;
use crate::{end_to_end, rig};

/// Waits until the database, or else the log, says that the mailbox waits for this reason.
async fn unhealthy(site: &Site, daemon: &Daemon, words: &str) {
    let told = |state: State| state.mailbox("ap")?.last_error.clone().filter(|error| error.contains(words)).map(drop);
    rig::wait_for(&format!("the mailbox to complain of {words}"), async || {
        let logged =
            daemon.log().lines().any(|line| line.contains("mailbox ap: ") && line.contains(words)).then_some(());
        logged.or(site.state().await.and_then(told))
    })
    .await;
}

/// A disk that has so much room left, and what fills the rest.
fn full_disk(at: &Path, room_bytes: usize) -> (disk::Mounted, PathBuf) {
    let size = 16 << 20;
    let mounted = disk::in_memory(at, &size.to_string());
    let filler = at.join("filler");
    std::fs::write(&filler, vec![7; size - room_bytes]).expect("fill the disk");
    (mounted, filler)
}

#[tokio::test]
async fn while_the_disk_of_the_store_is_full_nothing_is_flagged_that_is_not_whole() {
    let backlog = Backlog::of(60).await;
    let store = backlog.site.path("state/store");
    let (_disk, filler) = full_disk(&store, 500 << 10);
    let daemon = backlog.site.start().await;
    unhealthy(&backlog.site, &daemon, "No space left").await;
    let mut person = backlog.person().await;
    let flagged = seen(&mut person).await;
    assert!(flagged.len() < 60, "there was room for all of it");
    assert_eq!(backlog.lost(&flagged, &store).await, Vec::<String>::new());
    std::fs::remove_file(filler).expect("make room");
    backlog.ends_clean(vec![daemon]).await;
    assert_eq!(backlog.lost(&seen(&mut person).await, &store).await, Vec::<String>::new());
}

/// Mails whose rows take more than the room that is left, over several windows.
const MORE_THAN_FITS: usize = 200;

#[tokio::test]
async fn while_the_disk_of_the_database_is_full_nothing_is_flagged_that_is_not_whole() {
    let backlog = Backlog::varied(MORE_THAN_FITS, "INBOX", |_, sections| {
        sections.store = "kind = \"directory\"\npath = \"store\"".into();
    })
    .await;
    // The schema is there; the disk gets full later.
    let (_disk, filler) = full_disk(&backlog.site.path("state"), 2 << 20);
    let daemon = backlog.site.start().await;
    unhealthy(&backlog.site, &daemon, "full").await;
    let mut person = backlog.person().await;
    let flagged = seen(&mut person).await;
    assert!(flagged.len() < MORE_THAN_FITS, "there was room for all of it");
    std::fs::remove_file(filler).expect("make room");
    let store = backlog.site.path("store");
    assert_eq!(backlog.lost(&flagged, &store).await, Vec::<String>::new());
    backlog.ends_clean(vec![daemon]).await;
    assert_eq!(backlog.lost(&seen(&mut person).await, &store).await, Vec::<String>::new());
}

#[tokio::test]
async fn while_s3_answers_503_nothing_is_flagged_and_what_was_stored_unknown_is_no_trouble() {
    let bucket = format!("papers-{}", Uuid::now_v7().simple());
    end_to_end::s3().await.create_bucket().bucket(&bucket).send().await.expect("make a bucket");
    let s3 = Unwilling::start().await;
    let vary = |site: &mut Site, sections: &mut crate::daemon::Sections| {
        sections.store = in_bucket(site, &bucket, &s3.url);
    };
    let backlog = Backlog::varied(24, "INBOX", vary).await;
    let daemon = backlog.site.start().await;
    let mut person = backlog.person().await;
    rig::wait_for("some of it to be stored", async || (s3.asked() > 30).then_some(())).await;
    s3.becomes(Mood::Refusing);
    unhealthy(&backlog.site, &daemon, "message.eml").await;
    let before = seen(&mut person).await.len();
    let refused = s3.refused();
    rig::wait_for("another attempt", async || (s3.refused() > refused).then_some(())).await;
    assert_eq!(seen(&mut person).await.len(), before, "flagged while nothing could be stored");
    s3.becomes(Mood::Moody);
    let refused = s3.refused();
    rig::wait_for("unknown endings", async || (s3.refused() > refused + 5).then_some(())).await;
    s3.becomes(Mood::Willing);
    backlog.ends_clean(vec![daemon]).await;
    for (number, raw) in backlog.mails.iter().enumerate() {
        let stored = stored(&backlog, &bucket, number + 1).await;
        assert!(stored == *raw, "mail {} is stored as it was sent", number + 1);
    }
}

async fn stored(backlog: &Backlog, bucket: &str, uid: usize) -> Vec<u8> {
    let books = backlog.books().await.expect("the database");
    let row = books.messages.iter().find(|row| row.uid == uid.to_string()).expect("a row");
    let key = format!("{}/{}/message.eml", row.customer, row.transaction_id);
    let answer = end_to_end::s3().await.get_object().bucket(bucket).key(key).send().await.expect("get");
    answer.body.collect().await.expect("a body").to_vec()
}

/// A PostgreSQL of the test's own, because others could not be asked to stand its crashes.
struct Postgres {
    dir: TempDir,
    port: u16,
}

impl Postgres {
    fn start() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).expect("let the server in");
        let port =
            std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address").port();
        let certs = format!("{}/certs", rig::dir());
        std::os::unix::fs::symlink(certs, dir.path().join("certs")).expect("certificates");
        let postgres = Self { dir, port };
        postgres.tell("start");
        postgres
    }

    /// `stop` is a crash: connections break, and the next start recovers from the log.
    fn tell(&self, what: &str) {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/rig/postgres.sh");
        let mut command = Command::new(script);
        command.arg(what).env("CS_RIG_DIR", self.dir.path()).env("CS_RIG_PG_PORT", self.port.to_string());
        let out = command.output().expect("run postgres.sh");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    }

    fn url(&self) -> String {
        rig::pg_url().replacen(&format!(":{}/", rig::pg_port()), &format!(":{}/", self.port), 1)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.tell("stop");
    }
}

#[tokio::test]
async fn a_database_that_crashes_and_comes_back_loses_and_repeats_nothing() {
    let postgres = Postgres::start();
    let backlog = Backlog::varied(70, "INBOX", |site, sections| {
        site.database = postgres.url();
        sections.database = format!("url = \"{}\"", site.database);
    })
    .await;
    let store = backlog.site.path("state/store");
    let mut person = backlog.person().await;
    let daemon = backlog.site.start().await;
    for count in [1, 51] {
        wait_for_seen(&mut person, count).await;
        let flagged = seen(&mut person).await;
        // Back before the daemon's connections give up waiting: `trouble.rs` has a database that stays away.
        postgres.tell("stop");
        postgres.tell("start");
        assert_eq!(backlog.lost(&flagged, &store).await, Vec::<String>::new());
    }
    backlog.ends_clean(vec![daemon]).await;
}
