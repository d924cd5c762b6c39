//! Mail out by a real Postfix, read back from the recipient's mailbox in a real Dovecot.

use std::time::Duration;

use chrono::{TimeZone, Utc};
use countersign::config::sections::{self, Tls, Transport};
use countersign::domain::duration::Span;
use countersign::domain::ids::NoticeId;
use countersign::domain::person::Address;
use countersign::notify::{Auto, Failing, File, Medium, Outgoing, SendError, email::email};
use mail_parser::{MessageParser, MimeHeaders};
use secrecy::SecretString;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

fn setting(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run through tests/run"))
}

fn port(name: &str) -> u16 {
    setting(name).parse().unwrap_or_else(|_| panic!("{name} is not a port"))
}

fn fresh_user(prefix: &str) -> String {
    format!("{prefix}-{}@rig.test", uuid::Uuid::now_v7().simple())
}

/// The medium for one of the rig's ports, logged in as `user` where there is one.
async fn medium(port: u16, tls: Tls, ca: bool, login: Option<(&str, &str)>) -> Box<dyn Medium> {
    let outgoing = sections::Outgoing {
        from: "Countersign <ap@rig.test>".into(),
        transport: Transport::Smtp {
            host: "localhost".into(),
            port: Some(port),
            tls,
            ca_file: ca.then(|| setting("CS_RIG_CA").into()),
            user: login.map(|(user, _)| user.to_owned()),
            password: None,
            timeout: Span::from_secs(20),
        },
    };
    email(&outgoing, login.map(|(_, password)| SecretString::from(password))).await.unwrap()
}

fn mail(from: &str, to: &str) -> Outgoing {
    let id = NoticeId::new();
    Outgoing {
        id,
        from: Address::named("Countersign für Größe", from),
        to: Address::named("Łukasz \"Luke\" Ćwikła", to),
        reply_to: Some(Address::new("ap+t0ken@rig.test")),
        message_id: format!("{id}@rig.test"),
        in_reply_to: Some("earlier@rig.test".into()),
        references: vec!["first@rig.test".into()],
        subject: "Rechnung 4711 über 4.760,00 € freigeben?".into(),
        text: "Hello\n.\nWorld\n".into(),
        html: Some("<p>Hello &amp; World</p>".into()),
        attachments: vec![File {
            name: "Größe.pdf".into(),
            content_type: "application/pdf".into(),
            bytes: (0..=255).cycle().take(100_000).collect(),
        }],
        auto: Auto::Generated,
        date: Utc.with_ymd_and_hms(2026, 11, 22, 9, 30, 0).unwrap(),
    }
}

/// Sends over `medium` and checks what the recipient's mailbox then holds.
async fn arrives_whole(medium: &dyn Medium, from: &str) {
    let to = fresh_user("olivia");
    let sent = mail(from, &to);
    let receipt = medium.send(&sent).await.unwrap();
    assert!(receipt.starts_with("250 2.0.0 Ok: queued as "), "{receipt}");
    let raw = delivered(&to).await;
    let came = MessageParser::default().parse(&raw).unwrap();
    assert_eq!(came.return_address(), Some(from));
    assert_eq!(came.from().unwrap().first().unwrap().name(), sent.from.name.as_deref());
    assert_eq!(came.to().unwrap().first().unwrap().name(), sent.to.name.as_deref());
    assert_eq!(came.reply_to().unwrap().first().unwrap().address(), Some("ap+t0ken@rig.test"));
    assert_eq!(came.message_id(), Some(sent.message_id.as_str()));
    assert_eq!(came.in_reply_to().as_text(), Some("earlier@rig.test"));
    assert_eq!(came.subject(), Some(sent.subject.as_str()));
    assert_eq!(came.body_text(0).unwrap(), "Hello\r\n.\r\nWorld\r\n");
    assert_eq!(came.body_html(0).unwrap(), "<p>Hello &amp; World</p>");
    assert_eq!(came.attachment(0).unwrap().contents(), sent.attachments[0].bytes);
    assert_eq!(came.attachment(0).unwrap().attachment_name(), Some("Größe.pdf"));
    let header = |name: &str| came.header_raw(name).map(|value| value.trim().to_owned());
    assert_eq!(header("Auto-Submitted").as_deref(), Some("auto-generated"));
    assert_eq!(header("X-Countersign-Notice"), Some(sent.id.to_string()));
}

#[tokio::test]
async fn mail_arrives_whole_by_every_kind_of_connection() {
    let plain = medium(port("CS_RIG_SMTP_PORT"), Tls::None, false, None).await;
    arrives_whole(plain.as_ref(), "ap@rig.test").await;
    arrives_whole(plain.as_ref(), "ap@rig.test").await;
    for (name, tls) in [("CS_RIG_SUBMISSION_PORT", Tls::StartTls), ("CS_RIG_SMTPS_PORT", Tls::Implicit)] {
        let user = fresh_user("ap");
        let medium = medium(port(name), tls, true, Some((&user, "secret"))).await;
        arrives_whole(medium.as_ref(), &user).await;
    }
}

/// What sending one mail fails with.
async fn failure(medium: Box<dyn Medium>, from: &str, to: &str) -> SendError {
    medium.send(&mail(from, to)).await.unwrap_err()
}

#[tokio::test]
async fn a_wrong_password_is_tried_again_later_and_stays_unsaid() {
    for (name, tls) in [("CS_RIG_SUBMISSION_PORT", Tls::StartTls), ("CS_RIG_SMTPS_PORT", Tls::Implicit)] {
        let user = fresh_user("ap");
        let medium = medium(port(name), tls, true, Some((&user, "wr0ng-pa55"))).await;
        let error = failure(medium, &user, &fresh_user("olivia")).await;
        assert!(error.is_transient(), "{error}");
        assert!(error.why.contains("535") && error.why.contains(&user) && !error.why.contains("pa55"), "{error}");
    }
}

#[tokio::test]
async fn a_refused_recipient_is_refused_for_good_and_the_next_mail_goes() {
    let medium = medium(port("CS_RIG_SMTP_PORT"), Tls::None, false, None).await;
    let error = medium.send(&mail("ap@rig.test", "bounce@rig.test")).await.unwrap_err();
    assert_eq!(error.kind, Failing::Permanent, "{error}");
    assert!(error.why.starts_with("RCPT at localhost:"), "{error}");
    arrives_whole(medium.as_ref(), "ap@rig.test").await;
}

#[tokio::test]
async fn a_server_that_is_gone_is_tried_again_later() {
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let error = failure(medium(free, Tls::None, false, None).await, "ap@rig.test", "olivia@rig.test").await;
    assert!(error.is_transient() && error.why.contains(&format!("connect at localhost:{free}")), "{error}");
}

#[tokio::test]
async fn a_certificate_of_nobody_we_know_and_a_server_without_tls_get_no_mail() {
    let to = fresh_user("olivia");
    for (name, tls, ca) in [
        ("CS_RIG_SMTPS_PORT", Tls::Implicit, false),
        ("CS_RIG_SUBMISSION_PORT", Tls::StartTls, false),
        ("CS_RIG_SMTP_PORT", Tls::StartTls, false),
    ] {
        let user = fresh_user("ap");
        let error = failure(medium(port(name), tls, ca, Some((&user, "secret"))).await, &user, &to).await;
        assert!(error.is_transient(), "{name}: {error}");
        let at = error.why.split(':').next().unwrap_or_default().to_owned();
        assert!(["connect at localhost", "STARTTLS at localhost"].contains(&at.as_str()), "{name}: {error}");
    }
}

/// The first mail in a user's INBOX, once it is there.
async fn delivered(user: &str) -> Vec<u8> {
    let look = async {
        let stream = TcpStream::connect(("127.0.0.1", port("CS_RIG_IMAP_PORT"))).await.expect("the rig's Dovecot");
        let mut imap = BufReader::new(stream);
        for command in [format!("a login {user} secret"), "a select inbox".into()] {
            ask(&mut imap, &command).await;
        }
        // The server says when a mail has come (RFC 2177); it may have said so with the answer already.
        loop {
            let (mail, grew) = ask(&mut imap, "a uid fetch 1 body.peek[]").await;
            match mail {
                Some(mail) => return mail,
                None if grew => continue,
                None => imap.write_all(b"a idle\r\n").await.unwrap(),
            }
            while !line(&mut imap).await.contains("EXISTS") {}
            ask(&mut imap, "done").await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), look).await.expect("a mail within a minute")
}

/// Runs a command to its tagged answer, which must be OK; gives the literal that came with it, and whether the folder grew.
async fn ask(imap: &mut BufReader<TcpStream>, command: &str) -> (Option<Vec<u8>>, bool) {
    imap.write_all(format!("{command}\r\n").as_bytes()).await.unwrap();
    let (mut literal, mut grew) = (None, false);
    loop {
        let line = line(imap).await;
        grew |= line.contains(" EXISTS");
        if let Some(status) = line.strip_prefix("a ") {
            assert!(status.starts_with("OK"), "{command}: {line}");
            return (literal, grew);
        }
        if let Some((_, size)) = line.trim_end().strip_suffix('}').and_then(|line| line.rsplit_once('{')) {
            let mut bytes = vec![0; size.parse().unwrap()];
            imap.read_exact(&mut bytes).await.unwrap();
            literal = Some(bytes);
        }
    }
}

async fn line(imap: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    assert_ne!(imap.read_line(&mut line).await.unwrap(), 0, "the IMAP server hung up");
    line
}
