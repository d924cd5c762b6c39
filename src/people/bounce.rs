//! Our own mail that came back: its notice is marked, and when nobody who is asked can be reached any more, others are asked
//! now and not at the deadline. That the report is about a mail of ours is `intake`'s to know.

use super::{ladder, unanswered};
use crate::domain::event::Event;
use crate::domain::failure::Failure;
use crate::domain::ids::MessageId;
use crate::domain::message::Bounce;
use crate::domain::wait::{Asked, WaitStatus};
use crate::engine::decide::Ending;
use crate::engine::{Engine, EngineError};
use crate::store::notices::NoticeRow;
use crate::store::runs::RunRow;
use crate::store::waits::WaitRow;
use crate::store::{Tx, events, notices, runs, waits};

/// A delivery report about a notice of ours.
#[derive(Debug)]
pub struct Returned<'a> {
    pub id: MessageId,
    pub bounce: &'a Bounce,
    pub notice: &'a NoticeRow,
}

/// Hears a delivery report inside the transaction that writes its message; poke `work` after the commit. Gives what came of
/// it, for the ledger. A second report about the same notice does nothing.
pub async fn hear(engine: &Engine, tx: &mut Tx, returned: &Returned<'_>) -> Result<String, EngineError> {
    let Returned { bounce, notice, .. } = returned;
    // Under the lock, so that no answer and no rung of the ladder comes between.
    let run = match notice.run_id {
        Some(id) => Some(runs::lock(tx, id).await?),
        None => None,
    };
    let code = [bounce.action.as_str(), bounce.status.as_str()].join(" ");
    let why = format!("came back: {}", code.trim());
    if !bounce.is_permanent() {
        notices::note_delay(tx, notice.id, &why).await?;
        tell(engine, tx, returned).await?;
        return Ok(format!("our mail to {} is not delivered yet ({})", notice.person, code.trim()));
    }
    let told = format!("our mail to {} was not delivered ({})", notice.person, code.trim());
    if !notices::mark_undelivered(tx, notice.id, &why).await? {
        return Ok(format!("{told}, as we knew"));
    }
    tell(engine, tx, returned).await?;
    let (Some(run), Some(wait)) = (run, notice.wait_id) else {
        return Ok(format!("{told}{}", unanswered::came_back(engine, tx, notice, &why).await?));
    };
    let wait = waits::get(tx, wait).await?;
    Ok(format!("{told}{}", ask_others(engine, tx, &run, &wait, returned).await?))
}

async fn tell(engine: &Engine, tx: &mut Tx, returned: &Returned<'_>) -> Result<(), EngineError> {
    let Returned { id, bounce, notice } = returned;
    let mut event = Event::new(engine.clock.now(), "notice.bounced", &notice.customer)
        .message(*id)
        .with("notice", notice.id.to_string())
        .with("person", notice.person.as_str())
        .with("action", bounce.action.as_str())
        .with("status", bounce.status.as_str());
    event.run = notice.run_id;
    Ok(events::append(tx, &event).await?)
}

/// Asks others when nobody who is asked can be reached. Gives what was done, to be added to the reason.
async fn ask_others(
    engine: &Engine,
    tx: &mut Tx,
    run: &RunRow,
    wait: &WaitRow,
    returned: &Returned<'_>,
) -> Result<String, EngineError> {
    let notice = returned.notice;
    let is_asked = wait.asked.iter().any(|asked| asked.address.eq_ignore_ascii_case(&notice.address));
    let is_live = wait.status == WaitStatus::Open && !run.status.is_final() && wait.generation == run.generation;
    if !is_live || !is_asked {
        return Ok(String::new());
    }
    let gone = notices::unreachable(tx, wait.id).await?;
    let is_reachable = |asked: &&Asked| !gone.iter().any(|address| address.eq_ignore_ascii_case(&asked.address));
    let left: Vec<&str> = wait.asked.iter().filter(is_reachable).map(|asked| asked.person.as_str()).collect();
    if !left.is_empty() {
        return Ok(format!("; {} can still answer", left.join(", ")));
    }
    if ladder::escalate_now(engine, tx, run, wait, notice).await? {
        let asked: Vec<String> = waits::get(tx, wait.id).await?.asked.0.into_iter().map(|asked| asked.person).collect();
        return Ok(format!("; asked now: {}", asked.join(", ")));
    }
    let details =
        format!("our mail to {} came back, and there is nobody else to ask: {}", notice.person, wait.question);
    engine.decide(tx, wait.id, Ending::Expire(Failure::high("nobody_reachable", details)), None).await?;
    Ok("; there is nobody else to ask".to_owned())
}
