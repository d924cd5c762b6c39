//! Runs found by anything that people remember, on both databases.

use countersign::domain::failure::Failure;
use countersign::domain::ids::RunId;
use countersign::domain::run::{RunState, RunStatus};
use countersign::domain::step::StepStatus;
use countersign::store::run_list::{self, Wanted};
use countersign::store::steps::StepRow;
use countersign::store::{claims, run_control, runs, steps, waits};

use crate::store_contract::{at, on_both, run, wait};

#[tokio::test]
async fn runs_are_found_by_anything_that_people_remember() {
    on_both(async |store| {
        let mut tx = store.begin().await.unwrap();
        let (old, new) = (run(&mut tx, "W-000001", 5).await, run(&mut tx, "W-000002", 9).await);
        let row = runs::get(&mut tx, old).await.unwrap();
        let failure = Failure::high("no_answer", "it's late");
        runs::set_state(&mut tx, &row, RunState::of(RunStatus::Failed), Some(&failure), None, at(7)).await.unwrap();
        steps::put(&mut tx, &step(old)).await.unwrap();
        run_control::set_parent(&mut tx, new, old).await.unwrap();
        waits::insert(&mut tx, &wait(new, None)).await.unwrap();
        let person = wait(new, None).asked[0].clone();

        let mut check = async |wanted: Wanted, expected: &[RunId]| {
            let found = run_list::list(&mut tx, &wanted, 9).await.unwrap();
            assert_eq!(found.iter().map(|run| run.id).collect::<Vec<_>>(), expected, "{wanted:?}");
        };
        let text = |text: &str| Some(text.to_owned());
        let input = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
        check(Wanted::default(), &[new, old]).await;
        check(Wanted { status: Some(RunStatus::Failed), ..Wanted::default() }, &[old]).await;
        check(Wanted { workflow: text("w"), customer: text("acme"), ..Wanted::default() }, &[new, old]).await;
        check(Wanted { customer: text("other"), ..Wanted::default() }, &[]).await;
        check(Wanted { since: Some(at(9)), ..Wanted::default() }, &[new]).await;
        check(Wanted { until: Some(at(9)), ..Wanted::default() }, &[old]).await;
        check(Wanted { step: text("post"), ..Wanted::default() }, &[old]).await;
        check(Wanted { agent: text("post_file"), ..Wanted::default() }, &[old]).await;
        check(Wanted { agent: text("noop"), ..Wanted::default() }, &[]).await;
        check(Wanted { failed_with: text("no_answer"), ..Wanted::default() }, &[old]).await;
        check(Wanted { waiting_for: text(&person.person), ..Wanted::default() }, &[new]).await;
        check(Wanted { waiting_for: text(&person.address.to_uppercase()), ..Wanted::default() }, &[new]).await;
        check(Wanted { waiting_for: text("it's nobody"), ..Wanted::default() }, &[]).await;
        check(Wanted { parent: Some(old), ..Wanted::default() }, &[new]).await;
        check(Wanted { inputs: input("text", "it's \"é\" \u{1f600} ñ \\ \n"), ..Wanted::default() }, &[new, old]).await;
        check(Wanted { inputs: input("text", "it's"), ..Wanted::default() }, &[]).await;
        check(Wanted { inputs: input("missing", "x"), ..Wanted::default() }, &[]).await;
    })
    .await;
}

#[tokio::test]
async fn a_run_that_was_put_off_is_claimed_when_its_time_has_come() {
    on_both(async |store| {
        let mut tx = store.begin().await.unwrap();
        let id = run(&mut tx, "W-000001", 5).await;
        run_control::put_off(&mut tx, id, at(100), Some(at(200))).await.unwrap();
        assert!(claims::claim(&mut tx, "me", at(99), at(150), 1).await.unwrap().is_empty());
        assert_eq!(claims::claim(&mut tx, "me", at(100), at(150), 1).await.unwrap()[0].id, id);
        let row = runs::lock(&mut tx, id).await.unwrap();
        let stopping = RunState { status: RunStatus::Running, held: false, stopping: true };
        runs::set_state(&mut tx, &row, stopping, None, None, at(101)).await.unwrap();
        assert!(run_control::to_kill(&mut tx, at(999), 9).await.unwrap().is_empty(), "a stop takes its time");
        run_control::set_kill_at(&mut tx, id, Some(at(110))).await.unwrap();
        assert!(run_control::to_kill(&mut tx, at(109), 9).await.unwrap().is_empty());
        assert_eq!(run_control::to_kill(&mut tx, at(110), 9).await.unwrap(), [id]);
        let row = runs::get(&mut tx, id).await.unwrap();
        run_control::next_generation(&mut tx, &row, RunState::of(RunStatus::Queued), None, at(120)).await.unwrap();
        let row = runs::get(&mut tx, id).await.unwrap();
        assert_eq!((row.generation, row.status, row.stopping, row.not_before), (2, RunStatus::Queued, false, None));
    })
    .await;
}

fn step(run_id: RunId) -> StepRow {
    StepRow {
        run_id,
        generation: 1,
        name: "post".into(),
        agent: "post_file".into(),
        status: StepStatus::Failure,
        attempt: 1,
        output: None,
        failure: None,
        retry_at: None,
        started_at: at(6),
        finished_at: Some(at(7)),
    }
}
