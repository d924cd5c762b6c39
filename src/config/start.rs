//! Where a mailbox starts: which mail of before the first contact is taken in.

use std::str::FromStr;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use serde::Deserialize;

/// What is taken in of the mail that lies there at the first contact. The rest is written down and left alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Start {
    #[default]
    All,
    /// What the server received from the first contact on.
    Now,
    /// What the server received from the midnight (UTC) of a day on.
    Day(NaiveDate),
}

impl Start {
    /// The instant of which earlier mail is left alone, if the first contact is `now`; none where none is.
    pub fn instant(self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::All => None,
            Self::Now => Some(now),
            Self::Day(day) => Some(day.and_time(NaiveTime::MIN).and_utc()),
        }
    }
}

impl FromStr for Start {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "all" => Ok(Self::All),
            "now" => Ok(Self::Now),
            day => day
                .parse()
                .map(Self::Day)
                .map_err(|_| format!("`{text}` is no start; write all, now, or a day such as 2026-11-01")),
        }
    }
}

impl TryFrom<String> for Start {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_a_word_or_a_day() {
        let now: DateTime<Utc> = "2026-11-22T09:30:00Z".parse().unwrap();
        let check = |text: &str, expected: Option<&str>| {
            let start: Start = text.parse().unwrap();
            assert_eq!(start.instant(now), expected.map(|at| at.parse().unwrap()), "{text}");
        };
        check("all", None);
        check("now", Some("2026-11-22T09:30:00Z"));
        check("2026-11-01", Some("2026-11-01T00:00:00Z"));
        for text in ["", "today", "2026-13-01", "1.11.2026"] {
            assert!(text.parse::<Start>().unwrap_err().ends_with("a day such as 2026-11-01"), "{text}");
        }
    }
}
