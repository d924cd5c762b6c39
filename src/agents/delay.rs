//! `delay`: waits for a span or until an instant, on request until somebody is at work again.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::settings::{self, Reader};
use super::{Agent, Outcome, Task};
use crate::domain::clock::to_micros;
use crate::domain::duration::Span;
use crate::domain::failure::Failure;
use crate::domain::wait::{WaitKind, WaitRequest};

pub struct Delay;

#[derive(Default)]
struct Wants {
    span: Option<Span>,
    until: Option<DateTime<Utc>>,
    /// Move the end to working hours.
    business: bool,
}

fn read(with: &mut Reader) -> Wants {
    let (span, until) = (with.optional("for"), with.optional::<String>("until"));
    if with.has("for") == with.has("until") {
        with.say("for", "give either `for` (a span such as 2d) or `until` (an instant such as 2026-03-02T09:00:00Z)");
    }
    let until = until.and_then(|text| match DateTime::parse_from_rfc3339(&text) {
        Ok(at) => Some(at.with_timezone(&Utc)),
        Err(_) => {
            with.say("until", format!("`{text}` is no instant; write it as 2026-03-02T09:00:00Z"));
            None
        }
    });
    Wants { span, until, business: with.optional("business").unwrap_or_default() }
}

#[async_trait]
impl Agent for Delay {
    fn name(&self) -> &'static str {
        "delay"
    }

    fn about(&self) -> &'static str {
        "Waits for a span (`for`) or until an instant (`until`); with `business`, on until working hours."
    }

    fn check(&self, with: &Map<String, Value>) -> Vec<(String, String)> {
        settings::check(with, read)
    }

    async fn perform(&self, task: &Task) -> Outcome {
        let wants = match settings::filled(&task.with, read) {
            Ok(wants) => wants,
            Err(failure) => return Outcome::Fail(failure),
        };
        let end = wants.until.or_else(|| task.now.checked_add_signed(wants.span?.delta()));
        let Some(end) = end else {
            return Outcome::Fail(Failure::high("bad_settings", "the end of the delay is beyond the calendar"));
        };
        let until = to_micros(if wants.business { task.calendar.next_open(end) } else { end });
        Outcome::Wait(Box::new(WaitRequest {
            kind: WaitKind::Timer,
            question: format!("wait until {}", until.format("%Y-%m-%d %H:%M UTC")),
            asked: vec![],
            facts: Map::new(),
            notices: vec![],
            ladder: vec![],
            fallback: None,
            until: Some(until),
        }))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::agents::testing::{perform, task};

    #[tokio::test]
    async fn a_delay_ends_after_its_span_or_at_its_instant() {
        // The task's time is Monday 2026-03-02 09:00 UTC, its office hours are 08:00 to 18:00 UTC.
        let check = async |with: Value, expected: &str| match perform(&Delay, &task(with)).await {
            Outcome::Wait(wait) => assert_eq!(wait.until, Some(expected.parse().unwrap())),
            other => panic!("{other:?}"),
        };
        check(json!({"for": "2d"}), "2026-03-04T09:00:00Z").await;
        check(json!({"for": "5d"}), "2026-03-07T09:00:00Z").await;
        check(json!({"for": "5d", "business": true}), "2026-03-09T08:00:00Z").await;
        check(json!({"until": "2026-03-03T10:00:00+01:00"}), "2026-03-03T09:00:00Z").await;
    }

    #[test]
    fn a_delay_needs_exactly_one_end() {
        let count = |with: Value| Delay.check(with.as_object().unwrap()).len();
        assert_eq!([count(json!({"for": "2d"})), count(json!({"until": "{{ inputs.at }}"}))], [0, 0]);
        assert_eq!([count(json!({})), count(json!({"for": "1d", "until": "{{ x }}"}))], [1, 1]);
        assert_eq!([count(json!({"until": "tomorrow"})), count(json!({"for": "1d", "busines": true}))], [1, 1]);
    }
}
