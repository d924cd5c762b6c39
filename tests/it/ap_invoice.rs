//! The demo's workflow, people and documents, walked through with the real agents: what is filled in must be known.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use countersign::agents::pdf::PdfReader;
use countersign::agents::{Journal, Outcome, Registry, Settings, Task};
use countersign::blob::Blob;
use countersign::config::workflows::presets::Presets;
use countersign::config::workflows::{self, Known};
use countersign::domain::clock::SystemClock;
use countersign::domain::document::DocumentRef;
use countersign::domain::duration::Span;
use countersign::domain::event::sha256_hex;
use countersign::domain::expression;
use countersign::domain::ids::{RunId, TransactionId};
use countersign::domain::message::PartKind;
use countersign::domain::person::{Address, Customer};
use countersign::domain::wait::WaitRequest;
use countersign::domain::workflow::Workflow;
use serde_json::{Map, Value, json};

fn file(path: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

fn parsed<T: serde::de::DeserializeOwned>(path: &str) -> T {
    toml::from_slice(&file(path)).unwrap()
}

fn customer() -> Customer {
    #[derive(serde::Deserialize)]
    struct People {
        customer: Vec<Customer>,
    }
    parsed::<People>("config/demo/people.toml").customer.remove(0)
}

/// One run without an engine: steps in file order, waits answered at once.
struct Walk {
    registry: Registry,
    workflow: Workflow,
    task: Task,
    /// Output of every step; none for a skipped one.
    steps: Map<String, Value>,
    waits: Vec<(String, WaitRequest)>,
    directory: tempfile::TempDir,
}

impl Walk {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let pdf = PdfReader {
            program: PathBuf::from(env!("CARGO_BIN_EXE_countersign")),
            cpu: Span::from_secs(10),
            memory_bytes: 512 << 20,
        };
        let workflow: Workflow = parsed("config/workflows/ap-invoice.toml");
        let origin =
            json!({"from": "billing@nordwind.example", "subject": "Invoice", "message_id": "first@nordwind.example"});
        let task = Task {
            run_id: RunId::new(),
            run_name: "AP-000001".into(),
            transaction_id: TransactionId::new(),
            customer: "acme".into(),
            step: String::new(),
            generation: 1,
            attempt: 1,
            with: Map::new(),
            context: Value::Null,
            users: customer().users,
            calendar: workflow.calendar.clone(),
            now: "2026-03-02T09:00:00Z".parse().unwrap(),
            origin: origin.as_object().unwrap().clone(),
            blob: Arc::new(Blob::local(directory.path().join("store"))),
            journal: Journal::new(Arc::new(SystemClock)),
        };
        let post_directory = directory.path().join("posted");
        let registry = Registry::standard(Settings { pdf, post_directory });
        Self { registry, workflow, task, steps: Map::new(), waits: vec![], directory }
    }

    async fn store(&self, name: &str) -> Value {
        let bytes = file(&format!("config/demo/documents/{name}"));
        let path = format!("acme/parts/{name}");
        self.task.blob.put(&path, &bytes).await.unwrap();
        let (sha256, size_bytes) = (sha256_hex(&bytes), bytes.len() as u64);
        json!(DocumentRef { path, name: name.into(), kind: PartKind::Pdf, sha256, size_bytes })
    }

    async fn go(&mut self, documents: Value, answers: Value) {
        let inputs = self.workflow.accept(json!({"documents": documents}).as_object().unwrap().clone()).unwrap();
        for step in self.workflow.steps.clone() {
            let context = json!({"inputs": inputs, "steps": self.steps, "run": {"name": "AP-000001"}});
            let all_skipped = !step.needs.is_empty() && step.needs.iter().all(|need| self.steps[need].is_null());
            let wanted = step.when.as_ref().is_none_or(|when| expression::holds(&when.expression(), &context).unwrap());
            if all_skipped || !wanted {
                self.steps.insert(step.name, Value::Null);
                continue;
            }
            let filled = expression::fill(&Value::Object(step.with), &context).unwrap();
            self.task.with = filled.as_object().unwrap().clone();
            self.task.step = step.name.clone();
            let output = match self.registry.get(&step.agent).unwrap().perform(&self.task).await {
                Outcome::Done { output, .. } => output,
                Outcome::Wait(wait) => {
                    self.waits.push((step.name.clone(), *wait));
                    answers[&step.name].clone()
                }
                other => panic!("{}: {other:?}", step.name),
            };
            self.steps.insert(step.name, output);
        }
    }

    fn posted(&self) -> Value {
        let bytes = std::fs::read(self.directory.path().join("posted/erp.json")).unwrap();
        let postings: Map<String, Value> = serde_json::from_slice(&bytes).unwrap();
        postings.values().next().unwrap().clone()
    }
}

fn decision(decision: &str) -> Value {
    json!({"decision": decision, "by": "olivia", "comment": null, "via": "mail"})
}

#[tokio::test]
async fn an_invoice_with_its_order_is_matched_approved_and_posted() {
    let mut walk = Walk::new();
    let documents = json!([walk.store("invoice-4711.pdf").await, walk.store("po-88001.pdf").await]);
    walk.go(documents, json!({"approve": decision("approved")})).await;
    let invoice = &walk.steps["extract"]["invoice"];
    for (field, expected) in [
        ("number", "4711"),
        ("date", "2026-02-27"),
        ("supplier", "Nordwind Papier GmbH"),
        ("currency", "EUR"),
        ("total", "1190.00"),
        ("amount", "1,190.00 EUR"),
        ("net", "1000.00"),
        ("vat", "190.00"),
        ("po_number", "88001"),
        ("iban", "DE89370400440532013000"),
    ] {
        assert_eq!(invoice[field], expected, "{field}");
    }
    assert_eq!(invoice["lines"].as_array().unwrap().len(), 3);
    assert_eq!(walk.steps["verify"]["matched"], true, "{}", walk.steps["verify"]);
    let [(step, wait)] = walk.waits.as_slice() else { panic!("one wait: {:?}", walk.waits) };
    assert_eq!((step.as_str(), wait.asked[0].person.as_str()), ("approve", "olivia"));
    assert_eq!(wait.question, "Approve invoice 4711 from Nordwind Papier GmbH over 1,190.00 EUR?");
    assert_eq!(wait.notices[0].attachments.len(), 2);
    let rungs: Vec<_> = wait.ladder.iter().map(|rung| (rung.after.to_string(), rung.action.name())).collect();
    assert_eq!(rungs, [("2d".into(), "remind"), ("4d".into(), "escalate"), ("2w".into(), "expire")]);
    assert_eq!(walk.posted()["record"]["total"], "1190.00");
    assert!(walk.steps["ask_po"].is_null() && walk.steps["extract_po"].is_null());
}

#[tokio::test]
async fn a_missing_order_is_asked_for_and_read_from_the_reply() {
    let mut walk = Walk::new();
    let documents = json!([walk.store("invoice-2209.pdf").await]);
    let reply = json!({"documents": [walk.store("po-88002.pdf").await], "text": "sorry, here it is"});
    walk.go(documents, json!({"ask_po": reply, "approve": decision("rejected")})).await;
    assert_eq!(walk.waits[0].1.notices[0].data["missing"], json!(["the purchase order for invoice 2209, as a PDF"]));
    assert_eq!(walk.steps["verify"]["matched"], true, "{}", walk.steps["verify"]);
    assert_eq!(walk.waits[1].1.notices[0].attachments[1].name, "po-88002.pdf");
    assert!(walk.steps["post"].is_null(), "a rejected invoice is not posted");
    assert_eq!(walk.steps["tell_rejected"], json!({"told": ["frank"]}));
}

#[tokio::test]
async fn the_large_invoice_matches_too() {
    let mut walk = Walk::new();
    let documents = json!([walk.store("invoice-4790.pdf").await, walk.store("po-88003.pdf").await]);
    walk.go(documents, json!({"approve": decision("approved")})).await;
    assert_eq!(walk.steps["extract"]["invoice"]["amount"], "18,400.00 EUR");
    assert_eq!(walk.steps["verify"]["matched"], true, "{}", walk.steps["verify"]);
}

#[test]
fn the_demos_workflow_and_people_are_without_fault() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/workflows");
    let known = Known { agents: &Walk::new().registry, presets: &Presets::default(), templates: None };
    let loaded = workflows::load(&directory, &known).unwrap();
    assert!(loaded.iter().any(|loaded| loaded.workflow.name == "ap-invoice"));
    let (customer, mail) = (customer(), Address::new("billing@nordwind.example"));
    assert!(customer.suppliers.iter().any(|supplier| supplier.speaks_from(&mail)));
}
