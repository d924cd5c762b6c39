//! A store in a local directory. Owns durability (fsync of file and directories) and atomic replacement.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::{BlobError, Entry, SCRATCH, Unsynced};

/// Files readable by the group, so that a backup or a viewer needs no root.
const FILE_MODE: u32 = 0o640;
const DIRECTORY_MODE: u32 = 0o750;
/// Threads of this process that work on files of a store.
const HANDS: usize = 4;
/// Up to so many files, an fsync for each is cheaper than to wait for the whole file system.
const FEW_FILES: usize = 12;
/// File systems whose syncfs is as good as an fsync of every file (statfs(2), f_type): ext2 to ext4, XFS, Btrfs, F2FS, ZFS,
/// tmpfs. NFS and FUSE are not.
const SYNCED_AS_ONE: &[u64] = &[0xef53, 0x5846_5342, 0x9123_683e, 0xf2f5_2010, 0x2fc1_2fc1, 0x0102_1994];

/// Files below a directory of this machine.
#[derive(Debug, Clone)]
pub struct LocalStore {
    root: PathBuf,
    /// Files worked on at the same time: more threads would only hold memory.
    hands: Arc<Semaphore>,
}

impl LocalStore {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root, hands: Arc::new(Semaphore::new(HANDS)) }
    }

    pub(super) async fn stage(&self, files: Vec<(String, Bytes)>) -> Result<Unsynced, BlobError> {
        let root = self.root.clone();
        let what = match files.as_slice() {
            [(path, _)] => path.clone(),
            files => format!("{} files", files.len()),
        };
        self.run("write", &what, move || {
            let mut staged = Unsynced::default();
            for (path, bytes) in files {
                let target = root.join(path);
                write(&target, &bytes, &mut staged)?;
                // All the way up: another writer may have made a directory that is not durable yet.
                let above = target.ancestors().skip(1).take_while(|directory| directory.starts_with(&root));
                staged.directories.extend(above.map(Path::to_owned));
            }
            Ok(staged)
        })
        .await
    }

    /// A few files each for itself, many by one barrier for the whole file system where it has one.
    pub(super) async fn sync(&self, staged: Unsynced) -> Result<(), BlobError> {
        let root = self.root.clone();
        let what = format!("{} files", staged.files.len());
        self.run("make durable", &what, move || {
            if staged.files.len() > FEW_FILES && barrier(&root)? {
                return Ok(());
            }
            staged.files.iter().try_for_each(|file| File::open(file)?.sync_all())?;
            // Deepest first: an entry is durable before the way to it.
            staged.directories.iter().rev().try_for_each(|directory| sync_directory(directory))
        })
        .await
    }

    pub(super) async fn get(&self, path: &str) -> Result<Vec<u8>, BlobError> {
        let target = self.root.join(path);
        self.run("read", path, move || fs::read(target)).await
    }

    pub(super) async fn remove(&self, path: &str) -> Result<(), BlobError> {
        let (root, own) = (self.root.clone(), path.to_owned());
        self.run("remove", path, move || remove_durably(&root, &own)).await
    }

    pub(super) async fn list(&self, prefix: &str) -> Result<Vec<Entry>, BlobError> {
        let (root, prefix) = (self.root.clone(), prefix.to_owned());
        self.run("list", &prefix.clone(), move || {
            let mut entries = vec![];
            walk(&root.join(&prefix), &prefix, &mut entries)?;
            Ok(entries)
        })
        .await
    }

    pub(super) async fn exists(&self, path: &str) -> Result<bool, BlobError> {
        let target = self.root.join(path);
        self.run("look for", path, move || match fs::symlink_metadata(target) {
            Ok(metadata) => Ok(metadata.is_file()),
            Err(error) if is_absent(&error) => Ok(false),
            Err(error) => Err(error),
        })
        .await
    }

    pub(super) async fn check(&self) -> Result<(), BlobError> {
        let root = self.root.clone();
        self.run("write", "a scratch file", move || {
            make_directory(&root, &mut BTreeSet::new())?;
            let scratch = root.join(format!("{SCRATCH}{}", Uuid::now_v7()));
            write_scratch(&scratch, b"check", true)?;
            fs::remove_file(scratch)
        })
        .await
    }

    pub(super) fn describe(&self) -> String {
        format!("directory {}", self.root.display())
    }

    /// Runs file work off the async threads. Once begun it is finished, even when the caller is dropped.
    async fn run<T: Send + 'static>(
        &self,
        verb: &str,
        path: &str,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T, BlobError> {
        let place = self.describe();
        let what = || format!("{verb} {path} in {place}");
        let _hand = self.hands.acquire().await;
        match tokio::task::spawn_blocking(work).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) if verb == "read" && (is_absent(&error) || error.kind() == ErrorKind::IsADirectory) => {
                Err(BlobError::NotFound { path: path.to_owned(), place })
            }
            Ok(Err(error)) => Err(refine(what(), &error)),
            Err(error) => Err(BlobError::Unavailable { what: what(), why: error.to_string() }),
        }
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn refine(what: String, error: &io::Error) -> BlobError {
    let why = error.to_string();
    match error.kind() {
        ErrorKind::PermissionDenied
        | ErrorKind::NotADirectory
        | ErrorKind::IsADirectory
        | ErrorKind::InvalidFilename
        | ErrorKind::ReadOnlyFilesystem => BlobError::Refused { what, why },
        // A full disk, a lost mount, too many open files: it may pass.
        _ => BlobError::Unavailable { what, why },
    }
}

/// Scratch file in the same directory, then rename. A kill leaves at most a scratch file; a power cut before `sync` may
/// leave a file without its bytes, which nobody knows of yet.
fn write(target: &Path, bytes: &[u8], staged: &mut Unsynced) -> io::Result<()> {
    let directory = target.parent().ok_or(ErrorKind::InvalidInput)?;
    make_directory(directory, &mut staged.directories)?;
    // Over a file that others may know of, the bytes have to be there before the name.
    let replaces = target.try_exists()?;
    let scratch = directory.join(format!("{SCRATCH}{}", Uuid::now_v7()));
    let written = write_scratch(&scratch, bytes, replaces).and_then(|()| fs::rename(&scratch, target));
    if written.is_err() {
        let _ = fs::remove_file(&scratch);
    }
    written?;
    staged.files.push(target.to_owned());
    Ok(())
}

/// Removes a file and the directories that it leaves empty, but for the first below the root: it is in use by others.
fn remove_durably(root: &Path, path: &str) -> io::Result<()> {
    match fs::remove_file(root.join(path)) {
        Err(error) if is_absent(&error) => return Ok(()),
        removed => removed?,
    }
    let mut directory = Path::new(path).parent().unwrap_or(Path::new(""));
    while directory.components().count() > 1 && fs::remove_dir(root.join(directory)).is_ok() {
        directory = directory.parent().unwrap_or(Path::new(""));
    }
    sync_directory(&root.join(directory))
}

fn write_scratch(scratch: &Path, bytes: &[u8], durably: bool) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(scratch)?;
    file.write_all(bytes)?;
    if durably { file.sync_all() } else { Ok(()) }
}

/// Waits until everything written to the file system of `root` so far is durable (syncfs(2), which tells of failed writes
/// since Linux 5.8). False on file systems of which it is not known that they do it.
fn barrier(root: &Path) -> io::Result<bool> {
    let root = File::open(root)?;
    let kind = rustix::fs::fstatfs(&root)?.f_type;
    if !SYNCED_AS_ONE.contains(&(kind as u64 & 0xffff_ffff)) {
        return Ok(false);
    }
    rustix::fs::syncfs(&root)?;
    Ok(true)
}

/// Makes a directory and its parents; `changed` are those with a new entry.
fn make_directory(directory: &Path, changed: &mut BTreeSet<PathBuf>) -> io::Result<()> {
    if directory.as_os_str().is_empty() || directory.is_dir() {
        return Ok(());
    }
    let parent = directory.parent().unwrap_or(Path::new(""));
    make_directory(parent, changed)?;
    match fs::DirBuilder::new().mode(DIRECTORY_MODE).create(directory) {
        // Another writer was quicker.
        Err(error) if error.kind() == ErrorKind::AlreadyExists && directory.is_dir() => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(ErrorKind::NotADirectory.into()),
        made => made?,
    }
    changed.insert(parent.to_owned());
    Ok(())
}

fn sync_directory(directory: &Path) -> io::Result<()> {
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    File::open(directory)?.sync_all()
}

fn walk(directory: &Path, prefix: &str, entries: &mut Vec<Entry>) -> io::Result<()> {
    let found = match fs::read_dir(directory) {
        Err(error) if is_absent(&error) => return Ok(()),
        found => found?,
    };
    for entry in found {
        let entry = entry?;
        let name = entry.file_name();
        // Names that are no UTF-8 were not written by us.
        let Some(name) = name.to_str() else { continue };
        let path = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
        let metadata = match entry.metadata() {
            Err(error) if is_absent(&error) => continue,
            metadata => metadata?,
        };
        if metadata.is_dir() {
            walk(&entry.path(), &path, entries)?;
        } else if metadata.is_file() {
            entries.push(Entry { path, size_bytes: metadata.len() });
        }
    }
    Ok(())
}
