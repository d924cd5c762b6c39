//! `window = { weekday = ["mon"], hours = "08:00-18:00", zone = "Europe/Berlin" }`: when it is screened.

use chrono::{Datelike, NaiveTime, Weekday};
use chrono_tz::Tz;

use super::{Compiled, Condition, Kind, Look, Workshop};
use crate::rules::read::{Entry, Fault, table, text, texts};
use crate::rules::seen::Seen;

pub(super) const KINDS: &[Kind] = &[Kind { key: "window", compile }];

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

#[derive(Debug)]
struct Window {
    /// Empty for every day.
    days: Vec<Weekday>,
    /// From and to; `to` before `from` goes over midnight.
    hours: Option<(NaiveTime, NaiveTime)>,
    zone: Tz,
    written: String,
}

fn compile(entry: &Entry<'_>, _: &mut Workshop<'_>) -> Compiled {
    let mut window = Window { days: vec![], hours: None, zone: Tz::UTC, written: String::new() };
    let mut zoned = false;
    for key in table(entry.value)? {
        match key.key {
            "weekday" => {
                for (span, word) in texts(key.value)? {
                    let day = word.parse().map_err(|_| Fault::unknown(span, "weekday", word, DAYS))?;
                    window.days.push(day);
                }
            }
            "hours" => {
                let written = text(key.value)?;
                let refuse = || {
                    Fault::new(key.value.span(), format!("`{written}` is no span of hours"), "write \"08:00-18:00\"")
                };
                let (from, to) = written.split_once('-').ok_or_else(refuse)?;
                let parse = |text: &str| NaiveTime::parse_from_str(text.trim(), "%H:%M").map_err(|_| refuse());
                window.hours = Some((parse(from)?, parse(to)?));
            }
            "zone" => {
                let name = text(key.value)?;
                let known = chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name()).collect::<Vec<_>>();
                window.zone = name.parse().map_err(|_| {
                    let near = crate::domain::nearest::nearest(name, known).unwrap_or("Europe/Berlin");
                    Fault::new(
                        key.value.span(),
                        format!("there is no zone `{name}`"),
                        format!("did you mean `{near}`?"),
                    )
                })?;
                zoned = true;
            }
            other => return Err(Fault::unknown(key.key_span(), "key", other, ["weekday", "hours", "zone"])),
        }
        let space = if window.written.is_empty() { "" } else { ", " };
        window.written.push_str(&format!("{space}{}", key.written()));
    }
    if window.days.is_empty() && window.hours.is_none() {
        return Err(Fault::new(entry.value.span(), "the window has no bounds", "add weekday or hours"));
    }
    if !zoned {
        let mend = "add zone = \"Europe/Berlin\", or \"UTC\"";
        return Err(Fault::new(entry.value.span(), "the window does not say whose clock counts", mend));
    }
    Ok(Box::new(window))
}

impl Condition for Window {
    fn look(&self, seen: &Seen<'_>) -> Look {
        let local = seen.facts.now.with_timezone(&self.zone);
        let (day, time) = (local.weekday(), local.time());
        let in_hours = self.hours.is_none_or(|(from, to)| match from <= to {
            true => from <= time && time < to,
            false => from <= time || time < to,
        });
        let held = in_hours && (self.days.is_empty() || self.days.contains(&day));
        Look::new(held, format!("it is {} in {}", local.format("%a %H:%M"), self.zone.name()))
    }

    fn wish(&self) -> String {
        format!("the time were within {}", self.written)
    }
}
