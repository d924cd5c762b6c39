//! What a process costs, as Linux tells it in /proc: processor time, resident memory, its end.

use std::fs;
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::table::Sample;

/// How often a process is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// Ticks of /proc a second, on every Linux.
const TICKS: f64 = 100.0;

/// What a process has used so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// User and system, of all its threads.
    pub cpu_secs: f64,
    pub rss_bytes: f64,
    pub peak_rss_bytes: f64,
    is_dead: bool,
}

/// # Errors
/// When the process is gone.
pub fn usage(pid: u32) -> anyhow::Result<Usage> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("read the stat of a process")?;
    // The name before it, in brackets, may hold anything.
    let (_, fields) = stat.rsplit_once(')').context("the stat of a process")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).context("ticks of a process");
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("read the status of a process")?;
    let bytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        // A process that has ended holds no memory.
        line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok()).unwrap_or_default() * 1024.0
    };
    Ok(Usage {
        cpu_secs: (ticks(11)? + ticks(12)?) / TICKS,
        rss_bytes: bytes("VmRSS:"),
        peak_rss_bytes: bytes("VmHWM:"),
        is_dead: matches!(fields.first(), Some(&"Z" | &"X")),
    })
}

/// Runs a program to its end.
///
/// # Errors
/// When it cannot be started or fails.
pub fn run(command: &mut Command) -> anyhow::Result<Sample> {
    let started = Instant::now();
    let mut child = command.spawn().with_context(|| format!("start {command:?}"))?;
    let mut peak_rss_bytes = 0f64;
    let dead = loop {
        let usage = usage(child.id())?;
        peak_rss_bytes = peak_rss_bytes.max(usage.peak_rss_bytes);
        if usage.is_dead {
            break usage;
        }
        sleep(LOOK);
    };
    let wall_secs = started.elapsed().as_secs_f64();
    let status = child.wait()?;
    ensure!(status.success(), "{command:?} ended with {status}");
    Ok(Sample { wall_secs, cpu_secs: dead.cpu_secs, peak_rss_bytes })
}

/// Stops a daemon by SIGTERM.
///
/// # Errors
/// When it ends with a complaint.
pub fn stop(mut child: Child) -> anyhow::Result<()> {
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM)?;
    let status = child.wait()?;
    ensure!(status.success(), "stopped with {status}");
    Ok(())
}
