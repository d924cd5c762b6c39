//! Thousands of runs under a virtual clock, while agents fail, hang and wait, workers die in the middle of their commits and
//! lose their leases, and people answer late, twice or never: each run comes to a legal end, and nothing is done twice.
//! What happens to whom is seeded. `COUNTERSIGN_SIMULATED_RUNS=10000` plays more, `COUNTERSIGN_SIMULATION_SEED` other ones.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use countersign::agents::pdf::PdfReader;
use countersign::agents::{Agent, Outcome, Registry, Settings, Task};
use countersign::behaviour::{Behaviour, Live};
use countersign::blob::Blob;
use countersign::domain::clock::{Clock, ManualClock, SharedClock};
use countersign::domain::duration::Span;
use countersign::domain::failure::Failure;
use countersign::domain::ids::{RunId, TransactionId};
use countersign::domain::person::{Customer, User};
use countersign::domain::run::RunStatus;
use countersign::domain::step::StepStatus;
use countersign::domain::token::TokenKey;
use countersign::domain::wait::{Answer, Channel, Choice, WaitKind, WaitStatus};
use countersign::domain::workflow::Workflow;
use countersign::engine::decide::{Decided, Ending};
use countersign::engine::launch::Launch;
use countersign::engine::{Definitions, Engine, Work};
use countersign::people::ladder;
use countersign::store::{Store, events, people, runs, steps, waits};
use serde_json::{Map, Value, json};

const WORKFLOW: &str = r#"
name = "simulated"
version = 1
prefix = "S"
owner = "frank"
deadline = { soft = "10d", hard = "20d" }
[inputs]
lines = { type = "list", default = [1, 2] }
[[step]]
name = "read"
agent = "erratic"
timeout = { soft = "30m", hard = "2h" }
retry = { count = 3, interval = "10m", jitter_percent = 20, never_on = ["broken"] }
[[step]]
name = "lines"
agent = "erratic"
needs = ["read"]
for_each = "{{ inputs.lines }}"
retry = { count = 2, interval = "1m" }
[[step]]
name = "pause"
agent = "delay"
needs = ["read"]
with = { for = "3h" }
[[step]]
name = "ask"
agent = "approval"
needs = ["lines"]
with = { question = "ok?", approvers = ["olivia"], fallback = ["frank"], remind_after = ["1d"], escalate_after = "2d", escalate = "add", expire_after = "4d" }
[[step]]
name = "post"
agent = "erratic"
needs = ["ask", "pause"]
when = "steps.ask.decision == 'approved'"
retry = { count = 3, interval = "5m" }
on_error = { go_to = "mend" }
[[step]]
name = "mend"
agent = "noop"
"#;

#[derive(Debug, Clone)]
struct Dice(u64);

impl Dice {
    /// Of one thing that happens, whatever happens before it.
    fn of(seed: u64, about: &str) -> Self {
        let mixed = about
            .bytes()
            .fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        let mut dice = Self(mixed);
        dice.below(2);
        dice
    }

    fn below(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// What agents did outside: how often each was begun, and what came about, by idempotency key.
#[derive(Debug, Clone, Default)]
struct Outside {
    begun: BTreeMap<(String, i32), usize>,
    effects: BTreeMap<String, usize>,
}

/// Fails, hangs and dies as its dice say.
struct Erratic {
    seed: u64,
    clock: SharedClock,
    outside: Arc<Mutex<Outside>>,
    faulty: Arc<AtomicBool>,
}

#[async_trait]
impl Agent for Erratic {
    fn name(&self) -> &'static str {
        "erratic"
    }
    fn about(&self) -> &'static str {
        "Does what it must not do twice, if it does not fail."
    }
    fn check(&self, _: &Map<String, Value>) -> Vec<(String, String)> {
        vec![]
    }
    async fn perform(&self, task: &Task) -> Outcome {
        let key = task.idempotency_key();
        let begun = {
            let mut outside = self.outside.lock().expect("the outside");
            let begun = outside.begun.entry((key.clone(), task.attempt)).or_default();
            *begun += 1;
            *begun
        };
        // Names of runs are the same in every simulation, their ids are not.
        let about = format!("{} {} {} {begun}", task.run_name, task.step, task.attempt);
        let fate = Dice::of(self.seed, &about).below(100);
        let faulty = self.faulty.load(Ordering::Relaxed);
        // Longer than a lease: another worker may take the run meanwhile.
        if faulty && fate < 4 {
            self.clock.sleep_until(task.now + TimeDelta::minutes(20)).await;
        }
        match fate {
            4..20 => return Outcome::Retry(Failure::medium("busy", "try again")),
            20..22 => return Outcome::Fail(Failure::high("broken", "for good")),
            22..24 => {
                return Outcome::Retry(Failure::high("broken", "said to be worth another, which the workflow denies"));
            }
            _ => {}
        }
        // The other side takes the same key once.
        self.outside.lock().expect("the outside").effects.entry(key).or_insert(0);
        if faulty && (24..28).contains(&fate) {
            // The answer is lost on its way back.
            tokio::task::yield_now().await;
            return Outcome::Retry(Failure::medium("connection_lost", "done, but nobody heard of it"));
        }
        Outcome::done(json!({"by": begun}))
    }
}

struct Simulation {
    seed: u64,
    clock: ManualClock,
    engines: Vec<Engine>,
    outside: Arc<Mutex<Outside>>,
    faulty: Arc<AtomicBool>,
    runs: Vec<RunId>,
    _directory: tempfile::TempDir,
}

const LEASE: TimeDelta = TimeDelta::minutes(5);

impl Simulation {
    async fn new(seed: u64, count: usize) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let store = Store::scratch(&directory.path().join("state.db")).await.expect("open");
        store.migrate().await.expect("migrate");
        let clock = ManualClock::new("2026-03-02T09:00:00Z".parse().expect("an instant"));
        let (outside, faulty) = (Arc::new(Mutex::new(Outside::default())), Arc::new(AtomicBool::new(true)));
        let pdf = PdfReader { program: "".into(), cpu: Span::from_secs(1), memory_bytes: 1 };
        let mut registry = Registry::standard(Settings { pdf, post_directory: directory.path().into() });
        let shared: SharedClock = Arc::new(clock.clone());
        registry.add(Erratic {
            seed,
            clock: Arc::clone(&shared),
            outside: Arc::clone(&outside),
            faulty: Arc::clone(&faulty),
        });
        let agents = Arc::new(registry);
        let live = Arc::new(Live::new(Behaviour::none().expect("templates")));
        let engine = |owner: &str| Engine {
            store: store.clone(),
            blob: Arc::new(Blob::local(directory.path().join("store"))),
            clock: Arc::clone(&shared),
            agents: Arc::clone(&agents),
            live: Arc::clone(&live),
            key: TokenKey::new(b"simulation"),
            owner: owner.into(),
            lease: LEASE,
            work: Work::default(),
            definitions: Definitions::default(),
        };
        let engines = ["a", "b"].map(engine).into();
        let mut simulation = Self { seed, clock, engines, outside, faulty, runs: vec![], _directory: directory };
        simulation.launch(count).await;
        simulation
    }

    async fn launch(&mut self, count: usize) {
        let workflow: Workflow = toml::from_str(WORKFLOW).expect("a workflow");
        assert_eq!(workflow.problems(), []);
        let user = |name: &str| User {
            name: name.into(),
            full_name: String::new(),
            address: format!("{name}@acme.example"),
            roles: vec![],
        };
        let users = vec![user("olivia"), user("frank")];
        let customer = Customer { name: "acme".into(), aliases: vec![], suppliers: vec![], users };
        let engine = &self.engines[0];
        let mut tx = engine.store.begin().await.expect("begin");
        people::import(&mut tx, &customer, self.clock.now()).await.expect("people");
        for _ in 0..count {
            let launch = Launch {
                workflow: &workflow,
                customer: "acme",
                transaction_id: TransactionId::new(),
                message_id: None,
                documents: &[],
                inputs: Map::new(),
                origin: Map::new(),
                by: "test",
            };
            self.runs.push(engine.launch(&mut tx, launch).await.expect("launch").id);
        }
        tx.commit().await.expect("commit");
    }

    /// Two workers, until both have nothing to do, or die.
    async fn work(&self, dice: &mut Dice) {
        let work = async {
            let both =
                self.engines.iter().map(|engine| async move { while engine.tick_worker().await.expect("work") {} });
            futures_util::future::join_all(both).await;
        };
        let death = async {
            for _ in 0..1 + dice.below(4) {
                for _ in 0..dice.below(20_000) {
                    tokio::task::yield_now().await;
                }
                self.clock.advance(LEASE / 2);
            }
        };
        tokio::select! {
            _ = work => {}
            () = death => {}
        }
    }

    async fn timers(&self) {
        let engine = &self.engines[0];
        while engine.tick_timers().await.expect("timers") + ladder::tick(engine).await.expect("ladder") > 0 {}
    }

    /// Some of those who are asked answer, some of them twice.
    async fn answers(&self, dice: &mut Dice) {
        let engine = &self.engines[1];
        let far = self.clock.now() + TimeDelta::days(365);
        let mut tx = engine.store.read().await.expect("read");
        let open = waits::due(&mut tx, far, 1_000_000).await.expect("waits");
        drop(tx);
        let mut tx = engine.store.begin().await.expect("begin");
        for wait in open.into_iter().filter(|wait| wait.kind == WaitKind::Approval) {
            if dice.below(8) > 0 {
                continue;
            }
            let choice = if dice.below(4) > 0 { Choice::Approve } else { Choice::Reject };
            let answer = Answer {
                by: wait.asked[0].person.clone(),
                choice,
                comment: None,
                via: Channel::Mail,
                verified: "test".into(),
                output: Map::new(),
            };
            let ending = || Ending::Answer(answer.clone());
            let first = engine.decide(&mut tx, wait.id, ending(), None).await.expect("decide");
            // A commit that its worker did not live to see may have ended the run.
            assert!(matches!(first, Decided::Now | Decided::Over(_)), "{first:?}");
            if first == Decided::Now && dice.below(3) == 0 {
                let second = engine.decide(&mut tx, wait.id, ending(), None).await.expect("decide");
                assert!(matches!(second, Decided::Repeated(_)), "{second:?}");
            }
        }
        tx.commit().await.expect("commit");
    }

    async fn play(&self) {
        let mut dice = Dice::of(self.seed, "what happens to workers and people");
        for _ in 0..40 {
            self.work(&mut dice).await;
            self.timers().await;
            self.answers(&mut dice).await;
            self.clock.advance(TimeDelta::minutes(i64::try_from(dice.below(360)).expect("minutes")));
        }
        // From here on nothing dies or hangs: what was left is taken up.
        self.faulty.store(false, Ordering::Relaxed);
        for _ in 0..30 {
            self.clock.advance(TimeDelta::hours(8));
            self.timers().await;
            while self.engines[0].tick_worker().await.expect("work") {}
        }
    }

    /// Holds what became of every run against what may become of one.
    async fn judge(&self) -> BTreeMap<&'static str, usize> {
        let now = self.clock.now();
        let outside = self.outside.lock().expect("the outside").clone();
        let mut tx = self.engines[0].store.read().await.expect("read");
        let mut ends: BTreeMap<&'static str, usize> = BTreeMap::new();
        for id in &self.runs {
            let run = runs::get(&mut tx, *id).await.expect("a run");
            *ends.entry(run.status.as_str()).or_default() += 1;
            let rows = steps::of_run(&mut tx, *id, run.generation).await.expect("steps");
            let told = || format!("seed {}: {} is {}: {rows:#?}", self.seed, run.name, run.status);
            let open = waits::of_run(&mut tx, *id).await.expect("waits");
            let open = open.iter().filter(|wait| wait.status == WaitStatus::Open).count();
            match run.status {
                RunStatus::Completed => assert!(rows.len() == 8 && open == 0, "{}", told()),
                RunStatus::Failed => assert!(run.failure.is_some() && open == 0, "{}", told()),
                RunStatus::Waiting => assert!(open > 0 || run.wake_at.is_some_and(|at| at > now), "{}", told()),
                _ => panic!("nobody works on it: {}", told()),
            }
            let trail = events::of_run(&mut tx, *id).await.expect("events");
            let ended = trail.iter().filter(|event| ["run.completed", "run.failed"].contains(&event.kind.as_str()));
            assert_eq!(ended.count(), usize::from(run.status.is_final()), "{}", told());
            for row in &rows {
                let of_step = |kind: &str| {
                    let of = |event: &&countersign::domain::event::Event| {
                        event.kind == kind && event.step.as_deref() == Some(row.name.as_str())
                    };
                    trail.iter().filter(of).collect::<Vec<_>>()
                };
                assert!(
                    of_step("step.done").len() + of_step("wait.answered").len() <= 1,
                    "{} twice: {}",
                    row.name,
                    told()
                );
                if row.agent != "erratic" || row.name == "lines" {
                    continue;
                }
                let key = format!("{id}/{}/{}", run.generation, row.name);
                // Nothing is begun that was not written as started before.
                for attempt in 1..=row.attempt {
                    let started =
                        of_step("step.started").iter().filter(|event| event.data["attempt"] == attempt).count();
                    let begun = outside.begun.get(&(key.clone(), attempt)).copied().unwrap_or_default();
                    assert!(begun <= started, "{key}, {attempt}: begun {begun} times, started {started}: {}", told());
                }
                let beyond = outside.begun.get(&(key.clone(), row.attempt + 1));
                assert!(beyond.is_none(), "{key} was begun once more: {}", told());
                if row.status == StepStatus::Success {
                    assert!(outside.effects.contains_key(&key), "{key} is done, but nothing came of it: {}", told());
                    assert_eq!(last(&of_step("step.started")), last_before(&trail, &row.name), "{}", told());
                }
                assert!(row.status != StepStatus::Skipped || !outside.effects.contains_key(&key), "{}", told());
            }
        }
        ends
    }
}

fn last(events: &[&countersign::domain::event::Event]) -> Option<DateTime<Utc>> {
    events.last().map(|event| event.at)
}

/// When a step was last started before it was done: nothing of it is started afterwards.
fn last_before(trail: &[countersign::domain::event::Event], step: &str) -> Option<DateTime<Utc>> {
    let of = trail.iter().filter(|event| event.step.as_deref() == Some(step));
    let before = of.take_while(|event| event.kind != "step.done");
    before.filter(|event| event.kind == "step.started").last().map(|event| event.at)
}

fn from_environment(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

#[tokio::test]
async fn whatever_fails_hangs_or_dies_every_run_comes_to_a_legal_end_and_nothing_is_done_twice() {
    let count = from_environment("COUNTERSIGN_SIMULATED_RUNS", 500);
    let seed = from_environment("COUNTERSIGN_SIMULATION_SEED", 1);
    let begun = std::time::Instant::now();
    let simulation = Simulation::new(seed, usize::try_from(count).expect("a number of runs")).await;
    simulation.play().await;
    let ends = simulation.judge().await;
    let attempts: usize = simulation.outside.lock().expect("the outside").begun.values().sum();
    println!("{count} runs, seed {seed}: {ends:?}, {attempts} attempts in {:?}", begun.elapsed());
    assert!(ends.get("completed") > Some(&0) && ends.get("failed") > Some(&0), "the runs are too alike: {ends:?}");
    let mut tx = simulation.engines[0].store.read().await.expect("read");
    let mut crashes = 0;
    for run in &simulation.runs {
        let trail = events::of_run(&mut tx, *run).await.expect("events");
        crashes += trail.iter().filter(|event| event.data.get("after_crash") == Some(&true.into())).count();
    }
    assert!(crashes > 0, "no worker lost a step");
}
