//! What must hold for receivers of events.

use super::Checks;
use crate::config::oauth::is_loopback;
use crate::config::receivers::{OTLP, Publish};

impl Checks<'_> {
    pub(super) fn publish(&mut self, publish: &Publish) {
        for (index, webhook) in publish.webhooks.iter().enumerate() {
            let index = index.to_string();
            let at = |key| ["publish", "webhook", index.as_str(), key];
            self.plain_name(&at("name"), &webhook.name);
            let taken = publish.webhooks.iter().filter(|other| other.name == webhook.name).count() > 1;
            if taken || webhook.name == OTLP {
                let what = format!("another receiver is named `{}`", webhook.name);
                self.say(&at("name"), what, "rename one of them: how far it has been told is kept under its name");
            }
            self.receiver(&at("url"), &webhook.url);
            self.positive(&at("timeout"), webhook.timeout.secs);
            let is_glob = |c: char| c.is_ascii_lowercase() || matches!(c, '.' | '_' | '*');
            for glob in webhook.events.iter().filter(|glob| glob.is_empty() || !glob.chars().all(is_glob)) {
                let what = format!("`{}` is no kind of event", glob.escape_debug());
                self.say(&at("events"), what, "write a kind such as run.completed, or run.* for all of them");
            }
        }
        if let Some(otlp) = &publish.otlp {
            self.receiver(&["publish", "otlp", "endpoint"], &otlp.endpoint);
            self.positive(&["publish", "otlp", "timeout"], otlp.timeout.secs);
        }
    }

    /// Events tell who decided what; signatures do not hide it.
    fn receiver(&mut self, at: super::At, url: &str) {
        self.web_address(at, url);
        let host = reqwest::Url::parse(url).ok().filter(|url| url.scheme() == "http");
        if host.is_some_and(|url| !url.host_str().is_some_and(is_loopback)) {
            self.say(
                at,
                "events would cross the network unencrypted",
                "begin with https://; http is for this machine only",
            );
        }
    }
}
