//! Malware on the way in: what is scanned, and what becomes of what is infected. Asking clamd is left to `malware`.

use super::read::Reader;
use super::{IntakeError, filing};
use crate::domain::message::{Message, PartRole};
use crate::domain::verdict::{Decision, Severity, Verdict};
use crate::malware::Scan;
use crate::store::messages::MessageRow;

/// The guard's name in explanations.
const GUARD: &str = "malware";

impl Reader {
    /// Scans a message as it came; clamd takes it apart in its own way. The decision that ends it, if any; without a scanner none.
    ///
    /// # Errors
    /// When it could not be scanned. Nothing is known about it then, and it must wait.
    pub(super) async fn scan(&self, raw: &[u8]) -> Result<Option<Decision>, IntakeError> {
        self.scan_one(raw, "").await
    }

    /// Scans the parts that would be handed on, as we took them apart: broken mail is read in more than one way, and an
    /// archive may be beyond clamd's limits. clamd remembers what was clean, so that it costs little more than the way there.
    ///
    /// # Errors
    /// As `scan`.
    pub(super) async fn scan_parts(&self, message: &Message) -> Result<Option<Decision>, IntakeError> {
        for part in message.parts.iter().filter(|part| filing::is_written(part) && !part.content.is_empty()) {
            let found = self.scan_one(&part.content, &format!(" in part {}", part.index)).await?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Why a message in quarantine is not let out, by the signatures of now. One that was infected stays while nothing scans.
    ///
    /// # Errors
    /// As `scan`.
    pub(super) async fn scan_again(&self, row: &MessageRow, raw: &[u8]) -> Result<Option<String>, IntakeError> {
        let guard = row.explanation.as_ref().and_then(|explanation| explanation.0.guard.as_deref());
        if self.scanner.is_none() && guard == Some(GUARD) {
            let before = row.reason.as_deref().unwrap_or_default();
            return Ok(Some(format!("{before}; without [malware] in the configuration nothing can scan it again")));
        }
        Ok(self.scan(raw).await?.map(|decision| decision.reason))
    }

    async fn scan_one(&self, bytes: &[u8], place: &str) -> Result<Option<Decision>, IntakeError> {
        let Some(scanner) = &self.scanner else { return Ok(None) };
        let quarantine = |severity, reason| Some(Decision::by_guard(GUARD, Verdict::Quarantine { severity }, reason));
        match scanner.scan(bytes).await {
            Ok(Scan::Clean) => Ok(None),
            Ok(Scan::Infected { signature }) => {
                Ok(quarantine(Severity::High, format!("clamd found {signature}{place}")))
            }
            // It would never pass, however often it is tried.
            Err(error) if error.is_too_large() => Ok(quarantine(Severity::Medium, error.to_string())),
            Err(error) => Err(error.into()),
        }
    }
}

/// Keeps the parts of a message out of everybody's hands: they are told of, and stay inside the raw message.
pub(super) fn withhold(message: &mut Message) {
    for part in message.parts.iter_mut().filter(|part| filing::is_written(part)) {
        part.role = PartRole::Refused;
    }
}
