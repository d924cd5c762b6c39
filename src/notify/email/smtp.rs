//! Outgoing mail by SMTP (RFC 5321), with connections kept open between mails.
//!
//! The commands are sent one by one rather than through lettre's transport, because its errors do not say whether the
//! content was already out: only that tells a mail that may have gone from one that has not.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use async_trait::async_trait;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt, Rset};
use lettre::transport::smtp::extension::{ClientId, Extension, MailParameter};
use lettre::transport::smtp::response::Response;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::super::compose::{Composed, compose, one_line};
use super::super::{Medium, Outgoing, SendError};
use crate::config::sections::{Tls, Transport};

/// Connections kept for the next mail.
const MAX_IDLE: usize = 4;
/// Servers close a silent connection after five minutes (RFC 5321, 4.5.3.2.7); we do earlier.
const MAX_IDLE_TIME: Duration = Duration::from_secs(60);
/// Servers refuse to take endless mails over one connection.
const MAX_MAILS: u32 = 50;
/// How long a goodbye may take after a refusal.
const GOODBYE: Duration = Duration::from_secs(2);
/// The slowest line that still gets a mail through, in bytes a second.
const SLOWEST: u64 = 20_000;

/// A server that takes our mail.
pub struct Smtp {
    host: String,
    port: u16,
    tls: Tls,
    /// None exactly when `tls` is.
    parameters: Option<TlsParameters>,
    login: Option<(String, SecretString)>,
    /// For connecting, and for the answer to each command.
    timeout: Duration,
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    connection: AsyncSmtpConnection,
    since: Instant,
    mails: u32,
}

impl Smtp {
    /// # Errors
    /// As `email`.
    pub async fn new(transport: &Transport, password: Option<SecretString>) -> anyhow::Result<Self> {
        let Transport::Smtp { host, port, tls, ca_file, user, timeout, .. } = transport else {
            bail!("this is no SMTP transport");
        };
        let login = match (user, password) {
            (Some(user), Some(password)) => Some((user.clone(), password)),
            (None, None) => None,
            (Some(user), None) => bail!("SMTP server {host}: user {user} has no password"),
            (None, Some(_)) => bail!("SMTP server {host}: there is a password, but no user"),
        };
        if *tls == Tls::None && login.is_some() && !is_this_machine(host) {
            bail!(
                "SMTP server {host}: a password goes only over TLS; set `tls = \"implicit\"` or `tls = \"starttls\"`"
            );
        }
        let parameters = match tls {
            Tls::None => None,
            Tls::Implicit | Tls::StartTls => {
                let mut builder = TlsParameters::builder(host.clone());
                if let Some(file) = ca_file {
                    let named = || format!("read certificates from {}", file.display());
                    let pem = tokio::fs::read(file).await.with_context(named)?;
                    builder = builder.add_root_certificate(Certificate::from_pem(&pem).with_context(named)?);
                }
                Some(builder.build().with_context(|| format!("set up TLS for SMTP server {host}"))?)
            }
        };
        let usual = match tls {
            Tls::Implicit => 465,
            Tls::StartTls => 587,
            Tls::None => 25,
        };
        Ok(Self {
            host: host.clone(),
            port: port.unwrap_or(usual),
            tls: *tls,
            parameters,
            login,
            timeout: Duration::from_secs(u64::from(timeout.secs.max(1))),
            idle: Mutex::new(Vec::new()),
        })
    }

    /// A connection ready for MAIL: one that was kept and still answers, or a new one.
    async fn connection(&self) -> Result<(AsyncSmtpConnection, u32), SendError> {
        loop {
            let kept = self.idle.lock().await.pop();
            let Some(mut kept) = kept else { break };
            if kept.since.elapsed() < MAX_IDLE_TIME
                && matches!(timeout(self.timeout, kept.connection.command(Rset)).await, Ok(Ok(_)))
            {
                return Ok((kept.connection, kept.mails));
            }
        }
        Ok((self.connect().await?, 0))
    }

    /// Connects, encrypts and logs in. Whatever fails here says nothing about the mail, so all of it is transient:
    /// a wrong password is mended by the admin, and the mail is still wanted then.
    async fn connect(&self) -> Result<AsyncSmtpConnection, SendError> {
        let name = ClientId::default();
        let at_once = self.parameters.clone().filter(|_| self.tls == Tls::Implicit);
        let address = (self.host.as_str(), self.port);
        let connecting = AsyncSmtpConnection::connect_tokio1(address, Some(self.timeout), &name, at_once, None);
        let mut connection = self.early("connect", connecting).await?;
        if self.tls == Tls::StartTls
            && let Some(parameters) = self.parameters.clone()
        {
            self.early("STARTTLS", connection.starttls(parameters, &name)).await?;
        }
        if let Some((user, password)) = &self.login {
            let credentials = Credentials::new(user.clone(), password.expose_secret().to_owned());
            let login = connection.auth(&[Mechanism::Plain, Mechanism::Login], &credentials);
            self.early(&format!("login as {user}"), login).await?;
        }
        Ok(connection)
    }

    async fn early<T>(&self, what: &str, step: impl Future<Output = Result<T, Error>>) -> Result<T, SendError> {
        match timeout(self.timeout, step).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => Err(SendError::transient(self.says(what, &error))),
            Err(_) => Err(SendError::transient(self.silent(what, self.timeout))),
        }
    }

    async fn deliver(&self, connection: &mut AsyncSmtpConnection, mail: &Composed) -> Result<String, SendError> {
        let international = !mail.bytes.is_ascii() || !is_ascii(&mail.from) || !is_ascii(&mail.to);
        if international && !connection.server_info().supports_feature(Extension::SmtpUtfEight) {
            let why = format!("{}:{} takes no addresses beyond ASCII (SMTPUTF8)", self.host, self.port);
            return Err(SendError::permanent(why));
        }
        let mut parameters = Vec::new();
        if international {
            parameters.push(MailParameter::SmtpUtfEight);
        }
        self.envelope("MAIL", connection.command(Mail::new(Some(mail.from.clone()), parameters))).await?;
        self.envelope("RCPT", connection.command(Rcpt::new(mail.to.clone(), Vec::new()))).await?;
        self.envelope("DATA", connection.command(Data)).await?;
        self.content(connection, &mail.bytes).await
    }

    /// Before the content: whatever fails, nothing has gone out.
    async fn envelope(&self, what: &str, step: impl Future<Output = Result<Response, Error>>) -> Result<(), SendError> {
        match timeout(self.timeout, step).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) if error.is_permanent() && !wants_login(&error) => {
                Err(SendError::permanent(self.says(what, &error)))
            }
            Ok(Err(error)) => Err(SendError::transient(self.says(what, &error))),
            Err(_) => Err(SendError::transient(self.silent(what, self.timeout))),
        }
    }

    /// The content: without an answer in so many words, the server may have taken it.
    async fn content(&self, connection: &mut AsyncSmtpConnection, bytes: &[u8]) -> Result<String, SendError> {
        let what = "the mail's content";
        let wait = self.timeout + Duration::from_secs(bytes.len() as u64 / SLOWEST);
        match timeout(wait, connection.command(Content(bytes))).await {
            Ok(Ok(response)) => Ok(receipt(&response)),
            Ok(Err(error)) if error.is_permanent() => Err(SendError::permanent(self.says(what, &error))),
            Ok(Err(error)) if error.is_transient() => Err(SendError::transient(self.says(what, &error))),
            Ok(Err(error)) => Err(SendError::unknown(self.says(what, &error))),
            Err(_) => Err(SendError::unknown(self.silent(what, wait))),
        }
    }

    fn says(&self, what: &str, error: &Error) -> String {
        format!("{what} at {}:{}: {}", self.host, self.port, one_line(&error.to_string()))
    }

    fn silent(&self, what: &str, wait: Duration) -> String {
        format!("{what} at {}:{}: no answer within {} s", self.host, self.port, wait.as_secs())
    }
}

#[async_trait]
impl Medium for Smtp {
    fn name(&self) -> &'static str {
        super::NAME
    }

    async fn send(&self, mail: &Outgoing) -> Result<String, SendError> {
        let composed = compose(mail).map_err(|error| SendError::permanent(error.to_string()))?;
        let (mut connection, mails) = self.connection().await?;
        let receipt = match self.deliver(&mut connection, &composed).await {
            Ok(receipt) => receipt,
            Err(error) => {
                // Polite where the server still listens; what it says no longer matters.
                if !error.is_unknown() {
                    let _ = timeout(GOODBYE, connection.quit()).await;
                }
                return Err(error);
            }
        };
        let mut idle = self.idle.lock().await;
        if idle.len() < MAX_IDLE && mails + 1 < MAX_MAILS {
            idle.push(Idle { connection, since: Instant::now(), mails: mails + 1 });
        }
        Ok(receipt)
    }
}

/// The mail as it goes over the wire (RFC 5321, 4.5.2), as one write: lettre's own makes two, and the second then waits
/// 40 ms for the server's delayed acknowledgement of the first.
struct Content<'a>(&'a [u8]);

impl fmt::Display for Content<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `compose` writes nothing but UTF-8, with a line break at the end.
        let text = String::from_utf8_lossy(self.0);
        let text = text.strip_suffix("\r\n").unwrap_or(&text);
        for line in text.split("\r\n") {
            let stuffing = if line.starts_with('.') { "." } else { "" };
            write!(f, "{stuffing}{line}\r\n")?;
        }
        f.write_str(".\r\n")
    }
}

/// 530, 534, 535, 538: the server wants another login (RFC 4954, 6), which is no judgement of the mail.
fn wants_login(error: &Error) -> bool {
    error.status().is_some_and(|code| matches!(u16::from(code), 530 | 534 | 535 | 538))
}

/// The server's last line, with its code: `250 2.0.0 Ok: queued as 4XyZ`.
fn receipt(response: &Response) -> String {
    one_line(&format!("{} {}", response.code(), response.message().last().unwrap_or_default()))
}

fn is_ascii(address: &lettre::Address) -> bool {
    AsRef::<str>::as_ref(address).is_ascii()
}

fn is_this_machine(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests;
