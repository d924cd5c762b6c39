//! The loop of one mailbox: lease, connection, poll, wait; with its health told and its failures backed off.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::{Intake, IntakeError, Polled, listing};
use crate::config::sections::Mailbox as MailboxConfig;
use crate::domain::event::Event;
use crate::mailbox::Mailbox;
use crate::mailbox::access::Access;
use crate::mailbox::oauth::Alarm;
use crate::store::{events, mailboxes};

/// Longest pause after failures.
const MAX_BACKOFF_SECS: u64 = 300;

/// Longest wait for news in one turn.
const MAX_TURN: Duration = Duration::from_secs(30);

/// Watches a mailbox until `shutdown`. `due` is poked by the cron schedule. Each mailbox stands alone: whatever is wrong with
/// one is its own health.
pub async fn watch(
    intake: Arc<Intake>,
    config: MailboxConfig,
    access: Arc<Access>,
    due: Arc<Notify>,
    shutdown: CancellationToken,
) {
    let mut open: Option<Box<dyn Mailbox>> = None;
    let mut reconciled_at = None;
    let mut failures = 0;
    let mut is_news = true;
    // The lease is renewed at every turn, so a turn ends well within it.
    let longest = (intake.engine.lease / 3).to_std().unwrap_or_default().min(MAX_TURN);
    while !shutdown.is_cancelled() {
        let turn = tokio::select! {
            turn = turn(&intake, &config, &access, &mut open, &mut reconciled_at, is_news) => turn,
            () = shutdown.cancelled() => break,
        };
        let pause = match turn {
            Ok(true) => {
                failures = 0;
                None
            }
            Ok(false) => Some(longest),
            Err(error) => {
                open = None;
                failures += 1;
                let pause = backoff(failures);
                note_failure(&intake, &config.name, &error, pause).await;
                Some(pause)
            }
        };
        tokio::select! {
            news = news(&mut open, pause, longest, &due) => is_news = news,
            () = shutdown.cancelled() => break,
        }
    }
    // A cancelled command leaves its answer behind; the connection is of no more use.
    drop(open);
    let released = async {
        let mut tx = intake.engine.store.begin().await?;
        mailboxes::release(&mut tx, &config.name, &intake.engine.owner).await?;
        tx.commit().await
    };
    if let Err(error) = released.await {
        warn!(mailbox = config.name, "the lease of {} runs out by itself: {error}", config.name);
    }
}

/// One turn: false when another process has the mailbox. Without news it only renews the lease.
async fn turn(
    intake: &Intake,
    config: &MailboxConfig,
    access: &Access,
    open: &mut Option<Box<dyn Mailbox>>,
    reconciled_at: &mut Option<DateTime<Utc>>,
    is_news: bool,
) -> Result<bool, IntakeError> {
    let now = intake.engine.clock.now();
    let mut tx = intake.engine.store.begin().await?;
    mailboxes::ensure(&mut tx, &config.name, &config.customer).await?;
    let ours = mailboxes::lease(&mut tx, &config.name, &intake.engine.owner, now, now + intake.engine.lease).await?;
    tx.commit().await?;
    if !ours {
        return Ok(false);
    }
    let kept = access.keep(config).await;
    note_alarm(intake, config, access).await;
    kept?;
    if open.is_some() && !is_news {
        return Ok(true);
    }
    if open.is_none() {
        let opened = access.open(config).await;
        note_alarm(intake, config, access).await;
        *open = Some(opened?);
    }
    let Some(mailbox) = open.as_mut() else { return Ok(true) };
    let mut polled: Polled = intake.poll(config, mailbox.as_mut()).await?;
    // After the poll, so that what is merely new does not count as missing.
    if listing::is_reconcile_due(*reconciled_at, now) {
        if intake.reconcile(config, mailbox.as_mut()).await? > 0 {
            polled += intake.poll(config, mailbox.as_mut()).await?;
        }
        *reconciled_at = Some(now);
    }
    note_success(intake, &config.name).await?;
    if !polled.did_nothing() {
        info!(
            mailbox = config.name,
            "{}: {} listed, {} decided, {} flagged", config.name, polled.listed, polled.decided, polled.flagged
        );
    }
    Ok(true)
}

/// Waits for news, from the server or from the schedule, or until the pause is over; at most `longest` where there is no
/// pause. False when nothing is new.
async fn news(open: &mut Option<Box<dyn Mailbox>>, pause: Option<Duration>, longest: Duration, due: &Notify) -> bool {
    match (open.as_mut(), pause) {
        // The schedule does not cut a pause short: a server in trouble, or one that counts wrong passwords, is left alone.
        (_, Some(pause)) => {
            tokio::time::sleep(pause).await;
            true
        }
        (Some(mailbox), None) => {
            let asked = Instant::now();
            if mailbox.wait(longest, due).await.is_err() {
                *open = None;
            }
            // It waits its whole time only when neither the server nor the schedule had anything to say.
            open.is_none() || asked.elapsed() < longest
        }
        (None, None) => true,
    }
}

/// 1, 2, 4, ... seconds, at most five minutes, with up to a quarter more so that many mailboxes do not come back at once.
fn backoff(failures: u32) -> Duration {
    let secs = (1u64 << failures.saturating_sub(1).min(16)).min(MAX_BACKOFF_SECS);
    let jitter = uuid::Uuid::now_v7().as_u128() % u128::from(secs * 250 + 1);
    Duration::from_secs(secs) + Duration::from_millis(u64::try_from(jitter).unwrap_or_default())
}

async fn note_success(intake: &Intake, name: &str) -> Result<(), IntakeError> {
    let now = intake.engine.clock.now();
    let mut tx = intake.engine.store.begin().await?;
    if mailboxes::note_success(&mut tx, name, now).await? {
        info!(mailbox = name, "mailbox {name} is healthy");
        events::append(&mut tx, &Event::new(now, "mailbox.healthy", "").with("mailbox", name)).await?;
    }
    Ok(tx.commit().await?)
}

async fn note_failure(intake: &Intake, name: &str, error: &IntakeError, pause: Duration) {
    warn!(mailbox = name, "mailbox {name}: {error}; tried again in {} s", pause.as_secs());
    let now = intake.engine.clock.now();
    let next = now + TimeDelta::from_std(pause).unwrap_or_default();
    let noted = async {
        let mut tx = intake.engine.store.begin().await?;
        if mailboxes::note_failure(&mut tx, name, &error.to_string(), now, next).await? {
            let event = Event::new(now, "mailbox.unhealthy", "").with("mailbox", name).with("error", error.to_string());
            events::append(&mut tx, &event).await?;
        }
        tx.commit().await
    };
    if let Err(error) = noted.await {
        warn!(mailbox = name, "cannot note the health of {name}: {error}");
    }
}

/// Raises the alarm about a mailbox's token that is due, if any.
async fn note_alarm(intake: &Intake, config: &MailboxConfig, access: &Access) {
    let Some(Alarm { error, good_until }) = access.alarm(config).await else { return };
    let name = &config.name;
    let until = good_until.map(|at| at.to_rfc3339_opts(SecondsFormat::Secs, true));
    let ends = until.as_ref().map_or_else(|| "it is not read".to_owned(), |at| format!("it is read until {at} only"));
    error!(mailbox = name, "mailbox {name} needs {error}; {ends}; {}", error.mend());
    let now = intake.engine.clock.now();
    let noted = async {
        let mut tx = intake.engine.store.begin().await?;
        let event = Event::new(now, "mailbox.token_failed", "").with("mailbox", name.as_str());
        let event = event.with("error", error.to_string()).with("mend", error.mend()).with("good_until", until);
        events::append(&mut tx, &event).await?;
        tx.commit().await
    };
    if let Err(error) = noted.await {
        warn!(mailbox = name, "cannot note the alarm about {name}: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_bounded() {
        for failures in 1..100 {
            let pause = backoff(failures);
            assert!(
                pause >= Duration::from_secs((1 << (failures - 1).min(8)).min(256))
                    && pause <= Duration::from_secs(375)
            );
        }
    }
}
