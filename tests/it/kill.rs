//! Death in the middle: by SIGKILL at every crash point and at any moment, and by SIGTERM while there is work in hand.
//! Afterwards: one run, one approval mail, one posting, every message decided once.

use std::time::Duration;

use countersign::domain::crash::POINTS;
use countersign::domain::message::Message;
use countersign::domain::notice::NoticeStatus;
use tokio::task::{JoinSet, LocalSet};

use crate::daemon::{Daemon, Site};
use crate::rig;
use crate::story::{Decided, Repeats};

#[tokio::test]
async fn a_kill_during_intake_loses_and_repeats_nothing() {
    die_at(|area| area == "intake").await;
}

#[tokio::test]
async fn a_kill_between_steps_loses_and_repeats_nothing() {
    die_at(|area| area == "engine").await;
}

#[tokio::test]
async fn a_kill_during_delivery_sends_again_only_what_may_be_lost() {
    die_at(|area| area == "delivery").await;
}

/// Whatever points there are beside those above: none is forgotten.
#[tokio::test]
async fn a_kill_anywhere_else_loses_and_repeats_nothing() {
    die_at(|area| !matches!(area, "intake" | "engine" | "delivery")).await;
}

/// One story for each point of these areas, all at once.
async fn die_at(area: impl Fn(&str) -> bool) {
    let points = POINTS.iter().filter(|point| area(point.split('.').next().unwrap_or_default()));
    all_at_once(points.map(|point| dies_at(point))).await;
}

/// Each story on its own, so that one that ends badly tells its own log and ends no other.
async fn all_at_once(stories: impl Iterator<Item = impl Future<Output = ()> + 'static>) {
    let here = LocalSet::new();
    let told = async {
        let mut running = JoinSet::new();
        for story in stories {
            running.spawn_local(story);
        }
        assert!(!running.is_empty(), "no stories");
        let mut failed = 0;
        while let Some(ended) = running.join_next().await {
            failed += usize::from(ended.is_err());
        }
        assert_eq!(failed, 0, "stories that ended badly; see above");
    };
    here.run_until(told).await;
}

/// In which halves of the story a point is reached: until somebody is asked, and from the answer on. A new point counts
/// as reached in both until somebody knows better.
fn halves(point: &str) -> (bool, bool) {
    match point {
        "delivery.claimed" | "delivery.sent" | "delivery.marked" => (true, false),
        "decide.before_commit" | "decide.committed" | "post.written" => (false, true),
        _ => (true, true),
    }
}

/// Dies at the point in each half of the story that reaches it.
async fn dies_at(point: &'static str) {
    println!("{point}");
    let site = Site::usual();
    let (first, second) = halves(point);
    site.mail_in(&site.mailbox).await;
    let daemon = site.start_armed(point);
    let daemon = if first { after_death(&site, daemon, point).await } else { daemon };
    let asked = site.approval().await;
    site.wait_for_state("the approval mail to be marked as sent", |state| {
        state.notices.iter().any(|notice| notice.status == NoticeStatus::Sent).then_some(())
    })
    .await;
    // Commits after an answer by mail are the intake's; only the page has this point.
    let decided = if point == "decide.committed" { Decided::OnThePage } else { Decided::ByMail };
    if second {
        daemon.stop().await;
        if decided == Decided::ByMail {
            site.approve(&asked).await;
        }
        let mut daemon = site.start_armed(point);
        if decided == Decided::OnThePage {
            press_approve(&mut daemon, &asked).await;
        }
        let _daemon = after_death(&site, daemon, point).await;
        end(&site, point, decided).await;
    } else {
        site.approve(&asked).await;
        end(&site, point, decided).await;
    }
}

async fn end(site: &Site, point: &str, decided: Decided) {
    let repeats = if point == "delivery.sent" { Repeats::IfTold } else { Repeats::Never };
    let state = site.ends_well(decided, repeats).await;
    if repeats == Repeats::IfTold {
        assert_eq!(rig::inbox(&site.approver).await.len(), 2, "it had gone out, and nobody could know");
    }
    assert!(state.count("notice.sent_again") <= 1);
}

async fn after_death(site: &Site, mut daemon: Daemon, point: &str) -> Daemon {
    daemon.wait_for_death(point).await;
    site.start().await
}

/// Decides on the page that the mail's link leads to. The daemon may die before it answers.
async fn press_approve(daemon: &mut Daemon, asked: &Message) {
    let port = rig::wait_for("the pages", async || daemon.port()).await;
    let (_, link) = asked.text.split_once("http://pages.test/").expect("a link in the mail");
    let path = link.split_whitespace().next().expect("a path");
    let form = [("choice", "approve"), ("comment", "")];
    let _ = reqwest::Client::new().post(format!("http://127.0.0.1:{port}/{path}")).form(&form).send().await;
}

#[tokio::test]
async fn kills_at_any_moment_lose_and_repeat_nothing() {
    all_at_once((0..2).map(|_| killed_ten_times())).await;
}

async fn killed_ten_times() {
    let site = Site::usual();
    site.mail_in(&site.mailbox).await;
    kill_five_times(&site).await;
    let daemon = site.start().await;
    let asked = site.approval().await;
    daemon.kill();
    site.approve(&asked).await;
    kill_five_times(&site).await;
    let daemon = site.start().await;
    site.ends_well(Decided::ByMail, Repeats::IfTold).await;
    daemon.stop().await;
}

/// Up to a lease is spent on waiting for the dead one's; the moments reach well beyond it.
async fn kill_five_times(site: &Site) {
    for _ in 0..5 {
        let moment = Duration::from_millis(u64::from(uuid::Uuid::new_v4().as_bytes()[0]) * 16);
        println!("killed after {moment:?}");
        let daemon = site.spawn(&[]);
        // Nothing is waited for here: the moment is what is tried.
        let _ = tokio::time::timeout(moment, std::future::pending::<()>()).await;
        daemon.kill();
    }
}

#[tokio::test]
async fn a_stop_in_the_middle_of_work_loses_and_repeats_nothing() {
    let site = Site::usual();
    site.mail_in(&site.mailbox).await;
    let daemon = site.start().await;
    site.wait_for_state("the mail in the ledger", |state| (!state.messages.is_empty()).then_some(())).await;
    daemon.stop().await;
    let daemon = site.start().await;
    site.wait_for_state("the run", |state| (!state.runs.is_empty()).then_some(())).await;
    daemon.stop().await;
    let daemon = site.start().await;
    site.wait_for_state("the notice", |state| (!state.notices.is_empty()).then_some(())).await;
    daemon.stop().await;
    let daemon = site.start().await;
    let asked = site.approval().await;
    site.approve(&asked).await;
    site.wait_for_state("the reply in the ledger", |state| (state.messages.len() > 1).then_some(())).await;
    daemon.stop().await;
    let daemon = site.start().await;
    site.ends_well(Decided::ByMail, Repeats::Never).await;
    daemon.stop().await;
}
