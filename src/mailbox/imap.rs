//! A folder on an IMAP server (RFC 9051, and RFC 3501 servers): list, fetch, mark, wait. How commands travel is `wire`'s matter.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use imap_proto::{AttributeValue, Capability, Response, ResponseCode};
use secrecy::SecretString;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::connect::connect;
use super::names::{folder, is_keyword, uid_sets};
use super::wire::{Tagged, Wire, protocol};
use super::{Listed, Mailbox, MailboxError};
use crate::config::sections::{self, After};

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
    pub(super) async fn open(at: &sections::Imap, password: Option<&SecretString>) -> Result<Self, MailboxError> {
        let Some(password) = password else {
            return Err(MailboxError::LoginRefused { user: at.user.clone(), why: "no password is configured".into() });
        };
        let mut wire = connect(at, password).await?;
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
        Ok(Self { wire, uid_validity, abilities, permanent })
    }

    /// Attributes of messages by UID; messages that are gone are missing.
    async fn sizes(&mut self, what: &str, set: &str) -> Result<BTreeMap<u32, Listed>, MailboxError> {
        let mut found = BTreeMap::new();
        self.wire
            .command(what, &format!("UID FETCH {set} (UID RFC822.SIZE INTERNALDATE)"), |response| {
                let Response::Fetch(_, attributes) = response else { return };
                let (mut size_bytes, mut received_at) = (None, None);
                for attribute in attributes {
                    match attribute {
                        AttributeValue::Rfc822Size(size) => size_bytes = Some(u64::from(*size)),
                        AttributeValue::InternalDate(date) => received_at = internal_date(date),
                        _ => {}
                    }
                }
                // Without a size it is an unasked-for change of flags.
                if let (Some(uid), Some(size_bytes)) = (uid_of(attributes), size_bytes) {
                    found.insert(uid, Listed { uid: uid.to_string(), size_bytes, received_at });
                }
            })
            .await?;
        Ok(found)
    }

    /// One chunk of a body; none when the message is gone.
    async fn chunk(&mut self, what: &str, uid: u32, offset: u32) -> Result<Option<Vec<u8>>, MailboxError> {
        let (mut chunk, mut astray) = (None, false);
        let command = format!("UID FETCH {uid} (UID BODY.PEEK[]<{offset}.{CHUNK_BYTES}>)");
        let tagged = self
            .wire
            .exchange(what, &command, |response| {
                let Response::Fetch(_, attributes) = response else { return };
                if uid_of(attributes) != Some(uid) {
                    return;
                }
                for attribute in attributes {
                    if let AttributeValue::BodySection { section: None, index, data } = attribute {
                        astray |= index.is_some_and(|index| index != offset);
                        chunk = Some(data.as_deref().unwrap_or_default().to_vec());
                    }
                }
            })
            .await?;
        match tagged {
            // Expunged by somebody else since (RFC 5530).
            Tagged::No(why) if why.contains("EXPUNGEISSUED") => Ok(None),
            Tagged::No(why) => Err(protocol(what, why)),
            Tagged::Ok if astray => {
                Err(protocol(what, format!("the server answered with another range than <{offset}>")))
            }
            Tagged::Ok => Ok(chunk),
        }
    }

    /// Adds a flag to messages; gone ones are passed over by the server.
    async fn flag(&mut self, uids: &[u32], flag: &str) -> Result<(), MailboxError> {
        for set in uid_sets(uids) {
            let what = format!("flag {} messages {flag}", uids.len());
            self.wire.command(&what, &format!("UID STORE {set} +FLAGS.SILENT ({flag})"), |_| {}).await?;
        }
        Ok(())
    }

    async fn move_to(&mut self, uids: &[u32], target: &str) -> Result<(), MailboxError> {
        if self.abilities.moves {
            for set in uid_sets(uids) {
                self.put_into(target, &format!("UID MOVE {set}")).await?;
            }
            return Ok(());
        }
        // Without MOVE: `\Deleted` marks what is copied already, so that a repeat copies only what is not.
        for set in uid_sets(uids) {
            let rest = self.undeleted(&set).await?;
            for set in uid_sets(&rest) {
                self.put_into(target, &format!("UID COPY {set}")).await?;
            }
            self.flag(&rest, "\\Deleted").await?;
            // Never plain EXPUNGE: it would take what others marked. Without UIDPLUS the server's owner expunges.
            if self.abilities.uid_plus {
                let what = format!("expunge messages copied to {target}");
                self.wire.command(&what, &format!("UID EXPUNGE {set}"), |_| {}).await?;
            }
        }
        Ok(())
    }

    /// Runs a MOVE or COPY, making the folder when it may be missing. A refusal keeps the server's first words.
    async fn put_into(&mut self, target: &str, command: &str) -> Result<(), MailboxError> {
        let what = format!("move messages to folder {target}");
        let command = format!("{command} {}", folder(target));
        let Tagged::No(why) = self.wire.exchange(&what, &command, |_| {}).await? else { return Ok(()) };
        let create = format!("CREATE {}", folder(target));
        match self.wire.exchange(&format!("create folder {target}"), &create, |_| {}).await? {
            Tagged::Ok => self.wire.command(&what, &command, |_| {}).await,
            Tagged::No(_) => Err(protocol(&what, why)),
        }
    }

    /// Those of the messages that are there and not marked `\Deleted`.
    async fn undeleted(&mut self, set: &str) -> Result<Vec<u32>, MailboxError> {
        let mut found = Vec::new();
        self.wire
            .command("look for messages to move", &format!("UID FETCH {set} (UID FLAGS)"), |response| {
                let Response::Fetch(_, attributes) = response else { return };
                let deleted = attributes.iter().any(|attribute| match attribute {
                    AttributeValue::Flags(flags) => flags.iter().any(|flag| flag.eq_ignore_ascii_case("\\Deleted")),
                    _ => false,
                });
                found.extend(uid_of(attributes).filter(|_| !deleted));
            })
            .await?;
        Ok(found)
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

    /// Always in chunks, so that a size the server got wrong costs a command more and neither bytes nor memory.
    async fn fetch(&mut self, uid: &str, limit_bytes: u64) -> Result<Vec<u8>, MailboxError> {
        let gone = || MailboxError::Gone { uid: uid.to_owned() };
        let number: u32 = uid.parse().map_err(|_| gone())?;
        let what = format!("fetch uid {uid}");
        let size_bytes = self.sizes(&what, uid).await?.remove(&number).ok_or_else(gone)?.size_bytes;
        let too_large = |size_bytes| MailboxError::TooLarge { uid: uid.to_owned(), size_bytes, limit_bytes };
        if size_bytes > limit_bytes {
            return Err(too_large(size_bytes));
        }
        let mut body = Vec::with_capacity(usize::try_from(size_bytes).unwrap_or(0));
        loop {
            let offset = u32::try_from(body.len()).map_err(|_| too_large(body.len() as u64))?;
            let chunk = self.chunk(&what, number, offset).await?.ok_or_else(gone)?;
            body.extend_from_slice(&chunk);
            let read_bytes = body.len() as u64;
            if read_bytes > limit_bytes {
                return Err(too_large(read_bytes));
            }
            let short = chunk.len() < CHUNK_BYTES as usize;
            if chunk.is_empty() || (short && read_bytes >= size_bytes) {
                return Ok(body);
            }
        }
    }

    async fn mark(&mut self, uids: &[String], after: &After) -> Result<(), MailboxError> {
        // What is no UID is not on this server, and gone is no error.
        let uids: Vec<u32> = uids.iter().filter_map(|uid| uid.parse().ok()).collect();
        if uids.is_empty() {
            return Ok(());
        }
        match after {
            After::Seen => self.flag(&uids, "\\Seen").await,
            After::Keyword(word) => {
                let what = format!("flag messages {word}");
                if !is_keyword(word) {
                    return Err(protocol(&what, "a keyword is one word of printable ASCII without ( ) { % * \" \\ ]"));
                }
                let lasts = |flag: &String| flag == "\\*" || flag.eq_ignore_ascii_case(word);
                if self.permanent.as_ref().is_some_and(|flags| !flags.iter().any(lasts)) {
                    return Err(protocol(&what, "the server keeps no such keyword in this folder"));
                }
                self.flag(&uids, word).await
            }
            After::Move(target) => self.move_to(&uids, target).await,
        }
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

/// `17-Jul-1996 02:44:25 -0700`, the day padded with a space (RFC 9051, date-time).
fn internal_date(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_str(text.trim(), "%d-%b-%Y %H:%M:%S %z").ok().map(|at| at.with_timezone(&Utc))
}

#[cfg(test)]
mod tests {
    use async_imap::Client;
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

    use super::super::guard::Guard;
    use super::*;

    #[test]
    fn dates_of_receipt_are_instants() {
        for (text, expected) in [
            ("17-Jul-1996 02:44:25 -0700", Some("1996-07-17T09:44:25+00:00")),
            (" 7-Jul-1996 02:44:25 +0200", Some("1996-07-07T00:44:25+00:00")),
            ("yesterday", None),
        ] {
            assert_eq!(internal_date(text).map(|at| at.to_rfc3339()).as_deref(), expected, "{text}");
        }
    }

    #[tokio::test]
    async fn idle_is_issued_again_before_the_server_gives_up_on_us() {
        let (ours, theirs) = tokio::io::duplex(4096);
        let server = tokio::spawn(async move {
            let (read, mut write) = tokio::io::split(theirs);
            let mut lines = BufReader::new(read).lines();
            let (mut tag, mut idles) = (String::new(), 0);
            while let Ok(Some(line)) = lines.next_line().await {
                let answer = match line.split_once(' ') {
                    Some((of, "IDLE")) => {
                        tag = of.to_owned();
                        idles += 1;
                        let news = if idles == 3 { "* 1 EXISTS\r\n" } else { "" };
                        format!("+ idling\r\n{news}")
                    }
                    None if line == "DONE" => format!("{tag} OK done\r\n"),
                    Some((of, _)) => format!("{of} OK done\r\n"),
                    None => panic!("{line}"),
                };
                write.write_all(answer.as_bytes()).await.unwrap();
                if line == "DONE" && idles == 3 {
                    break;
                }
            }
            idles
        });
        let session = Client::new(Guard::new(ours)).login("u", "p").await.map_err(|(error, _)| error).unwrap();
        let wire = Wire::new(session, Duration::from_secs(30));
        let mut imap = Imap { wire, uid_validity: 1, abilities: Abilities::default(), permanent: None };
        let wake = Notify::new();
        let waited = imap.idle(Duration::from_secs(600), Duration::from_millis(1), &wake);
        tokio::time::timeout(Duration::from_secs(60), waited).await.expect("woken by EXISTS").unwrap();
        assert_eq!(server.await.unwrap(), 3);
    }
}
