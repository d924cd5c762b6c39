//! The medium `email`, by the transport that the configuration names. A transport is one file and one line here.

mod directory;
mod sendmail;
mod smtp;

use anyhow::Context;
use secrecy::SecretString;

use super::Medium;
use super::compose;
use crate::config::sections::{Outgoing, Transport};

/// The registered name of every mail transport.
const NAME: &str = "email";

/// Sets up outgoing mail. Nothing is connected yet: a server that is away shows at the first mail.
///
/// # Errors
/// When `from` is no address, the certificate file cannot be read, user and password do not go together, or a password
/// would cross the network in the clear.
pub async fn email(outgoing: &Outgoing, password: Option<SecretString>) -> anyhow::Result<Box<dyn Medium>> {
    compose::address(&outgoing.from).context("read `from` of [outgoing]")?;
    Ok(match &outgoing.transport {
        Transport::Smtp { .. } => Box::new(smtp::Smtp::new(&outgoing.transport, password).await?),
        Transport::Sendmail { command } => Box::new(sendmail::Sendmail::new(command)),
        Transport::Directory { path } => Box::new(directory::Directory::new(path)),
    })
}

#[cfg(test)]
mod tests {
    use super::super::compose::tests::sample;
    use super::*;

    #[tokio::test]
    async fn the_configured_transport_carries_the_medium_named_email() {
        let dir = tempfile::tempdir().unwrap();
        let mut outgoing = Outgoing {
            from: "Countersign <ap@acme.example>".into(),
            transport: Transport::Directory { path: dir.path().into() },
        };
        let medium = email(&outgoing, None).await.unwrap();
        assert_eq!(medium.name(), "email");
        let mail = sample();
        medium.send(&mail).await.unwrap();
        assert!(dir.path().join(format!("{}.eml", mail.id)).exists());

        outgoing.from = "Countersign".into();
        let error = email(&outgoing, None).await.err().map(|error| format!("{error:#}"));
        let said = "read `from` of [outgoing]: address: `Countersign` is no mail address";
        assert_eq!(error.as_deref(), Some(said));
    }
}
