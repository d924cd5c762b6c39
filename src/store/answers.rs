//! Everything anybody said to a wait, whether it decided or not.

use chrono::{DateTime, Utc};

use super::column::row;
use super::dialect::{execute, fetch};
use super::{StoreError, Tx};
use crate::domain::ids::{AnswerId, MessageId, RunId, WaitId};
use crate::domain::wait::{Channel, Choice, Effect};

row! {
    pub struct AnswerRow {
        pub id: AnswerId,
        pub wait_id: WaitId,
        pub run_id: RunId,
        pub person: String,
        /// None when nothing was chosen: a comment, or what could be read in two ways.
        pub choice: Option<Choice>,
        pub comment: Option<String>,
        pub via: Channel,
        /// How the sender was verified, or why not.
        pub verified: String,
        pub effect: Effect,
        pub message_id: Option<MessageId>,
        pub at: DateTime<Utc>,
    }
}

pub async fn insert(tx: &mut Tx, answer: &AnswerRow) -> Result<(), StoreError> {
    execute!(
        tx,
        "insert into answers (id, wait_id, run_id, person, choice, comment, via, verified, effect, message_id, at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        answer.id.0,
        answer.wait_id.0,
        answer.run_id.0,
        &answer.person,
        answer.choice.map(Choice::as_str),
        answer.comment.as_deref(),
        answer.via.as_str(),
        &answer.verified,
        answer.effect.as_str(),
        answer.message_id.map(|id| id.0),
        answer.at
    )?;
    Ok(())
}

/// What was said to a wait, oldest first.
pub async fn of_wait(tx: &mut Tx, wait: WaitId) -> Result<Vec<AnswerRow>, StoreError> {
    let sql = format!("select {} from answers where wait_id = $1 order by at, id", AnswerRow::COLUMNS);
    fetch!(all AnswerRow, tx, sql, wait.0)
}
