//! What a rule has done besides its verdict.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One thing that happens besides a verdict, in JSON as in a rule file: `{"forward": "legal@acme.example"}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Deed {
    /// The mail as it was received goes to this address, attached to a notice.
    Forward { forward: String },
    /// The mail goes to this folder of its mailbox, instead of what the mailbox has done with mail that is dealt with.
    Move {
        #[serde(rename = "move")]
        folder: String,
    },
    /// The message is kept under this word.
    Tag { tag: String },
    /// A user, everybody with a `role:`, or an address is told by a template.
    Notify { notify: String, template: String },
}

impl Deed {
    fn done(&self) -> String {
        match self {
            Self::Forward { forward } => format!("forwarded to {forward}"),
            Self::Move { folder } => format!("moved to folder {folder}"),
            Self::Tag { tag } => format!("tagged {tag}"),
            Self::Notify { notify, .. } => format!("told {notify}"),
        }
    }
}

/// As a wish: `forward to legal@acme.example`.
impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forward { forward } => write!(f, "forward to {forward}"),
            Self::Move { folder } => write!(f, "move to folder {folder}"),
            Self::Tag { tag } => write!(f, "tag {tag}"),
            Self::Notify { notify, template } => write!(f, "tell {notify} by {template}"),
        }
    }
}

/// A deed with what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Also {
    #[serde(flatten)]
    pub deed: Deed,
    /// Why it was not done; none while nobody tried, and when it was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_done: Option<String>,
}

impl Also {
    /// `forwarded to legal@acme.example`, `not tagged contract: …`.
    pub fn told(&self) -> String {
        match &self.not_done {
            None => self.deed.done(),
            Some(why) => format!("not {}: {why}", self.deed.done()),
        }
    }
}

impl From<Deed> for Also {
    fn from(deed: Deed) -> Self {
        Self { deed, not_done: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_besides_is_kept_as_it_is_written() {
        let check = |json: &str, told: &str| {
            let also: Also = serde_json::from_str(json).unwrap();
            assert_eq!(also.told(), told);
            assert_eq!(serde_json::to_string(&also).unwrap(), json);
        };
        check(r#"{"forward":"legal@acme.example"}"#, "forwarded to legal@acme.example");
        check(r#"{"move":"Contracts"}"#, "moved to folder Contracts");
        check(r#"{"tag":"contract","not_done":"why"}"#, "not tagged contract: why");
        check(r#"{"notify":"role:finance","template":"rule-note"}"#, "told role:finance");
    }
}
