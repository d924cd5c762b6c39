//! Rules drafted from what people do again and again: releases from quarantine that look alike. Reads the database and the rule
//! files, and writes nothing: what comes out is a text for an admin to judge.

mod draft;

use std::collections::BTreeMap;
use std::path::Path;

use chrono::{DateTime, Utc};

use super::replay::{Mail, People, Recalled};
use super::{Intake, IntakeError};
use crate::behaviour::Rulebook;
use crate::domain::ids::MessageId;
use crate::domain::person::Customer;
use crate::reports::text;
use crate::rules;
use crate::store::past::{self, PastRow};
use crate::store::people;
use draft::Draft;

/// Releases looked at, the latest first.
const MOST: i64 = 5_000;

/// One release from quarantine that no rule would repeat by itself.
struct Release {
    id: MessageId,
    at: DateTime<Utc>,
    by: String,
    mail: Mail,
    supplier: Option<String>,
    user: Option<String>,
    /// The rule that quarantines it; none for the default.
    held_by: Option<String>,
}

/// Releases that look alike are those of one sender's domain in one mailbox, to one workflow.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    customer: String,
    mailbox: String,
    workflow: String,
    domain: String,
}

impl Kind {
    fn told(&self, releases: &[Release]) -> String {
        let count = releases.len();
        format!("{count} releases of mail from {} to {}", text::one_line(&self.domain), self.workflow)
    }
}

impl Intake {
    /// Drafts a rule file from at least `least` releases that look alike, with the releases as tests. Comments say where each
    /// rule comes from, and what was not drafted and why. The file was loaded and its tests were run beside the rules in force.
    ///
    /// # Errors
    /// When the database is away or the rules in force cannot be read any more.
    pub async fn suggest(
        &self,
        rulebook: &Rulebook,
        since: DateTime<Utc>,
        least: usize,
    ) -> Result<String, IntakeError> {
        let (mut kinds, mut others) = (BTreeMap::<Kind, Vec<Release>>::new(), 0);
        let mut tx = self.engine.store.read().await?;
        for row in past::released(&mut tx, since, MOST).await? {
            let customer = people::customer(&mut tx, &row.customer).await?;
            match self.release_of(row, &customer) {
                Some((kind, release)) => kinds.entry(kind).or_default().push(release),
                None => others += 1,
            }
        }
        drop(tx);
        let (mut drafts, mut notes) = (vec![], vec![]);
        let behaviour = self.behaviour();
        let mut names: Vec<String> = behaviour.rules.rule_names().map(str::to_owned).collect();
        for (kind, releases) in &kinds {
            if releases.len() < least {
                others += releases.len();
                continue;
            }
            let workflow = behaviour.workflow(&kind.workflow);
            let shared =
                self.mailboxes.iter().any(|mailbox| mailbox.name == kind.mailbox && !mailbox.recipients.is_empty());
            match workflow
                .ok_or_else(|| "there is no such workflow any more".to_owned())
                .and_then(|workflow| draft::draft(kind, releases, workflow, shared, &names))
            {
                Ok(draft) => {
                    names.push(draft.name.clone());
                    drafts.push(draft);
                }
                Err(why) => notes.push(format!("{}: no rule, because {why}", kind.told(releases))),
            }
        }
        if others > 0 {
            notes.push(format!(
                "{others} other releases: alone of their kind, settled by a guard, or dealt with by a rule since"
            ));
        }
        file(rulebook, drafts, notes)
    }

    /// What a release shows; none where no rule could learn from it.
    fn release_of(&self, row: PastRow, customer: &Customer) -> Option<(Kind, Release)> {
        let Recalled::ForRules(mail) = Recalled::from(&row) else { return None };
        let workflow = row.workflow.clone()?;
        let facts = mail.facts(&row, customer, People::Now);
        let decision = self.decide_by(&self.behaviour().rules, &facts);
        if decision.verdict.workflows().any(|name| name == workflow) {
            return None;
        }
        let domain = mail.message.author()?.domain().to_owned();
        let kind = Kind { customer: row.customer, mailbox: row.mailbox, workflow, domain };
        let release = Release {
            id: row.id,
            at: row.disposed_at?,
            by: row.disposed_by?,
            supplier: facts.supplier,
            user: facts.user,
            held_by: decision.explanation.rule,
            mail: *mail,
        };
        Some((kind, release))
    }
}

/// Where a file of drafts stands among the rules in force.
const PLACES: [(&str, &str); 2] = [
    ("zz-suggested.toml", "so that every rule in force is looked at before"),
    ("00-suggested.toml", "since a rule in force would stop this mail; see that nothing there should come first"),
];

/// The drafts whose tests pass beside the rules in force, behind them if that does, else before them.
fn file(rulebook: &Rulebook, drafts: Vec<Draft>, mut notes: Vec<String>) -> Result<String, IntakeError> {
    let directory = rulebook.directory.as_path();
    let in_force = rules::read_files(directory).map_err(|wrong| {
        let first = wrong.first().map(ToString::to_string).unwrap_or_default();
        IntakeError::Message(format!("read the rules in force: {first}"))
    })?;
    let passes = |name: &str, text: &str| {
        let mut texts = in_force.clone();
        texts.push((directory.join(name), text.to_owned()));
        texts.sort();
        let results = rulebook.test_texts(directory, texts);
        results.is_ok_and(|results| results.iter().all(|result| result.failure.is_none()))
    };
    let (mut kept, mut place) = (vec![], 0);
    for draft in drafts {
        match PLACES.iter().position(|(name, _)| passes(name, &draft.text)) {
            Some(at) => {
                place = place.max(at);
                kept.push(draft);
            }
            None => notes.push(format!("{}: no rule, because it would fail a test of the rules in force", draft.about)),
        }
    }
    let text: String = kept.iter().map(|draft| format!("\n{}", draft.text)).collect();
    let (name, why) = PLACES[place];
    if !kept.is_empty() && !passes(name, &text) {
        return Err(IntakeError::Message("the drafted rules stand in each other's way".into()));
    }
    let mut told = match kept.len() {
        0 => "# Nothing to suggest: no releases look alike that a rule could repeat.\n".to_owned(),
        _ => format!(
            "# Drafted by `countersign rules suggest`: read it before you believe it.\n# To use it, save it as {}, {why}.\n",
            shown(directory, name)
        ),
    };
    told.extend(notes.iter().map(|note| format!("# {}.\n", text::one_line(note))));
    Ok(told + &text)
}

fn shown(directory: &Path, name: &str) -> String {
    text::one_line(&directory.join(name).display().to_string())
}
