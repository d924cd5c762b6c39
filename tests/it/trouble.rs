//! Servers that are away, and a wrong password: told, tried again with backoff, made up for when they are back. Nothing is
//! flagged on a server meanwhile, and nothing happens twice.

use std::time::{Duration, Instant};

use countersign::domain::notice::NoticeStatus;
use uuid::Uuid;

use crate::daemon::{Daemon, Keeper, Site, mailbox};
use crate::gate::Gate;
use crate::state::State;
use crate::story::{Decided, Repeats};
use crate::{end_to_end, rig};

fn health(state: &State, name: &str) -> Option<(String, String)> {
    let row = state.mailbox(name)?;
    Some((row.health.clone(), row.last_error.clone().unwrap_or_default()))
}

/// Waits until a mailbox is unhealthy for a reason with these words.
async fn unhealthy(site: &Site, name: &str, words: &str) {
    site.wait_for_state(&format!("mailbox {name} to be unhealthy: {words}"), |state| {
        health(state, name).filter(|(health, error)| health == "unhealthy" && error.contains(words))
    })
    .await;
}

async fn healthy(site: &Site, name: &str) {
    site.wait_for_state(&format!("mailbox {name} to be healthy"), |state| {
        health(state, name).filter(|(health, _)| health == "healthy")
    })
    .await;
}

#[tokio::test]
async fn a_mailbox_that_cannot_be_opened_says_why_and_stands_alone_until_it_is_mended() {
    let mut site = Site::new();
    let (locked, away) = (rig::fresh_user("locked"), rig::fresh_user("away"));
    site.others = vec!["locked".into(), "away".into()];
    let mut gate = Gate::closed(rig::imaps_port());
    let mut sections = site.sections();
    let wrong = site.secret(Keeper::File, "locked", "not the password");
    let right = site.secret(Keeper::Env, "password", rig::PASSWORD);
    sections.mailboxes += &mailbox("locked", &locked, rig::imaps_port(), &wrong, true);
    sections.mailboxes += &mailbox("away", &away, gate.port, &right, true);
    site.write(&sections);
    let started = Instant::now();
    let daemon = site.start().await;

    unhealthy(&site, "locked", "refused").await;
    unhealthy(&site, "away", "refused").await;
    let error = site.wait_for_state("its error", |state| health(state, "locked")).await.1;
    assert!(error.contains("login") && !error.contains("not the password"), "{error}");
    site.mail_in(&site.mailbox).await;
    let asked = site.approval().await;
    site.approve(&asked).await;
    site.ends_well(Decided::ByMail, Repeats::Never).await;

    // Pauses of 1, 2, 4 and 8 s, whatever the schedule of one second says.
    site.wait_for_state("five failures", |state| (state.mailbox("locked")?.failures >= 5).then_some(())).await;
    assert!(started.elapsed() >= Duration::from_secs(15), "five attempts within {:?}", started.elapsed());

    site.put("secrets/locked", rig::PASSWORD);
    gate.open();
    for (name, user) in [("locked", &locked), ("away", &away)] {
        healthy(&site, name).await;
        site.mail_in(user).await;
        site.wait_for_state("the mail to be flagged", |state| {
            let mut rows = state.messages.iter().filter(|row| row.mailbox == name);
            rows.any(|row| row.flagged_at.is_some()).then_some(())
        })
        .await;
        assert_eq!(site.flagged(user).await, (1, 0));
    }
    daemon.stop().await;
}

#[tokio::test]
async fn a_notice_that_cannot_be_sent_is_sent_when_the_server_is_back() {
    let mut site = Site::new();
    let mut gate = Gate::closed(rig::submission_port());
    let mut sections = site.sections();
    sections.smtp_port = gate.port;
    site.write(&sections);
    let daemon = site.start().await;
    site.mail_in(&site.mailbox).await;
    site.wait_for_state("the notice to be delayed", |state| {
        let notice = state.notices.first()?;
        (notice.status == NoticeStatus::Pending && notice.error.is_some()).then_some(())
    })
    .await;
    assert_eq!(rig::inbox(&site.approver).await.len(), 0);
    gate.open();
    let asked = site.approval().await;
    site.approve(&asked).await;
    let state = site.ends_well(Decided::ByMail, Repeats::Never).await;
    assert!(state.count("notice.delayed") >= 1);
    assert_eq!(state.count("notice.sent"), 1);
    daemon.stop().await;
}

#[tokio::test]
async fn while_the_store_is_away_nothing_is_flagged() {
    let mut site = Site::new();
    let mut gate = Gate::closed(rig::moto_port());
    let bucket = format!("papers-{}", Uuid::now_v7().simple());
    end_to_end::s3().await.create_bucket().bucket(&bucket).send().await.expect("make a bucket");
    let mut sections = site.sections();
    let key = site.secret(Keeper::Env, "key", "testing");
    sections.store = format!(
        "kind = \"s3\"\nbucket = \"{bucket}\"\nendpoint = \"http://127.0.0.1:{}\"\npath_style = true\n\
         access_key_id = \"{key}\"\nsecret_access_key = \"{key}\"",
        gate.port
    );
    site.write(&sections);
    let daemon = site.start().await;
    site.mail_in(&site.mailbox).await;
    unhealthy(&site, "ap", "message.eml").await;
    assert_eq!(site.flagged(&site.mailbox).await, (0, 1));
    gate.open();
    let asked = site.approval().await;
    healthy(&site, "ap").await;

    gate.cut();
    site.approve(&asked).await;
    unhealthy(&site, "ap", "message.eml").await;
    assert_eq!(site.flagged(&site.mailbox).await, (1, 1));
    gate.open();
    site.ends_well(Decided::ByMail, Repeats::Never).await;
    daemon.stop().await;
}

#[tokio::test]
async fn while_the_database_is_away_nothing_is_flagged() {
    let mut site = Site::new();
    site.database = rig::fresh_database().await;
    let mut gate = Gate::opened(rig::pg_port());
    let url = site.database.replacen(&format!(":{}/", rig::pg_port()), &format!(":{}/", gate.port), 1);
    assert_ne!(url, site.database);
    let mut sections = site.sections();
    sections.database = format!("url = \"{url}\"");
    site.write(&sections);
    let daemon = site.start().await;
    healthy(&site, "ap").await;

    // Before there is anything to do.
    gate.cut();
    complains_again(&daemon, "mailbox ap: database").await;
    site.mail_in(&site.mailbox).await;
    complains_again(&daemon, "mailbox ap: database").await;
    assert_eq!(site.flagged(&site.mailbox).await, (0, 1));
    gate.open();

    // While the run is at work.
    site.wait_for_state("the run", |state| (!state.runs.is_empty()).then_some(())).await;
    gate.cut();
    complains_again(&daemon, "database").await;
    gate.open();
    let asked = site.approval().await;

    // While the answer comes in.
    site.wait_for_state("the invoice to be flagged", |state| state.messages[0].flagged_at).await;
    gate.cut();
    site.approve(&asked).await;
    complains_again(&daemon, "mailbox ap: database").await;
    assert_eq!(site.flagged(&site.mailbox).await, (1, 1));
    gate.open();
    site.ends_well(Decided::ByMail, Repeats::IfTold).await;
    daemon.stop().await;
}

/// Waits until the daemon's log says so once more than now.
async fn complains_again(daemon: &Daemon, words: &str) {
    let count = || daemon.log().lines().filter(|line| line.contains(words)).count();
    let before = count();
    rig::wait_for(&format!("the daemon to say `{words}`"), async || (count() > before).then_some(())).await;
}
