//! Mailboxes that are held, by the burst breaker or by a person: everything is listed, nothing is decided or flagged, until
//! somebody resumes them, with all that waits or without.

use std::net::SocketAddr;

use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use axum::http::Request;
use chrono::TimeDelta;
use countersign::cli::{self, Command, Ending, Mailbox};
use countersign::domain::run::RunStatus;
use countersign::http::router;
use serde_json::Value;
use tower::ServiceExt;

use crate::app::{OLIVIA, TestApp, invoice, mail};
use crate::ledger::{Shelf, balance, poll, row_of};

async fn told(app: &TestApp, what: Mailbox) -> anyhow::Result<String> {
    let told = cli::tell(Command::Mailbox { what }, &app.app.context(), None).await?;
    assert_eq!(told.ending, Ending::Done, "{}", told.text);
    Ok(told.text)
}

async fn resume(app: &TestApp, leave_older_than: Option<&str>, leave_all: bool) -> anyhow::Result<String> {
    let leave_older_than = leave_older_than.map(|text| text.parse().unwrap());
    told(app, Mailbox::Resume { name: "ap".into(), leave_older_than, leave_all, as_user: "frank".into() }).await
}

async fn pause(app: &TestApp) -> anyhow::Result<String> {
    let (name, reason, as_user) = ("ap".into(), "new rules".into(), "frank".into());
    told(app, Mailbox::Pause { name, reason, as_user }).await
}

async fn line(app: &TestApp) -> Value {
    let lines: Value = serde_json::from_str(&told(app, Mailbox::List { json: true }).await.unwrap()).unwrap();
    lines[0].clone()
}

async fn health(app: &TestApp) -> Value {
    let mut request = Request::get("/health").header("host", "127.0.0.1").body(Body::empty()).unwrap();
    request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 1))));
    let answer = router(app.app.web().await.unwrap()).oneshot(request).await.unwrap();
    serde_json::from_slice(&to_bytes(answer.into_body(), 1 << 20).await.unwrap()).unwrap()
}

async fn with_burst(burst: u32, start: &str) -> TestApp {
    let keys = format!("plus_address = true\nburst = {burst}\nstart = \"{start}\"");
    TestApp::configured("plus_address = true", &keys).await
}

pub fn letters(uids: impl IntoIterator<Item = u32>) -> Vec<(u32, Vec<u8>)> {
    uids.into_iter().map(|uid| (uid, mail("a@b.example", &format!("Letter {uid}"), "Hello.").raw())).collect()
}

#[tokio::test]
async fn a_burst_is_listed_and_held_until_somebody_resumes_it() {
    let app = with_burst(2, "all").await;
    let mut shelf = Shelf::with(&letters(1..=3));
    shelf.received_at = Some(app.now() - TimeDelta::days(400));
    poll(&app, &mut shelf).await;
    shelf.mails.extend(letters([4]));
    poll(&app, &mut shelf).await;
    app.pass(TimeDelta::hours(3)).await;
    poll(&app, &mut shelf).await;

    let found = balance(&app, &mut shelf).await;
    assert_eq!((found.in_flight, found.adds_up(), shelf.marked.len()), (4, true, 0), "listed, and nothing more");
    let events = app.events("mailbox.held").await;
    assert_eq!((events.len(), &events[0].data["new"], &events[0].data["waiting"]), (1, &3.into(), &3.into()));
    let line = line(&app).await;
    assert_eq!((&line["health"], &line["open"], &line["high_water"]), (&"held".into(), &4.into(), &4.into()));
    assert_eq!((&line["held"]["by"], &line["held"]["waiting"]), (&"countersign".into(), &3.into()));
    let table = told(&app, Mailbox::List { json: false }).await.unwrap();
    for part in [
        "ap is held since 2026-03-02 09:00 UTC by countersign: 3 new within an hour, more than `burst = 2` allows\n",
        "  4 waiting, received from 2025-01-26 09:00 UTC to 2025-01-26 09:00 UTC\n",
        "`countersign mailbox resume ap` takes them in",
    ] {
        assert!(table.contains(part), "{table}");
    }
    let health = health(&app).await;
    assert_eq!((&health["status"], &health["mailboxes"][0]["health"]), (&"degraded".into(), &"held".into()));
    assert_eq!(health["mailboxes"][0]["held"]["mend"], "countersign mailbox resume ap");

    assert_eq!(resume(&app, None, false).await.unwrap(), "ap goes on: 4 messages taken in from its next poll on\n");
    app.pass(TimeDelta::minutes(1)).await;
    // What was released trips nothing again, nor does what may come within the hour.
    shelf.mails.extend(letters([5, 6]));
    poll(&app, &mut shelf).await;
    assert_eq!((balance(&app, &mut shelf).await.quarantined, shelf.marked.len()), (6, 6));
    let resumed = app.events("mailbox.resumed").await.remove(0);
    assert_eq!((resumed.actor.as_str(), &resumed.data["waiting"]), ("frank", &4.into()));
    assert_eq!(resume(&app, None, false).await.unwrap_err().to_string(), "mailbox `ap` is not held");
    shelf.mails.extend(letters([7]));
    poll(&app, &mut shelf).await;
    assert_eq!(balance(&app, &mut shelf).await.in_flight, 1, "three since then are a new burst");
    assert_eq!(app.events("mailbox.held").await.len(), 2);
}

#[tokio::test]
async fn the_first_contact_asks_only_for_what_it_would_take_in() {
    let check = async |burst, start: &str, held: bool| {
        let app = with_burst(burst, start).await;
        let mut shelf = Shelf::with(&letters(1..=3));
        shelf.received_at = Some(app.now() - TimeDelta::days(1));
        poll(&app, &mut shelf).await;
        assert_eq!(line(&app).await["health"] == "held", held, "burst {burst}, start {start}");
    };
    check(2, "all", true).await;
    check(3, "all", false).await;
    check(0, "all", false).await;
    check(2, "now", false).await;
    check(2, "2026-03-02", false).await;
    check(2, "2026-03-01", true).await;
}

#[tokio::test]
async fn mail_that_comes_slowly_is_no_burst() {
    let app = with_burst(2, "all").await;
    let mut shelf = Shelf::with(&[]);
    for hour in 0..4 {
        shelf.mails.extend(letters([2 * hour + 1, 2 * hour + 2]));
        poll(&app, &mut shelf).await;
        app.pass(TimeDelta::hours(1)).await;
    }
    assert_eq!((balance(&app, &mut shelf).await.quarantined, app.events("mailbox.held").await.len()), (8, 0));
}

#[tokio::test]
async fn what_a_resume_leaves_is_never_read_and_stays_as_it_is_on_the_server() {
    let app = with_burst(2, "all").await;
    let mut shelf = Shelf::with(&letters(1..=3));
    let long_ago = Some(app.now() - TimeDelta::days(9));
    shelf.received_at = long_ago;
    poll(&app, &mut shelf).await;
    shelf.received_at = Some(app.now());
    shelf.mails.extend(letters([4]));
    poll(&app, &mut shelf).await;
    let told = resume(&app, Some("2026-03-01"), false).await.unwrap();
    assert_eq!(told, "ap goes on: 1 message taken in from its next poll on, 3 left alone\n");
    poll(&app, &mut shelf).await;
    let left = row_of(&app, "1").await;
    assert_eq!(
        left.reason.as_deref(),
        Some("frank resumed the mailbox and left what was received before 2026-03-01 00:00 UTC alone")
    );
    assert_eq!((left.verdict.as_deref(), left.raw_sha256), (Some("ignore"), None));
    assert_eq!(shelf.marked, ["4"]);
    let found = balance(&app, &mut shelf).await;
    assert_eq!((found.ignored, found.quarantined, found.adds_up()), (3, 1, true));

    // Nor is it taken in when the server renumbers it.
    app.pass(TimeDelta::hours(2)).await;
    shelf.received_at = long_ago;
    shelf.uid_validity += 1;
    poll(&app, &mut shelf).await;
    assert_eq!((balance(&app, &mut shelf).await.ignored, shelf.marked.len()), (4, 1));
    app.finish().await;
}

#[tokio::test]
async fn all_that_waits_can_be_left() {
    let app = with_burst(2, "all").await;
    let mut shelf = Shelf::with(&letters(1..=3));
    poll(&app, &mut shelf).await;
    let told = resume(&app, None, true).await.unwrap();
    assert_eq!(told, "ap goes on: 0 messages taken in from its next poll on, 3 left alone\n");
    poll(&app, &mut shelf).await;
    let found = balance(&app, &mut shelf).await;
    assert_eq!((found.ignored, found.adds_up(), shelf.marked.len()), (3, true, 0));
    app.finish().await;
}

#[tokio::test]
async fn a_person_pauses_a_mailbox_and_lets_it_go_on() {
    let app = TestApp::demo().await;
    app.deliver(&invoice().raw());
    assert_eq!(
        pause(&app).await.unwrap(),
        "ap is held, 0 messages waiting; nothing is taken in until `countersign mailbox resume ap`\n"
    );
    let polled = app.poll().await.unwrap();
    assert_eq!((polled.listed, polled.decided), (1, 0));
    assert_eq!(pause(&app).await.unwrap_err().to_string(), "mailbox `ap` is held already, by frank");
    let tested = told(&app, Mailbox::Test { name: "ap".into() }).await.unwrap();
    assert!(tested.starts_with("ap: it opens\nmessages     1\nuidvalidity  0\n"), "{tested}");
    assert!(tested.ends_with("not listed   0\n"), "{tested}");
    resume(&app, None, false).await.unwrap();
    app.poll().await.unwrap();
    app.settle().await;
    assert_eq!(app.run("AP-000001").await.status, RunStatus::Waiting);
    let paused = app.events("mailbox.paused").await.remove(0);
    assert_eq!((paused.actor.as_str(), &paused.data["reason"]), ("frank", &"new rules".into()));
    let unknown = told(&app, Mailbox::Test { name: "hr".into() }).await.unwrap_err().to_string();
    assert_eq!(unknown, "there is no mailbox `hr`; there are: ap");
    app.finish().await;
}

#[tokio::test]
async fn silence_is_not_counted_at_once_while_answers_may_lie_in_a_held_mailbox() {
    let app = TestApp::demo().await;
    app.receive(invoice().raw()).await;
    assert_eq!(app.sent_to(OLIVIA).len(), 1);
    pause(&app).await.unwrap();
    app.pass_to_next().await;
    assert_eq!(app.sent_to(OLIVIA).len(), 1, "put off");
    app.pass_to_next().await;
    assert_eq!(app.sent_to(OLIVIA).len(), 2, "once");
}
