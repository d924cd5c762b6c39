//! Replies to mail that started nothing: when nobody answers one in time, or it never arrives, the message that it replied to
//! goes to quarantine, once. Which mail counts as the answer is `intake`'s to know.

use tracing::{error, info};

use super::ladder::{MAIL_FIRST, is_quiet};
use crate::domain::event::Event;
use crate::domain::notice::NoticeStatus;
use crate::domain::verdict::ReplyEnd;
use crate::engine::{Engine, EngineError};
use crate::store::notices::NoticeRow;
use crate::store::reply_waits::{self, ReplyWaitRow};
use crate::store::{Tx, events, mailboxes, notices};

/// Rows looked at in one tick.
const BATCH: i64 = 100;

/// Ends every wait whose time has come. Returns how many; 0 means that nothing is due. Each is a commit of its own: after a
/// crash the others are still due.
pub async fn tick(engine: &Engine) -> Result<usize, EngineError> {
    let mut tx = engine.store.read().await?;
    let due = reply_waits::due(&mut tx, engine.clock.now(), BATCH).await?;
    drop(tx);
    let mut ended = 0;
    for wait in due {
        match end_one(engine, &wait).await {
            Ok(done) => ended += usize::from(done),
            Err(error) if error.is_transient() => return Err(error),
            Err(error) => {
                error!(message.id = %wait.message_id, "its wait for an answer cannot end: {error}; tried again")
            }
        }
    }
    Ok(ended)
}

/// False when something else ended it meanwhile, or an answer may lie in the mailbox unread.
async fn end_one(engine: &Engine, wait: &ReplyWaitRow) -> Result<bool, EngineError> {
    let mut tx = engine.store.begin().await?;
    let ended = match notices::get(&mut tx, wait.notice_id).await? {
        notice if matches!(notice.status, NoticeStatus::Failed | NoticeStatus::Undelivered) => {
            let why = notice.error.unwrap_or_else(|| notice.status.to_string());
            let why = format!("our reply `{}` did not reach {}: {why}", wait.template, wait.address);
            give_up(engine, &mut tx, wait, ReplyEnd::Undelivered, &why).await?
        }
        _ if is_mail_unread(&mut tx, wait).await? => {
            info!(message.id = %wait.message_id, "mail is read before silence counts");
            reply_waits::put_off(&mut tx, wait.message_id, engine.clock.now() + MAIL_FIRST).await?;
            false
        }
        _ => {
            let why = format!("nobody answered our reply `{}` in {}", wait.template, wait.within);
            give_up(engine, &mut tx, wait, ReplyEnd::Unanswered, &why).await?
        }
    };
    tx.commit().await?;
    Ok(ended)
}

/// As for a rung of a ladder: silence is put off once.
async fn is_mail_unread(tx: &mut Tx, wait: &ReplyWaitRow) -> Result<bool, EngineError> {
    let Some(mailbox) = mailboxes::get(tx, &wait.mailbox).await? else { return Ok(false) };
    Ok(wait.due_at == wait.until_at && is_quiet(&mailbox, wait.due_at))
}

/// Our reply came back for good: its message goes to quarantine at once. Gives what was done, to be added to the reason.
pub(super) async fn came_back(
    engine: &Engine,
    tx: &mut Tx,
    notice: &NoticeRow,
    why: &str,
) -> Result<String, EngineError> {
    let Some(wait) = reply_waits::of_notice(tx, notice.id).await? else { return Ok(String::new()) };
    let told = format!("our reply `{}` did not reach {}: {why}", wait.template, wait.address);
    Ok(match give_up(engine, tx, &wait, ReplyEnd::Undelivered, &told).await? {
        true => format!("; message {} waited for its answer and is in quarantine now", wait.message_id),
        false => String::new(),
    })
}

async fn give_up(
    engine: &Engine,
    tx: &mut Tx,
    wait: &ReplyWaitRow,
    ended: ReplyEnd,
    why: &str,
) -> Result<bool, EngineError> {
    let now = engine.clock.now();
    if !reply_waits::give_up(tx, wait, ended, why, now).await? {
        return Ok(false);
    }
    let event = Event::new(now, "message.unanswered", &wait.customer)
        .message(wait.message_id)
        .with("notice", wait.notice_id.to_string())
        .with("address", wait.address.as_str())
        .with("ended", ended.as_str())
        .with("verdict", "quarantine")
        .with("severity", wait.severity.as_str())
        .with("reason", why);
    events::append(tx, &event).await?;
    Ok(true)
}
