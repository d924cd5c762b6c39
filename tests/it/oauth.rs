//! Logging in with tokens: grants, the cache, renewal and its alarm, against a real Dovecot that asks for each token.

use std::sync::Arc;

use axum::http::StatusCode;
use chrono::TimeDelta;
use countersign::config::load::load;
use countersign::config::secret::Secrets;
use countersign::config::sections::{Aws, Mailbox as Config};
use countersign::domain::clock::{Clock, ManualClock};
use countersign::mailbox::MailboxError;
use countersign::mailbox::access::Access;
use futures_util::future::join_all;
use tempfile::TempDir;

use crate::imap_rig::{fresh_user, mail, raw};
use crate::issuer::{Answer, Issuer};
use crate::rig;

const HOUR: u64 = 3600;

/// One mailbox of Dovecot that is opened with tokens of an issuer; time stands still.
struct World {
    issuer: Issuer,
    clock: ManualClock,
    access: Access,
    config: Config,
    user: String,
    dir: TempDir,
}

fn token(user: &str) -> Answer {
    Answer::Token { user: user.to_owned(), life_secs: HOUR, refresh: None }
}

impl World {
    async fn new() -> Self {
        Self::with("xoauth2", "").await
    }

    /// `more` are lines of the table `oauth`.
    async fn with(auth: &str, more: &str) -> Self {
        let user = fresh_user();
        let issuer = Issuer::start(token(&user)).await;
        let dir = tempfile::tempdir().unwrap();
        for (name, value) in [("client", "client-hunter2"), ("refresh", "refresh-hunter2")] {
            std::fs::write(dir.path().join(name), value).unwrap();
        }
        let (port, ca, url) = (rig::imaps_port(), rig::ca(), &issuer.url);
        let toml = format!(
            r#"
[[mailbox]]
name = "ap"
customer = "acme"
address = "ap@acme.example"
kind = "imap"
host = "localhost"
port = {port}
ca_file = "{ca}"
user = "{user}"
auth = "{auth}"
[mailbox.oauth]
token_url = "{url}"
client_id = "countersign"
client_secret = "secret:file/client"
{more}
"#
        );
        let file = dir.path().join("prod.toml");
        std::fs::write(&file, toml).unwrap();
        let config = load(&file).unwrap_or_else(|told| panic!("{told:?}")).config.mailboxes.remove(0);
        let clock = ManualClock::new("2026-11-22T09:30:00Z".parse().unwrap());
        let secrets = Secrets::new(Aws::default(), Arc::new(clock.clone()), dir.path());
        let access = Access::new(Arc::new(secrets), Arc::new(clock.clone()));
        Self { issuer, clock, access, config, user, dir }
    }

    /// How many messages the mailbox holds, over a new connection.
    async fn count(&self) -> Result<usize, MailboxError> {
        Ok(self.access.open(&self.config).await?.list(None).await?.len())
    }

    async fn error(&self) -> String {
        let error = self.count().await.unwrap_err();
        assert!(error.is_broken());
        let text = error.to_string();
        assert!(!text.contains("hunter2"), "{text}");
        for token in self.issuer.issued() {
            assert!(!text.contains(&token), "{text}");
        }
        text
    }

    async fn keep(&self) -> Result<(), MailboxError> {
        self.access.keep(&self.config).await
    }

    fn pass(&self, minutes: i64) {
        self.clock.advance(TimeDelta::minutes(minutes));
    }

    fn down(&self) {
        self.issuer.answers(Answer::Odd(StatusCode::SERVICE_UNAVAILABLE, "<h1>maintenance</h1>".into()));
    }
}

#[tokio::test]
async fn both_grants_log_in_by_both_mechanisms() {
    let refresh = "refresh_token = \"secret:file/refresh\"\n";
    let client = "grant = \"client-credentials\"\nscope = \"https://imap.test/.default offline\"\n";
    for auth in ["xoauth2", "oauthbearer"] {
        for (more, grant) in [(client, "client_credentials"), (refresh, "refresh_token")] {
            let world = World::with(auth, more).await;
            raw(&world.user).await.append("INBOX", &[mail(300)]).await;
            assert_eq!(world.count().await.unwrap(), 1, "{auth} {grant}");
            let asked = world.issuer.asked().remove(0);
            let field = |name: &str| asked.get(name).map(String::as_str);
            assert_eq!((field("grant_type"), field("client_id")), (Some(grant), Some("countersign")));
            assert_eq!(field("client_secret"), Some("client-hunter2"));
            assert_eq!(field("refresh_token"), (grant == "refresh_token").then_some("refresh-hunter2"));
            assert_eq!(field("scope"), (more == client).then_some("https://imap.test/.default offline"));
        }
    }
}

#[tokio::test]
async fn one_token_serves_all_connections_of_a_mailbox() {
    let world = World::new().await;
    let opened = join_all((0..5).map(|_| world.access.open(&world.config))).await;
    assert!(opened.iter().all(Result::is_ok));
    world.count().await.unwrap();
    assert_eq!(world.issuer.requests(), 1);
}

#[tokio::test]
async fn a_token_is_renewed_well_before_its_end() {
    let world = World::new().await;
    world.keep().await.unwrap();
    world.pass(47);
    world.keep().await.unwrap();
    assert_eq!(world.issuer.requests(), 1);
    world.pass(1);
    world.keep().await.unwrap();
    world.count().await.unwrap();
    assert_eq!(world.issuer.requests(), 2);
}

#[tokio::test]
async fn a_replaced_refresh_token_is_used_from_then_on_until_it_is_void_or_another_is_configured() {
    let world = World::with("xoauth2", "refresh_token = \"secret:file/refresh\"\n").await;
    let sent = || world.issuer.asked().pop().unwrap().remove("refresh_token").unwrap();
    let again = async || {
        world.pass(48);
        world.count().await
    };
    let rotate =
        |name: &str| Answer::Token { user: world.user.clone(), life_secs: HOUR, refresh: Some(name.to_owned()) };
    world.issuer.answers(rotate("second"));
    world.count().await.unwrap();
    assert_eq!(sent(), "refresh-hunter2");
    world.issuer.answers(rotate("third"));
    again().await.unwrap();
    assert_eq!(sent(), "second");
    world.issuer.answers(Answer::Refused("invalid_grant".into(), "it was revoked".into()));
    again().await.unwrap();
    let asked = world.issuer.asked();
    let refresh: Vec<_> = asked.iter().map(|form| form["refresh_token"].as_str()).collect();
    assert_eq!(
        refresh,
        ["refresh-hunter2", "second", "third", "refresh-hunter2"],
        "the configured one is tried as well"
    );

    world.issuer.answers(rotate("fourth"));
    again().await.unwrap();
    std::fs::write(world.dir.path().join("refresh"), "consented again").unwrap();
    again().await.unwrap();
    assert_eq!(sent(), "consented again");
}

#[tokio::test]
async fn a_token_that_the_server_refuses_is_fetched_anew_once() {
    let world = World::new().await;
    world.count().await.unwrap();
    world.issuer.revoke().await;
    world.pass(2);
    assert_eq!(world.count().await.unwrap(), 0);
    assert_eq!(world.issuer.requests(), 2);
    world.issuer.revoke().await;
    world.pass(2);
    world.down();
    assert!(world.error().await.contains("503"), "and when there is no other, the endpoint's trouble is told");
}

#[tokio::test]
async fn a_token_for_somebody_else_is_refused_with_the_servers_words_and_asked_for_once() {
    for auth in ["xoauth2", "oauthbearer"] {
        let world = World::with(auth, "").await;
        world.issuer.answers(token("somebody.else"));
        for _attempt in 0..2 {
            let text = world.error().await;
            assert!(text.contains(&format!("login as {} refused: ", world.user)), "{text}");
            assert!(text.contains("Authentication failed") && text.contains("(status "), "{text}");
        }
        assert_eq!(world.issuer.requests(), 1, "a fresh token that is refused is not fetched again at once");
    }
}

#[tokio::test]
async fn a_renewal_that_fails_raises_an_alarm_while_the_old_token_does_and_then_the_mailbox_fails() {
    let world = World::new().await;
    world.keep().await.unwrap();
    let end = world.clock.now() + TimeDelta::hours(1);
    assert!(world.access.alarm(&world.config).await.is_none());
    world.down();
    world.pass(48);
    world.keep().await.unwrap();
    world.keep().await.unwrap();
    assert_eq!(world.issuer.requests(), 2, "a failed renewal is not repeated within a minute");
    let alarm = world.access.alarm(&world.config).await.expect("an alarm at once");
    assert_eq!(alarm.good_until, Some(end));
    assert!(alarm.error.to_string().contains("503") && alarm.error.is_transient(), "{}", alarm.error);
    world.pass(1);
    assert_eq!(world.count().await.unwrap(), 0, "the old token does");
    assert!(world.access.alarm(&world.config).await.is_none(), "once an hour");
    world.pass(11);
    let error = world.keep().await.unwrap_err();
    assert!(matches!(&error, MailboxError::NoToken { user, .. } if *user == world.user), "{error}");
    assert!(world.error().await.contains("it answered 503 Service Unavailable without JSON"));
    assert!(world.access.alarm(&world.config).await.is_none());
    world.pass(48);
    world.keep().await.unwrap_err();
    let alarm = world.access.alarm(&world.config).await.expect("another alarm after an hour");
    assert_eq!(alarm.good_until, None);

    world.issuer.answers(token(&world.user));
    assert_eq!(world.count().await.unwrap(), 0);
    world.pass(70);
    world.keep().await.unwrap();
    assert!(world.access.alarm(&world.config).await.is_none(), "no trouble, no alarm");
}

#[tokio::test]
async fn a_refused_client_is_told_in_the_endpoints_words_without_the_secret() {
    let world = World::new().await;
    world.issuer.answers(Answer::Refused("invalid_client".into(), "secret client-hunter2 has expired\r\nnow".into()));
    let (text, endpoint) = (world.error().await, &world.issuer.url);
    let words = "refused: invalid_client: secret *** has expired  now";
    assert_eq!(text, format!("no token to log in as {} with: a token from {endpoint}: {words}", world.user));
    let alarm = world.access.alarm(&world.config).await.unwrap();
    assert!(!alarm.error.is_transient() && alarm.error.mend().contains("client_secret"), "{}", alarm.error.mend());
    std::fs::remove_file(world.dir.path().join("client")).unwrap();
    assert!(world.error().await.contains("secret:file/client"));
}

#[tokio::test]
async fn answers_that_are_no_tokens_are_told_and_a_redirect_is_not_followed() {
    let world = World::new().await;
    for (status, body, words) in [
        (StatusCode::OK, "x".repeat(70_000), "more than 65536 bytes"),
        (StatusCode::OK, "<html>".into(), "it answered 200 OK without JSON"),
        (StatusCode::OK, "{}".into(), "holds no access_token"),
        (StatusCode::TEMPORARY_REDIRECT, String::new(), "it answered 307"),
        (StatusCode::NOT_FOUND, "{}".into(), "it answered 404"),
    ] {
        world.issuer.answers(Answer::Odd(status, body));
        let text = world.error().await;
        assert!(text.contains(words), "{text}");
    }
    assert_eq!(world.issuer.requests(), 5);
}

#[tokio::test]
async fn the_token_endpoint_is_trusted_by_its_own_authority_only() {
    // Any server with the rig's certificate will do: what follows the handshake is not HTTP.
    let url = format!("https://localhost:{}/token", rig::imaps_port());
    let error = async |more: &str| {
        let mut world = World::with("xoauth2", more).await;
        let file = world.dir.path().join("prod.toml");
        let toml = std::fs::read_to_string(&file).unwrap().replace(&world.issuer.url, &url);
        std::fs::write(&file, toml).unwrap();
        world.config = load(&file).unwrap().config.mailboxes.remove(0);
        world.error().await
    };
    let text = error("").await;
    assert!(text.contains("UnknownIssuer"), "{text}");
    let text = error(&format!("ca_file = \"{}\"\n", rig::ca())).await;
    assert!(!text.contains("UnknownIssuer") && text.contains("localhost"), "{text}");
}
