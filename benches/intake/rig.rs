//! The servers of the benchmark, those of the tests in an instance of its own; the messages written straight into
//! Dovecot's storage; and a look at a mailbox over IMAP. Goes with all it made.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context, bail, ensure};

use crate::mails;
use crate::options::{Case, Options};

/// Every user of the rig logs in with it.
pub const PASSWORD: &str = "secret";

/// Address that all messages are sent to.
pub const ADDRESS: &str = "ap@bench.example";

/// A file of the repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The started servers. Their settings are the variables that `tests/rig/up` prints.
pub struct Rig {
    settings: BTreeMap<String, String>,
    directory: PathBuf,
    seed: u64,
    keep: bool,
    users: AtomicUsize,
}

impl Rig {
    /// Installs what is missing and starts what the cases need.
    ///
    /// # Errors
    /// When a server does not come up.
    pub fn start(options: &Options) -> anyhow::Result<Self> {
        let mut servers = vec!["dovecot"];
        let in_bucket = [Case::S3, Case::FarS3, Case::Moto].iter().any(|case| options.has(*case));
        servers.extend(in_bucket.then_some("postgres"));
        servers.extend(options.has(Case::Moto).then_some("moto"));
        let installed = Command::new(repository("benches/intake/install")).status().context("install")?;
        ensure!(installed.success(), "benches/intake/install ended with {installed}");
        let directory = PathBuf::from(shell("mktemp -d \"${TMPDIR:-/tmp}/cs-rig.XXXXXX\"", &[])?.trim());
        let at = directory.display().to_string();
        // Made before the servers are started, so that whatever goes wrong stops them.
        let mut rig = Self {
            settings: BTreeMap::from([("CS_RIG_DIR".into(), at.clone())]),
            directory,
            seed: options.seed,
            keep: options.keep,
            users: AtomicUsize::new(0),
        };
        let up = repository("tests/rig/up");
        let wanted = [("CS_RIG_SERVERS", servers.join(" ")), ("UP", up.display().to_string()), ("AT", at)];
        let printed = shell("SETTINGS=$(\"$UP\" \"$AT\") && eval \"$SETTINGS\" && env", &wanted)?;
        let pairs = printed.lines().filter_map(|line| line.split_once('='));
        let ours = pairs.filter(|(name, _)| name.starts_with("CS_RIG_") || name.starts_with("AWS_"));
        rig.settings.extend(ours.map(|(name, value)| (name.to_owned(), value.to_owned())));
        Ok(rig)
    }

    /// What a program that uses the servers finds in its environment.
    pub fn settings(&self) -> &BTreeMap<String, String> {
        &self.settings
    }

    pub fn setting(&self, name: &str) -> anyhow::Result<&str> {
        self.settings.get(name).map(String::as_str).with_context(|| format!("the rig has no {name}"))
    }

    /// On the file system that everything is measured on.
    pub fn dir(&self) -> &Path {
        &self.directory
    }

    pub fn imap_port(&self) -> u16 {
        self.setting("CS_RIG_IMAP_PORT").ok().and_then(|port| port.parse().ok()).unwrap_or_default()
    }

    /// Writes the first `count` messages once, for all mailboxes.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn prepare(&self, count: usize) -> anyhow::Result<()> {
        let corpus = self.directory.join("corpus");
        fs::create_dir_all(&corpus)?;
        let started = Instant::now();
        for index in 0..count {
            let mail = corpus.join(format!("{index:06}"));
            if !mail.exists() {
                fs::write(mail, mails::mail(self.seed, index, ADDRESS))?;
            }
        }
        rustix::fs::sync();
        eprintln!("{count} messages are made, in {:.1} s", started.elapsed().as_secs_f64());
        Ok(())
    }

    /// A new user with the first `count` messages in his INBOX, all unseen, listed by Dovecot as after their delivery.
    ///
    /// # Errors
    /// When Dovecot does not see them.
    pub fn user(&self, count: usize) -> anyhow::Result<String> {
        let user = format!("bench-{:04}", self.users.fetch_add(1, Ordering::Relaxed));
        let maildir = self.maildir(&user);
        let owner = fs::metadata(self.directory.join("dovecot/mail"))?;
        for part in ["", "tmp", "new", "cur"] {
            let directory = maildir.join(part);
            fs::create_dir(&directory)?;
            chown(&directory, Some(owner.uid()), Some(owner.gid()))?;
        }
        for index in 0..count {
            let mail = self.directory.join(format!("corpus/{index:06}"));
            // Sizes as Dovecot's own delivery writes them: as it lies there, and with CRLF.
            let (size, lines) = sizes(&mail)?;
            let seconds = 1_780_000_000 + index;
            let name = format!("{seconds}.M{index:06}P1.bench,S={size},W={}", size + lines);
            fs::hard_link(&mail, maildir.join("new").join(name))?;
        }
        let mut imap = Imap::login(self.imap_port(), &user)?;
        imap.command("select INBOX")?;
        ensure!(self.unseen(&user)? == count, "Dovecot does not see the messages of {user}");
        rustix::fs::sync();
        Ok(user)
    }

    /// Removes a user's mail.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn forget(&self, user: &str) -> anyhow::Result<()> {
        fs::remove_dir_all(self.maildir(user)).with_context(|| format!("remove the mail of {user}"))
    }

    /// How many messages of a user are without `\Seen`.
    ///
    /// # Errors
    /// When Dovecot does not say.
    pub fn unseen(&self, user: &str) -> anyhow::Result<usize> {
        let answer = Imap::login(self.imap_port(), user)?.command("status INBOX (unseen)")?;
        let (_, count) = answer.split_once("(UNSEEN ").context("a STATUS without UNSEEN")?;
        Ok(count.split(')').next().unwrap_or_default().parse()?)
    }

    /// What one small write and its fdatasync take now, in seconds; the median of twenty.
    ///
    /// # Errors
    /// When nothing can be written.
    pub fn price_of_a_barrier(&self) -> anyhow::Result<f64> {
        let mut file = File::create(self.directory.join("barrier"))?;
        let mut taken = vec![];
        for _ in 0..20 {
            let started = Instant::now();
            file.write_all(&[1; 4096])?;
            file.sync_data()?;
            taken.push(started.elapsed().as_secs_f64());
        }
        Ok(crate::table::median(&taken))
    }

    fn maildir(&self, user: &str) -> PathBuf {
        self.directory.join("dovecot/mail").join(user)
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let mut down = Command::new(repository("tests/rig/down"));
        down.envs(&self.settings);
        if self.keep {
            down.env("CS_RIG_KEEP", "1");
        }
        if let Err(error) = down.status() {
            eprintln!("stop the servers in {}: {error}", self.directory.display());
        }
    }
}

/// Size of a message in bytes and lines.
fn sizes(mail: &Path) -> anyhow::Result<(usize, usize)> {
    let bytes = fs::read(mail)?;
    Ok((bytes.len(), bytes.iter().filter(|byte| **byte == b'\n').count()))
}

/// What a line of shell prints.
pub fn shell(line: &str, variables: &[(&str, String)]) -> anyhow::Result<String> {
    let mut command = Command::new("bash");
    command.args(["-c", line]).envs(variables.iter().map(|(name, value)| (*name, value)));
    let out = command.stderr(std::process::Stdio::inherit()).output()?;
    ensure!(out.status.success(), "`{line}` ended with {}", out.status);
    Ok(String::from_utf8(out.stdout)?)
}

/// As little IMAP as is needed to look: commands and answers without literals.
struct Imap(BufReader<TcpStream>);

impl Imap {
    fn login(port: u16, user: &str) -> anyhow::Result<Self> {
        let mut imap = Self(BufReader::new(TcpStream::connect(("127.0.0.1", port)).context("connect to Dovecot")?));
        imap.0.read_line(&mut String::new())?;
        imap.command(&format!("login {user} {PASSWORD}"))?;
        Ok(imap)
    }

    fn command(&mut self, text: &str) -> anyhow::Result<String> {
        self.0.get_mut().write_all(format!("a {text}\r\n").as_bytes())?;
        let mut answer = String::new();
        loop {
            let at = answer.len();
            let read = self.0.by_ref().read_line(&mut answer)?;
            match answer.get(at..).and_then(|line| line.strip_prefix("a ")) {
                Some(status) if status.starts_with("OK") => return Ok(answer),
                Some(status) => bail!("{text}: {status}"),
                None => ensure!(read > 0, "Dovecot hung up during {text}"),
            }
        }
    }
}
