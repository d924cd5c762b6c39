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
/// When `from` is no address, the certificate file cannot be read, user and password do not go together, or a password would cross
/// the network in the clear.
pub async fn email(outgoing: &Outgoing, password: Option<SecretString>) -> anyhow::Result<Box<dyn Medium>> {
    compose::address(&outgoing.from).context("read `from` of [outgoing]")?;
    Ok(match &outgoing.transport {
        Transport::Smtp { .. } => Box::new(smtp::Smtp::new(&outgoing.transport, password).await?),
        Transport::Sendmail { command } => Box::new(sendmail::Sendmail::new(command)),
        Transport::Directory { path } => Box::new(directory::Directory::new(path)),
    })
}
