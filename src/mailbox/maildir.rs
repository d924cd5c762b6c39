//! A Maildir on this machine: `new`, `cur`, `tmp`, and Maildir++ folders beside them. A message's uid is its unique name, the
//! part before `:2,`, which never repeats: UIDVALIDITY is 0. Several processes may work on it; every step is one rename.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::time::Instant;

pub use super::deliver::{create, deliver};
use super::names::utf7;
use super::{Listed, Mailbox, MailboxError};
use crate::config::sections::After;

/// How often a waiting mailbox looks at its directories.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// An open Maildir.
#[derive(Debug, Clone)]
pub struct Maildir {
    path: PathBuf,
    /// Where each message was when last seen; a hint, as others rename.
    seen_at: HashMap<String, PathBuf>,
    /// What `new` and `cur` looked like before the last `list`.
    listed: Option<[SystemTime; 2]>,
}

impl Maildir {
    /// Opens an existing Maildir; a directory that is none is `Unreachable`, rather than an empty mailbox for a typing error.
    pub async fn open(path: &Path) -> Result<Self, MailboxError> {
        let maildir = Self { path: path.to_owned(), seen_at: HashMap::new(), listed: None };
        let path = path.to_owned();
        blocking(move || {
            for part in ["new", "cur", "tmp"] {
                if !path.join(part).is_dir() {
                    let why = format!("this is no Maildir: it has no directory `{part}`");
                    return Err(MailboxError::Unreachable { server: path.display().to_string(), why });
                }
            }
            Ok(())
        })
        .await?;
        Ok(maildir)
    }

    fn list_now(&mut self) -> Result<Vec<Listed>, MailboxError> {
        // Before reading, so that what comes while we read wakes `wait`; within the file system's clock tick, the poll finds it.
        self.listed = self.look().ok();
        self.refresh().map_err(|error| failed(&format!("list {}", self.path.display()), &error))?;
        let mut found: Vec<(SystemTime, Listed)> = Vec::new();
        for (uid, path) in &self.seen_at {
            // Gone or renamed in this instant: the next list has it.
            let Some(meta) = fs::metadata(path).ok().filter(|meta| meta.is_file()) else { continue };
            let at = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            found.push((at, Listed { uid: uid.clone(), size_bytes: meta.len(), received_at: Some(at.into()) }));
        }
        found.sort_by(|(at_a, a), (at_b, b)| (at_a, &a.uid).cmp(&(at_b, &b.uid)));
        Ok(found.into_iter().map(|(_, listed)| listed).collect())
    }

    fn fetch_now(&mut self, uid: &str, limit_bytes: u64) -> Result<Vec<u8>, MailboxError> {
        let read = |path: &Path| -> io::Result<Result<Vec<u8>, u64>> {
            let file = File::open(path)?;
            let size_bytes = file.metadata()?.len();
            if size_bytes > limit_bytes {
                return Ok(Err(size_bytes));
            }
            let mut bytes = Vec::with_capacity(usize::try_from(size_bytes).unwrap_or(0));
            file.take(limit_bytes + 1).read_to_end(&mut bytes)?;
            Ok(if bytes.len() as u64 > limit_bytes { Err(bytes.len() as u64) } else { Ok(bytes) })
        };
        match self.on_file(uid, false, read) {
            None => Err(MailboxError::Gone { uid: uid.to_owned() }),
            Some(Err(error)) => Err(failed(&format!("read {uid} in {}", self.path.display()), &error)),
            Some(Ok(Err(size_bytes))) => Err(MailboxError::TooLarge { uid: uid.to_owned(), size_bytes, limit_bytes }),
            Some(Ok(Ok(bytes))) => Ok(bytes),
        }
    }

    fn mark_now(&mut self, uids: &[String], after: &After) -> Result<(), MailboxError> {
        let target = match after {
            // A Maildir knows no keywords of others: they are flagged as seen, and nothing else.
            After::Seen | After::Keyword(_) => None,
            After::Move(folder) => Some(self.folder(folder)?),
        };
        let cur = self.path.join("cur");
        self.refresh().map_err(|error| failed(&format!("list {}", self.path.display()), &error))?;
        for uid in uids {
            let rename = |path: &Path| match &target {
                None => match with_seen(path) {
                    Some(name) => fs::rename(path, cur.join(name)),
                    None => Ok(()),
                },
                Some(target) => fs::rename(path, place_in(target, path)),
            };
            if let Some(Err(error)) = self.on_file(uid, true, rename) {
                return Err(failed(&format!("mark {uid} in {}", self.path.display()), &error));
            }
            self.seen_at.remove(uid);
        }
        Ok(())
    }

    /// Does `act` where the message is; `fresh` says that the places are known to be of now. None: it is gone.
    /// Looks again when others renamed the file between the look and the act.
    fn on_file<T>(
        &mut self,
        uid: &str,
        mut fresh: bool,
        act: impl Fn(&Path) -> io::Result<T>,
    ) -> Option<io::Result<T>> {
        let mut looks = 0;
        loop {
            match self.seen_at.get(uid).map(|path| act(path)) {
                Some(Err(error)) if error.kind() == io::ErrorKind::NotFound && looks < 2 => {}
                Some(done) => return Some(done),
                None if fresh => return None,
                None => {}
            }
            if let Err(error) = self.refresh() {
                return Some(Err(error));
            }
            (fresh, looks) = (true, looks + 1);
        }
    }

    /// Learns where every message is.
    fn refresh(&mut self) -> io::Result<()> {
        self.seen_at.clear();
        // `new` first: a message that somebody moves to `cur` meanwhile is then found twice rather than not at all.
        for part in ["new", "cur"] {
            for entry in fs::read_dir(self.path.join(part))? {
                let entry = entry?;
                let name = entry.file_name().to_string_lossy().into_owned();
                if !name.starts_with('.') {
                    self.seen_at.insert(unique(&name).to_owned(), entry.path());
                }
            }
        }
        Ok(())
    }

    /// The Maildir++ folder `.A.B` for `A/B`, made when missing.
    fn folder(&self, name: &str) -> Result<PathBuf, MailboxError> {
        let what = format!("make folder {name} in {}", self.path.display());
        let parts: Vec<String> = name.split(['/', '.']).map(utf7).collect();
        if parts.iter().any(String::is_empty) {
            let why = "a folder's name has no empty part".to_owned();
            return Err(MailboxError::Protocol { what, why });
        }
        let path = self.path.join(format!(".{}", parts.join(".")));
        create(&path).and_then(|()| File::create(path.join("maildirfolder"))).map_err(|error| failed(&what, &error))?;
        Ok(path)
    }

    fn look(&self) -> io::Result<[SystemTime; 2]> {
        let at = |part| fs::metadata(self.path.join(part)).and_then(|meta| meta.modified());
        Ok([at("new")?, at("cur")?])
    }
}

#[async_trait]
impl Mailbox for Maildir {
    fn uid_validity(&self) -> u32 {
        0
    }

    /// Lists everything: names have no order that could be trusted.
    async fn list(&mut self, _above: Option<&str>) -> Result<Vec<Listed>, MailboxError> {
        self.aside(Self::list_now).await
    }

    async fn fetch(&mut self, uid: &str, limit_bytes: u64) -> Result<Vec<u8>, MailboxError> {
        let uid = uid.to_owned();
        self.aside(move |maildir| maildir.fetch_now(&uid, limit_bytes)).await
    }

    async fn mark(&mut self, uids: &[String], after: &After) -> Result<(), MailboxError> {
        let (uids, after) = (uids.to_vec(), after.clone());
        self.aside(move |maildir| maildir.mark_now(&uids, &after)).await
    }

    /// Our own marks wake it too, once.
    async fn wait(&mut self, at_most: Duration, wake: &Notify) -> Result<(), MailboxError> {
        let until = Instant::now() + at_most;
        loop {
            let now = self.look().map_err(|error| failed(&format!("watch {}", self.path.display()), &error))?;
            let left = until.saturating_duration_since(Instant::now());
            if self.listed != Some(now) || left.is_zero() {
                return Ok(());
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY.min(left)) => {}
                () = wake.notified() => return Ok(()),
            }
        }
    }
}

impl Maildir {
    /// Runs file work off the async threads. The maildir travels there and back.
    async fn aside<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, MailboxError> + Send + 'static,
    ) -> Result<T, MailboxError> {
        let mut away =
            Self { path: self.path.clone(), seen_at: std::mem::take(&mut self.seen_at), listed: self.listed };
        let (done, back) = blocking(move || {
            let done = work(&mut away);
            Ok((done, away))
        })
        .await?;
        *self = back;
        done
    }
}

/// The unique name: what stands before the flags.
fn unique(name: &str) -> &str {
    name.split_once(":2,").map_or(name, |(unique, _)| unique)
}

/// The file's name in `cur` with flag `S`, flags in ASCII order; none when it is there already.
fn with_seen(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_string_lossy();
    let flags = name.split_once(":2,").map_or("", |(_, flags)| flags);
    let in_cur = path.parent().is_some_and(|dir| dir.ends_with("cur"));
    if in_cur && flags.contains('S') {
        return None;
    }
    let mut flags: Vec<char> = flags.chars().chain(['S']).collect();
    flags.sort_unstable();
    flags.dedup();
    Some(format!("{}:2,{}", unique(&name), String::from_iter(flags)))
}

/// The same place, `new` or `cur`, in another Maildir: flags stay as they are.
fn place_in(target: &Path, path: &Path) -> PathBuf {
    let part = if path.parent().is_some_and(|dir| dir.ends_with("new")) { "new" } else { "cur" };
    target.join(part).join(path.file_name().unwrap_or_default())
}

fn failed(what: &str, error: &io::Error) -> MailboxError {
    MailboxError::Protocol { what: what.to_owned(), why: error.to_string() }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, MailboxError> + Send + 'static,
) -> Result<T, MailboxError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(_) => {
            Err(MailboxError::Protocol { what: "work on a Maildir".into(), why: "the worker was stopped".into() })
        }
    }
}

#[cfg(test)]
#[path = "maildir_tests.rs"]
mod tests;
