//! One rule file: TOML to compiled signals, rules, default and tests. Finds everything wrong at once.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use super::Known;
use super::action::{self, Action, OnError};
use super::also;
use super::conditions::{Condition, Registry, Workshop};
use super::lists::{self, List};
use super::read::{Entry, Fault, entries, integer, table, tables, texts, words};
use super::seen::Banks;
use super::trial::{self, Trial};
use crate::config::diagnostic::Diagnostic;
use crate::domain::also::Deed;
use crate::domain::verdict::Severity;

/// A rule file, ready to screen with.
#[derive(Debug)]
pub(super) struct RuleFile {
    pub path: PathBuf,
    pub text: String,
    /// None: mail of every mailbox.
    pub mailboxes: Option<Vec<String>>,
    pub signals: Vec<Signal>,
    pub rules: Vec<Rule>,
    pub default: Option<Default>,
    pub trials: Vec<Trial>,
}

impl RuleFile {
    pub fn covers(&self, mailbox: &str) -> bool {
        self.mailboxes.as_ref().is_none_or(|mine| mine.iter().any(|name| name == mailbox))
    }

    /// `file:line` of a place in it.
    pub fn at(&self, start: usize) -> String {
        place(&self.path, &self.text, start)
    }
}

/// One condition as it is written, compiled.
#[derive(Debug)]
pub(super) struct Clause {
    pub key: &'static str,
    pub written: String,
    pub condition: Box<dyn Condition>,
}

/// Conditions that must all hold, and groups of which none may.
#[derive(Debug, Default)]
pub(super) struct Clauses {
    pub all: Vec<Clause>,
    pub unless: Vec<Vec<Clause>>,
}

/// Gives points and never stops anything.
#[derive(Debug)]
pub(super) struct Signal {
    pub name: String,
    pub span: Range<usize>,
    pub points: i64,
    pub clauses: Clauses,
}

#[derive(Debug)]
pub(super) struct Rule {
    pub name: String,
    pub span: Range<usize>,
    /// `file:line`.
    pub at: String,
    pub clauses: Clauses,
    pub action: Action,
    pub also: Vec<Deed>,
    pub on_error: OnError,
}

#[derive(Debug)]
pub(super) struct Default {
    pub span: Range<usize>,
    pub action: Action,
    pub also: Vec<Deed>,
}

/// What compiling a file needs from the rest of the set.
pub(super) struct Context<'a> {
    pub directory: &'a Path,
    pub known: &'a Known,
    pub registry: &'a Registry,
    pub banks: &'a mut Banks,
    /// Told of every further file that was read.
    pub note: &'a mut dyn FnMut(&str, &[u8]),
}

/// # Errors
/// Everything wrong with the file.
pub(super) fn compile(path: &Path, source: &str, context: &mut Context<'_>) -> Result<RuleFile, Vec<Diagnostic>> {
    let root = DeTable::parse(source).map_err(|error| vec![Diagnostic::toml_error(path, source, &error)])?;
    let mut compiler = Compiler { path, source, context, lists: BTreeMap::new(), faults: vec![], line: (0, 1) };
    let file = compiler.file(entries(root.get_ref()));
    match compiler.faults {
        faults if faults.is_empty() => Ok(file),
        faults => Err(faults.into_iter().map(|fault| fault.at(path, source)).collect()),
    }
}

pub(super) const FILE_KEYS: [&str; 6] = ["mailboxes", "lists", "signal", "rule", "default", "test"];
pub(super) const RULE_KEYS: [&str; 5] = ["name", "unless", "also", "on_error", "test"];

struct Compiler<'a, 'c> {
    path: &'a Path,
    source: &'a str,
    context: &'a mut Context<'c>,
    lists: BTreeMap<String, List>,
    faults: Vec<Fault>,
    /// A place up to which lines were counted, and its line.
    line: (usize, usize),
}

impl Compiler<'_, '_> {
    /// Keeps a fault and goes on, so that an admin sees all of them.
    fn keep<T>(&mut self, result: Result<T, Fault>) -> Option<T> {
        result.map_err(|fault| self.faults.push(fault)).ok()
    }

    fn file(&mut self, keys: Vec<Entry<'_>>) -> RuleFile {
        let mut file = RuleFile {
            path: self.path.to_owned(),
            text: self.source.to_owned(),
            mailboxes: None,
            signals: vec![],
            rules: vec![],
            default: None,
            trials: vec![],
        };
        // Lists first, wherever they stand: conditions name them.
        if let Some(entry) = keys.iter().find(|entry| entry.key == "lists") {
            let read = lists::read(entry.value, self.context.directory, self.context.note);
            self.lists = self.keep(read).unwrap_or_default();
        }
        for entry in keys {
            match entry.key {
                "lists" => {}
                "mailboxes" => {
                    let names = self.mailboxes(&entry);
                    file.mailboxes = self.keep(names);
                }
                "signal" => {
                    for (span, keys) in self.keep(tables(entry.value)).unwrap_or_default() {
                        let signal = self.signal(span, keys);
                        file.signals.extend(signal);
                    }
                }
                "rule" => {
                    for (span, keys) in self.keep(tables(entry.value)).unwrap_or_default() {
                        let rule = self.rule(span, keys, &mut file.trials);
                        file.rules.extend(rule);
                    }
                }
                "default" => {
                    let keys = self.keep(table(entry.value)).unwrap_or_default();
                    file.default = self.default(entry.value.span(), keys);
                }
                "test" => {
                    for (span, keys) in self.keep(tables(entry.value)).unwrap_or_default() {
                        let at = self.place(span.start);
                        let read = trial::read(span, at, keys, None);
                        file.trials.extend(self.keep(read));
                    }
                }
                other => self.faults.push(Fault::unknown(entry.key_span(), "key", other, FILE_KEYS)),
            }
        }
        file
    }

    fn mailboxes(&self, entry: &Entry<'_>) -> Result<Vec<String>, Fault> {
        let known = self.context.known.mailboxes.iter().map(String::as_str);
        let check = |(span, name): (Range<usize>, &str)| match known.clone().any(|known| known == name) {
            true => Ok(name.to_owned()),
            false => Err(Fault::unknown(span, "mailbox", name, known.clone())),
        };
        texts(entry.value)?.into_iter().map(check).collect()
    }

    fn signal(&mut self, span: Range<usize>, keys: Vec<Entry<'_>>) -> Option<Signal> {
        let before = self.faults.len();
        let (mut name, mut points, mut clauses) = (None, None, Clauses::default());
        for entry in keys {
            match entry.key {
                "name" => name = self.keep(words(entry.value)).map(str::to_owned),
                "points" => points = self.keep(integer(entry.value)),
                _ => self.clause(&entry, &mut clauses, true, &["name", "points", "unless"]),
            }
        }
        let named = name.is_some() && points.is_some();
        if self.faults.len() == before && !named {
            let mend = "add name = \"…\" and points = 1";
            self.faults.push(Fault::new(span.clone(), "a signal needs a name and points", mend));
        }
        if self.faults.len() == before && clauses.all.is_empty() {
            self.faults.push(Fault::new(span.clone(), "the signal has no condition", "say when it gives its points"));
        }
        Some(Signal { name: name?, points: points?, span, clauses }).filter(|_| self.faults.len() == before)
    }

    fn rule(&mut self, span: Range<usize>, keys: Vec<Entry<'_>>, trials: &mut Vec<Trial>) -> Option<Rule> {
        let before = self.faults.len();
        let (mut name, mut clauses) = (None, Clauses::default());
        let mut on_error = OnError::Quarantine { reason: None, severity: Severity::Medium };
        let (mut acting, mut tests, mut also) = (vec![], vec![], vec![]);
        let more: Vec<&str> = RULE_KEYS.into_iter().chain(action::KEYS).collect();
        for entry in keys {
            match entry.key {
                "name" => name = self.keep(words(entry.value)).map(str::to_owned),
                "on_error" => {
                    let read = action::read_on_error(&entry);
                    on_error = self.keep(read).unwrap_or(on_error);
                }
                "test" => tests = self.keep(tables(entry.value)).unwrap_or_default(),
                "also" => also = self.keep(also::read(&entry, self.context.known)).unwrap_or_default(),
                key if action::KEYS.contains(&key) => acting.push(entry),
                _ => self.clause(&entry, &mut clauses, false, &more),
            }
        }
        if name.is_none() && self.faults.len() == before {
            self.faults.push(Fault::new(span.clone(), "the rule has no name", "add name = \"…\""));
        }
        let captures: Vec<String> = clauses.all.iter().flat_map(|clause| clause.condition.capture_names()).collect();
        let action = action::read(span.clone(), &acting, &captures, self.context.known, true);
        let action = self.keep(action);
        if self.faults.len() == before && clauses.all.is_empty() {
            let mend = "add a condition; what meets every message belongs in [default]";
            self.faults.push(Fault::new(span.clone(), "the rule has no condition", mend));
        }
        let at = self.place(span.start);
        for (span, keys) in tests {
            let at = self.place(span.start);
            let read = trial::read(span, at, keys, name.as_deref());
            trials.extend(self.keep(read));
        }
        let rule = Rule { name: name?, at, span, clauses, action: action?, also, on_error };
        (self.faults.len() == before).then_some(rule)
    }

    fn default(&mut self, span: Range<usize>, keys: Vec<Entry<'_>>) -> Option<Default> {
        let (mut acting, mut also) = (vec![], vec![]);
        for entry in keys {
            match entry.key {
                "also" => also = self.keep(also::read(&entry, self.context.known)).unwrap_or_default(),
                "ignore" | "resume" => {
                    let mend = "quarantine what no rule speaks for; ignore only what a rule describes";
                    let what = format!("the default never is {}", entry.key);
                    self.faults.push(Fault::new(entry.key_span(), what, mend));
                    return None;
                }
                key if action::KEYS.contains(&key) => acting.push(entry),
                other => {
                    let known = action::KEYS.into_iter().chain(["also"]);
                    self.faults.push(Fault::unknown(entry.key_span(), "key", other, known));
                }
            }
        }
        let action = action::read(span.clone(), &acting, &[], self.context.known, false);
        self.keep(action).map(|action| Default { span, action, also })
    }

    /// As `place`, counting on from the rule before: a file may have thousands.
    fn place(&mut self, start: usize) -> String {
        let (counted, line) = self.line;
        let (from, line) = if counted <= start { (counted, line) } else { (0, 1) };
        self.line = (start, line + newlines(self.source.get(from..start).unwrap_or_default()));
        format!("{}:{}", self.path.file_name().unwrap_or_default().to_string_lossy(), self.line.1)
    }

    /// A condition or `unless`; `more` are the other keys that may stand there, for the message.
    fn clause(&mut self, entry: &Entry<'_>, clauses: &mut Clauses, in_signal: bool, more: &[&str]) {
        if entry.key == "unless" {
            for (span, keys) in self.keep(tables(entry.value)).unwrap_or_default() {
                if keys.is_empty() {
                    self.faults.push(Fault::new(span, "`unless` is empty", "add a condition, or remove it"));
                    continue;
                }
                let group: Vec<Clause> = keys.iter().filter_map(|key| self.condition(key, in_signal, &[])).collect();
                clauses.unless.push(group);
            }
            return;
        }
        let clause = self.condition(entry, in_signal, more);
        clauses.all.extend(clause);
    }

    fn condition(&mut self, entry: &Entry<'_>, in_signal: bool, more: &[&str]) -> Option<Clause> {
        let Some(kind) = self.context.registry.get(entry.key) else {
            let conditions: Vec<&str> = self.context.registry.keys().collect();
            let known: Vec<&str> = conditions.into_iter().chain(more.iter().copied()).collect();
            self.faults.push(Fault::unknown(entry.key_span(), "condition", entry.key, known));
            return None;
        };
        let mut workshop = Workshop { banks: self.context.banks, lists: &self.lists, in_signal };
        let compiled = (kind.compile)(entry, &mut workshop);
        self.keep(compiled).map(|condition| Clause { key: kind.key, written: entry.written(), condition })
    }
}

fn place(path: &Path, source: &str, start: usize) -> String {
    let line = newlines(source.get(..start).unwrap_or_default()) + 1;
    format!("{}:{line}", path.file_name().unwrap_or_default().to_string_lossy())
}

fn newlines(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'\n').count()
}
