//! `countersign workflows` and `agents`: published versions never change, whatever their files say; a customer's own version;
//! pictures and schemas.

use std::net::SocketAddr;
use std::time::Instant;

use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use axum::http::Request;
use countersign::app::ReloadError;
use countersign::cli::{self, Agents, Command, Ending, Told, Workflows};
use countersign::http::router;
use serde_json::Value;
use tower::ServiceExt;

use crate::app::{TestApp, invoice};

async fn tell(app: &TestApp, command: Command) -> anyhow::Result<Told> {
    cli::tell(command, &app.app.context(), None).await
}

async fn workflows(app: &TestApp, what: Workflows) -> Told {
    tell(app, Command::Workflows { what }).await.expect("an answer")
}

async fn states(app: &TestApp) -> Vec<(String, String)> {
    let told = workflows(app, Workflows::List { json: true }).await;
    let list: Value = serde_json::from_str(&told.text).unwrap();
    let line = |one: &Value| {
        let label = format!("{}@{}", one["name"].as_str().unwrap(), one["version"]);
        (label, one["state"].as_str().unwrap().to_owned())
    };
    list.as_array().unwrap().iter().map(line).collect()
}

fn edit(app: &TestApp, from: &str, to: &str) {
    let path = app.path("workflows/ap-invoice.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{from}");
    std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
}

fn state(label: &str, state: &str) -> (String, String) {
    (label.to_owned(), state.to_owned())
}

#[tokio::test]
async fn the_first_launch_publishes_a_version_and_its_file_never_changes_it() {
    let app = TestApp::demo().await;
    assert_eq!(states(&app).await, [state("ap-invoice@1", "file")]);
    edit(&app, "Supplier invoice", "Invoice of a supplier");
    app.app.reload().await.expect("nothing was published yet");
    app.receive(invoice().raw()).await;
    assert_eq!(states(&app).await, [state("ap-invoice@1", "published")]);
    assert_eq!(app.events("workflow.published").await.len(), 1);

    edit(&app, "Invoice of a supplier", "Bill");
    let Err(ReloadError::Refused(told)) = app.app.reload().await else { panic!("it was taken") };
    let told = told[0].to_string();
    for part in [
        "ap-invoice@1 is published (by ",
        "title: \"Invoice of a supplier\" -> \"Bill\"",
        "`version = 2`",
        "ap-invoice.toml:",
    ] {
        assert!(told.contains(part), "{told} lacks {part}");
    }
    let checked = app.rebuilt_without("[outgoing]").await;
    assert_eq!(checked.live.current().workflow("ap-invoice").unwrap().title, "Invoice of a supplier");
    assert!(checked.live.refused().is_some(), "a start tells it, and goes on with what is published");
    let told = cli::tell(Command::Workflows { what: Workflows::Check }, &checked.context(), None).await.unwrap();
    assert_eq!(told.ending, Ending::Failed, "{}", told.text);
    let what = Workflows::Diff { old: "ap-invoice@1".into(), new: None };
    let told = cli::tell(Command::Workflows { what }, &checked.context(), None).await.unwrap();
    assert!(told.text.ends_with("title: \"Invoice of a supplier\" -> \"Bill\"\n"), "{}", told.text);

    edit(&app, "version = 1", "version = 2");
    app.app.reload().await.expect("a new version may say anything");
    assert_eq!(states(&app).await, [state("ap-invoice@1", "published"), state("ap-invoice@2", "file")]);
}

#[tokio::test]
async fn only_what_was_published_by_hand_starts_where_that_is_asked_for() {
    let app = TestApp::configured("[engine]", "[workflows]\npublish = \"explicit\"\n[engine]").await;
    let row = app.receive(invoice().raw()).await;
    assert!(row.run_id.is_none() && row.reason.unwrap().contains("there is no workflow `ap-invoice`"));
    let publish = || Workflows::Publish { name: "ap-invoice".into(), as_user: "alice".into() };
    app.app.tick_files(Instant::now()).await.unwrap();
    let told = workflows(&app, publish()).await;
    assert!(told.text.starts_with("ap-invoice@1 is published and never changes again"), "{}", told.text);
    assert!(workflows(&app, publish()).await.text.contains("published already"));
    app.app.tick_files(Instant::now()).await.unwrap().expect("a running daemon takes it up");
    assert!(app.receive(invoice().header("Message-ID", "<2@x.example>").raw()).await.run_id.is_some());

    let unpublish = || Workflows::Unpublish { name: "ap-invoice@1".into(), as_user: "alice".into() };
    assert_eq!(workflows(&app, unpublish()).await.ending, Ending::Done);
    assert_eq!(workflows(&app, unpublish()).await.ending, Ending::Failed);
    assert_eq!(states(&app).await, [state("ap-invoice@1", "unpublished")]);
    app.app.tick_files(Instant::now()).await.unwrap().expect("a running daemon takes it up");
    assert!(app.app.live.current().workflow("ap-invoice").is_none());
    assert!(workflows(&app, publish()).await.text.contains("published again"));
    let by: Vec<_> = app.events("workflow.unpublished").await.into_iter().map(|event| event.actor).collect();
    assert_eq!(by, ["alice"]);
}

const FOR_ACME: &str = r#"extends = "ap-invoice@1"
name = "ap-invoice-acme"
version = 1
customers = ["acme"]
remove = ["tell_rejected"]
"#;

#[tokio::test]
async fn a_customers_own_version_takes_the_place_of_the_one_that_it_extends() {
    let app = TestApp::with(&[("workflows/acme.toml", FOR_ACME)]).await;
    app.receive(invoice().raw()).await;
    assert_eq!(app.run("AP-000001").await.workflow, "ap-invoice-acme");
    let behaviour = app.app.live.current();
    assert_eq!(behaviour.workflow_for("ap-invoice", "globex").unwrap().name, "ap-invoice");
    assert!(behaviour.workflow_for("ap-invoice-acme", "globex").is_none(), "it is for acme alone");
    let what = Workflows::Diff { old: "ap-invoice@1".into(), new: Some("ap-invoice-acme@1".into()) };
    let told = workflows(&app, what).await.text;
    assert!(
        told.contains("- step tell_rejected (notify)") && told.contains("customers: nothing -> [\"acme\"]"),
        "{told}"
    );
}

#[tokio::test]
async fn definitions_and_agents_are_shown_and_drawn() {
    let preset = include_str!("../../config/agents/budget-approval.toml");
    let app = TestApp::with(&[("agents/budget-approval.toml", preset)]).await;
    let show = |schema| Workflows::Show { name: "ap-invoice".into(), schema, json: false };
    let told = workflows(&app, show(false)).await.text;
    assert!(told.starts_with("ap-invoice@1  Supplier invoice\n") && told.contains("not steps.extract.po"), "{told}");
    let schema: Value = serde_json::from_str(&workflows(&app, show(true)).await.text).unwrap();
    assert_eq!(schema["required"], serde_json::json!(["documents"]));

    let mut request =
        Request::get("/workflows/ap-invoice@1/schema").header("host", "127.0.0.1").body(Body::empty()).unwrap();
    request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 1))));
    let answer = router(app.app.web().await.unwrap()).oneshot(request).await.unwrap();
    let served: Value = serde_json::from_slice(&to_bytes(answer.into_body(), 1 << 20).await.unwrap()).unwrap();
    assert_eq!(served, schema, "a form is served the same");

    let graph = |svg| Workflows::Graph { name: "ap-invoice".into(), svg };
    assert!(workflows(&app, graph(None)).await.text.contains("s_approve([\"Approval by the budget owner"));
    workflows(&app, graph(Some(app.path("ap.svg")))).await;
    assert!(std::fs::read_to_string(app.path("ap.svg")).unwrap().contains("approve: approval (a person)"));

    let told = tell(&app, Command::Agents { what: Agents::List { json: true } }).await.unwrap();
    let list: Value = serde_json::from_str(&told.text).unwrap();
    let preset = list.as_array().unwrap().iter().find(|one| one["name"] == "budget-approval").unwrap();
    assert_eq!(preset["preset_of"], "approval");
    let agent = |name: &str| Command::Agents { what: Agents::Show { name: name.into() } };
    assert!(tell(&app, agent("budget-approval")).await.unwrap().text.contains("role:budget-owner"));
    assert!(tell(&app, agent("aproval")).await.unwrap_err().to_string().contains("did you mean `approval`?"));
}
