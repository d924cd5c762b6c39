//! The store on both databases: places behind gates, alarms, and runs below runs.

use countersign::domain::ids::{RunId, TransactionId};
use countersign::domain::run::{RunState, RunStatus};
use countersign::domain::workflow::Workflow;
use countersign::store::alarms::{self, Alarm};
use countersign::store::runs::{self, NewRun};
use countersign::store::{Tx, workflows};
use countersign::store::{claims, gates};
use serde_json::{Map, json};

use crate::store_contract::{at, odd, on_both};

async fn run(tx: &mut Tx, name: &str, created: i64, parent: Option<RunId>, key: Option<&str>) -> RunId {
    let definition = json!({"name": "w", "version": 1, "prefix": "W", "step": []});
    let workflow: Workflow = serde_json::from_value(definition).unwrap();
    let hash = workflows::keep(tx, &workflow, at(0)).await.unwrap();
    let (id, nothing) = (RunId::new(), Map::new());
    let new = NewRun {
        id,
        name,
        customer: "acme",
        transaction_id: TransactionId::new(),
        message_id: None,
        workflow: "w",
        workflow_version: 1,
        workflow_hash: &hash,
        inputs: &nothing,
        origin: &nothing,
        deadline_at: None,
        parent_run: parent,
        parent_step: parent.map(|_| "sub"),
        concurrency_key: key,
        gated: key.is_some(),
        by: "test",
        at: at(created),
    };
    runs::insert(tx, &new).await.unwrap();
    id
}

async fn end(tx: &mut Tx, id: RunId, status: RunStatus, now: i64) {
    let row = runs::lock(tx, id).await.unwrap();
    runs::set_state(tx, &row, RunState { status, held: false, stopping: false }, None, None, at(now)).await.unwrap();
}

#[tokio::test]
async fn gated_runs_are_let_through_in_order_and_have_a_place_until_they_end() {
    on_both(async |store| {
        let mut tx = store.begin().await.unwrap();
        let first = run(&mut tx, "W-1", 1, None, Some("k")).await;
        let second = run(&mut tx, "W-2", 2, None, Some("k")).await;
        run(&mut tx, "W-3", 0, None, Some("other")).await;
        assert!(claims::claim(&mut tx, "me", at(9), at(99), 1).await.unwrap().is_empty(), "nobody takes what is gated");
        let waited_at = gates::waited_at(&mut tx, None, 10, at(9)).await.unwrap();
        assert_eq!(waited_at.len(), 2);
        let gate = waited_at.into_iter().find(|gate| gate.concurrency_key == "k").unwrap();
        assert_eq!(gates::lock(&mut tx, &gate, at(9)).await.unwrap().unwrap().id, first);
        assert_eq!(gates::inside(&mut tx, &gate).await.unwrap(), 0);
        assert_eq!(gates::open(&mut tx, &gate, 1, at(9)).await.unwrap(), 1);
        assert_eq!(gates::inside(&mut tx, &gate).await.unwrap(), 1);
        assert_eq!(claims::claim(&mut tx, "me", at(9), at(99), 1).await.unwrap()[0].id, first);
        end(&mut tx, first, RunStatus::Waiting, 10).await;
        assert_eq!(gates::inside(&mut tx, &gate).await.unwrap(), 1, "also while it waits");
        end(&mut tx, first, RunStatus::Failed, 11).await;
        assert_eq!(gates::inside(&mut tx, &gate).await.unwrap(), 0);
        assert_eq!(gates::open(&mut tx, &gate, 5, at(12)).await.unwrap(), 1);
        assert_eq!(claims::claim(&mut tx, "me", at(12), at(99), 1).await.unwrap()[0].id, second);
        end(&mut tx, first, RunStatus::Queued, 13).await;
        assert!(runs::get(&mut tx, first).await.unwrap().gated, "restarted, it waits for a place again");
        tx.commit().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_run_below_is_reported_once_after_its_end() {
    on_both(async |store| {
        let mut tx = store.begin().await.unwrap();
        let above = run(&mut tx, "W-1", 1, None, None).await;
        let below = run(&mut tx, "W-2", 2, Some(above), None).await;
        end(&mut tx, above, RunStatus::Failed, 3).await;
        assert!(runs::unreported(&mut tx, 10).await.unwrap().is_empty());
        runs::set_outputs(&mut tx, below, &odd()).await.unwrap();
        end(&mut tx, below, RunStatus::Completed, 4).await;
        let ended = runs::unreported(&mut tx, 10).await.unwrap();
        assert_eq!((ended.len(), ended[0].id, ended[0].parent_run), (1, below, Some(above)));
        assert_eq!(ended[0].outputs.as_ref().unwrap().0, odd());
        runs::set_reported(&mut tx, below, at(5)).await.unwrap();
        assert!(runs::unreported(&mut tx, 10).await.unwrap().is_empty());
        tx.commit().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn an_alarm_is_set_once_and_taken_once() {
    on_both(async |store| {
        let mut tx = store.begin().await.unwrap();
        let run_id = run(&mut tx, "W-1", 1, None, None).await;
        let alarm = |secs| Alarm { run_id, generation: 1, step: "a".into(), at: at(secs) };
        alarms::set(&mut tx, &alarm(10)).await.unwrap();
        alarms::set(&mut tx, &alarm(5)).await.unwrap();
        assert!(alarms::due(&mut tx, at(9), 10).await.unwrap().is_empty(), "the first stands");
        let due = alarms::due(&mut tx, at(10), 10).await.unwrap();
        assert_eq!((due.len(), due[0].at), (1, at(10)));
        assert!(alarms::take(&mut tx, &due[0]).await.unwrap());
        assert!(!alarms::take(&mut tx, &due[0]).await.unwrap());
        tx.commit().await.unwrap();
    })
    .await;
}
