//! Documents that come again in another mail: marked on the message and its parts, told wherever the message is, and left to
//! the rules. Mail that is a repeat as a whole is in `intake_features`.

use countersign::domain::ids::{Delivery, MessageId};
use countersign::domain::message::{Message, Part, PartKind, PartRole};
use countersign::domain::verdict::{Decision, Severity, Start, Verdict};
use countersign::reports::picture::MessagePicture;
use countersign::reports::{explain_message, messages as report, show_message};
use countersign::store::earlier::first_with_documents;
use countersign::store::messages::{self, Decided, MessageRow, StoredPart};
use countersign::store::{Store, Tx};
use serde_json::{Map, json};

use crate::app::{Mail, NORDWIND, TestApp, invoice, mail};
use crate::intake_features::told;
use crate::store_contract::{at, on_both};

/// The invoice and its order again, in another mail.
fn reminder() -> Mail {
    mail(NORDWIND, "Reminder: invoice 4711", "It is still open.")
        .attach_file("config/demo/documents/invoice-4711.pdf")
        .attach_file("config/demo/documents/po-88001.pdf")
}

async fn explained(app: &TestApp, row: &MessageRow) -> (String, String) {
    let picture = MessagePicture::read(&mut app.tx().await, row.clone()).await.unwrap();
    (explain_message::explain(&picture), show_message::show(&picture, None))
}

#[tokio::test]
async fn the_same_documents_in_another_mail_go_to_a_person_who_is_told_where_they_came_first() {
    let app = TestApp::demo().await;
    let first = app.receive(invoice()).await;
    let again = app.receive(reminder()).await;
    let expected = "quarantine sent-again: Nordwind Papier GmbH sent again what came with AP-000001";
    assert_eq!((told(&again).as_str(), again.severity), (expected, Some(Severity::Low)));
    assert_eq!((again.documents_of, again.duplicate_of), (Some(first.id), None));
    let parts = messages::parts(&mut app.tx().await, again.id).await.unwrap();
    let marks: Vec<_> =
        parts.iter().filter(|part| part.role == PartRole::Document).map(|part| part.duplicate_of).collect();
    assert_eq!(marks, [Some(first.id), Some(first.id)]);

    let (explained, shown) = explained(&app, &again).await;
    let line = format!("Its document invoice-4711.pdf came before, in message {}.", first.id);
    assert!(explained.contains(&line), "{explained}");
    assert!(shown.contains(&format!("brings from  {}", first.id)) && shown.contains("document, known"), "{shown}");
    let screened = app.events("message.screened").await;
    assert_eq!(screened[1].data["documents_of"], first.id.to_string());
    assert!(!screened[0].data.contains_key("documents_of"));
    let lines = report::load(&mut app.tx().await, None, None, None).await.unwrap();
    assert!(report::csv(&lines).lines().any(|line| line.ends_with(&format!(",{},", first.id))));
    assert!(report::table(&lines, None).contains("quarantine, known documents"));

    // A person who wants it all the same starts it anew; its documents stay marked.
    app.app.intake.release(again.id, "frank", Some("ap-invoice")).await.unwrap();
    app.settle().await;
    assert_eq!(app.runs().await.len(), 2);
    let released = messages::get(&mut app.tx().await, again.id).await.unwrap();
    assert_eq!(released.documents_of, Some(first.id));
    assert_eq!(app.events("message.released").await[0].data["documents_of"], first.id.to_string());
    app.finish().await;
}

#[tokio::test]
async fn a_new_document_among_known_ones_starts_and_the_known_ones_are_marked() {
    let app = TestApp::demo().await;
    let first = app.receive(invoice()).await;
    let more = reminder().attach_file("config/demo/documents/invoice-4790.pdf");
    let row = app.receive(more).await;
    assert_eq!((row.verdict.as_deref(), row.documents_of), (Some("start"), Some(first.id)));
    app.finish().await;
}

#[tokio::test]
async fn documents_of_mail_that_nothing_came_of_are_new() {
    let app = TestApp::demo().await;
    let unproven = app.receive(invoice().unproven()).await;
    assert_eq!(unproven.verdict.as_deref(), Some("quarantine"));
    let row = app.receive(reminder()).await;
    assert_eq!((row.verdict.as_deref(), row.documents_of), (Some("start"), None));
    app.finish().await;
}

#[tokio::test]
async fn a_mail_that_is_a_repeat_as_a_whole_is_told_as_that_alone() {
    let app = TestApp::demo().await;
    let invoice = invoice();
    let first = app.receive(invoice.clone()).await;
    let again = app.receive([b"Received: from other.example\r\n".to_vec(), invoice.raw()].concat()).await;
    assert_eq!((again.duplicate_of, again.documents_of), (Some(first.id), None));
    let (explained, shown) = explained(&app, &again).await;
    assert_eq!(
        explained.matches(&first.id.to_string()).count(),
        2,
        "in its reason, and as what would have changed it: {explained}"
    );
    assert!(shown.contains(&format!("same as      {}", first.id)), "{shown}");
    assert_eq!(app.events("message.screened").await[1].data["duplicate_of"], first.id.to_string());
    let lines = report::load(&mut app.tx().await, None, None, None).await.unwrap();
    assert!(report::table(&lines, None).contains("ignore, duplicate"));
    assert!(report::csv(&lines).lines().any(|line| line.ends_with(&format!(",{},,", first.id))));
    app.finish().await;
}

/// Writes a decided message of a customer with documents; gives its id.
async fn decided(
    tx: &mut Tx,
    uid: &str,
    customer: &str,
    verdict: Verdict,
    documents: &[(&str, PartRole)],
) -> MessageId {
    let delivery = Delivery { mailbox: "ap".into(), uid_validity: 1, uid: uid.into() };
    let id = delivery.message_id();
    messages::record_listed(tx, "shared", &delivery, None, 5, at(0)).await.unwrap();
    let decision = Decision::by_guard("test", verdict, "x");
    let row = Decided {
        id,
        customer,
        message: Some(&Message::default()),
        decision: &decision,
        raw_sha256: None,
        size_bytes: 5,
        run_id: None,
        wait_id: None,
        duplicate_of: None,
        documents_of: None,
        at: at(uid.parse().unwrap()),
    };
    assert!(messages::decide(tx, &row).await.unwrap());
    for (index, (sha256, role)) in (1..).zip(documents) {
        let part = Part {
            index,
            container: None,
            name: None,
            declared_type: "application/pdf".into(),
            kind: PartKind::Pdf,
            role: *role,
            sha256: (*sha256).into(),
            size_bytes: 1,
            content_id: None,
            twin_of: None,
            content: Default::default(),
        };
        let stored = StoredPart { part: &part, path: "x", duplicate_of: None };
        messages::insert_parts(tx, id, delivery.transaction_id(), &[stored]).await.unwrap();
    }
    id
}

#[tokio::test]
async fn the_first_message_with_a_document_is_found_for_many_at_once() {
    on_both(async |store: Store| {
        let mut tx = store.begin().await.unwrap();
        let start = || Verdict::Start(vec![Start { workflow: "w".into(), inputs: Map::new(), documents: vec![] }]);
        let document = PartRole::Document;
        let kept = Verdict::Quarantine { severity: Severity::Low };
        decided(&mut tx, "1", "acme", kept, &[("a", document)]).await;
        let first =
            decided(&mut tx, "2", "acme", start(), &[("a", document), ("b", document), ("logo", PartRole::Decoration)])
                .await;
        let second = decided(&mut tx, "3", "acme", start(), &[("a", document), ("c", document)]).await;
        decided(&mut tx, "4", "globex", start(), &[("d", document)]).await;
        let found =
            first_with_documents(&mut tx, "acme", &["c", "a", "a", "b", "d", "logo", "new", "it's"]).await.unwrap();
        let found: Vec<_> = found.into_iter().map(|one| (one.sha256, one.message, one.run)).collect();
        let expected = [("a", first), ("b", first), ("c", second)].map(|(hash, id)| (hash.to_owned(), id, None));
        assert_eq!(found, expected);
        assert!(first_with_documents(&mut tx, "acme", &[]).await.unwrap().is_empty());
        assert_eq!(json!(messages::parts(&mut tx, first).await.unwrap()[0].duplicate_of), json!(null));
    })
    .await;
}
