//! Word that there may be work: between the loops of this process, to other processes and from them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// Poked after every commit that may have left work, so that loops need not wait for their tick.
#[derive(Debug, Default)]
pub struct Work {
    here: Notify,
    elsewhere: Notify,
    pokes: AtomicU64,
    closing: AtomicBool,
}

impl Work {
    /// Wakes every loop of this process, and has the other processes told.
    pub fn notify_waiters(&self) {
        self.heard();
        self.elsewhere.notify_one();
    }

    /// Wakes the loops of this process for what another one did.
    pub fn heard(&self) {
        self.pokes.fetch_add(1, Ordering::Relaxed);
        self.here.notify_waiters();
    }

    /// Completes at the next poke after this call, even if it is waited for only later.
    pub fn notified(&self) -> Notified<'_> {
        self.here.notified()
    }

    /// Completes when other processes are to be told; several pokes may be told as one.
    pub async fn to_be_told(&self) {
        self.elsewhere.notified().await;
    }

    /// How often it was poked; equal numbers mean that nothing was missed between.
    pub fn pokes(&self) -> u64 {
        self.pokes.load(Ordering::Relaxed)
    }

    /// From now on workers take no further run; what they have in hand they finish.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    pub fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn what_another_process_did_wakes_loops_and_is_not_told_back() {
        let work = Work::default();
        let loops = work.notified();
        work.heard();
        loops.await;
        assert!(work.to_be_told().now_or_never().is_none());
        work.notify_waiters();
        work.to_be_told().await;
        assert_eq!(work.pokes(), 2);
    }
}
