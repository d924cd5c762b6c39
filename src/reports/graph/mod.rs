//! A definition as a picture: which steps there are and how they lead to each other. How it is written is in `mermaid` and `svg`.

mod layout;
mod mermaid;
mod svg;

use crate::domain::workflow::{Join, OnError, Step, Workflow};

/// What is drawn of a definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Graph {
    pub title: String,
    pub nodes: Vec<Node>,
    pub edges: Vec<Edge>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    pub name: String,
    /// Title, or the name where there is none.
    pub title: String,
    pub agent: String,
    /// Conditions and the like, one line each.
    pub notes: Vec<String>,
    pub kind: Kind,
}

/// How a step is marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Plain,
    /// A person is asked.
    Person,
    /// It tells which case holds.
    Switch,
}

/// A way from one step to another, by index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    pub from: usize,
    pub to: usize,
    pub label: Option<String>,
    /// Only taken when the first step failed.
    pub on_failure: bool,
}

impl Graph {
    pub fn of(workflow: &Workflow) -> Self {
        let index = |name: &str| workflow.steps.iter().position(|step| step.name == name);
        let mut edges = vec![];
        for (to, step) in workflow.steps.iter().enumerate() {
            edges.extend(step.needs().filter_map(|need| {
                let label = need.case.map(str::to_owned);
                Some(Edge { from: index(need.step)?, to, label, on_failure: false })
            }));
            if let OnError::GoTo(target) = &step.on_error
                && let Some(target) = index(target)
            {
                edges.push(Edge { from: to, to: target, label: Some("on failure".to_owned()), on_failure: true });
            }
        }
        let title = if workflow.title.is_empty() { &workflow.name } else { &workflow.title };
        Self {
            title: format!("{title} ({})", workflow.label()),
            nodes: workflow.steps.iter().map(node).collect(),
            edges,
        }
    }
}

fn node(step: &Step) -> Node {
    let kind = match step.agent.as_str() {
        "approval" | "request_info" => Kind::Person,
        "switch" => Kind::Switch,
        _ => Kind::Plain,
    };
    let mut notes = vec![];
    match step.join {
        Join::All => {}
        Join::Any => notes.push("after any of these".to_owned()),
        Join::Count(count) => notes.push(format!("after {count} of {}", step.needs.len())),
    }
    notes.extend(step.when.as_ref().map(|when| format!("if {when}")));
    notes.extend(step.for_each.as_ref().map(|list| {
        let list = list.trim_matches(['{', '}', ' ']);
        match step.width {
            Some(width) => format!("for each of {list}, {width} at once"),
            None => format!("for each of {list}"),
        }
    }));
    if step.on_error == OnError::Continue {
        notes.push("a failure goes on".to_owned());
    }
    let title = if step.title.is_empty() { &step.name } else { &step.title };
    Node { name: step.name.clone(), title: title.clone(), agent: step.agent.clone(), notes, kind }
}

#[cfg(test)]
mod tests;
