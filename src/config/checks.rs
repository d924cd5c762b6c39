//! What must hold in a configuration beyond the types of its values. Reads nothing but the configuration.

mod login;
mod publish;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use chrono::{DateTime, Utc};
use croner::parser::{CronParser, Seconds};
use lettre::message::Mailbox as MailAddress;

use super::diagnostic::Diagnostic;
use super::located::{At, Located, Part};
use super::oauth::is_loopback;
use super::recipients::UnknownRecipient;
use super::sections::{Config, Mailbox, Source, Store, Tls, Transport};
use super::senders::{self, Verify};

/// Tells everything that does not hold. `mailboxes` come with their index in the file.
pub fn check(located: &Located, config: &Config, mailboxes: &[(String, Mailbox)], told: &mut Vec<Diagnostic>) {
    let mut checks = Checks { located, told };
    checks.mailboxes(mailboxes);
    checks.dns(config);
    checks.outgoing(config);
    checks.web(config);
    checks.stores(config);
    checks.publish(&config.publish);
    checks.at_least_one(config);
}

struct Checks<'a> {
    located: &'a Located,
    told: &'a mut Vec<Diagnostic>,
}

impl Checks<'_> {
    fn mailboxes(&mut self, mailboxes: &[(String, Mailbox)]) {
        let mut seen = BTreeMap::new();
        for (index, mailbox) in mailboxes {
            let at = |key| ["mailbox", index.as_str(), key];
            if let Some(first) = seen.insert(mailbox.name.as_str(), index) {
                let line = self.located.complain(&["mailbox", first, "name"], Part::Value, "", None).line();
                let line = line.map(|line| format!("; the first is in line {line}")).unwrap_or_default();
                let what = format!("two mailboxes are named `{}`{line}", mailbox.name);
                self.say(&at("name"), what, "rename one of them");
            }
            self.plain_name(&at("name"), &mailbox.name);
            self.plain_name(&at("customer"), &mailbox.customer);
            self.address(&at("address"), &mailbox.address, "ap@acme.example");
            self.recipients(index, mailbox);
            if let Err(why) = parse_cron(&mailbox.poll) {
                let what = format!("`{}` is no schedule: {why}", mailbox.poll);
                let mend = "write second, minute, hour, day, month and weekday: `0 * * * * *` is every minute";
                self.say(&at("poll"), what, mend);
            }
            self.verification(index, mailbox);
            if let Source::Imap(imap) = &mailbox.source {
                self.encrypted(&at("tls"), imap.tls, &imap.host);
                self.positive(&at("command_timeout"), imap.command_timeout.secs);
                self.login(index, imap);
            }
        }
    }

    fn recipients(&mut self, index: &str, mailbox: &Mailbox) {
        for (key, what, mend) in mailbox.recipients.problems(mailbox.plus_address) {
            let at = ["mailbox", index, "recipients", key];
            self.told.push(self.located.complain(&at, Part::Key, what, Some(mend.to_owned())));
        }
        for (key, customer) in mailbox.recipients.customers() {
            self.plain_name(&["mailbox", index, "recipients", key], customer);
        }
        let wants_table = mailbox.unknown_recipient == UnknownRecipient::Quarantine || mailbox.believe_to;
        if wants_table && mailbox.recipients.is_empty() {
            let key = if mailbox.believe_to { "believe_to" } else { "unknown_recipient" };
            let what = format!("`{key}` is of no use without `recipients`");
            self.say(&["mailbox", index, key], what, "add `recipients = { \"ap@acme.example\" = \"acme\" }`");
        }
    }

    fn verification(&mut self, index: &str, mailbox: &Mailbox) {
        let at = ["mailbox", index, "received_by"];
        if !mailbox.received_by.is_empty() && mailbox.verify != Verify::Locally {
            self.say(&at, "`received_by` is of no use without `verify`", "add `verify = \"locally\"`");
        }
        for host in mailbox.received_by.iter().filter(|host| !senders::is_host(host)) {
            let what = format!("`{}` is no host name", host.escape_debug());
            self.say(&at, what, "write it as the host calls itself behind `by` in Received, such as mx.acme.example");
        }
    }

    fn dns(&mut self, config: &Config) {
        self.positive(&["dns", "timeout"], config.dns.timeout.secs);
        for server in config.dns.nameservers.iter().filter(|server| senders::nameserver(server).is_none()) {
            let what = format!("`{}` is no name server", server.escape_debug());
            self.say(&["dns", "nameservers"], what, "write an IP address, with a port if it is not 53: 127.0.0.1:5353");
        }
    }

    fn outgoing(&mut self, config: &Config) {
        self.address(&["outgoing", "from"], &config.outgoing.from, "Countersign <ap@acme.example>");
        if let Transport::Smtp { host, tls, user, password, timeout, .. } = &config.outgoing.transport {
            self.encrypted(&["outgoing", "transport", "tls"], *tls, host);
            self.positive(&["outgoing", "transport", "timeout"], timeout.secs);
            self.both(&["outgoing", "transport"], [("user", user.is_some()), ("password", password.is_some())]);
        }
    }

    fn web(&mut self, config: &Config) {
        let web = &config.web;
        match web.listen.parse::<SocketAddr>() {
            Err(_) => {
                let what = format!("`{}` is no address to listen on", web.listen);
                self.say(&["web", "listen"], what, "write an IP address and a port, such as 127.0.0.1:8025");
            }
            Ok(address) if !address.ip().is_loopback() && !self.located.has(&["web", "password"]) => {
                let what = format!("the run pages would be open to everybody who reaches {address}");
                self.say(&["web", "listen"], what, "add `password = \"secret:…\"` to [web], or listen on 127.0.0.1");
            }
            Ok(_) => {}
        }
        if web.secret.is_none() && config.database.url.starts_with("postgres") {
            let what = "the key of links is missing: processes on one PostgreSQL database must share it";
            self.say(
                &["database", "url"],
                what.to_owned(),
                "add `secret = \"secret:…\"` to [web]: 32 random characters or more",
            );
        }
        if let Some(url) = &web.base_url {
            self.web_address(&["web", "base_url"], url);
            if url.ends_with('/') || url.contains(['?', '#']) {
                let what = format!("links cannot be added to `{url}`");
                self.say(&["web", "base_url"], what, "leave out the slash at the end, `?` and `#`");
            }
        }
    }

    fn stores(&mut self, config: &Config) {
        let url = &config.database.url;
        if !["sqlite:", "postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
            let what = "this is no URL of a database that is known here";
            self.say(&["database", "url"], what, "write sqlite:PATH or postgres://USER@HOST/DATABASE");
        }
        if let Store::S3 { bucket, endpoint, access_key_id, secret_access_key, .. } = &config.store {
            if bucket.is_empty() || bucket.contains('/') {
                let what = format!("`{bucket}` is no bucket");
                self.say(&["store", "bucket"], what, "write its name alone; a path inside it goes to `prefix`");
            }
            if let Some(endpoint) = endpoint {
                self.web_address(&["store", "endpoint"], endpoint);
            }
            let keys = [("access_key_id", access_key_id.is_some()), ("secret_access_key", secret_access_key.is_some())];
            self.both(&["store"], keys);
        }
        if let Some(endpoint) = &config.aws.secretsmanager_endpoint {
            self.web_address(&["aws", "secretsmanager_endpoint"], endpoint);
        }
    }

    fn at_least_one(&mut self, config: &Config) {
        self.positive(&["database", "connections"], config.database.connections);
        self.positive(&["limits", "message_bytes"], config.limits.message_bytes);
        self.positive(&["limits", "unpacked_bytes"], config.limits.unpacked_bytes);
        self.positive(&["limits", "parts"], config.limits.parts);
        self.positive(&["limits", "depth"], config.limits.depth);
        self.positive(&["limits", "pdf"], config.limits.pdf.secs);
        if config.quarantine.keep.is_some_and(|keep| keep.secs == 0) {
            let mend = "write at least 1s; leave it out to keep them for good";
            self.say(&["quarantine", "keep"], "discarded messages would be gone at once", mend);
        }
        if let Some(malware) = &config.malware {
            self.positive(&["malware", "timeout"], malware.timeout.secs);
            self.positive(&["malware", "at_once"], malware.at_once);
        }
        self.positive(&["engine", "workers"], config.engine.workers);
        self.positive(&["engine", "lease"], config.engine.lease.secs);
        self.positive(&["engine", "tick"], config.engine.tick.secs);
    }

    fn say(&mut self, at: At, what: impl Into<String>, mend: &str) {
        self.told.push(self.located.complain(at, Part::Value, what, Some(mend.to_owned())));
    }

    fn positive(&mut self, at: At, number: impl Into<u64>) {
        if number.into() == 0 {
            self.say(at, "0 would stop everything", "write at least 1");
        }
    }

    /// Names that become part of paths and of addresses.
    fn plain_name(&mut self, at: At, name: &str) {
        let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ' ');
        if name.trim() != name || name.is_empty() || name.starts_with('.') || !name.chars().all(is_plain) {
            let what = format!("`{}` is no name", name.escape_debug());
            self.say(at, what, "use letters, digits, `-`, `_` and `.`, beginning with a letter or digit");
        }
    }

    fn address(&mut self, at: At, address: &str, example: &str) {
        if let Err(why) = address.parse::<MailAddress>() {
            let what = format!("`{}` is no mail address: {}", address.escape_debug(), why.to_string().to_lowercase());
            self.say(at, what, &format!("write it as {example}"));
        }
    }

    fn encrypted(&mut self, at: At, tls: Tls, host: &str) {
        if tls == Tls::None && !is_loopback(host) {
            let what = format!("the password would cross the network to {host} unencrypted");
            self.say(at, what, "write implicit or starttls; none is for this machine only");
        }
    }

    fn web_address(&mut self, at: At, url: &str) {
        let works =
            reqwest::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        if !works {
            self.say(at, "this is no web address", "begin with https:// or http:// and a host");
        }
    }

    fn both(&mut self, at: At, pair: [(&str, bool); 2]) {
        if let [(there, true), (missing, false)] | [(missing, false), (there, true)] = pair {
            let at: Vec<&str> = at.iter().copied().chain([there]).collect();
            // Written but of no use is told already.
            let other: Vec<&str> = at[..at.len() - 1].iter().copied().chain([missing]).collect();
            if !self.located.has(&other) {
                self.say(&at, format!("`{there}` is of no use without `{missing}`"), &format!("add `{missing} = …`"));
            }
        }
    }
}

/// Whether a schedule with seconds is one, and ever comes.
fn parse_cron(schedule: &str) -> Result<(), String> {
    let parser = CronParser::builder().seconds(Seconds::Required).build();
    let cron = parser.parse(schedule).map_err(|error| error.to_string().trim_end_matches('.').to_owned())?;
    let start = DateTime::<Utc>::UNIX_EPOCH;
    cron.find_next_occurrence(&start, false).map(drop).map_err(|_| "it never comes".to_owned())
}
