//! What one message may cost while it is taken apart: parts, nesting, decoded bytes. One budget for the whole message,
//! containers included. What to do when it is spent is the caller's business.

use crate::config::sections::Limits;

/// Nesting that no configuration can raise: the walk is recursive.
const DEEPEST: u32 = 50;
/// A compressed member may grow to so many times its packed size,
const RATIO: u64 = 200;
/// once it is larger than this.
const RATIO_FROM_BYTES: u64 = 1 << 20;

/// What is left to spend.
#[derive(Debug)]
pub struct Budget {
    bytes: u64,
    parts: u32,
    depth: u32,
}

impl Budget {
    pub fn new(limits: &Limits) -> Self {
        Self { bytes: limits.unpacked_bytes, parts: limits.parts, depth: limits.depth.min(DEEPEST) }
    }

    /// Parts that may still be added.
    pub fn parts_left(&self) -> u32 {
        self.parts
    }

    /// Pays for bytes that are about to be written. False, and nothing paid, when there are not so many left.
    pub fn take_bytes(&mut self, bytes: usize) -> bool {
        match self.bytes.checked_sub(bytes as u64) {
            Some(left) => {
                self.bytes = left;
                true
            }
            None => false,
        }
    }

    /// Pays for bytes that were written in vain, as far as there are any left.
    pub fn waste(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// Pays for one part, multipart or member.
    pub fn take_part(&mut self) -> bool {
        let paid = self.parts > 0;
        self.parts = self.parts.saturating_sub(1);
        paid
    }

    /// Whether something may be nested this deep; the message itself is at 0.
    pub fn allows_depth(&self, depth: u32) -> bool {
        depth <= self.depth
    }

    /// How many bytes a member of `packed` bytes may unpack to.
    pub fn unpacked_limit(&self, packed: u64) -> u64 {
        self.bytes.min(packed.saturating_mul(RATIO).max(RATIO_FROM_BYTES))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_paid_twice_and_nothing_below_zero() {
        let limits = Limits { unpacked_bytes: 10, parts: 1, depth: 100_000, ..Limits::default() };
        let mut budget = Budget::new(&limits);
        assert!(budget.take_bytes(10) && !budget.take_bytes(1) && budget.take_bytes(0));
        assert!(budget.take_part() && !budget.take_part() && !budget.take_part());
        assert!(budget.allows_depth(DEEPEST) && !budget.allows_depth(DEEPEST + 1));
    }

    #[test]
    fn a_member_may_not_explode() {
        let budget = Budget::new(&Limits::default());
        assert_eq!(budget.unpacked_limit(10), RATIO_FROM_BYTES);
        assert_eq!(budget.unpacked_limit(100 << 10), (100 << 10) * RATIO);
        assert_eq!(budget.unpacked_limit(u64::MAX), Limits::default().unpacked_bytes);
    }
}
