//! What follows from a verdict: a run, an answer that is heard, a reply. The same for what comes in and for what a person
//! releases; writing the verdict itself down is left to the caller, in the same commit.

use serde_json::{Map, Value};

use super::case::Case;
use super::{Intake, IntakeError};
use crate::domain::ids::{RunId, TransactionId, WaitId};
use crate::domain::message::Automatic;
use crate::domain::notice::Draft;
use crate::domain::verdict::{Decision, Severity, Verdict};
use crate::engine::EngineError;
use crate::engine::launch::Launch;
use crate::people::bounce::{self, Returned};
use crate::people::reply::{self, Reply};
use crate::store::notices::NoticeRow;
use crate::store::{Tx, events, notices};

/// Answers by template to one address within a day; more would be a loop or a flood.
const MAX_REPLIES_A_DAY: i64 = 3;

/// Why nothing else is done for a rule whose verdict cannot be carried out. Whoever releases the message gets it done.
const NO_VERDICT: &str = "the verdict could not be carried out";

/// A verdict as it was carried out.
pub(super) struct Carried {
    pub decision: Decision,
    pub run_id: Option<RunId>,
    pub wait_id: Option<WaitId>,
    /// The transaction that the parts belong to.
    pub joined: TransactionId,
}

impl Intake {
    /// Does what the verdict says; `by` is who launches a run. What cannot be carried out becomes a quarantine.
    pub(super) async fn carry_out(
        &self,
        tx: &mut Tx,
        case: &Case<'_>,
        mut decision: Decision,
        by: &str,
    ) -> Result<Carried, IntakeError> {
        let (mut run_id, mut wait_id, mut joined) = (None, None, case.row.transaction_id);
        match decision.verdict.clone() {
            Verdict::Resume => {
                if let Some((notice, transaction)) = &case.answers {
                    (run_id, wait_id, joined) = (notice.run_id, notice.wait_id, *transaction);
                    let heard = self.hear(tx, case, notice).await?;
                    decision.reason = heard.reason;
                    decision.verdict = heard.verdict;
                }
            }
            Verdict::Start { workflow, inputs } => match self.start(tx, case, &workflow, inputs, by).await {
                Ok(run) => run_id = Some(run),
                Err(IntakeError::Engine(EngineError::Input(why))) => {
                    decision.reason = format!("rule wanted to start {workflow}, but {why}");
                    decision.verdict = Verdict::Quarantine { severity: Severity::High };
                    decision.explanation.also.iter_mut().for_each(|also| also.not_done = Some(NO_VERDICT.into()));
                }
                Err(other) => return Err(other),
            },
            Verdict::Reply { template } => {
                if !self.reply(tx, case, &template).await? {
                    decision.reason.push_str("; not answered: a machine wrote it, or enough was answered already");
                }
            }
            Verdict::Ignore | Verdict::Quarantine { .. } => {}
        }
        self.carry_out_also(tx, case, &mut decision, run_id).await?;
        Ok(Carried { decision, run_id, wait_id, joined })
    }

    async fn hear(&self, tx: &mut Tx, case: &Case<'_>, notice: &NoticeRow) -> Result<HeardReply, IntakeError> {
        let (row, message) = (case.row, case.message);
        if let Some(bounce) = &message.bounce {
            let returned = Returned { id: row.id, bounce, notice };
            let reason = bounce::hear(&self.engine, tx, &returned).await?;
            return Ok(HeardReply { verdict: Verdict::Ignore, reason });
        }
        let reply = Reply { id: row.id, message, notice, customer: &case.customer, documents: &case.documents };
        let heard = reply::hear(&self.engine, tx, &reply).await?;
        let automatic = message.automatic == Some(Automatic::Reply);
        let verdict = if automatic { Verdict::Ignore } else { Verdict::Resume };
        Ok(HeardReply { verdict, reason: heard.reason })
    }

    async fn start(
        &self,
        tx: &mut Tx,
        case: &Case<'_>,
        workflow: &str,
        inputs: Map<String, Value>,
        by: &str,
    ) -> Result<RunId, IntakeError> {
        // Its ledger row may have been lost and written anew: the trail knows what was launched then.
        let told = events::of_message(tx, case.row.id).await?;
        if let Some(run) = told.iter().find(|event| event.kind == "run.launched").and_then(|event| event.run) {
            return Ok(run);
        }
        let Some(workflow) = case.behaviour.workflow(workflow) else {
            return Err(EngineError::Input(format!("there is no workflow `{workflow}`")).into());
        };
        let launch = Launch {
            workflow,
            customer: &case.row.customer,
            transaction_id: case.row.transaction_id,
            message_id: Some(case.row.id),
            inputs,
            origin: origin(case),
            by,
        };
        Ok(self.engine.launch(tx, launch).await?.id)
    }

    /// Answers the sender by template, unless a machine wrote (RFC 3834, 2) or they had enough answers today. False when
    /// nothing is sent.
    async fn reply(&self, tx: &mut Tx, case: &Case<'_>, template: &str) -> Result<bool, IntakeError> {
        let (mailbox, message) = (case.mailbox, case.message);
        let Some(author) = message.author().filter(|_| message.automatic.is_none()) else { return Ok(false) };
        let now = self.engine.clock.now();
        let today = now - chrono::TimeDelta::days(1);
        if notices::count_since(tx, &author.address, template, today).await? >= MAX_REPLIES_A_DAY {
            return Ok(false);
        }
        let mut data = Map::new();
        data.insert("subject".into(), message.subject.as_str().into());
        let draft = Draft {
            medium: "email".into(),
            person: author.name.clone().unwrap_or_else(|| author.address.clone()),
            address: author.address.clone(),
            template: template.to_owned(),
            data,
            attachments: vec![],
            answerable: false,
            in_reply_to: message.message_id.clone(),
        };
        self.engine.write_reply(tx, &case.row.customer, &mailbox.name, &mailbox.address, &draft).await?;
        Ok(true)
    }
}

struct HeardReply {
    verdict: Verdict,
    reason: String,
}

/// Mail metadata that a run carries along.
fn origin(case: &Case<'_>) -> Map<String, Value> {
    let (mailbox, message) = (case.mailbox, case.message);
    let mut origin = Map::new();
    let mut set = |key: &str, value: Value| drop(origin.insert(key.to_owned(), value));
    set("from", message.author().map(|author| author.address.clone()).into());
    set("from_name", message.author().and_then(|author| author.name.clone()).into());
    set("subject", message.subject.as_str().into());
    set("message_id", message.message_id.clone().into());
    set("mailbox", mailbox.name.as_str().into());
    set("address", mailbox.address.as_str().into());
    set("received_at", case.row.received_at.map(|at| at.to_rfc3339()).into());
    origin
}
