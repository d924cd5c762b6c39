//! How definitions are listed and shown.

use serde::Serialize;
use serde_json::Value;

use crate::config::workflows::Loaded;
use crate::domain::workflow::{Join, OnError, Step, Workflow};
use crate::reports::text;
use crate::store::workflows::PublishedRow;

/// One version of one workflow.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    name: String,
    version: u32,
    title: String,
    extends: Option<String>,
    customers: Vec<String>,
    steps: usize,
    /// `published`, `unpublished` (it was), `file` (it never was), or `changed`: the file says otherwise.
    state: &'static str,
    published: Option<String>,
    published_by: Option<String>,
    hash: String,
    file: Option<String>,
}

pub(super) fn lines(written: &[Loaded], rows: &[PublishedRow]) -> Vec<Line> {
    let file_of = |one: &Workflow| written.iter().find(|loaded| loaded.workflow.label() == one.label());
    let line = |workflow: &Workflow, row: Option<&PublishedRow>| {
        let file = file_of(workflow);
        let state = match row {
            None => "file",
            Some(_) if file.is_some_and(|file| file.workflow != *workflow) => "changed",
            Some(row) if row.withdrawn_at.is_some() => "unpublished",
            Some(_) => "published",
        };
        Line {
            name: workflow.name.clone(),
            version: workflow.version,
            title: workflow.title.clone(),
            extends: workflow.extends.clone(),
            customers: workflow.customers.clone(),
            steps: workflow.steps.len(),
            state,
            published: row.map(|row| text::instant(row.published_at)),
            published_by: row.map(|row| row.published_by.clone()),
            hash: row.map_or_else(|| workflow.hash(), |row| row.hash.clone()),
            file: file.map(|file| file.file.display().to_string()),
        }
    };
    let unpublished = |loaded: &&Loaded| !rows.iter().any(|row| row.definition.label() == loaded.workflow.label());
    let mut lines: Vec<Line> = rows.iter().map(|row| line(&row.definition, Some(row))).collect();
    lines.extend(written.iter().filter(unpublished).map(|loaded| line(&loaded.workflow, None)));
    lines.sort_by(|a, b| (&a.name, a.version).cmp(&(&b.name, b.version)));
    lines
}

pub(super) fn json(lines: &[Line]) -> String {
    format!("{:#}\n", serde_json::to_value(lines).unwrap_or_default())
}

pub(super) fn table(lines: &[Line], width: Option<u16>) -> String {
    let row = |line: &Line| {
        let when = line.published.iter().zip(&line.published_by).map(|(at, by)| format!("{at} by {by}")).next();
        let whom = if line.customers.is_empty() { "all".to_owned() } else { line.customers.join(", ") };
        vec![
            format!("{}@{}", line.name, line.version),
            line.state.to_owned(),
            when.unwrap_or_else(|| "-".to_owned()),
            line.extends.clone().unwrap_or_else(|| "-".to_owned()),
            whom,
            line.steps.to_string(),
            line.file.clone().unwrap_or_else(|| "-".to_owned()),
        ]
    };
    let head = ["workflow", "state", "published", "extends", "customers", "steps", "file"];
    text::table(&head, lines.iter().map(row).collect(), width)
}

/// One definition, for people.
pub(super) fn show(workflow: &Workflow, width: Option<u16>) -> String {
    let mut told = format!("{}  {}\n", workflow.label(), workflow.title);
    for (name, value) in [
        ("about", Some(workflow.description.clone()).filter(|text| !text.is_empty())),
        ("extends", workflow.extends.clone()),
        ("customers", Some(workflow.customers.join(", ")).filter(|text| !text.is_empty())),
        ("owner", workflow.owner.clone()),
        ("hash", Some(workflow.hash())),
    ] {
        if let Some(value) = value {
            told.push_str(&format!("{name}: {value}\n"));
        }
    }
    let inputs = workflow.inputs.iter().map(|(name, input)| {
        let default = input.default.as_ref().map(Value::to_string);
        let must = if input.optional {
            "optional".to_owned()
        } else {
            default.map_or("required".into(), |it| format!("default {it}"))
        };
        vec![name.clone(), input.kind.to_string(), must, input.title.clone()]
    });
    if !workflow.inputs.is_empty() {
        told.push_str(&format!("\n{}", text::table(&["input", "type", "", "title"], inputs.collect(), width)));
    }
    let steps = workflow
        .steps
        .iter()
        .map(|step| vec![step.name.clone(), step.agent.clone(), needs(step), conditions(step), step.title.clone()]);
    let head = ["step", "agent", "needs", "only if", "title"];
    told + "\n" + &text::table(&head, steps.collect(), width)
}

fn needs(step: &Step) -> String {
    let join = match step.join {
        Join::All => String::new(),
        Join::Any => "any of ".to_owned(),
        Join::Count(count) => format!("{count} of "),
    };
    format!("{join}{}", step.needs.join(", "))
}

fn conditions(step: &Step) -> String {
    let when = step.when.as_ref().map(ToString::to_string);
    let each = step.for_each.as_ref().map(|list| format!("for each of {list}"));
    let out = match &step.on_error {
        OnError::Fail => None,
        OnError::Continue => Some("a failure goes on".to_owned()),
        OnError::GoTo(name) => Some(format!("a failure goes to {name}")),
    };
    [when, each, out].into_iter().flatten().collect::<Vec<_>>().join("; ")
}
