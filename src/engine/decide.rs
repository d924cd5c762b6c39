//! The only way to end a wait. First answer wins by a guarded update; whatever comes later is told so.

use serde_json::{Map, Value};

use super::finish::finish_step;
use super::rows::{end_step, fail_step, progress};
use super::{Engine, EngineError};
use crate::domain::crash;
use crate::domain::event::{Event, OURSELVES};
use crate::domain::failure::Failure;
use crate::domain::ids::{AnswerId, MessageId, WaitId};
use crate::domain::run::{self, RunEvent, RunStatus};
use crate::domain::step::StepEvent;
use crate::domain::wait::{Answer, Choice, Effect, WaitKind, WaitStatus};
use crate::store::answers::AnswerRow;
use crate::store::runs::RunRow;
use crate::store::waits::WaitRow;
use crate::store::{Tx, answers, events, notices, runs, steps, tokens, waits, workflows};

/// How a wait ends.
#[derive(Debug, Clone, PartialEq)]
pub enum Ending {
    Answer(Answer),
    /// Its time ran out, or the run that it was for failed: the step fails with this.
    Expire(Failure),
    /// An operator gives the step's output, whoever was asked.
    Override(Answer),
}

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Decided {
    /// This ended the wait.
    Now,
    /// The same person had given the same answer: same receipt, nothing new.
    Repeated(Answer),
    /// Somebody was first.
    Late(Answer),
    /// The wait is over without an answer: expired, or its run ended or was restarted.
    Over(WaitStatus),
}

impl Decided {
    pub fn effect(&self) -> Effect {
        match self {
            Self::Now => Effect::Decided,
            Self::Repeated(_) => Effect::Repeated,
            Self::Late(_) | Self::Over(_) => Effect::Late,
        }
    }
}

impl Engine {
    /// Ends an open wait, moves its step and wakes its run, inside the caller's transaction; poke `work` after the commit.
    /// Every answer is recorded, whatever it did. `message` is the mail that it came by.
    ///
    /// A crash before the commit leaves the wait open and the answer unheard; the mail is read again.
    pub async fn decide(
        &self,
        tx: &mut Tx,
        id: WaitId,
        ending: Ending,
        message: Option<MessageId>,
    ) -> Result<Decided, EngineError> {
        let found = waits::get(tx, id).await?;
        let run = runs::lock(tx, found.run_id).await?;
        // Read again under the lock: somebody may have answered meanwhile.
        let wait = waits::get(tx, id).await?;
        let decided = self.end(tx, &run, &wait, &ending).await?;
        if let Ending::Answer(answer) | Ending::Override(answer) = &ending {
            self.record(tx, &wait, answer, decided.effect(), message).await?;
        }
        crash::point("decide.before_commit");
        Ok(decided)
    }

    async fn end(&self, tx: &mut Tx, run: &RunRow, wait: &WaitRow, ending: &Ending) -> Result<Decided, EngineError> {
        let now = self.clock.now();
        // Whoever comes after an answer is told of it, whatever became of the run since.
        if let Some(first) = &wait.answer {
            return Ok(match ending {
                Ending::Answer(second) if first.by == second.by && first.choice == second.choice => {
                    Decided::Repeated(first.0.clone())
                }
                _ => Decided::Late(first.0.clone()),
            });
        }
        // A wait of an older generation was voided by the restart; this is the net below that.
        if run.status.is_final() || wait.generation != run.generation {
            return Ok(Decided::Over(if wait.status == WaitStatus::Open { WaitStatus::Void } else { wait.status }));
        }
        let (status, answer) = match ending {
            Ending::Answer(answer) | Ending::Override(answer) => (WaitStatus::Answered, Some(answer)),
            Ending::Expire(_) => (WaitStatus::Expired, None),
        };
        if !waits::close(tx, wait.id, status, answer, now).await? {
            return Ok(Decided::Over(wait.status));
        }
        self.silence(tx, wait).await?;
        self.move_step(tx, run, wait, ending).await?;
        let event = match ending {
            Ending::Answer(answer) | Ending::Override(answer) => Event::new(now, "wait.answered", &run.customer)
                .by(&answer.by)
                .with("choice", answer.choice.as_str())
                .with("via", answer.via.as_str())
                .with("verified", answer.verified.as_str()),
            Ending::Expire(failure) => {
                Event::new(now, "wait.expired", &run.customer).with("reason", failure.reason.as_str())
            }
        };
        let event = event.run(run.id).step(&wait.step).with("wait", wait.id.to_string());
        events::append(tx, &event.with("facts_sha256", wait.facts_sha256.as_str())).await?;
        if run.status == RunStatus::Waiting {
            let woken = run::next_status(run.state(), RunEvent::Wake, false)?;
            runs::set_state(tx, run, woken, None, run.wake_at, now).await?;
        }
        Ok(Decided::Now)
    }

    async fn move_step(&self, tx: &mut Tx, run: &RunRow, wait: &WaitRow, ending: &Ending) -> Result<(), EngineError> {
        let now = self.clock.now();
        let rows = steps::of_run(tx, run.id, run.generation).await?;
        let asked = rows.iter().find(|step| step.name == wait.step && step.attempt == wait.attempt);
        let Some(mut step) = asked.cloned() else {
            return Ok(());
        };
        let workflow = match workflows::get(tx, &run.workflow_hash).await {
            Ok(workflow) => Some(workflow),
            Err(error) if error.is_transient() => return Err(error.into()),
            // The worker that takes the run says what is wrong with its definition; the answer counts.
            Err(_) => None,
        };
        match (ending, &workflow) {
            (Ending::Expire(failure), _) => fail_step(&mut step, failure.clone(), now)?,
            (Ending::Override(answer), _) => {
                end_step(&mut step, StepEvent::Override, Value::Object(answer.output.clone()), now)?;
            }
            (Ending::Answer(answer), None) => {
                end_step(&mut step, StepEvent::Answer, Value::Object(output_of(wait.kind, answer)), now)?;
            }
            (Ending::Answer(answer), Some(workflow)) => {
                let given = Value::Object(output_of(wait.kind, answer));
                let so_far = rows.iter().map(|row| (row.name.clone(), progress(row))).collect();
                finish_step((run, workflow, &so_far), &mut step, (StepEvent::Answer, given), now)?;
            }
        }
        steps::put(tx, &step).await?;
        match workflow {
            Some(workflow) => self.tell_of_step(tx, run, &workflow, &step).await.map(drop),
            None => Ok(()),
        }
    }

    /// Kills a wait's tokens and the run that it was for, and calls back what was not sent yet.
    pub(super) async fn silence(&self, tx: &mut Tx, wait: &WaitRow) -> Result<(), EngineError> {
        tokens::void_of_wait(tx, wait.id, self.clock.now()).await?;
        notices::void_of_wait(tx, wait.id).await?;
        self.kill_below(tx, wait).await
    }

    /// Ends every open wait of a run that ends itself.
    pub(super) async fn void_waits(&self, tx: &mut Tx, run: &RunRow) -> Result<(), EngineError> {
        for wait in waits::of_run(tx, run.id).await? {
            if waits::close(tx, wait.id, WaitStatus::Void, None, self.clock.now()).await? {
                self.silence(tx, &wait).await?;
            }
        }
        Ok(())
    }

    /// Records what somebody said to a wait. Called for answers by `decide`, and directly for what decides nothing.
    pub async fn record(
        &self,
        tx: &mut Tx,
        wait: &WaitRow,
        answer: &Answer,
        effect: Effect,
        message: Option<MessageId>,
    ) -> Result<(), EngineError> {
        if answer.by == OURSELVES {
            return Ok(());
        }
        // What was not read as a choice carries `proceed`, which nobody can say by mail.
        let chose = match effect {
            Effect::Decided | Effect::Repeated => true,
            Effect::Late => answer.choice != Choice::Proceed,
            Effect::Comment | Effect::Ambiguous | Effect::Refused => false,
        };
        let row = AnswerRow {
            id: AnswerId::new(),
            wait_id: wait.id,
            run_id: wait.run_id,
            person: answer.by.clone(),
            choice: chose.then_some(answer.choice),
            comment: answer.comment.clone(),
            via: answer.via,
            verified: answer.verified.clone(),
            effect,
            message_id: message,
            at: self.clock.now(),
        };
        answers::insert(tx, &row).await?;
        if effect != Effect::Decided {
            let mut event = Event::new(self.clock.now(), "answer.recorded", &wait.customer)
                .by(&answer.by)
                .run(wait.run_id)
                .step(&wait.step)
                .with("effect", effect.as_str())
                .with("via", answer.via.as_str())
                .with("verified", answer.verified.as_str());
            event.message = message;
            events::append(tx, &event).await?;
        }
        Ok(())
    }
}

/// What later steps see of the answer.
fn output_of(kind: WaitKind, answer: &Answer) -> Map<String, Value> {
    let mut output = answer.output.clone();
    // What a run gave, and nothing else.
    if kind == WaitKind::External && answer.by == OURSELVES {
        return output;
    }
    if kind == WaitKind::Approval {
        let decision = if answer.choice == Choice::Approve { "approved" } else { "rejected" };
        output.insert("decision".into(), decision.into());
    }
    output.insert("by".into(), answer.by.as_str().into());
    output.insert("via".into(), answer.via.as_str().into());
    output.insert("comment".into(), answer.comment.clone().into());
    output
}
