//! Working on runs: claim many, perform what their plans say, commit outcomes together under the fences, until each run rests
//! or ends. `round` is one commit, `advance` what it does to one run, `perform` what happens between commits.

mod act;
mod advance;
mod perform;
mod round;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use chrono::TimeDelta;
use futures_util::future::{AbortHandle, Abortable, BoxFuture};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tracing::{info, warn};

use self::perform::Attempt;
use self::round::Move;
use super::{Engine, EngineError};
use crate::agents::{Journal, Outcome};
use crate::domain::crash;
use crate::domain::ids::RunId;
use crate::domain::workflow::Workflow;
use crate::store::claims;
use crate::store::runs::RunRow;
use crate::store::steps::StepRow;

/// Runs that one worker has in hand at most.
const MOST_RUNS: usize = 64;

/// Attempts that one worker performs beside each other.
const ABREAST: usize = 8;

/// How often a worker that waits for its agents looks for further runs, if nobody pokes it.
const LOOK: TimeDelta = TimeDelta::seconds(1);

/// A run in this worker's hands, as the last commit left it.
#[derive(Debug, Clone)]
struct Claimed {
    run: RunRow,
    workflow: Arc<Workflow>,
    steps: BTreeMap<String, StepRow>,
    /// Steps whose attempts are being performed, or are next.
    in_hand: BTreeSet<String>,
}

/// An attempt that has ended.
#[derive(Debug, Clone)]
struct Done {
    run: RunId,
    fence: i64,
    step: String,
    attempt: i32,
    /// What its agent said; none where it did not begin.
    journal: Option<Journal>,
    outcome: Outcome,
}

/// What a worker has in hand.
struct Hand<'a> {
    runs: BTreeMap<RunId, Claimed>,
    /// Written as started; their turn comes.
    next: VecDeque<Attempt>,
    performing: FuturesUnordered<Abortable<BoxFuture<'a, Done>>>,
    /// Those that are performed, so that they can be broken off.
    breaks: BTreeMap<(RunId, String), AbortHandle>,
    /// Not committed yet.
    done: Vec<Done>,
    /// How many runs may be in hand: few while attempts take their time, so that other workers get the others.
    appetite: usize,
}

impl Engine {
    /// Claims runs and works on them until each rests or ends, taking further ones as there is room. False when no run is to be
    /// had.
    ///
    /// Outcomes that come while a commit is under way share the next one; a lone outcome is committed at once. A crash at any
    /// point leaves the runs to the next claim after the lease; attempts that were in hand are started again.
    pub async fn tick_worker(&self) -> Result<bool, EngineError> {
        let mut hand = Hand::new();
        let mut worked = false;
        let mut look_for_more = true;
        let mut renew_at = self.clock.now() + self.lease / 3;
        loop {
            let pokes = self.work.pokes();
            let poked = self.work.notified();
            let room = if look_for_more && !self.work.is_closing() { hand.room() } else { 0 };
            if room > 0 || !hand.done.is_empty() {
                let claimed = self.round(&mut hand, room).await?;
                worked |= claimed > 0;
                if room > 0 {
                    look_for_more = claimed == room;
                }
            }
            look_for_more |= self.work.pokes() != pokes;
            if hand.runs.is_empty() {
                if !look_for_more || self.work.is_closing() {
                    return Ok(worked);
                }
                continue;
            }
            hand.start_next(self);
            // Also while there is always something to write.
            if self.clock.now() >= renew_at {
                renew_at = self.clock.now() + self.lease / 3;
                self.renew(&mut hand).await;
            }
            if !hand.done.is_empty() || hand.collect(self) {
                continue;
            }
            let roomy = hand.room() > 0 && !self.work.is_closing();
            tokio::select! {
                biased;
                Some(done) = hand.performing.next() => {
                    hand.ended(done.ok());
                    hand.collect(self);
                }
                () = self.clock.sleep_until(renew_at) => {}
                () = poked, if roomy => look_for_more = true,
                () = self.clock.sleep_until(self.clock.now() + LOOK), if roomy => look_for_more = true,
            }
        }
    }

    /// One commit for the outcomes that are there and for up to `room` further runs. Attempts go on meanwhile. Gives how many
    /// runs were claimed.
    async fn round<'a>(&'a self, hand: &mut Hand<'a>, room: usize) -> Result<usize, EngineError> {
        let moves = hand.moves();
        let outcomes = moves.len();
        let round = {
            let round = self.commit_round(moves, room);
            tokio::pin!(round);
            loop {
                tokio::select! {
                    biased;
                    round = &mut round => break round?,
                    Some(done) = hand.performing.next() => hand.ended(done.ok()),
                }
                hand.start_next(self);
            }
        };
        if outcomes > 0 {
            crash::point("engine.committed");
        }
        if round.claimed > 0 {
            crash::point("engine.claimed");
        }
        if round.told {
            self.work.notify_waiters();
        }
        for run in round.left {
            hand.break_off(run);
        }
        for claimed in round.stay {
            let run = claimed.run.id;
            if hand.runs.insert(run, claimed).is_some() {
                // Taken anew while it was in hand: what is performed under the old fence is worth nothing.
                hand.break_off(run);
            }
        }
        hand.done.extend(round.failed);
        hand.next.extend(round.attempts);
        Ok(round.claimed)
    }

    /// Prolongs the leases of what is in hand; runs that somebody else has meanwhile are dropped.
    async fn renew<'a>(&'a self, hand: &mut Hand<'a>) {
        let ids: Vec<_> = hand.runs.keys().copied().collect();
        let renewed = async {
            let mut tx = self.store.begin().await?;
            let ours = claims::renew(&mut tx, &ids, &self.owner, self.clock.now() + self.lease).await?;
            tx.commit().await.map(|()| ours)
        };
        tokio::pin!(renewed);
        // An attempt may hold the lock that this waits for.
        let renewed = loop {
            tokio::select! {
                biased;
                renewed = &mut renewed => break renewed,
                Some(done) = hand.performing.next() => hand.ended(done.ok()),
            }
        };
        match renewed {
            Ok(ours) => {
                let is_ours = |claimed: &Claimed| ours.contains(&(claimed.run.id, claimed.run.fence));
                let lost: Vec<_> = hand.runs.values().filter(|claimed| !is_ours(claimed)).collect();
                let lost: Vec<_> = lost.into_iter().map(|claimed| claimed.run.id).collect();
                for run in lost {
                    info!(run.id = %run, "the run was taken from this worker; what it had in hand is dropped");
                    hand.runs.remove(&run);
                    hand.break_off(run);
                }
            }
            // There are two more before they run out.
            Err(error) => warn!("leases of {} runs cannot be renewed: {error}; tried again", ids.len()),
        }
    }
}

impl<'a> Hand<'a> {
    fn new() -> Self {
        Self {
            runs: BTreeMap::new(),
            next: VecDeque::new(),
            performing: FuturesUnordered::new(),
            breaks: BTreeMap::new(),
            done: vec![],
            appetite: ABREAST,
        }
    }

    /// How many further runs fit.
    fn room(&mut self) -> usize {
        let quick = self.performing.is_empty() && self.next.is_empty();
        self.appetite = if quick { (self.appetite * 2).min(MOST_RUNS) } else { ABREAST };
        self.appetite.saturating_sub(self.runs.len())
    }

    /// Begins attempts until enough are performed beside each other.
    fn start_next(&mut self, engine: &'a Engine) {
        while self.performing.len() < ABREAST
            && let Some(attempt) = self.next.pop_front()
        {
            let (handle, registration) = AbortHandle::new_pair();
            self.breaks.insert((attempt.task.run_id, attempt.task.step.clone()), handle);
            self.performing.push(Abortable::new(engine.perform(attempt).boxed(), registration));
        }
    }

    /// Takes up what has ended already. False when nothing has.
    fn collect(&mut self, engine: &'a Engine) -> bool {
        while let Some(Some(done)) = self.performing.next().now_or_never() {
            self.ended(done.ok());
            self.start_next(engine);
        }
        !self.done.is_empty()
    }

    /// An attempt has ended, or was broken off.
    fn ended(&mut self, done: Option<Done>) {
        let Some(done) = done else { return };
        self.breaks.remove(&(done.run, done.step.clone()));
        crash::point("engine.performed");
        self.done.push(done);
    }

    /// Drops the attempts of a run that is not ours any more.
    fn break_off(&mut self, run: RunId) {
        self.next.retain(|attempt| attempt.task.run_id != run);
        self.done.retain(|done| done.run != run);
        self.breaks.retain(|(of, _), handle| {
            if *of == run {
                handle.abort();
            }
            *of != run
        });
    }

    /// Takes the runs that have outcomes out of the hand, each with them.
    fn moves(&mut self) -> Vec<Move> {
        let mut moves: BTreeMap<RunId, Move> = BTreeMap::new();
        for done in std::mem::take(&mut self.done) {
            if let Some(claimed) = self.runs.remove(&done.run) {
                moves.insert(done.run, Move { claimed, done: vec![] });
            }
            if let Some(found) = moves.get_mut(&done.run).filter(|found| found.claimed.run.fence == done.fence) {
                found.done.push(done);
            }
        }
        moves.into_values().collect()
    }
}
