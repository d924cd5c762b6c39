//! The text of a PDF, read where it can do no harm: in a child process with hard limits, this program run once more.
//!
//! PDF readers loop, swell and panic on outside data; the child may die of it, the parent only notes how.

mod child;
mod lines;

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use crate::domain::duration::Span;
use crate::domain::failure::Failure;

pub use child::child_main;

/// First argument that makes this program the child: PDF on standard input, one line of JSON on standard output.
pub const CHILD_ARGUMENT: &str = "__pdf-text";

/// Reads PDFs through a child process.
#[derive(Debug, Clone)]
pub struct PdfReader {
    /// This program.
    pub program: PathBuf,
    /// Processor time for one PDF; three times as much may pass on the wall.
    pub cpu: Span,
    /// Address space of the child.
    pub memory_bytes: u64,
}

/// What a PDF says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PdfText {
    pub pages: u32,
    /// Lines as printed; pages end with a form feed.
    pub text: String,
}

/// Why there is no text. The program could not be started or spoken to: `Io`, worth another attempt.
#[derive(Debug, thiserror::Error)]
pub enum PdfError {
    #[error("it is encrypted and needs a password")]
    Encrypted,
    #[error("it holds no text, so it is probably a scan")]
    NoText,
    #[error("it is damaged or no PDF")]
    Unreadable,
    #[error("reading it takes more than {cpu} of processor time or {} MiB of memory", .memory_bytes >> 20)]
    TooHard { cpu: Span, memory_bytes: u64 },
    #[error("cannot run the reader: {0}")]
    Io(#[from] std::io::Error),
}

impl PdfError {
    /// Whether the PDF is not at fault.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Io(_))
    }

    /// The failure schema for the document `name`.
    pub fn failure(&self, name: &str) -> Failure {
        let details = format!("{name}: {self}");
        match self {
            Self::Encrypted => Failure::medium("pdf_encrypted", details),
            Self::NoText => Failure::medium("pdf_no_text", details),
            Self::Unreadable => Failure::medium("pdf_unreadable", details),
            Self::TooHard { .. } => Failure::high("pdf_too_hard", details),
            Self::Io(_) => Failure::high("pdf_reader_failed", details),
        }
    }
}

/// The child's line.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Report {
    Text(PdfText),
    Failure { failure: Reason },
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Reason {
    Encrypted,
    NoText,
    Unreadable,
    TooHard,
}

/// Longest text the child hands over; the rest is cut.
const MAX_TEXT_BYTES: usize = 2 << 20;
/// JSON may spell one byte with six.
const MAX_REPORT_BYTES: u64 = 6 * MAX_TEXT_BYTES as u64 + 1024;

impl PdfReader {
    /// The text of a PDF. A dropped call kills the child.
    ///
    /// # Errors
    /// `PdfError` says whether the document or this machine is at fault.
    pub async fn read(&self, pdf: &[u8]) -> Result<PdfText, PdfError> {
        let mut child = Command::new(&self.program)
            .arg(CHILD_ARGUMENT)
            .arg(self.cpu.secs.to_string())
            .arg(self.memory_bytes.to_string())
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let wall = Duration::from_secs(u64::from(self.cpu.secs) * 3 + 2);
        let (report, status) = match tokio::time::timeout(wall, talk(&mut child, pdf)).await {
            Ok(told) => told?,
            Err(_) => return Err(self.too_hard()),
        };
        match serde_json::from_slice(&report) {
            Ok(Report::Text(text)) => Ok(text),
            Ok(Report::Failure { failure: Reason::Encrypted }) => Err(PdfError::Encrypted),
            Ok(Report::Failure { failure: Reason::NoText }) => Err(PdfError::NoText),
            Ok(Report::Failure { failure: Reason::Unreadable }) => Err(PdfError::Unreadable),
            Ok(Report::Failure { failure: Reason::TooHard }) => Err(self.too_hard()),
            Err(_) => Err(self.death(status)),
        }
    }

    /// What the death of a child that said nothing means.
    fn death(&self, status: ExitStatus) -> PdfError {
        use std::os::unix::process::ExitStatusExt;

        use rustix::process::Signal;
        // Memory that cannot be had and a stack that is full both abort; the processor limit sends XCPU, then KILL.
        let limits = [Signal::XCPU, Signal::KILL, Signal::ABORT].map(Signal::as_raw);
        match status.signal() {
            Some(signal) if limits.contains(&signal) => self.too_hard(),
            Some(_) => PdfError::Unreadable,
            None => PdfError::Io(std::io::Error::other(format!("it ended with {status} and no answer"))),
        }
    }

    fn too_hard(&self) -> PdfError {
        PdfError::TooHard { cpu: self.cpu, memory_bytes: self.memory_bytes }
    }
}

async fn talk(child: &mut Child, pdf: &[u8]) -> std::io::Result<(Vec<u8>, ExitStatus)> {
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let write = async {
        if let Some(mut stdin) = stdin {
            // A child that died early has closed its end; its status tells more than this error.
            let _ = stdin.write_all(pdf).await;
        }
    };
    let read = async {
        let mut report = vec![];
        if let Some(stdout) = stdout {
            stdout.take(MAX_REPORT_BYTES).read_to_end(&mut report).await?;
        }
        Ok::<_, std::io::Error>(report)
    };
    let ((), report) = tokio::join!(write, read);
    Ok((report?, child.wait().await?))
}
