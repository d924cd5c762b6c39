//! Races, rows that cannot be read, and orders of arrival: what only shows when two things happen at once or one is broken.

use chrono::TimeDelta;
use countersign::domain::ids::Delivery;
use countersign::domain::run::RunStatus;
use countersign::domain::wait::Choice;
use countersign::people::{ladder, operator};
use countersign::store::{Store, mailboxes, messages, notices};
use serde_json::json;

use crate::app::{FRANK, NORDWIND, OLIVIA, TestApp, answer, file, invoice, mail};

const RUN: &str = "AP-000001";

#[tokio::test]
async fn messages_listed_at_once_are_taken_in_in_the_order_of_their_arrival() {
    let app = TestApp::demo().await;
    let now = app.now();
    let mut tx = app.app.engine.store.begin().await.expect("begin");
    for uid in (90..=110).rev() {
        let delivery = Delivery { mailbox: "ap".into(), uid_validity: 1, uid: uid.to_string() };
        // The last three came in the same second, as servers count it.
        let received = now + TimeDelta::seconds(uid.min(108));
        messages::record_listed(&mut tx, "acme", &delivery, Some(received), 1, now).await.expect("record");
    }
    let open = messages::open(&mut tx, "ap", now, 100).await.expect("open messages");
    let order: Vec<_> = open.iter().map(|row| row.uid.parse::<i64>().expect("a number")).collect();
    assert_eq!(order, (90..=110).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_mail_that_comes_to_two_mailboxes_in_the_same_moment_starts_one_run() {
    let other = "[[mailbox]]\nname = \"ar\"\ncustomer = \"acme\"\nkind = \"maildir\"\npath = \"mail2\"\n\
                 address = \"ar@acme.example\"\nauthserv_ids = [\"mx.acme.example\"]\n[outgoing]";
    let rules = String::from_utf8(file("rules/ap.toml")).expect("text");
    let rules = rules.replacen("mailboxes = [\"ap\"]", "mailboxes = [\"ap\", \"ar\"]", 1);
    let app = TestApp::configured_with("[outgoing]", other, &[("rules/ap.toml", &rules)]).await;
    let raw = invoice().raw();
    let intake = &app.app.intake;
    let (first, second) = tokio::join!(intake.inject("ap", raw.clone()), intake.inject("ar", raw.clone()));
    let verdict = |injected: countersign::intake::Injected| injected.decision.expect("a verdict").verdict.name();
    let mut verdicts = [verdict(first.expect("inject")), verdict(second.expect("inject"))];
    verdicts.sort_unstable();
    assert_eq!(verdicts, ["ignore", "start"]);
    assert_eq!(app.runs().await.len(), 1);
}

const NOOP: &str = "name = 'w'\nversion = 1\nprefix = 'W'\nowner = 'olivia'\n[[step]]\nname = 'a'\nagent = 'noop'\n";

#[tokio::test]
async fn a_run_whose_definition_cannot_be_read_fails_and_stops_no_other() {
    let app = TestApp::demo().await;
    app.launch(NOOP, json!({})).await;
    app.launch(&NOOP.replace("version = 1", "version = 2"), json!({})).await;
    let Store::Lite(pool) = &app.app.engine.store else { panic!("SQLite") };
    let sql = "update workflow_versions set definition = json_set(definition, '$.unheard_of', 1) where version = 1";
    assert_eq!(sqlx::query(sql).execute(pool).await.expect("update").rows_affected(), 1);
    app.settle().await;
    let broken = app.run("W-000001").await;
    assert_eq!(broken.status, RunStatus::Failed);
    assert_eq!(broken.failure.expect("a failure").0.reason, "definition_broken");
    assert_eq!(app.run("W-000002").await.status, RunStatus::Completed);
}

#[tokio::test]
async fn a_failing_run_keeps_the_outcome_of_what_is_in_hand() {
    let app = TestApp::demo().await;
    let workflow = "name = 'w'\nversion = 1\nprefix = 'W'\n\
        [[step]]\nname = 'ask'\nagent = 'approval'\nwith = { question = 'x', approvers = ['nobody'] }\n\
        [[step]]\nname = 'post'\nagent = 'post_file'\nwith = { file = 'erp.json', record = { a = 1 } }\n";
    app.launch(workflow, json!({})).await;
    app.settle().await;
    assert_eq!(app.run("W-000001").await.status, RunStatus::Failed);
    assert_eq!(app.progress("W-000001").await, "ask=failure post=success");
    assert_eq!(app.postings().len(), 1);
}

/// A run that waits for olivia, whose mail has not gone out: a medium had it in hand and died.
#[tokio::test]
async fn a_request_that_is_settled_before_its_mail_went_out_is_not_sent() {
    let app = TestApp::demo().await;
    app.deliver(&invoice().raw());
    app.poll().await.expect("poll");
    let engine = &app.app.engine;
    assert!(engine.tick_worker().await.expect("a run to work on"));
    let mut tx = engine.store.begin().await.expect("begin");
    let later = app.now() + TimeDelta::minutes(2);
    let notice = notices::claim(&mut tx, app.now(), later).await.expect("claim").expect("the request");
    tx.commit().await.expect("commit");
    assert_eq!(notice.person, "olivia");
    operator::answer(engine, app.id(RUN).await, "olivia", Choice::Reject, None).await.expect("an answer");
    app.pass(TimeDelta::minutes(3)).await;
    assert!(app.sent_to(OLIVIA).is_empty());
    assert_eq!(app.events("notice.void").await.len(), 1);
    app.finish().await;
}

async fn polled(app: &TestApp, healthy: bool) {
    let mut tx = app.app.engine.store.begin().await.expect("begin");
    if healthy {
        mailboxes::note_success(&mut tx, "ap", app.now()).await.expect("note");
    } else {
        mailboxes::note_failure(&mut tx, "ap", "away", app.now(), app.now()).await.expect("note");
    }
    tx.commit().await.expect("commit");
}

#[tokio::test]
async fn after_a_downtime_mail_is_read_before_silence_counts() {
    for healthy in [true, false] {
        let app = TestApp::demo().await;
        app.receive(invoice()).await;
        polled(&app, healthy).await;
        let before = app.sent_to(OLIVIA).len();
        // Down across the escalation; olivia has answered in time.
        let reply = answer(OLIVIA, &app.last_to(OLIVIA), "approve").raw();
        app.pass(TimeDelta::days(5)).await;
        assert_eq!((app.sent_to(OLIVIA).len(), app.sent_to(FRANK).len()), (before, 0), "healthy: {healthy}");
        app.receive(reply).await;
        assert_eq!(app.run(RUN).await.status, RunStatus::Completed);
        app.finish().await;
    }
}

#[tokio::test]
async fn a_rung_is_put_off_for_unread_mail_only_once() {
    let app = TestApp::demo().await;
    app.receive(invoice()).await;
    polled(&app, false).await;
    app.pass(TimeDelta::days(5)).await;
    assert_eq!(app.sent_to(FRANK).len(), 0);
    app.pass(TimeDelta::minutes(15)).await;
    assert_eq!(app.sent_to(FRANK).len(), 1);
    polled(&app, true).await;
    // Away again, across the end: there is a day for whoever could not reach us.
    app.pass(TimeDelta::days(15)).await;
    assert_eq!(app.run(RUN).await.status, RunStatus::Waiting);
    app.pass(TimeDelta::days(4)).await;
    assert_eq!(app.run(RUN).await.status, RunStatus::Failed);
    assert_eq!(ladder::tick(&app.app.engine).await.expect("tick"), 0);
}

#[tokio::test]
async fn what_a_machine_writes_on_its_own_account_decides_nothing_and_is_not_answered() {
    let app = TestApp::demo().await;
    app.receive(invoice()).await;
    let request = app.last_to(OLIVIA);
    let before = app.outbox().len();
    app.receive(answer(OLIVIA, &request, "approve").header("Auto-Submitted", "auto-generated")).await;
    assert_eq!(app.said(RUN).await, ["olivia comment -"]);
    assert_eq!(app.outbox().len(), before);
    app.finish().await;

    let rules = String::from_utf8(file("rules/ap.toml")).expect("text");
    let careless = rules.replace(", \"auto-generated\", \"bulk\"]", "]");
    assert_ne!(rules, careless);
    let app = TestApp::with(&[("rules/ap.toml", &careless)]).await;
    let robot = mail(NORDWIND, "Statement", "Attached.").header("Auto-Submitted", "auto-generated");
    let row = app.receive(robot).await;
    assert_eq!(row.verdict.as_deref(), Some("reply"), "{:?}", row.reason);
    assert!(app.outbox().is_empty());
    app.finish().await;
}

#[tokio::test]
async fn a_request_outlasts_a_weekend_without_a_mail_server() {
    let app = TestApp::demo().await;
    app.deliver(&invoice().raw());
    app.poll().await.expect("poll");
    // A file stands where mails should go.
    let outgoing = app.path("outgoing");
    let _ = std::fs::remove_dir_all(&outgoing);
    std::fs::write(&outgoing, "").expect("write a file");
    for _hour in 0..40 {
        app.pass(TimeDelta::hours(1)).await;
    }
    assert!(app.events("notice.delayed").await.len() > 12);
    std::fs::remove_file(&outgoing).expect("remove the file");
    app.pass(TimeDelta::hours(1)).await;
    assert_eq!(app.sent_to(OLIVIA).len(), 1);
    app.finish().await;
}
