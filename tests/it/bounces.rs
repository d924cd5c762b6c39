//! Our own mail that comes back: who was to be reached and cannot be is told, and others are asked at once.

use countersign::domain::notice::NoticeStatus;
use countersign::domain::run::RunStatus;
use countersign::domain::wait::Choice;
use countersign::people::link::{self, Posted};
use countersign::store::notices;

use crate::app::{FRANK, OLIVIA, SUNDA, TestApp, answer, file, invoice, invoice_without_po, token_in};
use crate::intake_features::told;

const RUN: &str = "AP-000001";

/// A delivery report for the latest mail to an address.
fn bounce(app: &TestApp, address: &str) -> Vec<u8> {
    bounce_of(app.last_to(address).message_id.as_deref().unwrap())
}

fn bounce_of(message_id: &str) -> Vec<u8> {
    let sample = String::from_utf8(file("tests/samples/mime/bounce.eml")).unwrap();
    sample.replace("notice-1@acme.example", message_id).into_bytes()
}

fn delayed(report: Vec<u8>) -> Vec<u8> {
    let report = String::from_utf8(report).unwrap();
    report.replace("Action: failed", "Action: delayed").replace("Status: 5.1.1", "Status: 4.4.1").into_bytes()
}

async fn asked() -> TestApp {
    let app = TestApp::demo().await;
    app.receive(invoice()).await;
    assert_eq!(app.sent_to(OLIVIA).len(), 1, "{}", app.progress(RUN).await);
    app
}

/// With the demo's workflow, one text of it replaced.
async fn with_workflow(text: &str, by: &str) -> TestApp {
    let workflow = include_str!("../../config/workflows/ap-invoice.toml");
    assert!(workflow.contains(text), "{text}");
    let app = TestApp::with(&[("workflows/ap-invoice.toml", &workflow.replace(text, by))]).await;
    app.receive(invoice()).await;
    app
}

async fn who_is_asked(app: &TestApp) -> Vec<String> {
    app.open_wait(RUN).await.asked.iter().map(|asked| asked.person.clone()).collect()
}

async fn statuses(app: &TestApp) -> Vec<NoticeStatus> {
    let run = app.id(RUN).await;
    notices::of_run(&mut app.tx().await, run).await.unwrap().iter().map(|notice| notice.status).collect()
}

#[tokio::test]
async fn an_approval_request_that_comes_back_asks_the_next_person_at_once_and_once() {
    let app = asked().await;
    let first = app.last_to(OLIVIA);
    let report = bounce(&app, OLIVIA);
    let row = app.receive(report.clone()).await;
    let expected = "ignore correlation: our mail to olivia was not delivered (failed 5.1.1); asked now: frank";
    assert_eq!(told(&row), expected);
    let asks_frank = app.last_to(FRANK);
    assert!(asks_frank.text.contains("our mail to Olivia Okafor came back"), "{}", asks_frank.text);
    assert_eq!(who_is_asked(&app).await, ["frank"]);
    assert_eq!(statuses(&app).await, [NoticeStatus::Undelivered, NoticeStatus::Sent]);
    let dead = link::answer(&app.app.engine, &token_in(&first), Choice::Approve, None).await.unwrap();
    assert_eq!(dead, Posted::Dead);

    // The same report by another way: a second one about the same notice.
    let again = app.receive([b"X-Hop: 2\r\n".to_vec(), report].concat()).await;
    assert!(again.reason.unwrap().contains("olivia was not delivered"));
    assert_eq!(app.outbox().len(), 2, "frank is asked once");
    let (bounced, climbed) = (app.events("notice.bounced").await, app.events("wait.climbed").await);
    assert_eq!((bounced.len(), climbed.len()), (1, 1));
    assert_eq!((bounced[0].run, climbed[0].data["unreachable"].as_str()), (Some(app.id(RUN).await), Some("olivia")));

    app.receive(answer(FRANK, &asks_frank, "approve")).await;
    assert_eq!(app.run(RUN).await.status, RunStatus::Completed);
    app.finish().await;
}

#[tokio::test]
async fn a_fallback_without_an_escalation_is_asked_as_well() {
    let app = with_workflow("escalate_after = \"4d\"\nescalate = \"replace\"\n", "").await;
    app.receive(bounce(&app, OLIVIA)).await;
    assert_eq!((who_is_asked(&app).await, app.sent_to(FRANK).len()), (vec!["olivia".into(), "frank".into()], 1));
    // The reminder for olivia comes back too; frank can be reached.
    app.pass_to_next().await;
    let row = app.receive(bounce(&app, OLIVIA)).await;
    assert!(row.reason.unwrap().ends_with("; frank can still answer"));
    assert_eq!(app.run(RUN).await.status, RunStatus::Waiting);
    app.receive(answer(FRANK, &app.last_to(FRANK), "approve")).await;
    assert_eq!(app.run(RUN).await.status, RunStatus::Completed);
    app.finish().await;
}

#[tokio::test]
async fn with_nobody_left_to_ask_the_run_fails_at_once_and_its_owner_is_told() {
    let app = asked().await;
    app.receive(bounce(&app, OLIVIA)).await;
    let row = app.receive(bounce(&app, FRANK)).await;
    assert!(row.reason.unwrap().ends_with("; there is nobody else to ask"));
    let run = app.run(RUN).await;
    assert_eq!((run.status, run.failure.unwrap().reason.as_str()), (RunStatus::Failed, "nobody_reachable"));
    assert!(app.postings().is_empty());
    assert!(app.last_to(FRANK).subject.contains("failed"), "{}", app.last_to(FRANK).subject);
    app.finish().await;
}

#[tokio::test]
async fn a_supplier_who_cannot_be_reached_is_told_to_the_owner_and_not_waited_for() {
    let app = TestApp::demo().await;
    app.receive(invoice_without_po()).await;
    app.receive(bounce(&app, SUNDA)).await;
    let run = app.run(RUN).await;
    assert_eq!((run.status, run.failure.unwrap().reason.as_str()), (RunStatus::Failed, "nobody_reachable"));
    assert!(app.last_to(FRANK).text.contains("came back"), "{}", app.last_to(FRANK).text);
    app.finish().await;
}

#[tokio::test]
async fn a_delay_is_only_told() {
    let app = asked().await;
    let row = app.receive(delayed(bounce(&app, OLIVIA))).await;
    assert_eq!(told(&row), "ignore correlation: our mail to olivia is not delivered yet (delayed 4.4.1)");
    assert_eq!((who_is_asked(&app).await, app.outbox().len()), (vec!["olivia".to_owned()], 1));
    assert_eq!((statuses(&app).await, app.events("notice.bounced").await.len()), (vec![NoticeStatus::Sent], 1));
    app.receive(bounce(&app, OLIVIA)).await;
    assert_eq!(who_is_asked(&app).await, ["frank"], "it failed in the end");
    app.finish().await;
}

#[tokio::test]
async fn a_report_about_no_mail_of_ours_does_nothing() {
    let app = asked().await;
    let row = app.receive(bounce_of("other@acme.example")).await;
    assert_eq!(told(&row), "ignore bounce: a delivery report for a mail that is not ours");
    assert_eq!((who_is_asked(&app).await, app.outbox().len()), (vec!["olivia".to_owned()], 1));
    assert!(app.events("notice.bounced").await.is_empty());
    app.finish().await;
}

#[tokio::test]
async fn a_report_after_the_decision_asks_nobody() {
    let app = asked().await;
    app.receive(answer(OLIVIA, &app.last_to(OLIVIA), "approve")).await;
    let before = app.outbox().len();
    app.receive(bounce(&app, OLIVIA)).await;
    assert_eq!((app.run(RUN).await.status, app.outbox().len()), (RunStatus::Completed, before));
    assert!(app.events("wait.climbed").await.is_empty());
    app.finish().await;
}

#[tokio::test]
async fn a_report_about_somebody_who_is_no_longer_asked_does_nothing() {
    let app = asked().await;
    let report = bounce(&app, OLIVIA);
    for _rung in ["reminder", "escalation"] {
        app.pass_to_next().await;
    }
    assert_eq!(who_is_asked(&app).await, ["frank"]);
    let before = app.outbox().len();
    app.receive(report).await;
    assert_eq!((who_is_asked(&app).await, app.outbox().len()), (vec!["frank".to_owned()], before));
    app.finish().await;
}

#[tokio::test]
async fn a_notice_that_asked_nothing_and_came_back_is_told() {
    let app = asked().await;
    app.receive(answer(OLIVIA, &app.last_to(OLIVIA), "reject")).await;
    let row = app.receive(bounce(&app, FRANK)).await;
    assert_eq!(told(&row), "ignore correlation: our mail to frank was not delivered (failed 5.1.1)");
    assert_eq!(app.events("notice.bounced").await.len(), 1);
    app.finish().await;
}
