//! Time in a scenario: everything due is done, what was reached is noted, and the clock jumps to the next instant at which
//! something is due.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::Map;

use super::agents::Asleep;
use super::read::{Happening, Said, Scenario, What};
use crate::domain::clock::{Clock, ManualClock};
use crate::domain::event::Event;
use crate::domain::failure::Failure;
use crate::domain::ids::RunId;
use crate::domain::run::RunStatus;
use crate::domain::step::StepStatus;
use crate::domain::wait::{Answer, Channel, Choice, WaitKind, WaitStatus};
use crate::engine::decide::Ending;
use crate::engine::{Engine, EngineError};
use crate::people::ladder;
use crate::store::notices::NoticeRow;
use crate::store::runs::RunRow;
use crate::store::steps::StepRow;
use crate::store::{alarms, events, notices, runs, steps, waits};

/// Instants in one scenario, at most: whoever retries each second for a year is told so.
const MOST_INSTANTS: usize = 10_000;

/// Runs looked at: the one of the scenario, and those below it.
const MOST_RUNS: i64 = 1000;

pub(super) struct Clockwork<'a> {
    engine: &'a Engine,
    clock: &'a ManualClock,
    asleep: &'a Asleep,
    run: RunId,
    pictures: Vec<Picture>,
    /// What could not happen, and why, by its place in the scenario's events.
    impossible: Vec<(usize, String)>,
    /// Whether instants were left when it was given up.
    endless: bool,
}

/// How the run stood when everything due at an instant was done.
#[derive(Debug, Clone)]
pub(super) struct Picture {
    pub at: DateTime<Utc>,
    pub status: RunStatus,
    pub failure: Option<Failure>,
    pub steps: BTreeMap<String, (StepStatus, Option<Failure>)>,
}

/// All that happened.
#[derive(Debug)]
pub(super) struct Played {
    pub pictures: Vec<Picture>,
    /// Of the run and those below it, each with the run's name.
    pub events: Vec<(String, Event)>,
    pub notices: Vec<NoticeRow>,
    pub impossible: Vec<(usize, String)>,
    pub endless: bool,
}

impl<'a> Clockwork<'a> {
    pub fn new(engine: &'a Engine, clock: &'a ManualClock, asleep: &'a Asleep, run: RunId) -> Self {
        Self { engine, clock, asleep, run, pictures: vec![], impossible: vec![], endless: false }
    }

    /// Lets time pass until the run is over and nothing more happens, or nothing is due, or the scenario ends.
    pub async fn run(&mut self, scenario: &Scenario) -> Result<(), EngineError> {
        let mut ahead = scenario.events.iter().enumerate().peekable();
        for _ in 0..MOST_INSTANTS {
            self.settle().await?;
            self.note().await?;
            let is_over = self.pictures.last().is_some_and(|picture| picture.status.is_final());
            let due = if is_over { None } else { self.next_due().await? };
            let event = ahead.peek().map(|(_, happening)| happening.at);
            let Some(next) = [due, event].into_iter().flatten().min() else { return Ok(()) };
            if scenario.until.is_some_and(|until| next > until) {
                return Ok(());
            }
            self.clock.advance_to(next);
            // What is said at an instant counts before what is due then, as mail does that was there before.
            while let Some((index, happening)) = ahead.next_if(|(_, happening)| happening.at <= self.clock.now()) {
                self.happen(index, happening).await?;
            }
            self.engine.work.notify_waiters();
        }
        self.endless = true;
        Ok(())
    }

    /// Does everything that is due, until only attempts that take time are in hand.
    async fn settle(&self) -> Result<(), EngineError> {
        loop {
            while !self.is_idle().await? {
                tokio::task::yield_now().await;
            }
            if self.engine.tick_timers().await? + ladder::tick(self.engine).await? == 0 {
                return Ok(());
            }
            self.engine.work.notify_waiters();
        }
    }

    /// Whether the worker has nothing to do before time passes.
    async fn is_idle(&self) -> Result<bool, EngineError> {
        let now = self.clock.now();
        let asleep = self.asleep.after(now);
        let mut tx = self.engine.store.read().await?;
        for run in runs::latest(&mut tx, None, MOST_RUNS).await? {
            let is_idle = match run.status {
                RunStatus::Queued => run.gated || run.not_before.is_some_and(|at| at > now),
                RunStatus::Running => {
                    let rows = steps::of_run(&mut tx, run.id, run.generation).await?;
                    let mut in_hand = rows.iter().filter(|row| is_in_hand(row, &rows)).peekable();
                    in_hand.peek().is_some() && in_hand.all(|row| asleep.contains_key(&(run.id, row.name.clone())))
                }
                _ => true,
            };
            if !is_idle {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn next_due(&self) -> Result<Option<DateTime<Utc>>, EngineError> {
        let now = self.clock.now();
        let mut tx = self.engine.store.read().await?;
        let mut due: Vec<Option<DateTime<Utc>>> =
            vec![waits::next_due(&mut tx).await?, alarms::next_due(&mut tx).await?];
        for run in runs::latest(&mut tx, None, MOST_RUNS).await? {
            let RunRow { status, wake_at, deadline_at, not_before, kill_at, .. } = run;
            if !status.is_final() {
                due.extend([wake_at, deadline_at, not_before, kill_at]);
            }
        }
        due.extend(self.asleep.after(now).into_values().map(Some));
        // What is due and was not done would be so for ever.
        Ok(due.into_iter().flatten().filter(|at| *at > now).min())
    }

    async fn note(&mut self) -> Result<(), EngineError> {
        let mut tx = self.engine.store.read().await?;
        let run = runs::get(&mut tx, self.run).await?;
        let rows = steps::of_run(&mut tx, run.id, run.generation).await?;
        let step = |row: StepRow| (row.name, (row.status, row.failure.map(|failure| failure.0)));
        self.pictures.push(Picture {
            at: self.clock.now(),
            status: run.status,
            failure: run.failure.map(|failure| failure.0),
            steps: rows.into_iter().map(step).collect(),
        });
        Ok(())
    }

    async fn happen(&mut self, index: usize, happening: &Happening) -> Result<(), EngineError> {
        match &happening.what {
            What::Down(span) => self.clock.advance(span.delta()),
            What::Answer(said) => {
                if let Err(why) = self.answer(said).await? {
                    self.impossible.push((index, why));
                }
            }
        }
        Ok(())
    }

    /// Answers the wait of a step; says why where that is not possible.
    async fn answer(&self, said: &Said) -> Result<Result<(), String>, EngineError> {
        let mut tx = self.engine.store.begin().await?;
        let all = waits::of_run(&mut tx, self.run).await?;
        let Some(wait) = all.into_iter().rfind(|wait| wait.step == said.step) else {
            return Ok(Err(format!("step {} has asked nobody by then", said.step)));
        };
        let fits = match wait.kind {
            WaitKind::Approval => matches!(said.choice, Choice::Approve | Choice::Reject),
            WaitKind::Reply => said.choice == Choice::Supply,
            WaitKind::Timer | WaitKind::External | WaitKind::Operator => said.choice == Choice::Proceed,
        };
        if !fits {
            return Ok(Err(format!("`{}` is no answer to what step {} asks: {}", said.choice, said.step, wait.kind)));
        }
        let is_asked = wait.asked.iter().any(|asked| asked.person == said.by);
        if wait.status == WaitStatus::Open && !wait.asked.is_empty() && !is_asked {
            let asked: Vec<&str> = wait.asked.iter().map(|asked| asked.person.as_str()).collect();
            return Ok(Err(format!(
                "`{}` is not asked by step {} then; asked: {}",
                said.by,
                said.step,
                asked.join(", ")
            )));
        }
        let answer = Answer {
            by: said.by.clone(),
            choice: said.choice,
            comment: said.comment.clone(),
            via: Channel::Mail,
            verified: "said by the scenario".to_owned(),
            output: if said.choice == Choice::Supply { supplied(&said.output) } else { said.output.clone() },
        };
        self.engine.decide(&mut tx, wait.id, Ending::Answer(answer), None).await?;
        tx.commit().await?;
        Ok(Ok(()))
    }

    pub async fn played(self) -> anyhow::Result<Played> {
        let mut tx = self.engine.store.read().await?;
        let (mut told, mut notes) = (vec![], vec![]);
        for run in runs::latest(&mut tx, None, MOST_RUNS).await? {
            told.extend(events::of_run(&mut tx, run.id).await?.into_iter().map(|event| (run.name.clone(), event)));
            notes.extend(notices::of_run(&mut tx, run.id).await?);
        }
        told.sort_by_key(|(_, event)| event.at);
        notes.sort_by_key(|notice| notice.created_at);
        let Self { pictures, impossible, endless, .. } = self;
        Ok(Played { pictures, events: told, notices: notes, impossible, endless })
    }
}

/// Whether an attempt is under way: a step that is performed for each item of a list is so by its instances only.
fn is_in_hand(row: &StepRow, rows: &[StepRow]) -> bool {
    let instance = format!("{}[", row.name);
    row.status == StepStatus::Running && !rows.iter().any(|other| other.name.starts_with(&instance))
}

/// What a reply gives, with what every reply has.
fn supplied(output: &Map<String, serde_json::Value>) -> Map<String, serde_json::Value> {
    let mut whole = output.clone();
    whole.entry("documents").or_insert_with(|| serde_json::json!([]));
    whole.entry("text").or_insert_with(|| "".into());
    whole
}
