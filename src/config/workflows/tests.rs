//! Definitions as files, and what is told of faulty ones.

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

fn known(presets: &Presets) -> Known<'_> {
    Known { agents: &Two, presets, templates: None }
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
    load(directory.path(), &known(&Presets::default())).map_err(|told| {
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
    let told = load(Path::new("no/such/directory"), &known(&Presets::default())).unwrap_err();
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
    assert!(told.contains("version 1 of `ap` is defined in a.toml already") && told.contains("b.toml:2:11"), "{told}");
}

/// What extends `ap@1`, with `more` below.
fn extending(more: &str) -> String {
    format!("extends = \"ap@1\"\nname = \"ap-acme\"\nversion = 4\ncustomers = [\"acme\"]\n{more}")
}

fn second() -> String {
    format!("{GOOD}[[step]]\nname = \"end\"\nagent = \"noop\"\nneeds = [\"ask\"]\n")
}

#[test]
fn a_definition_that_extends_another_says_only_what_is_otherwise() {
    let more = r#"title = "For Acme"
remove = ["end"]
[calendar]
opens = "07:00"
[[configure]]
name = "ask"
with.remind.every = 2
title = "Ask"
[[add]]
name = "tell"
agent = "noop"
needs = ["ask"]
"#;
    let loaded = load_files(&[("ap.toml", &second()), ("acme.toml", &extending(more))]).unwrap();
    let made = &loaded[0].workflow;
    let names: Vec<_> = made.steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!((made.label().as_str(), made.prefix.as_str(), names), ("ap-acme@4", "AP", vec!["ask", "tell"]));
    assert_eq!(made.extends.as_deref(), Some("ap@1"));
    assert_eq!(made.calendar.holidays.len(), 1, "tables merge");
    assert_eq!(made.steps[0].with["approver"], "{{ run.owner }}");
    assert_eq!((&made.steps[0].with["remind"]["every"], made.steps[0].title.as_str()), (&2.into(), "Ask"));
    assert_eq!(loaded[1].workflow.steps[1].name, "end", "the other one stays as it is");

    let replaced = "[[replace]]\nname = \"ask\"\nagent = \"noop\"\n";
    let loaded = load_files(&[("ap.toml", &second()), ("z.toml", &extending(replaced))]).unwrap();
    assert_eq!(loaded[1].workflow.steps[0].with.len(), 0);
    let third = "extends = \"ap-acme@4\"\nname = \"ap-acme-eu\"\nversion = 1\nremove = [\"end\"]\n";
    let files = [("a.toml", third), ("ap.toml", &second()), ("z.toml", &extending(replaced))];
    let loaded = load_files(&files).unwrap();
    assert_eq!((loaded[0].workflow.steps[0].agent.as_str(), loaded[0].workflow.steps.len()), ("noop", 1));
    assert!(loaded[0].workflow.customers.is_empty(), "whom it is for is not taken over");
}

#[test]
fn what_is_wrong_with_an_extension_is_told_in_its_file() {
    let check = |more: &str, expected: &[&str]| {
        let told = load_files(&[("ap.toml", &second()), ("x.toml", &extending(more))]).expect_err("nothing was wrong");
        for part in expected {
            assert!(told.contains(part), "lacks `{part}`:\n{told}");
        }
        assert_eq!(told.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{told}");
    };
    check("remove = [\"ends\"]", &["there is no step `ends` to remove", "x.toml:5:11", "did you mean `end`?"]);
    check("remove = [\"ask\"]", &["there is no step `ask` (ap.toml:15, as", "x.toml:5:11", "[[configure]]"]);
    check("[[configure]]\nname = \"aks\"", &["there is no step `aks` to configure", "x.toml:6:8"]);
    check("[[add]]\nname = \"ask\"\nagent = \"noop\"", &["there is a step `ask` already", "x.toml:6:8"]);
    check("[[add]]\nname = \"x\"\nagent = \"nop\"", &["there is no agent `nop`", "x.toml:7:9"]);
    check("[[configure]]\nname = \"ask\"\nwith.approver = 3", &["`approver`: is no text", "x.toml:7:17"]);
    check("[[configure]]\nname = \"ask\"\ntitel = \"x\"", &["unknown key `titel`", "x.toml:7:1"]);
    check("[[step]]\nname = \"b\"\nagent = \"noop\"", &["has no [[step]]", "write [[add]]"]);
    check("configure = 5", &["`configure` is no list of tables", "x.toml:5:13"]);
    let of = |text: String| load_files(&[("ap.toml", &second()), ("x.toml", &text)]).unwrap_err();
    assert!(of(extending("").replace("ap@1", "ap@2")).contains("there is no workflow `ap@2` to extend"));
    assert!(of(extending("").replace("ap@1", "ap")).contains("write it with its version"));
    assert!(of(extending("").replace("name = \"ap-acme\"", "name = \"ap\"")).contains("the name of what it extends"));
    assert!(of(extending("").replace("ap@1", "ap-acme@4")).contains("in a circle"));
    assert!(of(second() + "[[add]]\nname = \"b\"\n").contains("`add` is of no use without `extends`"));
    let rival = extending("").replace("ap-acme", "ap-other");
    let told = load_files(&[("ap.toml", &second()), ("x.toml", &extending("")), ("y.toml", &rival)]).unwrap_err();
    assert!(
        told.contains("`ap-acme` (x.toml) takes the place of `ap` for `acme` already") && told.contains("y.toml:4")
    );
}

fn presets(text: &str) -> Result<Presets, String> {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("ask-boss.toml"), text).unwrap();
    Presets::load(directory.path(), &Two).map_err(|told| told.iter().map(ToString::to_string).collect())
}

const PRESET: &str = r#"name = "ask-boss"
title = "Ask the boss"
agent = "approval"
with = { approver = "role:boss", remind = { every = 3, most = 2 } }
timeout = { hard = "9d" }
"#;

#[test]
fn a_step_may_name_a_preset_and_says_only_what_is_its_own() {
    let presets = presets(PRESET).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let step = "[[step]]\nname = \"b\"\nagent = \"ask-boss\"\nwith.remind.every = 5\n";
    std::fs::write(directory.path().join("ap.toml"), format!("{GOOD}{step}")).unwrap();
    let loaded = load(directory.path(), &known(&presets)).unwrap();
    let step = &loaded[0].workflow.steps[1];
    assert_eq!((step.agent.as_str(), step.title.as_str()), ("approval", "Ask the boss"));
    let with = serde_json::json!({"approver": "role:boss", "remind": {"every": 5, "most": 2}});
    assert_eq!(Value::Object(step.with.clone()), with);
    assert_eq!(step.timeout.unwrap().hard.unwrap().secs, 9 * 86_400);
    assert_eq!(Presets::load(Path::new("no/such"), &Two).unwrap(), Presets::default());
}

#[test]
fn what_is_wrong_with_a_preset_is_told_in_its_file() {
    for (from, to, expected) in [
        ("\"approval\"", "\"aproval\"", "did you mean `approval`?"),
        ("\"ask-boss\"", "\"noop\"", "`noop` is an agent already"),
        ("\"ask-boss\"", "\"Ask boss\"", "is no name of an agent"),
        ("\"role:boss\"", "3", "`approver`: is no text"),
        ("timeout", "tiemout", "unknown key `tiemout`"),
    ] {
        let told = presets(&PRESET.replace(from, to)).unwrap_err();
        assert!(told.contains(expected) && told.contains("ask-boss.toml:"), "{told}");
    }
    assert!(presets("name = \"a\"\nagent = \"approval\"\n").is_ok(), "what is missing, steps say");
}

#[test]
fn templates_that_nobody_knows_are_told() {
    let directory = tempfile::tempdir().unwrap();
    let more = "notify.failure.template = \"notfy\"\n";
    std::fs::write(directory.path().join("ap.toml"), format!("{GOOD}{more}")).unwrap();
    let names = ["notify".to_owned()];
    let told = load(directory.path(), &Known { agents: &Two, presets: &Presets::default(), templates: Some(&names) });
    let told = told.unwrap_err()[0].to_string();
    assert!(told.contains("no template `notfy`") && told.contains("ap.toml:12:27"), "{told}");
}
