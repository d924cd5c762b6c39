//! Many runs at once in the store: claimed, written and left together, on both databases.

use countersign::domain::event::Event;
use countersign::domain::ids::RunId;
use countersign::domain::run::{RunState, RunStatus};
use countersign::domain::step::StepStatus;
use countersign::store::steps::{self, StepRow};
use countersign::store::{Json, Store, claims, events, runs};
use serde_json::json;

use crate::rig;
use crate::store_contract::{at, odd, on_both, run};

#[tokio::test]
async fn many_runs_are_claimed_and_left_together() {
    on_both(async |store| {
        let mut tx = store.begin().await.unwrap();
        let mut ids = vec![];
        for number in 0..70 {
            ids.push(run(&mut tx, &format!("W-{number}"), number).await);
        }
        for (count, expected) in [(3, 3), (64, 64), (64, 3), (9, 0)] {
            let claimed = claims::claim(&mut tx, "me", at(100), at(160), count).await.unwrap();
            let oldest: Vec<_> = ids.drain(..expected).collect();
            assert_eq!(claimed.iter().map(|run| run.id).collect::<Vec<_>>(), oldest, "the oldest first");
            assert!(claimed.iter().all(|run| run.fence == 1 && run.status == RunStatus::Running));
            if expected == 0 {
                continue;
            }
            let mut rows = vec![];
            for (at_step, run) in claimed.iter().enumerate() {
                let status = if at_step % 2 == 0 { StepStatus::Success } else { StepStatus::Running };
                rows.push(StepRow {
                    run_id: run.id,
                    generation: 1,
                    name: "a".into(),
                    agent: "noop".into(),
                    status,
                    attempt: 1,
                    output: (at_step % 3 == 0).then(|| Json(json!({ "text": odd()["text"] }))),
                    failure: None,
                    retry_at: None,
                    started_at: at(7),
                    finished_at: (at_step % 2 == 0).then(|| at(8)),
                });
            }
            steps::put_many(&mut tx, &rows).await.unwrap();
            let of: Vec<_> = claimed.iter().map(|run| run.id).collect();
            let mut read = steps::of_runs(&mut tx, &of).await.unwrap();
            read.sort_by_key(|row| of.iter().position(|id| *id == row.run_id));
            assert_eq!(format!("{read:?}"), format!("{rows:?}"));
            let locked = claims::lock(&mut tx, &of, of.len() == 1).await.unwrap();
            assert!(locked.len() == expected && locked.iter().all(|run| run.status == RunStatus::Running));
            let (waiting, completed) = (RunStatus::Waiting, RunStatus::Completed);
            let left = |(place, id): (usize, &RunId)| claims::Left {
                id: *id,
                state: RunState {
                    status: if place == 0 { waiting } else { completed },
                    held: place == 0,
                    stopping: false,
                },
                wake_at: (place == 0).then(|| at(500)),
            };
            let left: Vec<_> = of.iter().enumerate().map(left).collect();
            claims::leave(&mut tx, &left, at(110)).await.unwrap();
            let row = runs::get(&mut tx, of[0]).await.unwrap();
            assert_eq!((row.status, row.held, row.wake_at, row.finished_at), (waiting, true, Some(at(500)), None));
            let row = runs::get(&mut tx, *of.last().unwrap()).await.unwrap();
            assert_eq!((row.status, row.finished_at, row.lease_until), (completed, Some(at(110)), None));
        }
        let latest: Vec<_> = (0..3).map(|place| Event::new(at(place), "x.y", "acme").with("place", place)).collect();
        let told: Vec<_> = latest.iter().cloned().map(events::Told::from).collect();
        events::append_many(&mut tx, &told).await.unwrap();
        assert_eq!(events::seal(&mut tx, 99).await.unwrap(), 3);
        let sealed = events::after(&mut tx, 0, 9).await.unwrap();
        assert_eq!(sealed.into_iter().map(|sealed| sealed.event).collect::<Vec<_>>(), latest);
    })
    .await;
}

#[tokio::test]
async fn other_processes_are_told_of_work_and_nobody_hears_himself() {
    let store = Store::open(&rig::fresh_database().await, None, 4).await.unwrap();
    let (heard, mut hears) = tokio::sync::mpsc::unbounded_channel();
    let listening = {
        let store = store.clone();
        tokio::spawn(async move {
            store
                .listen("me", || {
                    let _ = heard.send(());
                })
                .await
        })
    };
    hears.recv().await.expect("what was missed before");
    store.tell("me").await.unwrap();
    store.tell("other").await.unwrap();
    hears.recv().await.expect("the other");
    assert!(hears.try_recv().is_err(), "not himself");
    listening.abort();
}
