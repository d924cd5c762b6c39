//! Builds everything from a configuration, and owns the loops and their shutdown.

pub mod logging;
mod reload;
mod run;
pub mod signals;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use chrono::{DateTime, Utc};
use secrecy::ExposeSecret;
use tokio::sync::{Mutex, Notify};

use crate::agents::pdf::PdfReader;
use crate::agents::{Registry, Settings};
use crate::behaviour::files::{Contents, Stats};
use crate::behaviour::{self, Behaviour, Counts, Live, Rulebook};
use crate::blob;
use crate::cli::Context;
use crate::config::diagnostic::Diagnostic;
use crate::config::secret::Secrets;
use crate::config::sections::{Config, Mailbox, Transport};
use crate::config::{load, people};
use crate::delivery::{Delivery, ReplyAddress};
use crate::domain::clock::SharedClock;
use crate::domain::nearest::nearest;
use crate::domain::person::Customer;
use crate::domain::token::TokenKey;
use crate::engine::{Definitions, Engine, Work};
use crate::intake::Intake;
use crate::mailbox::access::Access;
use crate::malware::Scanner;
use crate::notify::templates::Templates;
use crate::notify::{Media, compose, email};
use crate::people::{ladder, unanswered};
use crate::reports::audit;
use crate::senders::Verifier;
use crate::store::workflows::{self, PublishedRow};
use crate::store::{self, Store, StoreError};

pub use reload::{ReloadError, Reloaded};

/// Everything of one process, built and connected.
pub struct App {
    pub config: Config,
    pub access: Arc<Access>,
    pub engine: Arc<Engine>,
    pub intake: Arc<Intake>,
    pub delivery: Arc<Delivery>,
    /// Rules, workflows and templates in force.
    pub live: Arc<Live>,
    /// Poked when they are to be read again at once.
    pub reload_now: Notify,
    watched: Mutex<reload::Watched>,
    /// What the people file says.
    customers: Vec<Customer>,
}

/// What differs between the daemon, tests and the demo.
#[derive(Debug, Clone)]
pub struct Parts {
    pub clock: SharedClock,
    /// The program that reads PDFs when called with the hidden argument: this binary.
    pub program: PathBuf,
}

/// What rule files are loaded and tested with, whether or not the rules in force are in order.
///
/// # Errors
/// Everything wrong with configuration and templates, each with its place and mend.
pub fn rulebook(file: &Path) -> Result<Rulebook, Vec<Diagnostic>> {
    let config = load::load(file)?.config;
    let templates = Templates::load(config.files.templates.as_deref())?;
    Ok(Rulebook::new(&config, &templates))
}

/// Everything wrong with a configuration and the files it names, without touching any server.
///
/// # Errors
/// Each with its place and mend.
pub fn check(file: &Path) -> Result<Checked, Vec<Diagnostic>> {
    let (checked, refused) = check_all_but_behaviour(file)?;
    if refused.is_empty() { Ok(checked) } else { Err(refused) }
}

/// As `check`, for what decides nothing by rules: faulty rules, workflows and templates do not matter to it, and it gets none.
///
/// # Errors
/// Everything wrong with the configuration and the people file.
pub fn check_without_behaviour(file: &Path) -> Result<Checked, Vec<Diagnostic>> {
    check_all_but_behaviour(file).map(|(checked, _)| checked)
}

/// With what is wrong with rules, workflows and templates; there are none in force then.
fn check_all_but_behaviour(file: &Path) -> Result<(Checked, Vec<Diagnostic>), Vec<Diagnostic>> {
    let loaded = load::load(file)?;
    let (config, layers) = (loaded.config, loaded.layers);
    let settings = Contents::read(&Stats::of(&settings(&config, &layers)));
    let mut told = vec![];
    let people = config.files.people.as_deref().map(people::load).transpose();
    let customers = people.map_err(|errors| told.extend(errors)).ok().flatten();
    if let (Some(file), Some(known)) = (&config.files.people, &customers) {
        told.extend(strangers(file, &config, known));
    }
    let behaviour = behaviour::load(&config, &registry(&config, Path::new("")));
    let (behaviour, refused) = match behaviour {
        Ok(behaviour) => (behaviour, vec![]),
        Err(refused) => (Behaviour::none()?, refused.told),
    };
    if !told.is_empty() {
        told.extend(refused);
        return Err(told);
    }
    let customers = customers.unwrap_or_default();
    Ok((Checked { config, layers, settings, behaviour, customers }, refused))
}

/// The files that are read at the start only.
fn settings(config: &Config, layers: &[PathBuf]) -> Vec<PathBuf> {
    layers.iter().chain(&config.files.people).cloned().collect()
}

/// Customers of mailboxes and of their recipients whom the people file does not know: all their mail would come from strangers.
fn strangers(file: &Path, config: &Config, known: &[Customer]) -> Vec<Diagnostic> {
    let is_known = |name: &str| known.iter().any(|customer| customer.name == name);
    let complain = |name: &str, named: String| {
        let what = format!("has no customer `{name}`, which {named}");
        let near = nearest(name, known.iter().map(|customer| customer.name.as_str()));
        let mend = near.map_or_else(|| "add a [[customer]]".to_owned(), |near| format!("did you mean `{near}`?"));
        Diagnostic::whole(file, what, Some(mend))
    };
    let mut told = vec![];
    for Mailbox { name, customer, recipients, .. } in &config.mailboxes {
        if !is_known(customer) {
            told.push(complain(customer, format!("mailbox `{name}` belongs to")));
        }
        for (key, customer) in recipients.customers().filter(|(_, customer)| !is_known(customer)) {
            told.push(complain(customer, format!("the recipients of mailbox `{name}` name for `{key}`")));
        }
    }
    told
}

/// Diagnostics one after the other, as compilers show them.
pub fn listed(told: &[Diagnostic]) -> String {
    told.iter().map(|diagnostic| format!("{diagnostic}\n")).collect()
}

/// A configuration and its files, all in order.
pub struct Checked {
    pub config: Config,
    pub layers: Vec<PathBuf>,
    /// What the configuration and the people file held when they were read.
    settings: Contents,
    pub behaviour: Behaviour,
    pub customers: Vec<Customer>,
}

impl Checked {
    /// One line on what was found in order.
    pub fn summary(&self) -> String {
        let layers: Vec<_> = self.layers.iter().map(|layer| layer.display().to_string()).collect();
        let Counts { rules, workflows, templates } = self.behaviour.counts();
        format!(
            "in order: {} (mailboxes: {}, rules: {}, workflows: {}, templates: {}, customers: {})",
            layers.join(" under "),
            self.config.mailboxes.len(),
            rules,
            workflows,
            templates,
            self.customers.len()
        )
    }
}

fn registry(config: &Config, program: &Path) -> Registry {
    let pdf = PdfReader { program: program.to_owned(), cpu: config.limits.pdf, memory_bytes: PDF_MEMORY_BYTES };
    Registry::standard(Settings { pdf, post_directory: config.engine.post_directory.clone() })
}

/// Address space of the child that reads a PDF.
const PDF_MEMORY_BYTES: u64 = 1 << 30;

impl App {
    /// Connects to everything that the configuration names and brings the database up to date.
    ///
    /// # Errors
    /// Says what could not be opened.
    pub async fn build(checked: Checked, parts: Parts) -> anyhow::Result<Self> {
        let Checked { config, layers, settings, behaviour, customers } = checked;
        let directory = layers.last().and_then(|file| file.parent()).unwrap_or(Path::new("")).to_owned();
        let secrets = Arc::new(Secrets::new(config.aws.clone(), Arc::clone(&parts.clock), &directory));
        let store = open_store(&config, &secrets).await?;
        store.migrate().await?;
        let (live, published) = in_force(&store, behaviour, &config, parts.clock.now()).await?;
        let live = Arc::new(live);
        let blob = Arc::new(blob::open(&config.store, &secrets, &config.aws).await.context("open the store")?);
        let engine = Arc::new(Engine {
            store,
            blob,
            clock: Arc::clone(&parts.clock),
            agents: Arc::new(registry(&config, &parts.program)),
            live: Arc::clone(&live),
            key: token_key(&config, &secrets).await?,
            owner: format!("{}-{}", hostname(), uuid::Uuid::now_v7().simple()),
            lease: config.engine.lease.delta(),
            work: Work::default(),
            definitions: Definitions::default(),
        });
        let mailboxes = config.mailboxes.clone();
        let delivery = Arc::new(Delivery {
            engine: Arc::clone(&engine),
            media: media(&config, &secrets).await?,
            live: Arc::clone(&live),
            from: compose::address(&config.outgoing.from).context("outgoing.from")?,
            base_url: config.web.base_url.clone(),
            mailboxes: ReplyAddress::of(&mailboxes),
        });
        let intake = Intake::new(Arc::clone(&engine), config.limits.clone(), mailboxes, Arc::clone(&live))
            .verifying(Verifier::of(&config)?)
            .scanning(config.malware.as_ref().map(Scanner::new));
        let intake = Arc::new(intake);
        let access = Arc::new(Access::new(secrets, parts.clock));
        let watched = Mutex::new(reload::Watched::new(self::settings(&config, &layers), settings, published));
        let reload_now = Notify::new();
        let app = Self { config, access, engine, intake, delivery, live, reload_now, watched, customers };
        app.import_strangers().await?;
        Ok(app)
    }

    /// Takes the people file into the database, as `countersign import` does.
    ///
    /// # Errors
    /// When the database does not take it.
    pub async fn import_people(&self) -> anyhow::Result<()> {
        let mut tx = self.engine.store.begin().await?;
        for customer in &self.customers {
            store::people::import(&mut tx, customer, self.engine.clock.now()).await?;
        }
        Ok(tx.commit().await?)
    }

    /// Takes those customers of the people file in that the database has never heard of, so that the first command on a new
    /// database knows them. Who is known stays as the database has them until `run` or `import`.
    async fn import_strangers(&self) -> anyhow::Result<()> {
        let mut tx = self.engine.store.begin().await?;
        for customer in &self.customers {
            if !store::people::is_known(&mut tx, &customer.name).await? {
                store::people::import(&mut tx, customer, self.engine.clock.now()).await?;
            }
        }
        Ok(tx.commit().await?)
    }

    /// What commands work with.
    pub fn context(&self) -> Context {
        Context {
            config: self.config.clone(),
            rulebook: Rulebook::new(&self.config, &self.live.current().templates),
            engine: Arc::clone(&self.engine),
            intake: Arc::clone(&self.intake),
            access: Arc::clone(&self.access),
            behaviour: self.live.current(),
        }
    }

    /// Does everything that is due now, until nothing is: steps, timers, ladders, outbox, retention, audit seals. For tests and the demo,
    /// which own the clock.
    ///
    /// # Errors
    /// The first trouble of any of them.
    pub async fn settle(&self) -> anyhow::Result<()> {
        loop {
            let mut busy = self.engine.tick_timers().await? > 0;
            busy |= ladder::tick(&self.engine).await? + unanswered::tick(&self.engine).await? > 0;
            busy |= self.engine.tick_worker().await?;
            busy |= self.delivery.tick().await?;
            if let Some(keep) = self.config.quarantine.keep {
                busy |= self.intake.tick_retention(keep).await?;
            }
            if !busy {
                break;
            }
        }
        Ok(audit::seal(&self.engine).await?)
    }
}

/// What is in force at the start, and how many versions are published and withdrawn. A file that says otherwise than what is
/// published changes nothing, and is told.
async fn in_force(
    store: &Store,
    behaviour: Behaviour,
    config: &Config,
    now: DateTime<Utc>,
) -> Result<(Live, (i64, i64)), StoreError> {
    let mut tx = store.read().await?;
    let counts = reload::counted(config.workflows.publish, workflows::counts(&mut tx).await?);
    drop(tx);
    let rows = published(store).await?;
    let (files, told) = (behaviour.files.clone(), behaviour.differences(&rows));
    let live = Live::new(behaviour.with_published(&rows, config.workflows.publish));
    if !told.is_empty() {
        tracing::error!("what is published stays in force\n{}", listed(&told));
        live.refuse(behaviour::Refused { files, told }, now);
    }
    Ok((live, counts))
}

async fn published(store: &Store) -> Result<Vec<PublishedRow>, StoreError> {
    let mut tx = store.read().await?;
    workflows::published(&mut tx).await
}

async fn open_store(config: &Config, secrets: &Secrets) -> anyhow::Result<Store> {
    let database = &config.database;
    if let Some(directory) = sqlite_file(config).and_then(Path::parent) {
        std::fs::create_dir_all(directory).with_context(|| format!("make {}", directory.display()))?;
    }
    let password = match &database.password {
        Some(reference) => Some(secrets.get(reference).await?),
        None => None,
    };
    Store::open(&database.url, password.as_ref(), database.connections).await.context("open the database")
}

fn sqlite_file(config: &Config) -> Option<&Path> {
    config.database.url.strip_prefix("sqlite:").map(Path::new)
}

async fn media(config: &Config, secrets: &Secrets) -> anyhow::Result<Media> {
    let password = match &config.outgoing.transport {
        Transport::Smtp { password: Some(reference), .. } => Some(secrets.get(reference).await?),
        _ => None,
    };
    let mut media = Media::new();
    media.add(email::email(&config.outgoing, password).await?).map_err(anyhow::Error::msg)?;
    Ok(media)
}

/// The key of link tokens: the configured secret, or a file made once beside the SQLite database.
async fn token_key(config: &Config, secrets: &Secrets) -> anyhow::Result<TokenKey> {
    if let Some(reference) = &config.web.secret {
        return Ok(TokenKey::new(secrets.get(reference).await?.expose_secret().as_bytes()));
    }
    let Some(database) = sqlite_file(config) else {
        bail!("web.secret is missing: machines on one database must share the key of their links");
    };
    let path = database.with_file_name("secret.key");
    let fresh = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
    let mut options = std::fs::OpenOptions::new();
    std::os::unix::fs::OpenOptionsExt::mode(options.write(true).create_new(true), 0o600);
    match options
        .open(&path)
        .and_then(|mut file| std::io::Write::write_all(&mut file, fresh.as_bytes()).and_then(|()| file.sync_all()))
    {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error).with_context(|| format!("make {}", path.display())),
    }
    let key = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
    if key.len() < 32 {
        bail!("{} is cut short; restore it, or remove it, which makes every link in sent mails void", path.display());
    }
    Ok(TokenKey::new(&key))
}

fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
