//! Agents as a scenario has them: what it says about a step is given, everything else is performed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::read::Script;
use crate::agents::{Agent, Outcome, Registry, Task};
use crate::domain::clock::SharedClock;
use crate::domain::duration::Span;
use crate::domain::expression;
use crate::domain::failure::Failure;
use crate::domain::ids::RunId;
use crate::domain::workflow::{DEFAULT_WORK_TIMEOUT, Workflow};

/// When each of some attempts goes on, by run and step.
pub(super) type Wakes = BTreeMap<(RunId, String), DateTime<Utc>>;

/// Attempts that take time.
#[derive(Debug, Clone, Default)]
pub(super) struct Asleep(Arc<Mutex<Wakes>>);

impl Asleep {
    /// Those that go on later than `now`.
    pub fn after(&self, now: DateTime<Utc>) -> Wakes {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter(|(_, at)| **at > now).map(|(key, at)| (key.clone(), *at)).collect()
    }

    fn set(&self, run: RunId, step: &str, until: DateTime<Utc>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert((run, step.to_owned()), until);
    }
}

/// Wraps every agent, so that steps give what the scenario says.
pub(super) fn scripted(
    agents: &Registry,
    scripts: &BTreeMap<String, Script>,
    workflow: &Workflow,
    clock: &SharedClock,
    asleep: &Asleep,
) -> Registry {
    let limit = |step| workflow.timeout_of(step).unwrap_or(DEFAULT_WORK_TIMEOUT);
    let limits: BTreeMap<String, Span> = workflow.steps.iter().map(|step| (step.name.clone(), limit(step))).collect();
    let shared =
        Arc::new(Shared { scripts: scripts.clone(), limits, clock: Arc::clone(clock), asleep: asleep.clone() });
    let mut wrapped = Registry::default();
    for agent in agents.all() {
        wrapped.add(Scripted { inner: Arc::clone(agent), shared: Arc::clone(&shared) });
    }
    wrapped
}

struct Shared {
    scripts: BTreeMap<String, Script>,
    /// Hard timeouts, by step.
    limits: BTreeMap<String, Span>,
    clock: SharedClock,
    asleep: Asleep,
}

struct Scripted {
    inner: Arc<dyn Agent>,
    shared: Arc<Shared>,
}

#[async_trait]
impl Agent for Scripted {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn about(&self) -> &'static str {
        self.inner.about()
    }

    fn check(&self, with: &Map<String, Value>) -> Vec<(String, String)> {
        self.inner.check(with)
    }

    async fn perform(&self, task: &Task) -> Outcome {
        let step = task.step.split_once('[').map_or(task.step.as_str(), |(step, _)| step);
        let Some(script) = self.shared.scripts.get(step) else { return self.inner.perform(task).await };
        if let Some(takes) = script.takes {
            let limit = self.shared.limits.get(step).copied().unwrap_or(DEFAULT_WORK_TIMEOUT);
            self.shared.asleep.set(task.run_id, &task.step, task.now + takes.min(limit).delta());
            self.shared.clock.sleep_until(task.now + takes.delta()).await;
        }
        if let Some(fails) = &script.fails {
            let attempt = u32::try_from(task.attempt).unwrap_or(u32::MAX);
            if fails.times.is_none_or(|times| attempt <= times) {
                let failure = Failure::medium(&fails.reason, fails.details.as_str());
                return if fails.for_good { Outcome::Fail(failure) } else { Outcome::Retry(failure) };
            }
        }
        match &script.output {
            Some(output) => match expression::fill(output, &task.context) {
                Ok(output) => Outcome::done(output),
                Err(why) => Outcome::Fail(Failure::high("expression_error", format!("output in the scenario: {why}"))),
            },
            // Where only a delay or the first failures are said.
            None if script.fails.is_none() => self.inner.perform(task).await,
            None => Outcome::done(json!({})),
        }
    }
}
