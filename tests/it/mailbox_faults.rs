//! The IMAP mailbox against servers that refuse, lie, fall silent or die: always an error, never an empty success.

use countersign::config::sections::{After, Imap, Source, Tls};
use countersign::domain::duration::Span;
use countersign::mailbox::{MailboxError, open};
use secrecy::SecretString;
use tokio::time::timeout;

use crate::imap_rig::{GUARD, LIMIT, cut_after, encrypted, fake, fresh_user, mail, opened, plain, proxy, raw};
use crate::rig;

#[tokio::test]
async fn a_wrong_password_is_refused_with_the_servers_words_and_without_the_password() {
    let wrong = SecretString::from("hunter2-\"quoted\"");
    let error = open(&Source::Imap(encrypted("alice")), Some(&wrong)).await.err().expect("refused");
    let MailboxError::LoginRefused { user, why } = &error else { panic!("{error}") };
    assert_eq!(user, "alice");
    assert!(why.contains("Authentication failed") && !why.contains("hunter2"), "{why}");
    assert!(error.is_broken());
    let error = open(&Source::Imap(encrypted("alice")), None).await.err().expect("refused");
    assert!(matches!(error, MailboxError::LoginRefused { .. }));
}

#[tokio::test]
async fn a_password_that_the_server_echoes_stays_out_of_the_error() {
    let port = fake(|line| line.starts_with("LOGIN").then(|| format!("TAG BAD what is {line}"))).await;
    let error = opened(plain(port, "u")).await.err().unwrap();
    assert!(matches!(error, MailboxError::LoginRefused { .. }) && !error.to_string().contains("secret"), "{error}");
}

async fn unreachable(at: Imap, words: &str) {
    let error = opened(at).await.err().expect("unreachable");
    assert!(matches!(error, MailboxError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains(words), "{error}");
    assert!(error.is_broken());
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_or_trusted_says_why() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    unreachable(plain(nobody, "u"), "refused").await;
    unreachable(Imap { ca_file: None, ..encrypted("u") }, "unknown authority").await;
    unreachable(Imap { ca_file: Some("no/such.pem".into()), ..encrypted("u") }, "no/such.pem").await;
    unreachable(Imap { tls: Tls::Implicit, ..plain(rig::imap_port(), "u") }, "starttls").await;
    let starttls = |port| Imap { tls: Tls::StartTls, ..plain(port, "u") };
    let port = fake(|line| (line == "STARTTLS").then(|| "TAG NO not today".into())).await;
    unreachable(starttls(port), "not today").await;
    unreachable(starttls(fake(|line| (line == "GREET").then(|| "* PREAUTH hello".into())).await), "PreAuth").await;
    unreachable(plain(fake(|line| (line == "GREET").then(|| "* BYE full".into())).await, "u"), "full").await;
    unreachable(plain(fake(|line| (line == "GREET").then(|| "220 smtp\r\nCLOSE".into())).await, "u"), "no IMAP").await;
}

#[tokio::test]
async fn clear_text_slipped_in_behind_starttls_is_thrown_away() {
    let port = proxy(rig::imap_port(), |bytes| {
        if String::from_utf8_lossy(bytes).contains("OK Begin TLS") {
            bytes.extend(b"A0001 OK you are in\r\n* 99 EXISTS\r\n");
        }
        true
    });
    let at = plain(port.await, &fresh_user());
    let mut mailbox = opened(Imap { tls: Tls::StartTls, ca_file: Some(rig::ca().into()), ..at }).await.unwrap();
    assert!(mailbox.list(None).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_dropped_mailbox_says_goodbye() {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let port = fake(move |line| {
        let _ = tell.send(line.to_owned());
        None
    })
    .await;
    drop(opened(plain(port, "u")).await.unwrap());
    let farewell = async { while told.recv().await.as_deref() != Some("LOGOUT") {} };
    timeout(GUARD, farewell).await.expect("LOGOUT was sent");
}

#[tokio::test]
async fn a_server_killed_in_the_middle_of_a_body_is_an_error_and_not_a_short_body() {
    let user = fresh_user();
    raw(&user).await.append("INBOX", &[mail(3 << 20)]).await;
    for bytes in [1_000, 1_500_000, 2_600_000] {
        let port = proxy(rig::imap_port(), cut_after(bytes)).await;
        let mut mailbox = match opened(plain(port, &user)).await {
            Ok(mailbox) => mailbox,
            Err(error) => panic!("cut after {bytes}: {error}"),
        };
        let error = timeout(GUARD, mailbox.fetch("1", LIMIT)).await.expect("no hang").unwrap_err();
        assert!(error.is_broken() && error.to_string().contains("closed the connection"), "{error}");
        let again = mailbox.fetch("1", LIMIT).await.unwrap_err();
        assert!(again.is_broken(), "{again}");
    }
}

#[tokio::test]
async fn a_server_killed_while_we_wait_is_an_error_and_not_news() {
    let port = proxy(rig::imap_port(), |bytes| !bytes.starts_with(b"+ idling")).await;
    let mut mailbox = opened(plain(port, &fresh_user())).await.unwrap();
    let error =
        timeout(GUARD, mailbox.wait(GUARD * 2, &tokio::sync::Notify::new())).await.expect("no hang").unwrap_err();
    assert!(error.is_broken(), "{error}");
    for bye in ["+ idling\r\n* BYE shutting down", "* BYE shutting down", "TAG NO not now", "+ idling\r\nTAG OK enough"]
    {
        let port = fake(move |line| (line == "IDLE").then(|| bye.into())).await;
        let mut mailbox = opened(plain(port, "u")).await.unwrap();
        let error =
            timeout(GUARD, mailbox.wait(GUARD * 2, &tokio::sync::Notify::new())).await.expect("no hang").unwrap_err();
        assert!(error.is_broken(), "{bye}: {error}");
    }
}

#[tokio::test]
async fn a_message_announced_before_the_server_says_idling_ends_the_wait() {
    let port = fake(|line| (line == "IDLE").then(|| "* 8 EXISTS\r\n+ idling".into())).await;
    let mut mailbox = opened(plain(port, "u")).await.unwrap();
    timeout(GUARD, mailbox.wait(GUARD * 2, &tokio::sync::Notify::new())).await.expect("woken").unwrap();
    let port = fake(|line| line.starts_with("UID STORE").then(|| "* 8 EXISTS\r\nTAG OK stored".into())).await;
    let mut mailbox = opened(plain(port, "u")).await.unwrap();
    mailbox.mark(&["1".into()], &After::Seen).await.unwrap();
    timeout(GUARD, mailbox.wait(GUARD * 2, &tokio::sync::Notify::new()))
        .await
        .expect("announced during another command")
        .unwrap();
}

#[tokio::test]
async fn opening_a_folder_fails_rather_than_showing_an_empty_one() {
    for (answer, words) in [
        ("CLOSE", "closed the connection"),
        ("* 0 EXISTS\r\nCLOSE", "closed the connection"),
        ("* 0 EX", "the server"),
        ("* 0 EXISTS\r\nTAG OK selected", "UIDVALIDITY"),
        ("* BYE overloaded\r\nCLOSE", "overloaded"),
        ("TAG NO locked", "locked"),
        ("TAG BAD what", "what"),
        ("OTHER1 OK selected", "another command"),
        ("* \u{0}nonsense", "no IMAP"),
    ] {
        let port = fake(move |line| line.starts_with("SELECT").then(|| answer.into())).await;
        let at = Imap { command_timeout: Span::from_secs(2), ..plain(port, "u") };
        let error = opened(at).await.err().unwrap_or_else(|| panic!("{answer} opened"));
        assert!(error.is_broken() && error.to_string().contains(words), "{answer}: {error}");
    }
}

#[tokio::test]
async fn a_failing_command_is_never_an_empty_success() {
    let size = "* 1 FETCH (UID 1 RFC822.SIZE 900 INTERNALDATE \"17-Jul-1996 02:44:25 -0700\")\r\nTAG OK done";
    for (answer, words) in [
        ("CLOSE", "closed the connection"),
        ("* BYE overloaded\r\nCLOSE", "overloaded"),
        ("TAG NO disk on fire", "disk on fire"),
        ("TAG BAD what", "what"),
        ("* 1 FETCH (UID 1 BODY[]<0> {500000000}\r\nabc", "announced 500000000 bytes"),
        ("* 1 FETCH (UID 1 BODY[]<0> {100}\r\nabc\r\nCLOSE", "closed the connection in the middle"),
        ("* 1 FETCH (UID 1 BODY[]<5> {3}\r\nabc)\r\nTAG OK done", "another range"),
        ("* 1 FETCH secret-body", "no IMAP"),
    ] {
        let port = fake(move |line| match line {
            line if line.contains("BODY.PEEK") => Some(answer.into()),
            line if line.starts_with("UID FETCH 1 ") => Some(size.into()),
            line if line.starts_with("NOOP") || line.starts_with("UID ") => Some(answer.into()),
            _ => None,
        })
        .await;
        let fetch = opened(plain(port, "u")).await.unwrap().fetch("1", LIMIT).await.unwrap_err();
        assert!(fetch.is_broken() && fetch.to_string().contains(words), "fetch, {answer}: {fetch}");
        assert!(!fetch.to_string().contains("secret-body"), "{fetch}");
        if words.contains("range") {
            continue;
        }
        let list = opened(plain(port, "u")).await.unwrap().list(None).await.unwrap_err();
        assert!(list.is_broken(), "list, {answer}: {list}");
        for after in [After::Seen, After::Keyword("k".into()), After::Move("F".into())] {
            let mark = opened(plain(port, "u")).await.unwrap().mark(&["1".into()], &after).await.unwrap_err();
            assert!(mark.is_broken(), "mark, {answer}: {mark}");
        }
    }
}

#[tokio::test]
async fn an_answer_that_makes_the_parser_panic_is_an_error() {
    let port = fake(|line| line.starts_with("UID FETCH").then(|| "* 1 FETCH (UID 1 INTERNALDATE NIL)".into())).await;
    let error = opened(plain(port, "u")).await.unwrap().list(None).await.unwrap_err();
    assert!(error.is_broken() && error.to_string().contains("no IMAP"), "{error}");
}

#[tokio::test]
async fn a_silent_server_runs_into_the_deadline_and_the_connection_is_used_no_more() {
    let port = fake(|line| line.starts_with("UID FETCH").then(String::new)).await;
    let at = Imap { command_timeout: Span::from_secs(1), ..plain(port, "u") };
    let mut mailbox = opened(at).await.unwrap();
    let error = timeout(GUARD, mailbox.list(None)).await.expect("no hang").unwrap_err();
    assert!(matches!(error, MailboxError::Timeout { secs: 1, .. }) && error.is_broken(), "{error}");
    let error = mailbox.list(None).await.unwrap_err();
    assert!(error.to_string().contains("an earlier command"), "{error}");
}

#[tokio::test]
async fn a_keyword_that_the_server_would_forget_is_refused() {
    let select = "* 1 EXISTS\r\n* OK [UIDVALIDITY 7] ok\r\n* OK [PERMANENTFLAGS (\\Seen)] limited\r\nTAG OK done";
    let port = fake(move |line| line.starts_with("SELECT").then(|| select.into())).await;
    for word in ["filed", "two words"] {
        let mut mailbox = opened(plain(port, "u")).await.unwrap();
        let error = mailbox.mark(&["1".into()], &After::Keyword(word.into())).await.unwrap_err();
        assert!(matches!(error, MailboxError::Protocol { .. }) && error.to_string().contains(word), "{error}");
    }
}
