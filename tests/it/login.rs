//! Which mechanism logs in, and what is told where none does.

use countersign::config::oauth::Auth;
use countersign::config::sections::{Imap, Source};
use countersign::mailbox::{MailboxError, open};
use secrecy::SecretString;

use crate::imap_rig::{encrypted, fake, fresh_user, opened, plain, proxy};
use crate::rig;

fn by(auth: Auth, at: Imap) -> Imap {
    Imap { auth: Some(auth), ..at }
}

#[tokio::test]
async fn every_mechanism_for_passwords_logs_in() {
    for auth in [Auth::Login, Auth::Plain] {
        opened(by(auth, encrypted(&fresh_user()))).await.unwrap_or_else(|error| panic!("{auth}: {error}"));
        let wrong = SecretString::from("hunter2 and more");
        let error = open(&Source::Imap(by(auth, encrypted("alice"))), Some(&wrong)).await.err().expect("refused");
        assert!(
            matches!(error, MailboxError::LoginRefused { .. }) && !error.to_string().contains("hunter2"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn where_login_is_disabled_plain_is_taken() {
    let disabled = proxy(rig::imap_port(), |bytes| {
        // As long as what it replaces, and only in what is told before the login.
        let text = String::from_utf8_lossy(bytes).replace(" SASL-IR LOGIN-REFERRALS", " LOGINDISABLED SASL-IR");
        *bytes = text.into_bytes();
        true
    });
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let port = fake(move |line| {
        let _ = tell.send(line.to_owned());
        match line {
            "CAPABILITY" => Some("* CAPABILITY IMAP4rev1 LOGINDISABLED AUTH=PLAIN\r\nTAG OK done".into()),
            "AUTHENTICATE PLAIN" => Some("+ ".into()),
            _ => None,
        }
    })
    .await;
    opened(plain(disabled.await, &fresh_user())).await.unwrap();
    opened(plain(port, "u")).await.unwrap();
    let mut lines = vec![];
    while let Ok(line) = told.try_recv() {
        lines.push(line);
    }
    assert!(lines.iter().any(|line| line == "AUTHENTICATE PLAIN"), "{lines:?}");
    assert!(!lines.iter().any(|line| line.starts_with("LOGIN ")), "{lines:?}");
}

#[tokio::test]
async fn a_mechanism_that_is_not_offered_is_told_with_those_that_are() {
    let without = proxy(rig::imap_port(), |bytes| {
        *bytes = String::from_utf8_lossy(bytes).replace("AUTH=XOAUTH2", "AUTH=XNOTHIN").into_bytes();
        true
    });
    let error = opened(by(Auth::Xoauth2, plain(without.await, "u"))).await.err().expect("not offered");
    assert!(matches!(error, MailboxError::Protocol { .. }), "{error}");
    let words = "the server does not offer XOAUTH2; it offers LOGIN, PLAIN, XNOTHIN, OAUTHBEARER. Change `auth`";
    assert!(error.to_string().contains(words), "{error}");
}

#[tokio::test]
async fn a_token_that_the_server_echoes_stays_out_of_the_error() {
    let port = fake(|line| match line {
        "CAPABILITY" => Some("* CAPABILITY IMAP4rev1 AUTH=XOAUTH2\r\nTAG OK done".into()),
        line if line.starts_with("AUTHENTICATE") => Some("TAG BAD what is secret".into()),
        _ => None,
    })
    .await;
    let error = opened(by(Auth::Xoauth2, plain(port, "u"))).await.err().expect("refused");
    assert!(matches!(error, MailboxError::LoginRefused { .. }) && !error.to_string().contains("secret"), "{error}");
}
