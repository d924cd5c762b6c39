//! A folder on an IMAP server (RFC 9051, and RFC 3501 servers): opening, listing, waiting. How commands travel is `wire`'s
//! matter, bodies are that of `bodies`, flags and moves that of `marking`, several at once that of `ahead`.

mod ahead;
mod bodies;
mod marking;

use std::time::Duration;

use async_trait::async_trait;
use imap_proto::{AttributeValue, Capability, Response, ResponseCode};
use secrecy::SecretString;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::connect::connect;
use super::flow::Ahead;
use super::names::folder;
use super::wire::{Wire, protocol};
use super::{Listed, Mailbox, MailboxError};
use crate::config::sections::{self, After};
use ahead::UnderWay;

/// Bytes asked for at once: a body in one piece would be held in memory twice.
const CHUNK_BYTES: u32 = 1 << 20;
/// A server may log an idle client off after 30 minutes (RFC 2177); IDLE is re-issued before.
const IDLE_LIMIT: Duration = Duration::from_secs(28 * 60);

/// An open folder.
#[derive(Debug)]
pub(super) struct Imap {
    wire: Wire,
    uid_validity: u32,
    abilities: Abilities,
    /// Flags that last, if the server told (PERMANENTFLAGS); `\*` stands for any keyword.
    permanent: Option<Vec<String>>,
    under_way: UnderWay,
}

#[derive(Debug, Default)]
struct Abilities {
    /// RFC 6851
    moves: bool,
    /// RFC 4315
    uid_plus: bool,
    /// RFC 2177, and wanted by the configuration.
    idles: bool,
}

impl Imap {
    /// Connects, logs in, opens the folder.
    pub(super) async fn open(at: &sections::Imap, secret: Option<&SecretString>) -> Result<Self, MailboxError> {
        let Some(secret) = secret else {
            return Err(MailboxError::LoginRefused { user: at.user.clone(), why: "no password is configured".into() });
        };
        let mut wire = connect(at, secret).await?;
        let mut abilities = abilities(&mut wire).await?;
        abilities.idles &= at.idle;
        let what = format!("open folder {}", at.folder);
        let (mut uid_validity, mut permanent) = (None, None);
        wire.command(&what, &format!("SELECT {}", folder(&at.folder)), |response| {
            if let Response::Data { outcome, .. } = response {
                match &outcome.code {
                    Some(ResponseCode::UidValidity(value)) => uid_validity = Some(*value),
                    Some(ResponseCode::PermanentFlags(flags)) => {
                        permanent = Some(flags.iter().map(|flag| flag.to_string()).collect());
                    }
                    _ => {}
                }
            }
        })
        .await?;
        let uid_validity = uid_validity.ok_or_else(|| protocol(&what, "the server named no UIDVALIDITY"))?;
        wire.forget_news();
        Ok(Self { wire, uid_validity, abilities, permanent, under_way: UnderWay::default() })
    }

    /// Waits by IDLE, re-issued every `limit`.
    async fn idle(&mut self, at_most: Duration, limit: Duration, wake: &Notify) -> Result<(), MailboxError> {
        let until = Instant::now() + at_most;
        while !self.wire.has_news() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let pause = left.min(limit);
            let asked = Instant::now();
            self.wire.idle(pause, wake).await?;
            if asked.elapsed() < pause {
                break;
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Mailbox for Imap {
    fn uid_validity(&self) -> u32 {
        self.uid_validity
    }

    /// An `above` that is no UID is taken for none: everything is listed, and the ledger knows what it knows.
    async fn list(&mut self, above: Option<&str>) -> Result<Vec<Listed>, MailboxError> {
        // New messages show only after the server has told of them, which it may put off until the next command's end.
        self.wire.command("look for new messages", "NOOP", |_| {}).await?;
        self.wire.forget_news();
        if self.wire.exists() == 0 {
            return Ok(Vec::new());
        }
        let above: u32 = above.and_then(|uid| uid.parse().ok()).unwrap_or(0);
        let Some(first) = above.checked_add(1) else { return Ok(Vec::new()) };
        let found = self.sizes("list messages", &format!("{first}:*")).await?;
        // `n:*` always names the last message, even below n (RFC 9051, 6.4.9).
        Ok(found.into_iter().filter(|(uid, _)| *uid > above).map(|(_, listed)| listed).collect())
    }

    async fn fetch(&mut self, uid: &str, limit_bytes: u64) -> Result<Vec<u8>, MailboxError> {
        self.body(uid, limit_bytes).await
    }

    async fn mark(&mut self, uids: &[String], after: &After) -> Result<(), MailboxError> {
        // What is no UID is not on this server, and gone is no error.
        let uids: Vec<u32> = uids.iter().filter_map(|uid| uid.parse().ok()).collect();
        self.mark_all(&uids, after).await
    }

    fn ahead(&mut self) -> Option<&mut dyn Ahead> {
        Some(self)
    }

    /// Cancelling it leaves the connection in IDLE: drop the mailbox then.
    async fn wait(&mut self, at_most: Duration, wake: &Notify) -> Result<(), MailboxError> {
        if self.abilities.idles {
            return self.idle(at_most, IDLE_LIMIT, wake).await;
        }
        tokio::select! {
            () = tokio::time::sleep(at_most) => {}
            () = wake.notified() => {}
        }
        Ok(())
    }
}

async fn abilities(wire: &mut Wire) -> Result<Abilities, MailboxError> {
    let mut found = Abilities::default();
    // Asked again after the login: before it, servers name less.
    wire.command("ask for capabilities", "CAPABILITY", |response| {
        if let Response::Capabilities(list) = response {
            let has = |name: &str| {
                list.iter()
                    .any(|capability| matches!(capability, Capability::Atom(atom) if atom.eq_ignore_ascii_case(name)))
            };
            found = Abilities { moves: has("MOVE"), uid_plus: has("UIDPLUS"), idles: has("IDLE") };
        }
    })
    .await?;
    Ok(found)
}

fn uid_of(attributes: &[AttributeValue<'_>]) -> Option<u32> {
    attributes.iter().find_map(|attribute| match attribute {
        AttributeValue::Uid(uid) => Some(*uid),
        _ => None,
    })
}

#[cfg(test)]
mod tests;
