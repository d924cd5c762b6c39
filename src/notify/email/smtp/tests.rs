//! A server in this process answers as each test wants; real servers are in `tests/it/outgoing.rs`.

use std::sync::{Arc, Mutex as StdMutex};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::super::super::Failing;
use super::super::super::compose::tests::sample;
use super::*;
use crate::config::secret::SecretRef;
use crate::domain::duration::Span;

/// What the server does instead of its usual answer.
#[derive(Clone, Copy)]
enum Does {
    Says(&'static str),
    Closes,
    KeepsSilent,
}

/// Answers `when` (a verb, `GREETING` or `CONTENT`) as told and everything else well.
struct Fake {
    port: u16,
    /// Every line that came in, over all connections; `CONNECT` begins one.
    heard: Arc<StdMutex<Vec<String>>>,
}

impl Fake {
    async fn start(when: &'static str, does: Does) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::new(StdMutex::new(Vec::new()));
        let told = heard.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, when, does, told.clone()));
            }
        });
        Self { port, heard }
    }

    fn heard(&self, start: &str) -> usize {
        self.heard.lock().unwrap().iter().filter(|line| line.starts_with(start)).count()
    }

    async fn medium(&self, user: Option<&str>) -> Smtp {
        let password = user.map(|_| SecretString::from("pa55word"));
        Smtp::new(&transport("127.0.0.1", self.port, Tls::None, user), password).await.unwrap()
    }
}

fn transport(host: &str, port: u16, tls: Tls, user: Option<&str>) -> Transport {
    Transport::Smtp {
        host: host.into(),
        port: Some(port),
        tls,
        ca_file: None,
        user: user.map(str::to_owned),
        password: user.map(|_| SecretRef::Env("UNUSED".into())),
        timeout: Span::from_secs(1),
    }
}

async fn serve(client: TcpStream, when: &str, does: Does, heard: Arc<StdMutex<Vec<String>>>) {
    let hear = |line: &str| heard.lock().unwrap().push(line.to_owned());
    let mut client = BufReader::new(client);
    let mut line = "GREETING".to_owned();
    let mut content = false;
    hear("CONNECT");
    loop {
        let answer = match line.split(' ').next().unwrap_or_default() {
            verb if verb == when => match does {
                Does::Says(words) => Some(words),
                Does::Closes => return,
                Does::KeepsSilent => None,
            },
            "GREETING" => Some("220 fake"),
            "EHLO" => Some("250-fake\r\n250 AUTH PLAIN"),
            "DATA" => Some("354 go on"),
            "CONTENT" => Some("250 2.0.0 Ok: queued as 7"),
            "QUIT" => Some("221 bye"),
            _ => Some("250 ok"),
        };
        if let Some(answer) = answer {
            content = answer.starts_with("354");
            client.write_all(format!("{answer}\r\n").as_bytes()).await.unwrap();
        }
        loop {
            line.clear();
            if client.read_line(&mut line).await.unwrap_or(0) == 0 {
                return;
            }
            let end = line.trim_end_matches("\r\n").len();
            line.truncate(end);
            hear(&line);
            if !content {
                break;
            }
            if line == "." {
                line = "CONTENT".into();
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_mail_that_is_taken_gives_the_servers_last_line_as_receipt() {
    let fake = Fake::start("", Does::Closes).await;
    let mut mail = sample();
    mail.text = "one\n.two\n..\n".into();
    assert_eq!(fake.medium(None).await.send(&mail).await.unwrap(), "250 2.0.0 Ok: queued as 7");
    let heard = fake.heard.lock().unwrap().clone();
    let (start, end) = (position(&heard, "DATA") + 1, position(&heard, "."));
    let came: String = heard[start..end].iter().map(|l| format!("{}\r\n", l.strip_prefix('.').unwrap_or(l))).collect();
    assert!(came.starts_with("From: ") && came.ends_with("\r\n\r\none\r\n.two\r\n..\r\n"), "{came}");
    assert_eq!(heard[start - 3..start - 1], ["MAIL FROM:<ap@acme.example>", "RCPT TO:<olivia@acme.example>"]);
}

fn position(heard: &[String], line: &str) -> usize {
    heard.iter().position(|heard| heard == line).unwrap()
}

#[tokio::test]
async fn what_fails_and_when_decides_what_the_next_attempt_means() {
    use Does::{Closes, KeepsSilent, Says};
    use Failing::{Permanent, Transient, Unknown};
    for (when, does, kind, said) in [
        ("GREETING", Says("554 no service"), Transient, "connect at"),
        ("GREETING", Closes, Transient, "connect at"),
        ("GREETING", KeepsSilent, Transient, "no answer within 1 s"),
        ("EHLO", Says("421 too many connections"), Transient, "too many connections"),
        ("MAIL", Says("451 busy"), Transient, "MAIL at"),
        ("MAIL", Says("530 5.7.0 authentication required"), Transient, "authentication required"),
        ("MAIL", Says("550 we do not like you"), Permanent, "we do not like you"),
        ("RCPT", Says("450 greylisted"), Transient, "greylisted"),
        ("RCPT", Says("550-5.1.1 no\r\n550 5.1.1 such user"), Permanent, "5.1.1 no such user"),
        ("RCPT", Closes, Transient, "RCPT at"),
        ("RCPT", KeepsSilent, Transient, "RCPT at"),
        ("DATA", Says("554 no"), Permanent, "DATA at"),
        ("DATA", Closes, Transient, "DATA at"),
        ("CONTENT", Says("452 disk full"), Transient, "disk full"),
        ("CONTENT", Says("552 too large"), Permanent, "too large"),
        ("CONTENT", Says("what?"), Unknown, "the mail's content at"),
        ("CONTENT", Closes, Unknown, "the mail's content at"),
        ("CONTENT", KeepsSilent, Unknown, "no answer within 1 s"),
    ] {
        let fake = Fake::start(when, does).await;
        let error = fake.medium(None).await.send(&sample()).await.unwrap_err();
        assert_eq!(error.kind, kind, "{when}: {error}");
        assert!(error.why.contains(said) && error.why.contains(&fake.port.to_string()), "{when}: {error}");
    }
}

#[tokio::test]
async fn a_refused_login_is_tried_again_later_and_names_no_password() {
    let fake = Fake::start("AUTH", Does::Says("535 5.7.8 authentication failed")).await;
    let error = fake.medium(Some("ap")).await.send(&sample()).await.unwrap_err();
    assert!(error.is_transient() && error.why.contains("login as ap") && error.why.contains("5.7.8"), "{error}");
    // The second is how the password goes over the wire: base64 of `\0ap\0pa55word`.
    assert!(!error.why.contains("pa55word") && !error.why.contains("AGFwAHBhNTV3b3Jk"), "{error}");
    assert_eq!(fake.heard("AUTH PLAIN AGFwAHBhNTV3b3Jk"), 1);
}

#[tokio::test]
async fn mails_share_a_connection_until_it_is_worn_out_or_gone() {
    let fake = Fake::start("", Does::Closes).await;
    let medium = fake.medium(None).await;
    for _ in 0..=MAX_MAILS {
        medium.send(&sample()).await.unwrap();
    }
    assert_eq!((fake.heard("CONNECT"), fake.heard("MAIL")), (2, MAX_MAILS as usize + 1));

    let forgetful = Fake::start("RSET", Does::Closes).await;
    let medium = forgetful.medium(None).await;
    medium.send(&sample()).await.unwrap();
    medium.send(&sample()).await.unwrap();
    assert_eq!((forgetful.heard("CONNECT"), forgetful.heard("MAIL")), (2, 2));
}

#[tokio::test]
async fn an_address_beyond_ascii_needs_a_server_that_takes_it() {
    let fake = Fake::start("", Does::Closes).await;
    let mut mail = sample();
    mail.to = crate::domain::person::Address::new("jörg@acme.example");
    let error = fake.medium(None).await.send(&mail).await.unwrap_err();
    assert!(error.kind == Failing::Permanent && error.why.contains("SMTPUTF8"), "{error}");
    let able = Fake::start("EHLO", Does::Says("250-fake\r\n250-8BITMIME\r\n250 SMTPUTF8")).await;
    able.medium(None).await.send(&mail).await.unwrap();
    assert_eq!(able.heard("MAIL FROM:<ap@acme.example> SMTPUTF8"), 1);
}

#[tokio::test]
async fn a_login_that_cannot_work_or_would_be_overheard_is_refused_at_start() {
    let check = async |host: &str, tls: Tls, user: Option<&str>, password: Option<&str>, said: &str| {
        let made = Smtp::new(&transport(host, 1, tls, user), password.map(SecretString::from)).await;
        let error = made.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains(said) && !error.contains("pa55"), "{error}");
    };
    check("mx.acme.example", Tls::None, Some("ap"), Some("pa55"), "a password goes only over TLS").await;
    check("mx.acme.example", Tls::Implicit, Some("ap"), None, "user ap has no password").await;
    check("mx.acme.example", Tls::Implicit, None, Some("pa55"), "there is a password, but no user").await;
    check("localhost", Tls::None, Some("ap"), Some("pa55"), "").await;
    let mut unreadable = transport("mx.acme.example", 1, Tls::Implicit, None);
    if let Transport::Smtp { ca_file, .. } = &mut unreadable {
        *ca_file = Some("/nowhere/ca.pem".into());
    }
    let error = Smtp::new(&unreadable, None).await.err().unwrap().to_string();
    assert_eq!(error, "read certificates from /nowhere/ca.pem");
}
