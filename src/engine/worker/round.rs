//! One commit for many runs: their outcomes, the starts of what follows, and newly claimed runs with their first steps.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tracing::{error, info, warn};

use super::advance::{Then, Written};
use super::perform::Attempt;
use super::{Claimed, Done};
use crate::domain::failure::Failure;
use crate::domain::ids::RunId;
use crate::domain::person::User;
use crate::domain::run::RunStatus;
use crate::engine::{Engine, EngineError};
use crate::store::runs::RunRow;
use crate::store::steps::StepRow;
use crate::store::{Tx, claims, people, runs, steps};

/// A run with what became of its attempts; without any when it was only just claimed.
#[derive(Debug)]
pub(super) struct Move {
    pub claimed: Claimed,
    pub done: Vec<Done>,
}

/// What a commit came to.
#[derive(Default)]
pub(super) struct Round {
    /// Runs that stay in hand, as they are now.
    pub stay: Vec<Claimed>,
    /// Runs that are out of hand: they rest, have ended, or are somebody else's.
    pub left: Vec<RunId>,
    pub attempts: Vec<Attempt>,
    /// Attempts that could not even begin.
    pub failed: Vec<Done>,
    /// How many runs were claimed.
    pub claimed: usize,
    /// Whether there may be something for other loops.
    pub told: bool,
    /// Runs that somebody else had locked; nothing of them is written.
    locked: Vec<Move>,
}

impl Round {
    fn add(&mut self, other: Self) {
        self.stay.extend(other.stay);
        self.left.extend(other.left);
        self.attempts.extend(other.attempts);
        self.failed.extend(other.failed);
        self.claimed += other.claimed;
        self.told |= other.told;
        self.locked.extend(other.locked);
    }
}

impl Engine {
    /// Commits outcomes and claims up to `room` runs. What cannot be written with the others is written alone, and a run whose
    /// own part fails is left to the next claim after its lease, so that it takes no other down.
    pub(super) async fn commit_round(&self, moves: Vec<Move>, room: usize) -> Result<Round, EngineError> {
        let (mut round, alone) = match self.commit_together(&moves, room).await {
            Ok(mut round) => {
                let locked = std::mem::take(&mut round.locked);
                (round, locked)
            }
            // It may stand in the database; written again, it would stand there twice. Whoever claims the runs next finds out.
            Err(trouble) if trouble.is_unsure() => return Err(trouble),
            Err(trouble) => {
                warn!("{} runs cannot be written together: {trouble}; tried one by one", moves.len());
                let claimed = if room > 0 { self.claim_only(room).await? } else { vec![] };
                let round = Round { claimed: claimed.len(), ..Round::default() };
                let fresh = claimed.into_iter().map(|claimed| Move { claimed, done: vec![] });
                (round, moves.into_iter().chain(fresh).collect())
            }
        };
        for one in alone {
            let id = one.claimed.run.id;
            match self.commit_together(std::slice::from_ref(&one), 0).await {
                Ok(written) => round.add(written),
                Err(trouble) if trouble.is_transient() => return Err(trouble),
                Err(trouble) => {
                    error!(run.id = %id, "what is due for a run cannot be written: {trouble}; tried again after its lease");
                    round.left.push(id);
                }
            }
        }
        Ok(round)
    }

    async fn commit_together(&self, moves: &[Move], room: usize) -> Result<Round, EngineError> {
        let now = self.clock.now();
        let mut tx = self.store.begin().await?;
        let (mut round, mut written) = (Round::default(), Written::default());
        // Claimed first: a run in hand whose lease ran out is taken anew, and its outcomes are found to be too late.
        let fresh = if room > 0 { self.claim(&mut tx, room, &mut round).await? } else { vec![] };
        let waits = room == 0 && moves.len() == 1;
        let ours = self.lock(&mut tx, moves, waits, &mut round).await?;
        if ours.is_empty() && round.claimed == 0 {
            return Ok(round);
        }
        let mut started: Vec<(usize, StepRow)> = vec![];
        let ours = ours.into_iter().map(|(claimed, one)| (claimed, Some(one)));
        for (mut claimed, one) in ours.chain(fresh.into_iter().map(|claimed| (claimed, None))) {
            let done = one.map(|one| one.done.as_slice()).unwrap_or_default();
            match self.advance(&mut tx, &mut written, &mut claimed, done).await? {
                Then::Stay(steps) => {
                    started.extend(steps.into_iter().map(|step| (round.stay.len(), step)));
                    round.stay.push(claimed);
                }
                Then::Leave => round.left.push(claimed.run.id),
            }
        }
        let users = self.users(&mut tx, &round.stay, &started).await?;
        round.told |= written.told;
        written.write(&mut tx, now).await?;
        tx.commit().await?;
        for (at, step) in started {
            let Some(claimed) = round.stay.get(at) else { continue };
            let users = users.get(&claimed.run.customer).map(Vec::as_slice).unwrap_or_default();
            match self.attempt(claimed, &step, users, now) {
                Ok(attempt) => round.attempts.push(attempt),
                Err(outcome) => {
                    let (run, fence) = (claimed.run.id, claimed.run.fence);
                    let attempt = step.attempt;
                    round.failed.push(Done { run, fence, step: step.name, attempt, journal: None, outcome });
                }
            }
        }
        Ok(round)
    }

    /// Locks the runs and brings them up to date. Those that are not this worker's any more are left.
    async fn lock<'a>(
        &self,
        tx: &mut Tx,
        moves: &'a [Move],
        waits: bool,
        round: &mut Round,
    ) -> Result<Vec<(Claimed, &'a Move)>, EngineError> {
        if moves.is_empty() {
            return Ok(vec![]);
        }
        let ids: Vec<_> = moves.iter().map(|one| one.claimed.run.id).collect();
        let locked = claims::lock(tx, &ids, waits).await?;
        let locked: HashMap<_, _> = locked.into_iter().map(|row| (row.id, row)).collect();
        let (mut ours, mut changed) = (vec![], vec![]);
        for one in moves {
            let mut claimed = one.claimed.clone();
            let Some(row) = locked.get(&claimed.run.id) else {
                round.locked.push(Move { claimed, done: one.done.clone() });
                continue;
            };
            let run = &mut claimed.run;
            if row.fence != run.fence || row.status != RunStatus::Running || row.generation != run.generation {
                info!(run.id = %run.id, "an outcome came too late for its fence and is dropped");
                round.left.push(run.id);
                continue;
            }
            (run.held, run.stopping) = (row.held, row.stopping);
            if row.revision != run.revision {
                run.revision = row.revision;
                changed.push(run.id);
            }
            ours.push((claimed, one));
        }
        let mut now = by_run(steps::of_runs(tx, &changed).await?);
        for (claimed, _) in ours.iter_mut().filter(|(claimed, _)| changed.contains(&claimed.run.id)) {
            claimed.steps = now.remove(&claimed.run.id).unwrap_or_default();
        }
        Ok(ours)
    }

    /// Claims up to `room` runs, with their steps and definitions. One whose definition cannot be read fails here and now: it
    /// would be claimed first at every tick, and no other ever.
    async fn claim(&self, tx: &mut Tx, room: usize, round: &mut Round) -> Result<Vec<Claimed>, EngineError> {
        let now = self.clock.now();
        let most = i64::try_from(room).unwrap_or(i64::MAX);
        let found = claims::claim(tx, &self.owner, now, now + self.lease, most).await?;
        round.claimed = found.len();
        // A run that nobody has touched yet has no steps.
        let touched = found.iter().filter(|run| run.fence > 1 || run.revision > 0);
        let touched: Vec<_> = touched.map(|run| run.id).collect();
        let mut rows = by_run(steps::of_runs(tx, &touched).await?);
        let mut claimed = vec![];
        for run in found {
            match self.definitions.get(tx, &run.workflow_hash).await {
                Ok(workflow) => {
                    let steps = rows.remove(&run.id).unwrap_or_default();
                    claimed.push(Claimed { run, workflow, steps, in_hand: BTreeSet::new() });
                }
                Err(error) if error.is_transient() => return Err(error.into()),
                Err(error) => {
                    self.fail_unreadable(tx, &run, &error.to_string()).await?;
                    round.told = true;
                }
            }
        }
        Ok(claimed)
    }

    async fn fail_unreadable(&self, tx: &mut Tx, run: &RunRow, why: &str) -> Result<(), EngineError> {
        warn!(run.id = %run.id, run.name = run.name, "the definition of {} cannot be read: {why}", run.name);
        let run = runs::lock(tx, run.id).await?;
        let details = format!("this version of countersign cannot read its definition: {why}");
        self.fail_run(tx, &run, &Failure::high("definition_broken", details)).await
    }

    /// Claims and nothing else, so that the lease stands whatever comes of the runs.
    async fn claim_only(&self, room: usize) -> Result<Vec<Claimed>, EngineError> {
        let mut tx = self.store.begin().await?;
        let claimed = self.claim(&mut tx, room, &mut Round::default()).await?;
        tx.commit().await?;
        Ok(claimed)
    }

    /// The people that may be asked, for the customers of what is started.
    async fn users(
        &self,
        tx: &mut Tx,
        stay: &[Claimed],
        started: &[(usize, StepRow)],
    ) -> Result<HashMap<String, Vec<User>>, EngineError> {
        let starting = started.iter().filter_map(|(at, _)| stay.get(*at));
        let customers: BTreeSet<&str> = starting.map(|claimed| claimed.run.customer.as_str()).collect();
        if customers.is_empty() {
            return Ok(HashMap::new());
        }
        Ok(people::users_of(tx, &customers.into_iter().collect::<Vec<_>>()).await?)
    }
}

fn by_run(rows: Vec<StepRow>) -> HashMap<RunId, BTreeMap<String, StepRow>> {
    let mut found: HashMap<RunId, BTreeMap<String, StepRow>> = HashMap::new();
    for row in rows {
        found.entry(row.run_id).or_default().insert(row.name.clone(), row);
    }
    found
}
