//! Starting, repeating and finding runs on the command line.

use chrono::TimeDelta;
use countersign::cli::{Command, Control, List, Start};
use countersign::domain::clock::Clock;

use super::desk::{Desk, masked};

fn start(desk: &Desk, subject: &str, at: Option<TimeDelta>) -> Command {
    let what = Start::Start {
        workflow: "ask".into(),
        input: vec![("subject".into(), subject.into())],
        file: vec![],
        customer: None,
        at: at.map(|span| desk.clock.now() + span),
        as_user: "alice".into(),
    };
    Command::Run { roles: vec![], what: Some(what) }
}

#[tokio::test]
async fn a_run_is_started_by_hand_at_its_time_and_once_more() {
    let desk = Desk::new().await;
    let told = desk.done(start(&desk, "Month end", Some(TimeDelta::hours(2)))).await;
    assert_eq!(told, "AP-000001 is queued and starts on Mon 2026-03-02 11:00 UTC\n");
    desk.app.settle().await.unwrap();
    let told = desk.explain("AP-000001").await;
    assert!(told.contains("It is queued, and starts on Mon 2026-03-02 11:00 UTC, not before."), "{told}");
    desk.clock.advance(TimeDelta::hours(2));
    desk.app.settle().await.unwrap();
    assert!(desk.explain("AP-000001").await.contains("It waits for olivia."));
    let past = desk.command(start(&desk, "x", Some(TimeDelta::hours(-1)))).await.unwrap_err().to_string();
    assert!(past.contains("is past"), "{past}");

    let rerun = |id: &str, input: &[(&str, &str)]| {
        let input = input.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let (same_version, at, as_user) = (false, None, "alice".to_owned());
        Command::Control(Control::Rerun { id: id.to_owned(), input, same_version, at, as_user })
    };
    let told = desk.done(rerun("AP-000001", &[("subject", "Year end")])).await;
    assert_eq!(told, "AP-000001 runs once more as AP-000002, which is queued\n");
    let told = desk.command(rerun("AP-000001", &[("about", "x")])).await.unwrap_err();
    assert_eq!(format!("{told:#}"), "AP-000001: workflow ask has no input `about`; it takes: subject");
    desk.app.settle().await.unwrap();
    assert!(desk.explain("AP-000002").await.contains("It runs AP-000001 once more, as alice asked."));
    assert!(desk.explain("AP-000001").await.contains("alice let it run once more as AP-000002"));

    let found = async |list: List| {
        let told = desk.done(Command::Runs(List { json: true, limit: 9, ..list })).await;
        let lines: serde_json::Value = serde_json::from_str(&told).unwrap();
        lines.as_array().unwrap().iter().map(|line| line["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(found(List { parent: Some("AP-000001".into()), ..List::default() }).await, ["AP-000002"]);
    let input = vec![("subject".to_owned(), "Month end".to_owned())];
    assert_eq!(found(List { input, ..List::default() }).await, ["AP-000001"]);
    let olivia = List { waiting_for: Some("olivia".into()), step: Some("approve".into()), ..List::default() };
    assert_eq!(found(olivia).await, ["AP-000002", "AP-000001"]);
}

#[tokio::test]
async fn a_failed_run_is_overridden_and_its_explanation_says_by_whom_and_why() {
    let desk = Desk::waiting().await;
    desk.pass(15).await;
    let given = Command::Control(Control::Override {
        id: "ap-000001".into(),
        step: "approve".into(),
        output: serde_json::from_str(r#"{"decision": "approved"}"#).unwrap(),
        because: "she said so by phone".into(),
        as_user: "alice".into(),
    });
    let told = desk.done(given).await;
    assert_eq!(told, "AP-000001: step approve is a success by alice; the run is queued, generation 2\n");
    desk.app.settle().await.unwrap();
    let told = masked(&desk.explain("AP-000001").await);
    assert!(
        told.contains("alice gave step approve its output on 2026-03-17 09:00 UTC: she said so by phone."),
        "{told}"
    );
    assert!(told.contains("It was completed on"), "{told}");
}
