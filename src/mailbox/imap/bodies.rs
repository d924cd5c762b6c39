//! Bodies and attributes of messages, read without flagging.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use imap_proto::{AttributeValue, Response};

use super::super::wire::{Tagged, protocol};
use super::super::{Listed, MailboxError};
use super::{CHUNK_BYTES, Imap, uid_of};

impl Imap {
    /// Attributes of messages by UID; messages that are gone are missing.
    pub(super) async fn sizes(&mut self, what: &str, set: &str) -> Result<BTreeMap<u32, Listed>, MailboxError> {
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

    /// Always in chunks, so that a size the server got wrong costs a command more and neither bytes nor memory.
    pub(super) async fn body(&mut self, uid: &str, limit_bytes: u64) -> Result<Vec<u8>, MailboxError> {
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
}

/// `17-Jul-1996 02:44:25 -0700`, the day padded with a space (RFC 9051, date-time).
pub(super) fn internal_date(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_str(text.trim(), "%d-%b-%Y %H:%M:%S %z").ok().map(|at| at.with_timezone(&Utc))
}
