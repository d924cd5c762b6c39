//! Putting mail into a Maildir, as a local MTA does: for the demo, `inject` and tests.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::time::SystemTime;

/// Makes an empty Maildir, or what is missing of one.
pub fn create(path: &Path) -> io::Result<()> {
    ["tmp", "new", "cur"].into_iter().try_for_each(|part| fs::create_dir_all(path.join(part)))
}

/// Delivers a message as a local MTA does: written and synced in `tmp`, then renamed into `new`. Returns its uid.
/// A crash leaves the whole message or none. Makes the Maildir when it is missing.
pub fn deliver(path: &Path, bytes: &[u8]) -> io::Result<String> {
    create(path)?;
    let secs = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let uid = format!("{secs}.{}.countersign", uuid::Uuid::now_v7().simple());
    let tmp = path.join("tmp").join(&uid);
    let mut file = OpenOptions::new().write(true).create_new(true).open(&tmp)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    let delivered = written.and_then(|()| fs::rename(&tmp, path.join("new").join(&uid)));
    if delivered.is_err() {
        let _ = fs::remove_file(&tmp);
    }
    delivered?;
    File::open(path.join("new"))?.sync_all()?;
    Ok(uid)
}
