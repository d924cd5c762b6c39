//! How `countersign check`, and every command that refuses a configuration, show what is wrong with it.

use std::io::Write;

use crate::config::diagnostic::Diagnostic;

/// Prints each with file, line, snippet and mend to standard error, and a summary below.
pub fn print_diagnostics(diagnostics: &[Diagnostic]) {
    // Nobody is left to tell when standard error is gone.
    let _ = std::io::stderr().write_all(diagnostics_text(diagnostics).as_bytes());
}

/// What `print_diagnostics` prints.
pub fn diagnostics_text(diagnostics: &[Diagnostic]) -> String {
    let told: String = diagnostics.iter().map(|diagnostic| format!("{diagnostic}\n\n")).collect();
    let summary = match diagnostics.len() {
        0 => "nothing is wrong".to_owned(),
        1 => "1 error; nothing was done".into(),
        more => format!("{more} errors; nothing was done"),
    };
    format!("{told}countersign: {summary}\n")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn every_error_is_shown_and_counted() {
        let wrong = |what: &str| Diagnostic::whole(Path::new("a.toml"), what, None);
        let told = diagnostics_text(&[wrong("first"), wrong("second")]);
        assert!(told.contains("error: first\n--> a.toml\n\nerror: second"), "{told}");
        assert!(told.ends_with("countersign: 2 errors; nothing was done\n"), "{told}");
    }
}
