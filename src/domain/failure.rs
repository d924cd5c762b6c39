//! Why something failed, in the one form that reports, pages and rules share.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How much it matters to people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Criticality {
    Low,
    Medium,
    High,
    /// Somebody may be trying something: a forged sender, another domain, a changed account.
    Security,
}

/// The failure schema: a stable reason to filter by, details for a person, and how critical it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Stable snake_case code, such as `pdf_encrypted`.
    pub reason: String,
    /// One sentence for a person; holds no secret and no mail body.
    pub details: String,
    pub criticality: Criticality,
}

impl Failure {
    pub fn new(reason: &str, criticality: Criticality, details: impl Into<String>) -> Self {
        Self { reason: reason.to_owned(), details: details.into(), criticality }
    }

    pub fn low(reason: &str, details: impl Into<String>) -> Self {
        Self::new(reason, Criticality::Low, details)
    }

    pub fn medium(reason: &str, details: impl Into<String>) -> Self {
        Self::new(reason, Criticality::Medium, details)
    }

    pub fn high(reason: &str, details: impl Into<String>) -> Self {
        Self::new(reason, Criticality::High, details)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.details)
    }
}
