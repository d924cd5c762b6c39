//! From a configured server to a logged-in `Wire`: TCP, TLS (implicit, STARTTLS or none), greeting; then `login`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_imap::Client;
use async_imap::error::Error;
use imap_proto::{Response, Status};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use secrecy::SecretString;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::MailboxError;
use super::guard::{Guard, Socket};
use super::login::login;
use super::wire::{CLOSED, Wire, error_words, io_words, words};
use crate::config::sections::{Imap, Tls};

/// Connects and logs in with a password or token. Every stage has `command_timeout`. All that fails before the login is `Unreachable`.
pub(super) async fn connect(at: &Imap, secret: &SecretString) -> Result<Wire, MailboxError> {
    let port = at.port.unwrap_or(if at.tls == Tls::Implicit { 993 } else { 143 });
    let server =
        Server { name: format!("{}:{port}", at.host), limit: Duration::from_secs(at.command_timeout.secs.into()) };
    let tcp = server.within(TcpStream::connect((at.host.as_str(), port))).await?;
    let _ = tcp.set_nodelay(true);
    let client = match at.tls {
        Tls::Implicit => server.greeted(server.encrypt(at, tcp).await?).await?,
        Tls::StartTls => {
            let mut plain = server.greeted(tcp).await?;
            server.within(plain.run_command_and_check_ok("STARTTLS", None)).await?;
            // Whatever came after the OK in clear text goes away with the old client's buffer: it may be an attacker's.
            let tls = server.encrypt(at, plain.into_inner().into_inner()).await?;
            Client::new(Guard::new(tls))
        }
        Tls::None => {
            if !tcp.peer_addr().is_ok_and(|peer| peer.ip().is_loopback()) {
                return Err(server.unreachable("`tls = \"none\"` is allowed to this machine only"));
            }
            server.greeted(tcp).await?
        }
    };
    let session = login(client, at, secret, &server.name, server.limit).await?;
    Ok(Wire::new(session, server.limit))
}

/// What connecting needs at every stage.
struct Server {
    /// `host:port`
    name: String,
    limit: Duration,
}

impl Server {
    fn unreachable(&self, why: impl Into<String>) -> MailboxError {
        MailboxError::Unreachable { server: self.name.clone(), why: why.into() }
    }

    async fn within<T, E: Into<Error>>(&self, stage: impl Future<Output = Result<T, E>>) -> Result<T, MailboxError> {
        match timeout(self.limit, stage).await {
            Err(_) => Err(self.unreachable(format!("no answer within {} s", self.limit.as_secs()))),
            Ok(done) => done.map_err(|error| self.unreachable(error_words(&error.into()))),
        }
    }

    /// Reads the greeting, which `Client::new` does not. PREAUTH is refused: nobody may log us in, least of all before TLS.
    async fn greeted(&self, socket: impl Socket + 'static) -> Result<Client<Guard>, MailboxError> {
        let mut client = Client::new(Guard::new(socket));
        let greeting = self.within(client.read_response()).await?.ok_or_else(|| self.unreachable(CLOSED))?;
        match greeting.parsed() {
            Response::Data { status: Status::Ok, .. } => Ok(client),
            Response::Data { status, outcome } => {
                Err(self.unreachable(format!("the server greets with {status:?}: {}", words(outcome))))
            }
            _ => Err(self.unreachable("the server's greeting is no IMAP")),
        }
    }

    async fn encrypt<S: Socket + 'static>(&self, at: &Imap, socket: S) -> Result<TlsStream<S>, MailboxError> {
        let ca_file = at.ca_file.clone();
        let config = tokio::task::spawn_blocking(move || client_config(ca_file.as_deref()))
            .await
            .map_err(|_| self.unreachable("reading the certificate authorities failed"))?
            .map_err(|why| self.unreachable(why))?;
        let name = ServerName::try_from(at.host.clone())
            .map_err(|_| self.unreachable(format!("`{}` is no host name", at.host)))?;
        match timeout(self.limit, TlsConnector::from(Arc::new(config)).connect(name, socket)).await {
            Err(_) => Err(self.unreachable(format!("TLS: no answer within {} s", self.limit.as_secs()))),
            Ok(Err(error)) => Err(self.unreachable(tls_words(&error))),
            Ok(Ok(tls)) => Ok(tls),
        }
    }
}

/// The machine's authorities and those of `ca_file`; aws-lc-rs named, whatever the process's default provider is.
pub fn client_config(ca_file: Option<&Path>) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = ca_file {
        let shown = path.display();
        let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let certs = read.map_err(|error| format!("cannot read ca_file {shown}: {error}"))?;
        if roots.add_parsable_certificates(certs).0 == 0 {
            return Err(format!("ca_file {shown} holds no certificate"));
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS: {error}"))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

fn tls_words(error: &std::io::Error) -> String {
    let text = io_words(error);
    if text.contains("UnknownIssuer") {
        return "TLS: the server's certificate is from an unknown authority; name that authority's PEM file in `ca_file`".into();
    }
    if text.contains("InvalidContentType") {
        return "TLS: the server does not begin with TLS on this port; perhaps it wants `tls = \"starttls\"`".into();
    }
    format!("TLS: {text}")
}
