//! What a configuration file may say, and what is said about the rest.

use super::super::secret::SecretRef;
use super::super::sections::{After, Tls};
use super::*;

mod login;

const IMAP: &str = r#"
[[mailbox]]
name = "ap"
customer = "acme"
address = "ap@acme.example"
kind = "imap"
host = "imap.acme.example"
user = "ap"
password = "secret:env/IMAP"
"#;

/// Loads files written into one directory; the first is the one named on the command line.
fn load_files(files: &[(&str, &str)]) -> (tempfile::TempDir, Result<Loaded, Vec<Diagnostic>>) {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    let loaded = load(&directory.path().join(files[0].0));
    (directory, loaded)
}

fn accept(toml: &str) -> Config {
    let (_, loaded) = load_files(&[("prod.toml", toml)]);
    loaded.unwrap_or_else(|told| panic!("{}", rendered(&told, Path::new("")))).config
}

fn rendered(told: &[Diagnostic], directory: &Path) -> String {
    let all: Vec<_> = told.iter().map(ToString::to_string).collect();
    all.join("\n\n").replace(&format!("{}/", directory.display()), "")
}

/// Every complaint about the files, as shown.
fn told_of(files: &[(&str, &str)]) -> String {
    let (directory, loaded) = load_files(files);
    rendered(&loaded.expect_err("nothing was wrong"), directory.path())
}

fn check(toml: &str, expected: &[&str]) {
    let told = told_of(&[("prod.toml", toml)]);
    assert_eq!(
        told.lines().filter(|line| line.starts_with("error: ")).count(),
        1,
        "more or less than one complaint:\n{told}"
    );
    for part in expected {
        assert!(told.contains(part), "lacks `{part}`:\n{told}");
    }
}

#[test]
fn an_empty_file_is_a_configuration() {
    assert_eq!(accept("").mailboxes.len(), 0);
}

#[test]
fn a_slip_in_a_key_is_shown_with_the_key_that_was_meant() {
    insta::assert_snapshot!(told_of(&[("prod.toml", &format!("{IMAP}pol = \"0 * * * * *\"\n"))]), @r##"
    error: unknown key `pol`
      --> prod.toml:10:1
       |
    10 | pol = "0 * * * * *"
       | ^^^
       = help: did you mean `poll`?
    "##);
    check("[engin]\nworkers = 1", &["unknown key `engin`", "prod.toml:1:2", "did you mean `engine`?"]);
    check("[web]\nport = 1", &["unknown key `port`", "prod.toml:2:1", "known here: listen, base_url"]);
    check("[store]\nkind = \"directory\"\npath = \"s\"\nbucket = \"b\"", &["unknown key `bucket`", "prod.toml:4:1"]);
    check("[store]\nkind = \"s4\"", &["`s4` is none of: directory, s3", "prod.toml:2:8"]);
    let maildir = IMAP.replace("\"imap\"", "\"maildir\"").replace("user =", "path =").replace("password", "#");
    check(&maildir, &["unknown key `host`", "prod.toml:7:1", "known here: path, name"]);
}

#[test]
fn a_value_of_the_wrong_type_is_shown_where_it_is() {
    insta::assert_snapshot!(told_of(&[("prod.toml", "[engine]\nworkers = \"four\"\nlease = \"5 minutes\"\n")]), @r##"
    error: expected u32, found string
     --> prod.toml:2:11
      |
    2 | workers = "four"
      |           ^^^^^^

    error: `5 minutes` is no time span
     --> prod.toml:3:9
      |
    3 | lease = "5 minutes"
      |         ^^^^^^^^^^^
      = help: write a number and a unit, such as 90s, 15m, 4h, 2d or 1w
    "##);
    check("[store]\nkind = \"directory\"\npath = 5", &["expected path string, found integer", "prod.toml:3:8"]);
    check(&format!("{IMAP}idle = \"yes\""), &["expected a boolean, found string", "prod.toml:10:8"]);
    check(&IMAP.replace("\"imap.acme.example\"", "7"), &["expected a string, found integer", "prod.toml:7:8"]);
    check(&format!("{IMAP}plus_address = 1"), &["expected a boolean", "prod.toml:10:16"]);
    check(&format!("{IMAP}after = \"gone\""), &["`gone` is none of: seen, keyword, move", "prod.toml:10:9"]);
    check("[outgoing.transport]\nkind=\"smtp\"\nhost=\"h\"\nport=70000", &["expected u16", "prod.toml:4:6"]);
    check("mailbox = 3", &["`mailbox` is no list", "[[mailbox]]"]);
    check("[limits]\nparts = 99999999999999999999", &["expected u32, found floating point", "prod.toml:2:9"]);
    check("web = 3", &["expected struct Web, found integer", "prod.toml:1:7"]);
}

#[test]
fn a_missing_key_is_shown_at_its_table() {
    check(&IMAP.replace("host =", "#"), &["`host` is missing", "prod.toml:2:1", "add `host = …`"]);
    check(&IMAP.replace("name =", "#"), &["`name` is missing", "prod.toml:2:1"]);
    check(&IMAP.replace("kind =", "#"), &["`kind` is missing", "prod.toml:2:1"]);
    check("[store]\nkind = \"s3\"", &["`bucket` is missing", "prod.toml:1:1"]);
}

#[test]
fn a_secret_in_the_file_is_refused_and_never_shown() {
    let toml = IMAP.replace("secret:env/IMAP", "hunter2");
    let told = told_of(&[("prod.toml", &toml)]);
    insta::assert_snapshot!(told, @r##"
    error: a secret never stands in a file
     --> prod.toml:9:12
      |
    9 | password = "*******"
      |            ^^^^^^^^^
      = help: write a reference: secret:env/NAME, secret:file/PATH or secret:aws/NAME#FIELD
    "##);
    for toml in [
        toml.replace("password", "passwort"),
        IMAP.replace("\"secret:env/IMAP\"", "4711000"),
        IMAP.replace("secret:env/IMAP\"", "hunter2"),
        "[database]\nurl = \"mysql://u:hunter2@h/d\"".into(),
    ] {
        let told = told_of(&[("prod.toml", &toml)]);
        assert!(!told.contains("hunter2") && !told.contains("4711000"), "{told}");
    }
}

#[test]
fn values_that_cannot_work_are_refused() {
    check(&format!("{IMAP}poll = \"* * * * *\""), &["`* * * * *` is no schedule", "prod.toml:10:8", "every minute"]);
    check(&format!("{IMAP}poll = \"0 0 0 31 2 *\""), &["it never comes"]);
    check(&format!("{IMAP}poll = \"0 99 * * * *\""), &["is no schedule"]);
    check(&IMAP.replace("ap@acme.example", "ap at acme"), &["is no mail address", "prod.toml:5:11"]);
    check(&IMAP.replace("\"acme\"", "\"../acme\""), &["`../acme` is no name", "prod.toml:4:12"]);
    check(&format!("{IMAP}tls = \"none\""), &["imap.acme.example unencrypted", "prod.toml:10:7"]);
    check(&format!("{IMAP}command_timeout = \"0s\""), &["0 would stop everything"]);
    check(&format!("{IMAP}received_by = [\"mx.example\"]"), &["of no use without `verify`", "prod.toml:10:15"]);
    let local = format!("{IMAP}verify = \"locally\"\n");
    check(&format!("{local}received_by = [\"by mx\"]"), &["`by mx` is no host name", "prod.toml:11:15"]);
    check(&format!("{IMAP}verify = \"yes\""), &["`yes` is none of: no, locally", "prod.toml:10:10"]);
    check("[dns]\nnameservers = [\"ns.example\"]", &["`ns.example` is no name server", "prod.toml:2:15"]);
    check("[dns]\ntimeout = \"0s\"", &["0 would stop everything", "prod.toml:2:11"]);
    check("[web]\nlisten = \"nowhere\"", &["`nowhere` is no address to listen on", "prod.toml:2:10"]);
    check("[web]\nbase_url = \"https://a.example/\"", &["links cannot be added", "slash at the end"]);
    check("[web]\nbase_url = \"a.example\"", &["no web address", "https://"]);
    check("[outgoing]\nfrom = \"nobody\"", &["`nobody` is no mail address", "prod.toml:2:8"]);
    check("[database]\nurl = \"mysql://h/d\"", &["no URL of a database"]);
    check("[database]\nconnections = 0", &["0 would stop everything", "prod.toml:2:15"]);
    let s3 = "[store]\nkind = \"s3\"\nbucket = \"b\"\n";
    check(&format!("{s3}access_key_id = \"secret:env/A\""), &["without `secret_access_key`", "prod.toml:4:17"]);
    check(&format!("{s3}endpoint = \"minio:9000\""), &["no web address", "prod.toml:4:12"]);
    let smtp = "[outgoing.transport]\nkind = \"smtp\"\nhost = \"mx.example\"\n";
    check(&format!("{smtp}tls = \"none\""), &["mx.example unencrypted"]);
    check(&format!("{smtp}user = \"u\""), &["without `password`"]);
}

#[test]
fn run_pages_are_never_open_to_the_network() {
    insta::assert_snapshot!(told_of(&[("prod.toml", "[web]\nlisten = \"0.0.0.0:8025\"\n")]), @r##"
    error: the run pages would be open to everybody who reaches 0.0.0.0:8025
     --> prod.toml:2:10
      |
    2 | listen = "0.0.0.0:8025"
      |          ^^^^^^^^^^^^^^
      = help: add `password = "secret:…"` to [web], or listen on 127.0.0.1
    "##);
    accept("[web]\nlisten = \"0.0.0.0:8025\"\npassword = \"secret:env/P\"");
    accept("[web]\nlisten = \"[::1]:8025\"");
}

#[test]
fn unencrypted_connections_stay_on_this_machine() {
    for host in ["localhost", "127.0.0.1", "127.9.9.9", "::1"] {
        let config = accept(&format!("{IMAP}tls = \"none\"").replace("imap.acme.example", host));
        assert!(matches!(&config.mailboxes[0].source, Source::Imap(imap) if imap.tls == Tls::None), "{host}");
    }
    for host in ["localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1"] {
        check(&format!("{IMAP}tls = \"none\"").replace("imap.acme.example", host), &["unencrypted"]);
    }
}

#[test]
fn two_mailboxes_of_one_name_are_refused() {
    check(&format!("{IMAP}{IMAP}"), &["two mailboxes are named `ap`; the first is in line 3", "prod.toml:12:8"]);
}

#[test]
fn everything_wrong_is_told_at_once_in_the_order_of_the_file() {
    let toml = format!(
        "[web]\nlisten = 1\nlogo = \"x\"\n[engine]\ntick = \"0s\"\n[log]\nformat = \"xml\"\n{}",
        format!("{IMAP}folder = 1\nidel = true\n").replace("secret:env/IMAP", "env:IMAP")
    );
    let told = told_of(&[("prod.toml", &toml)]);
    let whats: Vec<_> = told.lines().filter_map(|line| line.strip_prefix("error: ")).collect();
    insta::assert_snapshot!(whats.join("\n"), @"
    expected a string, found integer
    unknown key `logo`
    0 would stop everything
    `xml` is none of: text, json
    a secret never stands in a file
    expected a string, found integer
    unknown key `idel`
    ");
}

#[test]
fn syntax_errors_are_told_with_their_line_in_every_layer() {
    let told = told_of(&[("prod.toml", "[web]\nlisten = \nsecret =\n"), ("base.toml", "a = 1\na = 2\n")]);
    assert!(told.contains("prod.toml:2:") && told.contains("prod.toml:3:"), "{told}");
    assert!(told.contains("duplicate key") && told.contains("base.toml:2:1"), "{told}");
}

#[test]
fn a_file_that_is_not_there_says_so() {
    let told = load(Path::new("no/such/file.toml")).unwrap_err();
    assert!(told[0].to_string().contains("cannot read the file") && told[0].to_string().contains("no/such/file.toml"));
}

#[test]
fn the_file_lies_over_base_and_each_complaint_names_the_layer_that_has_the_key() {
    let base = "[engine]\nworkers = 7\ntick = \"5s\"\n[store]\nkind = \"directory\"\npath = \"b\"\n";
    let prod = "[engine]\nworkers = 9\n[store]\nkind = \"s3\"\nbucket = \"b\"\n";
    let (directory, loaded) = load_files(&[("prod.toml", prod), ("base.toml", base)]);
    let Loaded { config, layers } = loaded.unwrap();
    assert_eq!((config.engine.workers, config.engine.tick.secs), (9, 5));
    assert!(matches!(config.store, Store::S3 { .. }), "a store of another kind replaces the lower one whole");
    assert_eq!(layers, [directory.path().join("base.toml"), directory.path().join("prod.toml")]);

    let told = told_of(&[("prod.toml", "[engine]\nworkers = 0\n"), ("base.toml", "[engine]\ntick = \"0s\"\n")]);
    assert!(told.contains("prod.toml:2:11") && told.contains("base.toml:2:8"), "{told}");

    let (_, alone) = load_files(&[("base.toml", base)]);
    assert_eq!(alone.unwrap().layers.len(), 1);
}

#[test]
fn lists_replace() {
    let other = IMAP.replace("\"ap\"", "\"other\"");
    let (_, loaded) =
        load_files(&[("prod.toml", IMAP), ("base.toml", &format!("{other}{}", other.replace("other", "third")))]);
    let config = loaded.unwrap().config;
    assert_eq!(config.mailboxes.iter().map(|mailbox| mailbox.name.as_str()).collect::<Vec<_>>(), ["ap"]);
}

#[test]
fn what_is_done_with_a_message_is_a_word_or_a_table() {
    let after = |toml: &str| accept(&format!("{IMAP}{toml}")).mailboxes.remove(0);
    assert_eq!(after("after = \"seen\"").after, After::Seen);
    assert_eq!(after("after = { keyword = \"$Done\" }").after, After::Keyword("$Done".into()));
    let quarantine = after("[mailbox.after_quarantine]\nmove = \"Quarantine\"");
    assert_eq!((quarantine.after, quarantine.after_quarantine), (After::Seen, Some(After::Move("Quarantine".into()))));
    check(&format!("{IMAP}after = {{ mov = \"x\" }}"), &["`mov` is none of: seen, keyword, move", "10:11", "`move`?"]);
}

#[test]
fn relative_paths_start_at_the_directory_of_the_file() {
    let toml = format!(
        "[files]\nrules = \"r\"\npeople = \"/etc/people.toml\"\n[database]\nurl = \"sqlite:state/a.db\"\n{IMAP}ca_file = \"ca.pem\""
    );
    let (directory, loaded) = load_files(&[("prod.toml", &toml)]);
    let (config, here) = (loaded.unwrap().config, |path: &str| directory.path().join(path));
    assert_eq!((config.files.rules, config.files.people), (here("r"), Some("/etc/people.toml".into())));
    assert_eq!(config.files.workflows, here("workflows"));
    assert_eq!(config.database.url, format!("sqlite:{}", here("state/a.db").display()));
    let Source::Imap(imap) = &config.mailboxes[0].source else { panic!() };
    assert_eq!((imap.ca_file.clone(), &imap.password), (Some(here("ca.pem")), &Some(SecretRef::Env("IMAP".into()))));
}

#[test]
fn a_database_in_memory_or_on_a_server_has_no_path() {
    for url in ["sqlite::memory:", "postgres://cs@db.acme.example/cs"] {
        let text = format!("[database]\nurl = \"{url}\"\n[web]\nsecret = \"secret:env/KEY\"");
        assert_eq!(accept(&text).database.url, url);
    }
}

#[test]
fn machines_on_one_database_must_share_the_key_of_their_links() {
    let text = "[database]\nurl = \"postgres://cs@db.acme.example/cs\"";
    check(text, &["prod.toml:2:7", "the key of links is missing", "add `secret ="]);
}

#[test]
fn malware_is_scanned_for_where_a_clamd_is_named() {
    assert!(accept("").malware.is_none());
    let malware = accept("[malware]\nclamd = \"tcp://127.0.0.1:3310\"").malware.unwrap();
    assert_eq!((malware.clamd.to_string().as_str(), malware.timeout.secs), ("tcp://127.0.0.1:3310", 150));
    let (directory, loaded) = load_files(&[("prod.toml", "[malware]\nclamd = \"unix:run/clamd\"")]);
    let clamd = loaded.unwrap().config.malware.unwrap().clamd.to_string();
    assert_eq!(clamd, format!("unix:{}/run/clamd", directory.path().display()));
    check("[malware]", &["`clamd` is missing", "add `clamd = …`"]);
    check(
        "[malware]\nclamd = \"localhost:3310\"",
        &["prod.toml:2:9", "no place of a clamd", "write tcp://HOST:PORT or"],
    );
    let with = |line: &str| format!("[malware]\nclamd = \"unix:/c\"\n{line}");
    check(&with("timeout = \"0s\""), &["prod.toml:3:11", "write at least 1"]);
    check(&with("at_once = 0"), &["prod.toml:3:11", "write at least 1"]);
    check(&with("at_one = 3"), &["did you mean `at_once`?"]);
}

/// The file in the repository that shows every key.
const BASE: &str = include_str!("../../../config/base.toml");

#[test]
fn base_shows_the_defaults() {
    let show = |config: &Config| format!("{config:#?}");
    let (one, with_base) = load_files(&[("base.toml", BASE)]);
    let (two, without) = load_files(&[("base.toml", "")]);
    let (one, two) = (one.path().display().to_string(), two.path().display().to_string());
    let with_base = with_base.unwrap_or_else(|told| panic!("{}", rendered(&told, Path::new(""))));
    assert_eq!(show(&with_base.config).replace(&one, ""), show(&without.unwrap().config).replace(&two, ""));
}

#[test]
fn base_shows_every_key_and_no_other() {
    let known = keys_of_sections();
    let shown: std::collections::BTreeSet<_> = BASE
        .lines()
        .filter_map(|line| line.trim_start_matches("# ").split_once(" = "))
        .map(|(key, _)| key.to_owned())
        .filter(|key| !key.contains(' '))
        .collect();
    let fields: std::collections::BTreeSet<_> = known
        .into_iter()
        .filter(|key| !SECTIONS.contains(&key.as_str()))
        .filter(|key| !["source", "transport", "oauth", "webhooks", "otlp"].contains(&key.as_str()))
        .collect();
    let mut expected = fields;
    // Sections, and keys of others.
    expected.extend(["kind".into(), "workflows".into(), "publish".into()]);
    assert_eq!(shown, expected);
    for section in SECTIONS {
        assert!(BASE.contains(&format!("[{section}]")), "{section}");
    }
    for transport in ["\"smtp\"", "\"sendmail\"", "\"directory\"", "\"maildir\"", "\"imap\"", "\"s3\""] {
        assert!(BASE.contains(&format!("kind = {transport}")), "{transport}");
    }
}

/// Every field in the source of the sections, as a file names it.
fn keys_of_sections() -> Vec<String> {
    let source = concat!(
        include_str!("../sections.rs"),
        include_str!("../mailboxes.rs"),
        include_str!("../quarantine.rs"),
        include_str!("../publish.rs"),
        include_str!("../senders.rs"),
        include_str!("../malware.rs"),
        include_str!("../receivers.rs"),
        include_str!("../oauth.rs")
    );
    let field =
        regex::Regex::new(r"(?m)^\s+(?:pub )?([a-z_]+): [A-Z a-z0-9<>]+,$|^    Directory \{ (path): PathBuf \},$")
            .unwrap();
    let of_a_default = ["secs"];
    let fields = field.captures_iter(source).filter_map(|found| found.get(1).or_else(|| found.get(2)));
    fields
        .map(|key| key.as_str().replace("mailboxes", "mailbox"))
        .filter(|key| !of_a_default.contains(&key.as_str()))
        .collect()
}

#[test]
fn the_keys_of_every_mailbox_are_those_of_its_type() {
    let source = include_str!("../mailboxes.rs");
    let body = source.split("pub struct Mailbox {").nth(1).unwrap().split("\n}").next().unwrap();
    let fields = body.lines().filter_map(|line| line.trim().strip_prefix("pub ")?.split_once(':'));
    let fields: Vec<_> = fields.map(|(name, _)| if name == "source" { "kind" } else { name }).collect();
    let (mut known, mut fields) = (Mailbox::KEYS.to_vec(), fields);
    known.sort_unstable();
    fields.sort_unstable();
    assert_eq!(known, fields);
}
