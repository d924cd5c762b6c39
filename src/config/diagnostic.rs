//! Errors in an admin's file, shown the way compilers do: what, where, the line itself, the mend.

use std::path::PathBuf;

/// One thing wrong in one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    pub file: PathBuf,
    /// Byte range in `source`; none when the whole file is meant.
    pub span: Option<std::ops::Range<usize>>,
    /// Text of the file, to show the line from.
    pub source: String,
    pub what: String,
    pub mend: Option<String>,
}
