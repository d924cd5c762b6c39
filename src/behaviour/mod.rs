//! What admins write (rules, workflows, templates) as one set that is in force, and the exchange of it for another. A set
//! is never changed: whoever works with one keeps it to the end of its work, so that two are never mixed. When files are
//! looked at and who is told is left to `app`.

pub mod files;
mod load;
mod published;
mod rulebook;

use std::sync::{Arc, PoisonError, RwLock};

use chrono::{DateTime, Utc};

pub use load::load;
pub use rulebook::Rulebook;

use crate::config::diagnostic::Diagnostic;
use crate::config::workflows::Loaded;
use crate::config::workflows::presets::Presets;
use crate::domain::workflow::Workflow;
use crate::notify::templates::Templates;
use crate::rules::RuleSet;
use files::Contents;

/// One checked and tested set.
#[derive(Debug)]
pub struct Behaviour {
    pub rules: RuleSet,
    /// Every version of each workflow that runs may start with.
    pub workflows: Vec<Workflow>,
    /// The definitions as the files have them.
    pub written: Vec<Loaded>,
    pub presets: Presets,
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
        let (presets, files) = (Presets::default(), Contents::default());
        Ok(Self { rules, workflows: vec![], written: vec![], presets, templates, files })
    }

    /// The latest version of a workflow.
    pub fn workflow(&self, name: &str) -> Option<&Workflow> {
        self.workflows.iter().filter(|workflow| workflow.name == name).max_by_key(|workflow| workflow.version)
    }

    /// What `name` means for a customer: `ap-invoice`, as `workflow_for`, or that version of it, `ap-invoice@3`.
    pub fn workflow_named(&self, name: &str, customer: &str) -> Option<&Workflow> {
        match name.split_once('@') {
            None => self.workflow_for(name, customer),
            Some((name, version)) => {
                let version: u32 = version.parse().ok()?;
                let mut named = self.workflows.iter().filter(|one| one.name == name && one.is_for(customer));
                named.find(|workflow| workflow.version == version)
            }
        }
    }

    /// What a start of `name` for a customer launches: the latest version, or that of the definition that takes its place for
    /// this customer. None when there is none, or it is for others.
    pub fn workflow_for(&self, name: &str, customer: &str) -> Option<&Workflow> {
        let latest = |wanted: &dyn Fn(&&Workflow) -> bool| {
            self.workflows.iter().filter(wanted).max_by_key(|workflow| workflow.version)
        };
        let mut found = latest(&|one| one.name == name && one.is_for(customer));
        let mut name = name.to_owned();
        // The loader refuses circles; each turn goes one definition further from the one that was named.
        for _ in 0..self.workflows.len() {
            let named = |one: &str| one == customer;
            let special = latest(&|one| one.base() == Some(&name) && one.customers.iter().any(|one| named(one)));
            let Some(special) = special else { break };
            name.clone_from(&special.name);
            found = Some(special);
        }
        found
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
