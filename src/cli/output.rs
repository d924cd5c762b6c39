//! Printing: pipes that close are no error, failures are one line, tables know the terminal.

use std::io::{self, IsTerminal, Write};

use crate::reports::text;

/// Prints to standard output. False when nobody reads any more, as in `countersign audit tail -f | head -1`.
///
/// # Errors
/// When the output cannot be written for another reason, such as a full disk.
pub fn print(text: &str) -> io::Result<bool> {
    write(&mut io::stdout().lock(), text)
}

fn write(to: &mut impl Write, text: &str) -> io::Result<bool> {
    match to.write_all(text.as_bytes()).and_then(|()| to.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error),
    }
}

/// Prints why a command failed: one line on standard error.
pub fn complain(error: &anyhow::Error) {
    // Nobody is left to tell when standard error is gone.
    let _ = io::stderr().write_all(complaint(error).as_bytes());
}

/// `countersign: import people.toml: …`. What an error repeats from its cause is said once.
fn complaint(error: &anyhow::Error) -> String {
    let mut said: Vec<String> = vec![];
    for cause in error.chain() {
        let cause = text::one_line(&cause.to_string());
        if !said.iter().any(|before| before.ends_with(&cause)) {
            said.push(cause);
        }
    }
    format!("countersign: {}\n", said.join(": "))
}

/// Columns of the terminal that standard output is; none in a pipe or a file.
pub fn width() -> Option<u16> {
    let out = io::stdout();
    if !out.is_terminal() {
        return None;
    }
    rustix::termios::tcgetwinsize(&out).ok().map(|size| size.ws_col).filter(|columns| *columns > 0)
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    struct Closed(io::ErrorKind);

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_closed_pipe_ends_printing_and_a_full_disk_is_an_error() {
        assert!(!write(&mut Closed(io::ErrorKind::BrokenPipe), "x").unwrap());
        assert!(write(&mut Closed(io::ErrorKind::StorageFull), "x").is_err());
        assert!(write(&mut vec![], "x").unwrap());
    }

    #[test]
    fn a_complaint_is_one_line_and_says_everything_once() {
        let error: anyhow::Error = Err::<(), _>(io::Error::other("first\nsecond")).context("read a.eml").unwrap_err();
        assert_eq!(complaint(&error), "countersign: read a.eml: first second\n");
        let error = anyhow::anyhow!("away").context("open the database: away");
        assert_eq!(complaint(&error), "countersign: open the database: away\n");
    }
}
