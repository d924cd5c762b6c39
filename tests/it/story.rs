//! The main job as people live it, by mail alone: an invoice comes in, somebody is asked and answers, the run completes.
//! And what must be true in the end, whatever happened in between.

use std::collections::BTreeSet;

use countersign::config::sections::Limits;
use countersign::domain::message::Message;
use countersign::domain::notice::NoticeStatus;
use countersign::domain::run::RunStatus;
use countersign::mime;

use crate::daemon::{Site, repository};
use crate::state::State;
use crate::{imap_rig, rig};

/// How the approver decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decided {
    ByMail,
    OnThePage,
}

/// Whether the approver may have got the same mail twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeats {
    Never,
    /// Delivery is at least once: under the same Message-ID, and told in the audit trail.
    IfTold,
}

impl Site {
    /// The supplier mails the invoice with its order to `mailbox`; returns when it lies there.
    pub async fn mail_in(&self, mailbox: &str) {
        let before = rig::inbox(mailbox).await.len();
        let text = repository("config/demo/mail/01-invoice-with-po.eml");
        let text = from_its_author(&text)
            .replace("billing@nordwind.example", &self.supplier)
            .replace("ap@acme.example", mailbox);
        let port = rig::submission_port();
        rig::send(port, Some(&self.supplier), wire(&text).as_bytes(), &self.supplier, mailbox).await.expect("send");
        arrived(mailbox, before).await;
    }

    /// Waits until the approver is asked; the mail as a mail program reads it.
    pub async fn approval(&self) -> Message {
        let raw =
            rig::wait_for("the approval mail", async || rig::inbox(&self.approver).await.into_iter().next()).await;
        read(&raw)
    }

    /// The approver answers that mail; returns when the answer lies in the mailbox.
    pub async fn approve(&self, asked: &Message) {
        let before = rig::inbox(&self.mailbox).await.len();
        let reply_to = &asked.reply_to.first().expect("a Reply-To").address;
        let text = from_its_author(&repository("config/demo/mail/01-approval.eml"))
            .replace("olivia@acme.example", &self.approver)
            .replace("{{notice}}", asked.message_id.as_deref().expect("a Message-ID"))
            .replace("{{reply_to}}", reply_to)
            .replace("{{subject}}", &asked.subject);
        let port = rig::submission_port();
        rig::send(port, Some(&self.approver), wire(&text).as_bytes(), &self.approver, reply_to).await.expect("send");
        arrived(&self.mailbox, before).await;
    }

    /// Waits for the end of the story and checks it.
    pub async fn ends_well(&self, decided: Decided, repeats: Repeats) -> State {
        let mails = if decided == Decided::ByMail { 2 } else { 1 };
        self.wait_for_state("the run to complete and all mail to be flagged", |state| {
            let completed = state.runs.iter().any(|run| run.status == RunStatus::Completed);
            let failed = state.runs.iter().any(|run| run.status == RunStatus::Failed);
            assert!(!failed, "the run failed: {:?}", state.runs[0].failure);
            let flagged = state.messages.iter().filter(|message| message.flagged_at.is_some()).count();
            (completed && flagged == mails).then_some(())
        })
        .await;
        let state = self.state().await.expect("the database");
        let verdicts: Vec<_> = state.messages.iter().filter_map(|message| message.verdict.as_deref()).collect();
        assert_eq!(verdicts, ["start", "resume"][..mails], "{:?}", state.messages);
        assert_eq!(state.count("message.screened"), mails, "every message is decided once");
        assert_eq!(state.runs.len(), 1, "one mail, one run");
        assert_eq!(state.count("run.completed"), 1);
        let postings = self.postings();
        assert_eq!(postings.len(), 1, "one posting: {postings:?}");
        let posting = postings.values().next().expect("a posting");
        assert_eq!(posting["record"]["total"], "1190.00", "{posting}");
        assert_eq!(posting["record"]["approved_by"], "olivia", "{posting}");

        let sent = state.notices.iter().filter(|notice| notice.status == NoticeStatus::Sent).count();
        assert_eq!((state.notices.len(), sent), (1, 1), "{:?}", state.notices);
        let inbox = rig::inbox(&self.approver).await;
        let ids: BTreeSet<_> = inbox.iter().map(|raw| read(raw).message_id.expect("a Message-ID")).collect();
        assert_eq!(ids.len(), 1, "one approval mail for one request: {ids:?}");
        if inbox.len() > 1 {
            assert_eq!(repeats, Repeats::IfTold, "the approver got the mail {} times", inbox.len());
            assert!(state.count("notice.sent_again") >= inbox.len() - 1, "a repeat that the audit trail hides");
        }
        assert_eq!(rig::inbox(&self.supplier).await.len(), 0, "the supplier is not bothered");
        assert_eq!(self.flagged(&self.mailbox).await, (mails, 0), "flags on the server");
        state
    }

    /// How many messages the server shows as seen, and as unseen.
    pub async fn flagged(&self, mailbox: &str) -> (usize, usize) {
        let mut imap = imap_rig::raw(mailbox).await;
        (imap.count("UID SEARCH SEEN").await, imap.count("UID SEARCH UNSEEN").await)
    }
}

async fn arrived(mailbox: &str, before: usize) {
    rig::wait_for("the mail to arrive", async || (rig::inbox(mailbox).await.len() > before).then_some(())).await;
}

/// What the sender wrote, without what servers added on the way: the rig's add their own.
fn from_its_author(text: &str) -> String {
    text.split_once("\nFrom: ").map(|(_, rest)| format!("From: {rest}")).expect("a From")
}

fn wire(text: &str) -> String {
    text.lines().map(|line| format!("{line}\r\n")).collect()
}

pub fn read(raw: &[u8]) -> Message {
    let limits = Limits::default();
    mime::parse(raw, &mime::Options { limits: &limits, authserv_ids: &[] })
        .unwrap_or_else(|_| panic!("unreadable mail"))
}
