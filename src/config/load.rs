//! Loading of configuration files: layers and relative paths. What must hold between the values is in `checks`.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::checks;
use super::diagnostic::Diagnostic;
use super::located::{Located, Part};
use super::malware::{Clamd, Malware};
use super::sections::{Config, Mailbox, Source, Store, Transport};
use crate::domain::nearest::nearest;

/// A configuration that holds together, and the files it came from, lowest layer first.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub config: Config,
    pub layers: Vec<PathBuf>,
}

const SECTIONS: &[&str] = &[
    "database",
    "store",
    "files",
    "mailbox",
    "outgoing",
    "web",
    "limits",
    "quarantine",
    "dns",
    "malware",
    "engine",
    "workflows",
    "publish",
    "aws",
    "log",
];

/// Loads `file` over the `base.toml` beside it, if there is one. Relative paths, also those of defaults, become
/// relative to the directory of the two. Nothing but the files is looked at.
///
/// # Errors
/// Everything that is wrong, each with file, line and mend.
pub fn load(file: &Path) -> Result<Loaded, Vec<Diagnostic>> {
    if !file.exists() {
        let mend = "name a configuration with --config FILE; `countersign demo` needs none".to_owned();
        return Err(vec![Diagnostic::whole(file, "cannot read the file: there is none", Some(mend))]);
    }
    let directory = file.parent().unwrap_or(Path::new(""));
    let located = read_layers(file, &directory.join("base.toml"))?;
    let mut told = vec![];
    for name in located.names(&[]).iter().filter(|name| !SECTIONS.contains(&name.as_str())) {
        let near = nearest(name, SECTIONS.iter().copied()).map(|near| format!("did you mean `{near}`?"));
        let mend = near.unwrap_or_else(|| format!("known here: {}", SECTIONS.join(", ")));
        told.push(located.complain(&[name], Part::Key, format!("unknown key `{name}`"), Some(mend)));
    }
    let mut mailboxes = vec![];
    if !located.value(&["mailbox"]).is_none_or(|value| value.is_array()) {
        let mend = Some("write [[mailbox]], once for each".into());
        told.push(located.complain(&["mailbox"], Part::Value, "`mailbox` is no list of tables", mend));
    } else {
        for index in located.names(&["mailbox"]) {
            let mut mailbox = located.take::<Mailbox>(&["mailbox", &index], Mailbox::KEYS, &mut told);
            if let Some(Mailbox { source: Source::Imap(imap), .. }) = &mut mailbox {
                imap.fill_in();
            }
            mailboxes.extend(mailbox.map(|mailbox| (index, mailbox)));
        }
    }
    let mut config = Config {
        database: section(&located, "database", &mut told),
        store: section(&located, "store", &mut told),
        files: section(&located, "files", &mut told),
        mailboxes: vec![],
        outgoing: section(&located, "outgoing", &mut told),
        web: section(&located, "web", &mut told),
        limits: section(&located, "limits", &mut told),
        quarantine: section(&located, "quarantine", &mut told),
        dns: section(&located, "dns", &mut told),
        malware: section(&located, "malware", &mut told),
        engine: section(&located, "engine", &mut told),
        workflows: section(&located, "workflows", &mut told),
        publish: section(&located, "publish", &mut told),
        aws: section(&located, "aws", &mut told),
        log: section(&located, "log", &mut told),
    };
    checks::check(&located, &config, &mailboxes, &mut told);
    if !told.is_empty() {
        told.sort_by_key(|one| (one.file.clone(), one.span.as_ref().map(|span| span.start)));
        return Err(told);
    }
    config.mailboxes = mailboxes.into_iter().map(|(_, mailbox)| mailbox).collect();
    resolve(&mut config, directory);
    Ok(Loaded { config, layers: located.files() })
}

fn read_layers(file: &Path, base: &Path) -> Result<Located, Vec<Diagnostic>> {
    let is_base = file.file_name() == base.file_name();
    if is_base || !base.exists() {
        return Located::read(file);
    }
    match (Located::read(file), Located::read(base)) {
        (Ok(upper), Ok(lower)) => Ok(upper.over(lower)),
        (Err(mut upper), Err(lower)) => {
            upper.extend(lower);
            Err(upper)
        }
        (Err(told), _) | (_, Err(told)) => Err(told),
    }
}

/// A section, or its default when it is not there or of no use.
fn section<T: DeserializeOwned + Default>(located: &Located, name: &str, told: &mut Vec<Diagnostic>) -> T {
    if !located.has(&[name]) {
        return T::default();
    }
    located.take(&[name], &[], told).unwrap_or_default()
}

/// Makes every relative path start at `directory`. Secret files stay as written: `Secrets` knows where they are.
fn resolve(config: &mut Config, directory: &Path) {
    let under = |path: &mut PathBuf| *path = directory.join(&*path);
    if let Some(path) = sqlite_path(&config.database.url) {
        let resolved = directory.join(path);
        config.database.url = format!("sqlite:{}", resolved.display());
    }
    if let Store::Directory { path } = &mut config.store {
        under(path);
    }
    let files = &mut config.files;
    [&mut files.rules, &mut files.workflows, &mut files.agents].into_iter().for_each(under);
    files.templates.iter_mut().chain(&mut files.people).for_each(under);
    for mailbox in &mut config.mailboxes {
        match &mut mailbox.source {
            Source::Imap(imap) => {
                let oauth = imap.oauth.as_mut().and_then(|oauth| oauth.ca_file.as_mut());
                imap.ca_file.iter_mut().chain(oauth).for_each(under);
            }
            Source::Maildir(maildir) => under(&mut maildir.path),
        }
    }
    match &mut config.outgoing.transport {
        Transport::Smtp { ca_file, .. } => ca_file.iter_mut().for_each(under),
        // A bare name is looked up in PATH.
        Transport::Sendmail { command } if command.components().count() > 1 => under(command),
        Transport::Sendmail { .. } => {}
        Transport::Directory { path } => under(path),
    }
    if let Some(Malware { clamd: Clamd::Unix(path), .. }) = &mut config.malware {
        under(path);
    }
    let otlp = config.publish.otlp.iter_mut().filter_map(|otlp| otlp.ca_file.as_mut());
    let webhooks = config.publish.webhooks.iter_mut().filter_map(|webhook| webhook.ca_file.as_mut());
    otlp.chain(webhooks).for_each(under);
    under(&mut config.engine.post_directory);
}

/// The file of a `sqlite:` URL; none for databases in memory and for other servers.
fn sqlite_path(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("sqlite:")?;
    let path = rest.strip_prefix("//").unwrap_or(rest);
    (!path.starts_with(':') && !path.is_empty()).then_some(path)
}

#[cfg(test)]
mod tests;
