//! People: what counts as an answer, what does not and what its author is told, and what silence brings about.

use chrono::TimeDelta;
use countersign::domain::event::{canonical_json, sha256_hex};
use countersign::domain::message::Message;
use countersign::domain::run::RunStatus;
use countersign::domain::wait::{Choice, WaitStatus};
use countersign::engine::EngineError;
use countersign::engine::decide::Decided;
use countersign::people::link::{self, LinkState, Posted};
use countersign::people::operator;
use serde_json::{Value, json};

use crate::app::{FRANK, Mail, NORDWIND, OLIVIA, SUNDA, TestApp, answer, invoice, invoice_without_po, token_in};

const RUN: &str = "AP-000001";

/// A run that waits for olivia, and the mail that asks her.
async fn asked() -> (TestApp, Message) {
    let app = TestApp::demo().await;
    let row = app.receive(invoice()).await;
    assert_eq!(row.verdict.as_deref(), Some("start"), "{:?}", row.reason);
    assert_eq!(app.run(RUN).await.status, RunStatus::Waiting, "{}", app.progress(RUN).await);
    let mail = app.last_to(OLIVIA);
    (app, mail)
}

/// Hears one reply to the approval mail; gives what was recorded, how the run stands, and the mails that went out since.
async fn hears(reply: impl Fn(&Message) -> Mail) -> (String, RunStatus, Vec<Message>) {
    let (app, mail) = asked().await;
    let before = app.outbox().len();
    app.receive(reply(&mail)).await;
    let (said, run) = (app.said(RUN).await.join("; "), app.run(RUN).await);
    let told = app.outbox().split_off(before);
    app.finish().await;
    (said, run.status, told)
}

#[tokio::test]
async fn an_approval_by_mail_posts_once() {
    let (said, status, told) = hears(|mail| answer(OLIVIA, mail, "Approved, thanks\n\nOlivia")).await;
    assert_eq!((said.as_str(), status, told.len()), ("olivia decided approve", RunStatus::Completed, 0));
}

#[tokio::test]
async fn a_second_answer_is_late_and_its_author_is_told_what_was_decided() {
    let (app, mail) = asked().await;
    app.receive(answer(OLIVIA, &mail, "approve")).await;
    let before = app.outbox().len();
    let row = app.receive(answer(OLIVIA, &mail, "reject")).await;
    assert_eq!(app.said(RUN).await, ["olivia decided approve", "olivia late reject"]);
    assert_eq!(row.reason.as_deref(), Some("olivia had answered AP-000001 before"));
    let told = app.outbox().split_off(before);
    let [late] = told.as_slice() else { panic!("one mail back: {told:#?}") };
    assert!(late.text.contains("already decided by olivia: approve"), "{}", late.text);
    assert_eq!((app.run(RUN).await.status, app.postings().len()), (RunStatus::Completed, 1));
    app.finish().await;
}

#[tokio::test]
async fn the_same_answer_twice_is_one_vote_and_nobody_is_bothered() {
    let (app, mail) = asked().await;
    let before = app.outbox().len();
    app.receive(answer(OLIVIA, &mail, "approve")).await;
    app.receive(answer(OLIVIA, &mail, "Approved")).await;
    assert_eq!(app.said(RUN).await, ["olivia decided approve", "olivia repeated approve"]);
    assert_eq!((app.outbox().len(), app.postings().len()), (before, 1));
    app.finish().await;
}

#[tokio::test]
async fn a_link_decides_once_and_its_second_post_gets_the_same_receipt() {
    let (app, mail) = asked().await;
    let (engine, token) = (&app.app.engine, token_in(&mail));
    for _look in 0..2 {
        let view = link::look(engine, &token).await.unwrap().unwrap();
        assert_eq!((view.state, view.documents.len()), (LinkState::Open, 2));
    }
    let post = |choice| link::answer(engine, &token, choice, None);
    assert_eq!(post(Choice::Approve).await.unwrap(), Posted::Decided(Decided::Now));
    app.settle().await;
    assert_eq!(app.run(RUN).await.status, RunStatus::Completed);
    assert!(matches!(post(Choice::Approve).await.unwrap(), Posted::Decided(Decided::Repeated(_))));
    assert!(
        matches!(post(Choice::Reject).await.unwrap(), Posted::Decided(Decided::Late(first)) if first.by == "olivia")
    );
    assert!(matches!(link::look(engine, &token).await.unwrap().unwrap().state, LinkState::Answered { mine: true, .. }));
    assert_eq!(link::answer(engine, "no-such-token", Choice::Approve, None).await.unwrap(), Posted::Unknown);
    assert!(link::look(engine, "no-such-token").await.unwrap().is_none());
    app.finish().await;
}

#[tokio::test]
async fn another_address_with_our_token_only_comments() {
    let (said, status, told) = hears(|mail| answer(FRANK, mail, "approve")).await;
    assert_eq!((said.as_str(), status, told.len()), ("frank@acme.example comment -", RunStatus::Waiting, 0));
}

#[tokio::test]
async fn the_right_person_without_proof_is_refused_told_and_may_answer_again() {
    let (app, mail) = asked().await;
    app.receive(answer(OLIVIA, &mail, "approve").unproven()).await;
    assert_eq!(app.said(RUN).await, ["olivia refused -"]);
    assert_eq!(app.run(RUN).await.status, RunStatus::Waiting);
    let challenge = app.last_to(OLIVIA);
    assert!(challenge.text.contains("could not verify"), "{}", challenge.text);
    app.receive(answer(OLIVIA, &challenge, "approve")).await;
    assert_eq!(app.run(RUN).await.status, RunStatus::Completed);
    app.finish().await;
}

#[tokio::test]
async fn an_ambiguous_answer_is_asked_again_and_the_answer_to_that_counts() {
    for words in ["Approve if freight is removed", "approved? or rejected?", "yes and no"] {
        let (app, mail) = asked().await;
        app.receive(answer(OLIVIA, &mail, words)).await;
        assert_eq!(app.run(RUN).await.status, RunStatus::Waiting, "{words}");
        let again = app.last_to(OLIVIA);
        assert!(again.text.contains(words) && again.message_id != mail.message_id, "{}", again.text);
        app.receive(answer(OLIVIA, &again, "approve")).await;
        assert_eq!(app.run(RUN).await.status, RunStatus::Completed, "{words}");
        app.finish().await;
    }
}

#[tokio::test]
async fn a_quoted_approve_never_decides() {
    for body in [
        "> approve\n> reject",
        "On Mon, 2 Mar 2026, Countersign wrote:\n> approve",
        "I will look at it tomorrow.\n\n> approve",
        "\n\n",
    ] {
        let (said, status, _) = hears(|mail| answer(OLIVIA, mail, body)).await;
        assert_eq!((said.as_str(), status), ("olivia comment -", RunStatus::Waiting), "{body}");
    }
}

#[tokio::test]
async fn an_html_only_reply_is_read_without_what_it_quotes() {
    let html =
        "<html><body><div>Approved, thanks</div><blockquote type=\"cite\"><p>reject</p></blockquote></body></html>";
    let (said, status, _) = hears(|mail| answer(OLIVIA, mail, html).html()).await;
    assert_eq!((said.as_str(), status), ("olivia decided approve", RunStatus::Completed));
    let quoted = "<div></div><blockquote><p>approve</p></blockquote>";
    let (said, status, _) = hears(|mail| answer(OLIVIA, mail, quoted).html()).await;
    assert_eq!((said.as_str(), status), ("olivia comment -", RunStatus::Waiting));
}

#[tokio::test]
async fn a_rejection_completes_the_run_without_posting_and_finance_is_told() {
    let (app, mail) = asked().await;
    app.receive(answer(OLIVIA, &mail, "rejected\n\nwe never ordered this")).await;
    assert_eq!(app.run(RUN).await.status, RunStatus::Completed);
    assert!(app.progress(RUN).await.contains("post=skipped"), "{}", app.progress(RUN).await);
    assert!(app.postings().is_empty());
    let told = app.last_to(FRANK);
    assert!(told.text.contains("rejected") && told.text.contains("we never ordered this"), "{}", told.text);
    app.finish().await;
}

#[tokio::test]
async fn silence_reminds_then_escalates_and_what_was_asked_before_is_dead() {
    let (app, first) = asked().await;
    app.pass_to_next().await;
    let reminder = app.last_to(OLIVIA);
    assert!(reminder.message_id != first.message_id && app.sent_to(OLIVIA).len() == 2);
    app.pass_to_next().await;
    let escalation = app.last_to(FRANK);
    assert_eq!(app.open_wait(RUN).await.asked.iter().map(|asked| asked.person.clone()).collect::<Vec<_>>(), ["frank"]);

    for old in [&first, &reminder] {
        let posted = link::answer(&app.app.engine, &token_in(old), Choice::Approve, None).await.unwrap();
        assert_eq!(posted, Posted::Dead);
    }
    app.receive(answer(OLIVIA, &first, "approve")).await;
    assert_eq!(app.run(RUN).await.status, RunStatus::Waiting);
    assert!(app.last_to(OLIVIA).text.contains("somebody else has been asked"), "{}", app.last_to(OLIVIA).text);
    app.receive(answer(FRANK, &escalation, "approve")).await;
    assert_eq!(app.said(RUN).await, ["olivia late -", "frank decided approve"]);
    assert_eq!(app.run(RUN).await.status, RunStatus::Completed);
    assert_eq!(app.postings()[0]["record"]["approved_by"], "frank");
    app.finish().await;
}

#[tokio::test]
async fn an_approval_that_nobody_gives_expires_and_never_approves() {
    let (app, mail) = asked().await;
    for _rung in ["reminder", "escalation"] {
        app.pass_to_next().await;
    }
    let escalation = app.last_to(FRANK);
    app.pass_to_next().await;
    let run = app.run(RUN).await;
    assert_eq!((run.status, run.failure.unwrap().reason.as_str()), (RunStatus::Failed, "approval_expired"));
    assert!(app.postings().is_empty());
    let told = app.last_to(FRANK);
    assert!(told.subject.contains("failed"), "the workflow's owner is told: {}", told.subject);
    app.receive(answer(FRANK, &escalation, "approve")).await;
    app.receive(answer(OLIVIA, &mail, "approve")).await;
    assert_eq!((app.run(RUN).await.status, app.postings().len()), (RunStatus::Failed, 0));
    assert_eq!(app.said(RUN).await, ["frank late approve", "olivia late approve"]);
    app.finish().await;
}

#[tokio::test]
async fn down_across_all_deadlines_climbs_only_the_latest_rung_and_leaves_a_grace() {
    let (app, _) = asked().await;
    let before = app.outbox().len();
    app.pass(TimeDelta::days(60)).await;
    let told = app.outbox().split_off(before);
    assert_eq!(told.iter().map(|mail| mail.to[0].address.as_str()).collect::<Vec<_>>(), [FRANK], "one mail, not five");
    assert_eq!(app.run(RUN).await.status, RunStatus::Waiting, "nobody is given up unasked");
    let due = app.open_wait(RUN).await.due_at.unwrap();
    assert!(due - app.now() >= TimeDelta::hours(24), "due {due}");
    app.receive(answer(FRANK, &app.last_to(FRANK), "approve")).await;
    assert_eq!(app.run(RUN).await.status, RunStatus::Completed);
    app.finish().await;
}

#[tokio::test]
async fn a_supplier_who_forgets_the_document_again_is_told_and_waited_for() {
    let app = TestApp::demo().await;
    app.receive(invoice_without_po()).await;
    let request = app.last_to(SUNDA);
    app.receive(answer(SUNDA, &request, "Here it is.")).await;
    let again = app.last_to(SUNDA);
    assert!(again.text.contains("no document"), "{}", again.text);
    assert_eq!(app.progress(RUN).await, "ask_po=waiting extract=success");
    // A colleague answers, from another address of the same company.
    let po = answer("Tom <tom@sunda.example>", &again, "Sorry!").attach_file("config/demo/documents/po-88002.pdf");
    app.receive(po).await;
    assert_eq!(app.said(RUN).await, ["accounts@sunda.example comment -", "tom@sunda.example decided supply"]);
    assert_eq!(app.run(RUN).await.status, RunStatus::Waiting, "{}", app.progress(RUN).await);
    assert!(app.progress(RUN).await.contains("approve=waiting"), "{}", app.progress(RUN).await);
    app.finish().await;
}

#[tokio::test]
async fn another_supplier_cannot_answer_for_this_one() {
    let app = TestApp::demo().await;
    app.receive(invoice_without_po()).await;
    let po = answer(NORDWIND, &app.last_to(SUNDA), "Ours.").attach_file("config/demo/documents/po-88002.pdf");
    app.receive(po).await;
    assert_eq!(app.said(RUN).await, ["billing@nordwind.example comment -"]);
    assert_eq!(app.run(RUN).await.status, RunStatus::Waiting);
    app.finish().await;
}

#[tokio::test]
async fn an_answer_in_words_is_enough_where_no_document_was_wanted() {
    let app = TestApp::demo().await;
    let workflow = r#"
        name = "ask"
        version = 1
        prefix = "ASK"
        [[step]]
        name = "ask"
        agent = "request_info"
        with = { missing = ["your order number"] }
    "#;
    let run = app.launch(workflow, json!({})).await;
    app.settle().await;
    app.receive(answer(NORDWIND, &app.last_to(NORDWIND), "It is 88001.")).await;
    assert_eq!(app.run(&run).await.status, RunStatus::Completed);
    let output = app.steps(&run).await["ask"].output.clone().unwrap().0;
    assert_eq!((&output["text"], &output["documents"]), (&json!("It is 88001."), &json!([])));
    app.finish().await;
}

#[tokio::test]
async fn a_killed_run_is_deaf_to_replies_links_and_time() {
    let (app, mail) = asked().await;
    let engine = &app.app.engine;
    let id = app.id(RUN).await;
    assert_eq!(engine.kill(id, "frank", TimeDelta::zero()).await.unwrap().state.status, RunStatus::Killed);
    assert_eq!(link::answer(engine, &token_in(&mail), Choice::Approve, None).await.unwrap(), Posted::Dead);
    app.receive(answer(OLIVIA, &mail, "approve")).await;
    app.pass(TimeDelta::days(60)).await;
    assert_eq!((app.run(RUN).await.status, app.postings().len()), (RunStatus::Killed, 0));
    assert_eq!(app.said(RUN).await, ["olivia late approve"]);
    assert_eq!(app.waits(RUN).await[0].status, WaitStatus::Void);
    let again = engine.kill(id, "frank", TimeDelta::zero()).await.unwrap();
    assert!(again.already && again.state.status == RunStatus::Killed, "{again:?}");
    for refused in [engine.resume(id, "frank").await, engine.pause(id, "frank").await] {
        assert!(matches!(refused, Err(EngineError::Refused(_))), "{refused:?}");
    }
    app.finish().await;
}

#[tokio::test]
async fn an_answer_to_a_held_run_counts_when_it_is_let_go() {
    let (app, mail) = asked().await;
    let engine = &app.app.engine;
    let id = app.id(RUN).await;
    assert!(engine.pause(id, "frank").await.unwrap().state.held);
    app.receive(answer(OLIVIA, &mail, "approve")).await;
    let held = app.run(RUN).await;
    assert_eq!((held.status, held.held, app.postings().len()), (RunStatus::Waiting, true, 0));
    app.pass(TimeDelta::days(30)).await;
    assert_eq!(app.run(RUN).await.status, RunStatus::Waiting, "time does not let it go");
    engine.resume(id, "frank").await.unwrap();
    app.settle().await;
    assert_eq!((app.run(RUN).await.status, app.postings().len()), (RunStatus::Completed, 1));
    assert!(matches!(engine.resume(id, "frank").await, Err(EngineError::Refused(_))));
    app.finish().await;
}

#[tokio::test]
async fn a_held_run_that_is_killed_stays_dead() {
    let (app, mail) = asked().await;
    let id = app.id(RUN).await;
    app.app.engine.pause(id, "frank").await.unwrap();
    app.receive(answer(OLIVIA, &mail, "approve")).await;
    app.app.engine.kill(id, "frank", TimeDelta::zero()).await.unwrap();
    app.pass(TimeDelta::days(30)).await;
    assert_eq!((app.run(RUN).await.status, app.postings().len()), (RunStatus::Killed, 0));
    app.finish().await;
}

#[tokio::test]
async fn an_operator_answers_as_somebody_who_is_asked_and_as_nobody_else() {
    let (app, _) = asked().await;
    let id = app.id(RUN).await;
    let give = |user: &'static str, choice| operator::answer(&app.app.engine, id, user, choice, None);
    let refused = give("frank", Choice::Approve).await.unwrap_err().to_string();
    assert!(refused.contains("`frank` is not asked here; asked: olivia"), "{refused}");
    assert_eq!(app.run(RUN).await.status, RunStatus::Waiting);
    assert_eq!(give("olivia", Choice::Reject).await.unwrap(), Decided::Now);
    app.settle().await;
    assert_eq!((app.run(RUN).await.status, app.postings().len()), (RunStatus::Completed, 0));
    assert!(give("olivia", Choice::Approve).await.unwrap_err().to_string().contains("no approval of this run is open"));
    app.finish().await;
}

#[tokio::test]
async fn an_answer_is_bound_to_the_facts_that_were_shown() {
    let (app, mail) = asked().await;
    let wait = app.open_wait(RUN).await;
    assert_eq!(wait.facts["Total"], "1,190.00 EUR");
    assert!(wait.facts["invoice-4711.pdf"].as_str().unwrap().starts_with("sha256 "), "{:?}", wait.facts);
    let expected = sha256_hex(canonical_json(&Value::Object(wait.facts.0.clone())).as_bytes());
    assert_eq!(wait.facts_sha256, expected);
    app.receive(answer(OLIVIA, &mail, "approve")).await;
    let answered = app.events("wait.answered").await;
    assert_eq!((answered.len(), &answered[0].data["facts_sha256"]), (1, &json!(expected)));
    app.finish().await;
}

#[tokio::test]
async fn two_machines_never_write_to_each_other_more_than_three_times() {
    let (app, first) = asked().await;
    let before = app.outbox().len();
    for _turn in 0..7 {
        // Not marked as automatic: as a ticket system does it.
        app.receive(answer(OLIVIA, &app.last_to(OLIVIA), "We have received your request.")).await;
    }
    app.receive(answer(OLIVIA, &first, "approve").unproven()).await;
    assert_eq!(app.outbox().len() - before, 3);
    app.receive(answer(OLIVIA, &app.last_to(OLIVIA), "approve")).await;
    assert_eq!(app.run(RUN).await.status, RunStatus::Completed, "her answer counts all the same");
    app.finish().await;
}

#[tokio::test]
async fn a_vacation_reply_decides_nothing_and_is_not_answered() {
    let vacation = |mail: &Message| {
        answer(OLIVIA, mail, "approve").header("Auto-Submitted", "auto-replied").header("Return-Path", "<>")
    };
    let (said, status, told) = hears(vacation).await;
    assert_eq!((said.as_str(), status, told.len()), ("olivia comment -", RunStatus::Waiting, 0));
}
