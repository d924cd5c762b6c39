//! Disks of the test's own: one in memory that gets full, and one whose power can be cut. Needs root and loop devices; a
//! machine without them fails the test and says what is missing.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A mounted file system; it does not outlive this.
pub struct Mounted(PathBuf);

impl Mounted {
    /// Unmounts it now; nobody may have files open there.
    fn end(self) {
        run("umount", [self.0.as_os_str()]);
        std::mem::forget(self);
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let unmounted = |options: &[&str]| {
            Command::new("umount").args(options).arg(&self.0).stderr(std::process::Stdio::null()).status()
        };
        if !unmounted(&[]).is_ok_and(|status| status.success()) {
            let _ = unmounted(&["-l"]);
        }
    }
}

/// A file system in memory, mounted at a new directory.
pub fn in_memory(at: &Path, size: &str) -> Mounted {
    std::fs::create_dir_all(at).expect("make a mount point");
    run(
        "mount",
        [
            "-t".as_ref(),
            "tmpfs".as_ref(),
            "-o".as_ref(),
            format!("size={size}").as_ref(),
            "tmpfs".as_ref(),
            at.as_os_str(),
        ],
    );
    Mounted(at.to_owned())
}

/// A disk with ext4 whose power can be cut.
///
/// Its blocks are a file on a file system of its own, the ground. What the disk was told to write is in that file; what
/// lives only in the memory of the mounted file system is not. A cut freezes the ground, so that no write of the disk gets
/// through, copies the file, and goes on with the copy: the state of one instant, in the middle of whatever was written.
/// A real disk may also lose what was written since its last flush, in any order; that is not tried here.
pub struct Disk {
    at: PathBuf,
    mounted: Option<Mounted>,
    // Unmounted in this order.
    ground: Mounted,
    _memory: Mounted,
    root: TempDir,
}

impl Disk {
    pub fn new(at: &Path) -> Self {
        assert!(rustix::process::getuid().is_root(), "only root can mount the disk of this test: run as root");
        assert!(
            Path::new("/dev/loop-control").exists(),
            "the disk of this test needs /dev/loop-control (module `loop`)"
        );
        let root = tempfile::tempdir().expect("a directory");
        let memory = in_memory(&root.path().join("memory"), "600m");
        let ground = root.path().join("ground");
        format(&root.path().join("memory/ground.img"), 400 << 20, &["-O", "^has_journal"]);
        let ground = mount(&root.path().join("memory/ground.img"), &ground, "loop,noatime");
        format(&root.path().join("ground/disk.img"), 128 << 20, &[]);
        let mut disk = Self { at: at.to_owned(), mounted: None, ground, _memory: memory, root };
        disk.turn_on();
        disk
    }

    /// Mounts it, as at a start of the machine. Little is written by itself, so that only what is asked for is durable.
    fn turn_on(&mut self) {
        self.mounted = Some(mount(&self.image(), &self.at, "loop,noatime,commit=60"));
    }

    fn image(&self) -> PathBuf {
        self.root.path().join("ground/disk.img")
    }

    /// What is on the disk at this instant; everything goes on.
    pub fn instant(&self) {
        let frozen = Frozen::new(&self.ground.0);
        run("cp", ["--sparse=always".as_ref(), self.image().as_os_str(), self.copy().as_os_str()]);
        drop(frozen);
    }

    fn copy(&self) -> PathBuf {
        self.root.path().join("memory/instant.img")
    }

    /// Goes on with the disk as it was at that instant. Nobody may have files open on it.
    pub fn restart(&mut self) {
        if let Some(mounted) = self.mounted.take() {
            mounted.end();
        }
        run("cp", ["--sparse=always".as_ref(), self.copy().as_os_str(), self.image().as_os_str()]);
        let checked = Command::new("e2fsck").arg("-fy").arg(self.image()).output().expect("run e2fsck");
        // 1: mended, as at every start after a cut.
        assert!(matches!(checked.status.code(), Some(0 | 1)), "{}", String::from_utf8_lossy(&checked.stdout));
        self.turn_on();
    }
}

/// A file system that takes no writes; thawed when dropped.
struct Frozen<'a>(&'a Path);

impl<'a> Frozen<'a> {
    fn new(at: &'a Path) -> Self {
        run("fsfreeze", ["-f".as_ref(), at.as_os_str()]);
        Self(at)
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        let _ = Command::new("fsfreeze").arg("-u").arg(self.0).status();
    }
}

fn format(image: &Path, size_bytes: u64, options: &[&str]) {
    File::create(image).and_then(|file| file.set_len(size_bytes)).expect("make an image");
    let options = ["-q", "-F"].iter().chain(options).map(OsStr::new);
    run("mkfs.ext4", options.chain([image.as_os_str()]));
}

fn mount(image: &Path, at: &Path, options: &str) -> Mounted {
    std::fs::create_dir_all(at).expect("make a mount point");
    run("mount", ["-o".as_ref(), options.as_ref(), image.as_os_str(), at.as_os_str()]);
    Mounted(at.to_owned())
}

fn run<'a>(program: &str, arguments: impl IntoIterator<Item = &'a OsStr>) {
    let arguments: Vec<_> = arguments.into_iter().collect();
    let out = Command::new(program).args(&arguments).output();
    let out = out.unwrap_or_else(|error| panic!("{program} is missing: {error}"));
    assert!(out.status.success(), "{program} {arguments:?} (as root?): {}", String::from_utf8_lossy(&out.stderr));
}
