//! Looks over a set of templates before it is used: files, first lines, names of values, and a trial with sample data.

use std::error::Error as _;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use minijinja::{Environment, Error};

use super::catalogue::{EMBEDDED, KNOWN};
use super::{RenderError, SUBJECT, SUBJECT_FIELD, Templates};
use crate::config::diagnostic::Diagnostic;

/// Largest template file; ours have a tenth.
const MAX_BYTES: u64 = 100_000;

/// The files of a set.
pub(super) struct Sources {
    pub files: Vec<Source>,
}

pub(super) struct Source {
    /// `approval.txt`
    pub file: String,
    /// Where it was read; `templates/approval.txt` for one from the binary.
    path: PathBuf,
    pub text: String,
}

impl Source {
    /// The subject line and the rest with its line break, for a text that has a subject.
    pub fn halves(&self) -> Option<(&str, &str)> {
        let whole = self.file.ends_with(".txt") && !self.file.starts_with('_');
        whole.then(|| self.text.split_at(self.text.find('\n').unwrap_or(self.text.len())))
    }

    fn diagnostic(&self, span: Option<Range<usize>>, what: impl Into<String>, mend: Option<String>) -> Diagnostic {
        Diagnostic { file: self.path.clone(), span, source: self.text.clone(), what: what.into(), mend }
    }

    /// The bytes of a line, from 1, without its line break.
    fn line(&self, number: usize) -> Option<Range<usize>> {
        let line = self.text.lines().nth(number.checked_sub(1)?)?;
        let start = line.as_ptr() as usize - self.text.as_ptr() as usize;
        Some(start..start + line.len())
    }
}

impl Sources {
    /// Every known file, from `dir` or from the binary.
    pub fn collect(dir: Option<&Path>) -> Result<Self, Vec<Diagnostic>> {
        let mut found = dir.map(strangers).unwrap_or_default();
        let mut files = Vec::new();
        for (file, text) in EMBEDDED {
            match dir.map(|dir| read(&dir.join(file))).transpose() {
                Ok(Some(Some(source))) => files.push(source),
                Ok(_) => files.push(Source {
                    file: (*file).to_owned(),
                    path: Path::new("templates").join(file),
                    text: (*text).to_owned(),
                }),
                Err(diagnostic) => found.push(*diagnostic),
            }
        }
        if found.is_empty() { Ok(Self { files }) } else { Err(found) }
    }

    /// Texts that do not start with a subject and a blank line.
    pub fn shape(&self) -> Vec<Diagnostic> {
        let wrong = |source: &Source| {
            let (first, rest) = source.halves()?;
            let mend = Some("write `Subject: …`, a blank line, then the text".to_owned());
            if first.strip_prefix(SUBJECT_FIELD).is_none_or(|subject| subject.trim().is_empty()) {
                return Some(source.diagnostic(Some(0..first.len()), "the first line is no subject", mend));
            }
            let second = rest.lines().nth(1).unwrap_or_default();
            (!second.trim().is_empty())
                .then(|| source.diagnostic(source.line(2), "no blank line follows the subject", mend))
        };
        self.files.iter().filter_map(wrong).collect()
    }

    /// Names of values that no notice has, also in branches that a trial does not reach.
    pub fn unknown_values(&self, environment: &Environment<'_>) -> Vec<Diagnostic> {
        let globals: Vec<&str> = environment.globals().map(|(name, _)| name).collect();
        let mut found = Vec::new();
        for source in &self.files {
            let known = self.values_of(&source.file);
            let halves = [source.file.clone(), source.file.replace(".txt", SUBJECT)];
            let mut unknown: Vec<String> = environment
                .templates()
                .filter(|(name, _)| halves.iter().any(|half| half == name))
                .flat_map(|(_, template)| template.undeclared_variables(false))
                .filter(|name| !known.contains(name) && !globals.contains(&name.as_str()))
                .filter(|name| !matches!(name.as_str(), "self" | "super" | "loop" | "caller"))
                .collect();
            unknown.sort();
            unknown.dedup();
            found.extend(unknown.into_iter().map(|name| {
                let what = format!("`{name}` is no value of this template");
                source.diagnostic(word(&source.text, &name), what, Some(format!("it has: {}", known.join(", "))))
            }));
        }
        found
    }

    /// Renders everything with all values, with none of the optional ones, and with either way to answer.
    pub fn try_out(&self, templates: &Templates) -> Vec<Diagnostic> {
        let mut found: Vec<Diagnostic> = Vec::new();
        for known in KNOWN {
            let mut bare = known.sample();
            bare.extend(known.nothing());
            for (mut data, link) in
                [(known.sample(), true), (known.sample(), false), (bare.clone(), true), (bare, false)]
            {
                if !link {
                    data.insert("link".into(), serde_json::Value::Null);
                }
                for reply_works in [true, false] {
                    data.insert("reply_works".into(), reply_works.into());
                    match templates.fill_in(known.name, &data) {
                        Ok(rendered) if rendered.subject.is_empty() => {
                            let source = self.files.iter().find(|source| source.file == format!("{}.txt", known.name));
                            found.extend(
                                source.map(|source| source.diagnostic(source.line(1), "the subject is empty", None)),
                            );
                        }
                        Ok(_) | Err(RenderError::NoSuch(_)) => {}
                        Err(RenderError::Failed(template, error)) => found.push(self.diagnose(&template, &error)),
                    }
                }
            }
        }
        found.sort_by(|a, b| {
            (&a.file, a.span.as_ref().map(|span| span.start)).cmp(&(&b.file, b.span.as_ref().map(|span| span.start)))
        });
        found.dedup();
        found
    }

    /// The engine's error, with its place in the file.
    pub fn diagnose(&self, template: &str, error: &Error) -> Diagnostic {
        let fault = Fault::of(template, error);
        match self.files.iter().find(|source| source.file == fault.file) {
            Some(source) => {
                let span = fault.span.filter(|span| source.text.get(span.clone()).is_some());
                let span = span.or_else(|| fault.line.and_then(|line| source.line(line)));
                source.diagnostic(span, fault.why, None)
            }
            None => {
                Diagnostic { file: fault.file.into(), span: None, source: String::new(), what: fault.why, mend: None }
            }
        }
    }

    fn values_of(&self, file: &str) -> Vec<String> {
        let name = file.rsplit_once('.').map_or(file, |(name, _)| name);
        let mut values: Vec<String> = KNOWN
            .iter()
            .filter(|known| known.name == name || is_part(file))
            .flat_map(|known| known.sample().into_iter().map(|(key, _)| key))
            .collect();
        values.sort();
        values.dedup();
        values
    }
}

/// An error of the engine in words, where it really happened: inside the file that was included, not where it was.
pub(super) struct Fault {
    pub file: String,
    pub line: Option<usize>,
    pub span: Option<Range<usize>>,
    pub why: String,
}

impl Fault {
    pub fn of(template: &str, error: &Error) -> Self {
        let mut innermost = error;
        while let Some(inner) = innermost.source().and_then(|source| source.downcast_ref::<Error>()) {
            innermost = inner;
        }
        let file = innermost.name().unwrap_or(template).replace(SUBJECT, ".txt");
        let why = match innermost.detail() {
            Some(detail) => format!("{}: {detail}", innermost.kind()),
            None => innermost.kind().to_string(),
        };
        Self { file, line: innermost.line(), span: innermost.range(), why }
    }
}

/// Files that others include.
fn is_part(file: &str) -> bool {
    file.starts_with('_') || file == "layout.html"
}

/// The admin's file, where it is there.
fn read(path: &Path) -> Result<Option<Source>, Box<Diagnostic>> {
    let unreadable = |why: String| {
        Box::new(Diagnostic { file: path.to_owned(), span: None, source: String::new(), what: why, mend: None })
    };
    match fs::metadata(path) {
        Ok(about) if about.len() > MAX_BYTES => {
            return Err(unreadable(format!("the template has {} bytes, more than {MAX_BYTES}", about.len())));
        }
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(format!("cannot read the template: {error}"))),
    }
    let bytes = fs::read(path).map_err(|error| unreadable(format!("cannot read the template: {error}")))?;
    let text = String::from_utf8(bytes).map_err(|_| unreadable("the template is not UTF-8 text".into()))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text).replace("\r\n", "\n");
    let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Some(Source { file, path: path.to_owned(), text }))
}

/// Template files in the admin's directory that nothing would ever use: most likely a slip in the name.
fn strangers(dir: &Path) -> Vec<Diagnostic> {
    let whole = |path: PathBuf, what: String, mend: Option<String>| Diagnostic {
        file: path,
        span: None,
        source: String::new(),
        what,
        mend,
    };
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) => {
            return vec![whole(dir.to_owned(), format!("cannot read the directory of templates: {error}"), None)];
        }
    };
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    paths.sort();
    let unknown = |path: PathBuf| {
        let name = path.file_name()?.to_str()?;
        let template = (name.ends_with(".txt") || name.ends_with(".html")) && !name.starts_with('.');
        if !template || EMBEDDED.iter().any(|(file, _)| *file == name) {
            return None;
        }
        let files: Vec<&str> = EMBEDDED.iter().map(|(file, _)| *file).collect();
        Some(whole(
            path,
            "no notice uses a template of this name".into(),
            Some(format!("the files are: {}", files.join(", "))),
        ))
    };
    paths.into_iter().filter_map(unknown).collect()
}

/// The first place where `name` stands as a whole word inside `{{ }}` or `{% %}`.
fn word(text: &str, name: &str) -> Option<Range<usize>> {
    let inside = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(name).map(|(start, _)| start..start + name.len()).find(|place| {
        let before = &text[..place.start];
        let opened = before.rfind("{{").max(before.rfind("{%"));
        let closed = before.rfind("}}").max(before.rfind("%}"));
        let left = before.chars().next_back();
        let right = text[place.end..].chars().next();
        opened > closed && !left.is_some_and(|c| inside(c) || c == '.') && !right.is_some_and(inside)
    })
}
