//! Migrations go forward only: each is tried, on both databases, over rows that the version before it wrote.

use countersign::domain::ids::MessageId;
use countersign::domain::verdict::{Disposition, Severity};
use countersign::store::quarantine::{self, Disposed};
use countersign::store::{Store, messages};
use uuid::Uuid;

use crate::rig;
use crate::store_contract::at;

/// A quarantined and an ignored message, as version 1 wrote them.
const OF_VERSION_1: &str =
    "insert into messages (id, customer, mailbox, uid_validity, uid, transaction_id, state, listed_at,
        size_bytes, stable_sha256, from_address, subject, verdict, reason, decided_at)
    values ($1, 'acme', 'ap', 7, '1', $1, 'decided', $3, 5, 's', 'a@b.example', 'it''s', 'quarantine', 'unknown', $3),
        ($2, 'acme', 'ap', 7, '2', $2, 'decided', $3, 5, 't', 'a@b.example', null, 'ignore', 'a newsletter', $3)";

async fn check(store: Store) {
    store.migrate_to(1).await.unwrap();
    let (kept, ignored) = (Uuid::now_v7(), Uuid::now_v7());
    match &store {
        Store::Pg(pool) => sqlx::query(OF_VERSION_1).bind(kept).bind(ignored).bind(at(0)).execute(pool).await.map(drop),
        Store::Lite(pool) => {
            sqlx::query(OF_VERSION_1).bind(kept).bind(ignored).bind(at(0)).execute(pool).await.map(drop)
        }
    }
    .unwrap();
    store.migrate().await.unwrap();

    let mut tx = store.begin().await.unwrap();
    let (kept, ignored) = (MessageId(kept), MessageId(ignored));
    let row = messages::get(&mut tx, kept).await.unwrap();
    assert_eq!((row.subject.as_deref(), row.reason.as_deref(), row.listed_at), (Some("it's"), Some("unknown"), at(0)));
    assert_eq!((row.severity, row.disposition, row.released_as), (None::<Severity>, None, None));
    let held = quarantine::held(&mut tx).await.unwrap();
    assert_eq!(held.iter().map(|row| row.id).collect::<Vec<_>>(), [kept]);
    let disposed = |id, by| {
        let disposition = Disposition::Discarded;
        Disposed { id, disposition, by, reason: "it's \u{1f600}", at: at(1), outcome: None }
    };
    assert!(!quarantine::dispose(&mut tx, &disposed(ignored, "frank")).await.unwrap(), "not in quarantine");
    assert!(quarantine::dispose(&mut tx, &disposed(kept, "frank")).await.unwrap());
    assert!(!quarantine::dispose(&mut tx, &disposed(kept, "olivia")).await.unwrap(), "once");
    let row = messages::get(&mut tx, kept).await.unwrap();
    assert_eq!((row.disposition, row.disposed_at), (Some(Disposition::Discarded), Some(at(1))));
    assert_eq!((row.disposed_by.as_deref(), row.disposed_reason.as_deref()), (Some("frank"), Some("it's \u{1f600}")));
    assert_eq!((row.verdict.as_deref(), row.run_id), (Some("quarantine"), None));
    assert!(quarantine::held(&mut tx).await.unwrap().is_empty());
    tx.commit().await.unwrap();
    store.close().await;
}

#[tokio::test]
async fn what_version_1_quarantined_can_be_discarded_on_sqlite() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", dir.path().join("test.db").display());
    check(Store::open(&url, None, 4).await.unwrap()).await;
}

#[tokio::test]
async fn what_version_1_quarantined_can_be_discarded_on_postgresql() {
    check(Store::open(&rig::fresh_database().await, None, 4).await.unwrap()).await;
}
