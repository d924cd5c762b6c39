//! Files as seen from outside: whether they changed, whether they are at rest, and what is in them.
//!
//! They are looked at again and again rather than watched by the kernel: that works on network file systems and on mounts
//! whose links are swung (Kubernetes), survives every editor's way of saving, and needs no further crate. A look at a hundred
//! files costs less than a millisecond.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::domain::event::sha256_hex;

/// How long files must not change before they are taken: a file half written, or a checkout half done, is not.
pub const REST: Duration = Duration::from_secs(1);

/// What rules, workflows and templates are made of, samples and lists included.
const EXTENSIONS: [&str; 6] = ["toml", "csv", "tsv", "txt", "eml", "html"];

/// Directories within directories that are looked into, the first included.
const DEPTH: usize = 3;

/// Files that are looked at; what is beyond counts only when everything is read again.
const MOST: usize = 5000;

/// What the file system says of files without opening them: enough to see that one may have changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats(BTreeMap<PathBuf, Stat>);

/// Inode, size, time of the last write, and of the last change of anything: an older file of the same size is another one.
type Stat = (u64, u64, (i64, i64), (i64, i64));

impl Stats {
    /// Looks at files, and at all that are in directories; hidden ones are passed over. What is not there is left out.
    pub fn of<P: AsRef<Path>>(places: &[P]) -> Self {
        let mut stats = BTreeMap::new();
        places.iter().for_each(|place| look(place.as_ref(), DEPTH, &mut stats));
        Self(stats)
    }
}

fn look(place: &Path, depth: usize, stats: &mut BTreeMap<PathBuf, Stat>) {
    let Ok(known) = std::fs::metadata(place) else { return };
    if known.is_file() {
        let (written, changed) = ((known.mtime(), known.mtime_nsec()), (known.ctime(), known.ctime_nsec()));
        stats.insert(place.to_owned(), (known.ino(), known.size(), written, changed));
        return;
    }
    let Some(depth) = depth.checked_sub(1) else { return };
    for entry in std::fs::read_dir(place).into_iter().flatten().flatten() {
        let path = entry.path();
        let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        let is_ours = || path.extension().is_some_and(|kind| EXTENSIONS.iter().any(|ours| kind == *ours));
        if !is_hidden && stats.len() < MOST && (is_ours() || path.is_dir()) {
            look(&path, depth, stats);
        }
    }
}

/// What is in files: SHA-256 by path, or why one could not be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents(BTreeMap<PathBuf, String>);

impl Contents {
    /// Reads the files that were looked at.
    pub fn read(stats: &Stats) -> Self {
        let read = |path: &PathBuf| (path.clone(), hash(path).unwrap_or_else(|error| error.to_string()));
        Self(stats.0.keys().map(read).collect())
    }

    /// Files that are new, gone or otherwise than in `earlier`.
    pub fn changed_since<'a>(&'a self, earlier: &'a Self) -> Vec<&'a Path> {
        let new = self.0.iter().filter(|(path, hash)| earlier.0.get(*path) != Some(hash)).map(|(path, _)| path);
        let gone = earlier.0.keys().filter(|path| !self.0.contains_key(*path));
        let mut changed: Vec<&Path> = new.chain(gone).map(PathBuf::as_path).collect();
        changed.sort();
        changed
    }
}

fn hash(path: &Path) -> io::Result<String> {
    Ok(sha256_hex(&std::fs::read(path)?))
}

/// Tells when files have changed and are at rest. Pure: who looks and when is the caller's.
#[derive(Debug, Default)]
pub struct Watch {
    seen: Option<Stats>,
    /// When they were last found otherwise than before; none when that was dealt with.
    changed: Option<Instant>,
}

impl Watch {
    /// Takes a look into account. True while there is a change that nobody has dealt with, and no newer one for `REST`.
    pub fn is_due(&mut self, stats: Stats, now: Instant) -> bool {
        if self.seen.as_ref() != Some(&stats) {
            self.seen = Some(stats);
            self.changed = Some(now);
        }
        self.changed.is_some_and(|since| now.duration_since(since) >= REST)
    }

    /// What changed up to the last look was dealt with.
    pub fn dealt_with(&mut self) {
        self.changed = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_due_once_when_it_has_rested() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ap.toml");
        let start = Instant::now();
        let mut watch = Watch::default();
        let mut look = |after: u64| watch.is_due(Stats::of(&[dir.path()]), start + Duration::from_millis(after));
        assert!(!look(0) && look(1000), "the first look is a change too");
        std::fs::write(&file, "a").unwrap();
        assert!(!look(1500) && !look(2400));
        std::fs::write(&file, "ab").unwrap();
        assert!(!look(2500), "it is still being written");
        assert!(look(3500) && look(3600));
        watch.dealt_with();
        assert!(!watch.is_due(Stats::of(&[dir.path()]), start + Duration::from_secs(9)));
    }

    #[test]
    fn files_count_with_their_content_wherever_an_editor_put_them() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let read = || Contents::read(&Stats::of(&[dir.path()]));
        let check = |before: &Contents, expected: &[&str]| {
            let after = read();
            let changed: Vec<_> = after.changed_since(before).into_iter().map(Path::to_owned).collect();
            assert_eq!(changed, expected.iter().map(|name| dir.path().join(name)).collect::<Vec<_>>());
            after
        };
        put("ap.toml", "1");
        let first = check(&Contents::default(), &["ap.toml"]);
        for name in [".ap.toml.swp", ".git/x.toml", "ap.toml~", "notes", "state.db"] {
            put(name, "no rule");
        }
        check(&first, &[]);
        put("samples/of/a.eml", "mail");
        put("samples/too/deep/a.eml", "mail");
        let second = check(&first, &["samples/of/a.eml"]);
        // As vi and git do it: another file takes the name. Same size, same time of writing.
        let stats = Stats::of(&[dir.path()]);
        let written = std::fs::metadata(dir.path().join("ap.toml")).unwrap().modified().unwrap();
        put(".new", "2");
        std::fs::File::open(dir.path().join(".new")).unwrap().set_modified(written).unwrap();
        std::fs::rename(dir.path().join(".new"), dir.path().join("ap.toml")).unwrap();
        assert_ne!(Stats::of(&[dir.path()]), stats);
        let third = check(&second, &["ap.toml"]);
        std::fs::remove_file(dir.path().join("samples/of/a.eml")).unwrap();
        check(&third, &["samples/of/a.eml"]);
    }

    #[test]
    fn a_directory_whose_link_was_swung_has_changed() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [("v1", "1"), ("v2", "2")] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
            std::fs::write(dir.path().join(name).join("ap.toml"), text).unwrap();
        }
        let (rules, new) = (dir.path().join("rules"), dir.path().join("new"));
        std::os::unix::fs::symlink("v1", &rules).unwrap();
        let before = Stats::of(&[&rules]);
        std::os::unix::fs::symlink("v2", &new).unwrap();
        std::fs::rename(&new, &rules).unwrap();
        assert_ne!(before, Stats::of(&[&rules]));
    }
}
