//! Marks on messages that are dealt with: flags, keywords, and moves to a folder.

use imap_proto::{AttributeValue, Response};

use super::super::MailboxError;
use super::super::names::{folder, is_keyword, uid_sets};
use super::super::wire::{Tagged, protocol};
use super::{Imap, uid_of};
use crate::config::sections::After;

impl Imap {
    pub(super) async fn mark_all(&mut self, uids: &[u32], after: &After) -> Result<(), MailboxError> {
        if uids.is_empty() {
            return Ok(());
        }
        if let After::Move(target) = after {
            return self.move_to(uids, target).await;
        }
        match self.lasting(after)? {
            Some(flag) => self.flag(uids, &flag).await,
            None => Ok(()),
        }
    }

    /// The flag that a mark sets; none when it moves.
    ///
    /// # Errors
    /// When the server would not keep it.
    pub(super) fn lasting(&self, after: &After) -> Result<Option<String>, MailboxError> {
        let word = match after {
            After::Move(_) => return Ok(None),
            After::Seen => return Ok(Some("\\Seen".into())),
            After::Keyword(word) => word,
        };
        let what = format!("flag messages {word}");
        if !is_keyword(word) {
            return Err(protocol(&what, "a keyword is one word of printable ASCII without ( ) { % * \" \\ ]"));
        }
        let lasts = |flag: &String| flag == "\\*" || flag.eq_ignore_ascii_case(word);
        if self.permanent.as_ref().is_some_and(|flags| !flags.iter().any(lasts)) {
            return Err(protocol(&what, "the server keeps no such keyword in this folder"));
        }
        Ok(Some(word.clone()))
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
}
