//! `concurrency`: runs with the same key that must not work beside each other. A run has its place from the moment it is let
//! through until it ends, also while it waits for people: the key stands for something that only so many may touch.

use super::{Engine, EngineError};
use crate::store::gates::{self, Gate};
use crate::store::workflows;

/// Gates looked at in one go.
const BATCH: i64 = 100;

impl Engine {
    /// Lets queued runs through where there is a place, in the order of their launch. Returns how many.
    ///
    /// A run that ends tells nobody: places are counted, so that a crash at any point loses none.
    pub(super) async fn open_gates(&self) -> Result<usize, EngineError> {
        let (mut done, mut last): (usize, Option<Gate>) = (0, None);
        loop {
            let mut tx = self.store.read().await?;
            let waited_at = gates::waited_at(&mut tx, last.as_ref(), BATCH, self.clock.now()).await?;
            drop(tx);
            for gate in &waited_at {
                done += self.open_gate(gate).await?;
            }
            last = waited_at.into_iter().last();
            if last.is_none() {
                break;
            }
        }
        if done > 0 {
            self.work.notify_waiters();
        }
        Ok(done)
    }

    async fn open_gate(&self, gate: &Gate) -> Result<usize, EngineError> {
        let mut tx = self.store.begin().await?;
        let Some(next) = gates::lock(&mut tx, gate, self.clock.now()).await? else { return Ok(0) };
        let width = match workflows::get(&mut tx, &next.workflow_hash).await {
            Ok(workflow) => workflow.concurrency.map_or(i64::MAX, |concurrency| i64::from(concurrency.width.max(1))),
            Err(error) if error.is_transient() => return Err(error.into()),
            // The worker that takes it says what is wrong with its definition.
            Err(_) => i64::MAX,
        };
        let free = width.saturating_sub(gates::inside(&mut tx, gate).await?);
        if free <= 0 {
            return Ok(0);
        }
        let opened = gates::open(&mut tx, gate, free, self.clock.now()).await;
        let opened = usize::try_from(opened?).unwrap_or_default();
        tx.commit().await?;
        Ok(opened)
    }
}
