//! Errors in an admin's file, shown the way compilers do: what, where, the line itself, the mend. Small and our own
//! rather than a crate, because a line of a configuration must be masked before anybody sees it.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use regex::Regex;

use crate::domain::nearest::nearest;

/// One thing wrong in one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    pub file: PathBuf,
    /// Byte range in `source`; none when the whole file is meant.
    pub span: Option<Range<usize>>,
    /// Text of the file, to show the line from.
    pub source: String,
    pub what: String,
    pub mend: Option<String>,
}

impl Diagnostic {
    /// Something wrong at a place in a file.
    pub fn at(file: &Path, source: &str, span: Range<usize>, what: impl Into<String>, mend: Option<String>) -> Self {
        let (file, source) = (file.to_owned(), source.to_owned());
        Self { file, span: Some(span), source, what: what.into(), mend }
    }

    /// Something wrong with a file as a whole.
    pub fn whole(file: &Path, what: impl Into<String>, mend: Option<String>) -> Self {
        Self { file: file.to_owned(), span: None, source: String::new(), what: what.into(), mend }
    }

    /// What toml or serde say, at the place they say it, in an admin's words.
    pub fn toml_error(file: &Path, source: &str, error: &toml::de::Error) -> Self {
        let (what, mend) = in_words(error.message());
        match error.span() {
            Some(span) => Self::at(file, source, span, what, mend),
            None => Self::whole(file, what, mend),
        }
    }

    /// One line: `file:line: what is wrong`.
    pub fn summary(&self) -> String {
        let line = self.line().map_or_else(String::new, |line| format!(":{line}"));
        format!("{}{line}: {}", self.file.display(), self.what)
    }

    /// Line of the place, from 1.
    pub fn line(&self) -> Option<usize> {
        Some(self.before()?.matches('\n').count() + 1)
    }

    /// Column of the place in characters, from 1.
    pub fn column(&self) -> Option<usize> {
        let before = self.before()?;
        Some(before[line_start(before)..].chars().count() + 1)
    }

    /// The text before the place. A range that does not fit the text is moved to where it does.
    fn before(&self) -> Option<&str> {
        let start = self.source.floor_char_boundary(self.span.as_ref()?.start);
        Some(&self.source[..start])
    }
}

/// Several lines: `error: …`, `--> file:line:column`, the line with carets under the place, `= help: …`.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.what)?;
        let file = self.file.display();
        let mut gutter = String::new();
        match (&self.span, self.line(), self.column()) {
            (Some(span), Some(line), Some(column)) => {
                gutter = " ".repeat(line.to_string().len());
                let start = self.before().map_or(0, str::len);
                let end = self.source.ceil_char_boundary(span.end).max(start);
                let shown = masked(self.source[line_start(&self.source[..start])..].lines().next().unwrap_or_default());
                // At least one caret, and none beyond the end of the line.
                let wide = self.source[start..end].lines().next().unwrap_or_default().chars().count();
                let room = (shown.chars().count() + 1).saturating_sub(column);
                let carets = "^".repeat(wide.min(room).max(1));
                write!(f, "\n{gutter}--> {file}:{line}:{column}\n{gutter} |")?;
                write!(f, "\n{line} | {}", shown.replace('\t', " "))?;
                write!(f, "\n{gutter} | {}{carets}", " ".repeat(column - 1))?;
            }
            _ => write!(f, "\n--> {file}")?,
        }
        if let Some(mend) = &self.mend {
            write!(f, "\n{gutter} = help: {mend}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostic {}

/// What serde says, as an admin would: what is wrong, and the mend. Values are never repeated, they could be secrets.
pub fn in_words(message: &str) -> (String, Option<String>) {
    let message = message.trim_end();
    let named: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let suggest = |wanted: &str, known: &[&str]| match nearest(wanted, known.iter().copied()) {
        Some(near) => Some(format!("did you mean `{near}`?")),
        None if known.is_empty() => None,
        None => Some(format!("known here: {}", known.join(", "))),
    };
    match named.as_slice() {
        [field, known @ ..] if message.starts_with("unknown field ") => {
            (format!("unknown key `{field}`"), suggest(field, known))
        }
        [variant, known @ ..] if message.starts_with("unknown variant ") => {
            (format!("`{variant}` is none of: {}", known.join(", ")), suggest(variant, known))
        }
        [field, ..] if message.starts_with("missing field ") => {
            (format!("`{field}` is missing"), Some(format!("add `{field} = …`")))
        }
        _ if message.starts_with("invalid type: ") || message.starts_with("invalid value: ") => {
            let (found, expected) = message.split_once(", expected ").unwrap_or((message, "something else"));
            let kind = found.split_once(": ").map_or(found, |(_, kind)| kind);
            let kind = kind.split(['`', '"']).next().unwrap_or_default().trim();
            (format!("expected {expected}, found {kind}"), None)
        }
        _ => match message.split_once("; write ") {
            Some((what, mend)) => (what.to_owned(), Some(format!("write {mend}"))),
            None => (message.to_owned(), None),
        },
    }
}

fn line_start(before: &str) -> usize {
    before.rfind('\n').map_or(0, |newline| newline + 1)
}

/// The line as it may be shown: what could be a password, under whatever key, becomes stars of the same length.
fn masked(line: &str) -> String {
    static VALUE: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r#"([\w-]+)["']?\s*=\s*(?:"((?:[^"\\]|\\.)*)|'([^']*)|([^\s"'\[{,}]+))"#).ok());
    static USER: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"://[^/@\s:]*:([^@\s]+)@").ok());
    let mut hidden: Vec<Range<usize>> = vec![];
    for found in VALUE.iter().flat_map(|value| value.captures_iter(line)) {
        let value = found.get(2).or_else(|| found.get(3)).or_else(|| found.get(4));
        if let Some(value) = value.filter(|value| is_secretive(&found[1]) && !value.as_str().starts_with("secret:")) {
            hidden.push(value.range());
        }
    }
    hidden
        .extend(USER.iter().flat_map(|user| user.captures_iter(line)).filter_map(|found| Some(found.get(1)?.range())));
    line.char_indices().map(|(at, c)| if hidden.iter().any(|range| range.contains(&at)) { '*' } else { c }).collect()
}

/// Whether a key, or what it is a slip of, holds a secret.
fn is_secretive(key: &str) -> bool {
    let key = key.to_lowercase();
    if key == "token_url" {
        return false;
    }
    ["pass", "pwd", "secret", "token", "credential", "access_key", "api_key", "apikey"]
        .iter()
        .any(|part| key.contains(part))
        || nearest(&key, ["password", "secret", "secret_access_key"]).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(source: &str, at: &str, what: &str, mend: Option<&str>) -> String {
        let start = source.find(at).unwrap();
        let span = start..start + at.len();
        Diagnostic::at(Path::new("config/base.toml"), source, span, what, mend.map(str::to_owned)).to_string()
    }

    #[test]
    fn a_place_is_shown_with_its_line_and_the_mend() {
        let source = "[web]\nlisten = \"nowhere\"\n";
        insta::assert_snapshot!(show(source, "\"nowhere\"", "`nowhere` is no address", Some("write 127.0.0.1:8025")), @r#"
        error: `nowhere` is no address
         --> config/base.toml:2:10
          |
        2 | listen = "nowhere"
          |          ^^^^^^^^^
          = help: write 127.0.0.1:8025
        "#);
    }

    #[test]
    fn places_beyond_the_line_or_the_text_are_still_shown() {
        let check = |source: &str, span: Range<usize>, line: usize, column: usize| {
            let diagnostic = Diagnostic::at(Path::new("f"), source, span, "w", None);
            assert_eq!((diagnostic.line(), diagnostic.column()), (Some(line), Some(column)), "{source:?}");
            assert!(diagnostic.to_string().ends_with('^'), "{diagnostic}");
        };
        check("", 0..0, 1, 1);
        check("a\nb", 90..99, 2, 2);
        check("äö = 1", 2..3, 1, 2);
        check("äö = 1", 1..3, 1, 1);
        check("x = \"\"\"a\nb\"\"\"", 4..12, 1, 5);
        check("a\r\nb = 1\r\n", 3..4, 2, 1);
    }

    #[test]
    fn a_line_never_shows_what_could_be_a_secret() {
        let check = |line: &str, expected: &str| assert_eq!(masked(line), expected);
        check(r#"password = "hunter2""#, r#"password = "*******""#);
        check(r#"passwrod = 'hunter2' # x"#, r#"passwrod = '*******' # x"#);
        check(r#"password = "hun"#, r#"password = "***"#);
        check("password = 1234", "password = ****");
        check(r#"t = { user = "u", "password" = "p", port = 1 }"#, r#"t = { user = "u", "password" = "*", port = 1 }"#);
        check(r#"url = "postgres://u:pw@host/db""#, r#"url = "postgres://u:**@host/db""#);
        check(r#"password = "secret:env/IMAP""#, r#"password = "secret:env/IMAP""#);
        check(r#"refresh_token = "hunter2""#, r#"refresh_token = "*******""#);
        check(r#"token_url = "https://u:pw@a.example/""#, r#"token_url = "https://u:**@a.example/""#);
        check(r#"host = "imap.acme.example""#, r#"host = "imap.acme.example""#);
    }

    #[test]
    fn the_words_of_serde_become_an_admins_without_the_value() {
        let check = |message: &str, what: &str, mend: Option<&str>| {
            assert_eq!(in_words(message), (what.to_owned(), mend.map(str::to_owned)));
        };
        check("unknown field `pol`, expected one of `poll`, `name`", "unknown key `pol`", Some("did you mean `poll`?"));
        check("unknown field `zzz`, expected `poll` or `name`", "unknown key `zzz`", Some("known here: poll, name"));
        check("missing field `host`", "`host` is missing", Some("add `host = …`"));
        check("invalid type: integer `1234`, expected a string", "expected a string, found integer", None);
        check(r#"invalid type: string "hunter2", expected u32"#, "expected u32, found string", None);
        check("`5y` is no time span; write 5d", "`5y` is no time span", Some("write 5d"));
        check("anything else", "anything else", None);
    }
}
