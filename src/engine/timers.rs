//! What time brings about by itself: delays end, pauses between attempts end, deadlines pass. Ladders are people's business.

use tracing::error;

use super::decide::{Decided, Ending};
use super::{Engine, EngineError};
use crate::domain::event::OURSELVES;
use crate::domain::failure::Failure;
use crate::domain::ids::{RunId, WaitId};
use crate::domain::run::{self, RunEvent, RunStatus};
use crate::domain::wait::{Answer, Channel, Choice, WaitKind};
use crate::store::{run_control, runs, waits};

/// Rows looked at in one tick.
const BATCH: i64 = 100;

impl Engine {
    /// Does what is due now. Returns how much it did; 0 means that nothing is due.
    pub async fn tick_timers(&self) -> Result<usize, EngineError> {
        // A run that fails now is not called late as well.
        let ended = self.end_delays().await? + self.wake_runs().await? + self.end_kills().await?;
        Ok(ended + self.report_ended().await? + self.open_gates().await? + self.ring_alarms().await?)
    }

    /// Ends runs whose grace is over.
    async fn end_kills(&self) -> Result<usize, EngineError> {
        let mut tx = self.store.read().await?;
        let due = run_control::to_kill(&mut tx, self.clock.now(), BATCH).await?;
        drop(tx);
        let mut done = 0;
        for id in due {
            let ended = self.end_kill(id).await;
            done += usize::from(stands_alone(&id, ended)?);
        }
        Ok(done)
    }

    /// False when it had ended by itself.
    async fn end_kill(&self, id: RunId) -> Result<bool, EngineError> {
        let mut tx = self.store.begin().await?;
        let run = runs::lock(&mut tx, id).await?;
        let is_due = run.stopping && run.kill_at.is_some_and(|at| at <= self.clock.now());
        if run.status != RunStatus::Running || !is_due {
            return Ok(false);
        }
        self.end_stopping(&mut tx, &run, RunEvent::Kill).await?;
        tx.commit().await?;
        Ok(true)
    }

    async fn end_delays(&self) -> Result<usize, EngineError> {
        let mut tx = self.store.read().await?;
        let due = waits::due(&mut tx, self.clock.now(), BATCH).await?;
        drop(tx);
        let mut done = 0;
        for wait in due.into_iter().filter(|wait| wait.kind == WaitKind::Timer) {
            let ended = self.end_delay(wait.id).await;
            done += usize::from(stands_alone(&wait.run_id, ended)?);
        }
        if done > 0 {
            self.work.notify_waiters();
        }
        Ok(done)
    }

    async fn wake_runs(&self) -> Result<usize, EngineError> {
        let mut tx = self.store.read().await?;
        let due = runs::due(&mut tx, self.clock.now(), BATCH).await?;
        drop(tx);
        let mut done = 0;
        for found in due {
            let woken = self.wake_run(found.id).await;
            done += usize::from(stands_alone(&found.id, woken)?);
        }
        if done > 0 {
            self.work.notify_waiters();
        }
        Ok(done)
    }

    /// False when somebody else ended it meanwhile.
    async fn end_delay(&self, id: WaitId) -> Result<bool, EngineError> {
        let answer = Answer {
            by: OURSELVES.into(),
            choice: Choice::Proceed,
            comment: None,
            via: Channel::Timer,
            verified: "the time has come".into(),
            output: serde_json::Map::new(),
        };
        let mut tx = self.store.begin().await?;
        let decided = self.decide(&mut tx, id, Ending::Answer(answer), None).await?;
        tx.commit().await?;
        Ok(decided == Decided::Now)
    }

    /// False when nothing was due any more.
    async fn wake_run(&self, id: RunId) -> Result<bool, EngineError> {
        let now = self.clock.now();
        let mut tx = self.store.begin().await?;
        let run = runs::lock(&mut tx, id).await?;
        if run.status.is_final() {
            return Ok(false);
        }
        if run.deadline_at.is_some_and(|at| at <= now) {
            let failure = Failure::high("deadline_passed", format!("{} was not finished in time", run.name));
            self.fail_run(&mut tx, &run, &failure).await?;
        } else if run.status == RunStatus::Waiting && run.wake_at.is_some_and(|at| at <= now) {
            let woken = run::next_status(run.state(), RunEvent::Wake, false)?;
            runs::set_state(&mut tx, &run, woken, None, None, now).await?;
        } else {
            return Ok(false);
        }
        tx.commit().await?;
        Ok(true)
    }
}

/// What was done for one run. Trouble that lies in that run is told and passed over, so that it keeps no other waiting.
///
/// # Errors
/// What concerns all runs: the database is away.
pub fn stands_alone(run: &RunId, done: Result<bool, EngineError>) -> Result<bool, EngineError> {
    match done {
        Err(error) if !error.is_transient() => {
            error!(run.id = %run, "what is due cannot be done: {error}; tried again");
            Ok(false)
        }
        other => other,
    }
}
