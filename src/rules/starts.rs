//! Which workflows a rule starts, and how the documents of a message are divided among their runs.

use std::ops::Range;

use serde_json::{Map, Value, json};
use toml::de::DeValue;

use super::Known;
use super::expressions::{check_fill_names, is_unknown, names_fact};
use super::facts::Facts;
use super::read::{Entry, Fault, Node, closed, shorten, table, text, to_json};
use crate::domain::expression;
use crate::domain::message::PartKind;
use crate::domain::verdict::{Severity, Start, Taken, Verdict};
use crate::domain::words::words;

/// Most runs that one message starts; more would be no mail but a flood.
const MOST_RUNS: usize = 100;

words! {
    /// What there is one run for.
    Each {
        Message = "message",
        /// A PDF with its XML twin, or any document alone.
        DocumentGroup = "document-group",
    }
}

pub(super) const KEYS: [&str; 4] = ["workflow", "kinds", "each", "inputs"];

/// What `start` says.
#[derive(Debug, Clone)]
pub(super) struct Starts {
    entries: Vec<Share>,
    /// Whether a run takes some documents only, so that its inputs name `group` instead of `documents`.
    divides: bool,
}

/// One workflow, and which documents its runs take of those that the entries before left.
#[derive(Debug, Clone)]
struct Share {
    workflow: String,
    each: Each,
    /// Empty: all.
    kinds: Vec<PartKind>,
    inputs: Map<String, Value>,
}

impl Share {
    fn takes(&self, group: &[usize], facts: &Facts) -> bool {
        let is_of = |at: &usize| facts.documents.get(*at).is_some_and(|document| self.kinds.contains(&document.kind));
        self.kinds.is_empty() || group.iter().any(is_of)
    }
}

/// Reads `"workflow"`, `{ workflow = "…", kinds = […], each = "…", inputs = { } }`, or a list of these. `shared` are the inputs
/// of entries without their own.
pub(super) fn read(
    entry: &Entry<'_>,
    shared: Option<&Entry<'_>>,
    captures: &[String],
    known: &Known,
) -> Result<Starts, Fault> {
    let nodes = match entry.value.get_ref() {
        DeValue::Array(items) => items.iter().collect(),
        _ => vec![entry.value],
    };
    let mut entries: Vec<Share> = vec![];
    let mut own_inputs = vec![];
    for node in nodes {
        let (share, own) = share(node, known)?;
        refuse_idle(&entries, &share, node.span())?;
        entries.push(share);
        own_inputs.push(own);
    }
    let divides = match entries.as_slice() {
        [] => return Err(Fault::new(entry.value.span(), "this list is empty", "name at least one workflow")),
        [only] => only.each == Each::DocumentGroup || !only.kinds.is_empty(),
        _ => true,
    };
    if let Some(unused) = shared.filter(|_| own_inputs.iter().all(Option::is_some)) {
        let what = "every workflow has its own inputs";
        return Err(Fault::new(unused.key_span(), what, "remove these, or those of a workflow"));
    }
    for (share, own) in entries.iter_mut().zip(own_inputs) {
        if let Some(inputs) = own.or_else(|| shared.map(|shared| shared.value)) {
            if let Some(known) = known.inputs.get(&share.workflow) {
                check_inputs(known, inputs, &share.workflow)?;
            }
            share.inputs = read_inputs(inputs, captures, divides)?;
        }
        let names_group = share.inputs.values().any(|value| names_fact(value, "group"));
        if share.each == Each::DocumentGroup && !names_group {
            let mend = "write inputs = { documents = \"{{ group.documents }}\" }";
            let what = format!("no run of `{}` would know its documents", share.workflow);
            return Err(Fault::new(entry.value.span(), what, mend));
        }
    }
    Ok(Starts { entries, divides })
}

fn share<'n>(node: &'n Node<'n>, known: &Known) -> Result<(Share, Option<&'n Node<'n>>), Fault> {
    let named = |node: &Node<'_>| {
        let name = text(node)?;
        match known.workflows.iter().any(|known| known == name) {
            true => Ok(name.to_owned()),
            false => Err(Fault::unknown(node.span(), "workflow", name, known.workflows.iter().map(String::as_str))),
        }
    };
    let mut share = Share { workflow: String::new(), each: Each::Message, kinds: vec![], inputs: Map::new() };
    if node.get_ref().as_str().is_some() {
        share.workflow = named(node)?;
        return Ok((share, None));
    }
    let (mut own, mut has_workflow) = (None, false);
    let refuse = |_| {
        let mend = "write \"ap-invoice\", or { workflow = \"ap-invoice\", each = \"document-group\" }";
        Fault::new(node.span(), "this names no workflow", mend)
    };
    for key in table(node).map_err(refuse)? {
        match key.key {
            "workflow" => {
                share.workflow = named(key.value)?;
                has_workflow = true;
            }
            "each" => match closed(key.value, "share", Each::ALL)?.as_slice() {
                [one] => share.each = *one,
                _ => return Err(Fault::new(key.value.span(), "each is one of two", "keep one")),
            },
            "kinds" => share.kinds = closed(key.value, "kind of part", PartKind::ALL)?,
            "inputs" => own = Some(key.value),
            other => return Err(Fault::unknown(key.key_span(), "key", other, KEYS)),
        }
    }
    if !has_workflow {
        return Err(Fault::new(node.span(), "this names no workflow", "add workflow = \"…\""));
    }
    Ok((share, own))
}

/// Refuses an entry that the ones before leave nothing.
fn refuse_idle(before: &[Share], share: &Share, span: Range<usize>) -> Result<(), Fault> {
    let taken = |kind: &PartKind| before.iter().any(|earlier| earlier.kinds.contains(kind));
    if before.iter().any(|earlier| earlier.kinds.is_empty()) || !share.kinds.is_empty() && share.kinds.iter().all(taken)
    {
        let what = format!("nothing is left for `{}`: what stands before takes it all", share.workflow);
        return Err(Fault::new(span, what, "move it up, or remove it"));
    }
    Ok(())
}

/// Refuses inputs that the workflow does not have.
fn check_inputs(known: &[String], given: &Node<'_>, workflow: &str) -> Result<(), Fault> {
    let names = || known.iter().map(String::as_str);
    match table(given)?.iter().find(|input| names().all(|name| name != input.key)) {
        Some(slip) => Err(Fault::unknown(slip.key_span(), &format!("input of {workflow}"), slip.key, names())),
        None => Ok(()),
    }
}

fn read_inputs(node: &Node<'_>, captures: &[String], divides: bool) -> Result<Map<String, Value>, Fault> {
    let mut inputs = Map::new();
    for input in table(node)? {
        let value = to_json(input.value.get_ref());
        let span = input.value.span();
        expression::check_fill(&value).map_err(|why| Fault::new(span.clone(), why, "write \"{{ subject }}\""))?;
        if divides && names_fact(&value, "documents") {
            let what = "this would hand all documents of the message to each run";
            return Err(Fault::new(span, what, "write \"{{ group.documents }}\""));
        }
        if !divides && names_fact(&value, "group") {
            let what = "there is no group: the run takes the whole message";
            return Err(Fault::new(
                span,
                what,
                "write \"{{ documents }}\", or add each = \"document-group\" to the start",
            ));
        }
        check_fill_names(span, &value, captures, &[])?;
        inputs.insert(input.key.to_owned(), value);
    }
    Ok(inputs)
}

/// What comes of a start for one message.
pub(super) struct Started {
    pub verdict: Verdict,
    /// Instead of the rule's reason, where nothing could be started.
    pub reason: Option<String>,
    pub taken: Vec<Taken>,
    /// Names of documents that no run takes.
    pub left: Vec<String>,
}

impl Starts {
    /// Whether filling in needs no facts.
    pub fn is_plain(&self) -> bool {
        !self.divides && self.entries.iter().all(|share| share.inputs.is_empty())
    }

    /// The runs for one message, with inputs filled in from `context`; a quarantine where none takes anything.
    ///
    /// # Errors
    /// When an input cannot be filled in.
    pub fn work_out(&self, facts: &Facts, context: &mut Value) -> Result<Started, String> {
        let name = |at: usize| facts.documents.get(at).map(|document| document.name.clone()).unwrap_or_default();
        let names = |all: &[usize]| all.iter().map(|at| name(*at)).collect::<Vec<_>>();
        let (shares, left) = self.divide(facts);
        let mut started = Started { verdict: Verdict::Ignore, reason: None, taken: vec![], left: names(&left) };
        if shares.is_empty() || shares.len() > MOST_RUNS {
            let why = match (shares.len(), started.left.is_empty()) {
                (0, true) => "it has no document".to_owned(),
                (0, false) => format!("it takes none of its documents: {}", list(&started.left)),
                (runs, _) => format!("it has documents for {runs} runs, and a message starts at most {MOST_RUNS}"),
            };
            let wanted = self.wanted();
            started.reason = Some(format!("nothing was started, because the rule starts {wanted}, and {why}"));
            started.verdict = Verdict::Quarantine { severity: Severity::Medium };
            started.left = vec![];
            return Ok(started);
        }
        let mut starts = vec![];
        for (share, documents) in shares {
            let taken = || documents.iter().filter_map(|at| facts.documents.get(*at));
            if self.divides {
                let lead = taken().next();
                let group = json!({
                    "name": lead.map(|document| &document.name),
                    "kind": lead.map(|document| document.kind),
                    "documents": taken().collect::<Vec<_>>(),
                });
                if let Value::Object(context) = context {
                    context.insert("group".to_owned(), group);
                }
                started.taken.push(Taken { workflow: share.workflow.clone(), documents: names(&documents) });
            }
            let filled = expression::fill(&Value::Object(share.inputs.clone()), context).map_err(|why| {
                let unknown = why.split_once(": ").is_some_and(|(_, rest)| is_unknown(rest));
                format!("input {why}{}", if unknown { " (a fact it names is not known)" } else { "" })
            })?;
            let Value::Object(inputs) = filled else { return Err("inputs are no table".to_owned()) };
            let documents = taken().map(|document| document.sha256.clone()).collect();
            starts.push(Start { workflow: share.workflow.clone(), inputs, documents });
        }
        started.verdict = Verdict::Start(starts);
        Ok(started)
    }

    /// Which entry starts a run for which documents, by their places; and those that are left.
    fn divide(&self, facts: &Facts) -> (Vec<(&Share, Vec<usize>)>, Vec<usize>) {
        let all = || (0..facts.documents.len()).collect();
        if !self.divides {
            return (self.entries.iter().map(|share| (share, all())).collect(), vec![]);
        }
        let mut rest: Vec<Vec<usize>> = facts.groups.clone();
        let mut runs = vec![];
        for share in &self.entries {
            let (mine, others): (Vec<_>, Vec<_>) = rest.into_iter().partition(|group| share.takes(group, facts));
            rest = others;
            match share.each {
                Each::DocumentGroup => runs.extend(mine.into_iter().map(|group| (share, group))),
                Each::Message if !mine.is_empty() => runs.push((share, mine.concat())),
                // What takes any document is for a message without one too.
                Each::Message if share.kinds.is_empty() && runs.is_empty() => runs.push((share, vec![])),
                Each::Message => {}
            }
        }
        let taken: Vec<usize> = runs.iter().flat_map(|(_, documents)| documents.iter().copied()).collect();
        let left: Vec<usize> = all();
        let left = left.into_iter().filter(|at| !taken.contains(at)).collect();
        (runs, left)
    }

    /// `ap-invoice for each pdf or xml, price-list for sheet`
    fn wanted(&self) -> String {
        let one = |share: &Share| {
            let kinds: Vec<&str> = share.kinds.iter().map(|kind| kind.as_str()).collect();
            let of = if kinds.is_empty() { "document".to_owned() } else { kinds.join(" or ") };
            let each = if share.each == Each::DocumentGroup { "each " } else { "" };
            format!("{} for {each}{of}", share.workflow)
        };
        self.entries.iter().map(one).collect::<Vec<_>>().join(", ")
    }
}

/// Names of documents in a sentence.
pub(super) fn list(names: &[String]) -> String {
    shorten(&names.join(", "), 300)
}
