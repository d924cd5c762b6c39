//! The signals that end the daemon, and the one that makes it read its files again.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Completes at SIGTERM or SIGINT.
///
/// # Errors
/// When the handlers cannot be installed.
pub fn told_to_stop() -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Yields at each SIGHUP, which ends the process no more from now on.
///
/// # Errors
/// When the handler cannot be installed.
pub fn told_to_reload() -> std::io::Result<Signal> {
    signal(SignalKind::hangup())
}
