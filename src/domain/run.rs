//! The state machine of a run: a total function over (state, event). What it refuses, nobody may do.

use serde::{Deserialize, Serialize};

use super::words::words;

words! {
    /// Where a run is. Why it waits is told by its open waits and by `held`.
    RunStatus {
        Queued = "queued", Running = "running", Waiting = "waiting", Completed = "completed", Failed = "failed", Killed = "killed",
    }
}

impl RunStatus {
    /// Whether nothing will happen any more by itself.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Killed)
    }
}

words! {
    /// What may happen to a run.
    RunEvent {
        /// A worker takes it.
        Claim = "claim",
        /// Nothing is left to do but wait.
        OnlyWaitsLeft = "only waits left",
        /// A wait ended or a timer fired.
        Wake = "wake",
        /// An operator holds it.
        Pause = "pause",
        /// The operator lets go.
        Resume = "resume",
        /// Every step is done or skipped.
        AllDone = "all done",
        /// A step failed for good.
        Fatal = "fatal",
        /// An operator ends it.
        Kill = "kill",
        /// An operator runs it again from a step, under a new generation.
        Restart = "restart",
    }
}

/// A run's status and whether an operator holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunState {
    pub status: RunStatus,
    pub held: bool,
}

/// Why an event has no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A person asked for something that this state does not allow; tell them.
    #[error("a {status} run takes no {event}")]
    Refused { status: RunStatus, event: RunEvent },
    /// A wake, timer or answer of an older time; log it.
    #[error("{event} came after the run was {status}")]
    Late { status: RunStatus, event: RunEvent },
    /// Cannot happen; a defect if it does.
    #[error("{event} is not possible on a {status} run")]
    Illegal { status: RunStatus, event: RunEvent },
}

/// The state after `event`. A completed run restarts only where its workflow allows (`restartable`).
///
/// # Errors
/// `Refusal` for every pair that the table of `ARCHITECTURE.md` does not carry out.
pub fn next_status(state: RunState, event: RunEvent, restartable: bool) -> Result<RunState, Refusal> {
    use RunEvent as E;
    use RunStatus as S;
    let RunState { status, held } = state;
    let refused = Err(Refusal::Refused { status, event });
    let late = Err(Refusal::Late { status, event });
    let illegal = Err(Refusal::Illegal { status, event });
    let to = |status| Ok(RunState { status, held: false });
    match (status, event) {
        (S::Queued, E::Claim) => to(S::Running),
        (S::Running, E::Claim) => refused,
        (_, E::Claim) => illegal,

        // While it drains, a held run comes to rest as waiting, still held.
        (S::Running, E::OnlyWaitsLeft) => Ok(RunState { status: S::Waiting, held }),
        (_, E::OnlyWaitsLeft) => illegal,

        (S::Running, E::Wake) => Ok(state),
        (S::Waiting, E::Wake) if held => Ok(state),
        (S::Waiting, E::Wake) => to(S::Queued),
        (S::Queued, E::Wake) => illegal,
        (S::Completed | S::Failed | S::Killed, E::Wake) => late,

        (S::Queued, E::Pause) => Ok(RunState { status: S::Waiting, held: true }),
        (S::Running | S::Waiting, E::Pause) => Ok(RunState { status, held: true }),
        (_, E::Pause) => refused,

        // What woke it while it was held counts now: it is queued and plans again.
        (S::Waiting, E::Resume) if held => to(S::Queued),
        (S::Running, E::Resume) if held => to(S::Running),
        (_, E::Resume) => refused,

        (S::Running, E::AllDone) => to(S::Completed),
        (_, E::AllDone) => illegal,

        (S::Queued | S::Running | S::Waiting, E::Fatal) => to(S::Failed),
        (_, E::Fatal) => illegal,

        (S::Queued | S::Running | S::Waiting, E::Kill) => to(S::Killed),
        (_, E::Kill) => refused,

        (S::Completed, E::Restart) if !restartable => refused,
        (S::Completed | S::Failed | S::Killed, E::Restart) => to(S::Queued),
        (_, E::Restart) => refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every (state, event) pair, written out: `!` refused, `~` late, `-` illegal, `+` held.
    #[test]
    fn every_pair_of_state_and_event_has_its_answer() {
        let events = RunEvent::ALL;
        let table = [
            ("queued", "running - - waiting+ ! - failed killed !"),
            ("running", "! waiting running running+ ! completed failed killed !"),
            ("running+", "! waiting+ running+ running+ running completed failed killed !"),
            ("waiting", "- - queued waiting+ ! - failed killed !"),
            ("waiting+", "- - waiting+ waiting+ queued - failed killed !"),
            ("completed", "- - ~ ! ! - - ! !"),
            ("failed", "- - ~ ! ! - - ! queued"),
            ("killed", "- - ~ ! ! - - ! queued"),
        ];
        for (from, row) in table {
            let state = RunState { status: from.trim_end_matches('+').parse().unwrap(), held: from.ends_with('+') };
            for (event, expected) in events.iter().zip(row.split(' ')) {
                let got = match next_status(state, *event, false) {
                    Ok(next) => format!("{}{}", next.status, if next.held { "+" } else { "" }),
                    Err(Refusal::Refused { .. }) => "!".into(),
                    Err(Refusal::Late { .. }) => "~".into(),
                    Err(Refusal::Illegal { .. }) => "-".into(),
                };
                assert_eq!(got, expected, "{from} on {event}");
            }
            assert_eq!(row.split(' ').count(), events.len());
        }
        let completed = RunState { status: RunStatus::Completed, held: false };
        assert_eq!(next_status(completed, RunEvent::Restart, true).unwrap().status, RunStatus::Queued);
    }
}
