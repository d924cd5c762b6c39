//! What operators do on the page of a run: offered only where it is taken, asked once more, done by a POST of our own form.

use countersign::domain::run::RunStatus;
use countersign::store::runs;
use serde_json::json;

use super::world::{World, contains};

/// What the form on a page carries.
fn proof(page: &str) -> String {
    let (_, rest) = page.split_once("name=\"proof\" value=\"").expect("a form");
    rest.split_once('"').expect("its end").0.to_owned()
}

async fn status(world: &World) -> (RunStatus, bool, i32) {
    let run = runs::by_name(&mut world.engine.store.read().await.unwrap(), "AP-000001").await.unwrap();
    (run.status, run.held, run.generation)
}

#[tokio::test]
async fn a_run_is_held_let_go_killed_and_restarted_on_its_page() {
    let world = World::start().await;
    let run = world.ask_approval(json!({})).await;
    let before = world.state(run).await;
    let page = world.page("/runs/AP-000001", 200).await;
    contains(&page, &["AP-000001/pause\"", "AP-000001/stop\"", "AP-000001/kill\"", "AP-000001/rerun\""]);
    assert!(!page.contains("AP-000001/resume") && !page.contains("AP-000001/restart"), "{page}");
    let confirm = world.page("/runs/AP-000001/pause", 200).await;
    contains(&confirm, &["Pause AP-000001?", "no other step starts"]);
    world.page("/runs/AP-000001/resume", 409).await;
    world.page("/runs/AP-000001/destroy", 404).await;
    world.page("/runs/AP-000009/kill", 404).await;
    assert_eq!(world.state(run).await, before, "looking does nothing");

    let proof = proof(&confirm);
    let post = async |action: &str, fields: &[(&str, &str)]| {
        let answer = world.post(&format!("/runs/AP-000001/{action}"), fields).await;
        let to = answer.headers().get("location").map(|to| to.to_str().unwrap().to_owned());
        (answer.status().as_u16(), to.unwrap_or_default())
    };
    for forged in [&[][..], &[("proof", "x")][..]] {
        assert_eq!(post("kill", forged).await.0, 403);
    }
    for site in ["cross-site", "same-site"] {
        let foreign = world.http.post(format!("{}/runs/AP-000001/kill", world.url)).header("sec-fetch-site", site);
        assert_eq!(foreign.form(&[("proof", &proof)]).send().await.unwrap().status().as_u16(), 403);
    }
    assert_eq!(world.state(run).await, before, "what others send does nothing");

    let ours = [("proof", proof.as_str())];
    assert_eq!(post("pause", &ours).await, (303, "../AP-000001".into()));
    assert_eq!(status(&world).await, (RunStatus::Waiting, true, 1));
    assert!(!world.page("/runs/AP-000001", 200).await.contains("AP-000001/pause\""));
    assert_eq!(post("pause", &ours).await.0, 409);
    assert_eq!(post("resume", &ours).await.0, 303);
    assert_eq!(post("kill", &ours).await.0, 303);
    assert_eq!(status(&world).await, (RunStatus::Killed, false, 1));
    assert_eq!(post("kill", &ours).await.0, 409);
    contains(&world.page("/runs/AP-000001/restart", 200).await, &["<option value=\"ask\">"]);
    assert_eq!(post("restart", &[ours[0], ("from", "done")]).await.0, 409);
    assert_eq!(post("restart", &[ours[0], ("from", "ask")]).await.0, 303);
    assert_eq!(status(&world).await, (RunStatus::Queued, false, 2));
    assert_eq!(post("kill", &ours).await.0, 403, "the form was about generation 1");
    let page = world.page("/runs/AP-000001", 200).await;
    contains(&page, &["run restarted", "operator"]);
}

#[tokio::test]
async fn a_run_is_repeated_on_its_page_and_each_names_the_other() {
    let world = World::with(Some("s3cret"), None).await;
    world.ask_approval(json!({})).await;
    let request = |request: reqwest::RequestBuilder| request.basic_auth("admin", Some("s3cret")).send();
    let url = format!("{}/runs/AP-000001/rerun", world.url);
    assert_eq!(world.http.post(&url).send().await.unwrap().status().as_u16(), 401);
    let page = request(world.http.get(&url)).await.unwrap().text().await.unwrap();
    let proof = proof(&page);
    // The files in force know no such workflow.
    let now = request(world.http.post(&url).form(&[("proof", &proof)])).await.unwrap();
    assert_eq!(now.status().as_u16(), 409);
    let same =
        request(world.http.post(&url).form(&[("proof", proof.as_str()), ("same_version", "yes")])).await.unwrap();
    assert_eq!(same.headers()["location"], "../AP-000002");
    let shown = async |name: &str| {
        let page = request(world.http.get(format!("{}/runs/{name}", world.url)));
        page.await.unwrap().text().await.unwrap()
    };
    contains(&shown("AP-000002").await, &["<dt>Runs again</dt><dd><a href=\"AP-000001\">", "by admin"]);
    contains(&shown("AP-000001").await, &["<dt>Run again as</dt><dd><a href=\"AP-000002\">"]);
}

#[tokio::test]
async fn the_list_shows_what_is_looked_for() {
    let world = World::start().await;
    world.ask_approval(json!({})).await;
    world.ask_approval(json!({"approvers": ["frank"]})).await;
    let found = async |query: &str| {
        let page = world.page(&format!("/runs?{query}"), 200).await;
        [page.contains(">AP-000001</a>"), page.contains(">AP-000002</a>")]
    };
    assert_eq!(found("").await, [true, true]);
    assert_eq!(found("waiting_for=olivia&status=waiting").await, [true, false]);
    assert_eq!(found("workflow=ap-invoice&customer=acme&since=1h&step=ask&agent=approval").await, [true, true]);
    assert_eq!(found("until=2026-03-01").await, [false, false]);
    assert_eq!(found("input=supplier%3DNordwind+Papier+GmbH").await, [true, true]);
    assert_eq!(found("input=supplier%3DOther").await, [false, false]);
    for wrong in ["since=yesterday", "input=supplier", "parent=AP-000009", "status=nonsense"] {
        world.page(&format!("/runs?{wrong}"), 400).await;
    }
}
