//! Answers to replies of ours that wait: whose counts, what the messages before bring to it, and how the wait ends with it.

use chrono::{DateTime, Utc};

use super::IntakeError;
use super::case::Case;
use crate::domain::document::DocumentRef;
use crate::domain::ids::{MessageId, NoticeId};
use crate::domain::message::{Automatic, Message, PartRole, append};
use crate::domain::person::{Address, Customer};
use crate::domain::verdict::{AnswerWait, AnswersReply, Decision, Joined, ReplyEnd, Verdict};
use crate::store::messages::{self, MessageRow};
use crate::store::notices::NoticeRow;
use crate::store::reply_waits::{self, ReplyWaitRow};
use crate::store::{Tx, reports};

/// Most replies of ours that one matter is followed through.
const MOST: usize = 20;

/// A message that answers our reply to another one, and whether it counts.
pub(super) async fn find(
    tx: &mut Tx,
    notice: &NoticeRow,
    row: &MessageRow,
    message: &Message,
    customer: &Customer,
) -> Result<Option<AnswersReply>, IntakeError> {
    let Some(mut wait) = reply_waits::of_notice(tx, notice.id).await? else { return Ok(None) };
    // Whoever answered, was replied to again, and answers the first of our mails, means the last.
    for _ in 0..MOST {
        let Some(by) = wait.answered_by.filter(|by| *by != row.id) else { break };
        let Some(next) = reply_waits::of_message(tx, by).await? else { break };
        wait = next;
    }
    let told = refuse(&wait, row, message, customer);
    let joined = match &told {
        None => Some(joined(tx, &wait).await?),
        Some(_) => None,
    };
    let told = told.unwrap_or_else(|| {
        format!(
            "it answers our reply `{}` to message {}, and is screened with it as one",
            wait.template, wait.message_id
        )
    });
    Ok(Some(AnswersReply { message: wait.message_id, told, joined }))
}

/// Why it does not count.
fn refuse(wait: &ReplyWaitRow, row: &MessageRow, message: &Message, customer: &Customer) -> Option<String> {
    let first = wait.message_id;
    if let Some(automatic @ (Automatic::Reply | Automatic::Bulk)) = message.automatic {
        return Some(format!(
            "{automatic}: a machine wrote it, so it does not count as the answer to our reply to message {first}"
        ));
    }
    let asked = Address::new(&wait.address);
    let may_speak = |author: &&Address| author.same_as(&wait.address) || customer.are_colleagues(author, &asked);
    if message.author().filter(may_speak).is_none() {
        let who = message.author().map_or("somebody without a usable From", |author| author.address.as_str());
        return Some(format!(
            "{who} answers our reply to message {first}, which asked {}: screened alone",
            wait.address
        ));
    }
    // When the server received it; where its clock is ahead of ours, when we saw it.
    let came = row.received_at.unwrap_or(row.listed_at).min(row.listed_at);
    match wait.ended_as {
        Some(ReplyEnd::Answered) if wait.answered_by != Some(row.id) => {
            let by = wait.answered_by.map(|by| format!(", message {by}")).unwrap_or_default();
            return Some(format!("our reply to message {first} had its answer before{by}: screened alone"));
        }
        Some(ReplyEnd::Unanswered | ReplyEnd::Undelivered) => {}
        Some(ReplyEnd::Answered) | None if came <= wait.until_at => return None,
        Some(ReplyEnd::Answered) | None => {}
    }
    let until = wait.until_at.format("%Y-%m-%d %H:%M UTC");
    Some(format!(
        "it came late: our reply to message {first} waited until {until}, and that message goes to quarantine; screened alone"
    ))
}

/// The message that waits, with those before it in the same matter.
async fn joined(tx: &mut Tx, wait: &ReplyWaitRow) -> Result<Joined, IntakeError> {
    let first = messages::get(tx, wait.message_id).await?;
    let mail = reports::facts(tx, first.id).await?.unwrap_or_default();
    let explanation = first.explanation.map(|explanation| explanation.0).unwrap_or_default();
    let known = |fact: &str| explanation.facts.get(fact).and_then(serde_json::Value::as_bool);
    let before = explanation.answers.as_ref().and_then(|answers| answers.joined.clone());
    let proven = mail.author().is_some_and(|author| mail.authentication.proves(author).is_some());
    let stored = messages::parts(tx, first.id).await?;
    let mut parts = mail.parts;
    parts.retain(|part| !matches!(part.role, PartRole::Body | PartRole::Decoration));
    let documents = parts.iter().filter(|part| part.role == PartRole::Document).filter_map(|part| {
        let stored = stored.iter().find(|stored| u32::try_from(stored.idx) == Ok(part.index))?;
        Some(DocumentRef {
            path: stored.path.clone(),
            name: part.name.clone().unwrap_or_else(|| part.stored_name()),
            kind: part.kind,
            sha256: part.sha256.clone(),
            size_bytes: part.size_bytes,
        })
    });
    let documents: Vec<_> = documents.collect();
    let own = Joined {
        transaction: first.transaction_id,
        messages: vec![first.id],
        parts,
        documents,
        proven,
        first_time_sender: known("first_time_sender"),
    };
    Ok(match before {
        Some(before) => follow(own, before),
        None => own,
    })
}

/// A message with those before it.
fn follow(mut own: Joined, before: Joined) -> Joined {
    own.messages.extend(before.messages);
    append(&mut own.parts, &before.parts);
    own.documents.extend(before.documents);
    Joined {
        transaction: before.transaction,
        proven: own.proven && before.proven,
        first_time_sender: before.first_time_sender,
        ..own
    }
}

/// The wait of a message for the answer to our reply, which begins now.
pub(super) async fn begin(
    tx: &mut Tx,
    case: &Case<'_>,
    (notice, template): (NoticeId, &str),
    wait: AnswerWait,
    now: DateTime<Utc>,
) -> Result<ReplyWaitRow, IntakeError> {
    let until_at = now + wait.within.delta();
    let row = ReplyWaitRow {
        message_id: case.row.id,
        customer: case.row.customer.clone(),
        mailbox: case.mailbox.name.clone(),
        notice_id: notice,
        address: case.message.author().map(|author| author.address.clone()).unwrap_or_default(),
        template: template.to_owned(),
        within: wait.within.to_string(),
        severity: wait.severity,
        until_at,
        due_at: until_at,
        ended_as: None,
        ended_at: None,
        answered_by: None,
    };
    reply_waits::insert(tx, &row).await?;
    Ok(row)
}

/// Ends the wait that a message answers. What rules ignore, and what a guard settles, answers nothing: silence still counts.
pub(super) async fn end(
    tx: &mut Tx,
    case: &Case<'_>,
    decision: &Decision,
    now: DateTime<Utc>,
) -> Result<(), IntakeError> {
    let Some(answers) = case.answers_reply.as_ref().filter(|answers| answers.joined.is_some()) else { return Ok(()) };
    if decision.explanation.guard.is_some() || decision.verdict == Verdict::Ignore {
        return Ok(());
    }
    match reply_waits::answer(tx, answers.message, case.row.id, now).await? {
        true => Ok(()),
        false => Err(over(answers.message)),
    }
}

fn over(first: MessageId) -> IntakeError {
    IntakeError::Message(format!("message {first} stopped waiting for this answer meanwhile; look again"))
}
