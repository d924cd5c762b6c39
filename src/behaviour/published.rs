//! Files against what is published: a published version stays what it was, whatever its file says now.

use super::Behaviour;
use crate::config::diagnostic::Diagnostic;
use crate::config::located::{Located, Part};
use crate::config::publish::Publish;
use crate::config::workflows::Loaded;
use crate::domain::workflow::{Workflow, diff};
use crate::store::workflows::PublishedRow;

/// Differences that are shown with a file that says otherwise.
const MOST_SHOWN: usize = 8;

impl Behaviour {
    /// Takes what is published into account: in the place of a file that says otherwise stands what was published.
    pub fn with_published(mut self, rows: &[PublishedRow], publish: Publish) -> Self {
        self.workflows = match publish {
            Publish::Files => {
                let known = self.written.iter().filter_map(|loaded| match row_of(rows, &loaded.workflow) {
                    Some(row) if row.withdrawn_at.is_some() => None,
                    Some(row) => Some(row.definition.0.clone()),
                    None => Some(loaded.workflow.clone()),
                });
                known.collect()
            }
            Publish::Explicit => {
                let live = rows.iter().filter(|row| row.withdrawn_at.is_none());
                live.map(|row| row.definition.0.clone()).collect()
            }
        };
        self
    }

    /// Every file that says otherwise than its version was published with.
    pub fn differences(&self, rows: &[PublishedRow]) -> Vec<Diagnostic> {
        let differing = self.written.iter().filter_map(|loaded: &Loaded| {
            let row = row_of(rows, &loaded.workflow)?;
            (row.definition.0 != loaded.workflow).then(|| otherwise(loaded, row))
        });
        differing.collect()
    }
}

fn row_of<'a>(rows: &'a [PublishedRow], one: &Workflow) -> Option<&'a PublishedRow> {
    rows.iter().find(|row| row.definition.name == one.name && row.definition.version == one.version)
}

fn otherwise(loaded: &Loaded, row: &PublishedRow) -> Diagnostic {
    let mut lines = diff(&row.definition, &loaded.workflow);
    let more = lines.len().saturating_sub(MOST_SHOWN);
    lines.truncate(MOST_SHOWN);
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    let what = format!(
        "{} is published (by {}, {}) and never changes; published -> this file:\n  {}",
        loaded.workflow.label(),
        row.published_by,
        row.published_at.format("%Y-%m-%d %H:%M UTC"),
        lines.join("\n  ")
    );
    let mend = Some(format!("give the file `version = {}`, or take the change back", loaded.workflow.version + 1));
    match Located::read(&loaded.file) {
        Ok(located) => located.complain(&["version"], Part::Value, what, mend),
        Err(_) => Diagnostic::whole(&loaded.file, what, mend),
    }
}
