//! A store in a local directory. Owns durability (fsync of file and directories) and atomic replacement.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::{BlobError, Entry, SCRATCH};

/// Files readable by the group, so that a backup or a viewer needs no root.
const FILE_MODE: u32 = 0o640;
const DIRECTORY_MODE: u32 = 0o750;

/// Files below a directory of this machine.
#[derive(Debug, Clone)]
pub struct LocalStore {
    root: PathBuf,
}

impl LocalStore {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    pub(super) async fn put(&self, path: &str, bytes: &[u8]) -> Result<(), BlobError> {
        let (target, bytes) = (self.root.join(path), bytes.to_vec());
        self.run("write", path, move || write_durably(&target, &bytes)).await
    }

    pub(super) async fn get(&self, path: &str) -> Result<Vec<u8>, BlobError> {
        let target = self.root.join(path);
        self.run("read", path, move || fs::read(target)).await
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
            make_directory(&root)?;
            let scratch = root.join(format!("{SCRATCH}{}", Uuid::now_v7()));
            write_scratch(&scratch, b"check")?;
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

/// Scratch file in the same directory, fsync, rename, fsync of the directory. A crash leaves at most a scratch file.
fn write_durably(target: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = target.parent().ok_or(ErrorKind::InvalidInput)?;
    make_directory(directory)?;
    let scratch = directory.join(format!("{SCRATCH}{}", Uuid::now_v7()));
    let written = write_scratch(&scratch, bytes).and_then(|()| fs::rename(&scratch, target));
    if written.is_err() {
        let _ = fs::remove_file(&scratch);
    }
    written?;
    sync_directory(directory)
}

fn write_scratch(scratch: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(scratch)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes a directory and its parents, each made durable in its own parent.
fn make_directory(directory: &Path) -> io::Result<()> {
    if directory.as_os_str().is_empty() || directory.is_dir() {
        return Ok(());
    }
    let parent = directory.parent().unwrap_or(Path::new(""));
    make_directory(parent)?;
    match fs::DirBuilder::new().mode(DIRECTORY_MODE).create(directory) {
        // Another writer was quicker.
        Err(error) if error.kind() == ErrorKind::AlreadyExists && directory.is_dir() => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(ErrorKind::NotADirectory.into()),
        made => made?,
    }
    sync_directory(parent)
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
