//! Commands sent ahead of the answers to earlier ones (RFC 9051, 5.5): windows of bodies and the marks between them, so
//! that a far server costs bandwidth and not a round trip for each mail. All of them name UIDs, and none depends on another.

use std::collections::{BTreeMap, VecDeque};

use async_trait::async_trait;
use imap_proto::{AttributeValue, RequestId, Response};

use super::super::MailboxError;
use super::super::flow::{Ahead, Done, Order};
use super::super::names::{folder, uid_sets};
use super::super::wire::Tagged;
use super::{CHUNK_BYTES, Imap, uid_of};
use crate::config::sections::After;

/// UIDs in one command: their set then fits into a line.
const SET_UIDS: usize = 500;

/// Largest body of which all chunks are asked for at once.
const GROWING_BYTES: u64 = 32 << 20;

/// What is under way on a connection.
#[derive(Debug, Default)]
pub(super) struct UnderWay {
    /// Commands without their tagged answer, in the order sent.
    sent: VecDeque<(RequestId, Task)>,
    /// What is carried out alone once `sent` is empty.
    alone: VecDeque<Alone>,
    /// Larger bodies, as far as their chunks have come.
    growing: BTreeMap<u32, Growing>,
    /// Results not handed out yet.
    done: VecDeque<Done>,
}

/// A body that comes in chunks, in their order.
#[derive(Debug)]
struct Growing {
    body: Vec<u8>,
    /// Commands without their tagged answer.
    chunks: usize,
    /// What all of them can bring; less of it is a whole body.
    room_bytes: usize,
    limit_bytes: u64,
    /// Whether every chunk continued the one before.
    is_sound: bool,
}

/// A command and what it is for.
#[derive(Debug)]
enum Task {
    /// UIDs whose bodies have not come yet.
    Fetch {
        missing: Vec<u32>,
        limit_bytes: u64,
    },
    /// The next chunk of a larger body.
    Chunk {
        uid: u32,
    },
    Mark {
        uids: Vec<String>,
        after: After,
    },
}

/// Work that is done in step with the server.
#[derive(Debug)]
enum Alone {
    /// Larger than one answer may be, or larger than announced.
    Fetch {
        uid: u32,
        limit_bytes: u64,
    },
    Mark {
        uids: Vec<String>,
        after: After,
    },
}

#[async_trait]
impl Ahead for Imap {
    async fn send(&mut self, order: &Order) -> Result<(), MailboxError> {
        match order {
            Order::Fetch { wanted, limit_bytes } => {
                let mut small = vec![];
                for wanted in wanted {
                    match wanted.uid.parse() {
                        Ok(uid) if wanted.size_bytes < u64::from(CHUNK_BYTES) => small.push(uid),
                        Ok(uid) if wanted.size_bytes <= (*limit_bytes).min(GROWING_BYTES) => {
                            self.send_chunks(uid, wanted.size_bytes, *limit_bytes).await?;
                        }
                        Ok(uid) => self.under_way.alone.push_back(Alone::Fetch { uid, limit_bytes: *limit_bytes }),
                        Err(_) => self.under_way.done.push_back(gone(wanted.uid.clone())),
                    }
                }
                for uids in small.chunks(SET_UIDS) {
                    let set = uid_sets(uids).join(",");
                    let command = format!("UID FETCH {set} (UID BODY.PEEK[]<0.{CHUNK_BYTES}>)");
                    let id = self.wire.send_ahead(FETCH, &command).await?;
                    let task = Task::Fetch { missing: uids.to_vec(), limit_bytes: *limit_bytes };
                    self.under_way.sent.push_back((id, task));
                }
            }
            Order::Mark { uids, after } => {
                let (uids, after) = (uids.clone(), after.clone());
                let numbers: Vec<u32> = uids.iter().filter_map(|uid| uid.parse().ok()).collect();
                // What has to be refused, and a move in several steps, is `mark`'s matter.
                let Some(command) = self.one_command(&after).filter(|_| (1..=SET_UIDS).contains(&numbers.len())) else {
                    self.under_way.alone.push_back(Alone::Mark { uids, after });
                    return Ok(());
                };
                let command = command.replace("{set}", &uid_sets(&numbers).join(","));
                let id = self.wire.send_ahead(MARK, &command).await?;
                self.under_way.sent.push_back((id, Task::Mark { uids, after }));
            }
        }
        Ok(())
    }

    async fn receive(&mut self) -> Result<Option<Done>, MailboxError> {
        loop {
            if let Some(done) = self.under_way.done.pop_front() {
                return Ok(Some(done));
            }
            if !self.under_way.sent.is_empty() {
                self.answer().await?;
            } else if let Some(alone) = self.under_way.alone.pop_front() {
                return self.alone(alone).await.map(Some);
            } else {
                return Ok(None);
            }
        }
    }
}

const FETCH: &str = "fetch messages";
const MARK: &str = "mark messages";

impl Imap {
    /// The command that marks a set of messages, where it is one.
    fn one_command(&self, after: &After) -> Option<String> {
        match after {
            After::Move(target) => self.abilities.moves.then(|| format!("UID MOVE {{set}} {}", folder(target))),
            flag => Some(format!("UID STORE {{set}} +FLAGS.SILENT ({})", self.lasting(flag).ok()??)),
        }
    }

    /// Reads one answer: a body, or the end of a command.
    async fn answer(&mut self) -> Result<(), MailboxError> {
        let mut came = None;
        let ended = self
            .wire
            .receive("read the answer to commands sent ahead", |response| {
                let Response::Fetch(_, attributes) = response else { return };
                let bytes = attributes.iter().find_map(|attribute| match attribute {
                    AttributeValue::BodySection { section: None, index: Some(offset), data } => Some((*offset, data)),
                    _ => None,
                });
                if let (Some(uid), Some((offset, bytes))) = (uid_of(attributes), bytes) {
                    came = Some((uid, offset, bytes.as_deref().unwrap_or_default().to_vec()));
                }
            })
            .await?;
        if let Some((uid, offset, bytes)) = came {
            match self.under_way.growing.get_mut(&uid) {
                Some(growing) if growing.body.len() == offset as usize => growing.body.extend(bytes),
                // Behind the end of a body there is nothing.
                Some(growing) => growing.is_sound &= bytes.is_empty(),
                None if offset == 0 => self.body_came(uid, bytes),
                None => {}
            }
        }
        if let Some((id, tagged)) = ended
            && let Some(at) = self.under_way.sent.iter().position(|(sent, _)| *sent == id)
            && let Some((_, task)) = self.under_way.sent.remove(at)
        {
            self.ended(task, tagged);
        }
        Ok(())
    }

    /// Asks for all of a larger body, and for what it may have beyond its size.
    async fn send_chunks(&mut self, uid: u32, size_bytes: u64, limit_bytes: u64) -> Result<(), MailboxError> {
        let chunks = u32::try_from(size_bytes / u64::from(CHUNK_BYTES) + 1).unwrap_or(1);
        let room_bytes = (chunks * CHUNK_BYTES) as usize;
        let body = Vec::with_capacity(usize::try_from(size_bytes).unwrap_or(0));
        let growing = Growing { body, chunks: chunks as usize, room_bytes, limit_bytes, is_sound: true };
        self.under_way.growing.insert(uid, growing);
        for chunk in 0..chunks {
            let offset = chunk * CHUNK_BYTES;
            let command = format!("UID FETCH {uid} (UID BODY.PEEK[]<{offset}.{CHUNK_BYTES}>)");
            let id = self.wire.send_ahead(FETCH, &command).await?;
            self.under_way.sent.push_back((id, Task::Chunk { uid }));
        }
        Ok(())
    }

    /// A chunk's command ended: with the last of them, so does the body.
    fn chunk_ended(&mut self, uid: u32, is_ok: bool) {
        let UnderWay { growing, alone, done, .. } = &mut self.under_way;
        let Some(one) = growing.get_mut(&uid) else { return };
        one.chunks -= 1;
        one.is_sound &= is_ok;
        if one.chunks > 0 {
            return;
        }
        let Some(Growing { body, room_bytes, limit_bytes, is_sound, .. }) = growing.remove(&uid) else { return };
        let size_bytes = body.len() as u64;
        if !is_sound || body.is_empty() || body.len() >= room_bytes || size_bytes > limit_bytes {
            // Gone, too large, or otherwise than the server said: asked for by itself, which tells.
            alone.push_back(Alone::Fetch { uid, limit_bytes });
        } else {
            done.push_back(Done::Body { uid: uid.to_string(), body: Ok(body) });
        }
    }

    fn body_came(&mut self, uid: u32, bytes: Vec<u8>) {
        let UnderWay { sent, alone, done, .. } = &mut self.under_way;
        for (_, task) in sent {
            let Task::Fetch { missing, limit_bytes } = task else { continue };
            let Some(at) = missing.iter().position(|missing| *missing == uid) else { continue };
            missing.swap_remove(at);
            let (limit_bytes, size_bytes) = (*limit_bytes, bytes.len() as u64);
            if bytes.len() >= CHUNK_BYTES as usize {
                // More than the server said, and perhaps more still.
                alone.push_back(Alone::Fetch { uid, limit_bytes });
            } else if size_bytes > limit_bytes {
                let uid = uid.to_string();
                let body = Err(MailboxError::TooLarge { uid: uid.clone(), size_bytes, limit_bytes });
                done.push_back(Done::Body { uid, body });
            } else {
                done.push_back(Done::Body { uid: uid.to_string(), body: Ok(bytes) });
            }
            return;
        }
    }

    fn ended(&mut self, task: Task, tagged: Tagged) {
        let UnderWay { alone, done, .. } = &mut self.under_way;
        match (task, tagged) {
            (Task::Chunk { uid }, tagged) => self.chunk_ended(uid, tagged == Tagged::Ok),
            (Task::Fetch { missing, .. }, Tagged::Ok) => {
                done.extend(missing.into_iter().map(|uid| gone(uid.to_string())));
            }
            // One of them is gone, or cannot be read: each is asked for by itself.
            (Task::Fetch { missing, limit_bytes }, Tagged::No(_)) => {
                alone.extend(missing.into_iter().map(|uid| Alone::Fetch { uid, limit_bytes }));
            }
            (Task::Mark { uids, .. }, Tagged::Ok) => done.push_back(Done::Marked { uids, result: Ok(()) }),
            // The folder may have to be made; otherwise the refusal is told by `mark`.
            (Task::Mark { uids, after }, Tagged::No(_)) => alone.push_back(Alone::Mark { uids, after }),
        }
    }

    async fn alone(&mut self, work: Alone) -> Result<Done, MailboxError> {
        match work {
            Alone::Fetch { uid, limit_bytes } => {
                let uid = uid.to_string();
                match self.body(&uid, limit_bytes).await {
                    Err(error) if error.is_broken() => Err(error),
                    body => Ok(Done::Body { uid, body }),
                }
            }
            Alone::Mark { uids, after } => {
                let numbers: Vec<u32> = uids.iter().filter_map(|uid| uid.parse().ok()).collect();
                let result = self.mark_all(&numbers, &after).await;
                Ok(Done::Marked { uids, result })
            }
        }
    }
}

fn gone(uid: String) -> Done {
    let body = Err(MailboxError::Gone { uid: uid.clone() });
    Done::Body { uid, body }
}
