//! Tracing: what is logged, and in which form. Libraries that would print secrets are capped whatever the filter says.

use tracing::Metadata;
use tracing_subscriber::filter::{EnvFilter, FilterFn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::sections::LogFormat;

/// At `trace` async-imap prints the password; at `debug` lettre prints every line; sqlx prints bound text. The scheduler only
/// tells of itself.
const CAPPED: &[&str] = &["async_imap", "lettre", "sqlx", "aws_sigv4", "aws_smithy", "hyper", "tokio_cron_scheduler"];

/// Logs to standard error, filtered by `RUST_LOG`, or by `usual` when that is missing. Called once, from `main`.
pub fn start(format: LogFormat, usual: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(usual));
    let capped = FilterFn::new(may_speak);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
    let registry = tracing_subscriber::registry().with(filter).with(capped);
    match format {
        LogFormat::Text => registry.with(lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))).init(),
        LogFormat::Json => registry.with(lines.json()).init(),
    }
}

fn may_speak(metadata: &Metadata<'_>) -> bool {
    let capped = CAPPED.iter().any(|target| metadata.target().starts_with(target));
    !capped || *metadata.level() <= tracing::Level::WARN
}
