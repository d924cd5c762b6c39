//! Live reload: when rules, workflows and templates are read again, and who is told what came of it. Reading them, and
//! keeping them apart from those in force, is `behaviour`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::App;
use super::run::MAX_PAUSE;
use crate::behaviour::files::{Contents, REST, Stats, Watch};
use crate::behaviour::{self, Behaviour, Counts, Refused};
use crate::config::diagnostic::Diagnostic;
use crate::config::publish::Publish;
use crate::domain::event::Event;
use crate::store::{StoreError, events, workflows};

/// A set that came into force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reloaded {
    /// Hash of the rules that were in force, and of those that are.
    pub old: String,
    pub new: String,
    pub counts: Counts,
    /// Files that are new, gone or changed.
    pub changed: Vec<PathBuf>,
}

/// Why the set in force stays.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// What is wrong with the files. It was told already, in log, event and health.
    #[error("the files are not in order")]
    Refused(Vec<Diagnostic>),
    /// Nothing comes into force that the audit trail does not tell.
    #[error("write the reload into the audit trail: {0}")]
    Store(#[from] StoreError),
}

/// What is known of the files by looking at them.
pub(super) struct Watched {
    behaviour: Watch,
    /// What was refused and is in the audit trail.
    told: Option<Contents>,
    /// How many versions are published and withdrawn, as far as it matters to what is in force.
    published: (i64, i64),
    settings: Watch,
    settings_files: Vec<PathBuf>,
    settings_known: Contents,
}

impl Watched {
    /// `known` is what the files that are read only at the start held then.
    pub fn new(settings_files: Vec<PathBuf>, known: Contents, published: (i64, i64)) -> Self {
        let (behaviour, settings) = (Watch::default(), Watch::default());
        Self { behaviour, told: None, published, settings, settings_files, settings_known: known }
    }
}

impl App {
    /// Reads rules, workflows and templates again and puts them in force, all or nothing. What is in hand ends by the old set;
    /// runs keep the workflow that they were launched with.
    ///
    /// # Errors
    /// What is wrong with the files, which is told in log, event and health; or the database is away. The set in force stays.
    pub async fn reload(&self) -> Result<Reloaded, ReloadError> {
        self.take(&mut *self.watched.lock().await).await
    }

    /// Looks at the files, and reads them again when they have changed and are at rest. None when there is nothing to do.
    ///
    /// # Errors
    /// As `reload`; once for what is refused, again and again while the database is away.
    pub async fn tick_files(&self, now: Instant) -> Result<Option<Reloaded>, ReloadError> {
        let mut watched = self.watched.lock().await;
        self.look_at_settings(&mut watched, now).await;
        let published = self.published_counts().await?;
        if watched.published != published {
            return self.take(&mut watched).await.map(Some);
        }
        let stats = self.stats().await;
        if !watched.behaviour.is_due(stats.clone(), now) {
            return Ok(None);
        }
        let files = aside(move || Contents::read(&stats)).await;
        let refused = self.live.refused();
        let is_in_force = files == self.live.current().files;
        let is_known = match &refused {
            Some((_, refused)) => refused.files == files && watched.told.as_ref() == Some(&files),
            None => is_in_force,
        };
        if is_known {
            watched.behaviour.dealt_with();
            return Ok(None);
        }
        self.take(&mut watched).await.map(Some)
    }

    /// Says once when a file changed that is read only at the start.
    async fn look_at_settings(&self, watched: &mut Watched, now: Instant) {
        let files = watched.settings_files.clone();
        let stats = aside(move || Stats::of(&files)).await;
        if !watched.settings.is_due(stats.clone(), now) {
            return;
        }
        watched.settings.dealt_with();
        let held = aside(move || Contents::read(&stats)).await;
        for path in held.changed_since(&watched.settings_known) {
            match self.config.files.people.as_deref() == Some(path) {
                true => info!("{} changed; `countersign import` it, or restart to apply", path.display()),
                false => info!("{} changed; restart to apply", path.display()),
            }
        }
        watched.settings_known = held;
    }

    async fn published_counts(&self) -> Result<(i64, i64), StoreError> {
        let mut tx = self.engine.store.read().await?;
        Ok(counted(self.config.workflows.publish, workflows::counts(&mut tx).await?))
    }

    async fn stats(&self) -> Stats {
        let files = self.config.files.clone();
        aside(move || Stats::of(&files.behaviour())).await
    }

    async fn take(&self, watched: &mut Watched) -> Result<Reloaded, ReloadError> {
        let (config, agents) = (self.config.clone(), Arc::clone(&self.engine.agents));
        // It runs the tests inside, and a panic must not end the daemon.
        let read = tokio::task::spawn_blocking(move || behaviour::load(&config, &*agents)).await;
        let done = match read {
            Ok(Ok(behaviour)) => {
                let rows = super::published(&self.engine.store).await?;
                watched.published = self.published_counts().await?;
                let told = behaviour.differences(&rows);
                match told.is_empty() {
                    true => {
                        let behaviour = behaviour.with_published(&rows, self.config.workflows.publish);
                        self.put_in_force(watched, behaviour).await
                    }
                    false => self.refuse(watched, Refused { files: behaviour.files, told }).await,
                }
            }
            Ok(Err(refused)) => self.refuse(watched, refused).await,
            Err(error) => {
                let what = format!("reading the files failed; please report it: {error}");
                let told = vec![Diagnostic::whole(&self.config.files.rules, what, None)];
                let stats = self.stats().await;
                let files = aside(move || Contents::read(&stats)).await;
                self.refuse(watched, Refused { files, told }).await
            }
        };
        if !matches!(done, Err(ReloadError::Store(_))) {
            watched.behaviour.dealt_with();
        }
        done
    }

    async fn put_in_force(&self, watched: &mut Watched, behaviour: Behaviour) -> Result<Reloaded, ReloadError> {
        let before = self.live.current();
        let (old, new) = (before.rules.hash().to_owned(), behaviour.rules.hash().to_owned());
        let changed = behaviour.files.changed_since(&before.files).into_iter().map(PathBuf::from).collect();
        let reloaded = Reloaded { old, new, counts: behaviour.counts(), changed };
        let Reloaded { old, new, counts: Counts { rules, workflows, templates }, changed } = &reloaded;
        let names: Vec<String> = changed.iter().map(|path| path.display().to_string()).collect();
        let event = Event::new(self.engine.clock.now(), "behaviour.reloaded", "")
            .with("old", old.as_str())
            .with("new", new.as_str())
            .with("rules", *rules)
            .with("workflows", *workflows)
            .with("templates", *templates)
            .with("changed", names.clone());
        self.tell(event).await?;
        self.live.exchange(behaviour);
        watched.told = None;
        let what = if names.is_empty() { "nothing new".to_owned() } else { names.join(", ") };
        info!(
            "reloaded ({what}); rule set {old} -> {new}, rules: {rules}, workflows: {workflows}, templates: {templates}"
        );
        Ok(reloaded)
    }

    async fn refuse(&self, watched: &mut Watched, refused: Refused) -> Result<Reloaded, ReloadError> {
        let Refused { files, told } = refused.clone();
        let why = refused.summaries();
        let now = self.engine.clock.now();
        let ruleset = self.live.current().rules.hash().to_owned();
        // Health tells the first moment; a reload by hand says again what is wrong.
        let known = self.live.refused().filter(|(_, known)| known.files == files).map(|(since, _)| since);
        let is_told = watched.told.as_ref() == Some(&files);
        if known.is_none() || is_told {
            error!("not reloaded; rule set {ruleset} stays in force\n{}", super::listed(&told));
        }
        self.live.refuse(refused, known.unwrap_or(now));
        if !is_told {
            self.tell(Event::new(now, "behaviour.refused", "").with("ruleset", ruleset).with("why", why)).await?;
            watched.told = Some(files);
        }
        Err(ReloadError::Refused(told))
    }

    async fn tell(&self, event: Event) -> Result<(), StoreError> {
        let mut tx = self.engine.store.begin().await?;
        events::append(&mut tx, &event.with("process", self.engine.owner.as_str())).await?;
        tx.commit().await
    }

    /// The loop: at once when poked, and by looking at the files where that is configured.
    pub(super) fn watch_files(self: &Arc<Self>, loops: &mut JoinSet<anyhow::Result<()>>, stop: &CancellationToken) {
        let (app, stop) = (Arc::clone(self), stop.clone());
        loops.spawn(async move {
            let mut pause = REST;
            loop {
                let done = tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    () = app.reload_now.notified() => app.reload().await.map(drop),
                    () = tokio::time::sleep(pause), if app.config.files.watch => {
                        app.tick_files(Instant::now()).await.map(drop)
                    }
                };
                pause = match done {
                    Err(error @ ReloadError::Store(_)) => {
                        error!("reload: {error}; rules, workflows and templates in force stay");
                        (pause * 2).min(MAX_PAUSE)
                    }
                    _ => REST,
                };
            }
        });
    }
}

/// What of the number of published and withdrawn versions matters to what is in force. Where files are published by their
/// first launch, only withdrawing changes it.
pub(super) fn counted(publish: Publish, (published, withdrawn): (i64, i64)) -> (i64, i64) {
    match publish {
        Publish::Files => (0, withdrawn),
        Publish::Explicit => (published, withdrawn),
    }
}

/// Does what may hang, as a network file system does, beside the loops.
async fn aside<T: Default + Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    // It fails only while the process ends.
    tokio::task::spawn_blocking(work).await.unwrap_or_default()
}
