//! Business time: nobody is reminded at midnight, on a weekend or on a holiday.

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveDateTime, NaiveTime, TimeZone, Utc, Weekday};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

/// Working hours in a zone. Deadlines are instants; this says when an instant suits people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Calendar {
    /// IANA zone name, such as `Europe/Berlin`.
    pub zone: Tz,
    /// Local opening time, `09:00`.
    #[serde(with = "hour_minute")]
    pub opens: NaiveTime,
    /// Local closing time, after `opens`.
    #[serde(with = "hour_minute")]
    pub closes: NaiveTime,
    /// Days off, as local dates.
    pub holidays: Vec<NaiveDate>,
}

impl Default for Calendar {
    fn default() -> Self {
        let hour = |hour| NaiveTime::from_hms_opt(hour, 0, 0).unwrap_or_default();
        Self { zone: Tz::UTC, opens: hour(8), closes: hour(18), holidays: vec![] }
    }
}

impl Calendar {
    /// The first instant at or after `at` that lies in working hours.
    pub fn next_open(&self, at: DateTime<Utc>) -> DateTime<Utc> {
        let local = at.with_timezone(&self.zone).naive_local();
        let today = local.date();
        if self.works_on(today) && local.time() >= self.opens && local.time() < self.closes {
            return at;
        }
        let first = if local.time() < self.opens { today } else { today + Days::new(1) };
        // A year of nothing but holidays is a mistake in the file; then the plain instant stands.
        first
            .iter_days()
            .take(366)
            .find(|day| self.works_on(*day))
            .map_or(at, |day| self.instant(day.and_time(self.opens)))
    }

    fn works_on(&self, day: NaiveDate) -> bool {
        !matches!(day.weekday(), Weekday::Sat | Weekday::Sun) && !self.holidays.contains(&day)
    }

    /// The instant of a local time; in a gap or an overlap of daylight saving, the later one.
    fn instant(&self, local: NaiveDateTime) -> DateTime<Utc> {
        let mut at = local;
        loop {
            if let Some(found) = self.zone.from_local_datetime(&at).latest() {
                return found.with_timezone(&Utc);
            }
            at += chrono::TimeDelta::minutes(15);
        }
    }
}

mod hour_minute {
    use chrono::NaiveTime;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(time: &NaiveTime, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&time.format("%H:%M").to_string())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<NaiveTime, D::Error> {
        let text = String::deserialize(from)?;
        NaiveTime::parse_from_str(&text, "%H:%M")
            .map_err(|_| D::Error::custom(format!("`{text}` is no time of day; write it as 09:00")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn berlin() -> Calendar {
        Calendar { zone: Tz::Europe__Berlin, holidays: vec!["2026-12-25".parse().unwrap()], ..Default::default() }
    }

    #[test]
    fn an_instant_outside_working_hours_moves_to_the_next_opening() {
        let check = |at: &str, expected: &str| {
            let opened = berlin().next_open(at.parse().unwrap());
            assert_eq!(opened, expected.parse::<DateTime<Utc>>().unwrap(), "{at}");
        };
        check("2026-11-23T10:00:00Z", "2026-11-23T10:00:00Z"); // Monday, open
        check("2026-11-23T03:00:00Z", "2026-11-23T07:00:00Z"); // night
        check("2026-11-23T17:00:00Z", "2026-11-24T07:00:00Z"); // closed at 18:00 in Berlin
        check("2026-11-21T10:00:00Z", "2026-11-23T07:00:00Z"); // Saturday
        check("2026-12-24T20:00:00Z", "2026-12-28T07:00:00Z"); // holiday, then weekend
        check("2026-03-27T20:00:00Z", "2026-03-30T06:00:00Z"); // summer time began meanwhile
    }

    #[test]
    fn a_local_time_that_does_not_exist_becomes_the_later_instant() {
        let night = Calendar { zone: Tz::Europe__Berlin, ..Default::default() };
        let gap = "2026-03-29T02:30:00".parse().unwrap();
        assert_eq!(night.instant(gap), "2026-03-29T01:00:00Z".parse::<DateTime<Utc>>().unwrap());
        let overlap = "2026-10-25T02:30:00".parse().unwrap();
        assert_eq!(night.instant(overlap), "2026-10-25T01:30:00Z".parse::<DateTime<Utc>>().unwrap());
    }
}
