//! Outgoing mail by the machine's `sendmail` command, as Postfix, Exim, msmtp and others provide it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::timeout;

use super::super::compose::{Composed, compose, one_line};
use super::super::{Medium, Outgoing, SendError};

/// A local hand-over takes milliseconds; a command that takes longer than this hangs.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Runs `sendmail -i -f FROM -- TO` with the mail on its standard input.
pub struct Sendmail {
    command: PathBuf,
}

impl Sendmail {
    pub fn new(command: &Path) -> Self {
        Self { command: command.to_owned() }
    }

    fn shown(&self) -> std::path::Display<'_> {
        self.command.display()
    }

    async fn run(&self, mail: &Composed) -> Result<Output, SendError> {
        let mut child = Command::new(&self.command)
            .args(["-i", "-f"].map(OsStr::new))
            .arg(AsRef::<OsStr>::as_ref(&mail.from))
            .arg("--")
            .arg(AsRef::<OsStr>::as_ref(&mail.to))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| SendError::transient(format!("start {}: {error}", self.shown())))?;
        if let Some(mut stdin) = child.stdin.take() {
            // A command that refuses early closes its input: its exit code then says why.
            let _ = stdin.write_all(&mail.bytes).await;
            let _ = stdin.shutdown().await;
        }
        child
            .wait_with_output()
            .await
            .map_err(|error| SendError::unknown(format!("wait for {}: {error}", self.shown())))
    }
}

#[async_trait]
impl Medium for Sendmail {
    fn name(&self) -> &'static str {
        super::NAME
    }

    async fn send(&self, mail: &Outgoing) -> Result<String, SendError> {
        let composed = compose(mail).map_err(|error| SendError::permanent(error.to_string()))?;
        let output = timeout(TIMEOUT, self.run(&composed)).await.map_err(|_| {
            SendError::unknown(format!("{} did not end within {} s", self.shown(), TIMEOUT.as_secs()))
        })??;
        judge(&output).map_err(|mut error| {
            error.why = format!("{} {}", self.shown(), error.why);
            error
        })?;
        Ok(format!("taken by {}", self.shown()))
    }
}

/// What an exit code says about the mail (sysexits(3)). Codes that speak of this machine, not of the mail, are transient.
fn judge(output: &Output) -> Result<(), SendError> {
    let said: String = one_line(&String::from_utf8_lossy(&output.stderr)).chars().take(300).collect();
    let said = if said.is_empty() { "it said nothing".to_owned() } else { said };
    match output.status.code() {
        Some(0) => Ok(()),
        // EX_DATAERR, EX_NOINPUT, EX_NOUSER, EX_NOHOST, EX_UNAVAILABLE (what 5xx replies become), EX_PROTOCOL, EX_NOPERM
        Some(code @ (65..=69 | 76 | 77)) => {
            Err(SendError::permanent(format!("refused the mail with code {code}: {said}")))
        }
        // EX_USAGE, EX_SOFTWARE, EX_OSERR, EX_OSFILE, EX_CANTCREAT, EX_IOERR, EX_TEMPFAIL, EX_CONFIG
        Some(code @ (64 | 70..=75 | 78)) => Err(SendError::transient(format!("failed with code {code}: {said}"))),
        Some(code) => {
            Err(SendError::unknown(format!("ended with code {code}, which says nothing about the mail: {said}")))
        }
        None => Err(SendError::unknown(format!("was killed: {said}"))),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::super::super::Failing;
    use super::super::super::compose::tests::sample;
    use super::*;

    /// Sends through a shell script that keeps its arguments and input, then does `end`.
    async fn through(end: &str) -> (Result<String, SendError>, String) {
        let dir = tempfile::tempdir().unwrap();
        let (script, kept) = (dir.path().join("sendmail"), dir.path().join("kept"));
        let text = format!("#!/bin/sh\n(echo \"$@\"; cat) > {}\n{end}\n", kept.display());
        fs::write(&script, text).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        // Another test that forks just now may hold the script open for writing: wait until it runs at all.
        while Command::new(&script)
            .stdin(Stdio::null())
            .status()
            .await
            .is_err_and(|error| error.raw_os_error() == Some(26))
        {}
        let sent = Sendmail::new(&script).send(&sample()).await;
        (sent, fs::read_to_string(&kept).unwrap_or_default())
    }

    #[tokio::test]
    async fn the_mail_goes_to_the_one_recipient_with_our_return_path() {
        let (sent, kept) = through("exit 0").await;
        assert!(sent.unwrap().starts_with("taken by "));
        assert!(kept.starts_with("-i -f ap@acme.example -- olivia@acme.example\nFrom: "), "{kept}");
    }

    #[tokio::test]
    async fn exit_codes_decide_what_the_next_attempt_means() {
        for (end, kind, said) in [
            ("echo 'queue file write error' >&2; exit 75", Failing::Transient, "code 75: queue file write error"),
            ("exit 67", Failing::Permanent, "code 67: it said nothing"),
            ("exit 1", Failing::Unknown, "code 1"),
            ("kill -9 $$", Failing::Unknown, "was killed"),
        ] {
            let error = through(end).await.0.unwrap_err();
            assert_eq!(error.kind, kind, "{error}");
            assert!(error.why.contains(said), "{error}");
        }
    }

    #[tokio::test]
    async fn a_command_that_is_not_there_is_tried_again_later() {
        let error = Sendmail::new(Path::new("/nowhere/sendmail")).send(&sample()).await.unwrap_err();
        assert!(error.is_transient() && error.why.starts_with("start /nowhere/sendmail: "), "{error}");
    }
}
