//! Commands sent ahead of the answers to earlier ones (RFC 9051, 5.5): windows of bodies and the marks between them, so
//! that a far server costs bandwidth and not a round trip for each mail. All of them name UIDs, and none depends on another.

use std::collections::VecDeque;

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

/// What is under way on a connection.
#[derive(Debug, Default)]
pub(super) struct UnderWay {
    /// Commands without their tagged answer, in the order sent.
    sent: VecDeque<(RequestId, Task)>,
    /// What is carried out alone once `sent` is empty.
    alone: VecDeque<Alone>,
    /// Results not handed out yet.
    done: VecDeque<Done>,
}

/// A command and what it is for.
#[derive(Debug)]
enum Task {
    /// UIDs whose bodies have not come yet.
    Fetch {
        missing: Vec<u32>,
        limit_bytes: u64,
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
                    AttributeValue::BodySection { section: None, index: Some(0), data } => Some(data),
                    _ => None,
                });
                if let (Some(uid), Some(bytes)) = (uid_of(attributes), bytes) {
                    came = Some((uid, bytes.as_deref().unwrap_or_default().to_vec()));
                }
            })
            .await?;
        if let Some((uid, bytes)) = came {
            self.body_came(uid, bytes);
        }
        if let Some((id, tagged)) = ended
            && let Some(at) = self.under_way.sent.iter().position(|(sent, _)| *sent == id)
            && let Some((_, task)) = self.under_way.sent.remove(at)
        {
            self.ended(task, tagged);
        }
        Ok(())
    }

    fn body_came(&mut self, uid: u32, bytes: Vec<u8>) {
        let UnderWay { sent, alone, done } = &mut self.under_way;
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
