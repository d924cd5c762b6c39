//! What each command says, in one process over SQLite: a real approval, answered, refused, expired and killed; messages of
//! every verdict; the report in its three forms; and an audit trail that somebody tampers with.

mod control;
mod desk;

use std::path::Path;

use chrono::TimeDelta;
use countersign::cli::{self, Audit, Command, Control, Ending, Format, List, Since};
use countersign::domain::clock::Clock;
use countersign::domain::run::RunStatus;
use countersign::reports::audit;
use countersign::store::{notices, runs};
use serde_json::Value;

use desk::{Desk, INVOICE, NEWSLETTER, PEOPLE, STRANGER, masked, message_id};

#[tokio::test]
async fn a_waiting_run_is_listed_shown_and_explained() {
    let desk = Desk::waiting().await;
    let listed = desk.done(Command::Runs(List { limit: 50, ..List::default() })).await;
    insta::assert_snapshot!("runs", masked(&listed));
    let json = desk
        .done(Command::Runs(List { status: Some(RunStatus::Waiting), json: true, limit: 50, ..List::default() }))
        .await;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json[0]["waiting_on"], serde_json::json!(["olivia"]));
    assert_eq!((&json[0]["name"], &json[0]["subject"]), (&"AP-000001".into(), &"Invoice 4711".into()));
    assert_eq!(
        desk.done(Command::Runs(List { status: Some(RunStatus::Failed), json: true, limit: 50, ..List::default() }))
            .await,
        "[]\n"
    );

    insta::assert_snapshot!("show_waiting_run", masked(&desk.done(Command::Show { id: "ap-000001".into() }).await));
    insta::assert_snapshot!("explain_waiting_run", masked(&desk.explain("AP-000001").await));
    desk.pass(3).await;
    insta::assert_snapshot!("explain_reminded_run", masked(&desk.explain("AP-000001").await));
}

#[tokio::test]
async fn an_answered_run_says_who_decided_and_the_second_is_late() {
    let desk = Desk::waiting().await;
    let refused = desk.approve("mallory").await.unwrap_err().to_string();
    assert_eq!(refused, "AP-000001: `mallory` is not asked here; asked: olivia");
    assert_eq!(desk.approve("olivia").await.unwrap().text, "AP-000001 is approved by olivia; it goes on\n");
    let late = desk.approve("frank").await.unwrap();
    assert_eq!(late.ending, Ending::Failed);
    assert_eq!(late.text, "countersign: too late: olivia approved AP-000001 on 2026-03-02 09:00 UTC by cli\n");
    let repeated = desk.approve("olivia").await.unwrap();
    assert_eq!((repeated.ending, repeated.text.contains("nothing new")), (Ending::Done, true), "{}", repeated.text);
    insta::assert_snapshot!("explain_completed_run", masked(&desk.explain("AP-000001").await));
    insta::assert_snapshot!("show_completed_run", masked(&desk.done(Command::Show { id: "AP-000001".into() }).await));
}

#[tokio::test]
async fn what_was_said_is_explained_for_the_run_and_for_the_mail() {
    let desk = Desk::waiting().await;
    let mut tx = desk.app.engine.store.read().await.unwrap();
    let run = runs::by_name(&mut tx, "AP-000001").await.unwrap();
    let asked = notices::of_run(&mut tx, run.id).await.unwrap().remove(0).header_message_id;
    drop(tx);
    let reply = |from: &str, domain: &str, text: &str| {
        format!(
            "Authentication-Results: mx.acme.example; dmarc=pass header.from={domain}\nFrom: {from}@{domain}\n\
             To: ap@acme.example\nSubject: Re: approve\nIn-Reply-To: <{asked}>\nMessage-ID: <{from}@{domain}>\n\n{text}\n"
        )
    };
    desk.inject("question.eml", &reply("olivia", "acme.example", "Which order is it for?")).await;
    desk.inject("forged.eml", &reply("olivia", "evil.example", "Approved")).await;
    insta::assert_snapshot!("explain_said_so_far", masked(&desk.explain("AP-000001").await));
    let decided = desk.inject("yes.eml", &reply("Olivia", "acme.example", "Approved, thanks")).await;
    insta::assert_snapshot!("explain_reply", masked(&desk.explain(&message_id(&decided)).await));
}

#[tokio::test]
async fn a_run_that_nobody_answered_says_why_it_failed() {
    let desk = Desk::waiting().await;
    desk.pass(15).await;
    insta::assert_snapshot!("explain_failed_run", masked(&desk.explain("AP-000001").await));
    let report = desk
        .done(Command::Report { format: Format::Table, since: None, status: Some(RunStatus::Failed), tag: None })
        .await;
    assert!(report.contains("approval_expired") && report.contains("1 run: 1 failed"), "{report}");
}

#[tokio::test]
async fn operators_hold_release_and_kill_and_are_refused_with_the_reason() {
    let desk = Desk::waiting().await;
    let (id, as_user) = ("AP-000001".to_owned(), "alice".to_owned());
    let pause = Command::Control(Control::Pause { id: id.clone(), as_user: as_user.clone() });
    assert!(desk.done(pause).await.starts_with("AP-000001: it is waiting and held"));
    let explained = desk.explain("AP-000001").await;
    assert!(explained.contains("It is held by alice since 2026-03-02 09:00 UTC"), "{explained}");
    let resume = Command::Control(Control::Resume { id: id.clone(), as_user: as_user.clone() });
    assert_eq!(
        desk.done(resume.clone()).await,
        "AP-000001: nobody holds it any more; `countersign explain AP-000001` tells what it waits for\n"
    );
    desk.app.settle().await.unwrap();
    let refused = format!("{:#}", desk.command(resume).await.unwrap_err());
    assert_eq!(refused, "AP-000001: a waiting run takes no resume; it takes pause, stop, kill and rerun");
    let kill = Command::Control(Control::Kill { now: false, id, as_user });
    assert!(desk.done(kill.clone()).await.starts_with("AP-000001 is killed"));
    assert!(desk.done(kill).await.starts_with("AP-000001 is killed already"));
    let pause = Command::Control(Control::Pause { id: "AP-000001".into(), as_user: "alice".into() });
    let refused = format!("{:#}", desk.command(pause).await.unwrap_err());
    assert_eq!(refused, "AP-000001: a killed run takes no pause; it takes restart and rerun");
    let explained = desk.explain("AP-000001").await;
    assert!(explained.contains("alice killed it on 2026-03-02 09:00 UTC"), "{explained}");
    let late = desk.approve("olivia").await.unwrap_err().to_string();
    assert_eq!(late, "AP-000001: no approval of this run is open");
}

#[tokio::test]
async fn a_message_is_injected_once_shown_and_explained() {
    let desk = Desk::new().await;
    let first = desk.inject("invoice.eml", INVOICE).await;
    insta::assert_snapshot!("injected", masked(&first));
    let again = desk.inject("copy.eml", INVOICE).await;
    assert!(again.starts_with("the same bytes were injected before; nothing was done now."), "{again}");
    assert_eq!(message_id(&again), message_id(&first));
    let id = message_id(&first);
    insta::assert_snapshot!("show_message", masked(&desk.done(Command::Show { id: id[..13].into() }).await));
    insta::assert_snapshot!("explain_rule", masked(&desk.explain(&id).await));

    let ignored = message_id(&desk.inject("news.eml", NEWSLETTER).await);
    assert!(desk.explain(&ignored).await.contains("Rule `newsletter` (ap.toml:2) matched:"));
    let stranger = message_id(&desk.inject("stranger.eml", STRANGER).await);
    insta::assert_snapshot!("explain_default", masked(&desk.explain(&stranger).await));
    let twice = message_id(&desk.inject("twice.eml", &format!("Received: by another.example\n{INVOICE}")).await);
    insta::assert_snapshot!("explain_guard", masked(&desk.explain(&twice).await));

    let missing = Command::Inject { file: desk.directory.path().join("no.eml"), mailbox: "ap".into() };
    assert!(desk.command(missing).await.unwrap_err().to_string().ends_with("no.eml"));
    let nowhere = Command::Inject { file: desk.directory.path().join("news.eml"), mailbox: "hr".into() };
    assert_eq!(desk.command(nowhere).await.unwrap_err().to_string(), "there is no mailbox `hr`; there are: ap");
}

#[tokio::test]
async fn what_is_not_there_is_said_in_one_line() {
    let desk = Desk::waiting().await;
    let check = async |id: &str, expected: &str| {
        let error = desk.command(Command::Show { id: id.into() }).await.unwrap_err().to_string();
        assert!(error.starts_with(expected) && !error.contains('\n'), "{error}");
    };
    check("ap-000099", "there is no run or message `AP-000099`").await;
    check("ffffffff", "there is no run or message `ffffffff`").await;
    check("nonsense", "`nonsense` is no id: give a run such as AP-000123").await;
    let told = desk.inject("stranger.eml", INVOICE).await;
    let id = message_id(&told);
    let error = desk
        .command(Command::Control(Control::Kill { now: false, id: id.clone(), as_user: "a".into() }))
        .await
        .unwrap_err()
        .to_string();
    assert_eq!(error, format!("`{id}` is a message, not a run; its run is AP-000001"));
}

#[tokio::test]
async fn a_report_counts_what_came_and_is_safe_in_a_spreadsheet() {
    let desk = Desk::waiting().await;
    desk.clock.advance(TimeDelta::hours(3));
    desk.inject("news.eml", NEWSLETTER).await;
    desk.inject("stranger.eml", STRANGER).await;
    let report = |format, since| Command::Report { format, since, status: None, tag: None };
    insta::assert_snapshot!("report_table", masked(&desk.done(report(Format::Table, None)).await));
    let csv = desk.done(report(Format::Csv, None)).await;
    assert_eq!(csv.matches("\r\n").count(), 4);
    assert!(csv.contains(",\"'=HYPERLINK(\"\"http://evil.example\"\"), 50% off\","), "{csv}");
    let since: Since = "2h".parse().unwrap();
    let json: Value = serde_json::from_str(&desk.done(report(Format::Json, Some(since))).await).unwrap();
    let verdicts: Vec<_> = json.as_array().unwrap().iter().map(|line| line["verdict"].as_str().unwrap()).collect();
    assert_eq!(verdicts, ["ignore", "quarantine"]);
    let all: Value = serde_json::from_str(&desk.done(report(Format::Json, None)).await).unwrap();
    let head = csv.lines().next().unwrap();
    assert_eq!(all[0].as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(","), head, "CSV and JSON agree");
    assert_eq!((&all[0]["run"], &all[0]["waiting_on"][0]), (&"AP-000001".into(), &"olivia".into()));
    let future = Since::At(desk.clock.now() + TimeDelta::days(1));
    assert_eq!(desk.done(report(Format::Table, Some(future))).await, "no messages\n");
}

#[tokio::test]
async fn people_are_imported_and_a_bad_file_is_wrong_use() {
    let desk = Desk::new().await;
    let file = desk.directory.path().join("people.toml");
    let told = desk.done(Command::Import { file: file.clone() }).await;
    assert_eq!(told, "acme: 1 suppliers, 2 users\nimported 1 customer\n");
    std::fs::write(&file, PEOPLE.replace("frank@acme.example", "nowhere")).unwrap();
    let told = desk.command(Command::Import { file: file.clone() }).await.unwrap();
    assert_eq!(told.ending, Ending::Misused);
    assert!(
        told.text.contains("people.toml:15:") && told.text.contains("`nowhere` is no mail address"),
        "{}",
        told.text
    );
    let told = desk.command(Command::Import { file: Path::new("/no/such.toml").into() }).await.unwrap();
    assert_eq!(told.ending, Ending::Misused);
}

#[tokio::test]
async fn the_trail_is_read_in_order_and_verified() {
    let desk = Desk::waiting().await;
    let (position, events) = audit::tail(&desk.app.engine, 3).await.unwrap();
    assert_eq!(events.iter().map(|event| event.position).collect::<Vec<_>>(), [position - 2, position - 1, position]);
    let line = audit::line(&events[2]);
    assert!(line.contains("2026-03-02 09:00:00Z  countersign  notice.sent  run="), "{line}");
    assert!(serde_json::from_str::<Value>(&audit::json(&events[0])).unwrap()["position"].is_i64());
    assert!(audit::after(&desk.app.engine, position).await.unwrap().is_empty());

    let verified = desk.done(Command::Audit { what: Audit::Verify }).await;
    assert_eq!(verified, format!("verified {position} events, head {}\n", events[2].hash));
    desk.command(Command::Control(Control::Pause { id: "AP-000001".into(), as_user: "alice".into() })).await.unwrap();
    let verified = desk.done(Command::Audit { what: Audit::Verify }).await;
    assert!(verified.ends_with("; 1 event is not sealed yet\n"), "{verified}");
    audit::seal(&desk.app.engine).await.unwrap();
    let [paused] = audit::after(&desk.app.engine, position).await.unwrap().try_into().unwrap();
    assert_eq!((paused.event.kind.as_str(), paused.event.actor.as_str()), ("run.paused", "alice"));
}

#[tokio::test]
async fn following_the_trail_shows_what_comes_until_nobody_reads() {
    let desk = Desk::waiting().await;
    let (printed, mut heard) = tokio::sync::mpsc::unbounded_channel::<String>();
    let print = |text: &str| {
        printed.send(text.to_owned()).unwrap();
        Ok(!text.contains("run.paused"))
    };
    let pause = async {
        let first = heard.recv().await.unwrap();
        assert_eq!(first.lines().count(), 2);
        desk.done(Command::Control(Control::Pause { id: "AP-000001".into(), as_user: "alice".into() })).await;
    };
    let (followed, ()) = tokio::join!(cli::audit::tail(&desk.app.engine, 2, true, false, print), pause);
    followed.unwrap();
    let mut later = vec![];
    while let Ok(text) = heard.try_recv() {
        later.extend(text.lines().map(str::to_owned));
    }
    assert!(matches!(later.as_slice(), [line] if line.contains("alice  run.paused")), "{later:?}");
}

/// Tampers with the database and expects a verification to name the place.
async fn tampered(sql: &[&'static str], expected: &str) {
    let desk = Desk::waiting().await;
    for statement in sql {
        desk.sql(statement).await;
    }
    let told = desk.command(Command::Audit { what: Audit::Verify }).await.unwrap();
    assert_eq!(told.ending, Ending::Failed, "{}", told.text);
    assert!(told.text.starts_with(&format!("countersign: the chain is broken at {expected}")), "{}", told.text);
}

#[tokio::test]
async fn a_changed_a_removed_and_a_moved_event_are_found() {
    tampered(&["update events set actor = 'nobody' where position = 3"], "position 3: its content").await;
    tampered(&["update events set hash = null where position = 4"], "position 4: its content").await;
    tampered(&["update events set at = 'never' where position = 3"], "position 3: its row cannot be read").await;
    tampered(&["delete from events where position = 2"], "position 2: it is gone: the chain has a gap").await;
    let last = "delete from events where position = (select max(position) from events)";
    tampered(&[last], "position 7: it is gone: 1 sealed").await;
    let swap =
        ["position = -2 where position = 2", "position = 2 where position = 3", "position = 3 where position = -2"];
    let swap = swap.map(|change| &*Box::leak(format!("update events set {change}").into_boxed_str()));
    tampered(&swap, "position 2: its content or its place").await;
}
