//! What agents say is written down: with the outcome's commit, and once a second while they work. An agent that falls silent
//! for longer than its step's heartbeat ends here.

use std::future::Future;

use chrono::TimeDelta;
use tracing::warn;

use super::{Engine, EngineError};
use crate::agents::{Journal, Outcome, Task, Unwritten};
use crate::domain::duration::Span;
use crate::domain::failure::Failure;
use crate::domain::ids::RunId;
use crate::store::logs::{self, LogRow, ProgressRow};
use crate::store::{StoreError, Tx};

/// Between two writings while an agent works.
const PAUSE: TimeDelta = TimeDelta::seconds(1);

/// The attempt that a journal is of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Of<'a> {
    pub run: RunId,
    pub generation: i32,
    pub step: &'a str,
    pub attempt: i32,
}

impl Engine {
    /// Awaits an agent's `work`, and writes meanwhile what it says. With a heartbeat, an agent that says nothing for so long is
    /// given up, and the attempt is worth another.
    pub(super) async fn attended(
        &self,
        task: &Task,
        heartbeat: Option<Span>,
        work: impl Future<Output = Outcome>,
    ) -> Outcome {
        let mut work = std::pin::pin!(work);
        let of = Of { run: task.run_id, generation: task.generation, step: &task.step, attempt: task.attempt };
        let mut writing = std::pin::pin!(self.keep_writing(of, &task.journal));
        loop {
            let silent_at = heartbeat.map(|span| task.journal.last_said() + span.delta());
            let silent = async {
                match silent_at {
                    Some(at) => self.clock.sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                outcome = &mut work => return outcome,
                () = &mut writing => {}
                () = silent => {}
            }
            if let Some(span) = heartbeat
                && task.journal.last_said() + span.delta() <= self.clock.now()
            {
                let details = format!("step {} told no progress for {span}", task.step);
                return Outcome::Retry(Failure::medium("heartbeat", details));
            }
        }
    }

    /// Never ends. What cannot be written is tried again, at the latest with the outcome.
    async fn keep_writing(&self, of: Of<'_>, journal: &Journal) {
        loop {
            journal.spoken().await;
            self.clock.sleep_until(self.clock.now() + PAUSE).await;
            let unwritten = journal.unwritten();
            if let Err(trouble) = self.write_down(of, &unwritten).await {
                warn!(run.id = %of.run, step.name = of.step, "what step {} says cannot be written: {trouble}", of.step);
                continue;
            }
            journal.written(&unwritten);
            self.work.notify_waiters();
        }
    }

    async fn write_down(&self, of: Of<'_>, unwritten: &Unwritten) -> Result<(), EngineError> {
        let mut tx = self.store.begin().await?;
        write(&mut tx, of, unwritten).await?;
        Ok(tx.commit().await?)
    }
}

/// Writes what an attempt said. Again is once, so a commit that failed may be done anew.
pub(super) async fn write(tx: &mut Tx, of: Of<'_>, unwritten: &Unwritten) -> Result<(), StoreError> {
    let Of { run, generation, step, attempt } = of;
    for line in &unwritten.lines {
        let (seq, at, level) = (line.seq, line.at, line.level.as_str().to_owned());
        let row = LogRow { generation, step: step.to_owned(), attempt, seq, at, level, text: line.text.clone() };
        logs::insert(tx, run, &row).await?;
    }
    if let Some(told) = &unwritten.how_far {
        let (percent, message, at) = (told.percent.map(i32::from), told.message.clone(), told.at);
        let row = ProgressRow { generation, step: step.to_owned(), attempt, percent, message, at };
        logs::put_progress(tx, run, &row).await?;
    }
    Ok(())
}
