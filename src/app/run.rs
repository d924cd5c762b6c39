//! The daemon: every loop by name, and how they end. A loop is a shell around a tick that does one unit and says so.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use futures_util::FutureExt;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_cron_scheduler::{Job, JobScheduler};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::App;
use crate::config::sections::Role;
use crate::http::{self, Web};
use crate::intake;
use crate::people::{ladder, unanswered};
use crate::publish::Publisher;
use crate::reports::audit;

/// What a stop waits for work in hand; then it is dropped, which is as safe as a kill.
const GRACE: Duration = Duration::from_secs(8);

/// Longest pause of a loop after failures.
pub(super) const MAX_PAUSE: Duration = Duration::from_secs(30);

impl App {
    /// Runs the loops of `roles` until `shutdown` completes, then stops them within ten seconds. It serves pages on
    /// `listener`, if there is one.
    ///
    /// # Errors
    /// When a loop could not be started, or ended by itself.
    pub async fn run(
        self: Arc<Self>,
        roles: &[Role],
        listener: Option<TcpListener>,
        shutdown: impl Future<Output = ()>,
    ) -> anyhow::Result<()> {
        self.import_people().await.context("take the people file into the database")?;
        info!("countersign {} starts on {}", env!("CARGO_PKG_VERSION"), self.engine.blob.describe());
        let stop = CancellationToken::new();
        let mut loops = JoinSet::new();
        let has = |role| roles.contains(&role);
        let mut scheduler = None;
        if has(Role::Intake) {
            scheduler = Some(self.start_mailboxes(&mut loops, &stop).await.context("start the cron schedules")?);
        }
        if has(Role::Worker) {
            for _ in 0..self.config.engine.workers.max(1) {
                self.spawn(&mut loops, &stop, "worker", |app| async move { Ok(app.engine.tick_worker().await?) });
            }
        }
        if has(Role::Scheduler) {
            self.spawn(&mut loops, &stop, "timers", |app| async move { Ok(app.engine.tick_timers().await? > 0) });
            self.spawn(&mut loops, &stop, "ladder", |app| async move {
                Ok(ladder::tick(&app.engine).await? + unanswered::tick(&app.engine).await? > 0)
            });
            if let Some(keep) = self.config.quarantine.keep {
                self.spawn(&mut loops, &stop, "retention", move |app| async move {
                    Ok(app.intake.tick_retention(keep).await?)
                });
            }
            self.spawn(&mut loops, &stop, "seals", |app| async move {
                audit::seal(&app.engine).await?;
                Ok(false)
            });
        }
        if has(Role::Delivery) {
            self.spawn(&mut loops, &stop, "delivery", |app| async move { Ok(app.delivery.tick().await?) });
            let publisher = self.publisher().await?;
            for place in 0..publisher.count() {
                let publisher = Arc::clone(&publisher);
                self.spawn(&mut loops, &stop, "publish", move |_| {
                    let publisher = Arc::clone(&publisher);
                    async move { Ok(publisher.tick(place).await?) }
                });
            }
        }
        self.spread_word(&mut loops, &stop);
        self.watch_files(&mut loops, &stop);
        if let Some(listener) = listener {
            let web = self.web().await?;
            let stopped = stop.clone().cancelled_owned();
            info!("pages on http://{}", listener.local_addr()?);
            loops.spawn(async move { http::serve(listener, web, stopped).await.context("serve pages") });
        }
        tokio::select! {
            () = shutdown => info!("stopping"),
            Some(ended) = loops.join_next() => {
                stop.cancel();
                ended.context("a loop panicked")??;
                bail!("a loop ended by itself");
            }
        }
        stop.cancel();
        self.engine.work.close();
        if let Some(mut scheduler) = scheduler {
            scheduler.shutdown().await.unwrap_or_else(|error| warn!("stop the cron schedules: {error}"));
        }
        let drained = async { while loops.join_next().await.is_some() {} };
        if tokio::time::timeout(GRACE, drained).await.is_err() {
            warn!("dropped what did not end within {} s; it is taken up again at the next start", GRACE.as_secs());
        }
        self.engine.store.close().await;
        info!("stopped");
        Ok(())
    }

    /// The address that the pages are served on, where `roles` want them.
    ///
    /// # Errors
    /// When it is taken or not ours.
    pub async fn listen(&self, roles: &[Role]) -> anyhow::Result<Option<TcpListener>> {
        if !roles.contains(&Role::Http) {
            return Ok(None);
        }
        let listen = &self.config.web.listen;
        let listener = TcpListener::bind(listen).await;
        listener.map(Some).with_context(|| format!("listen on {listen} (web.listen); is another process there?"))
    }

    /// Who outside is told events.
    ///
    /// # Errors
    /// When a secret or a file with certificates cannot be read.
    pub async fn publisher(&self) -> anyhow::Result<Arc<Publisher>> {
        let publisher = Publisher::build(Arc::clone(&self.engine), &self.config.publish, &self.access.secrets).await;
        Ok(Arc::new(publisher.context("make the receivers of events")?))
    }

    /// What the pages work with.
    ///
    /// # Errors
    /// When their password cannot be fetched.
    pub async fn web(&self) -> anyhow::Result<Arc<Web>> {
        let password = match &self.config.web.password {
            Some(reference) => Some(self.access.secrets.get(reference).await?),
            None => None,
        };
        let (engine, live) = (Arc::clone(&self.engine), Arc::clone(&self.live));
        Ok(Arc::new(Web { engine, live, password, base_url: self.config.web.base_url.clone() }))
    }

    /// One watcher for each mailbox, and the cron schedule that pokes it.
    async fn start_mailboxes(
        &self,
        loops: &mut JoinSet<anyhow::Result<()>>,
        stop: &CancellationToken,
    ) -> anyhow::Result<JobScheduler> {
        let scheduler = JobScheduler::new().await?;
        for mailbox in &self.config.mailboxes {
            let due = Arc::new(Notify::new());
            let poked = Arc::clone(&due);
            let job = Job::new(mailbox.poll.as_str(), move |_, _| poked.notify_one())
                .with_context(|| format!("poll of mailbox {}", mailbox.name))?;
            scheduler.add(job).await?;
            let (intake, access, stop) = (Arc::clone(&self.intake), Arc::clone(&self.access), stop.clone());
            let mailbox = mailbox.clone();
            loops.spawn(async move {
                intake::watch(intake, mailbox, access, due, stop).await;
                Ok(())
            });
        }
        scheduler.start().await?;
        Ok(scheduler)
    }

    /// Wakes the loops of the other processes on the same database when this one has left work, and this one's when another has.
    /// The tick is the net below.
    fn spread_word(self: &Arc<Self>, loops: &mut JoinSet<anyhow::Result<()>>, stop: &CancellationToken) {
        let (app, stopped) = (Arc::clone(self), stop.clone());
        loops.spawn(async move {
            let telling = async {
                loop {
                    app.engine.work.to_be_told().await;
                    if let Err(error) = app.engine.store.tell(&app.engine.owner).await {
                        warn!("other processes cannot be told of work: {error}; they find it at their tick");
                    }
                }
            };
            tokio::select! {
                () = telling => {}
                () = stopped.cancelled() => {}
            }
            Ok(())
        });
        let (app, stopped) = (Arc::clone(self), stop.clone());
        loops.spawn(async move {
            let listening = async {
                loop {
                    let heard = app.engine.store.listen(&app.engine.owner, || app.engine.work.heard()).await;
                    // There is nobody to hear.
                    let Err(error) = heard else { break std::future::pending::<()>().await };
                    warn!("word of other processes cannot be heard: {error}; tried again");
                    tokio::time::sleep(MAX_PAUSE).await;
                }
            };
            tokio::select! {
                () = listening => {}
                () = stopped.cancelled() => {}
            }
            Ok(())
        });
    }

    /// Ticks until `stop`: at once again after work, otherwise when poked or after the configured tick.
    fn spawn<F>(
        self: &Arc<Self>,
        loops: &mut JoinSet<anyhow::Result<()>>,
        stop: &CancellationToken,
        name: &'static str,
        tick: impl Fn(Arc<Self>) -> F + Send + 'static,
    ) where
        F: Future<Output = anyhow::Result<bool>> + Send,
    {
        let (app, stop) = (Arc::clone(self), stop.clone());
        let pause = Duration::from_secs(u64::from(self.config.engine.tick.secs.max(1)));
        loops.spawn(async move {
            let mut failures = 0u32;
            while !stop.is_cancelled() {
                // Made before the tick, so that what is poked during it is not missed.
                let poked = app.engine.work.notified();
                let ticked = AssertUnwindSafe(tick(Arc::clone(&app))).catch_unwind().await;
                let pause = match ticked.unwrap_or_else(|_| Err(anyhow!("a panic; please report it"))) {
                    Ok(true) => {
                        failures = 0;
                        continue;
                    }
                    Ok(false) => {
                        failures = 0;
                        pause
                    }
                    Err(trouble) => {
                        failures += 1;
                        error!("{name}: {trouble}; tried again");
                        (pause * 2u32.saturating_pow(failures.min(10))).min(MAX_PAUSE)
                    }
                };
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = poked, if failures == 0 => {}
                    () = stop.cancelled() => {}
                }
            }
            Ok(())
        });
    }
}
