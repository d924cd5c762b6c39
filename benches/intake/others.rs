//! The programs beside ours: mbsync, which only copies, and a bulk worker in Python as one writes it. Each drains a mailbox
//! of its own with the same messages.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use crate::process;
use crate::rig::{PASSWORD, Rig, repository, shell};
use crate::s3;
use crate::table::Sample;

/// mbsync into a Maildir with its defaults: each message written once and synced.
///
/// # Errors
/// When it fails or leaves messages out.
pub fn mbsync(rig: &Rig, messages: usize) -> anyhow::Result<Sample> {
    let user = rig.user(messages)?;
    let near = rig.dir().join("mbsync").join(&user);
    fs::create_dir_all(&near)?;
    let sample = process::run(&mut mbsync_command(rig, &user, &near)?)?;
    let arrived = fs::read_dir(near.join("INBOX/new"))?.count() + fs::read_dir(near.join("INBOX/cur"))?.count();
    ensure!(arrived == messages, "mbsync has brought {arrived} of {messages} messages");
    fs::remove_dir_all(near)?;
    rig.forget(&user)?;
    Ok(sample)
}

/// The call that brings the INBOX of `user` to `near`.
///
/// # Errors
/// When its configuration cannot be written.
pub fn mbsync_command(rig: &Rig, user: &str, near: &Path) -> anyhow::Result<Command> {
    let (configuration, port, at) = (near.join("mbsyncrc"), rig.imap_port(), near.display());
    let text = format!(
        "IMAPAccount bench\nHost 127.0.0.1\nPort {port}\nUser {user}\nPass {PASSWORD}\nSSLType None\nAuthMechs LOGIN\n\n\
         IMAPStore far\nAccount bench\n\nMaildirStore near\nPath {at}/\nInbox {at}/INBOX\n\n\
         Channel bench\nFar :far:\nNear :near:\nPatterns INBOX\nCreate Near\nSync Pull\nSyncState *\n"
    );
    fs::write(&configuration, text)?;
    rustix::fs::sync();
    let mut command = Command::new("mbsync");
    // mbsync keeps its state in the home directory otherwise.
    command.arg("-qq").arg("-c").arg(configuration).arg("bench").env("HOME", near).stdin(Stdio::null());
    Ok(command)
}

/// The Python worker into a bucket.
///
/// # Errors
/// When it fails or leaves messages unflagged.
pub fn python(rig: &Rig, server: &s3::Server, messages: usize) -> anyhow::Result<Sample> {
    let user = rig.user(messages)?;
    let bucket = server.bucket(&format!("python-{user}"))?;
    let install = repository("tests/rig/install").display().to_string();
    let packages = shell("\"$INSTALL\" --moto-dir", &[("INSTALL", install)])?;
    let own = Path::new(packages.trim()).join("bin/python");
    let mut command = Command::new(if own.exists() { own.as_path() } else { Path::new("python3") });
    command.env("PYTHONPATH", packages.trim()).envs(rig.settings()).stdin(Stdio::null());
    command.arg(repository("benches/intake/worker.py")).args([&rig.imap_port().to_string(), &user, PASSWORD]);
    let sample = process::run(command.args([&server.url, &bucket])).context("the Python worker")?;
    let unseen = rig.unseen(&user)?;
    ensure!(unseen == 0, "the Python worker has left {unseen} messages unflagged");
    rig.forget(&user)?;
    Ok(sample)
}
