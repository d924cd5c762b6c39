//! The child's side: limits itself, reads a PDF from standard input, answers with one line of JSON, ends.

use std::io::{Read, Write};
use std::process::ExitCode;

use pdf_extract::Document;
use rustix::process::{Resource, Rlimit, setrlimit};

use super::lines::Lines;
use super::{PdfText, Reason, Report};

/// Deep nesting needs stack; what needs more than this ends the child.
const STACK_BYTES: usize = 64 << 20;

/// Main function of the child process; arguments two and three are the limits. Ends with 1, saying nothing, when it
/// cannot limit itself: it never reads a PDF without limits.
pub fn child_main() -> ExitCode {
    let mut arguments = std::env::args().skip(2).map(|argument| argument.parse::<u64>());
    let (Some(Ok(cpu_secs)), Some(Ok(memory_bytes))) = (arguments.next(), arguments.next()) else {
        return ExitCode::from(2);
    };
    if limit(cpu_secs, memory_bytes).is_err() {
        return ExitCode::FAILURE;
    }
    // A panic is an ordinary answer here, and nobody reads its text.
    std::panic::set_hook(Box::new(|_| {}));
    let mut pdf = vec![];
    if let Err(error) = std::io::stdin().read_to_end(&mut pdf) {
        return match error.kind() {
            std::io::ErrorKind::OutOfMemory => answer(&Report::Failure { failure: Reason::TooHard }),
            _ => ExitCode::FAILURE,
        };
    }
    let reader = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(move || read(&pdf));
    answer(&match reader.map(std::thread::JoinHandle::join) {
        Ok(Ok(Ok(text))) => Report::Text(text),
        Ok(Ok(Err(failure))) => Report::Failure { failure },
        Ok(Err(_)) => Report::Failure { failure: Reason::Unreadable },
        // No memory is left for the stack.
        Err(_) => Report::Failure { failure: Reason::TooHard },
    })
}

fn answer(report: &Report) -> ExitCode {
    let written = serde_json::to_vec(report).map(|line| std::io::stdout().write_all(&line));
    if matches!(written, Ok(Ok(()))) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Hard limits: processor, memory, no file written, hardly a file opened, no core file with somebody's invoice in it.
fn limit(cpu_secs: u64, memory_bytes: u64) -> rustix::io::Result<()> {
    for (resource, at_most) in [
        (Resource::Cpu, cpu_secs.max(1)),
        (Resource::As, memory_bytes),
        (Resource::Fsize, 0),
        (Resource::Nofile, 8),
        (Resource::Core, 0),
    ] {
        setrlimit(resource, Rlimit { current: Some(at_most), maximum: Some(at_most) })?;
    }
    Ok(())
}

fn read(pdf: &[u8]) -> Result<PdfText, Reason> {
    // A reader that stumbles over a locked file calls it damaged; the trailer's key tells the truth.
    let damaged = if names_encryption(pdf) { Reason::Encrypted } else { Reason::Unreadable };
    let mut document = Document::load_mem(pdf).map_err(|_| damaged)?;
    if document.is_encrypted() && document.decrypt("").is_err() {
        return Err(Reason::Encrypted);
    }
    let pages: Vec<u32> = document.get_pages().into_keys().collect();
    if pages.is_empty() {
        return Err(damaged);
    }
    let mut lines = Lines::default();
    for page in &pages {
        pdf_extract::output_doc_page(&document, &mut lines, *page).map_err(|_| damaged)?;
    }
    let text = lines.text;
    if !text.chars().any(char::is_alphanumeric) {
        return Err(Reason::NoText);
    }
    Ok(PdfText { pages: u32::try_from(pages.len()).unwrap_or(u32::MAX), text })
}

fn names_encryption(pdf: &[u8]) -> bool {
    pdf.windows(9).any(|window| window.starts_with(b"/Encrypt") && !window[8].is_ascii_alphanumeric())
}
