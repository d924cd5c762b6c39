//! What mailboxes cost that wait by IDLE and get nothing.

use std::thread::sleep;
use std::time::Duration;

use tokio::runtime::Runtime;

use crate::countersign::{Backend, Program, Site};
use crate::process;
use crate::rig::Rig;

/// What the process needs to come to rest after its first polls.
const REST: Duration = Duration::from_secs(5);

pub struct Idle {
    pub rss_bytes: f64,
    pub cpu_secs_per_minute: f64,
}

/// Watches `mailboxes` empty mailboxes for `secs` seconds; each is polled once a minute beside IDLE, as by default.
///
/// # Errors
/// When one of them cannot be opened.
pub fn measure(rig: &Rig, program: &Program, runtime: &Runtime, mailboxes: usize, secs: u64) -> anyhow::Result<Idle> {
    let users = (0..mailboxes).map(|_| rig.user(0)).collect::<anyhow::Result<Vec<_>>>()?;
    let site = Site::new(rig, runtime, &users, rig.imap_port(), &Backend::Directory)?;
    let mut daemon = site.start(program, &[])?;
    drop(site.wait(&mut daemon, async |database| database.is_polled(mailboxes).await)?);
    sleep(REST);
    let before = process::usage(daemon.id())?;
    sleep(Duration::from_secs(secs));
    let after = process::usage(daemon.id())?;
    process::stop(daemon)?;
    site.remove()?;
    let cpu_secs_per_minute = (after.cpu_secs - before.cpu_secs) * 60.0 / secs.max(1) as f64;
    eprintln!("{mailboxes} idle: {:.1} MiB, {cpu_secs_per_minute:.2} CPU-s a minute", after.rss_bytes / crate::MIB);
    Ok(Idle { rss_bytes: after.rss_bytes, cpu_secs_per_minute })
}
