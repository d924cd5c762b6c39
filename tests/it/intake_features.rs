//! Intake: whatever comes in gets one row with a reason, keeps its bytes, and stands in the way of nothing else.

use std::path::PathBuf;

use countersign::domain::run::RunStatus;
use countersign::store::messages::MessageRow;
use serde_json::{Value, json};

use crate::app::{AP, NORDWIND, OLIVIA, SUNDA, TestApp, answer, invoice, invoice_without_po, mail, token_in};

/// `quarantine unparsable: the message has no bytes`
pub fn told(row: &MessageRow) -> String {
    let by = row.explanation.as_ref().and_then(|found| found.0.guard.clone().or(found.0.rule.clone()));
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    format!("{} {}: {}", text(&row.verdict), by.unwrap_or_else(|| "default".into()), text(&row.reason))
}

pub fn flagged_files(app: &TestApp, folder: &str) -> usize {
    let names = std::fs::read_dir(app.path("mail").join(folder)).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_string_lossy().ends_with(":2,S")).count()
}

/// Takes a bad message in, and a good one after it; gives what was said about the bad one.
async fn bad(raw: Vec<u8>) -> String {
    let app = TestApp::demo().await;
    let delivery = app.deliver(&raw);
    app.deliver(&invoice().raw());
    app.poll().await.unwrap();
    app.settle().await;
    let rows = app.messages().await;
    let (bad, good): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.id == delivery.message_id());
    assert_eq!((bad.len(), good.len(), good[0].verdict.as_deref()), (1, 1, Some("start")));
    assert_eq!(app.run("AP-000001").await.status, RunStatus::Waiting);
    assert_eq!(flagged_files(&app, "cur"), 2, "both are flagged");
    let kept = app.app.engine.blob.get(&format!("acme/{}/message.eml", delivery.transaction_id())).await.unwrap();
    assert!(kept == raw, "the bytes are kept as they came: {} of {}", kept.len(), raw.len());
    assert_eq!(bad[0].size_bytes, i64::try_from(raw.len()).unwrap());
    assert_eq!(app.events("message.screened").await.len(), 2);
    let told = told(bad[0]);
    app.finish().await;
    told
}

#[tokio::test]
async fn what_cannot_be_read_is_quarantined_with_its_reason_and_the_next_message_is_handled() {
    let check = async |raw: &[u8], expected: &str| assert_eq!(bad(raw.to_vec()).await, expected);
    check(b"", "quarantine unparsable: empty: the message has no bytes").await;
    check(b"Hello, I am no mail at all\n", "quarantine unparsable: not_mime: the message has no header field").await;
    check(&[0xff, 0x00, 0xfe, b'\n', 0x80], "quarantine unparsable: not_mime: the message has no header field").await;
    check(b"Subject: no From\r\n\r\nInvoice\r\n", "quarantine default: unknown sender").await;
    let huge = [b"From: a@b.example\r\n\r\n".to_vec(), vec![b'x'; 30 << 20]].concat();
    let expected =
        "quarantine too-large: it has 31457301 bytes, more than the 26214400 that limits.message_bytes allows";
    check(&huge, expected).await;
}

#[tokio::test]
async fn every_odd_sample_is_decided_and_a_good_message_among_them_too() {
    let app = TestApp::demo().await;
    let mut samples: Vec<PathBuf> =
        std::fs::read_dir("tests/samples/mime").unwrap().map(|entry| entry.unwrap().path()).collect();
    samples.retain(|path| path.extension().is_some_and(|extension| extension == "eml"));
    assert!(samples.len() > 30);
    for (place, sample) in samples.iter().enumerate() {
        if place == samples.len() / 2 {
            app.deliver(&invoice().raw());
        }
        app.deliver(&std::fs::read(sample).unwrap());
    }
    let polled = app.poll().await.unwrap();
    assert_eq!(
        (polled.listed, polled.decided, polled.flagged),
        (samples.len() + 1, samples.len() + 1, samples.len() + 1)
    );
    app.settle().await;
    assert!(app.messages().await.iter().all(|row| row.verdict.is_some() && row.reason.is_some()));
    assert!(app.runs().await.iter().any(|run| run.status == RunStatus::Waiting));
    app.finish().await;
}

#[tokio::test]
async fn the_same_mail_delivered_twice_starts_once_and_says_so() {
    let app = TestApp::demo().await;
    let invoice = invoice();
    let first = app.receive(invoice.clone()).await;
    // Another way to us: other trace fields, the same mail.
    let again = app.receive([b"Received: from other.example\r\n".to_vec(), invoice.raw()].concat()).await;
    assert_eq!(told(&again), format!("ignore duplicate: the same mail was delivered before, as message {}", first.id));
    assert_eq!(again.duplicate_of, Some(first.id));
    assert_eq!((app.runs().await.len(), app.sent_to(OLIVIA).len()), (1, 1));
    app.finish().await;
}

#[tokio::test]
async fn what_was_quarantined_does_not_stand_in_the_way_of_its_better_repeat() {
    let app = TestApp::demo().await;
    let invoice = invoice();
    let unproven = app.receive(invoice.clone().unproven()).await;
    assert!(told(&unproven).starts_with("quarantine posing-as-supplier"), "{}", told(&unproven));
    let proven = app.receive(invoice).await;
    assert!(told(&proven).starts_with("start ap-known"), "{}", told(&proven));
    app.finish().await;
}

#[tokio::test]
async fn our_own_mail_that_comes_back_starts_nothing() {
    for from in ["Acme accounts payable <ap@acme.example>", "Countersign <noreply@acme.example>"] {
        let app = TestApp::configured("Acme accounts payable <ap@acme.example>", from).await;
        app.receive(invoice()).await;
        let sent = std::fs::read_dir(app.path("outgoing")).unwrap().next().unwrap().unwrap().path();
        let before = app.outbox().len();
        let row = app.receive(std::fs::read(sent).unwrap()).await;
        assert_eq!(told(&row), "ignore own-mail: our own mail came back to us", "{from}");
        assert_eq!((app.runs().await.len(), app.outbox().len()), (1, before));
        app.finish().await;
    }
}

#[tokio::test]
async fn a_mail_loop_is_cut() {
    let app = TestApp::demo().await;
    let hops = "Received: from a.example by b.example; Mon, 02 Mar 2026 09:00:00 +0000\r\n".repeat(61);
    let row = app.receive([hops.into_bytes(), invoice().raw()].concat()).await;
    assert_eq!(told(&row), "quarantine loop: it has passed 61 servers: a mail loop");
    assert!(app.runs().await.is_empty() && app.outbox().is_empty());
    app.finish().await;
}

#[tokio::test]
async fn an_automatic_reply_to_nothing_of_ours_is_ignored() {
    let app = TestApp::demo().await;
    let row =
        app.receive(mail(NORDWIND, "Out of office", "Back on Monday.").header("Auto-Submitted", "auto-replied")).await;
    assert_eq!(told(&row), "ignore auto-reply: an automatic reply to nothing that we asked");
    assert!(app.outbox().is_empty());
    app.finish().await;
}

#[tokio::test]
async fn a_supplier_without_document_is_told_at_most_three_times_a_day() {
    let app = TestApp::demo().await;
    for turn in 0..5 {
        let row = app.receive(mail(NORDWIND, &format!("Invoice {turn}"), "Please find it attached.")).await;
        assert!(told(&row).starts_with("reply supplier-without-document"), "{}", told(&row));
        assert_eq!(row.reason.unwrap().contains("not answered"), turn >= 3);
    }
    assert_eq!(app.sent_to(NORDWIND).len(), 3);
    app.clock.advance(chrono::TimeDelta::days(2));
    app.receive(mail(NORDWIND, "Invoice 9", "Attached.")).await;
    assert_eq!(app.sent_to(NORDWIND).len(), 4);
    app.finish().await;
}

#[tokio::test]
async fn documents_of_a_reply_join_the_transaction_that_they_answer() {
    let app = TestApp::demo().await;
    let asking = app.receive(invoice_without_po()).await;
    let po = answer(SUNDA, &app.last_to(SUNDA), "Here.").attach_file("config/demo/documents/po-88002.pdf");
    let reply = app.receive(po).await;
    let after = app.stored(&asking).await;
    let joined: Vec<_> =
        after.iter().filter(|path| path.starts_with(&format!("parts/{}/", reply.id.0.simple()))).collect();
    assert_eq!(joined.len(), 1, "{after:?}");
    assert_eq!((reply.run_id, reply.wait_id.is_some()), (asking.run_id, true));
    app.finish().await;
}

#[tokio::test]
async fn injected_bytes_count_once_and_only_for_a_mailbox_that_exists() {
    let app = TestApp::demo().await;
    let raw = invoice().raw();
    let first = app.app.intake.inject("ap", raw.clone()).await.unwrap();
    assert_eq!(first.decision.unwrap().verdict.name(), "start");
    let again = app.app.intake.inject("ap", raw.clone()).await.unwrap();
    assert!(again.decision.is_none() && again.id == first.id);
    app.settle().await;
    assert_eq!(app.runs().await.len(), 1);
    let wrong = app.app.intake.inject("ar", raw.clone()).await.unwrap_err().to_string();
    assert_eq!(wrong, "there is no mailbox `ar`; there are: ap");
    assert_eq!(app.messages().await.len(), 1);
    // The same mail by the mailbox is a duplicate, whatever way it came first.
    assert!(told(&app.receive(raw).await).starts_with("ignore duplicate"));
    app.finish().await;
}

#[tokio::test]
async fn an_injected_message_that_is_too_large_is_quarantined_with_its_bytes() {
    let app = TestApp::demo().await;
    let raw = [b"From: a@b.example\r\n\r\n".to_vec(), vec![b'x'; 27 << 20]].concat();
    let injected = app.app.intake.inject("ap", raw).await.unwrap();
    assert_eq!(injected.decision.unwrap().verdict.name(), "quarantine");
    assert_eq!(app.stored(&app.messages().await[0]).await, ["message.eml"]);
    app.finish().await;
}

#[tokio::test]
async fn a_rule_that_cannot_feed_its_workflow_quarantines() {
    let rules = r#"
        [[rule]]
        name = "no-documents"
        known_supplier = true
        start = "ap-invoice"
        inputs = { sender = "{{ from }}" }
        [default]
        quarantine = "unknown sender"
    "#;
    let app = TestApp::with(&[("rules/ap.toml", rules)]).await;
    let row = app.receive(invoice()).await;
    let expected =
        "quarantine no-documents: rule wanted to start ap-invoice, but workflow ap-invoice needs input `documents`";
    assert_eq!(told(&row), expected);
    assert!(app.runs().await.is_empty());
    app.finish().await;
}

#[tokio::test]
async fn a_working_directory_tells_everything_about_its_message() {
    let app = TestApp::demo().await;
    let row = app.receive(invoice().header("Message-ID", "<4711@nordwind.example>")).await;
    let stored = app.stored(&row).await;
    assert_eq!(stored.iter().filter(|path| path.starts_with("parts/")).count(), 2, "{stored:?}");
    let path = format!("acme/{}/transaction.json", row.transaction_id);
    let text = String::from_utf8(app.app.engine.blob.get(&path).await.unwrap()).unwrap();
    let masked = text.replace(&row.transaction_id.to_string(), "TRANSACTION").replace(&row.uid, "UID");
    let record: Value = serde_json::from_str(&masked.replace(&row.id.to_string(), "MESSAGE")).unwrap();
    insta::assert_json_snapshot!(record);
}

#[tokio::test]
async fn a_mail_that_a_person_has_read_before_us_is_taken_in_all_the_same() {
    let app = TestApp::demo().await;
    let delivery = app.deliver(&invoice().raw());
    let read = app.path("mail/cur").join(format!("{}:2,S", delivery.uid));
    std::fs::rename(app.path("mail/new").join(&delivery.uid), read).unwrap();
    app.poll().await.unwrap();
    app.settle().await;
    assert_eq!(app.run("AP-000001").await.status, RunStatus::Waiting);
    app.finish().await;
}

#[tokio::test]
async fn quarantined_mail_is_moved_aside_and_the_rest_flagged() {
    let app =
        TestApp::configured("plus_address = true", "plus_address = true\nafter_quarantine = { move = \"Quarantine\" }")
            .await;
    app.receive(mail("who@elsewhere.example", "Invoice", "Pay.")).await;
    app.receive(invoice()).await;
    assert_eq!(flagged_files(&app, "cur"), 1);
    let moved = |part| std::fs::read_dir(app.path("mail/.Quarantine").join(part)).unwrap().count();
    assert_eq!(moved("new") + moved("cur"), 1);
    let polled = app.poll().await.unwrap();
    assert!(polled.did_nothing(), "{polled:?}");
    app.finish().await;
}

#[tokio::test]
async fn no_mail_of_ours_and_no_log_of_the_trail_holds_a_token_but_its_own() {
    let app = TestApp::demo().await;
    app.receive(invoice()).await;
    let token = token_in(&app.last_to(OLIVIA));
    app.pass(chrono::TimeDelta::days(60)).await;
    let mails = app.outbox().iter().filter(|mail| mail.text.contains(&token)).count();
    assert_eq!(mails, 1);
    for kind in ["wait.opened", "wait.climbed", "notice.sent", "message.screened", "run.launched"] {
        let events = app.events(kind).await;
        assert!(!events.is_empty(), "{kind}");
        assert!(!json!(events).to_string().contains(&token), "{kind}");
    }
    assert!(app.outbox().iter().all(|mail| mail.from[0].same_as(AP)));
    app.finish().await;
}
