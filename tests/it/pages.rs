//! Links over real HTTP, in this process: they look without deciding, decide once, and show nothing to strangers.

mod control;
mod inside;
mod world;

use std::sync::Arc;

use chrono::TimeDelta;
use countersign::domain::wait::{Effect, WaitStatus};
use countersign::people::ladder;
use countersign::store::{answers, events, waits};
use reqwest::{Response, StatusCode};
use serde_json::json;
pub use world::World;
use world::{PDF, contains};

#[tokio::test]
async fn looking_at_a_link_changes_nothing() {
    let world = World::start().await;
    let run = world.ask_approval(json!({})).await;
    let tokens = world.tokens(run).await;
    let before = world.state(run).await;
    for token in &tokens {
        for _ in 0..2 {
            let page = world.page(&format!("/l/{token}"), 200).await;
            contains(&page, &["Approve invoice 4711", "1,190.00 EUR", "Approve</button>", "Reject</button>"]);
        }
        let head = world.http.head(format!("{}/l/{token}?choice=approve", world.url)).send().await.expect("an answer");
        assert_eq!(head.status(), StatusCode::OK);
        world.page(&format!("/l/{token}?choice=approve&comment=x"), 200).await;
        world.page(&format!("/l/{token}/documents/1"), 200).await;
    }
    let put = world.http.put(format!("{}/l/{}", world.url, tokens[0])).send().await.expect("an answer");
    assert_eq!(put.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(world.state(run).await, before);
    assert_eq!(before.2, [WaitStatus::Open]);
}

#[tokio::test]
async fn the_link_page_shows_what_the_mail_showed() {
    let world = World::start().await;
    let run = world.ask_approval(json!({})).await;
    let token = &world.tokens(run).await[0];
    let page = world.page(&format!("/l/{token}"), 200).await;
    contains(
        &page,
        &[
            "acme</strong> · AP-000001",
            "Hello Olivia Okafor",
            "Frank Feld is asked too",
            "<dt>Purchase order</dt><dd>PO-2026-0088</dd>",
            "✓ Total",
            "✗ IBAN",
            "the account is not known for this supplier",
            "Rechnung 4711 – März.pdf",
            "Delivered in two parts.\nThe second came on Friday.",
            "Please answer by <strong>Monday 16 March 2026, 10:00 CET</strong>",
            "maxlength=\"2000\"",
        ],
    );
    assert!(!page.contains("<script") && !page.contains(" style="), "{page}");
}

#[tokio::test]
async fn a_posted_answer_decides_once_and_its_repeat_shows_the_same_receipt() {
    let world = World::start().await;
    let run = world.ask_approval(json!({})).await;
    let [olivia, frank] = &world.tokens(run).await[..] else { panic!("two are asked") };
    let answer = world.post(&format!("/l/{olivia}"), &[("choice", "approve"), ("comment", " fine \r\nby me")]).await;
    assert_eq!((answer.status().as_u16(), answer.headers()["location"].to_str().unwrap()), (303, olivia.as_str()));
    let receipt = world.page(&format!("/l/{olivia}"), 200).await;
    contains(&receipt, &["✓ Approved", "Olivia Okafor</strong> (you)", "Mon 2 Mar 2026, 10:00 CET", "fine \nby me"]);
    contains(&receipt, &["datetime=\"2026-03-02T09:00:00Z\"", "Your answer is recorded"]);
    assert!(!receipt.contains("<button") && !receipt.contains("<form"), "{receipt}");

    world.clock.advance(TimeDelta::hours(3));
    assert_eq!(world.say(olivia, &[("choice", "approve"), ("comment", "again")]).await, 303);
    assert_eq!(world.page(&format!("/l/{olivia}"), 200).await, receipt);
    // Another answer of the same person, and another person: the first stands.
    assert_eq!(world.say(olivia, &[("choice", "reject")]).await, 303);
    assert_eq!(world.page(&format!("/l/{olivia}"), 200).await, receipt);
    assert_eq!(world.say(frank, &[("choice", "reject")]).await, 303);
    let late = world.page(&format!("/l/{frank}"), 200).await;
    contains(&late, &["✓ Approved", "by <strong>Olivia Okafor</strong><br>", "The first answer counts"]);

    let mut tx = world.engine.store.read().await.unwrap();
    let wait = &waits::of_run(&mut tx, run).await.unwrap()[0];
    let effects: Vec<_> = answers::of_wait(&mut tx, wait.id).await.unwrap().iter().map(|said| said.effect).collect();
    assert_eq!(effects, [Effect::Decided, Effect::Repeated, Effect::Late, Effect::Late]);
    drop(tx);
    while world.engine.tick_worker().await.unwrap() {}
    contains(&world.page("/runs/AP-000001", 200).await, &["badge completed", "fine \nby me"]);
}

#[tokio::test]
async fn racing_answers_of_two_people_make_one_decision() {
    let world = Arc::new(World::start().await);
    let run = world.ask_approval(json!({})).await;
    let tokens = world.tokens(run).await;
    let race = (0..20).map(|n| {
        let (world, token) = (Arc::clone(&world), tokens[n % 2].clone());
        let choice = if n % 2 == 0 { "approve" } else { "reject" };
        tokio::spawn(async move { world.say(&token, &[("choice", choice)]).await })
    });
    for answer in race.collect::<Vec<_>>() {
        assert_eq!(answer.await.unwrap(), 303);
    }
    let mut tx = world.engine.store.read().await.unwrap();
    let wait = &waits::of_run(&mut tx, run).await.unwrap()[0];
    let said = answers::of_wait(&mut tx, wait.id).await.unwrap();
    assert_eq!(said.len(), 20);
    assert_eq!(said.iter().filter(|said| said.effect == Effect::Decided).count(), 1);
    let told = events::of_run(&mut tx, run).await.unwrap();
    assert_eq!(told.iter().filter(|event| event.kind == "wait.answered").count(), 1);
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_decides_nothing() {
    let world = World::start().await;
    let run = world.ask_approval(json!({})).await;
    let token = &world.tokens(run).await[0];
    let before = world.state(run).await;
    let long = "x".repeat(2_001);
    assert_eq!(world.say(token, &[]).await, 400);
    assert_eq!(world.say(token, &[("choice", "maybe")]).await, 400);
    assert_eq!(world.say(token, &[("choice", "supply")]).await, 400);
    assert_eq!(world.say(token, &[("choice", "approve"), ("choice", "reject")]).await, 400);
    assert_eq!(world.say(token, &[("choice", "approve"), ("comment", &long)]).await, 400);
    assert_eq!(world.say(token, &[("choice", "approve"), ("comment", &long.repeat(50))]).await, 413);
    let request = world.http.post(format!("{}/l/{token}", world.url)).body("choice=approve");
    assert_eq!(request.send().await.unwrap().status(), 400, "no form");
    let request = world.http.post(format!("{}/l/{token}", world.url)).form(&[("choice", "approve")]);
    assert_eq!(request.header("sec-fetch-site", "cross-site").send().await.unwrap().status(), 403);
    assert_eq!(world.state(run).await, before);
    // The longest comment is taken, however its characters are encoded.
    assert_eq!(world.say(token, &[("choice", "reject"), ("comment", &"😀".repeat(2_000))]).await, 303);
    contains(&world.page(&format!("/l/{token}"), 200).await, &["✗ Rejected", "😀😀😀"]);
}

#[tokio::test]
async fn dead_and_unknown_links_say_so() {
    let world = World::start().await;
    let run = world.ask_approval(json!({})).await;
    let token = &world.tokens(run).await[0];
    world.engine.kill(run, "admin", TimeDelta::zero()).await.unwrap();
    let before = world.state(run).await;
    contains(&world.page(&format!("/l/{token}"), 410).await, &["no longer open", "has been withdrawn"]);
    assert_eq!(world.say(token, &[("choice", "approve")]).await, 410);
    contains(&world.page(&format!("/l/{token}/documents/1"), 410).await, &["no longer open"]);
    assert_eq!(world.state(run).await, before);

    let unknown = "A".repeat(43);
    for path in [format!("/l/{unknown}"), "/l/short".into(), "/l/%0d%0aX:y".into(), format!("/l/{unknown}/documents/1")]
    {
        contains(&world.page(&path, 404).await, &["This link is not known here"]);
    }
    assert_eq!(world.say(&unknown, &[("choice", "approve")]).await, 404);
    contains(&world.page("/nonsense", 404).await, &["There is no such page"]);
}

#[tokio::test]
async fn who_was_escalated_away_is_told_and_an_expired_link_too() {
    let world = World::start().await;
    let ladder_of = json!({"approvers": ["olivia"], "fallback": ["frank"], "remind_after": null, "escalate_after": "4d",
        "escalate": "replace", "expire_after": "14d"});
    let run = world.ask_approval(ladder_of).await;
    world.clock.advance(TimeDelta::days(5));
    assert_eq!(ladder::tick(&world.engine).await.unwrap(), 1);
    let [olivia, frank] = &world.tokens(run).await[..] else { panic!("two were asked") };
    contains(&world.page(&format!("/l/{olivia}"), 410).await, &["Somebody else has been asked"]);
    contains(&world.page(&format!("/l/{frank}"), 200).await, &["Hello Frank Feld", "Only you are asked"]);
    assert_eq!(world.say(olivia, &[("choice", "approve")]).await, 410);
    assert_eq!(world.state(run).await.2, [WaitStatus::Open]);
    world.clock.advance(TimeDelta::days(20));
    assert_eq!(ladder::tick(&world.engine).await.unwrap(), 1);
    contains(&world.page(&format!("/l/{frank}"), 410).await, &["The time to answer has run out"]);
}

#[tokio::test]
async fn a_supplier_is_told_what_is_missing_and_cannot_decide() {
    let world = World::start().await;
    let with =
        json!({"missing": ["the purchase order for invoice 4711, as a PDF"], "note": "We pay <b>only</b> with it."});
    let run = world.ask("request_info", with).await;
    let token = &world.tokens(run).await[0];
    let before = world.state(run).await;
    let page = world.page(&format!("/l/{token}"), 200).await;
    contains(
        &page,
        &["We still need", "the purchase order for invoice 4711", "We pay &lt;b&gt;only", "Please answer our mail"],
    );
    assert!(!page.contains("<form") && !page.contains("Olivia"), "{page}");
    assert_eq!(world.say(token, &[("choice", "approve")]).await, 400);
    assert_eq!(world.state(run).await, before);
}

#[tokio::test]
async fn what_strangers_write_is_shown_and_never_run() {
    let world = World::start().await;
    let evil = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&";
    let run = world
        .ask_approval(json!({
            "question": evil, "note": evil, "facts": [{"label": evil, "value": evil}],
            "checks": [{"label": evil, "ok": true, "text": evil}],
        }))
        .await;
    let token = &world.tokens(run).await[0];
    assert_eq!(world.say(token, &[("choice", "reject"), ("comment", evil)]).await, 303);
    for path in [format!("/l/{token}"), "/runs".into(), "/runs/AP-000001".into()] {
        let page = world.page(&path, 200).await;
        let scripts = usize::from(path.starts_with("/runs/"));
        assert!(page.matches("<script").count() == scripts && !page.contains("<img"), "{path}: {page}");
    }
    contains(&world.page("/runs/AP-000001", 200).await, &["&lt;script&gt;alert(1)"]);
}

#[tokio::test]
async fn documents_are_served_as_files_that_run_nothing() {
    let world = World::start().await;
    let run = world.ask_approval(json!({})).await;
    let token = &world.tokens(run).await[0];
    let pdf = world.get(&format!("/l/{token}/documents/1")).await;
    let header = |answer: &Response, name: &str| answer.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header(&pdf, "content-type"), "application/pdf");
    assert_eq!(
        header(&pdf, "content-disposition"),
        "inline; filename=\"Rechnung 4711 _ M_rz.pdf\"; filename*=UTF-8''Rechnung%204711%20%E2%80%93%20M%C3%A4rz.pdf"
    );
    assert!(header(&pdf, "content-security-policy").starts_with("sandbox; default-src 'none'"));
    assert_eq!(
        (header(&pdf, "x-content-type-options"), header(&pdf, "cache-control")),
        ("nosniff".into(), "no-store".into())
    );
    assert_eq!(&pdf.bytes().await.unwrap()[..], PDF);
    let xml = world.get(&format!("/l/{token}/documents/2")).await;
    assert!(header(&xml, "content-disposition").starts_with("attachment; "));
    for n in ["0", "3", "-1", "x", "99999999999999999999999"] {
        world.page(&format!("/l/{token}/documents/{n}"), 404).await;
    }
    assert_eq!(world.say(token, &[("choice", "approve")]).await, 303);
    world.page(&format!("/l/{token}/documents/1"), 200).await;
}
