//! Working directories as paths and bytes, in a local directory or in S3. A closed set, so an enum.
//! What the paths mean is left to whoever writes them.

mod local;
mod s3;

use std::collections::BTreeSet;
use std::path::PathBuf;

use bytes::Bytes;

pub use local::LocalStore;
pub use s3::S3Store;

use crate::config::secret::{SecretError, Secrets};
use crate::config::sections::{Aws, Store};

/// Where working directories are kept.
///
/// Paths are relative, with `/` between their segments, and the same in either kind.
#[derive(Debug)]
pub enum Blob {
    Local(LocalStore),
    S3(S3Store),
}

/// One file that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub path: String,
    pub size_bytes: u64,
}

/// Files that were written and would not survive a power cut yet. To be given to `Blob::sync`.
#[derive(Debug, Clone, Default)]
#[must_use = "what was staged is durable only after `Blob::sync`"]
pub struct Unsynced {
    files: Vec<PathBuf>,
    /// Directories with new entries.
    directories: BTreeSet<PathBuf>,
}

impl Unsynced {
    pub fn add(&mut self, more: Self) {
        self.files.extend(more.files);
        self.directories.extend(more.directories);
    }
}

/// Why bytes could not be written or read. Texts name the path and the place, never a secret.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    #[error("`{}` is no path in a store: {why}", path.escape_debug())]
    BadPath { path: String, why: &'static str },
    #[error("{path} is not in {place}")]
    NotFound { path: String, place: String },
    /// Worth another attempt later.
    #[error("{what}: {why}")]
    Unavailable { what: String, why: String },
    /// For good, until somebody changes the configuration or the permissions.
    #[error("{what}: {why}")]
    Refused { what: String, why: String },
    #[error("keys of the store: {0}")]
    Secret(#[from] SecretError),
}

impl BlobError {
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// Whether the same call may succeed later without anybody's doing.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable { .. } => true,
            Self::Secret(error) => error.is_transient(),
            Self::BadPath { .. } | Self::NotFound { .. } | Self::Refused { .. } => false,
        }
    }
}

/// Opens the configured store. Nothing is written or asked yet: `check` tells whether it works.
///
/// # Errors
/// When the keys cannot be had.
pub async fn open(store: &Store, secrets: &Secrets, aws: &Aws) -> Result<Blob, BlobError> {
    Ok(match store {
        Store::Directory { path } => Blob::local(path.clone()),
        Store::S3 { .. } => Blob::S3(S3Store::open(store, secrets, aws).await?),
    })
}

impl Blob {
    /// A store in a directory, which is made when something is first written.
    pub fn local(root: PathBuf) -> Self {
        Self::Local(LocalStore::new(root))
    }

    /// Writes the whole file or nothing, and returns when it is durable. Repeating it changes nothing; other bytes
    /// under the same path replace the old ones. A crash in between leaves the old file, or none.
    ///
    /// # Errors
    /// For a bad path, and when the store cannot be written.
    pub async fn put(&self, path: &str, bytes: &[u8]) -> Result<(), BlobError> {
        check_path(path)?;
        match self {
            Self::Local(store) => {
                let staged = store.stage(vec![(path.to_owned(), Bytes::copy_from_slice(bytes))]).await?;
                store.sync(staged).await
            }
            Self::S3(store) => store.put(path, Bytes::copy_from_slice(bytes)).await,
        }
    }

    /// As `put`, but durable only after `sync` of what it gives: for many files with one barrier between them and their
    /// commit. On S3 it is durable at once.
    ///
    /// # Errors
    /// As `put`.
    pub async fn stage(&self, path: &str, bytes: Bytes) -> Result<Unsynced, BlobError> {
        self.stage_all(vec![(path.to_owned(), bytes)]).await
    }

    /// As `stage`, for several files.
    ///
    /// # Errors
    /// The first of any of them.
    pub async fn stage_all(&self, files: Vec<(String, Bytes)>) -> Result<Unsynced, BlobError> {
        files.iter().try_for_each(|(path, _)| check_path(path))?;
        match self {
            Self::Local(store) => store.stage(files).await,
            Self::S3(store) => store.put_all(files).await.map(|()| Unsynced::default()),
        }
    }

    /// Makes everything staged durable, at once. Whatever comes after it may rely on it.
    ///
    /// # Errors
    /// When any of it may not be durable; it has to be staged again then.
    pub async fn sync(&self, staged: Unsynced) -> Result<(), BlobError> {
        match self {
            Self::Local(store) => store.sync(staged).await,
            Self::S3(_) => Ok(()),
        }
    }

    /// The bytes of a file.
    ///
    /// # Errors
    /// `is_not_found()` when it is not there.
    pub async fn get(&self, path: &str) -> Result<Vec<u8>, BlobError> {
        check_path(path)?;
        match self {
            Self::Local(store) => store.get(path).await,
            Self::S3(store) => store.get(path).await,
        }
    }

    /// Removes a file. One that is not there is no error.
    ///
    /// # Errors
    /// For a bad path, and when the store cannot be written.
    pub async fn remove(&self, path: &str) -> Result<(), BlobError> {
        check_path(path)?;
        match self {
            Self::Local(store) => store.remove(path).await,
            Self::S3(store) => store.remove(path).await,
        }
    }

    /// Removes every file below the directory `prefix`, at any depth; gives how many. Never the whole store: an empty
    /// prefix is a bad path.
    ///
    /// # Errors
    /// As `list` and `remove`; what was removed until then stays removed.
    pub async fn remove_all(&self, prefix: &str) -> Result<usize, BlobError> {
        check_path(prefix)?;
        let entries = self.list(prefix).await?;
        for entry in &entries {
            self.remove(&entry.path).await?;
        }
        Ok(entries.len())
    }

    /// Every file below the directory `prefix` (empty: the whole store), at any depth, sorted by path. A directory
    /// that is not there has no files.
    ///
    /// # Errors
    /// For a bad path, and when the store cannot be read.
    pub async fn list(&self, prefix: &str) -> Result<Vec<Entry>, BlobError> {
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        if !prefix.is_empty() {
            check_path(prefix)?;
        }
        let mut entries = match self {
            Self::Local(store) => store.list(prefix).await?,
            Self::S3(store) => store.list(prefix).await?,
        };
        entries.retain(|entry| check_path(&entry.path).is_ok());
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(entries)
    }

    /// Whether a file is there.
    ///
    /// # Errors
    /// When the store cannot tell.
    pub async fn exists(&self, path: &str) -> Result<bool, BlobError> {
        check_path(path)?;
        match self {
            Self::Local(store) => store.exists(path).await,
            Self::S3(store) => store.exists(path).await,
        }
    }

    /// Whether the store can be written now, by writing a scratch file that `list` never shows.
    ///
    /// # Errors
    /// Why it cannot.
    pub async fn check(&self) -> Result<(), BlobError> {
        match self {
            Self::Local(store) => store.check().await,
            Self::S3(store) => store.check().await,
        }
    }

    /// Where the store is, for people. Holds no secrets.
    pub fn describe(&self) -> String {
        match self {
            Self::Local(store) => store.describe(),
            Self::S3(store) => store.describe(),
        }
    }
}

/// Segments that begin so are the store's own scratch files.
const SCRATCH: &str = ".tmp-";

fn check_path(path: &str) -> Result<(), BlobError> {
    let bad = |why| Err(BlobError::BadPath { path: path.to_owned(), why });
    if path.contains('\0') {
        return bad("it holds a NUL");
    }
    if path.starts_with('/') {
        return bad("it is absolute");
    }
    for segment in path.split('/') {
        match segment {
            "" => return bad("a segment is empty"),
            "." | ".." => return bad("`.` and `..` are not allowed"),
            scratch if scratch.starts_with(SCRATCH) => return bad("names with .tmp- are the store's own"),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
