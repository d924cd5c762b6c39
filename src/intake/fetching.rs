//! The side of a poll that has the connection: it orders bodies ahead, hands whole windows over, and orders the marks of those
//! that were decided. It decides nothing.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::{Sender, UnboundedReceiver};
use tokio::task::JoinHandle;

use super::mark;
use super::message::Settled;
use super::read::{Reader, Taken};
use super::window::{self, Window, size_of};
use super::{Intake, IntakeError};
use crate::config::sections::Mailbox as MailboxConfig;
use crate::domain::crash;
use crate::domain::ids::MessageId;
use crate::domain::verdict::{Decision, Verdict};
use crate::mailbox::flow::{Done, Flow, Order, Wanted};
use crate::mailbox::{Mailbox, MailboxError};
use crate::store::messages::{self, MessageRow};

/// Rows of the ledger looked up at once.
const ROWS: usize = 500;

/// Windows in hand: on the wire, being parsed, being decided.
const IN_HAND: usize = 3;

/// What is fetched at most, even to be quarantined unread: it is held in memory once.
const FETCH_LIMIT_BYTES: u64 = 256 << 20;

pub(super) struct Fetching<'a> {
    intake: &'a Intake,
    config: &'a MailboxConfig,
    reader: Reader,
    uid_validity: u32,
    flow: Flow<'a>,
    hand_over: Sender<Window>,
    reports: UnboundedReceiver<Vec<Settled>>,
    /// Rows of the ledger that come next.
    queue: VecDeque<MessageRow>,
    /// Whether the ledger may have more of them.
    more: bool,
    coming: VecDeque<Coming>,
    /// Messages between their order and their report.
    in_hand: HashSet<MessageId>,
    /// Windows handed over and not reported.
    handed: usize,
    /// Messages whose mark is under way.
    marking: Vec<(String, MessageId)>,
    /// Messages that the server has flagged and the ledger does not know of yet.
    flagged: Vec<MessageId>,
    /// How many the server has flagged.
    marked: usize,
    /// Why the server does not flag; fetching goes on.
    refused: Option<MailboxError>,
}

/// How fetching ended.
pub(super) struct Fetched {
    /// An error when the connection is of no more use, or the server refused a mark.
    pub result: Result<(), IntakeError>,
    /// Messages that the server has flagged and the ledger does not know of yet.
    pub flagged: Vec<MessageId>,
    /// How many the server has flagged.
    pub marked: usize,
}

/// A window whose bodies are coming.
struct Coming {
    /// Each with what becomes of it, once it is there.
    mails: Vec<(MessageRow, Option<JoinHandle<Taken>>)>,
    room: OwnedSemaphorePermit,
}

impl<'a> Fetching<'a> {
    pub fn new(
        intake: &'a Intake,
        config: &'a MailboxConfig,
        reader: Reader,
        mailbox: &'a mut dyn Mailbox,
        hand_over: Sender<Window>,
        reports: UnboundedReceiver<Vec<Settled>>,
    ) -> Self {
        Self {
            intake,
            config,
            reader,
            uid_validity: mailbox.uid_validity(),
            flow: Flow::new(mailbox),
            hand_over,
            reports,
            queue: VecDeque::new(),
            more: true,
            coming: VecDeque::new(),
            in_hand: HashSet::new(),
            handed: 0,
            marking: vec![],
            flagged: vec![],
            marked: 0,
            refused: None,
        }
    }

    /// Fetches until the ledger has no open row that may be tried now, and every decided one is flagged; or until nobody
    /// decides any more. At its end nothing more is handed over.
    pub async fn run(mut self) -> Fetched {
        let result = self.drain().await;
        Fetched { result, flagged: self.flagged, marked: self.marked }
    }

    async fn drain(&mut self) -> Result<(), IntakeError> {
        loop {
            while let Ok(settled) = self.reports.try_recv() {
                self.settled(settled).await?;
            }
            self.order_ahead().await?;
            if !self.hand_over_next().await {
                return Ok(());
            }
            match self.flow.next().await? {
                Some(Done::Body { uid, body }) => self.came(&uid, body),
                Some(Done::Marked { uids, result }) => self.was_marked(&uids, result),
                None if self.is_whole() => {}
                None if self.handed > 0 => {
                    let Some(settled) = self.reports.recv().await else { return Ok(()) };
                    self.settled(settled).await?;
                }
                None if self.coming.is_empty() => break,
                None => {
                    let what = "fetch messages".to_owned();
                    return Err(MailboxError::Protocol { what, why: "the server forgot some".into() }.into());
                }
            }
        }
        self.refused.take().map_or(Ok(()), |error| Err(error.into()))
    }

    /// Orders windows as long as there are rows and room.
    async fn order_ahead(&mut self) -> Result<(), IntakeError> {
        while self.coming.len() + self.handed < IN_HAND {
            if self.queue.is_empty() && self.more {
                self.refill().await?;
            }
            let rows = window::cut(&mut self.queue);
            if rows.is_empty() {
                break;
            }
            // Whoever holds room may only wait for what it holds itself.
            let may_wait = self.coming.is_empty() && self.handed == 0;
            let Some(room) = self.intake.room_for(rows.iter().map(size_of).sum(), may_wait).await else {
                rows.into_iter().rev().for_each(|row| self.queue.push_front(row));
                break;
            };
            self.in_hand.extend(rows.iter().map(|row| row.id));
            let here = i64::from(self.uid_validity);
            let wanted: VecDeque<_> = rows
                .iter()
                .filter(|row| row.uid_validity == here)
                .map(|row| Wanted { uid: row.uid.clone(), size_bytes: size_of(row) })
                .collect();
            let mails = rows.into_iter().map(|row| {
                let is_elsewhere = row.uid_validity != here;
                let elsewhere = is_elsewhere.then(|| Taken::closed(row.clone(), renumbered()));
                (row, elsewhere.map(|taken| tokio::spawn(async move { taken })))
            });
            self.coming.push_back(Coming { mails: mails.collect(), room });
            if !wanted.is_empty() {
                self.flow.order(Order::Fetch { wanted, limit_bytes: FETCH_LIMIT_BYTES }).await?;
            }
        }
        Ok(())
    }

    async fn refill(&mut self) -> Result<(), IntakeError> {
        if self.intake.is_held(self.config, self.uid_validity).await? {
            self.more = false;
            return Ok(());
        }
        let most = i64::try_from(ROWS + self.in_hand.len()).unwrap_or(i64::MAX);
        let mut tx = self.intake.engine.store.read().await?;
        let rows = messages::open(&mut tx, &self.config.name, self.intake.engine.clock.now(), most).await?;
        self.queue.extend(rows.into_iter().filter(|row| !self.in_hand.contains(&row.id)));
        self.more = !self.queue.is_empty();
        Ok(())
    }

    /// Whether every message of the first window is there.
    fn is_whole(&self) -> bool {
        self.coming.front().is_some_and(|window| window.mails.iter().all(|(_, mail)| mail.is_some()))
    }

    /// Hands whole windows over, in their order. False when nobody takes them.
    async fn hand_over_next(&mut self) -> bool {
        while self.is_whole() {
            let Some(Coming { mails, room }) = self.coming.pop_front() else { break };
            let mails = mails.into_iter().filter_map(|(_, mail)| mail).collect();
            let window = Window { mails, flagged: std::mem::take(&mut self.flagged), room };
            if self.hand_over.send(window).await.is_err() {
                return false;
            }
            self.handed += 1;
        }
        true
    }

    fn came(&mut self, uid: &str, body: Result<Vec<u8>, MailboxError>) {
        let here = i64::from(self.uid_validity);
        let mut mails = self.coming.iter_mut().flat_map(|window| &mut window.mails);
        let wanted = |mail: &&mut (MessageRow, _)| mail.0.uid == uid && mail.0.uid_validity == here;
        if let Some((row, mail)) = mails.find(wanted) {
            *mail = Some(tokio::spawn(self.reader.clone().take(row.clone(), body)));
        }
    }

    /// Orders the marks of a window that was decided.
    async fn settled(&mut self, settled: Vec<Settled>) -> Result<(), IntakeError> {
        self.handed -= 1;
        let is_here = |one: &Settled| one.delivery.uid_validity == self.uid_validity;
        let (here, elsewhere): (Vec<_>, Vec<_>) = settled.into_iter().partition(is_here);
        // Those of a rebuilt folder are on no server.
        self.flagged.extend(elsewhere.iter().map(|one| one.id));
        for (after, settled) in mark::by_after(self.config, here, |one| one.mark.clone()) {
            if self.refused.is_some() {
                continue;
            }
            let uids = settled.iter().map(|one| one.delivery.uid.clone()).collect();
            self.marking.extend(settled.into_iter().map(|one| (one.delivery.uid, one.id)));
            self.flow.order(Order::Mark { uids, after }).await?;
        }
        Ok(())
    }

    fn was_marked(&mut self, uids: &[String], result: Result<(), MailboxError>) {
        let marked = self.marking.extract_if(.., |(uid, _)| uids.contains(uid)).map(|(_, id)| id);
        match result {
            Ok(()) => {
                let before = self.flagged.len();
                self.flagged.extend(marked);
                self.marked += self.flagged.len() - before;
                crash::point("intake.flagged");
            }
            Err(error) => {
                drop(marked);
                self.refused = Some(error);
            }
        }
    }
}

/// The verdict on a row that its UID does not lead to any more.
fn renumbered() -> Decision {
    let reason =
        "the folder was rebuilt (UIDVALIDITY changed) before it was read; it is listed again under its new UID";
    Decision::by_guard("uid-validity", Verdict::Ignore, reason)
}

impl Intake {
    /// Room for so many bytes among those in flight in this process; more than there is counts as all of it. None when there
    /// is none now and it may not be waited for.
    async fn room_for(&self, bytes: u64, may_wait: bool) -> Option<OwnedSemaphorePermit> {
        let wanted = u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX).min(self.room_kib);
        let room = Arc::clone(&self.room);
        if may_wait { room.acquire_many_owned(wanted).await.ok() } else { room.try_acquire_many_owned(wanted).ok() }
    }
}
