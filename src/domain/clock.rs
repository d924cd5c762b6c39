//! Time by injection: the daemon uses the system's clock, tests and the demo one that they move by hand.

use std::fmt::Debug;
use std::sync::Arc;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use futures_util::future::BoxFuture;
use tokio::sync::watch;

/// Tells the time and wakes at a time. Every deadline is computed and waited for through this.
pub trait Clock: Send + Sync + Debug {
    /// Now, in whole microseconds (what both databases keep).
    fn now(&self) -> DateTime<Utc>;
    /// Completes when `now()` has reached `at`.
    fn sleep_until(&self, at: DateTime<Utc>) -> BoxFuture<'static, ()>;
}

pub type SharedClock = Arc<dyn Clock>;

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        to_micros(Utc::now())
    }

    fn sleep_until(&self, at: DateTime<Utc>) -> BoxFuture<'static, ()> {
        let pause = (at - Utc::now()).to_std().unwrap_or_default();
        Box::pin(tokio::time::sleep(pause))
    }
}

/// A clock that stands still until it is moved. Clones share the same time.
#[derive(Debug, Clone)]
pub struct ManualClock(watch::Sender<DateTime<Utc>>);

impl ManualClock {
    pub fn new(at: DateTime<Utc>) -> Self {
        Self(watch::channel(to_micros(at)).0)
    }

    /// Moves time forward and wakes whoever waited for it.
    pub fn advance(&self, by: TimeDelta) {
        self.0.send_modify(|now| *now += by);
    }

    /// Moves time forward to `at`; an earlier `at` changes nothing.
    pub fn advance_to(&self, at: DateTime<Utc>) {
        self.0.send_modify(|now| *now = (*now).max(to_micros(at)));
    }
}

impl Clock for ManualClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.borrow()
    }

    fn sleep_until(&self, at: DateTime<Utc>) -> BoxFuture<'static, ()> {
        let mut time = self.0.subscribe();
        Box::pin(async move {
            if time.wait_for(|now| *now >= at).await.is_err() {
                std::future::pending::<()>().await;
            }
        })
    }
}

/// Cuts an instant to microseconds, so that it reads back equal from either database.
pub fn to_micros(at: DateTime<Utc>) -> DateTime<Utc> {
    at.duration_trunc(TimeDelta::microseconds(1)).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_sleeper_wakes_when_the_clock_is_moved_past_its_time() {
        let clock = ManualClock::new(Utc::now());
        let sleeper = tokio::spawn(clock.sleep_until(clock.now() + TimeDelta::days(3)));
        clock.advance(TimeDelta::days(4));
        sleeper.await.unwrap();
    }
}
