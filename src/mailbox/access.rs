//! What opens mailboxes: passwords from their keeper, tokens from the cache; and one further try where a token is refused.

use std::sync::Arc;

use secrecy::SecretString;

use super::oauth::{Alarm, TokenError, Tokens};
use super::{Mailbox, MailboxError};
use crate::config::oauth::{Login, OAuth};
use crate::config::secret::Secrets;
use crate::config::sections::{self, Source};
use crate::domain::clock::SharedClock;

/// One for each process, so that a mailbox's token is fetched once for all its connections.
#[derive(Debug)]
pub struct Access {
    pub secrets: Arc<Secrets>,
    tokens: Tokens,
}

impl Access {
    pub fn new(secrets: Arc<Secrets>, clock: SharedClock) -> Self {
        Self { secrets, tokens: Tokens::new(clock) }
    }

    /// Opens a configured mailbox. A token that the server refuses is replaced once, unless it was fetched just now.
    ///
    /// # Errors
    /// When the password or a token cannot be had, or the server not be reached.
    pub async fn open(&self, config: &sections::Mailbox) -> Result<Box<dyn Mailbox>, MailboxError> {
        let Source::Imap(at) = &config.source else { return super::open(&config.source, None).await };
        match at.login() {
            None => super::open(&config.source, None).await,
            Some(Login::Password(reference)) => {
                let password = self.secrets.get(reference).await;
                let password = password
                    .map_err(|error| MailboxError::LoginRefused { user: at.user.clone(), why: error.to_string() })?;
                super::open(&config.source, Some(&password)).await
            }
            Some(Login::Token(oauth)) => self.open_with_token(config, oauth, &at.user).await,
        }
    }

    /// Renews the mailbox's token if it is time, connection or not, so that trouble shows while the old one is still good.
    ///
    /// # Errors
    /// When there is no good token left.
    pub async fn keep(&self, config: &sections::Mailbox) -> Result<(), MailboxError> {
        let Source::Imap(at) = &config.source else { return Ok(()) };
        let Some(Login::Token(oauth)) = at.login() else { return Ok(()) };
        self.token(config, oauth, &at.user).await.map(drop)
    }

    /// The alarm that is due about the mailbox's token; each is given once.
    pub async fn alarm(&self, config: &sections::Mailbox) -> Option<Alarm> {
        let Source::Imap(at) = &config.source else { return None };
        let Some(Login::Token(_)) = at.login() else { return None };
        self.tokens.alarm(&config.name).await
    }

    async fn token(&self, config: &sections::Mailbox, oauth: &OAuth, user: &str) -> Result<SecretString, MailboxError> {
        self.tokens.get(&config.name, oauth, &self.secrets).await.map_err(|error| no_token(user, &error))
    }

    async fn open_with_token(
        &self,
        config: &sections::Mailbox,
        oauth: &OAuth,
        user: &str,
    ) -> Result<Box<dyn Mailbox>, MailboxError> {
        let token = self.token(config, oauth, user).await?;
        let refused = match super::open(&config.source, Some(&token)).await {
            Err(refused @ MailboxError::LoginRefused { .. }) => refused,
            opened => return opened,
        };
        match self.tokens.replace(&config.name, oauth, &self.secrets, &token).await {
            Ok(Some(fresh)) => super::open(&config.source, Some(&fresh)).await,
            Ok(None) => Err(refused),
            Err(error) => Err(no_token(user, &error)),
        }
    }
}

fn no_token(user: &str, error: &TokenError) -> MailboxError {
    MailboxError::NoToken { user: user.to_owned(), why: error.to_string() }
}
