//! The whole daemon on a mailbox that is opened with tokens: mail comes in, and trouble with the token endpoint is told as
//! health, event and log until it is over.

use axum::http::StatusCode;
use countersign::domain::event::Event;
use countersign::store::{Store, events};
use secrecy::SecretString;
use serde_json::Value;

use crate::daemon::{Keeper, Site};
use crate::issuer::{Answer, Issuer};
use crate::rig;

/// The lines of the audit trail of one kind.
async fn told(site: &Site, kind: &str) -> Vec<Event> {
    let store = Store::open(&site.database, None::<&SecretString>, 2).await.expect("the database");
    let mut tx = store.read().await.expect("read");
    let sealed = events::after(&mut tx, 0, 1000).await.expect("events");
    drop(tx);
    store.close().await;
    sealed.into_iter().map(|sealed| sealed.event).filter(|event| event.kind == kind).collect()
}

#[tokio::test]
async fn the_daemon_takes_mail_in_with_a_token_and_raises_an_alarm_while_there_is_none() {
    let mut site = Site::new();
    let issuer = Issuer::start(Answer::Odd(StatusCode::SERVICE_UNAVAILABLE, "down".into())).await;
    let secret = site.secret(Keeper::File, "client", "client-hunter2");
    let mut sections = site.sections();
    let password = sections.smtp_password.clone();
    let url = &issuer.url;
    let login = format!(
        "auth = \"xoauth2\"\n[mailbox.oauth]\ntoken_url = \"{url}\"\nclient_id = \"countersign\"\nclient_secret = \"{secret}\"\n"
    );
    sections.mailboxes = sections.mailboxes.replace(&format!("password = \"{password}\"\n"), &login);
    site.write(&sections);
    let daemon = site.start().await;

    let health = |health: &'static str| {
        let site = &site;
        async move {
            let what = format!("the mailbox to be {health}");
            let is = |row: &countersign::store::mailboxes::MailboxRow| row.health == health;
            site.wait_for_state(&what, |state| {
                state.mailbox("ap").filter(|row| is(row)).map(|row| row.last_error.clone().unwrap_or_default())
            })
            .await
        }
    };
    let error = health("unhealthy").await;
    assert!(error.contains("no token to log in as") && error.contains("503 Service Unavailable"), "{error}");
    let alarm = rig::wait_for("the alarm", async || told(&site, "mailbox.token_failed").await.pop()).await;
    assert_eq!(alarm.data["mailbox"], "ap");
    assert!(alarm.data["error"].as_str().unwrap().contains("503") && alarm.data["good_until"] == Value::Null);
    let failures = |state: &crate::state::State| (state.mailbox("ap")?.failures >= 3).then_some(());
    site.wait_for_state("three failures", failures).await;

    issuer.answers(Answer::Token { user: site.mailbox.clone(), life_secs: 3600, refresh: None });
    health("healthy").await;
    let before = issuer.issued().len();
    site.mail_in(&site.mailbox).await;
    site.approval().await;
    assert_eq!((before, issuer.issued().len()), (1, 1), "one token for all of it");
    assert_eq!(told(&site, "mailbox.token_failed").await.len(), 1, "one alarm an hour");
    let log = daemon.log();
    assert!(log.contains("ERROR") && log.contains("it is not read; wait for the token endpoint to recover"), "{log}");
    assert!(!log.contains("hunter2") && !log.contains(&issuer.issued()[0]), "{log}");
    daemon.stop().await;
}
