//! `extends = "ap-invoice@3"`: a definition that says only what is otherwise. Everything is resolved on the documents, so that
//! each value keeps the place where it is written.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use crate::config::diagnostic::Diagnostic;
use crate::config::located::{Located, Part};
use crate::domain::nearest::nearest;
use crate::domain::workflow::Workflow;

/// How many definitions may stand on each other.
const DEPTH: usize = 10;

/// Files of a directory, and which of them extends which.
pub(super) struct Family<'a> {
    files: &'a [(PathBuf, Located)],
    by_label: BTreeMap<String, usize>,
}

impl<'a> Family<'a> {
    pub fn new(files: &'a [(PathBuf, Located)]) -> Self {
        let label = |located: &Located| {
            let (name, version) = (located.value(&["name"])?, located.value(&["version"])?);
            Some(format!("{}@{}", name.as_str()?, version.as_u64()?))
        };
        let labels = files.iter().enumerate().rev();
        let by_label = labels.filter_map(|(index, (_, located))| Some((label(located)?, index))).collect();
        Self { files, by_label }
    }

    /// Names of all definitions, whether or not they hold together; one for each version.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.files.iter().filter_map(|(_, located)| located.text(&["name"]))
    }

    /// Whether there is a definition `ap-invoice`, or `ap-invoice@3`.
    pub fn has(&self, named: &str) -> bool {
        self.by_label.contains_key(named) || self.names().any(|name| name == named)
    }

    /// Indexes of all files, each after what it extends.
    pub fn bases_first(&self) -> Vec<usize> {
        let mut all: Vec<usize> = (0..self.files.len()).collect();
        all.sort_by_key(|index| self.depth(*index));
        all
    }

    fn base(&self, index: usize) -> Option<usize> {
        let base = self.files.get(index)?.1.text(&["extends"])?;
        self.by_label.get(base).copied()
    }

    /// How many definitions stand below; beyond `DEPTH` they go round in a circle.
    fn depth(&self, index: usize) -> usize {
        std::iter::successors(self.base(index), |below| self.base(*below)).take(DEPTH + 1).count()
    }

    /// The whole document of a file. None when what it extends is not in order, which is told there, or when there is no such.
    pub fn resolve(&self, index: usize, checked: &[Option<Workflow>], told: &mut Vec<Diagnostic>) -> Option<Located> {
        let own = &self.files.get(index)?.1;
        if !own.has(&["extends"]) {
            if let Some(key) = ["add", "replace", "remove", "configure"].into_iter().find(|key| own.has(&[*key])) {
                let what = format!("`{key}` is of no use without `extends`");
                told.push(own.complain(&[key], Part::Key, what, Some("write [[step]]".to_owned())));
                return None;
            }
            return Some(own.clone());
        }
        let mut say = |what: String, mend: String| {
            told.push(own.complain(&["extends"], Part::Value, what, Some(mend)));
        };
        let Some(base) = self.base(index) else {
            let named = own.text(&["extends"]).unwrap_or_default();
            let labels = self.by_label.keys().map(String::as_str);
            let mend = match nearest(named, labels.clone()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there are: {}", labels.collect::<Vec<_>>().join(", ")),
            };
            let mend = if named.contains('@') { mend } else { format!("write it with its version; {mend}") };
            say(format!("there is no workflow `{named}` to extend"), mend);
            return None;
        };
        if self.depth(index) > DEPTH {
            say("definitions extend each other in a circle".to_owned(), "extend one that stands by itself".to_owned());
            return None;
        }
        checked.get(base)?.as_ref()?;
        let below = self.resolve(base, checked, told)?;
        let before = told.len();
        let whole = lay(own, below, told);
        (told.len() == before).then_some(whole)
    }

    /// Tells of two definitions that would take the place of one for the same customer.
    pub fn rivals(&self, checked: &[Option<Workflow>], told: &mut Vec<Diagnostic>) {
        let mut seen = BTreeMap::new();
        for ((file, located), workflow) in self.files.iter().zip(checked) {
            let Some(workflow) = workflow else { continue };
            for (base, customer) in workflow
                .base()
                .iter()
                .flat_map(|base| workflow.customers.iter().map(|customer| ((*base).to_owned(), customer.clone())))
            {
                let (name, first) =
                    seen.entry((base.clone(), customer.clone())).or_insert_with(|| (workflow.name.clone(), file));
                if *name != workflow.name {
                    let what =
                        format!("`{name}` ({}) takes the place of `{base}` for `{customer}` already", first.display());
                    let mend = Some("name each customer once among those that extend one definition".to_owned());
                    told.push(located.complain(&["customers"], Part::Value, what, mend));
                }
            }
        }
    }
}

/// What is told of another file's lines is told where this one causes it.
pub(super) fn told_where_it_is_written(own: &Located, one: Diagnostic) -> Diagnostic {
    if own.files().contains(&one.file) {
        return one;
    }
    let removed = own
        .names(&["remove"])
        .into_iter()
        .find(|index| own.text(&["remove", index]).is_some_and(|step| one.what.contains(&format!("`{step}`"))));
    let line = one.line().map_or_else(String::new, |line| format!(":{line}"));
    let what = format!("{} ({}{line}, as it is extended here)", one.what, one.file.display());
    match removed {
        Some(index) => {
            let mend = Some("say with [[configure]] or [[replace]] what those steps need now".to_owned());
            own.complain(&["remove", &index], Part::Value, what, mend)
        }
        None => own.complain(&["extends"], Part::Value, what, one.mend),
    }
}

fn lay(own: &Located, mut below: Located, told: &mut Vec<Diagnostic>) -> Located {
    let mut say = |at: &[&str], what: String, mend: String| {
        told.push(own.complain(at, Part::Value, what, Some(mend)));
    };
    for key in ["name", "version"].into_iter().filter(|key| !own.has(&[*key])) {
        say(&[], format!("`{key}` is missing"), "what extends another has a name and versions of its own".to_owned());
    }
    if own.has(&["name"]) && own.value(&["name"]) == below.value(&["name"]) {
        let what = "it has the name of what it extends".to_owned();
        say(&["name"], what, "give it another, and list `customers` for whom it takes the other's place".to_owned());
    }
    if own.has(&["step"]) {
        let what = "a definition that extends another has no [[step]]".to_owned();
        say(&["step"], what, "write [[add]], [[replace]] or [[configure]]".to_owned());
    }
    below.take_out(&["customers"]);
    let steps = |below: &Located| -> Vec<String> {
        let names = below.names(&["step"]).into_iter();
        names.map(|index| below.text(&["step", &index, "name"]).unwrap_or_default().to_owned()).collect()
    };
    let known = steps(&below);
    let unknown = |name: &str| match nearest(name, known.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("there are: {}", known.join(", ")),
    };
    for index in own.names(&["remove"]) {
        let name = own.text(&["remove", &index]).unwrap_or_default();
        if !known.iter().any(|step| step == name) {
            say(&["remove", &index], format!("there is no step `{name}` to remove"), unknown(name));
        }
    }
    let mut edits = vec![];
    for kind in ["replace", "configure", "add"] {
        if !own.value(&[kind]).is_none_or(|value| value.is_array()) {
            say(&[kind], format!("`{kind}` is no list of tables"), format!("write [[{kind}]], once for each step"));
        }
        for index in own.names(&[kind]) {
            let at = [kind, index.as_str(), "name"];
            let Some(name) = own.text(&at) else {
                say(&at, "`name` is missing".to_owned(), "name the step".to_owned());
                continue;
            };
            if (kind == "add") == known.iter().any(|step| step == name) {
                match kind {
                    "add" => say(&at, format!("there is a step `{name}` already"), "write [[configure]]".to_owned()),
                    _ => say(&at, format!("there is no step `{name}` to {kind}"), unknown(name)),
                }
                continue;
            }
            edits.push((kind, index.clone(), name));
        }
    }
    let mut whole = own.clone().over(below);
    let removed: Vec<Value> = whole.value(&["remove"]).and_then(|list| list.as_array().cloned()).unwrap_or_default();
    let pieces: Vec<_> = edits
        .into_iter()
        .filter_map(|(kind, index, name)| Some((kind, name.to_owned(), whole.piece(&[kind, &index])?)))
        .collect();
    for key in ["add", "replace", "remove", "configure"] {
        whole.take_out(&[key]);
    }
    for (kind, name, piece) in pieces {
        let place = steps(&whole).iter().position(|step| *step == name);
        match (kind, place.map(|place| place.to_string())) {
            ("replace", Some(index)) => whole.put(&["step", &index], piece),
            ("configure", Some(index)) => whole.lay_at(&["step", &index], piece),
            _ => whole.append(&["step"], piece),
        }
    }
    whole.retain(&["step"], |step| !removed.iter().any(|name| Some(name) == step.get("name")));
    whole
}
