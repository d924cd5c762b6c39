//! When a list or a report begins: a span before now, a date or an instant.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};

use crate::domain::duration::Span;

/// The beginning of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    Ago(Span),
    /// An instant; a date stands for its midnight in UTC.
    At(DateTime<Utc>),
}

impl Since {
    pub fn instant(self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::Ago(span) => now - span.delta(),
            Self::At(at) => at,
        }
    }
}

impl std::str::FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(span) = text.parse() {
            return Ok(Self::Ago(span));
        }
        if let Ok(date) = text.parse::<NaiveDate>() {
            return Ok(Self::At(date.and_time(NaiveTime::MIN).and_utc()));
        }
        let at = DateTime::parse_from_rfc3339(text).map_err(|_| {
            "write a span such as 7d, a date such as 2026-03-01, or an instant such as 2026-03-01T09:00:00Z".to_owned()
        })?;
        Ok(Self::At(at.to_utc()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_a_span_a_date_or_an_instant() {
        let now: DateTime<Utc> = "2026-03-10T09:00:00Z".parse().unwrap();
        let check = |text: &str, expected: &str| {
            let since: Since = text.parse().unwrap();
            assert_eq!(since.instant(now), expected.parse::<DateTime<Utc>>().unwrap(), "{text}");
        };
        check("7d", "2026-03-03T09:00:00Z");
        check("2026-03-01", "2026-03-01T00:00:00Z");
        check("2026-03-01T10:00:00+01:00", "2026-03-01T09:00:00Z");
        assert!("yesterday".parse::<Since>().is_err());
    }
}
