//! What time brings about by itself: delays end, pauses between attempts end, deadlines pass. Ladders are people's business.

use super::decide::Ending;
use super::{Engine, EngineError};
use crate::domain::event::OURSELVES;
use crate::domain::failure::Failure;
use crate::domain::run::{self, RunEvent, RunStatus};
use crate::domain::wait::{Answer, Channel, Choice, WaitKind};
use crate::store::{runs, waits};

/// Rows looked at in one tick.
const BATCH: i64 = 100;

impl Engine {
    /// Does what is due now. Returns how much it did; 0 means that nothing is due.
    pub async fn tick_timers(&self) -> Result<usize, EngineError> {
        Ok(self.end_delays().await? + self.wake_runs().await?)
    }

    async fn end_delays(&self) -> Result<usize, EngineError> {
        let mut tx = self.store.read().await?;
        let due = waits::due(&mut tx, self.clock.now(), BATCH).await?;
        drop(tx);
        let mut done = 0;
        for wait in due.into_iter().filter(|wait| wait.kind == WaitKind::Timer) {
            let answer = Answer {
                by: OURSELVES.into(),
                choice: Choice::Proceed,
                comment: None,
                via: Channel::Timer,
                verified: "the time has come".into(),
                output: serde_json::Map::new(),
            };
            let mut tx = self.store.begin().await?;
            self.decide(&mut tx, wait.id, Ending::Answer(answer), None).await?;
            tx.commit().await?;
            done += 1;
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
            let now = self.clock.now();
            let mut tx = self.store.begin().await?;
            let run = runs::lock(&mut tx, found.id).await?;
            if run.status.is_final() {
                continue;
            }
            if run.deadline_at.is_some_and(|at| at <= now) {
                let failure = Failure::high("deadline_passed", format!("{} was not finished in time", run.name));
                self.fail_run(&mut tx, &run, &failure).await?;
            } else if run.status == RunStatus::Waiting && run.wake_at.is_some_and(|at| at <= now) {
                let woken = run::next_status(run.state(), RunEvent::Wake, false)?;
                runs::set_state(&mut tx, &run, woken, None, None, now).await?;
            } else {
                continue;
            }
            tx.commit().await?;
            done += 1;
        }
        if done > 0 {
            self.work.notify_waiters();
        }
        Ok(done)
    }
}
