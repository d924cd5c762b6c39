//! `request_info`: asks somebody outside, usually the supplier, for what is missing; the reply ends the wait.

use async_trait::async_trait;
use serde_json::{Map, Value, json};

use super::asking::{self, Notices, Patience, Told};
use super::settings::{self, Names, Reader};
use super::{Agent, Outcome, Task};
use crate::domain::failure::Failure;
use crate::domain::person::Address;
use crate::domain::wait::{Asked, WaitKind, WaitRequest};

pub struct RequestInfo;

#[derive(Default)]
struct Wants {
    /// Address; whoever sent the mail when missing.
    to: Option<String>,
    supplier: Option<String>,
    missing: Vec<String>,
    note: String,
    /// A reply without any document is not enough.
    need_documents: bool,
    fallback: Vec<String>,
    patience: Patience,
}

fn read(with: &mut Reader) -> Wants {
    let Names(missing) = with.required("missing");
    let (patience, fallback) = asking::read_patience(with);
    Wants {
        to: with.optional("to"),
        supplier: with.optional("supplier"),
        missing,
        note: with.optional("note").unwrap_or_default(),
        need_documents: with.optional("need_documents").unwrap_or_default(),
        fallback,
        patience,
    }
}

#[async_trait]
impl Agent for RequestInfo {
    fn name(&self) -> &'static str {
        "request_info"
    }

    fn about(&self) -> &'static str {
        "Asks `to` (by default whoever sent the mail) for what is `missing`; the reply's text and documents are the output."
    }

    fn check(&self, with: &Map<String, Value>) -> Vec<(String, String)> {
        settings::check(with, read)
    }

    async fn perform(&self, task: &Task) -> Outcome {
        ask(task).unwrap_or_else(Outcome::Fail)
    }
}

fn ask(task: &Task) -> Result<Outcome, Failure> {
    let wants = settings::filled(&task.with, read)?;
    let to = wants.to.as_deref().map(Address::new).or_else(|| task.requester());
    let to = to.filter(|to| !to.domain().is_empty()).ok_or_else(|| {
        Failure::high("nobody_to_ask", "there is no address to ask: the mail had no single sender, and `to` names none")
    })?;
    let asked = vec![Asked { person: to.address.clone(), address: to.address.clone() }];
    let fallback = asking::resolve(&wants.fallback, &task.users);
    let origin = |key: &str| task.origin.get(key).and_then(Value::as_str).unwrap_or_default();
    let missing = wants.missing.join(", ");

    let mut data = Map::new();
    let supplier = wants.supplier.or(to.name).unwrap_or(to.address);
    // For the colleagues that a silence escalates to.
    data.insert("title".into(), format!("no answer from {supplier}").into());
    data.insert("text".into(), format!("We asked {supplier} for {missing} and got no answer. Can you help?").into());
    data.insert("supplier".into(), supplier.into());
    data.insert("subject".into(), origin("subject").into());
    data.insert("missing".into(), json!(wants.missing));
    data.insert("note".into(), wants.note.into());
    let notices = Notices {
        task,
        patience: &wants.patience,
        templates: ["request-info", "request-info-reminder", "notify"],
        data,
        attachments: vec![],
        in_reply_to: Some(origin("message_id").to_owned()).filter(|id| !id.is_empty()),
    };
    let expired = Failure::medium("no_answer", format!("nobody sent what was asked for in time: {missing}"));
    let facts = json!({"missing": wants.missing, "need_documents": wants.need_documents});
    Ok(Outcome::Wait(Box::new(WaitRequest {
        kind: WaitKind::Reply,
        question: format!("send {missing}"),
        facts: facts.as_object().cloned().unwrap_or_default(),
        notices: notices.tell(&asked, Told::First),
        ladder: notices.ladder(&asked, &fallback, expired),
        fallback: notices.fallback(&asked, &fallback),
        asked,
        until: None,
    })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::testing::{perform, task};
    use crate::domain::wait::RungAction;

    fn settings() -> Value {
        json!({"missing": ["the purchase order"], "need_documents": true, "remind_after": ["3d"], "expire_after": "10d"})
    }

    #[tokio::test]
    async fn the_supplier_is_asked_in_the_thread_of_its_own_mail() {
        let Outcome::Wait(wait) = perform(&RequestInfo, &task(settings())).await else { panic!("must wait") };
        assert_eq!((wait.kind, wait.asked[0].address.as_str()), (WaitKind::Reply, "billing@nordwind.example"));
        assert_eq!(wait.facts["need_documents"], true);
        let notice = &wait.notices[0];
        assert_eq!(notice.in_reply_to.as_deref(), Some("first@nordwind.example"));
        assert_eq!((&notice.data["subject"], &notice.data["number"]), (&json!("Invoice 4711"), &json!(0)));
        let rungs: Vec<_> = wait.ladder.iter().map(|rung| (rung.after.to_string(), rung.action.name())).collect();
        assert_eq!(rungs, [("3d".into(), "remind"), ("10d".into(), "expire")]);
    }

    #[tokio::test]
    async fn a_silent_supplier_is_escalated_to_colleagues() {
        let mut with = settings();
        let more = json!({"escalate_after": "5d", "fallback": ["role:finance-lead"], "supplier": "Nordwind"});
        with.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let Outcome::Wait(wait) = perform(&RequestInfo, &task(with)).await else { panic!("must wait") };
        let RungAction::Escalate { to, replace, notices } = &wait.ladder[1].action else { panic!("{:?}", wait.ladder) };
        assert_eq!((to[0].person.as_str(), *replace, notices[0].template.as_str()), ("frank", false, "notify"));
        assert_eq!(notices[0].data["title"], "no answer from Nordwind");
    }

    #[tokio::test]
    async fn without_an_address_nothing_is_sent() {
        let mut task = task(settings());
        task.origin.remove("from");
        let Outcome::Fail(failure) = perform(&RequestInfo, &task).await else { panic!("must fail") };
        assert_eq!(failure.reason, "nobody_to_ask");
    }
}
