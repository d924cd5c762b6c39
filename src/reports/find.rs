//! What people call things by: run names, ids, and the beginnings of ids.

use uuid::Uuid;

use crate::store::messages::MessageRow;
use crate::store::runs::RunRow;
use crate::store::{StoreError, Tx, reports, runs};

/// Shortest beginning of an id that is looked up, in hexadecimal digits.
const MIN_PREFIX: usize = 8;

/// What an id names.
#[derive(Debug)]
pub enum Subject {
    Run(Box<RunRow>),
    Message(Box<MessageRow>),
}

/// Why an id names nothing.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    #[error("there is no run or message `{0}`")]
    Nothing(String),
    #[error("`{0}` is no id: give a run such as AP-000123, or at least 8 digits of a run's or message's id")]
    NotAnId(String),
    #[error("`{0}` begins the ids of several runs or messages: give more of it")]
    Several(String),
    #[error("`{0}` is a message, not a run{1}")]
    NotARun(String, String),
    #[error("`{0}` is a run, not a message")]
    NotAMessage(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Finds the run or message that `id` names: `AP-000123` in any case, a UUID, or its first 8 digits or more.
pub async fn find(tx: &mut Tx, id: &str) -> Result<Subject, FindError> {
    let id = id.trim();
    if is_run_name(id) {
        return match runs::by_name(tx, id).await {
            Ok(run) => Ok(Subject::Run(run.into())),
            Err(error) if error.is_not_found() => Err(FindError::Nothing(id.to_uppercase())),
            Err(error) => Err(error.into()),
        };
    }
    let Some((from, to)) = range(id) else { return Err(FindError::NotAnId(id.to_owned())) };
    let mut found: Vec<Subject> = vec![];
    found.extend(reports::runs_between(tx, from, to, 2).await?.into_iter().map(|run| Subject::Run(run.into())));
    let messages = reports::messages_between(tx, from, to, 2).await?;
    found.extend(messages.into_iter().map(|message| Subject::Message(message.into())));
    match (found.pop(), found.is_empty()) {
        (Some(subject), true) => Ok(subject),
        (Some(_), false) => Err(FindError::Several(id.to_owned())),
        (None, _) => Err(FindError::Nothing(id.to_owned())),
    }
}

/// Finds a run; a message is refused with the run that it belongs to.
pub async fn find_run(tx: &mut Tx, id: &str) -> Result<RunRow, FindError> {
    match find(tx, id).await? {
        Subject::Run(run) => Ok(*run),
        Subject::Message(message) => {
            let runs = runs::of_message(tx, message.id, message.run_id).await?;
            let named: Vec<_> = runs.into_iter().map(|run| run.name).collect();
            let told = match named.as_slice() {
                [] => String::new(),
                [one] => format!("; its run is {one}"),
                all => format!("; its runs are {}", all.join(", ")),
            };
            Err(FindError::NotARun(id.to_owned(), told))
        }
    }
}

/// Finds a message; a run is refused.
pub async fn find_message(tx: &mut Tx, id: &str) -> Result<MessageRow, FindError> {
    match find(tx, id).await? {
        Subject::Message(message) => Ok(*message),
        Subject::Run(run) => Err(FindError::NotAMessage(run.name)),
    }
}

/// Letters and digits, a dash, at least six digits: `engine::launch` names runs so.
fn is_run_name(id: &str) -> bool {
    id.split_once('-').is_some_and(|(prefix, number)| {
        !prefix.is_empty()
            && prefix.bytes().all(|b| b.is_ascii_alphanumeric())
            && number.len() >= 6
            && number.bytes().all(|b| b.is_ascii_digit())
    })
}

/// The first and the last UUID that begin so.
fn range(id: &str) -> Option<(Uuid, Uuid)> {
    let digits = id.replace('-', "");
    if !(MIN_PREFIX..=32).contains(&digits.len()) || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let fill = |with: char| {
        let rest: String = std::iter::repeat_n(with, 32 - digits.len()).collect();
        u128::from_str_radix(&format!("{digits}{rest}"), 16).ok().map(Uuid::from_u128)
    };
    Some((fill('0')?, fill('f')?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_ids_are_told_apart() {
        for name in ["AP-000123", "ap-000123", "X2-1000000"] {
            assert!(is_run_name(name), "{name}");
        }
        for other in ["AP-123", "AP", "", "-000123", "0192f3aa-1b2c", "01939d2c-7f11-7000-8000-000000000001"] {
            assert!(!is_run_name(other), "{other}");
        }
        let (from, to) = range("0192F3AA").unwrap();
        assert_eq!(from.to_string(), "0192f3aa-0000-0000-0000-000000000000");
        assert_eq!(to.to_string(), "0192f3aa-ffff-ffff-ffff-ffffffffffff");
        let whole = "0192f3aa-1b2c-7000-8000-00000000abcd";
        assert_eq!(range(whole).map(|(from, to)| (from.to_string(), to == from)), Some((whole.into(), true)));
        assert!(range("0192f3a").is_none() && range("nonsense").is_none() && range("é192f3aaa").is_none());
    }
}
