//! What admins write (rules, workflows, templates) as one set that is in force, and the exchange of it for another. A set
//! is never changed: whoever works with one keeps it to the end of its work, so that two are never mixed. When files are
//! looked at and who is told is left to `app`.

pub mod files;
mod load;
mod rulebook;

use std::sync::{Arc, PoisonError, RwLock};

use chrono::{DateTime, Utc};

pub use load::load;
pub use rulebook::Rulebook;

use crate::config::diagnostic::Diagnostic;
use crate::domain::workflow::Workflow;
use crate::notify::templates::Templates;
use crate::rules::RuleSet;
use files::Contents;

/// One checked and tested set.
#[derive(Debug)]
pub struct Behaviour {
    pub rules: RuleSet,
    /// Every version of each workflow.
    pub workflows: Vec<Workflow>,
    pub templates: Templates,
    /// The files that it was made of.
    pub files: Contents,
}

impl Behaviour {
    /// Without rules and workflows: everything goes to quarantine. For commands that decide nothing.
    ///
    /// # Errors
    /// When the binary's own templates are wrong.
    pub fn none() -> Result<Self, Vec<Diagnostic>> {
        let (rules, templates) = (RuleSet::none(), Templates::load(None)?);
        Ok(Self { rules, workflows: vec![], templates, files: Contents::default() })
    }

    /// The latest version of a workflow.
    pub fn workflow(&self, name: &str) -> Option<&Workflow> {
        self.workflows.iter().filter(|workflow| workflow.name == name).max_by_key(|workflow| workflow.version)
    }

    /// A workflow by `name`, the latest version, or by `name@3`.
    pub fn workflow_named(&self, name: &str) -> Option<&Workflow> {
        match name.split_once('@') {
            None => self.workflow(name),
            Some((name, version)) => {
                let version: u32 = version.parse().ok()?;
                self.workflows.iter().find(|workflow| workflow.name == name && workflow.version == version)
            }
        }
    }

    /// How many there are of each.
    pub fn counts(&self) -> Counts {
        Counts {
            rules: self.rules.rule_names().count(),
            workflows: self.workflows.len(),
            templates: self.templates.names().count(),
        }
    }
}

/// What a set consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    pub rules: usize,
    pub workflows: usize,
    pub templates: usize,
}

/// Files that did not become the set in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    pub files: Contents,
    /// What is wrong with them; at least one.
    pub told: Vec<Diagnostic>,
}

/// Faults that are told outside the log; whoever mends those sees the rest.
const MOST_TOLD: usize = 20;

impl Refused {
    /// Its first faults, each in one line with its file and line.
    pub fn summaries(&self) -> Vec<String> {
        self.told.iter().take(MOST_TOLD).map(Diagnostic::summary).collect()
    }
}

/// The set in force, and what was refused since.
#[derive(Debug)]
pub struct Live(RwLock<State>);

#[derive(Debug)]
struct State {
    current: Arc<Behaviour>,
    refused: Option<(DateTime<Utc>, Arc<Refused>)>,
}

impl Live {
    pub fn new(behaviour: Behaviour) -> Self {
        Self(RwLock::new(State { current: Arc::new(behaviour), refused: None }))
    }

    /// The set in force now. Take it once for what belongs together.
    pub fn current(&self) -> Arc<Behaviour> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner).current)
    }

    /// What is wrong with the files as they are now, and since when; none while they are in force.
    pub fn refused(&self) -> Option<(DateTime<Utc>, Arc<Refused>)> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).refused.clone()
    }

    /// Puts another set in force.
    pub fn exchange(&self, behaviour: Behaviour) {
        let mut state = self.0.write().unwrap_or_else(PoisonError::into_inner);
        *state = State { current: Arc::new(behaviour), refused: None };
    }

    /// Keeps the set in force, although the files say something else.
    pub fn refuse(&self, refused: Refused, at: DateTime<Utc>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).refused = Some((at, Arc::new(refused)));
    }
}
