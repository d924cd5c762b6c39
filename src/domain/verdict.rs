//! What becomes of a message, and why.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::also::{Also, Deed};
use super::words::words;

words! {
    /// How urgent a quarantined message is.
    Severity { Low = "low", Medium = "medium", High = "high" }
}

words! {
    /// What a person made of a quarantined message.
    Disposition { Released = "released", Discarded = "discarded" }
}

/// What becomes of a message. The reason stands beside it in `Decision`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "lowercase")]
pub enum Verdict {
    /// Launch a workflow with these inputs.
    Start {
        workflow: String,
        inputs: Map<String, Value>,
    },
    /// It answers a wait of ours and goes to `people`.
    Resume,
    Ignore,
    /// Kept with its raw bytes until a person looks at it.
    Quarantine {
        severity: Severity,
    },
    /// Answer the sender by template; nothing starts.
    Reply {
        template: String,
    },
}

impl Verdict {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Start { .. } => "start",
            Self::Resume => "resume",
            Self::Ignore => "ignore",
            Self::Quarantine { .. } => "quarantine",
            Self::Reply { .. } => "reply",
        }
    }

    /// How urgent it is; none but for a quarantine.
    pub fn severity(&self) -> Option<Severity> {
        match self {
            Self::Quarantine { severity } => Some(*severity),
            _ => None,
        }
    }
}

/// A verdict with its reason and the whole explanation, kept for every message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    #[serde(flatten)]
    pub verdict: Verdict,
    /// One sentence for a person.
    pub reason: String,
    pub explanation: Explanation,
}

impl Decision {
    pub fn new(verdict: Verdict, reason: impl Into<String>, explanation: Explanation) -> Self {
        Self { verdict, reason: reason.into(), explanation }
    }

    /// A decision taken before any rule.
    pub fn by_guard(guard: &str, verdict: Verdict, reason: impl Into<String>) -> Self {
        Self::new(verdict, reason, Explanation { guard: Some(guard.to_owned()), ..Default::default() })
    }
}

/// Why a message went where it went and what would have changed it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Explanation {
    /// The guard that decided before any rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guard: Option<String>,
    /// Hash of the rule set that screened it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ruleset: Option<String>,
    /// The rule that matched; none for a guard or the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    pub score: i64,
    /// Signals that gave points.
    pub signals: Vec<SignalHit>,
    /// Every rule looked at, in file order, up to the match.
    ///
    /// Of a large set only the match, the nearest miss and those that failed; the others are `passed_over`.
    pub rules: Vec<RuleTrace>,
    /// The other rules of a large set, by the condition that ruled them out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub passed_over: Vec<PassedOver>,
    /// "would have matched `ap-known` if dmarc were pass".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nearest_miss: Option<String>,
    /// What the rule has done besides the verdict.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<Also>,
    /// What the rules saw.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub facts: Map<String, Value>,
}

impl Explanation {
    /// The folder that the rule has the mail moved to.
    pub fn folder(&self) -> Option<&str> {
        self.also.iter().find_map(|also| match &also.deed {
            Deed::Move { folder } if also.not_done.is_none() => Some(folder.as_str()),
            _ => None,
        })
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SignalHit {
    pub signal: String,
    pub points: i64,
    pub because: String,
}

/// Rules that one condition ruled out, each by its own values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassedOver {
    /// Key of the condition: `subject`.
    pub condition: String,
    /// Names.
    pub rules: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RuleTrace {
    pub rule: String,
    /// `file:line` of the rule.
    pub at: String,
    pub matched: bool,
    /// Each condition looked at, in words: what held, what did not, what is unknown.
    pub conditions: Vec<ConditionTrace>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConditionTrace {
    pub condition: String,
    pub held: bool,
    /// What was wanted and what the message had.
    pub because: String,
}
