//! Several runs from one message: one for each document group, different workflows for different kinds, each once.

use std::collections::BTreeMap;

use countersign::reports::picture::{MessagePicture, RunPicture};
use countersign::reports::{explain_message, messages as report, show_message};
use countersign::store::runs::RunRow;
use serde_json::{Value, json};

use crate::app::{Mail, NORDWIND, TestApp, mail};
use crate::daemon::Site;
use crate::intake_features::told;
use crate::ledger::{Shelf, balance, lose, poll, reconcile};
use crate::rig;

const RULES: &str = r#"
    [[rule]]
    name = "each"
    known_supplier = true
    start = [
        { workflow = "booking", kinds = ["pdf", "xml"], each = "document-group" },
        { workflow = "price-list", kinds = ["csv"] },
    ]
    inputs = { documents = "{{ group.documents }}" }
    reason = "from {{ supplier }}"
    [default]
    quarantine = "unknown sender"
"#;

fn workflow(name: &str, prefix: &str) -> String {
    let inputs = "[inputs]\ndocuments = { type = 'list' }\n";
    let step = "[[step]]\nname = 'keep'\nagent = 'noop'\n";
    format!(
        "name = '{name}'\nversion = 1\ntitle = '{name}'\nprefix = '{prefix}'\nowner = 'role:finance-lead'\n{inputs}{step}"
    )
}

async fn app() -> TestApp {
    let (booking, price_list) = (workflow("booking", "BO"), workflow("price-list", "PL"));
    let files =
        [("rules/ap.toml", RULES), ("workflows/booking.toml", &booking), ("workflows/price-list.toml", &price_list)];
    TestApp::with(&files).await
}

fn pdf(number: u32) -> Vec<u8> {
    format!("%PDF-1.4\n% invoice {number}\n%%EOF\n").into_bytes()
}

fn three(from: &str) -> Mail {
    let mail = mail(from, "Three invoices", "Attached.");
    mail.attach("a.pdf", &pdf(1)).attach("b.pdf", &pdf(2)).attach("c.pdf", &pdf(3))
}

fn mixed(from: &str) -> Mail {
    let mail = mail(from, "Invoice and prices", "Attached.");
    let mail = mail.attach("a.xml", b"<?xml version=\"1.0\"?><invoice/>").attach("a.pdf", &pdf(1));
    mail.attach("prices.csv", b"article,price\npaper,3.20\n")
        .attach("notes.txt", b"Some notes for you, in plain words.\n")
}

/// Documents of each run by its name.
fn taken(runs: &[RunRow]) -> BTreeMap<String, Vec<String>> {
    let names = |run: &RunRow| {
        let documents = run.inputs.0["documents"].as_array().expect("a list").iter();
        documents.map(|document| document["name"].as_str().expect("a name").to_owned()).collect()
    };
    runs.iter().map(|run| (run.name.clone(), names(run))).collect()
}

fn expected(of: Value) -> BTreeMap<String, Vec<String>> {
    serde_json::from_value(of).expect("names")
}

#[tokio::test]
async fn three_documents_in_one_mail_are_three_runs_of_one_transaction() {
    let app = app().await;
    let row = app.receive(three(NORDWIND)).await;
    assert_eq!(told(&row), "start each: from Nordwind Papier GmbH");
    let runs = app.runs().await;
    assert_eq!(taken(&runs), expected(json!({"BO-000001": ["a.pdf"], "BO-000002": ["b.pdf"], "BO-000003": ["c.pdf"]})));
    assert!(runs.iter().all(|run| run.transaction_id == row.transaction_id && run.message_id == Some(row.id)));
    assert!(runs.iter().any(|run| row.run_id == Some(run.id)));
    assert_eq!(app.events("run.launched").await.len(), 3);
    for run in runs {
        let picture = RunPicture::read(&mut app.tx().await, run).await.unwrap();
        assert_eq!(
            picture.messages.iter().map(|message| message.id).collect::<Vec<_>>(),
            [row.id],
            "each has its message"
        );
    }
    app.finish().await;
}

#[tokio::test]
async fn a_twin_goes_with_its_pdf_other_kinds_to_another_workflow_and_the_rest_is_named() {
    let app = app().await;
    let row = app.receive(mixed(NORDWIND)).await;
    assert_eq!(told(&row), "start each: from Nordwind Papier GmbH; no run takes notes.txt");
    let of = json!({"BO-000001": ["a.pdf", "a.xml"], "PL-000001": ["prices.csv"]});
    assert_eq!(taken(&app.runs().await), expected(of));
    let picture = MessagePicture::read(&mut app.tx().await, row.clone()).await.unwrap();
    let (explained, shown) = (explain_message::explain(&picture), show_message::show(&picture, None));
    for line in [
        "It started BO-000001, which is completed",
        "It started PL-000001, which is completed",
        "A run of booking takes a.pdf, a.xml.",
        "A run of price-list takes prices.csv.",
        "No run takes notes.txt.",
    ] {
        assert!(explained.contains(line), "{line}: {explained}");
    }
    assert!(shown.contains("BO-000001 (completed)") && shown.contains("PL-000001 (completed)"), "{shown}");
    let lines = report::load(&mut app.tx().await, None, None, None).await.unwrap();
    assert_eq!(
        lines.iter().map(|line| line.run.as_deref()).collect::<Vec<_>>(),
        [Some("BO-000001"), Some("PL-000001")]
    );
    assert!(report::table(&lines, None).contains("\n1 message: 1 start\n2 runs: 2 completed\n"));
    app.finish().await;
}

#[tokio::test]
async fn what_no_entry_takes_goes_to_a_person() {
    let app = app().await;
    let row =
        app.receive(mail(NORDWIND, "Notes", "Attached.").attach("notes.txt", b"Nothing but plain words here.\n")).await;
    let why = "nothing was started, because the rule starts booking for each pdf or xml, price-list for csv, and it takes none \
        of its documents: notes.txt";
    assert_eq!(told(&row), format!("quarantine each: {why}"));
    assert!(app.runs().await.is_empty());
    app.finish().await;
}

#[tokio::test]
async fn when_one_workflow_refuses_none_is_started() {
    let booking = workflow("booking", "BO");
    let strict =
        format!("{}\n", workflow("price-list", "PL").replace("[inputs]", "[inputs]\nmonth = { type = 'string' }"));
    let files = [
        ("rules/ap.toml", RULES),
        ("workflows/booking.toml", &booking),
        ("workflows/price-list.toml", strict.as_str()),
    ];
    let app = TestApp::with(&files).await;
    let row = app.receive(mixed(NORDWIND)).await;
    let why = "rule wanted to start price-list, but workflow price-list needs input `month`";
    assert_eq!(told(&row), format!("quarantine each: {why}"));
    assert!(app.runs().await.is_empty() && app.events("run.launched").await.is_empty());
    app.finish().await;
}

#[tokio::test]
async fn a_lost_row_written_anew_launches_none_of_several_runs_twice() {
    let app = app().await;
    let mut shelf = Shelf::with(&[(1, three(NORDWIND).raw()), (2, mixed(NORDWIND).raw())]);
    poll(&app, &mut shelf).await;
    let whole = balance(&app, &mut shelf).await;
    assert!(whole.adds_up() && whole.run == 2, "{whole:?}");
    let before = taken(&app.runs().await);
    assert_eq!(before.len(), 5);
    for uid in ["1", "2"] {
        lose(&app.path("state.db"), uid).await;
    }
    assert_eq!(reconcile(&app, &mut shelf).await, 2);
    poll(&app, &mut shelf).await;
    assert_eq!(balance(&app, &mut shelf).await, whole);
    assert_eq!(taken(&app.runs().await), before, "no run was added");
    assert!(app.messages().await.iter().all(|row| row.run_id.is_some()), "each has its run again");
    app.finish().await;
}

#[tokio::test]
async fn several_runs_survive_kills_before_and_after_their_commit_on_a_real_server() {
    for point in ["intake.before_commit", "intake.committed"] {
        let site = Site::usual();
        site.put("rules/ap.toml", RULES);
        site.put("workflows/booking.toml", &workflow("booking", "BO"));
        site.put("workflows/price-list.toml", &workflow("price-list", "PL"));
        let (from, to) = (site.supplier.as_str(), site.mailbox.as_str());
        for mail in [three(from), mixed(from)] {
            rig::send(rig::submission_port(), Some(from), &mail.raw(), from, to).await.expect("send");
        }
        rig::wait_for("both mails", async || (rig::inbox(to).await.len() == 2).then_some(())).await;
        let mut daemon = site.start_armed(point);
        daemon.wait_for_death(point).await;
        let daemon = site.start().await;
        let state = site
            .wait_for_state("all runs to end", |state| {
                let ended = state.runs.len() == 5 && state.runs.iter().all(|run| run.status.is_final());
                ended.then(|| state.runs.iter().map(|run| run.workflow.clone()).collect::<Vec<_>>())
            })
            .await;
        assert_eq!(state.iter().filter(|name| *name == "booking").count(), 4, "{point}: {state:?}");
        daemon.stop().await;
        let runs = site.state().await.expect("a state").runs;
        assert_eq!(runs.len(), 5, "{point}: none was added");
    }
}
