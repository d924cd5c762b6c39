//! The store on both databases: holds, renumbered deliveries, and retention.

use chrono::{DateTime, Utc};
use countersign::domain::ids::{Delivery, MessageId};
use countersign::domain::verdict::{Decision, Disposition, Severity, Verdict};
use countersign::store::messages::{self, Decided};
use countersign::store::quarantine::{self, Disposed};
use countersign::store::{Tx, holds, ledger, mailboxes, renumbered, retention};

use crate::store_contract::{at, on_both};

fn delivery(uid_validity: u32, uid: &str) -> Delivery {
    Delivery { mailbox: "ap".into(), uid_validity, uid: uid.into() }
}

async fn list(tx: &mut Tx, delivery: &Delivery, received_at: Option<DateTime<Utc>>, listed_at: DateTime<Utc>) {
    assert!(messages::record_listed(tx, "acme", delivery, received_at, 5, listed_at).await.unwrap());
}

async fn decide(tx: &mut Tx, delivery: &Delivery, verdict: Verdict, raw: &str, same_as: Option<MessageId>) {
    let decision = Decision::by_guard("loop", verdict, "it's so");
    let decided = Decided {
        id: delivery.message_id(),
        customer: "acme",
        message: None,
        decision: &decision,
        raw_sha256: Some(raw),
        size_bytes: 5,
        run_id: None,
        wait_id: None,
        duplicate_of: same_as,
        documents_of: None,
        at: at(20),
    };
    assert!(messages::decide(tx, &decided).await.unwrap());
}

const KEPT: Verdict = Verdict::Quarantine { severity: Severity::Low };

#[tokio::test]
async fn a_mailbox_is_held_by_the_first_and_what_waits_is_counted_and_left() {
    on_both(async |store| {
        let mut tx = store.begin().await.unwrap();
        mailboxes::ensure(&mut tx, "ap", "acme").await.unwrap();
        assert!(holds::waiting(&mut tx).await.unwrap().is_empty());
        assert!(!holds::release(&mut tx, "ap", at(1)).await.unwrap(), "nobody holds it");
        assert!(holds::hold(&mut tx, "ap", "frank", "it's \u{1f600}", 3, at(1)).await.unwrap());
        assert!(!holds::hold(&mut tx, "ap", "olivia", "x", 9, at(2)).await.unwrap());
        let row = mailboxes::get(&mut tx, "ap").await.unwrap().unwrap();
        assert_eq!((row.condition(), row.held_since, row.held_by.as_deref()), ("held", Some(at(1)), Some("frank")));
        assert_eq!((row.held_reason.as_deref(), row.held_waiting), (Some("it's \u{1f600}"), Some(3)));

        list(&mut tx, &delivery(7, "1"), Some(at(-100)), at(10)).await;
        list(&mut tx, &delivery(7, "2"), Some(at(-50)), at(11)).await;
        list(&mut tx, &delivery(7, "3"), None, at(12)).await;
        list(&mut tx, &delivery(0, "injected-1"), None, at(12)).await;
        let waiting = holds::waiting(&mut tx).await.unwrap().remove(0);
        assert_eq!((waiting.mailbox.as_str(), waiting.count), ("ap", 3));
        assert_eq!((waiting.oldest, waiting.newest), (Some(at(-100)), Some(at(-50))));
        let new = async |tx: &mut Tx, since| holds::new_since(tx, "ap", 7, at(since)).await.unwrap();
        assert_eq!((new(&mut tx, 9).await, new(&mut tx, 10).await, new(&mut tx, 12).await), (3, 2, 0));

        let left = Decision::by_guard("left", Verdict::Ignore, "frank left it's alone");
        assert_eq!(holds::leave(&mut tx, "ap", Some(at(-60)), &left, at(30)).await.unwrap(), 1);
        let row = messages::get(&mut tx, delivery(7, "1").message_id()).await.unwrap();
        assert_eq!(
            (row.verdict.as_deref(), row.flagged_at, row.decided_at),
            (Some("ignore"), Some(at(30)), Some(at(30)))
        );
        assert_eq!(row.explanation.unwrap().0.guard.as_deref(), Some("left"));
        assert_eq!(ledger::left_until(&mut tx, "ap").await.unwrap(), Some(at(-100)));
        assert_eq!((holds::waiting_in(&mut tx, "ap").await.unwrap(), new(&mut tx, 9).await), (2, 2));
        assert_eq!(holds::leave(&mut tx, "ap", None, &left, at(31)).await.unwrap(), 2, "also without a time");
        assert!(holds::waiting(&mut tx).await.unwrap().is_empty());

        assert!(holds::release(&mut tx, "ap", at(40)).await.unwrap());
        let row = mailboxes::get(&mut tx, "ap").await.unwrap().unwrap();
        assert_eq!((row.condition(), &row.held_by, row.resumed_at), ("unknown", &None, Some(at(40))));
        tx.commit().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_renumbered_folder_allows_for_what_it_had() {
    on_both(async |store| {
        let mut tx = store.begin().await.unwrap();
        let before = async |tx: &mut Tx, since| holds::known_before(tx, "ap", 8, at(since)).await.unwrap();
        list(&mut tx, &delivery(6, "1"), None, at(0)).await;
        list(&mut tx, &delivery(7, "1"), None, at(10)).await;
        list(&mut tx, &delivery(7, "2"), None, at(11)).await;
        list(&mut tx, &delivery(0, "injected-1"), None, at(12)).await;
        assert_eq!(before(&mut tx, 15).await, 2, "of the numbering just before");
        list(&mut tx, &delivery(8, "1"), None, at(20)).await;
        assert_eq!(
            (before(&mut tx, 19).await, before(&mut tx, 20).await),
            (2, 0),
            "only for what was renumbered since"
        );
        assert_eq!(renumbered::known_under(&mut tx, "ap", 7).await.unwrap(), 2);
    })
    .await;
}

#[tokio::test]
async fn identical_deliveries_are_paired_one_to_one_with_the_first_ones() {
    on_both(async |store| {
        let mut tx = store.begin().await.unwrap();
        for (uid, verdict) in [("1", KEPT), ("2", Verdict::Ignore)] {
            list(&mut tx, &delivery(7, uid), None, at(0)).await;
            decide(&mut tx, &delivery(7, uid), verdict, "raw", None).await;
        }
        list(&mut tx, &delivery(7, "3"), None, at(0)).await;
        list(&mut tx, &delivery(0, "injected-1"), None, at(0)).await;
        decide(&mut tx, &delivery(0, "injected-1"), KEPT, "raw", None).await;
        for here in [8, 9] {
            let mut paired = vec![];
            for uid in ["11", "12"] {
                let this = delivery(here, uid);
                list(&mut tx, &this, None, at(30)).await;
                let found = renumbered::lock_earlier(&mut tx, "ap", here.into(), "raw").await.unwrap().unwrap();
                decide(&mut tx, &this, Verdict::Ignore, "raw", Some(found.id)).await;
                renumbered::stand_for(&mut tx, this.message_id(), &found).await.unwrap();
                paired.push(found.id);
            }
            assert!(renumbered::earlier(&mut tx, "ap", here.into(), "raw").await.unwrap().is_none(), "no third");
            paired.sort();
            let mut first = [delivery(7, "1").message_id(), delivery(7, "2").message_id()];
            first.sort();
            assert_eq!(paired, first);
            let mut classes: Vec<_> = ledger::of_folder(&mut tx, "ap", here).await.unwrap();
            classes.sort_by(|a, b| a.verdict.cmp(&b.verdict));
            let classes: Vec<_> = classes.iter().map(|row| row.verdict.as_deref().unwrap()).collect();
            assert_eq!(classes, ["ignore", "quarantine"], "each counts as it did");
        }
        for (mailbox, uid_validity, raw) in [("ap", 7, "raw"), ("hr", 8, "raw"), ("ap", 8, "other")] {
            assert!(renumbered::earlier(&mut tx, mailbox, uid_validity, raw).await.unwrap().is_none());
        }
    })
    .await;
}

#[tokio::test]
async fn only_what_was_discarded_long_enough_ago_is_due_and_once() {
    on_both(async |store| {
        let mut tx = store.begin().await.unwrap();
        for uid in ["1", "2", "3"] {
            list(&mut tx, &delivery(7, uid), None, at(0)).await;
            decide(&mut tx, &delivery(7, uid), KEPT, uid, None).await;
        }
        for (uid, when) in [("1", 100), ("2", 200)] {
            let (id, disposition) = (delivery(7, uid).message_id(), Disposition::Discarded);
            let disposed = Disposed { id, disposition, by: "frank", reason: "spam", at: at(when), outcome: None };
            assert!(quarantine::dispose(&mut tx, &disposed).await.unwrap());
        }
        let due = async |tx: &mut Tx, before| {
            let rows = retention::due(tx, at(before), 9).await.unwrap();
            rows.into_iter().map(|row| row.id).collect::<Vec<_>>()
        };
        let (first, second) = (delivery(7, "1").message_id(), delivery(7, "2").message_id());
        assert_eq!((due(&mut tx, 99).await, due(&mut tx, 100).await), (vec![], vec![first]));
        assert_eq!(due(&mut tx, 1000).await, [first, second]);
        assert!(retention::mark_purged(&mut tx, first, at(300)).await.unwrap());
        assert!(!retention::mark_purged(&mut tx, first, at(301)).await.unwrap(), "once");
        let kept = delivery(7, "3").message_id();
        assert!(!retention::mark_purged(&mut tx, kept, at(300)).await.unwrap(), "nobody discarded it");
        assert_eq!(messages::get(&mut tx, first).await.unwrap().purged_at, Some(at(300)));
        assert_eq!(due(&mut tx, 1000).await, [second]);
    })
    .await;
}
