//! The store on both databases: runs, steps, waits and notices hold what they promise on SQLite and PostgreSQL alike.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use countersign::domain::failure::Failure;
use countersign::domain::ids::{AnswerId, NoticeId, RunId, TokenId, TransactionId, WaitId};
use countersign::domain::notice::NoticeStatus;
use countersign::domain::run::{RunState, RunStatus};
use countersign::domain::step::StepStatus;
use countersign::domain::wait::{Answer, Asked, Channel, Choice, Effect, Fallback, WaitKind, WaitStatus};
use countersign::domain::workflow::Workflow;
use countersign::store::answers::{self, AnswerRow};
use countersign::store::claims;
use countersign::store::notices::{self, NoticeRow};
use countersign::store::runs::{self, NewRun};
use countersign::store::steps::{self, StepRow};
use countersign::store::tokens::{self, TokenRow};
use countersign::store::waits::{self, WaitRow};
use countersign::store::{Json, Store, StoreError, Tx, workflows};
use serde_json::{Map, Value, json};

use crate::rig;

/// Runs a check on a fresh SQLite file and on a fresh PostgreSQL database.
pub async fn on_both(check: impl AsyncFn(Store)) {
    let dir = tempfile::tempdir().unwrap();
    let lite = format!("sqlite:{}", dir.path().join("test.db").display());
    for url in [lite, rig::fresh_database().await] {
        let store = Store::open(&url, None, 8).await.unwrap();
        store.migrate().await.unwrap();
        store.migrate().await.expect("a second migration changes nothing");
        store.check().await.unwrap();
        check(store.clone()).await;
        store.close().await;
        let closed = store.check().await.unwrap_err();
        assert!(closed.is_transient(), "{closed}");
    }
}

/// With microseconds, which both databases keep.
pub fn at(secs: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(1_772_000_000_123_456).unwrap() + TimeDelta::seconds(secs)
}

/// What has broken databases before: quotes, emoji, other scripts, a null, a large number.
pub fn odd() -> Map<String, Value> {
    let odd = json!({"text": "it's \"é\" \u{1f600} ñ \\ \n", "none": null, "list": [1, -2.5, 9_007_199_254_740_993_i64], "deep": {"a": {}}});
    odd.as_object().unwrap().clone()
}

/// A queued run of one step.
pub async fn run(tx: &mut Tx, name: &str, created: i64) -> RunId {
    let definition = json!({"name": "w", "version": 1, "prefix": "W", "step": [{"name": "a", "agent": "noop"}]});
    let workflow: Workflow = serde_json::from_value(definition).unwrap();
    let hash = workflows::keep(tx, &workflow, at(0)).await.unwrap();
    assert_eq!(workflows::keep(tx, &workflow, at(1)).await.unwrap(), hash, "kept once");
    assert_eq!(workflows::get(tx, &hash).await.unwrap(), workflow);
    let id = RunId::new();
    let (inputs, origin) = (odd(), odd());
    let new = NewRun {
        id,
        name,
        customer: "acme",
        transaction_id: TransactionId::new(),
        message_id: None,
        workflow: "w",
        workflow_version: 1,
        workflow_hash: &hash,
        inputs: &inputs,
        origin: &origin,
        deadline_at: None,
        parent_run: None,
        parent_step: None,
        concurrency_key: None,
        gated: false,
        by: "test",
        at: at(created),
    };
    runs::insert(tx, &new).await.unwrap();
    id
}

fn notice(run: Option<RunId>, wait: Option<WaitId>, token: Option<TokenId>, next: i64) -> NoticeRow {
    let id = NoticeId::new();
    NoticeRow {
        id,
        customer: "acme".into(),
        run_id: run,
        wait_id: wait,
        token_id: token,
        mailbox: None,
        medium: "email".into(),
        person: "olivia".into(),
        address: "olivia@acme.example".into(),
        template: "approval".into(),
        data: Json(odd()),
        attachments: Json(vec![]),
        header_message_id: format!("{id}@acme.example"),
        in_reply_to: None,
        status: NoticeStatus::Pending,
        attempts: 0,
        next_at: at(next),
        fence: 0,
        receipt: None,
        error: None,
        created_at: at(0),
        sent_at: None,
    }
}

pub fn wait(run: RunId, due: Option<i64>) -> WaitRow {
    let asked = Asked { person: "olivia".into(), address: "olivia@acme.example".into() };
    WaitRow {
        id: WaitId::new(),
        run_id: run,
        customer: "acme".into(),
        generation: 1,
        step: "a".into(),
        attempt: 1,
        kind: WaitKind::Approval,
        status: WaitStatus::Open,
        question: "ok?".into(),
        asked: Json(vec![asked]),
        facts: Json(odd()),
        facts_sha256: "00".into(),
        ladder: Json(vec![]),
        fallback: Some(Json(Fallback { to: vec![], notices: vec![] })),
        rung: 0,
        due_at: due.map(at),
        answer: None,
        opened_at: at(0),
        closed_at: None,
    }
}

fn answer() -> Answer {
    Answer {
        by: "olivia".into(),
        choice: Choice::Approve,
        comment: None,
        via: Channel::Mail,
        verified: "yes".into(),
        output: odd(),
    }
}

#[tokio::test]
async fn a_run_reads_back_as_it_was_written_and_changes_under_its_fence() {
    on_both(async |store| {
        let mut tx = store.begin().await.unwrap();
        assert_eq!(
            (runs::next_number(&mut tx, "x").await.unwrap(), runs::next_number(&mut tx, "x").await.unwrap()),
            (1, 2)
        );
        let id = run(&mut tx, "W-000001", 5).await;
        tx.commit().await.unwrap();

        let mut tx = store.begin().await.unwrap();
        let row = runs::by_name(&mut tx, "w-000001").await.unwrap();
        assert_eq!((row.id, &row.inputs.0, &row.origin.0, row.created_at), (id, &odd(), &odd(), at(5)));
        assert_eq!(
            (row.status, row.held, row.message_id.is_none(), row.failure.is_none()),
            (RunStatus::Queued, false, true, true)
        );
        assert!(runs::get(&mut tx, RunId::new()).await.unwrap_err().is_not_found());
        let claimed = claims::claim(&mut tx, "me", at(6), at(66), 9).await.unwrap().remove(0);
        assert_eq!((claimed.id, claimed.fence), (id, 1));
        assert!(claims::claim(&mut tx, "other", at(7), at(67), 9).await.unwrap().is_empty());
        assert_eq!(claims::renew(&mut tx, &[id], "me", at(100)).await.unwrap(), HashSet::from([(id, 1)]));
        assert!(claims::renew(&mut tx, &[id], "other", at(300)).await.unwrap().is_empty());
        assert!(claims::claim(&mut tx, "other", at(99), at(200), 9).await.unwrap().is_empty());
        assert_eq!(claims::claim(&mut tx, "other", at(101), at(200), 9).await.unwrap().remove(0).fence, 2);
        assert!(claims::renew(&mut tx, &[id], "me", at(300)).await.unwrap().is_empty(), "it is somebody else's");

        let locked = runs::lock(&mut tx, id).await.unwrap();
        let waiting = RunState { status: RunStatus::Waiting, held: true, stopping: false };
        runs::set_state(&mut tx, &locked, waiting, None, Some(at(500)), at(110)).await.unwrap();
        let row = runs::get(&mut tx, id).await.unwrap();
        assert_eq!(
            (row.status, row.held, row.wake_at, row.lease_owner.clone()),
            (RunStatus::Waiting, true, Some(at(500)), None)
        );
        assert_eq!(
            (runs::due(&mut tx, at(499), 9).await.unwrap().len(), runs::due(&mut tx, at(500), 9).await.unwrap().len()),
            (0, 1)
        );
        let failure = Failure::high("x", "it's \"so\"");
        let failed = RunState::of(RunStatus::Failed);
        runs::set_state(&mut tx, &row, failed, Some(&failure), None, at(600)).await.unwrap();
        let row = runs::get(&mut tx, id).await.unwrap();
        assert_eq!((row.failure.unwrap().0, row.finished_at), (failure, Some(at(600))));
        assert_eq!(runs::latest(&mut tx, Some(RunStatus::Failed), 9).await.unwrap().len(), 1);
        assert_eq!(runs::latest(&mut tx, None, 9).await.unwrap().len(), 1);

        let mut step = StepRow {
            run_id: id,
            generation: 1,
            name: "a".into(),
            agent: "noop".into(),
            status: StepStatus::Running,
            attempt: 1,
            output: None,
            failure: None,
            retry_at: None,
            started_at: at(7),
            finished_at: None,
        };
        steps::put(&mut tx, &step).await.unwrap();
        (step.status, step.output) = (StepStatus::Success, Some(Json(Value::Object(odd()))));
        steps::put(&mut tx, &step).await.unwrap();
        let rows = steps::of_run(&mut tx, id, 1).await.unwrap();
        assert_eq!(
            (rows.len(), rows[0].status, rows[0].output.clone().unwrap().0),
            (1, StepStatus::Success, Value::Object(odd()))
        );
        assert!(steps::of_run(&mut tx, id, 2).await.unwrap().is_empty());
        assert_eq!(
            runs::get(&mut tx, id).await.unwrap().revision,
            2,
            "whoever has the run in hand must read them again"
        );
    })
    .await;
}

#[tokio::test]
async fn parallel_claims_give_each_run_and_notice_to_one() {
    on_both(async |store| {
        let mut tx = store.begin().await.unwrap();
        for number in 0..12 {
            run(&mut tx, &format!("W-{number}"), number).await;
            notices::insert(&mut tx, &notice(None, None, None, 0)).await.unwrap();
        }
        tx.commit().await.unwrap();
        let claims = (0..20).map(|worker| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut tx = store.begin().await.unwrap();
                let claimed = claims::claim(&mut tx, &format!("w{worker}"), at(50), at(99), 1).await.unwrap();
                let run = claimed.first().map(|run| run.id);
                let notice = notices::claim(&mut tx, at(50), at(99)).await.unwrap().map(|notice| notice.id);
                tx.commit().await.unwrap();
                (run, notice)
            })
        });
        let (mut ids, mut sent) = (vec![], vec![]);
        for claim in futures_util::future::join_all(claims).await {
            let (run, notice) = claim.unwrap();
            ids.extend(run);
            sent.extend(notice);
        }
        ids.sort_unstable();
        ids.dedup();
        sent.sort_unstable();
        sent.dedup();
        assert_eq!((ids.len(), sent.len()), (12, 12));
    })
    .await;
}

#[tokio::test]
async fn a_wait_ends_once_and_takes_its_tokens_and_notices_along() {
    on_both(async |store| {
        let mut tx = store.begin().await.unwrap();
        let id = run(&mut tx, "W-1", 0).await;
        let wait = wait(id, Some(10));
        waits::insert(&mut tx, &wait).await.unwrap();
        let token = TokenRow {
            id: TokenId::new(),
            hash: "abc".into(),
            wait_id: wait.id,
            generation: 1,
            person: "olivia".into(),
            address: "olivia@acme.example".into(),
            created_at: at(0),
            void_at: None,
        };
        tokens::insert(&mut tx, &token).await.unwrap();
        let notice = notice(Some(id), Some(wait.id), Some(token.id), 0);
        notices::insert(&mut tx, &notice).await.unwrap();

        assert_eq!(waits::next_due(&mut tx).await.unwrap(), Some(at(10)));
        assert_eq!(
            (waits::due(&mut tx, at(9), 9).await.unwrap().len(), waits::due(&mut tx, at(10), 9).await.unwrap().len()),
            (0, 1)
        );
        assert!(waits::climb(&mut tx, wait.id, 0, 1, Some(at(20)), &wait.asked).await.unwrap());
        assert!(!waits::climb(&mut tx, wait.id, 0, 1, Some(at(30)), &wait.asked).await.unwrap(), "climbed already");
        assert!(waits::close(&mut tx, wait.id, WaitStatus::Answered, Some(&answer()), at(15)).await.unwrap());
        assert!(!waits::close(&mut tx, wait.id, WaitStatus::Expired, None, at(16)).await.unwrap());
        assert!(!waits::climb(&mut tx, wait.id, 1, 2, None, &wait.asked).await.unwrap(), "it is over");
        let row = waits::get(&mut tx, wait.id).await.unwrap();
        assert_eq!(
            (row.status, row.answer.unwrap().0, row.due_at, row.closed_at),
            (WaitStatus::Answered, answer(), None, Some(at(15)))
        );
        assert_eq!((row.facts.0, waits::of_run(&mut tx, id).await.unwrap().len()), (odd(), 1));

        tokens::void_of_wait(&mut tx, wait.id, at(15)).await.unwrap();
        tokens::void_of_wait(&mut tx, wait.id, at(99)).await.unwrap();
        assert_eq!(tokens::get(&mut tx, token.id).await.unwrap().void_at, Some(at(15)), "dead once");
        assert_eq!(tokens::by_hash(&mut tx, "abc").await.unwrap().unwrap().id, token.id);
        assert!(tokens::by_hash(&mut tx, "abd").await.unwrap().is_none());
        notices::void_of_wait(&mut tx, wait.id).await.unwrap();
        assert!(notices::claim(&mut tx, at(50), at(60)).await.unwrap().is_none());
        assert_eq!(notices::of_run(&mut tx, id).await.unwrap()[0].status, NoticeStatus::Void);

        let said = AnswerRow {
            id: AnswerId::new(),
            wait_id: wait.id,
            run_id: id,
            person: "olivia".into(),
            choice: None,
            comment: None,
            via: Channel::Link,
            verified: "x".into(),
            effect: Effect::Comment,
            message_id: None,
            at: at(3),
        };
        answers::insert(&mut tx, &said).await.unwrap();
        let rows = answers::of_wait(&mut tx, wait.id).await.unwrap();
        assert_eq!((rows.len(), rows[0].choice, rows[0].at), (1, None, at(3)));
    })
    .await;
}

#[tokio::test]
async fn a_notice_is_settled_by_whoever_claimed_it_last() {
    on_both(async |store| {
        let mut tx = store.begin().await.unwrap();
        let written = notice(None, None, None, 0);
        notices::insert(&mut tx, &written).await.unwrap();
        let first = notices::claim(&mut tx, at(1), at(10)).await.unwrap().unwrap();
        assert_eq!((first.status, first.attempts, first.data.0.clone()), (NoticeStatus::Pending, 1, odd()));
        assert!(notices::claim(&mut tx, at(9), at(20)).await.unwrap().is_none());
        let second = notices::claim(&mut tx, at(10), at(20)).await.unwrap().unwrap();
        assert_eq!((second.status, second.attempts), (NoticeStatus::Sending, 2), "it may have gone out");
        assert!(!notices::settle(&mut tx, &first, NoticeStatus::Failed, "no", at(11), at(11)).await.unwrap());
        assert!(notices::settle(&mut tx, &second, NoticeStatus::Sent, "250 ok", at(12), at(12)).await.unwrap());
        let ids = ["x@y".to_owned(), written.header_message_id.clone()];
        let row = notices::by_message_ids(&mut tx, &ids).await.unwrap().unwrap();
        assert_eq!(
            (row.status, row.receipt.as_deref(), row.sent_at),
            (NoticeStatus::Sent, Some("250 ok"), Some(at(12)))
        );
        assert!(notices::mark_undelivered(&mut tx, written.id, "came back").await.unwrap());
        assert!(!notices::mark_undelivered(&mut tx, written.id, "came back").await.unwrap(), "once");
        notices::note_delay(&mut tx, written.id, "later").await.unwrap();
        let row = notices::by_message_ids(&mut tx, &ids).await.unwrap().unwrap();
        assert_eq!((row.status, row.error.as_deref()), (NoticeStatus::Undelivered, Some("came back")));
        assert!(row.sent_at.is_some() && notices::claim(&mut tx, at(99), at(99)).await.unwrap().is_none());
        let count = notices::count_since(&mut tx, "olivia@acme.example", "approval", at(0)).await.unwrap();
        assert_eq!(
            (count, notices::count_since(&mut tx, "olivia@acme.example", "approval", at(1)).await.unwrap()),
            (1, 0)
        );
    })
    .await;
}

#[tokio::test]
async fn a_url_of_neither_kind_is_refused() {
    let error = Store::open("mysql://x", None, 1).await.unwrap_err();
    assert!(matches!(error, StoreError::Url(_)) && !error.is_transient(), "{error}");
}
