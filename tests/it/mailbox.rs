//! The IMAP mailbox against a real Dovecot.

use std::time::Duration;

use countersign::config::sections::{After, Imap, Tls};
use countersign::mailbox::{Listed, MailboxError};
use tokio::time::timeout;

use crate::imap_rig::{GUARD, LIMIT, encrypted, fresh_user, mail, opened, plain, proxy, raw};
use crate::rig;

fn uids(listed: &[Listed]) -> Vec<String> {
    listed.iter().map(|one| one.uid.clone()).collect()
}

#[tokio::test]
async fn messages_are_listed_read_and_marked_over_every_kind_of_tls() {
    let starttls =
        |user: &str| Imap { tls: Tls::StartTls, ca_file: Some(rig::ca().into()), ..plain(rig::imap_port(), user) };
    let bare = |user: &str| plain(rig::imap_port(), user);
    for at in [&encrypted as &dyn Fn(&str) -> Imap, &starttls, &bare] {
        let user = fresh_user();
        let mut raw = raw(&user).await;
        let bodies = [mail(500), mail(70_000), b"x".to_vec()];
        raw.append("INBOX", &bodies).await;
        let mut mailbox = opened(at(&user)).await.unwrap();
        assert_ne!(mailbox.uid_validity(), 0);
        let listed = mailbox.list(None).await.unwrap();
        assert_eq!(uids(&listed), ["1", "2", "3"]);
        for (one, body) in listed.iter().zip(&bodies) {
            assert_eq!(one.size_bytes, body.len() as u64);
            assert!(one.received_at.is_some());
            assert_eq!(&mailbox.fetch(&one.uid, LIMIT).await.unwrap(), body);
        }
        assert!(!raw.flags(1).await.contains("Seen"), "reading flagged");
        for _repeat in 0..2 {
            mailbox.mark(&["1".into(), "99".into()], &After::Seen).await.unwrap();
            mailbox.mark(&["2".into()], &After::Keyword("$Filed".into())).await.unwrap();
        }
        assert!(raw.flags(1).await.contains("\\Seen"));
        assert!(raw.flags(2).await.contains("$Filed") && !raw.flags(2).await.contains("Seen"));
        assert!(!raw.flags(3).await.contains("Seen"));
    }
}

#[tokio::test]
async fn only_what_is_above_the_high_water_uid_is_listed_even_though_the_server_always_names_the_last() {
    let user = fresh_user();
    let mut raw = raw(&user).await;
    let mut mailbox = opened(encrypted(&user)).await.unwrap();
    assert!(mailbox.list(None).await.unwrap().is_empty());
    raw.append("INBOX", &[mail(300), mail(300), mail(300)]).await;
    assert_eq!(uids(&mailbox.list(Some("1")).await.unwrap()), ["2", "3"]);
    assert!(mailbox.list(Some("3")).await.unwrap().is_empty());
    assert!(mailbox.list(Some("4294967295")).await.unwrap().is_empty());
}

#[tokio::test]
async fn large_messages_arrive_byte_for_byte_and_too_large_ones_are_refused_unread() {
    let user = fresh_user();
    let bodies = [mail(3_000_001), mail(26 << 20), mail(1 << 20)];
    raw(&user).await.append("INBOX", &bodies).await;
    let mut mailbox = opened(encrypted(&user)).await.unwrap();
    for (uid, body) in ["1", "2", "3"].into_iter().zip(&bodies) {
        let fetched = mailbox.fetch(uid, LIMIT).await.unwrap();
        assert!(fetched == *body, "uid {uid}: {} bytes of {} differ", fetched.len(), body.len());
    }
    let error = mailbox.fetch("2", 25 << 20).await.unwrap_err();
    assert!(matches!(error, MailboxError::TooLarge { size_bytes, .. } if size_bytes == 26 << 20), "{error}");
    assert!(!error.is_broken());
    assert!(matches!(mailbox.fetch("77", LIMIT).await, Err(MailboxError::Gone { .. })));
    assert_eq!(mailbox.fetch("1", LIMIT).await.unwrap().len(), 3_000_001, "the connection is still good");
}

#[tokio::test]
async fn a_message_expunged_by_somebody_else_is_gone() {
    let user = fresh_user();
    let mut raw = raw(&user).await;
    raw.append("INBOX", &[mail(300), mail(400)]).await;
    let mut mailbox = opened(encrypted(&user)).await.unwrap();
    mailbox.list(None).await.unwrap();
    raw.run("STORE 1 +FLAGS (\\Deleted)").await;
    raw.run("EXPUNGE").await;
    let error = mailbox.fetch("1", LIMIT).await.unwrap_err();
    assert!(matches!(error, MailboxError::Gone { .. }), "{error}");
    assert_eq!(mailbox.fetch("2", LIMIT).await.unwrap(), mail(400));
}

#[tokio::test]
async fn two_thousand_scattered_messages_are_marked_at_once() {
    let user = fresh_user();
    let mut raw = raw(&user).await;
    raw.append("INBOX", &vec![mail(100); 4_000]).await;
    let mut mailbox = opened(encrypted(&user)).await.unwrap();
    let odd: Vec<String> = uids(&mailbox.list(None).await.unwrap()).into_iter().step_by(2).collect();
    assert_eq!(odd.len(), 2_000);
    mailbox.mark(&odd, &After::Seen).await.unwrap();
    assert_eq!(raw.count("SEARCH SEEN").await, 2_000);
    assert!(raw.flags(3_999).await.contains("Seen") && !raw.flags(4_000).await.contains("Seen"));
}

#[tokio::test]
async fn messages_move_to_a_folder_that_is_made_for_them() {
    let without_move = proxy(rig::imap_port(), |bytes| {
        if let Some(at) = bytes.windows(5).position(|window| window == b" MOVE") {
            bytes[at + 1] = b'X';
        }
        true
    });
    for port in [rig::imap_port(), without_move.await] {
        let user = fresh_user();
        let mut raw = raw(&user).await;
        raw.append("INBOX", &[mail(300), mail(301), mail(302)]).await;
        raw.run("STORE 3 +FLAGS (\\Deleted)").await;
        let mut mailbox = opened(plain(port, &user)).await.unwrap();
        for _repeat in 0..2 {
            mailbox.mark(&["1".into(), "2".into()], &After::Move("Erledigt März".into())).await.unwrap();
        }
        // What somebody else marked as deleted is not ours to expunge.
        assert_eq!(uids(&mailbox.list(None).await.unwrap()), ["3"]);
        let mut moved = opened(Imap { folder: "Erledigt März".into(), ..plain(port, &user) }).await.unwrap();
        assert_eq!(moved.list(None).await.unwrap().len(), 2);
        assert_eq!(moved.fetch("2", LIMIT).await.unwrap(), mail(301));
        raw.run("SELECT \"Erledigt M&AOQ-rz\"").await;
        assert!(!raw.flags(1).await.contains("Deleted"));
    }
}

#[tokio::test]
async fn a_folder_with_an_umlaut_is_opened_by_its_utf7_name() {
    let user = fresh_user();
    let mut raw = raw(&user).await;
    raw.run("CREATE \"Entw&APw-rfe &- mehr\"").await;
    raw.append("Entw&APw-rfe &- mehr", &[mail(300)]).await;
    let mut mailbox = opened(Imap { folder: "Entwürfe & mehr".into(), ..encrypted(&user) }).await.unwrap();
    assert_eq!(mailbox.list(None).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_new_message_ends_the_wait() {
    let user = fresh_user();
    let mut raw = raw(&user).await;
    let mut mailbox = opened(encrypted(&user)).await.unwrap();
    for round in 1..=2 {
        assert_eq!(mailbox.list(None).await.unwrap().len(), round - 1);
        let body = [mail(300)];
        let never = tokio::sync::Notify::new();
        let (waited, ()) = tokio::join!(timeout(GUARD, mailbox.wait(GUARD * 2, &never)), raw.append("INBOX", &body));
        waited.expect("woken by the message").unwrap();
        assert_eq!(mailbox.list(None).await.unwrap().len(), round);
    }
    timeout(GUARD, mailbox.wait(Duration::from_millis(10), &tokio::sync::Notify::new()))
        .await
        .expect("the wait ends by itself")
        .unwrap();
    assert_eq!(mailbox.list(Some("1")).await.unwrap().len(), 1, "the connection is good after a wait without news");
}

#[tokio::test]
async fn a_missing_folder_is_named() {
    let error = opened(Imap { folder: "Größe".into(), ..encrypted(&fresh_user()) }).await.err().unwrap();
    assert!(
        matches!(error, MailboxError::Protocol { .. }) && error.to_string().contains("open folder Größe"),
        "{error}"
    );
    assert!(error.to_string().contains("exist"), "the server's words: {error}");
}
