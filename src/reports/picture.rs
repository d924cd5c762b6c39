//! Everything that the database knows about one run or one message, read in one transaction.

use serde_json::Value;

use crate::blob::{BlobError, Entry};
use crate::domain::event::Event;
use crate::domain::message::Message;
use crate::domain::workflow::Workflow;
use crate::engine::Engine;
use crate::store::answers::AnswerRow;
use crate::store::messages::{MessageRow, PartRow};
use crate::store::notices::NoticeRow;
use crate::store::reply_waits::ReplyWaitRow;
use crate::store::runs::RunRow;
use crate::store::steps::StepRow;
use crate::store::waits::WaitRow;
use crate::store::{
    StoreError, Tx, answers, events, messages, notices, reply_waits, reports, runs, steps, tags, waits, workflows,
};

/// A run with all that belongs to it.
#[derive(Debug)]
pub struct RunPicture {
    pub run: RunRow,
    pub workflow: Workflow,
    /// Of the current generation.
    pub steps: Vec<StepRow>,
    pub waits: Vec<WaitRow>,
    /// Everything said to any of the waits, oldest first.
    pub answers: Vec<AnswerRow>,
    pub notices: Vec<NoticeRow>,
    /// Messages that started or answered it.
    pub messages: Vec<MessageRow>,
    pub events: Vec<Event>,
}

impl RunPicture {
    pub async fn read(tx: &mut Tx, run: RunRow) -> Result<Self, StoreError> {
        let waits = waits::of_run(tx, run.id).await?;
        let mut said = vec![];
        for wait in &waits {
            said.extend(answers::of_wait(tx, wait.id).await?);
        }
        said.sort_by_key(|answer| (answer.at, answer.id));
        Ok(Self {
            workflow: workflows::get(tx, &run.workflow_hash).await?,
            steps: steps::of_run(tx, run.id, run.generation).await?,
            waits,
            answers: said,
            notices: notices::of_run(tx, run.id).await?,
            messages: reports::messages_of_run(tx, run.id).await?,
            events: events::of_run(tx, run.id).await?,
            run,
        })
    }

    /// The latest event of a kind.
    pub fn last_event(&self, kind: &str) -> Option<&Event> {
        self.events.iter().rev().find(|event| event.kind == kind)
    }
}

/// The files of a run's working directory.
///
/// # Errors
/// When the store is away.
pub async fn files(engine: &Engine, run: &RunRow) -> Result<Vec<Entry>, BlobError> {
    engine.blob.list(&format!("{}/{}", run.customer, run.transaction_id)).await
}

/// A message with all that belongs to it.
#[derive(Debug)]
pub struct MessagePicture {
    pub row: MessageRow,
    /// What it says; none when it could not be parsed.
    pub mail: Option<Message>,
    pub parts: Vec<PartRow>,
    /// The runs that it started, or the one that it answered.
    pub runs: Vec<RunRow>,
    /// What it was heard to say in that run.
    pub answers: Vec<AnswerRow>,
    /// The first delivery of the same mail.
    pub original: Option<MessageRow>,
    /// Its wait for the answer to our reply, if it ever waited.
    pub reply_wait: Option<ReplyWaitRow>,
    /// What came in answer to our reply, in time or late.
    pub answered_by: Vec<MessageRow>,
    /// The message whose reply of ours it answers.
    pub answer_to: Option<MessageRow>,
    /// Words that it is kept under.
    pub tags: Vec<String>,
    /// What else its release did.
    pub also_at_release: Vec<String>,
}

impl MessagePicture {
    pub async fn read(tx: &mut Tx, row: MessageRow) -> Result<Self, StoreError> {
        let runs = runs::of_message(tx, row.id, row.run_id).await?;
        let original = match row.duplicate_of {
            Some(id) => Some(messages::get(tx, id).await?),
            None => None,
        };
        let mut said = match row.wait_id {
            Some(wait) => answers::of_wait(tx, wait).await?,
            None => vec![],
        };
        said.retain(|answer| answer.message_id == Some(row.id));
        let mail = reports::facts(tx, row.id).await?;
        let parts = messages::parts(tx, row.id).await?;
        let tags = tags::of_message(tx, row.id).await?;
        let told = match row.released_as {
            Some(_) => events::of_message(tx, row.id).await?,
            None => vec![],
        };
        let released = told.iter().filter(|event| event.kind == "message.released");
        let also = released.filter_map(|event| event.data.get("also").and_then(Value::as_array)).flatten();
        let also_at_release = also.filter_map(Value::as_str).map(str::to_owned).collect();
        let reply_wait = reply_waits::of_message(tx, row.id).await?;
        let answered_by = reply_waits::answers_to(tx, row.id).await?;
        let answer_to = match row.answer_to {
            Some(id) => Some(messages::get(tx, id).await?),
            None => None,
        };
        Ok(Self {
            row,
            mail,
            parts,
            runs,
            answers: said,
            original,
            reply_wait,
            answered_by,
            answer_to,
            tags,
            also_at_release,
        })
    }
}
