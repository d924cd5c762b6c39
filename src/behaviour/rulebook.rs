//! What rule files are read with: the names that they may use and a reader of their samples. Whoever loads rules does it
//! here, so that a candidate set is held to what the set in force is held to.

use std::path::{Path, PathBuf};

use crate::config::diagnostic::Diagnostic;
use crate::config::sections::{Config, Limits};
use crate::config::{people, workflows};
use crate::domain::message::Message;
use crate::mime;
use crate::notify::templates::Templates;
use crate::rules::{self, Known, RuleSet, TestResult};

/// Loads and tests rule files.
#[derive(Debug, Clone)]
pub struct Rulebook {
    /// Where the rules in force are.
    pub directory: PathBuf,
    known: Known,
    limits: Limits,
    /// Samples trust the authserv-ids of every mailbox, since they come to none.
    authserv_ids: Vec<String>,
}

impl Rulebook {
    pub fn new(config: &Config, templates: &Templates) -> Self {
        let known = Known {
            workflows: workflows::names(&config.files.workflows),
            inputs: workflows::inputs(&config.files.workflows),
            templates: templates.names().map(str::to_owned).collect(),
            mailboxes: config.mailboxes.iter().map(|mailbox| mailbox.name.clone()).collect(),
            addresses: config.mailboxes.iter().map(|mailbox| mailbox.address.clone()).collect(),
            folders: config.mailboxes.iter().filter_map(|mailbox| mailbox.source.folder()).map(str::to_owned).collect(),
            people: config.files.people.as_deref().and_then(named),
        };
        let authserv_ids = config.mailboxes.iter().flat_map(|mailbox| mailbox.authserv_ids.iter().cloned()).collect();
        Self { directory: config.files.rules.clone(), known, limits: config.limits.clone(), authserv_ids }
    }

    /// Reads, checks and tests the rules of a directory.
    ///
    /// # Errors
    /// As `RuleSet::load`.
    pub fn load(&self, directory: &Path) -> Result<RuleSet, Vec<Diagnostic>> {
        RuleSet::load(directory, &self.known, &|path| self.sample(path))
    }

    /// Runs the tests inside the rules of a directory, or inside one file that stands alone then.
    ///
    /// # Errors
    /// Everything wrong with the files, each with its place; a failing test is no error here.
    pub fn test(&self, place: &Path) -> Result<Vec<TestResult>, Vec<Diagnostic>> {
        let (directory, texts) = if place.is_file() {
            let cannot = |why: String| vec![Diagnostic::whole(place, why, None)];
            let text = rules::read_file(place).map_err(cannot)?;
            (place.parent().unwrap_or(Path::new("")), vec![(place.to_owned(), text)])
        } else {
            (place, rules::read_files(place)?)
        };
        self.test_texts(directory, texts)
    }

    /// As `test`, of files that need not be written yet. They are looked at in the order given.
    ///
    /// # Errors
    /// As `test`.
    pub fn test_texts(
        &self,
        directory: &Path,
        texts: Vec<(PathBuf, String)>,
    ) -> Result<Vec<TestResult>, Vec<Diagnostic>> {
        let set = RuleSet::compile(directory, texts, &self.known)?;
        Ok(set.run_tests(&|path| self.sample(path)))
    }

    fn sample(&self, path: &Path) -> Result<Message, String> {
        let raw = std::fs::read(path).map_err(|error| format!("read {}: {error}", path.display()))?;
        let options = mime::Options { limits: &self.limits, authserv_ids: &self.authserv_ids };
        mime::parse(&raw, &options).map_err(|error| format!("{}: {}", error.reason, error.details))
    }
}

/// Users and roles of a people file; none when it cannot be read, which its import tells.
fn named(file: &Path) -> Option<Vec<String>> {
    let customers = people::load(file).ok()?;
    let users = customers.iter().flat_map(|customer| &customer.users);
    let names = users.flat_map(|user| {
        std::iter::once(user.name.clone()).chain(user.roles.iter().map(|role| format!("role:{role}")))
    });
    Some(names.collect())
}
