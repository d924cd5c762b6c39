//! Between two commits: an attempt's task, and the agent that performs it.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use serde_json::Value;

use super::{Claimed, Done};
use crate::agents::{Agent, Journal, Outcome, Task};
use crate::domain::crash;
use crate::domain::duration::Span;
use crate::domain::expression;
use crate::domain::failure::Failure;
use crate::domain::person::User;
use crate::domain::workflow::DEFAULT_WORK_TIMEOUT;
use crate::engine::Engine;
use crate::engine::plan::{self, Progress, Situation};
use crate::engine::rows::{about, progress};
use crate::store::steps::StepRow;

/// An attempt that is written as started, with everything that its agent needs.
pub(super) struct Attempt {
    pub task: Task,
    pub fence: i64,
    agent: Arc<dyn Agent>,
    limit: Span,
    heartbeat: Option<Span>,
}

impl Claimed {
    /// The steps as planning and expressions see them.
    pub(super) fn so_far(&self) -> BTreeMap<String, Progress> {
        self.steps.iter().map(|(name, row)| (name.clone(), progress(row))).collect()
    }
}

impl Engine {
    /// What the agent of a started step is given; an outcome at once where that cannot be said.
    pub(super) fn attempt(
        &self,
        claimed: &Claimed,
        step: &StepRow,
        users: &[User],
        now: DateTime<Utc>,
    ) -> Result<Attempt, Outcome> {
        let Claimed { run, workflow, .. } = claimed;
        let Some(definition) = workflow.step(&step.name) else {
            let details = format!("step {} is not in its workflow", step.name);
            return Err(Outcome::Fail(Failure::high("definition_broken", details)));
        };
        let Some(agent) = self.agents.get(&step.agent) else {
            let details = format!("this version of countersign has no agent `{}`", step.agent);
            return Err(Outcome::Fail(Failure::high("agent_missing", details)));
        };
        let (about, so_far, in_hand) = (about(run), claimed.so_far(), BTreeSet::new());
        let situation =
            Situation { workflow, inputs: &run.inputs.0, run: &about, steps: &so_far, in_hand: &in_hand, now };
        let context = plan::context_of(&situation, &step.name);
        let with = match expression::fill(&Value::Object(definition.with.clone()), &context) {
            Ok(Value::Object(with)) => with,
            Ok(_) => serde_json::Map::new(),
            Err(why) => {
                let details = format!("settings of step {}: {why}", step.name);
                return Err(Outcome::Fail(Failure::high("expression_error", details)));
            }
        };
        let task = Task {
            run_id: run.id,
            run_name: run.name.clone(),
            transaction_id: run.transaction_id,
            customer: run.customer.clone(),
            step: step.name.clone(),
            generation: step.generation,
            attempt: step.attempt,
            with,
            context,
            users: users.to_vec(),
            calendar: workflow.calendar.clone(),
            now,
            origin: run.origin.0.clone(),
            blob: Arc::clone(&self.blob),
            journal: Journal::new(Arc::clone(&self.clock)),
        };
        let limit = workflow.timeout_of(definition).unwrap_or(DEFAULT_WORK_TIMEOUT);
        let heartbeat = workflow.heartbeat_of(definition);
        Ok(Attempt { task, fence: run.fence, agent: Arc::clone(agent), limit, heartbeat })
    }

    /// Performs one attempt, outside any transaction, until its hard timeout.
    pub(super) async fn perform(&self, attempt: Attempt) -> Done {
        let Attempt { mut task, fence, agent, limit, heartbeat } = attempt;
        // It may have stood in line, which was no silence.
        task.now = self.clock.now();
        task.journal = Journal::new(Arc::clone(&self.clock));
        crash::point("engine.before_perform");
        let outcome = tokio::select! {
            biased;
            outcome = self.attended(&task, heartbeat, guarded(&*agent, &task)) => outcome,
            () = self.clock.sleep_until(task.now + limit.delta()) => {
                let details = format!("step {} did not end within {limit}", task.step);
                Outcome::Retry(Failure::medium("timeout", details))
            }
        };
        let (run, attempt) = (task.run_id, task.attempt);
        Done { run, fence, step: task.step, attempt, journal: Some(task.journal), outcome }
    }
}

/// An agent that panics ends its attempt, and nothing else in the same hand.
async fn guarded(agent: &dyn Agent, task: &Task) -> Outcome {
    let panicked = |_| {
        let details = format!("agent {} panicked at step {}; please report it", agent.name(), task.step);
        Outcome::Retry(Failure::high("agent_panicked", details))
    };
    AssertUnwindSafe(agent.perform(task)).catch_unwind().await.unwrap_or_else(panicked)
}
