//! Intake while something else fails: the mailbox, the store, the database.

use async_trait::async_trait;
use countersign::config::sections::After;
use countersign::domain::run::RunStatus;
use countersign::mailbox::{self, Listed, Mailbox, MailboxError};
use tokio::sync::Notify;

use crate::app::{TestApp, invoice, mail};
use crate::intake_features::{flagged_files, told};

/// A Maildir in which something happens at a fetch or a mark.
struct Meddled<F> {
    inner: Box<dyn Mailbox>,
    before_fetch: F,
    marks_fail: bool,
}

#[async_trait]
impl<F: FnMut(&str) + Send> Mailbox for Meddled<F> {
    fn uid_validity(&self) -> u32 {
        self.inner.uid_validity()
    }
    async fn list(&mut self, above: Option<&str>) -> Result<Vec<Listed>, MailboxError> {
        self.inner.list(above).await
    }
    async fn fetch(&mut self, uid: &str, limit_bytes: u64) -> Result<Vec<u8>, MailboxError> {
        (self.before_fetch)(uid);
        self.inner.fetch(uid, limit_bytes).await
    }
    async fn mark(&mut self, uids: &[String], after: &After) -> Result<(), MailboxError> {
        if self.marks_fail {
            return Err(MailboxError::Timeout { what: "store flags".into(), secs: 30 });
        }
        self.inner.mark(uids, after).await
    }
    async fn wait(&mut self, _: std::time::Duration, _: &Notify) -> Result<(), MailboxError> {
        Ok(())
    }
}

async fn meddled<F: FnMut(&str) + Send>(app: &TestApp, before_fetch: F, marks_fail: bool) -> Meddled<F> {
    let inner = mailbox::open(&app.app.config.mailboxes[0].source, None).await.unwrap();
    Meddled { inner, before_fetch, marks_fail }
}

#[tokio::test]
async fn a_message_that_somebody_removes_before_it_is_read_is_told_and_the_next_one_is_handled() {
    let app = TestApp::demo().await;
    let gone = app.deliver(&mail("x@y.example", "gone", "gone").raw());
    app.deliver(&invoice().raw());
    let path = app.path("mail/new").join(&gone.uid);
    let remove = |uid: &str| {
        if uid == gone.uid {
            std::fs::remove_file(&path).unwrap()
        }
    };
    let mut mailbox = meddled(&app, remove, false).await;
    app.app.intake.poll(&app.app.config.mailboxes[0], &mut mailbox).await.unwrap();
    app.settle().await;
    let told: Vec<_> = app.messages().await.iter().map(told).collect();
    assert!(told.contains(&"ignore gone: somebody removed it before it was read".to_owned()), "{told:?}");
    assert_eq!(app.run("AP-000001").await.status, RunStatus::Waiting);
    app.finish().await;
}

#[tokio::test]
async fn a_flag_that_fails_is_repeated_alone() {
    let app = TestApp::demo().await;
    app.deliver(&invoice().raw());
    let mut mailbox = meddled(&app, |_: &str| {}, true).await;
    let error = app.app.intake.poll(&app.app.config.mailboxes[0], &mut mailbox).await.unwrap_err();
    assert!(error.stops_the_mailbox(), "{error}");
    assert_eq!((app.runs().await.len(), flagged_files(&app, "cur")), (1, 0));
    let polled = app.poll().await.unwrap();
    assert_eq!((polled.listed, polled.decided, polled.flagged), (0, 0, 1));
    assert_eq!((app.runs().await.len(), flagged_files(&app, "cur")), (1, 1));
    app.settle().await;
    app.finish().await;
}

#[tokio::test]
async fn while_the_store_is_away_nothing_is_decided_or_flagged_and_it_works_again_later() {
    let app = TestApp::demo().await;
    app.deliver(&invoice().raw());
    app.deliver(&mail("who@elsewhere.example", "Invoice", "Pay.").raw());
    // A file where the directory was: root could write into a read-only one.
    std::fs::write(app.path("store"), b"not a directory").unwrap();
    for _turn in 0..20 {
        let error = app.poll().await.unwrap_err();
        assert!(error.stops_the_mailbox() && error.to_string().contains("write acme/"), "{error}");
        app.pass(chrono::TimeDelta::hours(1)).await;
    }
    assert!(app.messages().await.iter().all(|row| row.verdict.is_none() && row.attempts == 0));
    assert_eq!((flagged_files(&app, "cur"), app.runs().await.len()), (0, 0));
    std::fs::remove_file(app.path("store")).unwrap();
    let polled = app.poll().await.unwrap();
    assert_eq!((polled.listed, polled.decided, polled.flagged), (0, 2, 2));
    app.settle().await;
    assert_eq!(app.run("AP-000001").await.status, RunStatus::Waiting);
    app.finish().await;
}

#[tokio::test]
async fn while_the_database_is_away_nothing_is_flagged() {
    let app = TestApp::demo().await;
    app.deliver(&invoice().raw());
    app.app.engine.store.close().await;
    let error = app.poll().await.unwrap_err();
    assert!(error.stops_the_mailbox(), "{error}");
    assert_eq!(flagged_files(&app, "cur"), 0);
    assert!(!app.path("store").exists(), "nothing is filed that the ledger does not know");
}
