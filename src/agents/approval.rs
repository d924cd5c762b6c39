//! `approval`: asks people of the customer to approve or reject. Who asked for something never approves it, and nobody to
//! ask is a failure, never an approval.

use async_trait::async_trait;
use serde_json::{Map, Value, json};

use super::asking::{self, Notices, Patience, Told};
use super::settings::{self, Facts, Names, Reader, shown};
use super::{Agent, Outcome, Task};
use crate::domain::document::DocumentRef;
use crate::domain::failure::Failure;
use crate::domain::wait::{Asked, WaitKind, WaitRequest};

pub struct Approval;

#[derive(Default)]
struct Wants {
    question: String,
    note: String,
    approvers: Vec<String>,
    fallback: Vec<String>,
    facts: Facts,
    documents: Vec<DocumentRef>,
    /// `{label, ok, text}` each, as `verify_invoice` gives them.
    checks: Vec<Map<String, Value>>,
    patience: Patience,
}

fn read(with: &mut Reader) -> Wants {
    let Names(approvers) = with.required("approvers");
    let (patience, fallback) = asking::read_patience(with);
    Wants {
        question: with.required("question"),
        note: with.optional("note").unwrap_or_default(),
        approvers,
        fallback,
        facts: with.optional("facts").unwrap_or_default(),
        documents: with.optional("documents").unwrap_or_default(),
        checks: with.optional("checks").unwrap_or_default(),
        patience,
    }
}

#[async_trait]
impl Agent for Approval {
    fn name(&self) -> &'static str {
        "approval"
    }

    fn about(&self) -> &'static str {
        "Asks `approvers` to approve or reject, reminds them, escalates to `fallback`, and expires."
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
    let requester = task.requester();
    let may_decide = |asked: &Asked| requester.as_ref().is_none_or(|requester| !requester.same_as(&asked.address));
    let people = |names: &[String]| -> Vec<Asked> {
        asking::resolve(names, &task.users).into_iter().filter(may_decide).collect()
    };
    let fallback = people(&wants.fallback);
    let asked = Some(people(&wants.approvers)).filter(|asked| !asked.is_empty()).unwrap_or_else(|| fallback.clone());
    if asked.is_empty() {
        let wanted = [wants.approvers.as_slice(), wants.fallback.as_slice()].concat().join(", ");
        return Err(Failure::high("nobody_to_ask", format!("none of {wanted} is a user who may approve this")));
    }

    let facts: Vec<(String, String)> =
        wants.facts.0.iter().map(|(label, value)| (label.clone(), shown(value))).collect();
    let mut data = Map::new();
    data.insert("question".into(), wants.question.clone().into());
    data.insert("note".into(), wants.note.into());
    data.insert("facts".into(), facts.iter().map(|(label, value)| json!({"label": label, "value": value})).collect());
    data.insert("documents".into(), wants.documents.iter().map(|document| document.name.clone()).collect());
    data.insert("checks".into(), json!(wants.checks));
    let notices = Notices {
        task,
        patience: &wants.patience,
        templates: ["approval", "reminder", "escalation"],
        data,
        attachments: asking::attach(&wants.documents),
        in_reply_to: None,
    };
    let expired = Failure::medium("approval_expired", format!("nobody answered in time: {}", wants.question));
    Ok(Outcome::Wait(Box::new(WaitRequest {
        kind: WaitKind::Approval,
        question: wants.question.clone(),
        notices: notices.tell(&asked, Told::First),
        ladder: notices.ladder(&asked, &fallback, expired),
        fallback: notices.fallback(&asked, &fallback),
        facts: bound(facts, &wants.documents),
        asked,
        until: None,
    })))
}

/// What the answer is bound to by hash: the facts, and the documents by their content.
fn bound(facts: Vec<(String, String)>, documents: &[DocumentRef]) -> Map<String, Value> {
    let mut bound: Map<String, Value> = facts.into_iter().map(|(label, value)| (label, value.into())).collect();
    for document in documents {
        let digest = document.sha256.get(..16).unwrap_or(&document.sha256);
        bound.insert(document.name.clone(), format!("sha256 {digest}").into());
    }
    bound
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::testing::{document, perform, task};
    use crate::domain::wait::{Rung, RungAction};

    fn settings(extra: Value) -> Value {
        let mut with = json!({
            "question": "approve invoice 4711 over 1,190.00 EUR", "approvers": ["role:budget-owner"], "fallback": ["frank"],
            "facts": [{"label": "Total", "value": "1,190.00 EUR"}, {"label": "IBAN", "value": null}],
            "documents": [document("invoice-4711.pdf")], "remind_after": ["2d", "6d"], "escalate_after": "4d",
            "escalate": "replace", "expire_after": "14d",
        });
        with.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        with
    }

    async fn wait(task: &Task) -> WaitRequest {
        match perform(&Approval, task).await {
            Outcome::Wait(wait) => *wait,
            other => panic!("{other:?}"),
        }
    }

    fn told(rung: &Rung) -> String {
        let people = |drafts: &[crate::domain::notice::Draft]| {
            drafts.iter().map(|draft| format!("{}:{}", draft.template, draft.person)).collect::<Vec<_>>().join(",")
        };
        match &rung.action {
            RungAction::Remind { notices } => {
                format!("{} {} #{}", rung.after, people(notices), notices[0].data["number"])
            }
            RungAction::Escalate { replace, notices, .. } => format!("{} {} {replace}", rung.after, people(notices)),
            RungAction::Expire { failure } => format!("{} {}", rung.after, failure.reason),
        }
    }

    #[tokio::test]
    async fn an_approval_asks_the_owner_with_facts_and_documents() {
        let wait = wait(&task(settings(json!({})))).await;
        assert_eq!(wait.asked, [Asked { person: "olivia".into(), address: "olivia@acme.example".into() }]);
        assert_eq!(wait.facts["Total"], "1,190.00 EUR");
        assert!(wait.facts["invoice-4711.pdf"].as_str().unwrap().starts_with("sha256 "));
        let [notice] = wait.notices.as_slice() else { panic!("one notice for one person") };
        assert!(notice.answerable && notice.attachments[0].content_type == "application/pdf");
        assert_eq!(notice.data["facts"][1], json!({"label": "IBAN", "value": "not stated"}));
        assert_eq!(notice.data["due"], "Friday 6 March 2026, 09:00 UTC", "olivia's turn ends with the escalation");
    }

    #[tokio::test]
    async fn silence_climbs_the_ladder_and_reminders_follow_who_is_asked() {
        let check = async |extra: Value, expected: &[&str]| {
            let rungs: Vec<_> = wait(&task(settings(extra))).await.ladder.iter().map(told).collect();
            assert_eq!(rungs, expected);
        };
        check(
            json!({}),
            &["2d reminder:olivia #1", "4d escalation:frank true", "6d reminder:frank #2", "2w approval_expired"],
        )
        .await;
        check(
            json!({"escalate": "add"}),
            &[
                "2d reminder:olivia #1",
                "4d escalation:frank false",
                "6d reminder:olivia,reminder:frank #2",
                "2w approval_expired",
            ],
        )
        .await;
        let alone = json!({"approvers": ["frank"], "remind_after": null});
        check(alone, &["2w approval_expired"]).await;
    }

    #[tokio::test]
    async fn who_cannot_or_may_not_be_asked_is_replaced_by_the_fallback_and_never_by_an_approval() {
        let asked = async |extra: Value, from: &str| {
            let mut task = task(settings(extra));
            task.origin.insert("from".into(), from.into());
            match perform(&Approval, &task).await {
                Outcome::Wait(wait) => {
                    wait.asked.iter().map(|asked| asked.person.clone()).collect::<Vec<_>>().join(",")
                }
                Outcome::Fail(failure) => failure.reason,
                other => panic!("{other:?}"),
            }
        };
        let supplier = "billing@nordwind.example";
        assert_eq!(asked(json!({"approvers": ["nobody", "role:ghost"]}), supplier).await, "frank");
        assert_eq!(asked(json!({}), "Olivia@ACME.example").await, "frank", "the requester may not approve");
        assert_eq!(asked(json!({}), "Olivia <olivia@acme.example>").await, "frank");
        assert_eq!(asked(json!({"fallback": ["olivia"]}), "olivia@acme.example").await, "nobody_to_ask");
        assert_eq!(
            asked(json!({"approvers": ["x"], "fallback": null, "escalate_after": null}), supplier).await,
            "nobody_to_ask"
        );
        assert_eq!(
            asked(json!({"approvers": ["olivia", "role:budget-owner", "frank"]}), supplier).await,
            "olivia,frank"
        );
        assert_eq!(asked(json!({"approvers": []}), supplier).await, "frank");
    }

    #[test]
    fn settings_that_cannot_work_are_told() {
        let told = |extra: Value| {
            Approval.check(settings(extra).as_object().unwrap()).into_iter().map(|(key, _)| key).collect::<Vec<_>>()
        };
        assert_eq!(told(json!({})), [""; 0]);
        assert_eq!(told(json!({"question": "{{ steps.extract.invoice.number }}", "approvers": "{{ x }}"})), [""; 0]);
        assert_eq!(
            told(json!({"escalate": "both", "remind_after": ["3w"], "approver": "olivia"})),
            ["escalate", "remind_after", "approver"]
        );
        assert_eq!(told(json!({"fallback": null})), ["escalate_after"]);
    }
}
