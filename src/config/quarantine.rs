//! How long quarantined mail is kept.

use serde::Deserialize;

use crate::domain::duration::Span;

/// What becomes of quarantined mail by itself.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Quarantine {
    /// How long the bytes of a discarded message are kept; for good when missing. What nobody has decided about is kept
    /// whatever this says, and shown as overdue when it is older.
    pub keep: Option<Span>,
}
