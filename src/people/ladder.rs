//! Silence: reminders, then others are asked, then the wait expires. After a downtime only the latest rung counts.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use tracing::info;

use crate::domain::event::Event;
use crate::domain::ids::{RunId, WaitId};
use crate::domain::notice::Draft;
use crate::domain::run::RunStatus;
use crate::domain::wait::{Asked, Rung, RungAction, WaitKind, WaitStatus};
use crate::engine::decide::Ending;
use crate::engine::timers::stands_alone;
use crate::engine::{Engine, EngineError};
use crate::store::mailboxes::MailboxRow;
use crate::store::notices::NoticeRow;
use crate::store::runs::RunRow;
use crate::store::waits::WaitRow;
use crate::store::{Tx, events, mailboxes, notices, runs, tokens, waits, workflows};

/// Rows looked at in one tick.
const BATCH: i64 = 100;

/// What people still get after we were down across every rung before the last.
const GRACE: TimeDelta = TimeDelta::hours(24);

/// A mailbox that was read this long before a rung came due, and not since, was not being watched.
const QUIET: TimeDelta = TimeDelta::minutes(5);

/// What reading the mail of a downtime may take before people are reminded of what they have answered.
pub(super) const MAIL_FIRST: TimeDelta = TimeDelta::minutes(15);

/// Climbs every rung that is due. Returns how many; 0 means that nothing is due.
pub async fn tick(engine: &Engine) -> Result<usize, EngineError> {
    let mut tx = engine.store.read().await?;
    let due = waits::due(&mut tx, engine.clock.now(), BATCH).await?;
    drop(tx);
    let mut climbed = 0;
    for wait in due.into_iter().filter(|wait| wait.kind != WaitKind::Timer) {
        let one = climb_one(engine, wait.run_id, wait.id).await;
        climbed += usize::from(stands_alone(&wait.run_id, one)?);
    }
    if climbed > 0 {
        engine.work.notify_waiters();
    }
    Ok(climbed)
}

/// Climbs what is due of one wait. False when nothing is any more.
async fn climb_one(engine: &Engine, run: RunId, wait: WaitId) -> Result<bool, EngineError> {
    let now = engine.clock.now();
    let mut tx = engine.store.begin().await?;
    let run = runs::lock(&mut tx, run).await?;
    let wait = waits::get(&mut tx, wait).await?;
    if wait.status != WaitStatus::Open || wait.due_at.is_none_or(|at| at > now) || run.status.is_final() {
        return Ok(false);
    }
    if is_mail_unread(&mut tx, &run, &wait).await? {
        let later = if is_last(&wait) {
            let calendar = workflows::get(&mut tx, &run.workflow_hash).await?.calendar;
            calendar.next_open(now + GRACE)
        } else {
            now + MAIL_FIRST
        };
        info!(run.id = %run.id, step.name = wait.step, "{}: mail is read before silence counts", run.name);
        waits::climb(&mut tx, wait.id, wait.rung, wait.rung, Some(later), &wait.asked).await?;
        tx.commit().await?;
        return Ok(false);
    }
    climb(engine, &mut tx, &run, &wait).await?;
    tx.commit().await?;
    Ok(true)
}

/// Whether an answer may lie in the mailbox unread, because it is held, or we or its server were away when the rung came due. A rung is put
/// off for that once, so that a mailbox that is gone for good stops nothing.
async fn is_mail_unread(tx: &mut Tx, run: &RunRow, wait: &WaitRow) -> Result<bool, EngineError> {
    let planned = usize::try_from(wait.rung).ok().and_then(|rung| wait.ladder.get(rung)).and_then(|rung| rung.at);
    let Some(due) = planned.filter(|at| wait.due_at == Some(*at)) else { return Ok(false) };
    let Some(name) = run.origin.get("mailbox").and_then(Value::as_str) else { return Ok(false) };
    let Some(mailbox) = mailboxes::get(tx, name).await? else { return Ok(false) };
    Ok(is_quiet(&mailbox, due))
}

/// Whether nothing was read of a mailbox at an instant, and since.
pub(super) fn is_quiet(mailbox: &MailboxRow, at: DateTime<Utc>) -> bool {
    // What a held mailbox lists is not read either.
    let is_unread = mailbox.health == "unhealthy" || mailbox.held_since.is_some();
    is_unread || mailbox.last_poll_at.is_some_and(|read| read + QUIET < at)
}

/// Whether the next rung gives up.
fn is_last(wait: &WaitRow) -> bool {
    let rung = usize::try_from(wait.rung).ok().and_then(|rung| wait.ladder.get(rung));
    rung.is_some_and(|rung| matches!(rung.action, RungAction::Expire { .. }))
}

async fn climb(engine: &Engine, tx: &mut Tx, run: &RunRow, wait: &WaitRow) -> Result<(), EngineError> {
    let now = engine.clock.now();
    let Some(Step { index, next, next_at }) = next_step(&wait.ladder, wait.rung, now) else {
        waits::climb(tx, wait.id, wait.rung, wait.rung, None, &wait.asked).await?;
        return Ok(());
    };
    let rung = &wait.ladder[index];
    let next_at = match next_at {
        NextAt::Planned(at) => at,
        NextAt::Grace => {
            let calendar = workflows::get(tx, &run.workflow_hash).await?.calendar;
            Some(calendar.next_open(now + GRACE))
        }
    };
    let to = i32::try_from(next).unwrap_or(i32::MAX);
    act(engine, tx, run, wait, Move { action: &rung.action, to, next_at, unreachable: None }).await
}

/// Asks those who come next at once, because nobody who is asked can be reached: by the next rung that escalates, else by
/// the wait's fallback. The caller holds the run's lock. False when nobody is left to ask.
pub(super) async fn escalate_now(
    engine: &Engine,
    tx: &mut Tx,
    run: &RunRow,
    wait: &WaitRow,
    unreachable: &NoticeRow,
) -> Result<bool, EngineError> {
    let from = usize::try_from(wait.rung).unwrap_or_default();
    let escalates = |index: &usize| matches!(wait.ladder[*index].action, RungAction::Escalate { .. });
    let unreachable = Some(unreachable);
    if let Some(index) = (from..wait.ladder.len()).find(escalates) {
        let next_at = wait.ladder.get(index + 1).and_then(|rung| rung.at);
        let to = i32::try_from(index + 1).unwrap_or(i32::MAX);
        act(engine, tx, run, wait, Move { action: &wait.ladder[index].action, to, next_at, unreachable }).await?;
        return Ok(true);
    }
    let Some(fallback) = &wait.fallback else { return Ok(false) };
    let to: Vec<Asked> = fallback.to.iter().filter(|asked| !wait.asked.contains(asked)).cloned().collect();
    if to.is_empty() {
        return Ok(false);
    }
    let action = RungAction::Escalate { to, replace: false, notices: fallback.notices.clone() };
    act(engine, tx, run, wait, Move { action: &action, to: wait.rung, next_at: wait.due_at, unreachable }).await?;
    Ok(true)
}

/// A rung as it is climbed.
struct Move<'a> {
    action: &'a RungAction,
    /// The rung after it, and when that is due.
    to: i32,
    next_at: Option<DateTime<Utc>>,
    /// The notice that came back, when it is climbed because of that and not of silence.
    unreachable: Option<&'a NoticeRow>,
}

async fn act(engine: &Engine, tx: &mut Tx, run: &RunRow, wait: &WaitRow, climbed: Move<'_>) -> Result<(), EngineError> {
    let now = engine.clock.now();
    let Move { action, to, next_at, unreachable } = climbed;
    let asked = match action {
        RungAction::Escalate { to, replace: true, .. } => to.clone(),
        RungAction::Escalate { to, replace: false, .. } => union(&wait.asked, to),
        _ => wait.asked.0.clone(),
    };
    if !waits::climb(tx, wait.id, wait.rung, to, next_at, &asked).await? {
        return Ok(());
    }
    match action {
        RungAction::Remind { notices } => tell(engine, tx, run, wait, notices, &asked).await?,
        RungAction::Escalate { notices, replace, .. } => {
            if *replace {
                tokens::void_of_wait(tx, wait.id, now).await?;
                notices::void_of_wait(tx, wait.id).await?;
            }
            let notices: Vec<Draft> = notices.iter().map(|draft| because(draft, unreachable)).collect();
            tell(engine, tx, run, wait, &notices, &asked).await?;
        }
        RungAction::Expire { failure } => {
            engine.decide(tx, wait.id, Ending::Expire(failure.clone()), None).await?;
        }
    }
    let why = if unreachable.is_some() { "our mail came back" } else { "nobody answered" };
    info!(run.id = %run.id, step.name = wait.step, "{}: {why}; {}", run.name, action.name());
    let people: Vec<_> = asked.iter().map(|asked| serde_json::Value::from(asked.person.as_str())).collect();
    let mut event = Event::new(now, "wait.climbed", &run.customer)
        .run(run.id)
        .step(&wait.step)
        .with("wait", wait.id.to_string())
        .with("action", action.name())
        .with("asked", people)
        .with("held", run.held && run.status == RunStatus::Waiting);
    if let Some(notice) = unreachable {
        event = event.with("unreachable", notice.person.as_str());
    }
    events::append(tx, &event).await?;
    Ok(())
}

/// What somebody is told who is asked because a mail came back, not because of silence.
fn because(draft: &Draft, unreachable: Option<&NoticeRow>) -> Draft {
    let mut draft = draft.clone();
    if let Some(notice) = unreachable {
        draft.data.insert("undelivered".into(), true.into());
        let told = format!("Our mail to {} came back undelivered.", notice.address);
        if let Some(Value::String(text)) = draft.data.get_mut("text") {
            *text = format!("{told} {text}");
        }
    }
    draft
}

/// The rung to climb now, and when the one after it is due.
#[derive(Debug, PartialEq)]
struct Step {
    index: usize,
    /// The rung after all that are overdue.
    next: usize,
    next_at: NextAt,
}

#[derive(Debug, PartialEq)]
enum NextAt {
    Planned(Option<DateTime<Utc>>),
    /// Not before people had a chance to react.
    Grace,
}

/// Of all rungs that are overdue only the latest is climbed; an escalation before a mere reminder, because whoever is to
/// be asked instead has to be asked. If the latest would give up although an earlier one was never climbed, the earlier one
/// is climbed and giving up waits for a grace.
fn next_step(ladder: &[Rung], from: i32, now: DateTime<Utc>) -> Option<Step> {
    let from = usize::try_from(from).ok()?;
    let is_due = |rung: &Rung| rung.at.is_some_and(|at| at <= now);
    let latest = (from..ladder.len()).rfind(|index| is_due(&ladder[*index]))?;
    let gives_up = matches!(ladder[latest].action, RungAction::Expire { .. });
    if gives_up && latest > from {
        return Some(Step { index: loudest(ladder, from, latest - 1), next: latest, next_at: NextAt::Grace });
    }
    let next_at = NextAt::Planned(ladder.get(latest + 1).and_then(|rung| rung.at));
    Some(Step { index: loudest(ladder, from, latest), next: latest + 1, next_at })
}

/// Of the rungs `from..=latest` the one that stands for all of them.
fn loudest(ladder: &[Rung], from: usize, latest: usize) -> usize {
    let reminds = matches!(ladder[latest].action, RungAction::Remind { .. });
    let escalates = |index: &usize| matches!(ladder[*index].action, RungAction::Escalate { .. });
    (from..latest).rfind(escalates).filter(|_| reminds).unwrap_or(latest)
}

async fn tell(
    engine: &Engine,
    tx: &mut Tx,
    run: &RunRow,
    wait: &WaitRow,
    drafts: &[Draft],
    asked: &[Asked],
) -> Result<(), EngineError> {
    for draft in drafts.iter().filter(|draft| asked.iter().any(|asked| asked.person == draft.person)) {
        engine.write_notice(tx, run, Some(wait), draft).await?;
    }
    Ok(())
}

fn union(before: &[Asked], more: &[Asked]) -> Vec<Asked> {
    let new = more.iter().filter(|asked| !before.contains(asked));
    before.iter().chain(new).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::duration::Span;
    use crate::domain::failure::Failure;

    fn day(days: u32) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::days(days.into())
    }

    fn ladder(remind_again: Option<u32>) -> Vec<Rung> {
        let rung = |days: u32, action| Rung { after: Span::from_secs(days * 86_400), at: Some(day(days)), action };
        let mut ladder = vec![
            rung(2, RungAction::Remind { notices: vec![] }),
            rung(4, RungAction::Escalate { to: vec![], replace: true, notices: vec![] }),
        ];
        ladder.extend(remind_again.map(|days| rung(days, RungAction::Remind { notices: vec![] })));
        ladder.push(rung(14, RungAction::Expire { failure: Failure::low("x", "x") }));
        ladder
    }

    /// What is climbed on a day, which rung comes next, and on which day; day 0 is the grace.
    fn check(ladder: &[Rung], from: i32, on: u32, expected: Option<(usize, usize, Option<u32>)>) {
        let expected = expected.map(|(index, next, days)| Step {
            index,
            next,
            next_at: match days {
                Some(0) => NextAt::Grace,
                days => NextAt::Planned(days.map(day)),
            },
        });
        assert_eq!(next_step(ladder, from, day(on)), expected, "from {from} on day {on}");
    }

    #[test]
    fn after_a_downtime_only_the_latest_rung_is_climbed_and_nobody_is_given_up_unasked() {
        let ladder = ladder(None);
        check(&ladder, 0, 1, None);
        check(&ladder, 0, 2, Some((0, 1, Some(4))));
        check(&ladder, 1, 4, Some((1, 2, Some(14))));
        check(&ladder, 0, 5, Some((1, 2, Some(14)))); // one mail, not two
        check(&ladder, 0, 20, Some((1, 2, Some(0)))); // down across everything: escalate, then a grace
        check(&ladder, 2, 20, Some((2, 3, None)));
    }

    #[test]
    fn a_later_reminder_does_not_swallow_the_escalation_before_it() {
        let ladder = ladder(Some(6));
        check(&ladder, 1, 6, Some((1, 3, Some(14))));
        check(&ladder, 2, 6, Some((2, 3, Some(14))));
        check(&ladder, 0, 20, Some((1, 3, Some(0))));
        check(&ladder, 2, 20, Some((2, 3, Some(0))));
    }
}
