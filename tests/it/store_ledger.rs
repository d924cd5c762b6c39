//! The store on both databases: the ledger, mailboxes, people and the audit trail.

use countersign::domain::event::{Event, GENESIS, chain_hash};
use countersign::domain::ids::{Delivery, MessageId, RunId};
use countersign::domain::message::Message;
use countersign::domain::person::Customer;
use countersign::domain::verdict::{Decision, Severity, Verdict};
use countersign::store::messages::{self, Decided};
use countersign::store::{Tx, earlier, events, mailboxes, people};
use serde_json::Value;

use crate::store_contract::{at, odd, on_both};

#[tokio::test]
async fn a_delivery_has_one_row_and_one_verdict() {
    on_both(async |store| {
        let mut tx = store.begin().await.unwrap();
        let delivery = Delivery { mailbox: "ap".into(), uid_validity: u32::MAX, uid: "7".into() };
        let id: MessageId = delivery.message_id();
        let list = async |tx: &mut Tx| messages::record_listed(tx, "acme", &delivery, None, 5, at(0)).await.unwrap();
        assert!(list(&mut tx).await && !list(&mut tx).await);
        assert_eq!(messages::open(&mut tx, "ap", at(0), 9).await.unwrap().len(), 1);
        messages::note_failure(&mut tx, id, "away", at(10)).await.unwrap();
        assert_eq!(
            (
                messages::open(&mut tx, "ap", at(9), 9).await.unwrap().len(),
                messages::open(&mut tx, "ap", at(10), 9).await.unwrap().len()
            ),
            (0, 1)
        );

        let message = Message {
            subject: "it's \u{1f600}".into(),
            stable_sha256: "s".into(),
            raw_sha256: "r".into(),
            ..Default::default()
        };
        let verdict = Verdict::Quarantine { severity: Severity::Low };
        let decision = Decision::by_guard("loop", verdict, "a \"reason\"");
        let decided = Decided {
            id,
            customer: "globex",
            message: Some(&message),
            decision: &decision,
            raw_sha256: Some("r"),
            size_bytes: u64::MAX,
            run_id: None,
            wait_id: None,
            duplicate_of: None,
            documents_of: None,
            at: at(20),
        };
        assert!(
            messages::decide(&mut tx, &decided).await.unwrap() && !messages::decide(&mut tx, &decided).await.unwrap()
        );
        messages::insert_transaction(&mut tx, delivery.transaction_id(), "acme", id, at(20)).await.unwrap();
        messages::insert_transaction(&mut tx, delivery.transaction_id(), "acme", id, at(21)).await.unwrap();
        let row = messages::get(&mut tx, id).await.unwrap();
        assert_eq!(row.customer, "globex", "listed as the mailbox's own, decided to be another's");
        assert_eq!(
            (row.explanation.unwrap().0, row.subject, row.size_bytes),
            (decision.explanation.clone(), Some(message.subject.clone()), i64::MAX)
        );
        assert!(earlier::first_with_hashes(&mut tx, "globex", &["s"]).await.unwrap().is_empty(), "nothing came of it");
        assert!(earlier::known_authors(&mut tx, "acme", &["a@b.example"], Some(id)).await.unwrap().is_empty());
        assert_eq!(messages::unflagged(&mut tx, "ap", 9).await.unwrap().len(), 1);
        messages::mark_flagged(&mut tx, &[id], at(30)).await.unwrap();
        messages::mark_flagged(&mut tx, &[id], at(40)).await.unwrap();
        assert_eq!(messages::get(&mut tx, id).await.unwrap().flagged_at, Some(at(30)));
        assert!(
            messages::unflagged(&mut tx, "ap", 9).await.unwrap().is_empty()
                && messages::parts(&mut tx, id).await.unwrap().is_empty()
        );
        assert_eq!(messages::latest(&mut tx, 9).await.unwrap().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_mailbox_belongs_to_whoever_has_its_lease_and_tells_its_health_once() {
    on_both(async |store| {
        let mut tx = store.begin().await.unwrap();
        for customer in ["old", "acme"] {
            mailboxes::ensure(&mut tx, "ap", customer).await.unwrap();
        }
        assert!(mailboxes::lease(&mut tx, "ap", "a", at(0), at(60)).await.unwrap());
        assert!(!mailboxes::lease(&mut tx, "ap", "b", at(59), at(99)).await.unwrap());
        assert!(mailboxes::lease(&mut tx, "ap", "a", at(59), at(99)).await.unwrap(), "renewed");
        mailboxes::release(&mut tx, "ap", "b").await.unwrap();
        assert!(!mailboxes::lease(&mut tx, "ap", "b", at(60), at(99)).await.unwrap(), "not b's to release");
        assert!(mailboxes::lease(&mut tx, "ap", "b", at(100), at(160)).await.unwrap(), "run out");
        mailboxes::set_high_water(&mut tx, "ap", u32::MAX, u32::MAX).await.unwrap();
        assert!(mailboxes::note_failure(&mut tx, "ap", "no", at(1), at(2)).await.unwrap());
        assert!(!mailboxes::note_failure(&mut tx, "ap", "no", at(3), at(4)).await.unwrap());
        let row = mailboxes::get(&mut tx, "ap").await.unwrap().unwrap();
        assert_eq!(
            (row.customer.as_str(), row.failures, row.high_water, row.next_poll_at),
            ("acme", 2, i64::from(u32::MAX), Some(at(4)))
        );
        assert!(
            mailboxes::note_success(&mut tx, "ap", at(5)).await.unwrap()
                && !mailboxes::note_success(&mut tx, "ap", at(6)).await.unwrap()
        );
        assert_eq!(
            (mailboxes::all(&mut tx).await.unwrap().len(), mailboxes::get(&mut tx, "x").await.unwrap().is_none()),
            (1, true)
        );
    })
    .await;
}

#[tokio::test]
async fn people_are_replaced_as_a_whole() {
    on_both(async |store| {
        let people: Value = toml::from_str(include_str!("../../config/demo/people.toml")).unwrap();
        let mut customer: Customer = serde_json::from_value(people["customer"][0].clone()).unwrap();
        let mut tx = store.begin().await.unwrap();
        people::import(&mut tx, &customer, at(0)).await.unwrap();
        customer.users.pop();
        customer.suppliers.pop();
        people::import(&mut tx, &customer, at(1)).await.unwrap();
        assert_eq!(people::customer(&mut tx, "acme").await.unwrap(), customer);
        assert_eq!(people::users(&mut tx, "acme").await.unwrap(), customer.users);
        assert!(people::customer(&mut tx, "nobody").await.unwrap().users.is_empty());
    })
    .await;
}

#[tokio::test]
async fn events_are_sealed_in_one_chain_by_many_and_vanish_with_their_transaction() {
    on_both(async |store| {
        let mut tx = store.begin().await.unwrap();
        events::append(&mut tx, &Event::new(at(0), "never.happened", "acme")).await.unwrap();
        drop(tx);
        let mut tx = store.begin().await.unwrap();
        let mut event = Event::new(at(1), "x.y", "acme");
        event.data = odd();
        event.run = Some(RunId::new());
        event.message = Some(MessageId::new());
        for _copy in 0..30 {
            events::append(&mut tx, &event).await.unwrap();
        }
        tx.commit().await.unwrap();
        let sealers = (0..6).map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut tx = store.begin().await.unwrap();
                let sealed = events::seal(&mut tx, 10).await.unwrap();
                tx.commit().await.unwrap();
                sealed
            })
        });
        let sealed: usize = futures_util::future::join_all(sealers).await.into_iter().map(Result::unwrap).sum();
        assert_eq!(sealed, 30);
        let mut tx = store.read().await.unwrap();
        let chain = events::after(&mut tx, 0, 99).await.unwrap();
        let mut hash = GENESIS.to_owned();
        for (place, link) in (1..).zip(&chain) {
            hash = chain_hash(&hash, place, &event);
            assert_eq!((link.position, &link.hash, &link.event), (place, &hash, &event));
        }
        assert_eq!((chain.len(), events::head(&mut tx).await.unwrap()), (30, (30, hash)));
        assert_eq!(events::of_run(&mut tx, event.run.unwrap()).await.unwrap().len(), 30);
        assert_eq!(events::of_message(&mut tx, event.message.unwrap()).await.unwrap().len(), 30);
    })
    .await;
}
