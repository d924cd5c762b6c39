//! The rules: what becomes of a message, why, and what would have changed it. Pure but for reading the rule files.
//!
//! Owns the language of `rules/*.toml` (described for admins in `rules/README.md`), its checks, screening and the
//! explanation. Leaves to others: parsing mail (`mime`), guards and correlation (`intake`), doing what a verdict says.
//!
//! - A rule set is a directory of `*.toml`, read in the order of their names; directories below it are not read.
//! - The first rule that matches decides; a message that no rule speaks for meets `[default]`, which never ignores.
//! - A condition holds, does not hold, or is unknown. Unknown never matches, and in `unless` it vetoes.
//! - The facts are listed in `facts::FACTS`; the conditions are the files below `conditions/`.
//! - A set that has a fault or a failing test is not given out.

mod act;
mod action;
mod also;
mod compile;
mod conditions;
mod expressions;
mod facts;
mod gate;
mod language;
mod lists;
mod lookalike;
mod passed;
mod pattern;
mod read;
mod sample;
mod screen;
mod seen;
mod starts;
#[cfg(test)]
mod tests;
mod trial;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

pub use self::facts::{Attachment, FACTS, Facts, Surroundings};

use self::compile::{Context, RuleFile};
use self::conditions::Registry;
use self::gate::Gates;
use self::screen::Telling;
use self::seen::Banks;
use crate::config::diagnostic::Diagnostic;
use crate::domain::event::hex;
use crate::domain::message::Message;
use crate::domain::verdict::Decision;

/// Reads a sample `.eml` file, or says in words why it cannot.
pub type Parse<'a> = &'a dyn Fn(&Path) -> Result<Message, String>;

/// Names that rules may refer to.
#[derive(Debug, Clone, Default)]
pub struct Known {
    pub workflows: Vec<String>,
    /// Names of the inputs of those workflows whose inputs are known.
    pub inputs: BTreeMap<String, Vec<String>>,
    pub templates: Vec<String>,
    pub mailboxes: Vec<String>,
    /// Addresses of mailboxes: nothing is forwarded there.
    pub addresses: Vec<String>,
    /// Folders that mail is read from.
    pub folders: Vec<String>,
    /// Users and `role:` names; none when nobody knows them before mail comes.
    pub people: Option<Vec<String>>,
}

/// Largest rule file, in bytes.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// A checked and tested set of rules. Cheap to share, never changes.
#[derive(Debug)]
pub struct RuleSet {
    directory: PathBuf,
    hash: String,
    files: Vec<RuleFile>,
    banks: Banks,
    /// Of the rules of all files, in order.
    rule_gates: Gates,
    /// Of the signals of all files, in order.
    signal_gates: Gates,
}

/// What one test in a rule file came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestResult {
    pub name: String,
    /// `file:line`.
    pub at: String,
    /// What came out other than expected; none when it passed.
    pub failure: Option<String>,
}

impl RuleSet {
    /// Reads, checks and tests every `*.toml` directly in `directory`.
    ///
    /// # Errors
    /// Everything wrong with the files, each with its place; failing tests where nothing else is wrong.
    pub fn load(directory: &Path, known: &Known, parse: Parse<'_>) -> Result<Self, Vec<Diagnostic>> {
        let texts = read_files(directory)?;
        let set = Self::compile(directory, texts, known)?;
        let failures = set.failed_tests(parse);
        if failures.is_empty() { Ok(set) } else { Err(failures) }
    }

    /// No rule at all: what is screened goes to quarantine.
    pub fn none() -> Self {
        let (directory, hash) = (PathBuf::new(), hex(&Sha256::digest([])));
        let (rule_gates, signal_gates) = (Gates::default(), Gates::default());
        Self { directory, hash, files: vec![], banks: Banks::default(), rule_gates, signal_gates }
    }

    /// SHA-256 (hex) over the rule files and the lists they name.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// What becomes of a message. Total: whatever the facts, there is a decision with its explanation.
    pub fn screen(&self, facts: &Facts) -> Decision {
        screen::screen(self, facts, Telling::Brief)
    }

    /// The same decision, told by rule and score alone: for whoever compares many.
    pub fn decide(&self, facts: &Facts) -> Decision {
        screen::screen(self, facts, Telling::Least)
    }

    /// The same decision, with every rule told condition by condition, however many there are.
    pub fn explain(&self, facts: &Facts) -> Decision {
        screen::screen(self, facts, Telling::Whole)
    }

    /// Runs the tests that the files carry, in their order, without effects.
    pub fn run_tests(&self, parse: Parse<'_>) -> Vec<TestResult> {
        let run = |(file, trial): (&RuleFile, &trial::Trial)| {
            let mailbox = file.mailboxes.as_ref().and_then(|mine| mine.first()).map(String::as_str);
            let failure = trial.run(self, mailbox, parse).err();
            TestResult { name: trial.name.clone(), at: trial.at.clone(), failure }
        };
        self.trials().map(run).collect()
    }

    /// Names of all rules, in the order in which they are looked at.
    pub fn rule_names(&self) -> impl Iterator<Item = &str> {
        self.files.iter().flat_map(|file| &file.rules).map(|rule| rule.name.as_str())
    }

    /// Checks rule files that were read, without running their tests. `directory` is where they look for lists and samples.
    ///
    /// # Errors
    /// Everything wrong with the files, each with its place.
    pub fn compile(directory: &Path, texts: Vec<(PathBuf, String)>, known: &Known) -> Result<Self, Vec<Diagnostic>> {
        let whole = |what: String| vec![Diagnostic::whole(directory, what, None)];
        let registry = Registry::standard().map_err(whole)?;
        let (mut banks, mut files, mut faults) = (Banks::default(), vec![], vec![]);
        let mut digest = Sha256::new();
        let mut note = |name: &str, bytes: &[u8]| {
            digest.update((name.len() as u64).to_be_bytes());
            digest.update(name);
            digest.update((bytes.len() as u64).to_be_bytes());
            digest.update(bytes);
        };
        for (path, text) in texts {
            note(&path.file_name().unwrap_or_default().to_string_lossy(), text.as_bytes());
            let mut context = Context { directory, known, registry: &registry, banks: &mut banks, note: &mut note };
            match compile::compile(&path, &text, &mut context) {
                Ok(file) => files.push(file),
                Err(found) => faults.extend(found),
            }
        }
        let rule_gates = Gates::new(files.iter().flat_map(|file: &RuleFile| &file.rules).map(|rule| &rule.clauses));
        let signal_gates = Gates::new(files.iter().flat_map(|file| &file.signals).map(|signal| &signal.clauses));
        let (directory, hash) = (directory.to_owned(), hex(&digest.finalize()));
        let set = Self { directory, hash, files, banks, rule_gates, signal_gates };
        faults.extend(set.clashes());
        if !faults.is_empty() {
            return Err(faults);
        }
        set.banks.prepare();
        Ok(set)
    }

    /// Names used twice, defaults of which one can never be reached, tests of rules that are not there.
    fn clashes(&self) -> Vec<Diagnostic> {
        let mut faults = vec![];
        let mut say = |file: &RuleFile, span: &std::ops::Range<usize>, what: String, mend: &str| {
            faults.push(read::Fault::new(span.clone(), what, mend).at(&file.path, &file.text));
        };
        let mut rules: BTreeMap<&str, &str> = BTreeMap::new();
        let mut signals: BTreeMap<&str, (&RuleFile, usize)> = BTreeMap::new();
        for file in &self.files {
            for rule in &file.rules {
                if let Some(first) = rules.insert(&rule.name, &rule.at) {
                    let what = format!("a rule at {first} is named `{}` too", rule.name);
                    say(file, &rule.span, what, "rename one of them");
                }
            }
            for signal in &file.signals {
                if let Some((earlier, start)) = signals.insert(&signal.name, (file, signal.span.start)) {
                    let what = format!("a signal at {} is named `{}` too", earlier.at(start), signal.name);
                    say(file, &signal.span, what, "rename one of them");
                }
            }
        }
        for (at, file) in self.files.iter().enumerate() {
            let Some(default) = &file.default else { continue };
            let shared = |earlier: &&RuleFile| match (&earlier.mailboxes, &file.mailboxes) {
                (None, None) => true,
                (Some(theirs), Some(mine)) => mine.iter().any(|mailbox| theirs.contains(mailbox)),
                _ => false,
            };
            let earlier = self.files[..at].iter().filter(|earlier| earlier.default.is_some()).find(shared);
            if let Some((earlier, first)) = earlier.and_then(|file| Some((file, file.default.as_ref()?))) {
                let what = format!("there is a default for the same mail at {}", earlier.at(first.span.start));
                say(file, &default.span, what, "keep one, or name mailboxes in both files");
            }
        }
        for (file, trial) in self.trials() {
            if let Some(rule) = trial.rule().filter(|rule| !rules.contains_key(rule)) {
                faults.push(
                    read::Fault::unknown(trial.span.clone(), "rule", rule, rules.keys().copied())
                        .at(&file.path, &file.text),
                );
            }
        }
        faults
    }

    fn failed_tests(&self, parse: Parse<'_>) -> Vec<Diagnostic> {
        let results = self.run_tests(parse);
        let failed = self.trials().zip(results).filter_map(|((file, trial), result)| {
            let what = format!("test `{}` failed: {}", trial.name, result.failure?);
            let mend = "mend the rule or the test; the rules in force stay";
            Some(read::Fault::new(trial.span.clone(), what, mend).at(&file.path, &file.text))
        });
        failed.collect()
    }

    fn trials(&self) -> impl Iterator<Item = (&RuleFile, &trial::Trial)> {
        self.files.iter().flat_map(|file| file.trials.iter().map(move |trial| (file, trial)))
    }

    /// The files whose rules apply to mail of a mailbox, in order.
    fn covering<'s>(&'s self, mailbox: &'s str) -> impl Iterator<Item = &'s RuleFile> {
        self.files.iter().filter(move |file| file.covers(mailbox))
    }

    /// What these files hold of one kind, each with its number among those of all files.
    fn numbered<'s, T>(
        &'s self,
        mailbox: &'s str,
        of: impl Fn(&RuleFile) -> &[T] + Copy + 's,
    ) -> impl Iterator<Item = (usize, &'s T)>
    where
        T: 's,
    {
        let starts = self.files.iter().scan(0, move |next, file| {
            let start = *next;
            *next += of(file).len();
            Some((start, file))
        });
        let covering = starts.filter(move |(_, file)| file.covers(mailbox));
        covering.flat_map(move |(start, file)| of(file).iter().enumerate().map(move |(at, one)| (start + at, one)))
    }
}

/// The rule files of a directory in the order of their names.
///
/// # Errors
/// Each file that cannot be read; that there are none.
pub fn read_files(directory: &Path) -> Result<Vec<(PathBuf, String)>, Vec<Diagnostic>> {
    let cannot = |path: &Path, what: String| Diagnostic::whole(path, what, None);
    let listed = std::fs::read_dir(directory)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>())
        .map_err(|error| vec![cannot(directory, format!("cannot list the rule files: {error}"))])?;
    let is_rules = |path: &PathBuf| {
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        !hidden && path.extension().is_some_and(|extension| extension == "toml") && path.is_file()
    };
    let mut paths: Vec<PathBuf> = listed.into_iter().filter(is_rules).collect();
    paths.sort();
    if paths.is_empty() {
        let mend = "add a file such as ap.toml; without rules every message would be quarantined";
        return Err(vec![Diagnostic::whole(directory, "there are no rule files here", Some(mend.to_owned()))]);
    }
    let (mut texts, mut faults) = (vec![], vec![]);
    for path in paths {
        match read_file(&path) {
            Ok(text) => texts.push((path, text)),
            Err(why) => faults.push(cannot(&path, why)),
        }
    }
    if faults.is_empty() { Ok(texts) } else { Err(faults) }
}

/// The text of one rule file, or in words why it cannot be read.
pub fn read_file(path: &Path) -> Result<String, String> {
    let size_bytes = std::fs::metadata(path).map_err(|error| format!("cannot read the file: {error}"))?.len();
    if size_bytes > MAX_FILE_BYTES {
        return Err(format!("the file has {size_bytes} bytes, more than {MAX_FILE_BYTES}"));
    }
    let bytes = std::fs::read(path).map_err(|error| format!("cannot read the file: {error}"))?;
    String::from_utf8(bytes).map_err(|error| format!("the file is not UTF-8: {error}"))
}
