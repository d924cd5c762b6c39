//! Pages in a real Chromium: the link page at the size of a phone (open, look, approve, see the receipt), and a run's page that
//! shows by itself what happens.

use countersign::domain::run::RunStatus;
use countersign::domain::wait::{Effect, WaitStatus};
use countersign::reports::audit;
use countersign::store::{answers, runs, waits};
use serde_json::json;

use crate::browser::Browser;
use crate::pages::World;

#[tokio::test]
async fn browser_approves_on_a_phone_and_two_windows_decide_once() {
    let world = World::start().await;
    let run = world.ask_approval(json!({})).await;
    let token = &world.tokens(run).await[0];
    let link = format!("{}/l/{token}", world.url);
    let before = world.state(run).await;

    let (first, second) = (Browser::start(375, 812).await, Browser::start(375, 812).await);
    for browser in [&first, &second] {
        browser.open(&link).await;
        assert_eq!(
            browser.find("h1").await.text().await,
            "Approve invoice 4711 from Nordwind Papier GmbH over 1,190.00 EUR?"
        );
        let fits = browser.script("return document.documentElement.scrollWidth <= innerWidth").await;
        assert_eq!(fits, true, "nothing sticks out");
        assert_eq!(browser.find("dl div:nth-child(4) dd").await.text().await, "1,190.00 EUR");
        // The policy lets our own style through: its hash fits.
        let colour = "return getComputedStyle(document.querySelector('button')).backgroundColor";
        assert_eq!(browser.script(colour).await, "rgb(11, 87, 208)");
    }
    assert_eq!(world.state(run).await, before, "looking decides nothing");

    first.find("#comment").await.type_text("fine by me").await;
    first.find("button[value=approve]").await.click().await;
    let receipt = first.find("#receipt").await.text().await;
    assert!(receipt.contains("Approved") && receipt.contains("Olivia Okafor (you)"), "{receipt}");
    assert!(receipt.contains("fine by me") && first.url().await == link, "{receipt}");

    // The other window still shows the form.
    second.find("button[value=reject]").await.click().await;
    assert_eq!(second.find("#receipt").await.text().await, receipt);
    second.open(&link).await;
    assert_eq!(second.find("#receipt").await.text().await, receipt);

    let mut tx = world.engine.store.read().await.expect("read");
    let wait = &waits::of_run(&mut tx, run).await.expect("waits")[0];
    let effects: Vec<_> =
        answers::of_wait(&mut tx, wait.id).await.expect("answers").iter().map(|said| said.effect).collect();
    assert_eq!((wait.status, effects), (WaitStatus::Answered, vec![Effect::Decided, Effect::Late]));
}

#[tokio::test]
async fn browser_kills_a_run_and_restarts_it_at_every_width() {
    for (width, height) in [(1280, 900), (375, 812)] {
        let world = World::start().await;
        let run = world.ask_approval(json!({})).await;
        let browser = Browser::start(width, height).await;
        let fits = async |name: &str| {
            let fits = browser.script("return document.documentElement.scrollWidth <= innerWidth").await;
            assert_eq!(fits, true, "nothing sticks out of {name} at {width}");
        };
        browser.open(&format!("{}/runs/AP-000001", world.url)).await;
        fits("run").await;
        browser.find("nav.actions a[href$=kill]").await.click().await;
        assert_eq!(browser.find("h1").await.text().await, "Kill AP-000001?");
        fits("kill").await;
        browser.find("form button").await.click().await;
        // The page renews itself, so what is found may be gone when it is asked.
        let shows = async |status: &str| {
            let badge = "return document.querySelector('main .badge')?.textContent ?? ''";
            let is_shown = async || (browser.script(badge).await == status).then_some(());
            crate::rig::wait_for(&format!("the page to show {status}"), is_shown).await;
        };
        shows("killed").await;
        fits("killed").await;
        browser.find("nav.actions a[href$=restart]").await.click().await;
        fits("restart").await;
        browser.find("form button").await.click().await;
        shows("queued").await;
        let row = runs::get(&mut world.engine.store.read().await.expect("read"), run).await.expect("a run");
        assert_eq!((row.generation, row.status), (2, RunStatus::Queued));
        browser.open(&format!("{}/runs?waiting_for=olivia", world.url)).await;
        fits("runs").await;
    }
}

#[tokio::test]
async fn browser_shows_by_itself_what_happens_to_a_run() {
    let world = World::start().await;
    let run = world.ask_approval(json!({})).await;
    let token = &world.tokens(run).await[0];
    audit::seal(&world.engine).await.expect("seal");
    let browser = Browser::start(1200, 900).await;
    browser.open(&format!("{}/runs/AP-000001", world.url)).await;
    // A page that was loaded anew would have forgotten it.
    browser.script("window.kept = 1").await;
    assert_eq!(browser.find(".heading .badge").await.text().await.to_lowercase(), "waiting");
    assert_eq!(world.say(token, &[("choice", "approve")]).await, 303);
    audit::seal(&world.engine).await.expect("seal");
    world.engine.work.notify_waiters();
    let text = "return document.querySelector('main').textContent.includes('Answered and ended') && window.kept";
    crate::rig::wait_for("the page to show the answer", async || (browser.script(text).await == 1).then_some(())).await;
}
