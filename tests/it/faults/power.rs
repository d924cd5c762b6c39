//! The power is cut, not only the process: what the server shows as seen is whole on the disk, and the machine that
//! starts with that disk does the rest, and nothing twice. And the proof that this test would notice: without barriers.

use std::process::Command;

use super::disk::Disk;
use super::{Backlog, Random, seen, wait_for_seen};

const MAILS: usize = 250;
const CUTS: usize = 5;

/// Cuts the power at the next moment after `count` messages are seen: right then, or some answers of the server later.
/// Gives what is not whole of what the server had shown as seen before.
async fn cut(backlog: &Backlog, disk: &mut Disk, count: usize, random: &mut Random) -> (usize, Vec<String>) {
    let daemon = backlog.site.start().await;
    let mut person = backlog.person().await;
    wait_for_seen(&mut person, count).await;
    for _ in 0..random.below(40) {
        person.run("NOOP").await;
    }
    let flagged = seen(&mut person).await;
    disk.instant();
    daemon.kill();
    disk.restart();
    (flagged.len(), backlog.lost(&flagged, &backlog.site.path("state/store")).await)
}

fn seed() -> u64 {
    let given = std::env::var("CS_SEED").ok().map(|seed| seed.parse().expect("CS_SEED is a number"));
    let seed = given.unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0);
    println!("CS_SEED={seed}");
    seed
}

#[tokio::test]
async fn a_power_cut_loses_nothing_that_the_server_shows_as_seen() {
    let mut random = Random(seed());
    let backlog = Backlog::of(MAILS).await;
    let mut disk = Disk::new(&backlog.site.path("state"));
    for turn in 0..CUTS {
        // Spread over the backlog, none of them at its very end.
        let share = MAILS / (CUTS + 1);
        let count = 1 + turn * share + random.below(share);
        let (flagged, lost) = cut(&backlog, &mut disk, count, &mut random).await;
        println!("cut after {flagged} of {MAILS} were seen");
        assert!(flagged >= count);
        assert_eq!(lost, Vec::<String>::new(), "seen on the server, and not whole on the disk");
        assert_eq!(integrity(&backlog).await, "ok");
    }
    let daemon = backlog.site.start().await;
    backlog.ends_clean(vec![daemon]).await;
    let all: Vec<u32> = (1..=MAILS as u32).collect();
    assert_eq!(backlog.lost(&all, &backlog.site.path("state/store")).await, Vec::<String>::new());
}

/// What SQLite says of the database.
async fn integrity(backlog: &Backlog) -> String {
    use sqlx::Connection;
    let mut connection = sqlx::SqliteConnection::connect(&backlog.site.database).await.expect("open the database");
    let told =
        sqlx::query_scalar("pragma integrity_check").fetch_one(&mut connection).await.expect("check the database");
    connection.close().await.expect("close");
    told
}

/// The daemon runs under a filter that answers every sync with success and does nothing.
#[tokio::test]
async fn without_barriers_a_power_cut_is_noticed() {
    let mut backlog = Backlog::of(MAILS).await;
    let nosync = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/rig/nosync");
    let works = Command::new(nosync).arg("true").status().expect("run nosync");
    assert!(works.success(), "nosync needs python3 and a kernel with seccomp");
    backlog.site.under = vec![nosync.into()];
    let mut disk = Disk::new(&backlog.site.path("state"));
    let (flagged, lost) = cut(&backlog, &mut disk, MAILS / 3, &mut Random(seed())).await;
    println!("{} of {flagged} are lost: {:?}", lost.len(), lost.iter().take(3).collect::<Vec<_>>());
    assert!(!lost.is_empty(), "nothing is lost of {flagged} messages that nobody made durable");
}
