//! Named places between two effects, where a test may kill the process. In production each is one load of a static.

use std::sync::OnceLock;

/// Every crash point, in the order of a message's way. A test visits them all.
pub const POINTS: &[&str] = &[
    "intake.listed",
    "intake.fetched",
    "intake.filed",
    "intake.before_commit",
    "intake.committed",
    "intake.flagged",
    "engine.claimed",
    "engine.before_perform",
    "engine.performed",
    "engine.committed",
    "post.written",
    "delivery.claimed",
    "delivery.sent",
    "delivery.marked",
    "decide.before_commit",
    "decide.committed",
];

static ARMED: OnceLock<String> = OnceLock::new();

/// Makes the process die at `point` from now on. Called once, from `main`, when `COUNTERSIGN_CRASH_AT` is set.
///
/// # Errors
/// When no such point exists, so that a test cannot silently crash nowhere.
pub fn arm(point: &str) -> Result<(), String> {
    if !POINTS.contains(&point) {
        return Err(format!("no crash point `{point}`; there are: {}", POINTS.join(", ")));
    }
    ARMED.set(point.to_owned()).map_err(|_| "a crash point is armed already".to_owned())
}

/// Dies here by SIGKILL if this point is armed: no destructor runs and nothing is flushed, as in a real kill.
pub fn point(name: &str) {
    debug_assert!(POINTS.contains(&name), "crash point `{name}` is not listed");
    if ARMED.get().is_some_and(|armed| armed == name) {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        std::process::abort();
    }
}
