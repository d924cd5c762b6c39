//! The servers that `tests/run` starts, as seen by a test: where they are, how to send mail and to read it.
//! A missing server is a failure that says so, never a skipped test. Nothing of the product is used here.

use std::time::Duration;

use lettre::address::Envelope;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::transport::smtp::{Error, response::Response};
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// Every user of the rig logs in with it, over IMAP and SMTP.
pub const PASSWORD: &str = "secret";

/// How long `wait_for` waits: long for a loaded machine, short for a person.
const PATIENCE: Duration = Duration::from_secs(60);

fn setting(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run through tests/run"))
}

fn port(name: &str) -> u16 {
    setting(name).parse().unwrap_or_else(|_| panic!("{name} is not a port"))
}

/// The file with the certificate authority of all servers; their certificate is for `localhost` and 127.0.0.1.
pub fn ca() -> String {
    setting("CS_RIG_CA")
}

/// What Dovecot asks about tokens; see `introspection.py`.
pub fn introspection_port() -> u16 {
    port("CS_RIG_INTROSPECTION_PORT")
}

/// A directory that goes with the rig.
pub fn dir() -> String {
    setting("CS_RIG_DIR")
}

/// IMAP: plain, with STARTTLS.
pub fn imap_port() -> u16 {
    port("CS_RIG_IMAP_PORT")
}

/// IMAP over TLS.
pub fn imaps_port() -> u16 {
    port("CS_RIG_IMAPS_PORT")
}

/// LMTP straight into the mailboxes, past Postfix.
pub fn lmtp_port() -> u16 {
    port("CS_RIG_LMTP_PORT")
}

/// SMTP: plain, trusted, vouches for nobody; `bounce@rig.test` is refused with 550, here and on the others.
pub fn smtp_port() -> u16 {
    port("CS_RIG_SMTP_PORT")
}

/// SMTP with STARTTLS and login; adds `Authentication-Results: mx.rig.test; auth=pass smtp.auth=<login>; dmarc=pass ...`.
pub fn submission_port() -> u16 {
    port("CS_RIG_SUBMISSION_PORT")
}

/// The same over TLS from the start.
pub fn smtps_port() -> u16 {
    port("CS_RIG_SMTPS_PORT")
}

/// The superuser's URL; a test makes its own database with `fresh_database`.
pub fn pg_url() -> String {
    setting("CS_RIG_PG_URL")
}

/// Where PostgreSQL listens, for a proxy in front of it.
pub fn pg_port() -> u16 {
    port("CS_RIG_PG_PORT")
}

/// Where moto listens.
pub fn moto_port() -> u16 {
    port("CS_RIG_MOTO_PORT")
}

/// S3 and Secrets Manager over HTTP; any credentials.
pub fn moto_url() -> String {
    setting("CS_RIG_MOTO_URL")
}

/// clamd over TCP; it knows the EICAR test string and takes streams of 2 MiB at most.
pub fn clamd_port() -> u16 {
    port("CS_RIG_CLAMD_PORT")
}

/// The same over a Unix socket.
pub fn clamd_socket() -> String {
    setting("CS_RIG_CLAMD_SOCKET")
}

/// WebDriver; see `browser.rs`.
pub fn chromedriver_url() -> String {
    setting("CS_RIG_CHROMEDRIVER_URL")
}

/// A name that nobody used before, with an empty mailbox: `ap-3f2a...@rig.test`.
pub fn fresh_user(prefix: &str) -> String {
    format!("{prefix}-{}@rig.test", uuid::Uuid::now_v7().simple())
}

/// The URL of a new, empty PostgreSQL database; it goes with the rig.
pub async fn fresh_database() -> String {
    let (url, name) = (pg_url(), format!("t{}", uuid::Uuid::now_v7().simple()));
    let mut admin = PgConnection::connect(&url).await.expect("connect to the rig's PostgreSQL");
    let statement = format!("create database {name}");
    sqlx::query(AssertSqlSafe(statement)).execute(&mut admin).await.expect("create a database");
    url.replacen("/postgres?", &format!("/{name}?"), 1)
}

/// Sends `raw` (lines end with CRLF) as it is. The port decides about TLS; `login` is a user's full name and, on the
/// ports that want one, must own `from`. An empty `from` is the null sender of bounces and auto-replies.
pub async fn send(port: u16, login: Option<&str>, raw: &[u8], from: &str, to: &str) -> Result<Response, Error> {
    let tls = || {
        let ca = std::fs::read(ca()).expect("read CS_RIG_CA");
        let parameters = TlsParameters::builder("localhost".into()).certificate_store(CertificateStore::None);
        parameters.add_root_certificate(Certificate::from_pem(&ca)?).build()
    };
    let security = match port {
        _ if port == smtps_port() => Tls::Wrapper(tls()?),
        _ if port == submission_port() => Tls::Required(tls()?),
        _ => Tls::None,
    };
    let mut smtp = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous("localhost").port(port).tls(security);
    if let Some(user) = login {
        smtp = smtp.credentials(Credentials::new(user.into(), PASSWORD.into()));
    }
    let address = |text: &str| text.parse().unwrap_or_else(|_| panic!("not an address: {text}"));
    let from = (!from.is_empty()).then(|| address(from));
    let envelope = Envelope::new(from, vec![address(to)]).expect("an envelope");
    // lettre ends the last line itself, whether or not that was done.
    smtp.build().send_raw(&envelope, raw.strip_suffix(b"\r\n").unwrap_or(raw)).await
}

/// All mails in the INBOX of `user`, oldest first, byte for byte; changes no flag.
pub async fn inbox(user: &str) -> Vec<Vec<u8>> {
    folder(user, "INBOX").await.expect("an INBOX")
}

/// The same for any folder; None where it does not exist.
pub async fn folder(user: &str, name: &str) -> Option<Vec<Vec<u8>>> {
    let mut imap = Imap::login(user).await;
    if !imap.command(&format!("examine {name}")).await.ok {
        return None;
    }
    let answer = imap.command("uid fetch 1:* body.peek[]").await;
    assert!(answer.ok, "fetch from {name} of {user}");
    Some(answer.literals)
}

/// As little IMAP as the reading above needs: commands without literals, answers line by line.
struct Imap(BufReader<TcpStream>);

struct Answer {
    ok: bool,
    literals: Vec<Vec<u8>>,
}

impl Imap {
    async fn login(user: &str) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", imap_port())).await.expect("connect to the rig's Dovecot");
        let mut imap = Self(BufReader::new(stream));
        imap.line().await;
        assert!(imap.command(&format!("login {user} {PASSWORD}")).await.ok, "log in as {user}");
        imap
    }

    async fn command(&mut self, text: &str) -> Answer {
        self.0.write_all(format!("a {text}\r\n").as_bytes()).await.expect("write to IMAP");
        let mut literals = Vec::new();
        loop {
            let line = self.line().await;
            if let Some(status) = line.strip_prefix("a ") {
                return Answer { ok: status.starts_with("OK"), literals };
            }
            if let Some((_, size)) = line.trim_end().strip_suffix('}').and_then(|line| line.rsplit_once('{')) {
                let mut literal = vec![0; size.parse().expect("the size of a literal")];
                self.0.read_exact(&mut literal).await.expect("read a literal");
                literals.push(literal);
            }
        }
    }

    async fn line(&mut self) -> String {
        let mut line = Vec::new();
        let read = self.0.read_until(b'\n', &mut line).await.expect("read from IMAP");
        assert!(read > 0, "the IMAP server hung up");
        String::from_utf8_lossy(&line).into_owned()
    }
}

/// Asks `probe` until it has something, and gives that; after a minute panics with `what` was awaited.
/// The one place in the tests that sleeps.
pub async fn wait_for<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain for {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A forged mail of `from`, claiming that the border had authenticated it, and with an attached mail that is not ours.
fn forged(from: &str, to: &str) -> String {
    format!(
        "Authentication-Results: mx.rig.test;\r\n dmarc=pass header.from=rig.test\r\n\
         Authentication-Results: other.test; dmarc=fail header.from=rig.test\r\n\
         From: {from}\r\nTo: {to}\r\nSubject: forged\r\nContent-Type: message/rfc822\r\n\r\n\
         Authentication-Results: mx.rig.test; dkim=none\r\nSubject: inner\r\n\r\n.dots and body\r\n"
    )
}

/// Sends the forged mail; gives the lines of the delivered one that speak of authentication.
async fn delivered(port: u16, login: Option<&str>, from: &str) -> Vec<String> {
    let to = fresh_user("ap");
    send(port, login, forged(from, &to).as_bytes(), from, &to).await.expect("send");
    let mail = wait_for("the mail", async || inbox(&to).await.pop()).await;
    let text = String::from_utf8(mail).expect("the mail as text");
    assert!(text.ends_with("\r\n.dots and body\r\n"), "{text}");
    text.lines().filter(|line| line.contains("-Results") || line.contains("dmarc=")).map(str::to_owned).collect()
}

/// What stays of the forged mail on every port.
const HARMLESS: [&str; 2] = [
    "Authentication-Results: other.test; dmarc=fail header.from=rig.test",
    "Authentication-Results: mx.rig.test; dkim=none",
];

#[tokio::test]
async fn trusted_port_vouches_for_nobody_and_drops_forged_results() {
    assert_eq!(delivered(smtp_port(), None, &fresh_user("eve")).await, HARMLESS);
}

#[tokio::test]
async fn login_ports_vouch_for_the_login_only() {
    for port in [submission_port(), smtps_port()] {
        let bob = fresh_user("bob");
        let results = delivered(port, Some(&bob), &bob).await;
        let passed = format!("auth=pass smtp.auth={bob}; dmarc=pass header.from=rig.test");
        let genuine = format!("Authentication-Results: mx.rig.test; {passed}");
        assert_eq!(results, [&genuine, HARMLESS[0], HARMLESS[1]]);
        assert!(send(port, None, b"\r\n", &bob, &bob).await.is_err(), "sent without a login");
        let refused = send(port, Some(&bob), b"\r\n", "eve@rig.test", &bob).await.expect_err("another's address");
        assert!(refused.is_permanent(), "{refused}");
    }
}

#[tokio::test]
async fn refused_recipient_gets_550() {
    let error = send(smtp_port(), None, b"\r\n", "", "bounce@rig.test").await.expect_err("bounce@rig.test");
    assert_eq!(error.status().map(|code| code.to_string()), Some("550".into()), "{error}");
}

#[tokio::test]
async fn mail_for_an_address_extension_lands_in_the_inbox() {
    let user = fresh_user("ap");
    assert_eq!(inbox(&user).await, Vec::<Vec<u8>>::new());
    assert_eq!(folder(&user, "Processed").await, None);
    let tagged = user.replace('@', "+k7token@");
    send(smtp_port(), None, b"Subject: tagged\r\n\r\nbody\r\n", "", &tagged).await.expect("send");
    let mail = wait_for("the tagged mail", async || inbox(&user).await.pop()).await;
    let text = String::from_utf8_lossy(&mail);
    assert!(text.contains("Subject: tagged") && text.contains(&format!("Delivered-To: {tagged}")), "{text}");
}

#[tokio::test]
async fn every_server_listens() {
    for port in [imap_port(), imaps_port(), lmtp_port()] {
        TcpStream::connect(("127.0.0.1", port)).await.expect("a port of Dovecot");
    }
    let moto = reqwest::get(moto_url()).await.expect("moto");
    assert!(moto.status().is_success(), "{}", moto.status());
}

#[tokio::test]
async fn fresh_databases_are_apart_and_empty() {
    let (one, two) = (fresh_database().await, fresh_database().await);
    assert_ne!(one, two);
    for url in [one, two] {
        let mut connection = PgConnection::connect(&url).await.expect("connect");
        let tables: i64 = sqlx::query_scalar("select count(*) from pg_tables where schemaname = 'public'")
            .fetch_one(&mut connection)
            .await
            .expect("count tables");
        assert_eq!(tables, 0);
        sqlx::query("create table t (id int)").execute(&mut connection).await.expect("create a table");
    }
}
