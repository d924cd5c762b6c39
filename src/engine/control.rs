//! What an operator does to a run: pause, resume, stop, kill. Each answers with the new state or refuses with the reason;
//! asked again, it says that it is so already.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Engine, EngineError};
use crate::domain::event::{Event, OURSELVES};
use crate::domain::failure::Failure;
use crate::domain::ids::RunId;
use crate::domain::run::{self, RunEvent, RunState, RunStatus};
use crate::store::runs::RunRow;
use crate::store::{Tx, events, run_control, runs};

/// What a kill leaves an attempt in hand to end by itself.
pub const KILL_GRACE: TimeDelta = TimeDelta::seconds(10);

/// What became of a run that an operator asked something of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Controlled {
    pub state: RunState,
    /// It was so before; nothing was changed.
    pub already: bool,
    /// When it is killed at the latest, while it is stopping and that is known.
    pub kill_at: Option<DateTime<Utc>>,
}

impl Engine {
    /// Ends a run in any live state, for good. Its links and replies die now and nothing starts; an attempt that a worker has
    /// in hand gets `grace` to end and be recorded, and then finds its fence gone.
    ///
    /// # Errors
    /// `Refused` when it has completed or failed.
    pub async fn kill(&self, id: RunId, by: &str, grace: TimeDelta) -> Result<Controlled, EngineError> {
        let now = self.clock.now();
        let mut tx = self.store.begin().await?;
        let run = runs::lock(&mut tx, id).await?;
        let in_hand = run.status == RunStatus::Running && run.lease_until.is_some_and(|until| until >= now);
        if run.status == RunStatus::Killed {
            return Ok(so_already(&run));
        }
        if !in_hand || grace <= TimeDelta::zero() {
            let state = self.carry_out(&mut tx, &run, RunEvent::Kill, by).await?;
            return self.done(tx, state, None).await;
        }
        let kill_at = now + grace;
        if run.stopping && run.kill_at.is_some_and(|at| at <= kill_at) {
            return Ok(so_already(&run));
        }
        let state = self.carry_out(&mut tx, &run, RunEvent::Stop, by).await?;
        run_control::set_kill_at(&mut tx, id, Some(kill_at)).await?;
        self.done(tx, state, Some(kill_at)).await
    }

    /// Ends a run, but lets what is in hand end first, however long that takes: nothing else starts, links and replies die.
    ///
    /// # Errors
    /// `Refused` when it has completed or failed.
    pub async fn stop(&self, id: RunId, by: &str) -> Result<Controlled, EngineError> {
        self.control(id, RunEvent::Stop, by, |run| run.stopping || run.status == RunStatus::Killed).await
    }

    /// Holds a run: what is in hand ends, nothing else starts.
    ///
    /// # Errors
    /// `Refused` when it has ended, or is stopping.
    pub async fn pause(&self, id: RunId, by: &str) -> Result<Controlled, EngineError> {
        self.control(id, RunEvent::Pause, by, |run| run.held).await
    }

    /// Lets a held run go on.
    ///
    /// # Errors
    /// `Refused` when nobody holds it.
    pub async fn resume(&self, id: RunId, by: &str) -> Result<Controlled, EngineError> {
        self.control(id, RunEvent::Resume, by, |_| false).await
    }

    async fn control(
        &self,
        id: RunId,
        event: RunEvent,
        by: &str,
        is_so: impl FnOnce(&RunRow) -> bool,
    ) -> Result<Controlled, EngineError> {
        let mut tx = self.store.begin().await?;
        let run = runs::lock(&mut tx, id).await?;
        if is_so(&run) {
            return Ok(so_already(&run));
        }
        let state = self.carry_out(&mut tx, &run, event, by).await?;
        self.done(tx, state, None).await
    }

    async fn done(&self, tx: Tx, state: RunState, kill_at: Option<DateTime<Utc>>) -> Result<Controlled, EngineError> {
        tx.commit().await?;
        self.work.notify_waiters();
        Ok(Controlled { state, already: false, kill_at })
    }

    /// Moves a locked run. One that ends, or begins to, asks nobody any more.
    async fn carry_out(&self, tx: &mut Tx, run: &RunRow, event: RunEvent, by: &str) -> Result<RunState, EngineError> {
        let now = self.clock.now();
        let next = run::next_status(run.state(), event, false)?;
        let failure = run.failure.as_ref().map(|failure| &failure.0);
        runs::set_state(tx, run, next, failure, run.wake_at, now).await?;
        if next.status.is_final() || next.stopping {
            self.void_waits(tx, run).await?;
        }
        let kind = match event {
            RunEvent::Pause => "run.paused",
            RunEvent::Resume => "run.resumed",
            _ if next.stopping => "run.stopping",
            _ => "run.killed",
        };
        let event = Event::new(now, kind, &run.customer).by(by).run(run.id).with("status", next.status.as_str());
        events::append(tx, &event).await?;
        Ok(next)
    }

    /// Ends a locked run that was stopping, for whoever asked for it: by `OnlyWaitsLeft` when it has drained, by `Kill` when
    /// its time is up.
    pub(super) async fn end_stopping(&self, tx: &mut Tx, run: &RunRow, event: RunEvent) -> Result<(), EngineError> {
        let told = events::of_run(tx, run.id).await?;
        let asked = told.iter().rev().find(|told| told.kind == "run.stopping");
        let by = asked.map_or(OURSELVES, |asked| asked.actor.as_str());
        let now = self.clock.now();
        let next = run::next_status(run.state(), event, false)?;
        runs::set_state(tx, run, next, None, None, now).await?;
        self.void_waits(tx, run).await?;
        let event = Event::new(now, "run.killed", &run.customer)
            .by(by)
            .run(run.id)
            .with("status", next.status.as_str())
            .with("drained", event == RunEvent::OnlyWaitsLeft);
        Ok(events::append(tx, &event).await?)
    }

    /// Fails a locked run.
    pub(super) async fn fail_run(&self, tx: &mut Tx, run: &RunRow, failure: &Failure) -> Result<(), EngineError> {
        let next = run::next_status(run.state(), RunEvent::Fatal, false)?;
        runs::set_state(tx, run, next, Some(failure), None, self.clock.now()).await?;
        self.void_waits(tx, run).await?;
        let event = Event::new(self.clock.now(), "run.failed", &run.customer)
            .run(run.id)
            .with("reason", failure.reason.as_str())
            .with("details", failure.details.as_str())
            .with("criticality", serde_json::to_value(failure.criticality).unwrap_or_default());
        events::append(tx, &event).await?;
        self.tell_of_failure(tx, run, failure).await.map(drop)
    }
}

fn so_already(run: &RunRow) -> Controlled {
    let stopping = run.state().stopping;
    Controlled { state: run.state(), already: true, kill_at: run.kill_at.filter(|_| stopping) }
}
