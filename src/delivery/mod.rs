//! From the outbox to people: claims a notice, renders it, hands it to its medium, and writes down what became of it.
//!
//! Delivery is at least once. A notice found in the hands of a process that died may have gone out; it goes again under the
//! same Message-ID, and the audit trail says so.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::TimeDelta;
use serde_json::{Map, Value};
use tracing::{info, warn};

use crate::behaviour::Live;
use crate::blob::Blob;
use crate::config::sections::Mailbox;
use crate::domain::crash;
use crate::domain::event::Event;
use crate::domain::notice::{FORWARD, NoticeStatus};
use crate::domain::person::Address;
use crate::domain::token::Binding;
use crate::engine::{Engine, EngineError};
use crate::notify::{Auto, Failing, File, Media, Outgoing};
use crate::store::notices::{self, NoticeRow};
use crate::store::{events, people, runs, tokens, waits};

/// How long a medium may hold a notice before another process takes it, in leases of the engine: a slow server needs
/// longer than a heartbeat.
const LEASES: i32 = 2;

/// How long a notice is tried before a person has to look (RFC 5321, 4.5.4.1: four to five days). A mail server may be away for
/// a weekend.
const GIVE_UP: TimeDelta = TimeDelta::days(4);

/// Attempts of which the last may have gone out; more would flood somebody with the same mail.
const MAX_UNSURE: i32 = 5;

/// Sends what the outbox holds.
pub struct Delivery {
    pub engine: Arc<Engine>,
    pub media: Media,
    /// What the words of notices are taken from.
    pub live: Arc<Live>,
    /// From of our mails.
    pub from: Address,
    /// What links start with; none when no page can be reached from outside.
    pub base_url: Option<String>,
    /// Address, and whether it takes plus tags, by mailbox.
    pub mailboxes: BTreeMap<String, ReplyAddress>,
}

#[derive(Debug, Clone)]
pub struct ReplyAddress {
    pub address: String,
    pub plus_address: bool,
}

impl ReplyAddress {
    /// The reply addresses of configured mailboxes.
    pub fn of(mailboxes: &[Mailbox]) -> BTreeMap<String, Self> {
        let reply = |mailbox: &Mailbox| Self { address: mailbox.address.clone(), plus_address: mailbox.plus_address };
        mailboxes.iter().map(|mailbox| (mailbox.name.clone(), reply(mailbox))).collect()
    }
}

/// What became of an attempt to send.
enum Sent {
    Yes(String),
    Later(String),
    /// It may have gone out: the answer was lost.
    Unsure(String),
    Never(String),
    /// Nobody is to answer it any more.
    Over,
}

impl Delivery {
    /// Sends one notice. False when none is due.
    pub async fn tick(&self) -> Result<bool, EngineError> {
        let now = self.engine.clock.now();
        let mut tx = self.engine.store.begin().await?;
        let Some(notice) = notices::claim(&mut tx, now, now + self.engine.lease * LEASES).await? else {
            return Ok(false);
        };
        if notice.status == NoticeStatus::Sending {
            let mut event = Event::new(now, "notice.sent_again", &notice.customer)
                .with("notice", notice.id.to_string())
                .with("why", "the process that sent it died; it may have gone out before");
            event.run = notice.run_id;
            events::append(&mut tx, &event).await?;
        }
        tx.commit().await?;
        crash::point("delivery.claimed");
        let sent = match self.compose(&notice).await {
            Ok(Ok(mail)) => self.send(&notice, &mail).await,
            Ok(Err(sent)) => sent,
            Err(error) if error.is_transient() => Sent::Later(error.to_string()),
            Err(error) => Sent::Never(error.to_string()),
        };
        crash::point("delivery.sent");
        self.settle(&notice, sent).await?;
        crash::point("delivery.marked");
        Ok(true)
    }

    async fn send(&self, notice: &NoticeRow, mail: &Outgoing) -> Sent {
        let Some(medium) = self.media.get(&notice.medium) else {
            return Sent::Never(format!("there is no medium `{}`", notice.medium));
        };
        match medium.send(mail).await {
            Ok(receipt) => Sent::Yes(receipt),
            Err(error) if error.kind == Failing::Permanent => Sent::Never(error.to_string()),
            Err(error) if error.is_unknown() => Sent::Unsure(error.to_string()),
            Err(error) => Sent::Later(error.to_string()),
        }
    }

    async fn settle(&self, notice: &NoticeRow, sent: Sent) -> Result<(), EngineError> {
        let now = self.engine.clock.now();
        let last = now - notice.created_at >= GIVE_UP;
        let pause = TimeDelta::seconds(5 << notice.attempts.clamp(0, 9));
        let (status, kind, detail) = match sent {
            Sent::Yes(receipt) => (NoticeStatus::Sent, "notice.sent", receipt),
            Sent::Unsure(why) if notice.attempts < MAX_UNSURE => (NoticeStatus::Pending, "notice.delayed", why),
            Sent::Later(why) if !last => (NoticeStatus::Pending, "notice.delayed", why),
            Sent::Over => (NoticeStatus::Void, "notice.void", "what it asks is settled".to_owned()),
            Sent::Unsure(why) | Sent::Later(why) | Sent::Never(why) => (NoticeStatus::Failed, "notice.failed", why),
        };
        match status {
            NoticeStatus::Sent => info!(notice.id = %notice.id, "{} sent", notice.template),
            NoticeStatus::Void => info!(notice.id = %notice.id, "{} not sent: {detail}", notice.template),
            _ => warn!(notice.id = %notice.id, "{} not sent: {detail}", notice.template),
        }
        let mut tx = self.engine.store.begin().await?;
        if notices::settle(&mut tx, notice, status, &detail, now + pause, now).await? {
            let mut event = Event::new(now, kind, &notice.customer)
                .with("notice", notice.id.to_string())
                .with("template", notice.template.as_str())
                .with("person", notice.person.as_str())
                .with("medium", notice.medium.as_str())
                .with("attempt", notice.attempts)
                .with("detail", detail);
            event.run = notice.run_id;
            events::append(&mut tx, &event).await?;
        }
        Ok(tx.commit().await?)
    }

    /// The mail of a notice: the same at every attempt. The inner error is what becomes of it instead.
    async fn compose(&self, notice: &NoticeRow) -> Result<Result<Outgoing, Sent>, EngineError> {
        let mut tx = self.engine.store.read().await?;
        let run = match notice.run_id {
            Some(id) => Some(runs::get(&mut tx, id).await?),
            None => None,
        };
        let token = match notice.token_id {
            Some(id) => {
                let token = tokens::get(&mut tx, id).await?;
                // Settled while the notice waited for its next attempt.
                if token.void_at.is_some() {
                    return Ok(Err(Sent::Over));
                }
                let wait = waits::get(&mut tx, token.wait_id).await?;
                let binding = Binding { id, wait: wait.id, generation: token.generation, person: &token.person };
                Some(self.engine.key.derive(&binding))
            }
            None => None,
        };
        let users = people::users(&mut tx, &notice.customer).await?;
        drop(tx);
        let user = users.iter().find(|user| user.name == notice.person).filter(|user| !user.full_name.is_empty());
        let called = user.map_or(notice.person.as_str(), |user| user.full_name.as_str());
        let reply = notice.mailbox.as_ref().and_then(|name| self.mailboxes.get(name));
        let link = token.as_ref().zip(self.base_url.as_ref()).map(|(token, base)| format!("{base}/l/{token}"));
        let mut data: Map<String, Value> = notice.data.0.clone();
        let mut set = |key: &str, value: Value| drop(data.insert(key.to_owned(), value));
        set("run", run.as_ref().map(|run| run.name.clone()).into());
        set("customer", notice.customer.as_str().into());
        set("person", greeting(called).into());
        set("link", link.into());
        set("reply_works", reply.is_some().into());
        let rendered = match self.live.current().templates.render(&notice.template, &data) {
            Ok(rendered) => rendered,
            Err(error) => return Ok(Err(Sent::Never(error.to_string()))),
        };
        let attachments = match attachments(&self.engine.blob, notice).await {
            Ok(attachments) => attachments,
            Err(sent) => return Ok(Err(sent)),
        };
        Ok(Ok(Outgoing {
            id: notice.id,
            from: self.from.clone(),
            to: Address::named(called, &notice.address),
            reply_to: reply.map(|reply| Address::new(&self.reply_address(reply, notice))),
            message_id: notice.header_message_id.clone(),
            in_reply_to: notice.in_reply_to.clone(),
            references: notice.in_reply_to.iter().cloned().collect(),
            subject: rendered.subject,
            text: rendered.text,
            html: rendered.html,
            attachments,
            auto: match &notice.in_reply_to {
                _ if notice.template == FORWARD => Auto::Forwarded,
                Some(_) => Auto::Replied,
                None => Auto::Generated,
            },
            date: notice.created_at,
        }))
    }

    fn reply_address(&self, reply: &ReplyAddress, notice: &NoticeRow) -> String {
        if reply.plus_address {
            crate::engine::notice::tagged_address(&reply.address, notice.id)
        } else {
            reply.address.clone()
        }
    }
}

async fn attachments(blob: &Blob, notice: &NoticeRow) -> Result<Vec<File>, Sent> {
    let mut files = vec![];
    for attachment in notice.attachments.iter() {
        let bytes = blob.get(&attachment.path).await.map_err(|error| match error.is_not_found() {
            true => Sent::Never(error.to_string()),
            false => Sent::Later(error.to_string()),
        })?;
        files.push(File { name: attachment.name.clone(), content_type: attachment.content_type.clone(), bytes });
    }
    Ok(files)
}

/// How somebody is greeted: a person by first name is too close, an address is nobody's name.
fn greeting(called: &str) -> String {
    if called.contains('@') { "all".into() } else { called.to_owned() }
}
