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
        /// An operator ends it, but lets what is in hand end first.
        Stop = "stop",
        /// An operator ends it at once.
        Kill = "kill",
        /// An operator runs it again from a step, under a new generation.
        Restart = "restart",
    }
}

/// What operators ask of runs, in the order in which it is offered.
pub const OPERATOR_EVENTS: [RunEvent; 5] =
    [RunEvent::Resume, RunEvent::Pause, RunEvent::Stop, RunEvent::Kill, RunEvent::Restart];

/// A run's status and what operators asked of it that is still to come about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunState {
    pub status: RunStatus,
    /// Nothing starts until an operator lets go.
    pub held: bool,
    /// Only while running: what is in hand ends, then the run is killed.
    pub stopping: bool,
}

impl RunState {
    /// A status of which nothing is asked.
    pub fn of(status: RunStatus) -> Self {
        Self { status, held: false, stopping: false }
    }

    /// What an operator may ask of it now: `resume`, `stop`, ...
    pub fn takes(self, restartable: bool) -> Vec<RunEvent> {
        OPERATOR_EVENTS.into_iter().filter(|event| next_status(self, *event, restartable).is_ok()).collect()
    }
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
    let RunState { status, held, stopping } = state;
    let refused = Err(Refusal::Refused { status, event });
    let late = Err(Refusal::Late { status, event });
    let illegal = Err(Refusal::Illegal { status, event });
    let to = |status| Ok(RunState::of(status));
    let hold = |status| Ok(RunState { status, held: true, stopping: false });
    match (status, event) {
        (S::Queued, E::Claim) => to(S::Running),
        (S::Running, E::Claim) => refused,
        (_, E::Claim) => illegal,

        // It has drained: a stopped run has ended, a held one comes to rest as waiting, still held.
        (S::Running, E::OnlyWaitsLeft) if stopping => to(S::Killed),
        (S::Running, E::OnlyWaitsLeft) => Ok(RunState { status: S::Waiting, ..state }),
        (_, E::OnlyWaitsLeft) => illegal,

        (S::Running, E::Wake) => Ok(state),
        (S::Waiting, E::Wake) if held => Ok(state),
        (S::Waiting, E::Wake) => to(S::Queued),
        (S::Queued, E::Wake) => illegal,
        (S::Completed | S::Failed | S::Killed, E::Wake) => late,

        (S::Queued, E::Pause) => hold(S::Waiting),
        (S::Running, E::Pause) if stopping => refused,
        (S::Running | S::Waiting, E::Pause) => hold(status),
        (_, E::Pause) => refused,

        // What woke it while it was held counts now: it is queued and plans again.
        (S::Waiting, E::Resume) if held => to(S::Queued),
        (S::Running, E::Resume) if held => to(S::Running),
        (_, E::Resume) => refused,

        (S::Running, E::AllDone) => to(S::Completed),
        (_, E::AllDone) => illegal,

        (S::Queued | S::Running | S::Waiting, E::Fatal) => to(S::Failed),
        (_, E::Fatal) => illegal,

        (S::Running, E::Stop) => Ok(RunState { status, held: false, stopping: true }),
        (S::Queued | S::Waiting, E::Stop) => to(S::Killed),
        (_, E::Stop) => refused,

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

    /// Every (state, event) pair, written out: `!` refused, `~` late, `-` illegal, `+` held, `*` stopping.
    const TABLE: [(&str, &str); 9] = [
        ("queued", "running - - waiting+ ! - failed killed killed !"),
        ("running", "! waiting running running+ ! completed failed running* killed !"),
        ("running+", "! waiting+ running+ running+ running completed failed running* killed !"),
        ("running*", "! killed running* ! ! completed failed running* killed !"),
        ("waiting", "- - queued waiting+ ! - failed killed killed !"),
        ("waiting+", "- - waiting+ waiting+ queued - failed killed killed !"),
        ("completed", "- - ~ ! ! - - ! ! !"),
        ("failed", "- - ~ ! ! - - ! ! queued"),
        ("killed", "- - ~ ! ! - - ! ! queued"),
    ];

    fn state(word: &str) -> RunState {
        let status = word.trim_end_matches(['+', '*']).parse().unwrap();
        RunState { status, held: word.ends_with('+'), stopping: word.ends_with('*') }
    }

    fn word(state: RunState) -> String {
        let mark = match (state.held, state.stopping) {
            (true, true) => "+*",
            (true, false) => "+",
            (false, true) => "*",
            (false, false) => "",
        };
        format!("{}{mark}", state.status)
    }

    #[test]
    fn every_pair_of_state_and_event_has_its_answer() {
        for (from, row) in TABLE {
            for (event, expected) in RunEvent::ALL.iter().zip(row.split(' ')) {
                let got = match next_status(state(from), *event, false) {
                    Ok(next) => word(next),
                    Err(Refusal::Refused { .. }) => "!".into(),
                    Err(Refusal::Late { .. }) => "~".into(),
                    Err(Refusal::Illegal { .. }) => "-".into(),
                };
                assert_eq!(got, expected, "{from} on {event}");
            }
            assert_eq!(row.split(' ').count(), RunEvent::ALL.len());
        }
        let completed = RunState::of(RunStatus::Completed);
        assert_eq!(next_status(completed, RunEvent::Restart, true).unwrap().status, RunStatus::Queued);
    }

    /// Whatever leads out of the states of the table leads back into it, so that no pair is missing.
    #[test]
    fn no_event_leads_to_a_state_that_the_table_does_not_know() {
        let known: Vec<_> = TABLE.iter().map(|(from, _)| state(from)).collect();
        for from in &known {
            for event in RunEvent::ALL {
                for restartable in [false, true] {
                    if let Ok(next) = next_status(*from, *event, restartable) {
                        assert!(known.contains(&next), "{} on {event}: {}", word(*from), word(next));
                        assert!(!from.status.is_final() || *event == RunEvent::Restart, "{} moved", word(*from));
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_offered_is_what_is_taken() {
        let check = |from: &str, expected: &str| {
            let takes: Vec<_> = state(from).takes(false).iter().map(|event| event.as_str()).collect();
            assert_eq!(takes.join(" "), expected, "{from}");
        };
        check("waiting", "pause stop kill");
        check("waiting+", "resume pause stop kill");
        check("running*", "stop kill");
        check("failed", "restart");
        check("completed", "");
    }
}
