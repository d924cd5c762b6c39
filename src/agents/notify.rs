//! `notify`: tells people something and goes on; nobody is waited for.

use async_trait::async_trait;
use serde_json::{Map, Value, json};

use super::asking;
use super::settings::{self, Facts, Names, Reader, shown};
use super::{Agent, Outcome, Task};
use crate::domain::document::DocumentRef;
use crate::domain::failure::Failure;
use crate::domain::notice::Draft;
use crate::domain::person::Address;
use crate::domain::wait::Asked;

pub struct Notify;

#[derive(Default)]
struct Wants {
    /// User names, `role:` names and addresses.
    to: Vec<String>,
    template: String,
    title: String,
    text: String,
    facts: Facts,
    documents: Vec<DocumentRef>,
}

fn read(with: &mut Reader) -> Wants {
    let Names(to) = with.required("to");
    Wants {
        to,
        template: with.optional("template").unwrap_or_else(|| "notify".into()),
        title: with.required("title"),
        text: with.optional("text").unwrap_or_default(),
        facts: with.optional("facts").unwrap_or_default(),
        documents: with.optional("documents").unwrap_or_default(),
    }
}

#[async_trait]
impl Agent for Notify {
    fn name(&self) -> &'static str {
        "notify"
    }

    fn about(&self) -> &'static str {
        "Tells users, roles or addresses (`to`) a `title` and a `text` by mail, and goes on."
    }

    fn check(&self, with: &Map<String, Value>) -> Vec<(String, String)> {
        settings::check(with, read)
    }

    async fn perform(&self, task: &Task) -> Outcome {
        tell(task).unwrap_or_else(Outcome::Fail)
    }
}

fn tell(task: &Task) -> Result<Outcome, Failure> {
    let wants = settings::filled(&task.with, read)?;
    let mut people: Vec<Asked> = vec![];
    for name in &wants.to {
        let found = match Address::new(name) {
            address if address.domain().is_empty() => asking::resolve(std::slice::from_ref(name), &task.users),
            address => vec![Asked { person: address.address.clone(), address: address.address }],
        };
        let new = found.into_iter().filter(|one| !people.iter().any(|known| known.address == one.address));
        people.extend(new.collect::<Vec<_>>());
    }
    if people.is_empty() {
        return Err(Failure::medium("nobody_to_tell", format!("none of {} is a user", wants.to.join(", "))));
    }
    let facts: Vec<_> =
        wants.facts.0.iter().map(|(label, value)| json!({"label": label, "value": shown(value)})).collect();
    let data = json!({"title": wants.title, "text": wants.text, "facts": facts});
    let draft = |asked: &Asked| Draft {
        medium: "email".into(),
        person: asked.person.clone(),
        address: asked.address.clone(),
        template: wants.template.clone(),
        data: data.as_object().cloned().unwrap_or_default(),
        attachments: asking::attach(&wants.documents),
        answerable: false,
        in_reply_to: None,
    };
    let told: Vec<_> = people.iter().map(|asked| asked.person.clone()).collect();
    Ok(Outcome::Done { output: json!({"told": told}), notices: people.iter().map(draft).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::testing::{perform, task};

    #[tokio::test]
    async fn users_roles_and_addresses_are_told_once_each() {
        let told = async |to: Value| match perform(&Notify, &task(json!({"to": to, "title": "t"}))).await {
            Outcome::Done { output, notices } => {
                assert!(notices.iter().all(|notice| !notice.answerable && notice.template == "notify"));
                (output["told"].clone(), notices.len())
            }
            Outcome::Fail(failure) => (json!(failure.reason), 0),
            other => panic!("{other:?}"),
        };
        assert_eq!(told(json!("frank")).await, (json!(["frank"]), 1));
        let mixed = json!(["olivia", "role:budget-owner", "a@b.example", "ghost"]);
        assert_eq!(told(mixed).await, (json!(["olivia", "a@b.example"]), 2));
        assert_eq!(told(json!(["ghost"])).await, (json!("nobody_to_tell"), 0));
    }
}
