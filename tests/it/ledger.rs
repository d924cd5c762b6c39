//! The ledger proven against the mailbox, and mended: over a folder in memory, a Maildir, and a real server.

use std::path::Path;
use std::process::Command as Program;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use countersign::cli::{self, Command, Ending, Ledger, Told};
use countersign::config::sections::After;
use countersign::intake::Balance;
use countersign::mailbox::{Listed, Mailbox, MailboxError};
use countersign::store::messages::MessageRow;
use serde_json::{Value, json};
use sqlx::{Connection, SqliteConnection};
use tokio::sync::Notify;

use crate::app::{TestApp, invoice, mail};
use crate::daemon::Site;
use crate::story::{Decided, Repeats};

/// A folder with UIDs as a server has them; `marked` are those that were flagged.
#[derive(Default)]
pub struct Shelf {
    pub uid_validity: u32,
    pub mails: Vec<(u32, Vec<u8>)>,
    pub received_at: Option<DateTime<Utc>>,
    pub marked: Vec<String>,
}

#[async_trait]
impl Mailbox for Shelf {
    fn uid_validity(&self) -> u32 {
        self.uid_validity
    }
    async fn list(&mut self, above: Option<&str>) -> Result<Vec<Listed>, MailboxError> {
        let above: u32 = above.map_or(0, |uid| uid.parse().unwrap());
        let listed = |(uid, raw): &(u32, Vec<u8>)| Listed {
            uid: uid.to_string(),
            size_bytes: raw.len() as u64,
            received_at: self.received_at,
        };
        Ok(self.mails.iter().filter(|(uid, _)| *uid > above).map(listed).collect())
    }
    async fn fetch(&mut self, uid: &str, _: u64) -> Result<Vec<u8>, MailboxError> {
        let mail = self.mails.iter().find(|(own, _)| own.to_string() == uid);
        mail.map(|(_, raw)| raw.clone()).ok_or_else(|| MailboxError::Gone { uid: uid.into() })
    }
    async fn mark(&mut self, uids: &[String], _: &After) -> Result<(), MailboxError> {
        self.marked.extend_from_slice(uids);
        Ok(())
    }
    async fn wait(&mut self, _: Duration, _: &Notify) -> Result<(), MailboxError> {
        Ok(())
    }
}

impl Shelf {
    pub fn with(mails: &[(u32, Vec<u8>)]) -> Self {
        Self { uid_validity: 7, mails: mails.to_vec(), ..Default::default() }
    }
}

pub async fn poll(app: &TestApp, shelf: &mut Shelf) {
    app.app.intake.poll(&app.app.config.mailboxes[0], shelf).await.expect("poll");
    app.settle().await;
}

pub async fn reconcile(app: &TestApp, shelf: &mut Shelf) -> usize {
    app.app.intake.reconcile(&app.app.config.mailboxes[0], shelf).await.expect("reconcile")
}

pub async fn balance(app: &TestApp, shelf: &mut Shelf) -> Balance {
    app.app.intake.verify_ledger(&app.app.config.mailboxes[0], shelf).await.expect("verify")
}

/// Removes the row of a delivery behind the program's back.
pub async fn lose(database: &Path, uid: &str) {
    let mut connection = SqliteConnection::connect(&format!("sqlite:{}", database.display())).await.expect("connect");
    for statement in [
        "pragma foreign_keys = off",
        "delete from parts where message_id = (select id from messages where uid = $1)",
        "delete from messages where uid = $1",
    ] {
        sqlx::query(statement).bind(uid).execute(&mut connection).await.expect(statement);
    }
    connection.close().await.expect("close");
}

pub fn newsletter() -> Vec<u8> {
    mail("news@shop.example", "Our news", "Nothing to see.").raw()
}

#[tokio::test]
async fn a_lost_row_is_named_and_mended_and_launches_nothing_twice() {
    let app = TestApp::demo().await;
    let mut shelf = Shelf::with(&[(1, invoice().raw()), (2, newsletter())]);
    poll(&app, &mut shelf).await;
    let whole = balance(&app, &mut shelf).await;
    assert!(whole.adds_up() && whole.on_server == 2 && whole.run == 1, "{whole:?}");

    lose(&app.path("state.db"), "1").await;
    poll(&app, &mut shelf).await;
    let broken = balance(&app, &mut shelf).await;
    assert_eq!((broken.adds_up(), broken.unaccounted, broken.run), (false, vec!["1".to_owned()], 0));

    assert_eq!(reconcile(&app, &mut shelf).await, 1);
    let mended = balance(&app, &mut shelf).await;
    assert!(mended.adds_up() && mended.in_flight == 1, "{mended:?}");
    poll(&app, &mut shelf).await;
    assert_eq!(balance(&app, &mut shelf).await, whole);
    assert_eq!(app.runs().await.len(), 1, "one mail, one run");
    assert_eq!(app.messages().await.iter().filter(|row| row.run_id.is_some()).count(), 1, "it has its run again");

    assert_eq!(reconcile(&app, &mut shelf).await, 0);
    let events = app.events("mailbox.reconciled").await;
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(Value::from(events[0].data.clone()), json!({"mailbox": "ap", "found": 1, "uids": ["1"]}));
    app.finish().await;
}

#[tokio::test]
async fn a_message_that_appears_below_the_high_water_mark_is_found() {
    let app = TestApp::demo().await;
    let mut shelf = Shelf::with(&[(5, newsletter()), (9, newsletter())]);
    assert_eq!(reconcile(&app, &mut shelf).await, 2, "all of it is new at the first contact");
    poll(&app, &mut shelf).await;
    assert_eq!(app.events("mailbox.reconciled").await, [], "and nothing was missed");
    shelf.mails.push((7, invoice().raw()));
    poll(&app, &mut shelf).await;
    assert_eq!(balance(&app, &mut shelf).await.unaccounted, ["7"]);
    assert_eq!(reconcile(&app, &mut shelf).await, 1);
    poll(&app, &mut shelf).await;
    assert_eq!(app.runs().await.len(), 1);
    assert!(balance(&app, &mut shelf).await.adds_up() && shelf.marked.contains(&"7".into()));
    shelf.mails.push((10, newsletter()));
    poll(&app, &mut shelf).await;
    let last = app.messages().await.pop().expect("a row");
    assert_eq!((last.uid.as_str(), balance(&app, &mut shelf).await.adds_up()), ("10", true), "the mark stayed");
}

/// An invoice and a newsletter that came at nine on the day before; what becomes of the invoice at the first contact.
async fn check_start(start: &str, expected: &str) -> (TestApp, Shelf) {
    let app = TestApp::configured("plus_address = true", &format!("start = \"{start}\"")).await;
    let mut shelf = Shelf::with(&[(1, invoice().raw()), (2, newsletter())]);
    shelf.received_at = Some(app.now() - TimeDelta::days(1));
    poll(&app, &mut shelf).await;
    let row = row_of(&app, "1").await;
    assert_eq!(row.verdict.as_deref(), Some(expected), "{start}: {:?}", row.reason);
    assert!(balance(&app, &mut shelf).await.adds_up());
    (app, shelf)
}

pub async fn row_of(app: &TestApp, uid: &str) -> MessageRow {
    app.messages().await.into_iter().find(|row| row.uid == uid).expect("a row")
}

#[tokio::test]
async fn a_mailbox_starts_with_all_mail_or_with_none_or_on_a_day() {
    check_start("all", "start").await;
    check_start("2026-03-01", "start").await;
    check_start("2026-03-02", "ignore").await;
}

#[tokio::test]
async fn mail_of_before_the_start_is_left_alone_for_good() {
    let (app, mut shelf) = check_start("now", "ignore").await;
    let row = row_of(&app, "1").await;
    assert_eq!(row.reason.as_deref(), Some("received before 2026-03-02 09:00 UTC, where this mailbox starts"));
    assert_eq!((row.raw_sha256, shelf.marked.as_slice()), (None, [].as_slice()), "neither fetched nor flagged");
    assert_eq!(app.events("mailbox.started").await[0].data["left_alone"], 2);

    // Neither a renumbered folder nor a lost row lets it in.
    app.pass(TimeDelta::days(2)).await;
    shelf.uid_validity += 1;
    poll(&app, &mut shelf).await;
    lose(&app.path("state.db"), "1").await;
    assert_eq!(balance(&app, &mut shelf).await.unaccounted, ["1"]);
    assert_eq!(reconcile(&app, &mut shelf).await, 1);
    poll(&app, &mut shelf).await;
    assert_eq!(app.runs().await.len(), 0);
    // What somebody moves in afterwards is there on purpose, however old.
    shelf.mails.push((3, invoice().raw()));
    poll(&app, &mut shelf).await;
    assert_eq!((app.runs().await.len(), shelf.marked.as_slice()), (1, ["3".to_owned()].as_slice()));
    app.finish().await;
}

async fn told(app: &TestApp, what: Ledger) -> Told {
    cli::tell(Command::Ledger { what }, &app.app.context(), None).await.expect("an answer")
}

#[tokio::test]
async fn the_balance_of_a_maildir_is_printed_and_fails_when_it_does_not_add_up() {
    let app = TestApp::demo().await;
    app.receive(invoice()).await;
    app.receive(mail("x@stranger.example", "Hello", "Who are you?")).await;
    let verify = || Ledger::Verify { mailbox: None, json: false };
    let whole = told(&app, verify()).await;
    let expected = "ap: 2 on the server = 1 run + 0 resumed + 0 ignored + 1 quarantined + 0 replied + 0 in flight\n";
    assert_eq!((whole.text.as_str(), whole.ending), (expected, Ending::Done));

    let unlisted = app.deliver(&newsletter()).uid;
    let broken = told(&app, verify()).await;
    assert_eq!(broken.ending, Ending::Failed);
    assert!(broken.text.starts_with("ap: 3 on the server is not 1 run"), "{}", broken.text);
    assert!(broken.text.ends_with(&format!("\n  uid {unlisted} is unaccounted for\n")), "{}", broken.text);
    let json = told(&app, Ledger::Verify { mailbox: Some("ap".into()), json: true }).await;
    let objects: Value = serde_json::from_str(&json.text).expect("JSON");
    assert_eq!((json.ending, &objects[0]["adds_up"]), (Ending::Failed, &Value::from(false)));
    assert_eq!(objects[0]["balance"]["unaccounted"], json!([unlisted]));

    let mended = told(&app, Ledger::Reconcile { mailbox: None }).await;
    assert_eq!((mended.text.as_str(), mended.ending), ("ap: 1 written into the ledger\n", Ending::Done));
    assert_eq!(told(&app, verify()).await.ending, Ending::Done);
    std::fs::remove_file(app.path("mail/new").join(&unlisted)).expect("remove a mail");
    let gone = told(&app, verify()).await;
    assert!(gone.text.contains(&format!("uid {unlisted} is gone")) && gone.ending == Ending::Done, "{}", gone.text);

    let nowhere = Command::Ledger { what: Ledger::Verify { mailbox: Some("hr".into()), json: false } };
    let refused = cli::tell(nowhere, &app.app.context(), None).await.expect_err("no such mailbox").to_string();
    assert_eq!(refused, "there is no mailbox `hr`; there are: ap");
    std::fs::remove_dir_all(app.path("mail")).expect("remove the Maildir");
    let away = told(&app, verify()).await;
    assert!(away.text.starts_with("ap: cannot reach ") && away.ending == Ending::Failed, "{}", away.text);
}

/// Exit code and standard output of `countersign ledger …`, run beside or without the daemon.
fn ledger(site: &Site, what: &str) -> (Option<i32>, String) {
    let out = Program::new(env!("CARGO_BIN_EXE_countersign"))
        .args(["ledger", what, "--config"])
        .arg(site.path("countersign.toml"))
        .current_dir(site.path(""))
        .envs(&site.env)
        .output()
        .expect("run countersign");
    (out.status.code(), String::from_utf8_lossy(&out.stdout).into_owned())
}

#[tokio::test]
async fn a_real_mailbox_is_proven_after_the_story_and_mended_after_a_loss() {
    let site = Site::usual();
    let daemon = site.start().await;
    site.mail_in(&site.mailbox).await;
    let asked = site.approval().await;
    site.approve(&asked).await;
    site.ends_well(Decided::ByMail, Repeats::Never).await;
    let whole = "ap: 2 on the server = 1 run + 1 resumed + 0 ignored + 0 quarantined + 0 replied + 0 in flight\n";
    assert_eq!(ledger(&site, "verify"), (Some(0), whole.into()));
    daemon.stop().await;

    let database = site.path("state/countersign.db");
    lose(&database, "1").await;
    let broken = "ap: 2 on the server is not 0 run + 1 resumed + 0 ignored + 0 quarantined + 0 replied + 0 in flight\n  \
                  uid 1 is unaccounted for\n";
    assert_eq!(ledger(&site, "verify"), (Some(1), broken.into()));
    assert_eq!(ledger(&site, "reconcile"), (Some(0), "ap: 1 written into the ledger\n".into()));
    let (code, told) = ledger(&site, "verify");
    assert!(code == Some(0) && told.ends_with(" + 1 in flight\n"), "{told}");

    // The daemon mends it by itself at its start, and launches nothing twice.
    lose(&database, "1").await;
    let daemon = site.start().await;
    site.wait_for_state("the lost row to be back and flagged", |state| {
        let flagged = state.messages.iter().filter(|message| message.flagged_at.is_some()).count();
        (flagged == 2).then_some(())
    })
    .await;
    assert_eq!(ledger(&site, "verify"), (Some(0), whole.into()));
    assert_eq!(site.state().await.expect("the database").runs.len(), 1, "one mail, one run");
    daemon.stop().await;
}
