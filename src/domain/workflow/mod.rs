//! Definitions of workflows: what an admin writes, and whether it hangs together.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub mod check;
mod diff;
mod input;
mod retry;
mod schema;
mod step;
mod tell;
mod when;

pub use self::diff::diff;
pub use self::input::{Input, InputKind};
pub use self::retry::{Backoff, Retry, Timeout};
pub use self::step::{Join, Need, OnError, Step};
pub use self::tell::{Notify, Tell};
pub use self::when::{Comparison, When};

use super::calendar::Calendar;
use super::duration::Span;
use super::event::{canonical_json, sha256_hex};
use super::person::User;

/// A named, versioned definition. Every run pins the version it was launched with by `hash`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workflow {
    /// Unique name, such as `ap-invoice`.
    pub name: String,
    pub version: u32,
    #[serde(default)]
    pub title: String,
    #[serde(default)]
    pub description: String,
    /// The definition that this one was made of, as `ap-invoice@3`. All of it is resolved here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extends: Option<String>,
    /// Customers that it is for; all when empty. What extends another takes its place for these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub customers: Vec<String>,
    /// Letters before the number of a run's human id: `AP` gives `AP-000123`.
    pub prefix: String,
    /// User or role that notices about the run go to.
    #[serde(default)]
    pub owner: Option<String>,
    /// Whether a completed run may be restarted.
    #[serde(default)]
    pub restartable: bool,
    /// Users or roles that may start it by hand; every operator when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub may_start: Vec<String>,
    /// A template over `inputs`: runs with the same value are numbered by themselves, as `AP-R17-000001` for `R17`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number_by: Option<String>,
    /// Keeps runs that must not work beside each other apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<Concurrency>,
    /// How long a run may take: `30d`, or `{ soft = "20d", hard = "30d" }`.
    #[serde(default)]
    pub deadline: Option<Deadline>,
    #[serde(default)]
    pub calendar: Calendar,
    #[serde(default)]
    pub inputs: BTreeMap<String, Input>,
    /// What a step has when it says nothing itself.
    #[serde(default)]
    pub defaults: Defaults,
    /// Who is told of the run; a step may say more.
    #[serde(default, skip_serializing_if = "Notify::is_empty")]
    pub notify: Notify,
    /// What a completed run gives, by templates: to a run above it, to `explain` and to events.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub outputs: Map<String, Value>,
    #[serde(default, rename = "step")]
    pub steps: Vec<Step>,
}

/// At most so many runs with the same key, of one workflow and customer, are under way at the same time; the others stay
/// queued, in the order of their launch. A run is under way until it ends, also while it waits for people. One that is launched
/// below a run with the same key shares its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Concurrency {
    /// A template over `inputs`.
    pub key: String,
    #[serde(default = "one")]
    pub width: u32,
}

fn one() -> u32 {
    1
}

/// How long a run may take, from its launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "DeadlineForm", into = "DeadlineForm")]
pub struct Deadline {
    /// Only tells people.
    pub soft: Option<Span>,
    /// Fails the run.
    pub hard: Option<Span>,
}

/// As it is written.
#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "a span such as \"30d\", or a table with `soft` and `hard`")]
enum DeadlineForm {
    Hard(Span),
    Both(BothDeadlines),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BothDeadlines {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    soft: Option<Span>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hard: Option<Span>,
}

impl From<DeadlineForm> for Deadline {
    fn from(form: DeadlineForm) -> Self {
        match form {
            DeadlineForm::Hard(hard) => Self { soft: None, hard: Some(hard) },
            DeadlineForm::Both(both) => Self { soft: both.soft, hard: both.hard },
        }
    }
}

impl From<Deadline> for DeadlineForm {
    fn from(deadline: Deadline) -> Self {
        match deadline {
            Deadline { soft: None, hard: Some(hard) } => Self::Hard(hard),
            Deadline { soft, hard } => Self::Both(BothDeadlines { soft, hard }),
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Defaults {
    pub retry: Option<Retry>,
    pub timeout: Option<Timeout>,
}

/// A hard timeout where nobody wrote one: for an attempt that works, not for one that waits.
pub const DEFAULT_WORK_TIMEOUT: Span = Span::from_secs(300);

impl Workflow {
    /// SHA-256 (hex) of the definition: two files that mean the same have the same hash.
    pub fn hash(&self) -> String {
        sha256_hex(canonical_json(&serde_json::to_value(self).unwrap_or_default()).as_bytes())
    }

    /// `ap-invoice@3`
    pub fn label(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }

    /// Name of the definition that this one extends.
    pub fn base(&self) -> Option<&str> {
        self.extends.as_deref().map(|base| base.split_once('@').map_or(base, |(name, _)| name))
    }

    /// Whether runs of a customer may use it.
    pub fn is_for(&self, customer: &str) -> bool {
        self.customers.is_empty() || self.customers.iter().any(|one| one == customer)
    }

    /// A step by its name, or by the name of one of its instances: `line[3]` is of `line`.
    pub fn step(&self, name: &str) -> Option<&Step> {
        let name = name.split_once('[').map_or(name, |(step, _)| step);
        self.steps.iter().find(|step| step.name == name)
    }

    /// Whether `step` starts only when the step `earlier` is over: it needs it, or is where its failure leads.
    pub fn comes_after(&self, step: &Step, earlier: &str) -> bool {
        let leads_here = |failed: &Step| matches!(&failed.on_error, OnError::GoTo(target) if *target == step.name);
        step.needs().any(|need| need.step == earlier) || self.step(earlier).is_some_and(leads_here)
    }

    /// When a run that starts at `start` fails for taking too long; never when none.
    pub fn deadline_after(&self, start: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.deadline?.hard.map(|span| start + span.delta())
    }

    pub fn retry_of(&self, step: &Step) -> Retry {
        step.retry.clone().or_else(|| self.defaults.retry.clone()).unwrap_or_default()
    }

    /// The hard timeout written for a step, if any.
    pub fn timeout_of(&self, step: &Step) -> Option<Span> {
        step.timeout.or(self.defaults.timeout).and_then(|timeout| timeout.hard)
    }

    /// After how long people are told that a step is not done, if ever.
    pub fn soft_timeout_of(&self, step: &Step) -> Option<Span> {
        step.timeout.or(self.defaults.timeout).and_then(|timeout| timeout.soft)
    }

    /// Whether this user may start it by hand.
    pub fn may_start(&self, user: &User) -> bool {
        let is_meant = |name: &String| match name.strip_prefix("role:") {
            Some(role) => user.roles.iter().any(|known| known == role),
            None => user.name == *name,
        };
        self.may_start.is_empty() || self.may_start.iter().any(is_meant)
    }

    /// The longest silence of a step's agent, if one is written.
    pub fn heartbeat_of(&self, step: &Step) -> Option<Span> {
        step.timeout.or(self.defaults.timeout).and_then(|timeout| timeout.heartbeat)
    }
}
