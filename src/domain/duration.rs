//! Spans of time as people write them in files: `90s`, `15m`, `4h`, `2d`, `1w`.

use std::fmt;
use std::str::FromStr;

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

/// A span in whole seconds, written as a number and a unit: `s`, `m`, `h`, `d` (24 h) or `w`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span {
    pub secs: u32,
}

impl Span {
    pub const fn from_secs(secs: u32) -> Self {
        Self { secs }
    }

    pub fn delta(self) -> TimeDelta {
        TimeDelta::seconds(i64::from(self.secs))
    }
}

const UNITS: [(char, u32); 5] = [('w', 604_800), ('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mend = || format!("`{text}` is no time span; write a number and a unit, such as 90s, 15m, 4h, 2d or 1w");
        let unit = text.chars().last().ok_or_else(mend)?;
        let (_, unit_secs) = UNITS.into_iter().find(|(name, _)| *name == unit).ok_or_else(mend)?;
        let count: u32 = text[..text.len() - 1].trim().parse().map_err(|_| mend())?;
        let secs = count.checked_mul(unit_secs).ok_or_else(|| format!("`{text}` is longer than 136 years"))?;
        Ok(Self { secs })
    }
}

impl TryFrom<String> for Span {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, unit_secs) = UNITS
            .into_iter()
            .find(|(_, unit_secs)| self.secs > 0 && self.secs.is_multiple_of(*unit_secs))
            .unwrap_or(('s', 1));
        write!(f, "{}{unit}", self.secs / unit_secs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_and_print_as_written() {
        for (text, secs) in [("0s", 0), ("90s", 90), ("15m", 900), ("4h", 14_400), ("2d", 172_800), ("1w", 604_800)] {
            let span: Span = text.parse().unwrap();
            assert_eq!((span.secs, span.to_string().as_str()), (secs, text));
        }
    }

    #[test]
    fn what_is_no_span_is_refused_with_the_mend() {
        for text in ["", "d", "2", "2y", "-1d", "1.5h", "9999999999w", "2é"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }
}
