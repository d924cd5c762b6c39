//! What the tests of the pages share: one customer, an engine over SQLite and a directory, and the pages on a port.

use std::sync::Arc;

use chrono::TimeDelta;
use countersign::agents::pdf::PdfReader;
use countersign::agents::{Registry, Settings};
use countersign::behaviour::{Behaviour, Live};
use countersign::blob::Blob;
use countersign::domain::clock::{Clock, ManualClock};
use countersign::domain::duration::Span;
use countersign::domain::ids::{RunId, TransactionId};
use countersign::domain::person::Customer;
use countersign::domain::token::{Binding, TokenKey};
use countersign::domain::wait::WaitStatus;
use countersign::engine::launch::Launch;
use countersign::engine::{Definitions, Engine, Work};
use countersign::http::{Web, serve};
use countersign::store::{self, Store, answers, events, notices, tokens, waits};
use reqwest::{Client, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::engine_flow::of_its_own_version;

/// A PDF as browsers show it: one blank page.
pub const PDF: &[u8] =
    b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n\
3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n";

/// A database with one customer, an engine over it, and its pages on a port of this machine.
pub struct World {
    pub engine: Arc<Engine>,
    pub live: Arc<Live>,
    pub clock: ManualClock,
    pub url: String,
    pub http: Client,
    _directory: tempfile::TempDir,
}

impl World {
    pub async fn start() -> Self {
        Self::with(None, None).await
    }

    pub async fn with(password: Option<&str>, base_url: Option<&str>) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path();
        let store =
            Store::open(&format!("sqlite:{}", path.join("cs.db").display()), None, 8).await.expect("a database");
        store.migrate().await.expect("migrations");
        let clock = ManualClock::new("2026-03-02T09:00:00Z".parse().expect("an instant"));
        let live = Arc::new(Live::new(Behaviour::none().expect("the binary's templates")));
        let pdf = PdfReader { program: "none".into(), cpu: Span::from_secs(1), memory_bytes: 1 };
        let engine = Arc::new(Engine {
            store,
            blob: Arc::new(Blob::local(path.join("store"))),
            clock: Arc::new(clock.clone()),
            agents: Arc::new(Registry::standard(Settings { pdf, post_directory: path.join("posted") })),
            live: Arc::clone(&live),
            key: TokenKey::new(b"the key of a test"),
            owner: "test".into(),
            lease: TimeDelta::seconds(60),
            work: Work::default(),
            definitions: Definitions::default(),
        });
        let customer: Customer = serde_json::from_value(json!({"name": "acme", "user": [
            {"name": "olivia", "full_name": "Olivia Okafor", "address": "olivia@acme.example"},
            {"name": "frank", "full_name": "Frank Feld", "address": "frank@acme.example"},
        ]}))
        .expect("a customer");
        let mut tx = engine.store.begin().await.expect("begin");
        store::people::import(&mut tx, &customer, clock.now()).await.expect("import");
        tx.commit().await.expect("commit");
        let web = Web {
            engine: Arc::clone(&engine),
            live: Arc::clone(&live),
            password: password.map(|password| password.to_owned().into()),
            base_url: base_url.map(str::to_owned),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(serve(listener, Arc::new(web), std::future::pending()));
        let http = Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().expect("a client");
        Self { engine, live, clock, url, http, _directory: directory }
    }

    /// Launches a run whose one step is this, and works on it until it waits.
    pub async fn ask(&self, agent: &str, with: Value) -> RunId {
        let workflow = json!({
            "name": "ap-invoice", "title": "Supplier invoice", "version": 1, "prefix": "AP",
            "calendar": {"zone": "Europe/Berlin", "opens": "09:00", "closes": "17:00"},
            "inputs": {"supplier": {"type": "string", "optional": true}},
            "step": [{"name": "ask", "title": "Approval by the budget owner", "agent": agent, "with": with},
                {"name": "done", "agent": "noop", "needs": ["ask"]}],
        });
        let workflow = of_its_own_version(serde_json::from_value(workflow).expect("a workflow"));
        assert_eq!(workflow.problems(), []);
        let origin = json!({"from": "billing@nordwind.example", "subject": "Invoice <4711>", "mailbox": "ap-eu",
            "address": "ap@acme.example", "message_id": "first@nordwind.example"});
        let launch = Launch {
            workflow: &workflow,
            customer: "acme",
            transaction_id: TransactionId::new(),
            message_id: None,
            documents: &[],
            inputs: json!({"supplier": "Nordwind Papier GmbH"}).as_object().expect("an object").clone(),
            origin: origin.as_object().expect("an object").clone(),
            by: "billing@nordwind.example",
        };
        let mut tx = self.engine.store.begin().await.expect("begin");
        let launched = self.engine.launch(&mut tx, launch).await.expect("launch");
        tx.commit().await.expect("commit");
        while self.engine.tick_worker().await.expect("work") {}
        launched.id
    }

    /// An approval with everything that a mail can show; Olivia and Frank are asked.
    pub async fn ask_approval(&self, more: Value) -> RunId {
        let paths = ["acme/t/parts/001.pdf", "acme/t/parts/002.xml"];
        self.engine.blob.put(paths[0], PDF).await.expect("put");
        self.engine.blob.put(paths[1], b"<order><script>alert(1)</script></order>").await.expect("put");
        let document = |path: &str, name: &str, kind: &str| json!({"path": path, "name": name, "kind": kind, "sha256": "ab".repeat(32), "size_bytes": PDF.len()});
        let mut with = json!({
            "question": "Approve invoice 4711 from Nordwind Papier GmbH over 1,190.00 EUR?",
            "approvers": ["olivia", "frank"],
            "facts": [
                {"label": "Supplier", "value": "Nordwind Papier GmbH"}, {"label": "Invoice", "value": "4711"},
                {"label": "Invoice date", "value": "2026-02-27"}, {"label": "Total", "value": "1,190.00 EUR"},
                {"label": "Purchase order", "value": "PO-2026-0088"}, {"label": "IBAN", "value": "DE89 3704 0044 0532 0130 00"},
            ],
            "checks": [
                {"label": "Total", "ok": true, "text": "1,190.00 EUR is what was ordered"},
                {"label": "IBAN", "ok": false, "text": "the account is not known for this supplier"},
            ],
            "documents": [
                document(paths[0], "Rechnung 4711 – März.pdf", "pdf"), document(paths[1], "order.xml", "xml"),
            ],
            "note": "Delivered in two parts.\nThe second came on Friday.",
            "remind_after": ["2d"], "expire_after": "14d",
        });
        with.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        self.ask("approval", with).await
    }

    /// The tokens of everybody who was told, in the order in which they were.
    pub async fn tokens(&self, run: RunId) -> Vec<String> {
        let mut tx = self.engine.store.read().await.expect("read");
        let mut found = vec![];
        for notice in notices::of_run(&mut tx, run).await.expect("notices") {
            let Some(id) = notice.token_id else { continue };
            let token = tokens::get(&mut tx, id).await.expect("token");
            let binding = Binding { id, wait: token.wait_id, generation: token.generation, person: &token.person };
            found.push(self.engine.key.derive(&binding));
        }
        found
    }

    /// What a look must not change: the number of events and of answers, and the statuses of the waits.
    pub async fn state(&self, run: RunId) -> (usize, usize, Vec<WaitStatus>) {
        let mut tx = self.engine.store.read().await.expect("read");
        let all = waits::of_run(&mut tx, run).await.expect("waits");
        let mut said = 0;
        for wait in &all {
            said += answers::of_wait(&mut tx, wait.id).await.expect("answers").len();
        }
        let told = events::of_run(&mut tx, run).await.expect("events").len();
        (told, said, all.iter().map(|wait| wait.status).collect())
    }

    pub async fn get(&self, path: &str) -> Response {
        self.http.get(format!("{}{path}", self.url)).send().await.expect("an answer")
    }

    pub async fn page(&self, path: &str, status: u16) -> String {
        let answer = self.get(path).await;
        let (got, page) = (answer.status(), answer.text().await.expect("a page"));
        assert_eq!(got.as_u16(), status, "{path}: {page}");
        page
    }

    pub async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Response {
        self.http.post(format!("{}{path}", self.url)).form(fields).send().await.expect("an answer")
    }

    /// Posts an answer and gives the status.
    pub async fn say(&self, token: &str, fields: &[(&str, &str)]) -> u16 {
        self.post(&format!("/l/{token}"), fields).await.status().as_u16()
    }
}

/// Fails when the page lacks any of these.
pub fn contains(page: &str, wanted: &[&str]) {
    for text in wanted {
        assert!(page.contains(text), "`{text}` is missing in {page}");
    }
}
