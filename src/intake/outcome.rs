//! What follows from a verdict: a run, an answer that is heard, a reply. The same for what comes in and for what a person
//! releases; writing the verdict itself down is left to the caller, in the same commit.

use serde_json::{Map, Value};

use super::case::Case;
use super::{Intake, IntakeError, answers};
use crate::behaviour::Behaviour;
use crate::domain::event::Event;
use crate::domain::ids::{NoticeId, RunId, TransactionId, WaitId};
use crate::domain::message::Automatic;
use crate::domain::notice::Draft;
use crate::domain::verdict::{AnswerWait, Decision, Severity, Start, Verdict};
use crate::engine::EngineError;
use crate::engine::launch::Launch;
use crate::people::bounce::{self, Returned};
use crate::people::reply::{self, Reply};
use crate::store::notices::NoticeRow;
use crate::store::{Tx, events, notices};

/// Answers by template to one address within a day; more would be a loop or a flood.
const MAX_REPLIES_A_DAY: i64 = 3;

/// A verdict as it was carried out.
pub(super) struct Carried {
    pub decision: Decision,
    /// The first of them, where several were launched.
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
        let (mut run_id, mut wait_id) = (None, None);
        match decision.verdict.clone() {
            Verdict::Resume => {
                if let Some((notice, _)) = &case.answers {
                    (run_id, wait_id) = (notice.run_id, notice.wait_id);
                    let heard = self.hear(tx, case, notice).await?;
                    decision.reason = heard.reason;
                    decision.verdict = heard.verdict;
                }
            }
            Verdict::Start(starts) => {
                decision = refused_by_workflow(&case.behaviour, &case.row.customer, decision);
                if matches!(decision.verdict, Verdict::Start(_)) {
                    run_id = self.start(tx, case, starts, by).await?;
                }
            }
            Verdict::Reply { template, wait } => self.reply(tx, case, &mut decision, (&template, wait)).await?,
            Verdict::Ignore | Verdict::Quarantine { .. } => {}
        }
        self.carry_out_also(tx, case, &mut decision, run_id).await?;
        answers::end(tx, case, &decision, self.engine.clock.now()).await?;
        Ok(Carried { decision, run_id, wait_id, joined: case.transaction() })
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

    /// Launches the runs of one message, each once: a document of it is never launched with twice. Gives the first run.
    async fn start(
        &self,
        tx: &mut Tx,
        case: &Case<'_>,
        starts: Vec<Start>,
        by: &str,
    ) -> Result<Option<RunId>, IntakeError> {
        // Its ledger row may have been lost and written anew: the trail knows what was launched then.
        let before: Vec<_> =
            events::of_message(tx, case.row.id).await?.into_iter().filter_map(Launched::told_by).collect();
        let mut first = None;
        for start in starts {
            if let Some(known) = before.iter().find(|launched| launched.is_same(&start)) {
                first = first.or(Some(known.run));
                continue;
            }
            let Some(workflow) = case.behaviour.workflow_for(&start.workflow, &case.row.customer) else {
                return Err(EngineError::Input(format!("there is no workflow `{}`", start.workflow)).into());
            };
            let launch = Launch {
                workflow,
                customer: &case.row.customer,
                transaction_id: case.transaction(),
                message_id: Some(case.row.id),
                documents: &start.documents,
                inputs: start.inputs,
                origin: origin(case),
                by,
            };
            let launched = self.engine.launch(tx, launch).await?.id;
            first = first.or(Some(launched));
        }
        Ok(first)
    }

    /// Answers the sender, and begins to wait for what they say to it. A message that should wait and whose sender cannot be
    /// asked goes to quarantine. What a person released waits no more: they have seen it.
    async fn reply(
        &self,
        tx: &mut Tx,
        case: &Case<'_>,
        decision: &mut Decision,
        (template, wait): (&str, Option<AnswerWait>),
    ) -> Result<(), IntakeError> {
        let reason = &mut decision.reason;
        match (self.write_reply(tx, case, template).await?, wait) {
            (None, wait) => {
                reason.push_str("; not answered: a machine wrote it, or enough was answered already");
                if let Some(AnswerWait { severity, .. }) = wait {
                    decision.verdict = Verdict::Quarantine { severity };
                    decision.explanation.leave_undone();
                }
            }
            (Some(_), Some(_)) if case.row.verdict.is_some() => {
                reason.push_str("; no answer is waited for, because a person released it");
            }
            (Some(notice), Some(wait)) => {
                let begun = answers::begin(tx, case, (notice, template), wait, self.engine.clock.now()).await?;
                let until = begun.until_at.format("%Y-%m-%d %H:%M UTC");
                reason.push_str(&format!("; its answer is waited for until {until}"));
            }
            (Some(_), None) => {}
        }
        Ok(())
    }

    /// Answers the sender by template, unless a machine wrote (RFC 3834, 2) or they had enough answers today. None when
    /// nothing is sent.
    async fn write_reply(&self, tx: &mut Tx, case: &Case<'_>, template: &str) -> Result<Option<NoticeId>, IntakeError> {
        let (mailbox, message) = (case.mailbox, case.message);
        let Some(author) = message.author().filter(|_| message.automatic.is_none()) else { return Ok(None) };
        let now = self.engine.clock.now();
        let today = now - chrono::TimeDelta::days(1);
        if notices::count_since(tx, &author.address, template, today).await? >= MAX_REPLIES_A_DAY {
            return Ok(None);
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
        Ok(Some(self.engine.write_reply(tx, &case.row.customer, &mailbox.name, &mailbox.address, &draft).await?))
    }
}

struct HeardReply {
    verdict: Verdict,
    reason: String,
}

/// A run of this message as the trail tells it.
struct Launched {
    run: RunId,
    /// As `Start::documents`; empty also where an older version told none.
    documents: Vec<String>,
}

impl Launched {
    fn told_by(event: Event) -> Option<Self> {
        let run = event.run.filter(|_| event.kind == "run.launched")?;
        let told = event.data.get("documents").and_then(Value::as_array).into_iter().flatten();
        Some(Self { run, documents: told.filter_map(Value::as_str).map(str::to_owned).collect() })
    }

    /// Whether it took the document that names a start, or the other way round; rules may have changed since. What is about
    /// the whole message is the same as anything.
    fn is_same(&self, start: &Start) -> bool {
        match (self.documents.as_slice(), start.documents.as_slice()) {
            ([mine, ..], [theirs, ..]) => self.documents.contains(theirs) || start.documents.contains(mine),
            _ => true,
        }
    }
}

/// A start that a workflow would refuse becomes a quarantine, and so nothing of it is launched.
pub(super) fn refused_by_workflow(behaviour: &Behaviour, customer: &str, mut decision: Decision) -> Decision {
    let Verdict::Start(starts) = &decision.verdict else { return decision };
    let refused = starts.iter().find_map(|Start { workflow, inputs, .. }| {
        let why = match behaviour.workflow_for(workflow, customer) {
            Some(known) => known.accept(inputs.clone()).err()?,
            None => format!("there is no workflow `{workflow}`"),
        };
        Some(format!("rule wanted to start {workflow}, but {why}"))
    });
    if let Some(reason) = refused {
        decision.reason = reason;
        decision.verdict = Verdict::Quarantine { severity: Severity::High };
        (decision.explanation.taken, decision.explanation.left) = (vec![], vec![]);
        decision.explanation.leave_undone();
    }
    decision
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
