//! Durability barriers per mail: the calls of fsync, fdatasync and syncfs under strace, in a run that is not timed.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use tokio::runtime::Runtime;

use crate::countersign::{Backend, Program, Site};
use crate::rig::Rig;
use crate::{others, process};

/// Calls per mail.
pub struct PerMail {
    pub barriers: f64,
    /// Those on SQLite's log: one per commit, and a few for checkpoints.
    pub commits: f64,
}

/// What the tracer may need to write its last line.
const PATIENCE: Duration = Duration::from_secs(10);

/// As a grandchild (`-D`), so that the child is the program itself; with the paths of descriptors (`-y`).
const STRACE: [&str; 6] = ["strace", "-D", "-f", "-y", "-e", "trace=fsync,fdatasync,syncfs"];

#[derive(Default)]
struct Calls {
    barriers: usize,
    commits: usize,
}

/// Counts for ours, without what an empty mailbox needs, and for mbsync.
///
/// # Errors
/// When processes may not be traced here.
pub fn count(rig: &Rig, program: &Program, runtime: &Runtime, messages: usize) -> anyhow::Result<(PerMail, f64)> {
    let idle = ours(rig, program, runtime, 0)?;
    let busy = ours(rig, program, runtime, messages)?;
    let per_mail = |busy: usize, idle: usize| busy.saturating_sub(idle) as f64 / messages as f64;
    let ours =
        PerMail { barriers: per_mail(busy.barriers, idle.barriers), commits: per_mail(busy.commits, idle.commits) };
    Ok((ours, per_mail(mbsync(rig, messages)?, 0)))
}

fn ours(rig: &Rig, program: &Program, runtime: &Runtime, messages: usize) -> anyhow::Result<Calls> {
    let user = rig.user(messages)?;
    let site = Site::new(rig, runtime, std::slice::from_ref(&user), rig.imap_port(), &Backend::Directory)?;
    let trace = site.path("trace");
    let mut tracer = STRACE.to_vec();
    let to = trace.to_string_lossy().into_owned();
    tracer.extend(["-o", &to]);
    let mut daemon = site.start(program, &tracer)?;
    site.wait(&mut daemon, async |database| Ok(database.is_polled(1).await? && database.is_drained(messages).await?))?;
    let pid = daemon.id();
    process::stop(daemon)?;
    let calls = read(&trace, pid)?;
    site.remove()?;
    rig.forget(&user)?;
    Ok(calls)
}

fn mbsync(rig: &Rig, messages: usize) -> anyhow::Result<usize> {
    let user = rig.user(messages)?;
    let near = rig.dir().join("traced");
    fs::create_dir_all(&near)?;
    let plain = others::mbsync_command(rig, &user, &near)?;
    let trace = near.join("trace");
    let mut command = Command::new(STRACE[0]);
    command.args(&STRACE[1..]).arg("-o").arg(&trace).arg(plain.get_program()).args(plain.get_args());
    command.env("HOME", &near);
    let mut child = command.spawn().context("start strace")?;
    let (pid, status) = (child.id(), child.wait()?);
    ensure!(status.success(), "mbsync under strace ended with {status}");
    let calls = read(&trace, pid)?;
    fs::remove_dir_all(near)?;
    rig.forget(&user)?;
    Ok(calls.barriers)
}

/// Reads a trace that is whole when the end of its first process stands in it.
fn read(trace: &Path, pid: u32) -> anyhow::Result<Calls> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = fs::read_to_string(trace).context("read what strace wrote")?;
        let is_end = |line: &str| line.starts_with(&pid.to_string()) && line.contains("+++ exited");
        if text.lines().any(is_end) {
            return Ok(count_calls(&text));
        }
        ensure!(Instant::now() < deadline, "strace has not come to an end:\n{text}");
        sleep(Duration::from_millis(50));
    }
}

/// A call that was interrupted by another thread's stands in two lines; only the first has the bracket.
fn count_calls(text: &str) -> Calls {
    let mut calls = Calls::default();
    for line in text.lines().filter(|line| ["sync(", "syncfs("].iter().any(|call| line.contains(call))) {
        calls.barriers += 1;
        calls.commits += usize::from(line.contains("-wal>"));
    }
    calls
}
