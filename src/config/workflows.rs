//! Loading of workflow files: TOML to `domain::workflow::Workflow`, with positions for every problem. What hangs
//! together is decided by the definition itself, what an agent takes by the agent.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::diagnostic::Diagnostic;
use super::located::{Located, Part};
use crate::domain::nearest::nearest;
use crate::domain::workflow::Workflow;
use crate::domain::workflow::check::Problem;

/// The agents that exist, as far as a loader must know them.
pub trait KnownAgents {
    fn names(&self) -> Vec<&'static str>;

    /// Everything wrong with settings for `agent`, as (key, what is wrong); none when there is no such agent. A key
    /// inside another one is written with a dot.
    fn check(&self, agent: &str, with: &Map<String, Value>) -> Option<Vec<(String, String)>>;
}

/// A definition that holds together, and its file.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    pub workflow: Workflow,
    pub file: PathBuf,
}

/// Loads every `*.toml` of a directory, sorted by file name; hidden files are passed over.
///
/// # Errors
/// Everything that is wrong, each with file, line and mend. Then nothing is loaded, so that the last good set stays.
pub fn load(directory: &Path, agents: &dyn KnownAgents) -> Result<Vec<Loaded>, Vec<Diagnostic>> {
    let files = toml_files(directory).map_err(|error| {
        let mend = "make the directory, or name another one under `files`".to_owned();
        vec![Diagnostic::whole(directory, format!("cannot read the directory: {error}"), Some(mend))]
    })?;
    let (mut loaded, mut told) = (Vec::<Loaded>::new(), vec![]);
    let mut seen = BTreeMap::new();
    for file in files {
        let located = match Located::read(&file) {
            Ok(located) => located,
            Err(errors) => {
                told.extend(errors);
                continue;
            }
        };
        let Some(workflow) = check(&located, agents, &mut told) else { continue };
        if let Some(first) = seen.insert((workflow.name.clone(), workflow.version), file.clone()) {
            let Workflow { name, version, .. } = &workflow;
            let what = format!("version {version} of `{name}` is defined in {} already", first.display());
            let mend = "give this one the next version, or remove one of the files".to_owned();
            told.push(located.complain(&["version"], Part::Value, what, Some(mend)));
        }
        loaded.push(Loaded { workflow, file });
    }
    if told.is_empty() { Ok(loaded) } else { Err(told) }
}

/// Names of all definitions in a directory, also of those that do not hold together: so that whoever refers to one is not
/// told that there is none.
pub fn names(directory: &Path) -> Vec<String> {
    let tables = toml_files(directory).unwrap_or_default().into_iter().filter_map(|file| {
        let text = std::fs::read_to_string(file).ok()?;
        text.parse::<toml::Table>().ok()
    });
    tables.filter_map(|table| table.get("name").and_then(toml::Value::as_str).map(str::to_owned)).collect()
}

fn toml_files(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = vec![];
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let is_hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if !is_hidden && path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn check(located: &Located, agents: &dyn KnownAgents, told: &mut Vec<Diagnostic>) -> Option<Workflow> {
    let mut here = vec![];
    let workflow = located.take::<Workflow>(&[], &[], &mut here);
    for problem in workflow.iter().flat_map(Workflow::problems) {
        here.push(place(located, workflow.as_ref()?, problem));
    }
    for (index, step) in workflow.iter().flat_map(|workflow| workflow.steps.iter().enumerate()) {
        let index = index.to_string();
        match agents.check(&step.agent, &step.with) {
            None => {
                let names = agents.names();
                let near = nearest(&step.agent, names.iter().copied()).map(|near| format!("did you mean `{near}`?"));
                let mend = near.unwrap_or_else(|| format!("known here: {}", names.join(", ")));
                let what = format!("there is no agent `{}`", step.agent);
                here.push(located.complain(&["step", &index, "agent"], Part::Value, what, Some(mend)));
            }
            Some(wrong) => here.extend(wrong.into_iter().map(|(key, what)| {
                let whole = ["step", index.as_str(), "with", key.as_str()];
                let parts: Vec<&str> = whole[..3].iter().copied().chain(key.split('.')).collect();
                let at = if located.has(&whole) { &whole[..] } else { &parts };
                located.complain(at, Part::Value, format!("agent `{}`, `{key}`: {what}", step.agent), None)
            })),
        }
    }
    here.sort_by_key(|one| one.span.as_ref().map(|span| span.start));
    told.extend(here);
    workflow
}

/// A problem that the definition found in itself, at the place in the file that it is about.
fn place(located: &Located, workflow: &Workflow, problem: Problem) -> Diagnostic {
    let Problem { step, key, what, mend } = problem;
    let mut at: Vec<String> = vec![];
    if let Some(name) = step {
        let mut named = workflow.steps.iter().enumerate().filter(|(_, step)| step.name == name);
        // Of two steps with one name the later one is at fault.
        let found = if key == "name" { named.next_back() } else { named.next() };
        at.extend(found.into_iter().flat_map(|(index, _)| ["step".to_owned(), index.to_string()]));
    }
    at.push(key);
    // `needs` is a list: the name in the text is the element. `with` is a table: the text begins with the keys.
    let inside = |at: &[String], next: &str| {
        let deeper: Vec<&str> = at.iter().map(String::as_str).chain([next]).collect();
        located.has(&deeper)
    };
    let quoted = what.split('`').nth(1).map(Value::from);
    let element = located.names(&strs(&at)).into_iter().find(|index| {
        let deeper: Vec<&str> = at.iter().map(String::as_str).chain([index.as_str()]).collect();
        quoted.is_some() && located.value(&deeper) == quoted
    });
    at.extend(element);
    for key in what.split(": ") {
        if !inside(&at, key) {
            break;
        }
        at.push(key.to_owned());
    }
    located.complain(&strs(&at), Part::Value, what, Some(mend))
}

fn strs(at: &[String]) -> Vec<&str> {
    at.iter().map(String::as_str).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Two;

    impl KnownAgents for Two {
        fn names(&self) -> Vec<&'static str> {
            vec!["approval", "noop"]
        }

        fn check(&self, agent: &str, with: &Map<String, Value>) -> Option<Vec<(String, String)>> {
            let text = |key: &str| with.get(key).is_some_and(|value| !value.is_string());
            match agent {
                "approval" if !with.contains_key("approver") => Some(vec![("approver".into(), "is missing".into())]),
                "approval" if text("approver") => Some(vec![("approver".into(), "is no text".into())]),
                "approval" if with.get("remind").is_some_and(|value| value["every"] == 0) => {
                    Some(vec![("remind.every".into(), "is no time span".into())])
                }
                "approval" | "noop" => Some(vec![]),
                _ => None,
            }
        }
    }

    const GOOD: &str = r#"name = "ap"
version = 1
prefix = "AP"

[calendar]
holidays = [2026-12-25]

[[step]]
name = "ask"
agent = "approval"
with.approver = "{{ run.owner }}"
"#;

    fn load_files(files: &[(&str, &str)]) -> Result<Vec<Loaded>, String> {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        load(directory.path(), &Two).map_err(|told| {
            let all: Vec<_> = told.iter().map(ToString::to_string).collect();
            all.join("\n\n").replace(&format!("{}/", directory.path().display()), "")
        })
    }

    /// `more` is put below the good definition.
    fn check(more: &str, expected: &[&str]) {
        let told = load_files(&[("ap.toml", &format!("{GOOD}{more}"))]).expect_err("nothing was wrong");
        for part in expected {
            assert!(told.contains(part), "lacks `{part}`:\n{told}");
        }
        assert_eq!(told.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{told}");
    }

    #[test]
    fn every_toml_file_of_the_directory_is_loaded_in_order_and_nothing_else() {
        let second = GOOD.replace("version = 1", "version = 2");
        let files = [("b.toml", GOOD), ("a.toml", second.as_str()), (".#a.toml", "{"), ("notes.md", "{")];
        let loaded = load_files(&files).unwrap();
        let versions: Vec<_> = loaded.iter().map(|one| one.workflow.version).collect();
        assert_eq!(versions, [2, 1]);
        assert_eq!(loaded[0].workflow.calendar.holidays, ["2026-12-25".parse().unwrap()]);
        assert!(loaded[0].file.ends_with("a.toml"));
        assert_eq!(load_files(&[]).unwrap(), []);
    }

    #[test]
    fn a_directory_that_is_not_there_is_an_error() {
        let told = load(Path::new("no/such/directory"), &Two).unwrap_err();
        assert!(told[0].to_string().contains("cannot read the directory"), "{}", told[0]);
    }

    #[test]
    fn an_unknown_agent_is_shown_with_the_one_that_was_meant() {
        let told = load_files(&[("ap.toml", &GOOD.replace("\"approval\"", "\"aproval\""))]).unwrap_err();
        insta::assert_snapshot!(told, @r#"
        error: there is no agent `aproval`
          --> ap.toml:10:9
           |
        10 | agent = "aproval"
           |         ^^^^^^^^^
           = help: did you mean `approval`?
        "#);
    }

    #[test]
    fn problems_are_shown_at_the_step_and_key_they_are_about() {
        check("needs = [\"ask\"]\n", &["steps wait for each other: ask -> ask", "ap.toml:12:9"]);
        check("needs = [\n  \"asc\",\n]\n", &["there is no step `asc`", "ap.toml:13:3", "did you mean `ask`?"]);
        check("when = \"1 +\"\n", &["syntax error", "ap.toml:12:8"]);
        check("with.deep = { text = \"{{ 1 + }}\" }\n", &["deep: text: syntax error", "ap.toml:12:22"]);
        check("[[step]]\nname = \"ask\"\nagent = \"noop\"\n", &["two steps are named `ask`", "ap.toml:13:8"]);
        check("[[step]]\nname = \"Ask\"\nagent = \"noop\"\n", &["`Ask` is no step name", "ap.toml:13:8"]);
    }

    #[test]
    fn what_an_agent_complains_of_is_shown_at_its_key() {
        let step = "[[step]]\nname = \"second\"\nagent = \"approval\"\n";
        check(&format!("{step}with = {{ approver = 3 }}\n"), &["`approver`: is no text", "ap.toml:15:21"]);
        check(&format!("{step}[step.with]\napprover = 3\n"), &["`approver`: is no text", "ap.toml:16:12"]);
        check(step, &["agent `approval`, `approver`: is missing", "ap.toml:12:1"]);
        check("with.remind = { every = 0 }\n", &["`remind.every`: is no time span", "ap.toml:12:25"]);
    }

    #[test]
    fn unknown_keys_and_wrong_types_are_refused_at_every_depth() {
        check("tiemout = { hard = \"5m\" }\n", &["unknown key `tiemout`", "ap.toml:12:1", "did you mean `timeout`?"]);
        check("retry = { count = 1, interval = \"5x\" }\n", &["`5x` is no time span", "ap.toml:12:33"]);
        check("retry = { count = -1, interval = \"5s\" }\n", &["expected u32", "ap.toml:12:19"]);
        check("on_error = \"panic\"\n", &["`panic` is none of: fail, continue", "ap.toml:12:12"]);
        check("[inputs.who]\ntype = \"text\"\n", &["`text` is none of: string", "ap.toml:13:8"]);
        check("[[step]]\nname = \"b\"\n", &["`agent` is missing", "ap.toml:12:1"]);
    }

    #[test]
    fn several_files_tell_everything_at_once() {
        let told = load_files(&[("a.toml", "name = \n"), ("b.toml", &GOOD.replace("\"AP\"", "\"ap\""))]).unwrap_err();
        assert!(told.contains("a.toml:1:") && told.contains("`ap` is no prefix") && told.contains("b.toml:3:10"));
    }

    #[test]
    fn the_same_name_and_version_twice_is_refused() {
        let told = load_files(&[("a.toml", GOOD), ("b.toml", GOOD)]).unwrap_err();
        assert!(
            told.contains("version 1 of `ap` is defined in a.toml already") && told.contains("b.toml:2:11"),
            "{told}"
        );
    }
}
