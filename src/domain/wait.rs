//! The one kind of pause: what is asked of whom, the ladder of what happens in silence, and what ends it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::duration::Span;
use super::failure::Failure;
use super::notice::Draft;
use super::words::words;

words! {
    /// What a wait is for.
    WaitKind {
        Approval = "approval", Reply = "reply", Timer = "timer", External = "external", Operator = "operator",
    }
}

words! {
    /// Where a wait is. Only `open` can change, and only once.
    WaitStatus {
        Open = "open", Answered = "answered",
        /// Its time ran out.
        Expired = "expired",
        /// Its run was killed, failed or restarted; its tokens are dead.
        Void = "void",
    }
}

words! {
    /// How an answer reached us.
    Channel {
        Mail = "mail", Link = "link", Cli = "cli", Timer = "timer",
    }
}

/// What an agent asks for when it returns `Outcome::Wait`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WaitRequest {
    pub kind: WaitKind,
    /// What is asked, in a few words: "approve invoice 4711 over 1,200.00 EUR".
    pub question: String,
    /// Names of users, or an address for somebody outside, that may answer.
    pub asked: Vec<Asked>,
    /// Facts shown to them; bound to the answer by hash.
    pub facts: Map<String, Value>,
    /// Told at once, one for each person.
    pub notices: Vec<Draft>,
    pub ladder: Vec<Rung>,
    /// Who is asked at once when none of them can be reached, where the ladder has nobody.
    pub fallback: Option<Fallback>,
    /// For `timer`: when it ends by itself.
    pub until: Option<DateTime<Utc>>,
}

/// Somebody whose answer counts. A person is bound to the address that was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// User name, or the address itself for somebody outside.
    pub person: String,
    pub address: String,
}

/// Others to ask, and what they are told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fallback {
    pub to: Vec<Asked>,
    pub notices: Vec<Draft>,
}

/// One rung of the ladder: what happens when nobody has answered `after` the wait opened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rung {
    /// Since the wait was opened, before the business calendar moves it.
    pub after: Span,
    /// When, with the calendar applied. Filled in when the wait is opened.
    #[serde(default)]
    pub at: Option<DateTime<Utc>>,
    #[serde(flatten)]
    pub action: RungAction,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "lowercase")]
pub enum RungAction {
    /// Tell everybody who is asked once more.
    Remind { notices: Vec<Draft> },
    /// Ask others as well, or instead; with `replace` the tokens of those asked before die.
    Escalate { to: Vec<Asked>, replace: bool, notices: Vec<Draft> },
    /// Give up: the step fails with this.
    Expire { failure: Failure },
}

impl RungAction {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Remind { .. } => "remind",
            Self::Escalate { .. } => "escalate",
            Self::Expire { .. } => "expire",
        }
    }
}

words! {
    /// What somebody said.
    Choice {
        Approve = "approve",
        Reject = "reject",
        /// Supplied what was asked for.
        Supply = "supply",
        /// The time came (timers), or an operator went on.
        Proceed = "proceed",
    }
}

/// An answer that may end a wait.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Who: a user name, an address, or `countersign` for a timer.
    pub by: String,
    pub choice: Choice,
    pub comment: Option<String>,
    pub via: Channel,
    /// How the sender was verified, in words.
    pub verified: String,
    /// What came along: documents of a reply, for the step's output.
    #[serde(default)]
    pub output: Map<String, Value>,
}

words! {
    /// What an answer did. Everything said is recorded, whatever it did.
    Effect {
        /// It ended the wait.
        Decided = "decided",
        /// The same person said the same again.
        Repeated = "repeated",
        /// Somebody was first, or the wait is over.
        Late = "late",
        /// It said something, but nothing that decides.
        Comment = "comment",
        /// It could be read in two ways; asked again.
        Ambiguous = "ambiguous",
        /// The sender was not the person asked, or not proven to be.
        Refused = "refused",
    }
}
