//! What came of a reply that waits for its answer, in plain sentences, on both sides. Pure.

use super::text;
use crate::domain::verdict::{Disposition, ReplyEnd};
use crate::store::messages::MessageRow;
use crate::store::reply_waits::ReplyWaitRow;

/// Of the message that waits, or waited.
pub fn waits(wait: &ReplyWaitRow) -> String {
    let (template, address) = (&wait.template, text::one_line(&wait.address));
    let until = text::instant(wait.until_at);
    let asked = format!("Our reply `{template}` asks {address}");
    match (wait.ended_as, wait.ended_at) {
        (None, _) => {
            format!("{asked}; an answer is waited for until {until}, then it goes to quarantine ({}).", wait.severity)
        }
        (Some(ReplyEnd::Answered), at) => format!("{asked}, who answered on {}.", text::maybe_instant(at)),
        (Some(ReplyEnd::Unanswered), _) => format!("{asked}, who did not answer until {until}."),
        (Some(ReplyEnd::Undelivered), at) => {
            format!("{asked}; that it did not arrive was known on {}.", text::maybe_instant(at))
        }
    }
}

/// How a message that answers stands to the other one; none when it answers none.
pub fn counts(answer: &MessageRow) -> Option<&str> {
    Some(answer.explanation.as_ref()?.answers.as_ref()?.told.as_str())
}

/// Where the message lies that an answer is for.
pub fn lies(first: &MessageRow) -> &'static str {
    match (first.verdict.as_deref(), first.disposition) {
        (Some("quarantine"), None) => "is in quarantine",
        (_, Some(Disposition::Released)) => "was released from quarantine",
        (_, Some(Disposition::Discarded)) => "was discarded",
        _ => "got our reply",
    }
}
