//! What a scenario is played on: a database that nobody keeps, and the engine over it with a clock that stands still.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use chrono::TimeDelta;
use serde_json::{Map, json};

use super::agents::{Asleep, scripted};
use super::clockwork::{Clockwork, Played};
use super::read::Scenario;
use crate::agents::Registry;
use crate::behaviour::{Behaviour, Live};
use crate::blob::Blob;
use crate::config::diagnostic::Diagnostic;
use crate::domain::clock::{ManualClock, SharedClock};
use crate::domain::ids::{RunId, TransactionId};
use crate::domain::person::{Customer, User};
use crate::domain::token::TokenKey;
use crate::domain::workflow::Workflow;
use crate::engine::launch::Launch;
use crate::engine::{Definitions, Engine, Work};
use crate::store::{Store, people};

/// A temporary directory with an empty database, which every scenario gets a copy of. Dropped, it is removed.
pub(super) struct Scratch {
    directory: PathBuf,
}

impl Scratch {
    pub async fn new() -> anyhow::Result<Self> {
        let directory = std::env::temp_dir().join(format!("countersign-scenarios-{}", uuid::Uuid::now_v7()));
        std::fs::create_dir(&directory).with_context(|| format!("make {}", directory.display()))?;
        let scratch = Self { directory };
        let store = Store::scratch(&scratch.empty()).await.context("make a database for scenarios")?;
        store.migrate().await.context("make a database for scenarios")?;
        store.close().await;
        Ok(scratch)
    }

    fn empty(&self) -> PathBuf {
        self.directory.join("empty.db")
    }

    /// A directory of its own with an empty database.
    async fn stage(&self) -> anyhow::Result<(PathBuf, Store)> {
        let place = self.directory.join(uuid::Uuid::now_v7().to_string());
        let file = place.join("state.db");
        let copied = std::fs::create_dir(&place).and_then(|()| std::fs::copy(self.empty(), &file));
        copied.with_context(|| format!("copy an empty database to {}", file.display()))?;
        let store = Store::scratch(&file).await.with_context(|| format!("open {}", file.display()))?;
        Ok((place, store))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A temporary directory; whoever cleans those up takes what is left.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Longest that one scenario may take on a real clock: agents that nobody told what to give may hang.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

pub(super) struct World {
    engine: Engine,
    clock: ManualClock,
    asleep: Asleep,
}

impl World {
    /// `agents` makes the agents that steps without a script are performed by; what they write goes below the given directory.
    pub async fn new(
        scratch: &Scratch,
        scenario: &Scenario,
        workflows: &[Workflow],
        agents: impl Fn(&Path) -> Registry,
    ) -> anyhow::Result<Self> {
        let (place, store) = scratch.stage().await?;
        let clock = ManualClock::new(scenario.start);
        let shared: SharedClock = Arc::new(clock.clone());
        let asleep = Asleep::default();
        let behaviour = Behaviour::none().map_err(listed)?;
        let live = Live::new(Behaviour { workflows: workflows.to_vec(), ..behaviour });
        let agents = scripted(&agents(&place), &scenario.steps, &scenario.workflow, &shared, &asleep);
        let engine = Engine {
            store,
            blob: Arc::new(Blob::local(place.join("store"))),
            clock: shared,
            agents: Arc::new(agents),
            live: Arc::new(live),
            key: TokenKey::new(b"scenario"),
            owner: "scenario".to_owned(),
            // Time leaps, and nobody else is there.
            lease: TimeDelta::days(36_500),
            work: Work::default(),
            definitions: Definitions::default(),
        };
        Ok(Self { engine, clock, asleep })
    }

    /// Starts the run and lets time pass to its end.
    pub async fn play(self, scenario: &Scenario) -> anyhow::Result<Played> {
        let Self { engine, clock, asleep } = self;
        let run = start(&engine, scenario).await?;
        let mut clockwork = Clockwork::new(&engine, &clock, &asleep, run);
        let work = async {
            loop {
                let poked = engine.work.notified();
                match engine.tick_worker().await {
                    Ok(true) => {}
                    Ok(false) => poked.await,
                    Err(error) => break error,
                }
            }
        };
        let played = async {
            tokio::select! {
                error = work => Err(error),
                done = clockwork.run(scenario) => done,
            }
        };
        let played = tokio::time::timeout(PATIENCE, played).await;
        played
            .with_context(|| format!("{}: it did not come to rest", scenario.file.display()))?
            .with_context(|| format!("play {}", scenario.file.display()))?;
        let played = clockwork.played().await?;
        engine.store.close().await;
        Ok(played)
    }
}

async fn start(engine: &Engine, scenario: &Scenario) -> anyhow::Result<RunId> {
    let user = |(name, roles): (&String, &Vec<String>)| User {
        name: name.clone(),
        full_name: String::new(),
        address: format!("{name}@scenario.example"),
        roles: roles.clone(),
    };
    let customer = Customer {
        name: scenario.customer.clone(),
        aliases: vec![],
        suppliers: vec![],
        users: scenario.users.iter().map(user).collect(),
    };
    let mut tx = engine.store.begin().await?;
    people::import(&mut tx, &customer, scenario.start).await?;
    let origin = json!({"from": scenario.from, "subject": scenario.about, "message_id": "scenario@sender.example"});
    let launch = Launch {
        workflow: &scenario.workflow,
        customer: &scenario.customer,
        transaction_id: TransactionId::new(),
        message_id: None,
        documents: &[],
        inputs: scenario.inputs.clone(),
        origin: origin.as_object().cloned().unwrap_or_else(Map::new),
        by: "scenario",
    };
    let launched = engine.launch(&mut tx, launch).await?;
    tx.commit().await?;
    engine.work.notify_waiters();
    Ok(launched.id)
}

fn listed(wrong: Vec<Diagnostic>) -> anyhow::Error {
    anyhow::anyhow!(wrong.iter().map(Diagnostic::summary).collect::<Vec<_>>().join("; "))
}
