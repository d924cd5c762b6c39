//! The state machine of a step. A step that has not started has no row; `None` stands for it.

use super::words::words;

words! {
    /// Where a step is.
    StepStatus {
        Running = "running", Waiting = "waiting", Success = "success", FailureRetry = "failure_retry", Failure = "failure",
        Skipped = "skipped",
    }
}

impl StepStatus {
    /// Whether the step will not move again in this generation by itself; an operator may still override a failure, in the next.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Success | Self::Failure | Self::Skipped)
    }
}

words! {
    /// What may happen to a step.
    StepEvent {
        /// A worker starts an attempt; a second start of a running step is a crashed attempt being repeated.
        Start = "start",
        /// Its condition is false, or every step it needs was skipped.
        Skip = "skip",
        Done = "done",
        /// The agent needs somebody.
        Wait = "wait",
        /// The attempt failed and another is allowed.
        Retry = "retry",
        Fail = "fail",
        /// The wait it opened has ended with an answer.
        Answer = "answer",
        /// An operator gives its output instead.
        Override = "override",
    }
}

/// Why an event has no effect on a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{event} is not possible on a step that is {}", .status.map_or("not started", StepStatus::as_str))]
pub struct IllegalStep {
    pub status: Option<StepStatus>,
    pub event: StepEvent,
}

/// The status after `event`.
///
/// # Errors
/// `IllegalStep` for every pair that makes no sense; the caller leaves the step as it is.
pub fn next_status(status: Option<StepStatus>, event: StepEvent) -> Result<StepStatus, IllegalStep> {
    use StepEvent as E;
    use StepStatus as S;
    match (status, event) {
        (None | Some(S::FailureRetry | S::Running), E::Start) => Ok(S::Running),
        (None, E::Skip) => Ok(S::Skipped),
        (Some(S::Running), E::Done) | (Some(S::Waiting), E::Answer) => Ok(S::Success),
        (Some(S::Running), E::Wait) => Ok(S::Waiting),
        (Some(S::Running | S::Waiting), E::Retry) => Ok(S::FailureRetry),
        (Some(S::Running | S::Waiting | S::FailureRetry), E::Fail) => Ok(S::Failure),
        (Some(S::Running | S::Waiting | S::FailureRetry | S::Failure), E::Override) => Ok(S::Success),
        _ => Err(IllegalStep { status, event }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_of_state_and_event_has_its_answer() {
        let table = [
            (None, "running skipped - - - - - -"),
            (Some(StepStatus::Running), "running - success waiting failure_retry failure - success"),
            (Some(StepStatus::Waiting), "- - - - failure_retry failure success success"),
            (Some(StepStatus::FailureRetry), "running - - - - failure - success"),
            (Some(StepStatus::Success), "- - - - - - - -"),
            (Some(StepStatus::Failure), "- - - - - - - success"),
            (Some(StepStatus::Skipped), "- - - - - - - -"),
        ];
        for (status, row) in table {
            for (event, expected) in StepEvent::ALL.iter().zip(row.split(' ')) {
                let got = next_status(status, *event).map_or("-", StepStatus::as_str);
                assert_eq!(got, expected, "{status:?} on {event}");
            }
            assert_eq!(row.split(' ').count(), StepEvent::ALL.len());
        }
    }
}
