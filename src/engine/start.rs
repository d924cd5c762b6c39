//! Runs started by hand: now or at a time, with inputs as people write them. What mail starts comes through `launch` alone.

use chrono::{DateTime, NaiveDate, Utc};
use serde_json::{Map, Value};

use super::launch::{Launch, Launched};
use super::{Engine, EngineError};
use crate::domain::document::DocumentRef;
use crate::domain::event::Event;
use crate::domain::ids::TransactionId;
use crate::domain::money::{Money, parse_amount};
use crate::domain::workflow::{InputKind, Workflow};
use crate::store::{Tx, events, people, run_control};

/// What is started by hand.
#[derive(Debug)]
pub struct Start<'a> {
    pub workflow: &'a Workflow,
    pub customer: &'a str,
    /// Where its documents lie already.
    pub transaction_id: TransactionId,
    pub inputs: Map<String, Value>,
    /// It is queued at once, but not begun before.
    pub at: Option<DateTime<Utc>>,
    pub by: &'a str,
}

impl Engine {
    /// Launches a run without a mail, in one commit.
    ///
    /// # Errors
    /// `Input` when the workflow refuses the inputs or whoever starts it, nobody imported the customer, or the time is past.
    pub async fn start(&self, start: Start<'_>) -> Result<Launched, EngineError> {
        let mut tx = self.store.begin().await?;
        if !people::is_known(&mut tx, start.customer).await? {
            return Err(EngineError::Input(format!("there is no customer `{}`", start.customer)));
        }
        let users = people::users(&mut tx, start.customer).await?;
        let allowed =
            |by: &str| users.iter().find(|user| user.name == by).is_some_and(|by| start.workflow.may_start(by));
        if !start.workflow.may_start.is_empty() && !allowed(start.by) {
            let who = start.workflow.may_start.join(", ");
            let why = format!("{} may not start {}; it is for: {who}", start.by, start.workflow.name);
            return Err(EngineError::Input(why));
        }
        let origin = Map::from_iter([("subject".to_owned(), format!("started by {}", start.by).into())]);
        let launch = Launch {
            workflow: start.workflow,
            customer: start.customer,
            transaction_id: start.transaction_id,
            message_id: None,
            documents: &[],
            inputs: start.inputs,
            origin,
            by: start.by,
        };
        let launched = self.launch(&mut tx, launch).await?;
        if let Some(at) = start.at {
            self.put_off(&mut tx, &launched, start.workflow, start.customer, at, start.by).await?;
        }
        tx.commit().await?;
        self.work.notify_waiters();
        Ok(launched)
    }

    /// Puts a run off that was launched in the same transaction.
    pub(super) async fn put_off(
        &self,
        tx: &mut Tx,
        run: &Launched,
        workflow: &Workflow,
        customer: &str,
        at: DateTime<Utc>,
        by: &str,
    ) -> Result<(), EngineError> {
        let now = self.clock.now();
        if at <= now {
            let now = now.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
            return Err(EngineError::Input(format!(
                "{at} is past; it is {now} now: leave the time out to start at once"
            )));
        }
        run_control::put_off(tx, run.id, at, workflow.deadline_after(at)).await?;
        self.set_run_alarm(tx, run.id, 1, workflow, at).await?;
        let event = Event::new(now, "run.put_off", customer).by(by).run(run.id).with("until", at.to_rfc3339());
        Ok(events::append(tx, &event).await?)
    }
}

/// Inputs as people write them, `name` and text, as the workflow takes them.
///
/// # Errors
/// Names the input, what it wants, and what there is instead.
pub fn read_inputs(workflow: &Workflow, given: &[(String, String)]) -> Result<Map<String, Value>, String> {
    let mut inputs = Map::new();
    for (name, text) in given {
        let Some(input) = workflow.inputs.get(name) else {
            let known: Vec<_> = workflow.inputs.keys().map(String::as_str).collect();
            return Err(format!("workflow {} has no input `{name}`; it takes: {}", workflow.name, known.join(", ")));
        };
        let value = read_input(input.kind, text);
        let value =
            value.ok_or_else(|| format!("input `{name}`: `{text}` is no {}: {}", input.kind, hint(input.kind)))?;
        if inputs.insert(name.clone(), value).is_some() {
            return Err(format!("input `{name}` is given twice"));
        }
    }
    Ok(inputs)
}

fn read_input(kind: InputKind, text: &str) -> Option<Value> {
    let json = || serde_json::from_str::<Value>(text).ok();
    match kind {
        InputKind::String => Some(text.into()),
        InputKind::Date => text.parse::<NaiveDate>().ok().map(|_| text.into()),
        InputKind::Number => json().filter(Value::is_number),
        InputKind::Boolean => json().filter(Value::is_boolean),
        InputKind::List => json().filter(Value::is_array),
        InputKind::Object | InputKind::File => json().filter(Value::is_object),
        InputKind::Money => {
            let (amount, currency) = text.trim().rsplit_once(' ')?;
            let money = Money::new(parse_amount(amount).ok()?, currency).ok()?;
            serde_json::to_value(money).ok()
        }
    }
}

fn hint(kind: InputKind) -> &'static str {
    match kind {
        InputKind::String => "write text",
        InputKind::Date => "write it as 2026-03-01",
        InputKind::Number => "write it as 12.5",
        InputKind::Boolean => "write true or false",
        InputKind::List => "write a JSON array, such as [1, 2]",
        InputKind::Object => "write a JSON object",
        InputKind::File => "give it as a file",
        InputKind::Money => "write it as 1190.00 EUR",
    }
}

/// Puts documents where the workflow takes them: the list `documents`, or its only input of kind `file`.
///
/// # Errors
/// When it takes none, or not so many.
pub fn take_documents(
    workflow: &Workflow,
    inputs: &mut Map<String, Value>,
    documents: &[DocumentRef],
) -> Result<(), String> {
    if documents.is_empty() {
        return Ok(());
    }
    let value = serde_json::to_value(documents).unwrap_or_default();
    if workflow.inputs.get("documents").is_some_and(|input| input.kind == InputKind::List) {
        inputs.insert("documents".into(), value);
        return Ok(());
    }
    let mut files = workflow.inputs.iter().filter(|(_, input)| input.kind == InputKind::File);
    match (files.next(), files.next(), documents.len()) {
        (Some((name, _)), None, 1) => drop(inputs.insert(name.clone(), value[0].clone())),
        (Some((name, _)), None, count) => return Err(format!("input `{name}` takes one file, not {count}")),
        _ => {
            return Err(format!(
                "workflow {} takes no documents: it has no input `documents` nor a file",
                workflow.name
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn workflow() -> Workflow {
        let inputs = json!({"who": {"type": "string"}, "when": {"type": "date"}, "n": {"type": "number"},
            "sum": {"type": "money"}, "yes": {"type": "boolean"}, "scan": {"type": "file"}});
        let step = json!([{"name": "a", "agent": "noop"}]);
        serde_json::from_value(json!({"name": "w", "version": 1, "prefix": "W", "inputs": inputs, "step": step}))
            .unwrap()
    }

    #[test]
    fn inputs_are_read_by_their_kind() {
        let check = |name: &str, text: &str, expected: Option<Value>| {
            let read = read_inputs(&workflow(), &[(name.into(), text.into())]);
            assert_eq!(read.clone().ok().map(|inputs| inputs[name].clone()), expected, "{name}={text}: {read:?}");
        };
        check("who", "12", Some(json!("12")));
        check("n", "12.5", Some(json!(12.5)));
        check("n", "twelve", None);
        check("yes", "true", Some(json!(true)));
        check("yes", "yes", None);
        check("when", "2026-03-01", Some(json!("2026-03-01")));
        check("when", "1 March", None);
        check("sum", "1190.00 EUR", Some(json!({"amount": "1190.00", "currency": "EUR"})));
        check("sum", "1190.00", None);
        check("other", "x", None);
        let told = read_inputs(&workflow(), &[("n".into(), "x".into())]).unwrap_err();
        assert_eq!(told, "input `n`: `x` is no number: write it as 12.5");
    }

    #[test]
    fn a_document_goes_to_the_only_file_that_is_wanted() {
        let document: DocumentRef = serde_json::from_value(
            json!({"path": "p", "name": "a.pdf", "kind": "pdf", "sha256": "s", "size_bytes": 1}),
        )
        .unwrap();
        let mut inputs = Map::new();
        take_documents(&workflow(), &mut inputs, std::slice::from_ref(&document)).unwrap();
        assert_eq!(inputs["scan"]["name"], "a.pdf");
        assert!(take_documents(&workflow(), &mut inputs, &[document.clone(), document]).is_err());
    }
}
