//! What rules have done besides their verdict: mail is forwarded, moved and tagged, people are told; once, and said.

use chrono::TimeDelta;
use countersign::cli::{self, Command, Ending, Format, Quarantine};
use countersign::domain::message::Message;
use countersign::store::messages::{self, MessageRow};
use countersign::store::tags;

use crate::app::{FRANK, NORDWIND, OLIVIA, TestApp, invoice, mail};
use crate::daemon::{Daemon, Site};
use crate::intake_features::told;
use crate::rig;

const LEGAL: &str = "legal@acme.example";

const CONTRACT: &str = r#"
[[rule]]
name = "contract-copy"
subject = "*contract*"
ignore = "a contract: legal has it"
also = { forward = "legal@acme.example", move = "Contracts", tag = "contract", notify = ["role:finance-lead", "frank"] }
"#;

async fn with_rules(rules: &str) -> TestApp {
    TestApp::with(&[("rules/ap.toml", rules)]).await
}

fn also(row: &MessageRow) -> Vec<String> {
    row.explanation.as_ref().map(|told| told.0.also.iter().map(|also| also.told()).collect()).unwrap_or_default()
}

/// Messages in a folder of the Maildir.
fn lying_in(app: &TestApp, folder: &str) -> usize {
    let files = |part: &str| std::fs::read_dir(app.path("mail").join(folder).join(part)).map_or(0, Iterator::count);
    files("new") + files("cur")
}

fn holds(whole: &[u8], part: &[u8]) -> bool {
    whole.windows(part.len()).any(|window| window == part)
}

/// The outgoing mail to an address as it went over the wire.
fn wire_to(app: &TestApp, address: &str) -> Vec<u8> {
    let files = std::fs::read_dir(app.path("outgoing")).unwrap().map(|entry| std::fs::read(entry.unwrap().path()));
    let to = format!("<{address}>\r\n");
    files.map(Result::unwrap).find(|raw| holds(raw, to.as_bytes())).expect("a mail to that address")
}

async fn row(app: &TestApp, message: &MessageRow) -> MessageRow {
    messages::get(&mut app.tx().await, message.id).await.unwrap()
}

#[tokio::test]
async fn a_rule_forwards_moves_tags_and_notifies_besides_its_verdict() {
    let app = with_rules(CONTRACT).await;
    let raw = mail(NORDWIND, "A frame contract", "Please sign.").attach("contract.pdf", b"%PDF-1.4").raw();
    let message = app.receive(raw.clone()).await;
    assert_eq!(told(&message), "ignore contract-copy: a contract: legal has it");
    let done = ["forwarded to legal@acme.example", "moved to folder Contracts", "tagged contract"];
    let done: Vec<_> = done.into_iter().chain(["told role:finance-lead", "told frank"]).collect();
    assert_eq!(also(&message), done);
    let event = app.events("message.screened").await.remove(0);
    assert_eq!(event.data["also"], serde_json::json!(done));

    let forwarded = wire_to(&app, LEGAL);
    assert!(holds(&forwarded, &raw), "attached byte for byte");
    for line in ["Auto-Submitted: auto-forwarded", "Content-Type: message/rfc822", "Subject: Fwd: A frame contract"] {
        assert!(holds(&forwarded, format!("{line}\r\n").as_bytes()), "{line}: {}", String::from_utf8_lossy(&forwarded));
    }
    let [note] = app.sent_to(FRANK).try_into().expect("Frank is told once, by name and role");
    assert_eq!(note.subject, "ignore: A frame contract");
    for said in ["Hello Frank Feld", "a contract: legal has it", NORDWIND, "contract-copy"] {
        assert!(note.text.contains(said), "{said}: {}", note.text);
    }
    assert_eq!((lying_in(&app, ""), lying_in(&app, ".Contracts")), (0, 1));
    assert_eq!(tags::of_message(&mut app.tx().await, message.id).await.unwrap(), ["contract"]);

    let said = async |command| cli::tell(command, &app.app.context(), None).await.unwrap().text;
    let explained = said(Command::Explain { id: message.id.to_string() }).await;
    assert!(explained.contains("\nAlso: forwarded to legal@acme.example.\n"), "{explained}");
    assert!(explained.contains("\nIts tags: contract.\n"), "{explained}");
    let report =
        |tag: &str| Command::Report { format: Format::Json, since: None, status: None, tag: Some(tag.to_owned()) };
    assert!(said(report("contract")).await.contains("A frame contract"));
    assert_eq!(said(report("other")).await, "[]\n");

    // What went out comes back, and goes no further.
    let back = app.receive(forwarded).await;
    assert_eq!(told(&back), "ignore own-mail: our own mail came back to us");
    assert_eq!(app.sent_to(LEGAL).len(), 1);
    app.finish().await;
}

#[tokio::test]
async fn nothing_is_forwarded_to_where_it_came_from_and_the_rest_is_done() {
    let rules = CONTRACT.replace(LEGAL, NORDWIND);
    let app = with_rules(&rules).await;
    let message = app.receive(mail(NORDWIND, "A contract", "x")).await;
    let all = also(&message);
    assert_eq!(all[0], format!("not forwarded to {NORDWIND}: the mail came from there"));
    assert_eq!((all[1].as_str(), app.sent_to(NORDWIND).len()), ("moved to folder Contracts", 0));
    app.finish().await;
}

#[tokio::test]
async fn a_mail_whose_bytes_cannot_go_as_a_mail_is_forwarded_as_a_file() {
    let app = with_rules(CONTRACT).await;
    let raw = mail(NORDWIND, "A contract", "für Sie").raw();
    app.receive(raw.clone()).await;
    let sent: Message = app.last_to(LEGAL);
    let attached = sent.parts.iter().find(|part| part.name.as_deref() == Some("message.eml")).expect("attached");
    assert_eq!(attached.size_bytes, raw.len() as u64);
    app.finish().await;
}

#[tokio::test]
async fn what_a_rule_wants_besides_is_not_done_when_its_verdict_cannot_be() {
    let rules = CONTRACT.replace("ignore = \"a contract: legal has it\"", "start = \"ap-invoice\"");
    let app = with_rules(&rules).await;
    let message = app.receive(mail(NORDWIND, "A contract", "x")).await;
    assert!(told(&message).starts_with("quarantine contract-copy: rule wanted to start ap-invoice"), "{message:?}");
    assert!(also(&message).iter().all(|also| also.ends_with("the verdict could not be carried out")));
    assert!(app.outbox().is_empty() && tags::of_message(&mut app.tx().await, message.id).await.unwrap().is_empty());
    assert_eq!((lying_in(&app, ""), lying_in(&app, ".Contracts")), (1, 0));
    app.finish().await;
}

#[tokio::test]
async fn a_start_forwards_in_the_name_of_its_run_and_the_default_can_notify() {
    let rules = include_str!("../../rules/ap.toml")
        .replacen("start = \"ap-invoice\"", "start = \"ap-invoice\"\nalso = { forward = \"legal@acme.example\" }", 1)
        .replace("[default]\n", "[default]\nalso = { notify = \"frank\", template = \"notify\" }\n");
    let app = with_rules(&rules).await;
    app.receive(invoice()).await;
    assert!(app.last_to(LEGAL).subject.starts_with("[AP-000001] Fwd: "));
    assert_eq!((app.sent_to(OLIVIA).len(), app.sent_to(FRANK).len()), (1, 0));
    app.receive(mail("somebody@elsewhere.example", "Hello", "x")).await;
    assert_eq!(app.last_to(FRANK).subject, "quarantine: Hello");
    app.finish().await;
}

#[tokio::test]
async fn a_release_does_what_the_rule_of_now_wants_besides_and_moves_the_mail_from_where_it_was_left() {
    let afternoon = "window = { hours = \"14:00-18:00\", zone = \"Europe/Berlin\" }\nsubject";
    let rules = CONTRACT.replace("\nsubject", &format!("\n{afternoon}"));
    let rules = format!("{rules}\n[default]\nquarantine = \"come back later\"\nalso = {{ tag = \"held\" }}\n");
    let app = with_rules(&rules).await;
    let message = app.receive(mail(NORDWIND, "A contract", "x")).await;
    assert_eq!(also(&message), ["tagged held"]);
    assert_eq!((app.outbox().len(), lying_in(&app, ""), message.move_to.as_deref()), (0, 1, None));

    app.pass(TimeDelta::hours(5)).await;
    let what = Quarantine::Release { id: message.id.to_string(), as_user: "frank".into(), start: None };
    let released = cli::tell(Command::Quarantine { what }, &app.app.context(), None).await.unwrap();
    assert_eq!(released.ending, Ending::Done, "{}", released.text);
    app.settle().await;
    app.poll().await.unwrap();
    assert_eq!((app.sent_to(LEGAL).len(), app.sent_to(FRANK).len()), (1, 1));
    assert_eq!((lying_in(&app, ""), lying_in(&app, ".Contracts")), (0, 1));
    assert_eq!(tags::of_message(&mut app.tx().await, message.id).await.unwrap(), ["contract", "held"]);
    assert_eq!(app.events("message.released").await[0].data["also"][2], "tagged contract");
    let after = row(&app, &message).await;
    assert_eq!((also(&after), after.verdict.as_deref()), (vec!["tagged held".to_owned()], Some("quarantine")));
    let explain = Command::Explain { id: message.id.to_string() };
    let explained = cli::tell(explain, &app.app.context(), None).await.unwrap().text;
    assert!(explained.contains("At its release, also: moved to folder Contracts.\n"), "{explained}");
    app.finish().await;
}

/// A daemon whose first rule is about contracts, and a contract in its mailbox; gives the address it is forwarded to.
async fn contract_arrives(site: &Site) -> String {
    let legal = rig::fresh_user("legal");
    site.put(
        "rules/aa.toml",
        &CONTRACT.replace(LEGAL, &legal).replace("[\"role:finance-lead\", \"frank\"]", "\"olivia\""),
    );
    let (from, to) = (&site.supplier, &site.mailbox);
    let text =
        mail(from, "A frame contract", "Please sign.\n.\nA lone dot.").to(to).unproven().attach("c.pdf", &[7; 9000]);
    rig::send(rig::submission_port(), Some(from), &text.raw(), from, to).await.expect("send");
    rig::wait_for("the contract", async || rig::inbox(to).await.pop()).await;
    legal
}

async fn ends_in_its_folder_and_forwarded_once(site: &Site, legal: &str) {
    let filed = rig::wait_for("the contract in its folder", async || {
        rig::folder(&site.mailbox, "Contracts").await.filter(|mails| !mails.is_empty())
    })
    .await;
    assert_eq!((filed.len(), rig::inbox(&site.mailbox).await.len()), (1, 0));
    let copy = rig::wait_for("the forwarded mail", async || rig::inbox(legal).await.pop()).await;
    assert!(holds(&copy, &filed[0]), "the original, byte for byte: {}", String::from_utf8_lossy(&copy));
    rig::wait_for("the note", async || rig::inbox(&site.approver).await.pop()).await;
    let flagged = |message: &MessageRow| message.flagged_at.is_some();
    let done =
        site.wait_for_state("the flag", |state| state.messages.iter().all(flagged).then_some(state.messages.len()));
    assert_eq!((done.await, rig::inbox(legal).await.len(), rig::inbox(&site.approver).await.len()), (1, 1, 1));
}

#[tokio::test]
async fn a_forwarded_mail_arrives_byte_for_byte_and_the_original_lies_in_its_folder() {
    let site = Site::usual();
    let legal = contract_arrives(&site).await;
    let daemon = site.start().await;
    ends_in_its_folder_and_forwarded_once(&site, &legal).await;
    daemon.stop().await;
}

#[tokio::test]
async fn a_kill_between_commit_and_flag_moves_to_the_folder_of_the_rule_all_the_same() {
    for point in ["intake.committed", "intake.flagged"] {
        let site = Site::usual();
        let legal = contract_arrives(&site).await;
        let mut daemon: Daemon = site.start_armed(point);
        daemon.wait_for_death(point).await;
        let daemon = site.start().await;
        ends_in_its_folder_and_forwarded_once(&site, &legal).await;
        daemon.stop().await;
    }
}
