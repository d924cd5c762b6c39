//! The real daemon takes edited files: by looking at them, and at SIGHUP, which does not end it.

use countersign::domain::event::Event;
use countersign::store::{Store, events};
use rustix::process::Signal;
use secrecy::SecretString;

use crate::daemon::{Site, repository};
use crate::rig;

const CONFIG: &str = r#"
[database]
url = "sqlite:state/countersign.db"
[store]
kind = "directory"
path = "state/store"
[files]
rules = "rules"
workflows = "workflows"
people = "people.toml"
[outgoing]
transport = { kind = "directory", path = "state/outgoing" }
[web]
listen = "127.0.0.1:0"
"#;

const RULES: &str = "[[rule]]\nname = \"known\"\nsubject = \"*invoice*\"\nignore = \"first wording\"\n";

fn site(watch: bool) -> Site {
    let site = Site::new();
    site.put("countersign.toml", &CONFIG.replace("[files]", &format!("[files]\nwatch = {watch}")));
    site.put("rules/ap.toml", RULES);
    site
}

/// Waits until the audit trail has an event of a kind.
async fn wait_for(site: &Site, kind: &str) -> Event {
    rig::wait_for(kind, async || {
        let store = Store::open(&site.database, None::<&SecretString>, 2).await.ok()?;
        let told = events::after(&mut store.read().await.ok()?, 0, 1000).await;
        store.close().await;
        told.ok()?.into_iter().map(|sealed| sealed.event).find(|event| event.kind == kind)
    })
    .await
}

#[tokio::test]
async fn the_daemon_takes_a_changed_file_by_itself() {
    let site = site(true);
    let daemon = site.start().await;
    site.put("rules/ap.toml", &RULES.replace("first", "second"));
    let event = wait_for(&site, "behaviour.reloaded").await;
    assert_ne!(event.data["old"], event.data["new"]);
    site.put("rules/ap.toml", "[[rule]]\nnme = 1\n");
    let event = wait_for(&site, "behaviour.refused").await;
    assert!(event.data["why"].to_string().contains("ap.toml:2: "), "{event:?}");
    let log = daemon.log();
    assert!(log.contains("ERROR") && log.contains("rules/ap.toml:2:1") && log.contains("nme = 1"), "{log}");
    site.put("countersign.toml", &format!("{CONFIG}\n# edited\n"));
    rig::wait_for("the line on the configuration", async || {
        daemon.log().contains("countersign.toml changed; restart to apply").then_some(())
    })
    .await;
    daemon.stop().await;
}

#[tokio::test]
async fn the_daemon_takes_files_at_sighup() {
    let site = site(false);
    let daemon = site.start().await;
    site.put("rules/ap.toml", &RULES.replace("first", "second"));
    daemon.signal(Signal::HUP);
    let event = wait_for(&site, "behaviour.reloaded").await;
    assert!(event.data["changed"].to_string().contains("rules/ap.toml"), "{event:?}");
    site.put(
        "workflows/ap-invoice.toml",
        &repository("config/workflows/ap-invoice.toml").replace("version = 1", "version = x"),
    );
    daemon.signal(Signal::HUP);
    wait_for(&site, "behaviour.refused").await;
    daemon.stop().await;
}

#[tokio::test]
async fn faulty_rules_keep_no_command_from_working_that_does_not_go_by_them() {
    let site = site(true);
    site.put("rules/ap.toml", "[[rule]]\nnme = 1\n");
    let check = |words: &[&str], code: i32| {
        let done = std::process::Command::new(env!("CARGO_BIN_EXE_countersign"))
            .args(words)
            .arg("--config")
            .arg(site.path("countersign.toml"))
            .output()
            .expect("run a command");
        assert_eq!(done.status.code(), Some(code), "{words:?}: {}", String::from_utf8_lossy(&done.stderr));
    };
    check(&["runs"], 0);
    check(&["quarantine", "list"], 0);
    check(&["audit", "verify"], 0);
    check(&["check"], 2);
    check(&["run"], 2);
    check(&["inject", "a.eml", "--mailbox", "ap"], 2);
    check(&["quarantine", "release", "0197c2d48a11", "--as", "olivia"], 2);
}
