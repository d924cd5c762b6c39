//! What becomes of a message, and why.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::also::{Also, Deed};
use super::document::DocumentRef;
use super::duration::Span;
use super::ids::{MessageId, TransactionId};
use super::message::Part;
use super::words::words;

words! {
    /// How urgent a quarantined message is.
    Severity { Low = "low", Medium = "medium", High = "high" }
}

words! {
    /// What a person made of a quarantined message.
    Disposition { Released = "released", Discarded = "discarded" }
}

words! {
    /// What ended the wait for an answer to a reply.
    ReplyEnd {
        Answered = "answered",
        Unanswered = "unanswered",
        /// The reply never reached whom it asked.
        Undelivered = "undelivered",
    }
}

/// What becomes of a message. The reason stands beside it in `Decision`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "lowercase")]
pub enum Verdict {
    /// Launch these runs, all in one commit; at least one.
    #[serde(with = "starts")]
    Start(Vec<Start>),
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
        /// None: an answer is a message like any other.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        wait: Option<AnswerWait>,
    },
}

/// How long the answer to a reply is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerWait {
    pub within: Span,
    /// Of the quarantine when nobody answers.
    pub severity: Severity,
}

/// One run that a message starts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Start {
    pub workflow: String,
    pub inputs: Map<String, Value>,
    /// SHA-256 (hex) of the documents that it takes, the one that names the group first. No two starts of a message have the
    /// same first one. Empty: it is about the message as a whole.
    #[serde(default)]
    pub documents: Vec<String>,
}

/// `{"starts": […]}`; what an older version wrote, `{"workflow": …, "inputs": …}`, is one start.
mod starts {
    use serde::{Deserializer, Serializer};

    use super::{Deserialize, Serialize, Start};

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Written<T> {
        Many { starts: T },
        One(Start),
    }

    pub fn serialize<S: Serializer>(starts: &[Start], to: S) -> Result<S::Ok, S::Error> {
        Written::Many { starts }.serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Start>, D::Error> {
        Ok(match Written::deserialize(from)? {
            Written::Many { starts } => starts,
            Written::One(start) => vec![start],
        })
    }
}

impl Verdict {
    /// Names of the workflows that it starts, one for each run, in order.
    pub fn workflows(&self) -> impl Iterator<Item = &str> {
        let starts = match self {
            Self::Start(starts) => starts.as_slice(),
            _ => &[],
        };
        starts.iter().map(|start| start.workflow.as_str())
    }

    pub fn name(&self) -> &'static str {
        match self {
            Self::Start(_) => "start",
            Self::Resume => "resume",
            Self::Ignore => "ignore",
            Self::Quarantine { .. } => "quarantine",
            Self::Reply { .. } => "reply",
        }
    }

    /// How long an answer is waited for; none but for a reply that does.
    pub fn wait(&self) -> Option<AnswerWait> {
        match self {
            Self::Reply { wait, .. } => *wait,
            _ => None,
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
    /// What each run takes, where the rule divides the documents among runs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub taken: Vec<Taken>,
    /// Names of documents that no run takes, though others are taken.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<String>,
    /// The message that it answers, by a reply of ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answers: Option<AnswersReply>,
    /// What the rules saw.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub facts: Map<String, Value>,
}

/// What it means for a message that it answers our reply to another one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AnswersReply {
    /// The message that we replied to.
    pub message: MessageId,
    /// In words.
    pub told: String,
    /// What both are screened with as one; none when the answer does not count, and so is screened alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joined: Option<Joined>,
}

/// What the messages before an answer bring to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Joined {
    /// That of the first of them; the answer's documents belong to it too.
    pub transaction: TransactionId,
    /// The latest first.
    pub messages: Vec<MessageId>,
    /// All but bodies and decoration.
    pub parts: Vec<Part>,
    /// Those of `parts` that are documents, in the same order, as they lie in the store.
    pub documents: Vec<DocumentRef>,
    /// Whether the author of each of them was proven.
    pub proven: bool,
    /// As it was for the first of them.
    pub first_time_sender: Option<bool>,
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

impl Explanation {
    /// Nothing else is done for a rule whose verdict cannot be carried out. Whoever releases the message gets it done.
    pub fn leave_undone(&mut self) {
        for also in &mut self.also {
            also.not_done = Some("the verdict could not be carried out".to_owned());
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SignalHit {
    pub signal: String,
    pub points: i64,
    pub because: String,
}

/// What one run takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    pub workflow: String,
    /// Names of its documents.
    pub documents: Vec<String>,
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn starts_are_written_as_a_list_and_what_was_written_as_one_is_still_read() {
        let start = |workflow: &str, documents: &[&str]| Start {
            workflow: workflow.into(),
            inputs: Map::from_iter([("n".to_owned(), json!(1))]),
            documents: documents.iter().map(|hash| (*hash).to_owned()).collect(),
        };
        let verdict = Verdict::Start(vec![start("a", &["12"]), start("b", &[])]);
        let written = json!({"verdict": "start", "starts": [
            {"workflow": "a", "inputs": {"n": 1}, "documents": ["12"]},
            {"workflow": "b", "inputs": {"n": 1}, "documents": []},
        ]});
        assert_eq!(serde_json::to_value(&verdict).unwrap(), written);
        assert_eq!(serde_json::from_value::<Verdict>(written).unwrap(), verdict);
        let before = json!({"verdict": "start", "workflow": "a", "inputs": {"n": 1}});
        assert_eq!(serde_json::from_value::<Verdict>(before.clone()).unwrap(), Verdict::Start(vec![start("a", &[])]));
        let mut decision = before;
        decision["reason"] = json!("r");
        decision["explanation"] = json!({});
        let decision: Decision = serde_json::from_value(decision).unwrap();
        assert_eq!(decision.verdict.workflows().collect::<Vec<_>>(), ["a"]);
        assert!(serde_json::from_value::<Verdict>(json!({"verdict": "start"})).is_err());
    }
}
