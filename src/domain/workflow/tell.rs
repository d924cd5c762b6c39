//! Who is told what about a run and its steps.

use serde::{Deserialize, Serialize};

/// What people are told of. What a step says goes before what its workflow says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Notify {
    /// A step, or the run, is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion: Option<Tell>,
    /// An attempt failed and there will be another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<Tell>,
    /// A soft timeout or deadline has passed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Tell>,
    /// A step, or the run, failed for good. The owner is told of a failed run even where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Tell>,
}

impl Notify {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What is told, with the key that it stands under.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, &Tell)> {
        let all = [
            ("completion", &self.completion),
            ("retry", &self.retry),
            ("timeout", &self.timeout),
            ("failure", &self.failure),
        ];
        all.into_iter().filter_map(|(when, tell)| Some((when, tell.as_ref()?)))
    }
}

/// A notice to people.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tell {
    /// Users, roles (`role:finance`) or addresses; the owner when empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<String>,
    /// `notify` where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
}
