//! How fast intake drains a mailbox, and what it costs, beside programs that do less: `cargo bench --bench intake -- --help`.
//! Owns which legs are run, in which order, and which goals their figures are held to. Everything is measured on the real
//! binary, a real Dovecot and interleaved runs: the price of a barrier on one machine moves 20-fold within hours.

mod barriers;
mod countersign;
mod delay;
mod idle;
mod mails;
mod options;
mod others;
mod process;
mod rig;
mod s3;
mod table;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;

use countersign::{Backend, Program};
use options::{Case, Options};
use rig::Rig;
use table::{Goal, Report, Row, Sample};

/// Added to each direction: 40 ms of round trip.
const ONE_WAY: Duration = Duration::from_millis(20);

/// What the legs that are slow for somebody else's sake take at most.
const MOST_DELAYED: usize = 1_000;
const MOST_INTO_S3: usize = 1_000;
/// moto keeps everything in memory.
const MOST_INTO_MOTO: usize = 200;
const MOST_TRACED: usize = 500;

const MIB: f64 = 1_048_576.0;

fn main() -> ExitCode {
    // Only `cargo bench` says so. A test runner that asks every target for its tests is told of none.
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    match run(&Options::read()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let bench = Bench { rig: Rig::start(options)?, program: Program::new(options), options, runtime: &runtime };
    let mut report = Report::new(options);
    if options.has(Case::Directory) || options.has(Case::Mbsync) || options.has(Case::Scale) {
        bench.directory(&mut report).context("directory and SQLite")?;
    }
    if options.has(Case::Barriers) {
        bench.barriers(&mut report).context("count barriers")?;
    }
    if options.has(Case::Delay) {
        bench.delayed(&mut report).context("through the delay line")?;
    }
    if options.has(Case::S3) || options.has(Case::FarS3) {
        let near = s3::Server::in_process(&bench.rig.dir().join("s3"), &runtime)?;
        if options.has(Case::S3) {
            bench.bucket(&mut report, &near, MOST_INTO_S3).context("into S3")?;
        }
        if options.has(Case::FarS3) {
            let far = near.behind(&runtime, ONE_WAY / 2)?;
            bench.bucket(&mut report, &far, MOST_INTO_S3).context("into S3 far away")?;
        }
    }
    if options.has(Case::Moto) {
        let server = s3::Server::moto(&bench.rig)?;
        bench.bucket(&mut report, &server, MOST_INTO_MOTO).context("into moto")?;
    }
    if options.has(Case::Idle) {
        bench.idle(&mut report).context("idle mailboxes")?;
    }
    report.print();
    Ok(())
}

struct Bench<'a> {
    rig: Rig,
    program: Program,
    options: &'a Options,
    runtime: &'a tokio::runtime::Runtime,
}

/// One of the things compared: what it is called, how many messages it drains, and how it does so once.
struct Leg<'a> {
    label: String,
    messages: usize,
    drain: Box<dyn Fn() -> anyhow::Result<Sample> + 'a>,
}

impl Bench<'_> {
    /// The legs in turn, round after round; one row for each.
    fn interleave<const N: usize>(&self, legs: [Leg; N]) -> anyhow::Result<[Row; N]> {
        let mut rows = legs.each_ref().map(|leg| Row::new(&leg.label, leg.messages));
        self.rig.prepare(legs.iter().map(|leg| leg.messages).max().unwrap_or_default())?;
        for round in 1..=self.options.rounds {
            let price = self.rig.price_of_a_barrier()?;
            eprintln!("round {round} of {}: a barrier costs {:.2} ms now", self.options.rounds, price * 1e3);
            for (leg, row) in legs.iter().zip(&mut rows) {
                let sample = (leg.drain)().with_context(|| leg.label.clone())?;
                let Sample { wall_secs, cpu_secs, peak_rss_bytes } = sample;
                eprintln!(
                    "  {}, {} messages: {wall_secs:.2} s, {cpu_secs:.2} CPU-s, {:.1} MiB",
                    leg.label,
                    leg.messages,
                    peak_rss_bytes / MIB
                );
                row.samples.push(sample);
            }
        }
        Ok(rows)
    }

    fn ours<'b>(&'b self, label: &str, messages: usize, port: u16, backend: Backend<'b>) -> Leg<'b> {
        let drain = move || self.program.drain(&self.rig, self.runtime, messages, port, &backend);
        Leg { label: format!("countersign, {label}"), messages, drain: Box::new(drain) }
    }

    fn directory(&self, report: &mut Report) -> anyhow::Result<()> {
        let (most, port) = (self.options.messages, self.rig.imap_port());
        let few = (most / 10).max(1);
        let ours = self.ours("directory + SQLite", most, port, Backend::Directory);
        let mbsync = Leg {
            label: "mbsync, Maildir".into(),
            messages: most,
            drain: Box::new(move || others::mbsync(&self.rig, most)),
        };
        let small = self.ours("directory + SQLite", few, port, Backend::Directory);
        let (with_mbsync, with_small) = (self.options.has(Case::Mbsync), self.options.has(Case::Scale));
        let (ours, mbsync, small) = match (with_mbsync, with_small) {
            (true, true) => {
                let [ours, mbsync, small] = self.interleave([ours, mbsync, small])?;
                (ours, Some(mbsync), Some(small))
            }
            (true, false) => {
                let [ours, mbsync] = self.interleave([ours, mbsync])?;
                (ours, Some(mbsync), None)
            }
            (false, true) => {
                let [ours, small] = self.interleave([ours, small])?;
                (ours, None, Some(small))
            }
            (false, false) => {
                let [ours] = self.interleave([ours])?;
                (ours, None, None)
            }
        };
        report.goal(Goal::below("peak RSS, directory + SQLite, MiB", ours.peak_rss_bytes() / MIB, 96.0));
        if let Some(mbsync) = &mbsync {
            report.goal(ours.wall_against(mbsync, "wall, directory + SQLite : mbsync", 1.0));
        }
        if let Some(small) = &small {
            report.goal(ours.wall_against(small, &format!("wall, {most} : {few} messages"), 11.0));
            report.goal(ours.rss_against(small, &format!("peak RSS, {most} : {few} messages"), 1.1));
        }
        report.rows(small.into_iter().chain([ours]).chain(mbsync));
        Ok(())
    }

    fn barriers(&self, report: &mut Report) -> anyhow::Result<()> {
        let messages = self.options.messages.min(MOST_TRACED);
        self.rig.prepare(messages)?;
        let (ours, mbsync) = barriers::count(&self.rig, &self.program, self.runtime, messages)?;
        report.goal(Goal::at_most("barriers per mail, directory + SQLite", ours.barriers, 0.04));
        report.goal(Goal::at_most("commits per mail, directory + SQLite", ours.commits, 0.04));
        report.note(format!(
            "Barriers (fsync, fdatasync, syncfs) of {messages} messages, per mail: countersign {:.3}, of which {:.3} are \
             SQLite's commits; mbsync {:.3}. What a start with an empty mailbox needs is taken off ours.",
            ours.barriers, ours.commits, mbsync
        ));
        Ok(())
    }

    fn delayed(&self, report: &mut Report) -> anyhow::Result<()> {
        let messages = self.options.messages.min(MOST_DELAYED);
        let far = delay::line(self.runtime, self.rig.imap_port(), ONE_WAY)?;
        let near = self.ours("directory + SQLite, no delay", messages, self.rig.imap_port(), Backend::Directory);
        let far = self.ours("directory + SQLite, 40 ms RTT to IMAP", messages, far, Backend::Directory);
        let [near, far] = self.interleave([near, far])?;
        report.goal(far.wall_against(&near, "wall, 40 ms : no delay", 1.3));
        report.rows([near, far]);
        Ok(())
    }

    fn bucket(&self, report: &mut Report, server: &s3::Server, most: usize) -> anyhow::Result<()> {
        let (messages, port) = (self.options.messages.min(most), self.rig.imap_port());
        let ours = self.ours(&format!("{} + PostgreSQL", server.name), messages, port, Backend::S3(server));
        let python = Leg {
            label: format!("Python worker, boto3, {}", server.name),
            messages,
            drain: Box::new(move || others::python(&self.rig, server, messages)),
        };
        let [ours, python] = self.interleave([ours, python])?;
        report.goal(ours.wall_against(&python, &format!("wall, {} + PostgreSQL : boto3", server.name), 0.3));
        report.note(server.note.to_owned());
        report.rows([ours, python]);
        Ok(())
    }

    fn idle(&self, report: &mut Report) -> anyhow::Result<()> {
        let (many, secs) = (self.options.idle_mailboxes, self.options.idle_secs);
        let one = idle::measure(&self.rig, &self.program, self.runtime, 1, secs)?;
        let all = idle::measure(&self.rig, &self.program, self.runtime, many, secs)?;
        let each = (all.rss_bytes - one.rss_bytes) / MIB / (many - 1).max(1) as f64;
        report.goal(Goal::at_most(&format!("RSS per idle mailbox, of {many}, MiB"), each, 0.3));
        report.note(format!(
            "Idle: 1 mailbox {:.1} MiB RSS and {:.2} CPU-s a minute; {many} mailboxes {:.1} MiB and {:.2} CPU-s a minute.",
            one.rss_bytes / MIB,
            one.cpu_secs_per_minute,
            all.rss_bytes / MIB,
            all.cpu_secs_per_minute
        ));
        Ok(())
    }
}
