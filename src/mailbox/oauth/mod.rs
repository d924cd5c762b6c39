//! Access tokens: fetched once for each mailbox, kept for the life of the process, renewed well before they end, and an alarm
//! when that fails. The request itself is `fetch`; what logs in with a token is `login`.
//!
//! A refresh token that the server replaces is kept for the life of the process only: it is not written back to where
//! `refresh_token` points, so a server that replaces it and voids the old one needs a person after a restart.

mod fetch;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::{Client, Url};
use secrecy::{ExposeSecret, SecretString};
use tracing::info;

pub use fetch::TokenError;

use crate::config::oauth::{Grant, OAuth};
use crate::config::secret::Secrets;
use crate::domain::clock::SharedClock;
use fetch::Granted;

/// Between two attempts to renew a token that is still good.
const PAUSE: TimeDelta = TimeDelta::minutes(1);
/// A refused token younger than this is refused for another reason than its age; a new one would be as well.
const FRESH: TimeDelta = TimeDelta::minutes(1);
/// Between two alarms about one mailbox.
const ALARM_EVERY: TimeDelta = TimeDelta::hours(1);

/// The tokens of one process, by mailbox.
#[derive(Debug)]
pub struct Tokens {
    clock: SharedClock,
    slots: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Slot>>>>,
}

#[derive(Debug, Default)]
struct Slot {
    client: Option<(Client, Url)>,
    token: Option<Token>,
    rotated: Option<Rotated>,
    trouble: Option<Trouble>,
    alarmed_at: Option<DateTime<Utc>>,
}

#[derive(Debug)]
struct Token {
    value: SecretString,
    fetched_at: DateTime<Utc>,
    renew_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
}

/// A refresh token from the server, and the configured one that it came from: another there is a person's new start.
#[derive(Debug)]
struct Rotated {
    configured: SecretString,
    current: SecretString,
}

#[derive(Debug)]
struct Trouble {
    error: TokenError,
    next_try: DateTime<Utc>,
}

/// That a token could not be had: somebody has to act.
#[derive(Debug, Clone)]
pub struct Alarm {
    pub error: TokenError,
    /// Until when the mailbox is still read, with the token it has; none when there is none that is good.
    pub good_until: Option<DateTime<Utc>>,
}

impl Tokens {
    pub fn new(clock: SharedClock) -> Self {
        Self { clock, slots: Mutex::default() }
    }

    /// A token that is good now. Fetches one when there is none or when it is time; where that fails, the old one does until
    /// its end. Many who ask at once make one request.
    ///
    /// # Errors
    /// When there is none, and none can be had.
    pub async fn get(&self, mailbox: &str, oauth: &OAuth, secrets: &Secrets) -> Result<SecretString, TokenError> {
        let slot = self.slot(mailbox);
        let mut slot = slot.lock().await;
        let now = self.clock.now();
        if let Some(token) = slot.good(now) {
            let waits = slot.trouble.as_ref().is_some_and(|trouble| now < trouble.next_try);
            if now < token.renew_at || waits {
                return Ok(token.value.clone());
            }
        }
        let renewed = slot.renew(mailbox, oauth, secrets, now).await;
        match (renewed, slot.good(now)) {
            (Ok(value), _) => Ok(value),
            (Err(_), Some(token)) => Ok(token.value.clone()),
            (Err(error), None) => Err(error),
        }
    }

    /// Another token than `refused`, which the server did not take; none when that one is as new as any.
    ///
    /// # Errors
    /// When none can be had.
    pub async fn replace(
        &self,
        mailbox: &str,
        oauth: &OAuth,
        secrets: &Secrets,
        refused: &SecretString,
    ) -> Result<Option<SecretString>, TokenError> {
        let slot = self.slot(mailbox);
        let mut slot = slot.lock().await;
        let now = self.clock.now();
        if let Some(token) = slot.good(now) {
            if token.value.expose_secret() != refused.expose_secret() {
                return Ok(Some(token.value.clone()));
            }
            if now - token.fetched_at < FRESH {
                return Ok(None);
            }
        }
        slot.renew(mailbox, oauth, secrets, now).await.map(Some)
    }

    /// The alarm that is due about a mailbox: at once when a fetch fails, and every hour while that lasts.
    pub async fn alarm(&self, mailbox: &str) -> Option<Alarm> {
        let slot = self.slot(mailbox);
        let mut slot = slot.lock().await;
        let now = self.clock.now();
        let error = slot.trouble.as_ref()?.error.clone();
        if slot.alarmed_at.is_some_and(|at| now - at < ALARM_EVERY) {
            return None;
        }
        slot.alarmed_at = Some(now);
        Some(Alarm { error, good_until: slot.good(now).map(|token| token.expires_at) })
    }

    fn slot(&self, mailbox: &str) -> Arc<tokio::sync::Mutex<Slot>> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry(mailbox.to_owned()).or_default())
    }
}

impl Slot {
    fn good(&self, now: DateTime<Utc>) -> Option<&Token> {
        self.token.as_ref().filter(|token| now < token.expires_at)
    }

    /// Fetches a token and keeps it; a failure is kept as well, for the alarm.
    async fn renew(
        &mut self,
        mailbox: &str,
        oauth: &OAuth,
        secrets: &Secrets,
        now: DateTime<Utc>,
    ) -> Result<SecretString, TokenError> {
        match self.ask(oauth, secrets).await {
            Ok(granted) => {
                if self.trouble.take().is_some() {
                    info!(mailbox, "mailbox {mailbox} has a token again");
                }
                let expires_at = now + granted.life;
                let renew_at = expires_at - margin(granted.life);
                let value = granted.token;
                self.token = Some(Token { value: value.clone(), fetched_at: now, renew_at, expires_at });
                Ok(value)
            }
            Err(error) => {
                self.trouble = Some(Trouble { error: error.clone(), next_try: now + PAUSE });
                Err(error)
            }
        }
    }

    async fn ask(&mut self, oauth: &OAuth, secrets: &Secrets) -> Result<Granted, TokenError> {
        let secret = match &oauth.client_secret {
            Some(reference) => Some(secrets.get(reference).await?),
            None => None,
        };
        let configured = match &oauth.refresh_token {
            Some(reference) if oauth.grant() == Grant::RefreshToken => Some(secrets.get(reference).await?),
            _ => None,
        };
        let (client, url) = match &self.client {
            Some(client) => client,
            None => self.client.insert(fetch::client(oauth).await?),
        };
        let ours =
            self.rotated.take_if(|rotated| !configured.as_ref().is_some_and(|one| same(one, &rotated.configured)));
        drop(ours);
        let refresh = self.rotated.as_ref().map(|rotated| &rotated.current).or(configured.as_ref());
        let mut answer = fetch::fetch(client, url, oauth, secret.as_ref(), refresh).await;
        if self.rotated.is_some() && answer.as_ref().is_err_and(TokenError::voids_the_grant) {
            self.rotated = None;
            answer = fetch::fetch(client, url, oauth, secret.as_ref(), configured.as_ref()).await;
        }
        let mut granted = answer?;
        if let (Some(current), Some(configured)) = (granted.rotated.take(), configured)
            && !same(&current, &configured)
        {
            self.rotated = Some(Rotated { configured, current });
        }
        Ok(granted)
    }
}

fn same(one: &SecretString, other: &SecretString) -> bool {
    one.expose_secret() == other.expose_secret()
}

/// How long before its end a token is renewed: a fifth of its life or five minutes, whichever is more; but never more than half
/// its life, since a token of a few minutes would be asked for all the time.
fn margin(life: TimeDelta) -> TimeDelta {
    (life / 5).max(TimeDelta::minutes(5)).min(life / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_renewed_well_before_its_end() {
        let check = |life, before| assert_eq!(margin(TimeDelta::seconds(life)), TimeDelta::seconds(before));
        check(86_400, 17_280);
        check(3_600, 720);
        check(1_500, 300);
        check(900, 300);
        check(600, 300);
        check(60, 30);
        check(2, 1);
    }
}
