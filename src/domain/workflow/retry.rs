//! How long an attempt may take, and how often and how soon it is repeated.

use serde::{Deserialize, Serialize};

use crate::domain::duration::Span;
use crate::domain::failure::Failure;

/// How often and how soon a failed attempt is repeated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// Further attempts after the first.
    pub count: u32,
    pub interval: Span,
    #[serde(default)]
    pub backoff: Backoff,
    /// Longest pause; a day where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap: Option<Span>,
    /// By up to so many percent a pause is longer, so that what failed together is not repeated together.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub jitter_percent: u8,
    /// Reasons of failures that no repeat will mend.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub never_on: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(percent: &u8) -> bool {
    *percent == 0
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            count: 3,
            interval: Span::from_secs(30),
            backoff: Backoff::Exponential,
            cap: None,
            jitter_percent: 0,
            never_on: vec![],
        }
    }
}

impl Retry {
    /// Longest pause between attempts where nothing is said.
    const MAX_PAUSE_SECS: u32 = 86_400;

    /// Pause before attempt `attempt + 1`, when `attempt` (from 1) has failed in this way; none when no more are allowed.
    /// `dice` is any number that differs from run to run: it gives the jitter.
    pub fn pause_after(&self, attempt: u32, failure: &Failure, dice: u64) -> Option<Span> {
        if attempt > self.count || self.never_on.contains(&failure.reason) {
            return None;
        }
        let factor = match self.backoff {
            Backoff::Fixed => 1,
            Backoff::Exponential => 2u32.saturating_pow(attempt.saturating_sub(1)),
        };
        let cap_secs = self.cap.map_or(Self::MAX_PAUSE_SECS, |cap| cap.secs);
        let secs = self.interval.secs.saturating_mul(factor).min(cap_secs);
        let longest_more = u64::from(secs) * u64::from(self.jitter_percent) / 100;
        let more = u32::try_from(dice % (longest_more + 1)).unwrap_or_default();
        Some(Span::from_secs(secs.saturating_add(more)))
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backoff {
    Fixed,
    #[default]
    Exponential,
}

/// How long an attempt may take. At least one of them is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timeout {
    /// Only tells people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soft: Option<Span>,
    /// Ends the attempt, working or waiting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hard: Option<Span>,
    /// Ends an attempt that works and has told no progress for so long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat: Option<Span>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_pause_longer_and_end() {
        let retry = Retry { interval: Span::from_secs(10), ..Default::default() };
        let pauses = |retry: &Retry, dice| -> Vec<_> {
            let failure = Failure::medium("away", "");
            (1..=4).map(|attempt| retry.pause_after(attempt, &failure, dice).map(|span| span.secs)).collect()
        };
        assert_eq!(pauses(&retry, 99), [Some(10), Some(20), Some(40), None]);
        let capped = Retry { cap: Some(Span::from_secs(15)), ..retry.clone() };
        assert_eq!(pauses(&capped, 99), [Some(10), Some(15), Some(15), None]);
        let spread = Retry { jitter_percent: 50, ..retry.clone() };
        assert_eq!(pauses(&spread, 5), [Some(15), Some(25), Some(45), None]);
        let never = Retry { never_on: vec!["away".into()], ..retry };
        assert_eq!(pauses(&never, 0), [None; 4]);
    }
}
