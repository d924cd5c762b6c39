//! The rule language as an admin meets it: what it decides, how it explains, what it refuses.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

mod also;
mod arbitrary;
mod explanations;
mod faults;
mod large;
mod schema;
mod shipped;
mod starts;

use super::*;
use crate::domain::message::{AuthResult, Authentication, Automatic, Part, PartKind, PartRole};
use crate::domain::person::{Address, Customer};
use crate::domain::verdict::{Start, Verdict};

/// Compiles one file named `ap.toml`; tests inside are run.
fn load(rules: &str) -> Result<RuleSet, Vec<Diagnostic>> {
    let known = Known {
        workflows: vec!["ap-invoice".into(), "ap-order".into()],
        templates: vec!["reply-no-document".into()],
        mailboxes: vec!["ap".into(), "orders".into()],
        addresses: vec!["ap@acme.example".into()],
        folders: vec!["INBOX".into()],
        people: Some(vec!["olivia".into(), "role:finance".into()]),
        ..Known::default()
    };
    let set = RuleSet::compile(Path::new("."), vec![("rules/ap.toml".into(), rules.into())], &known)?;
    match set.failed_tests(&no_samples) {
        failed if failed.is_empty() => Ok(set),
        failed => Err(failed),
    }
}

/// A rule set is shared by every task that screens.
const _: fn() = || {
    fn shared<T: Send + Sync>() {}
    shared::<RuleSet>();
};

fn no_samples(_: &Path) -> Result<Message, String> {
    Err("no samples here".into())
}

fn nordwind() -> Customer {
    let text = r#"{"name": "acme",
        "supplier": [{"name": "Nordwind GmbH", "domains": ["nordwind.example"]}],
        "user": [{"name": "olivia", "address": "olivia@acme.example"}]}"#;
    serde_json::from_str(text).unwrap()
}

/// An invoice of a known supplier, proven.
fn invoice() -> Message {
    let part = Part {
        index: 2,
        container: None,
        name: Some("Invoice-4711.pdf".into()),
        declared_type: "application/pdf".into(),
        kind: PartKind::Pdf,
        role: PartRole::Document,
        sha256: "ab".repeat(32),
        size_bytes: 40_000,
        content_id: None,
        twin_of: None,
        content: Default::default(),
    };
    Message {
        from: vec![Address::named("Nordwind Billing", "billing@nordwind.example")],
        to: vec![Address::new("ap@acme.example")],
        subject: "Invoice 4711".into(),
        text: "Please find our invoice attached.".into(),
        headers: vec![("x-mailer".into(), "ERP 7".into())],
        parts: vec![part],
        authentication: Authentication {
            authserv_id: Some("mx.acme.example".into()),
            dmarc: Some(AuthResult::Pass),
            dmarc_from: Some("nordwind.example".into()),
            spf: Some(AuthResult::SoftFail),
            ..Default::default()
        },
        ..Default::default()
    }
}

fn gather(message: &Message) -> Facts {
    let around = Surroundings {
        mailbox: "ap",
        customer: &nordwind(),
        duplicate_of: None,
        earlier: &[],
        first_time_sender: None,
        joined: None,
        now: "2026-11-23T09:30:00Z".parse::<DateTime<Utc>>().unwrap(),
        documents: &[],
    };
    Facts::gather(message, &around)
}

fn facts(change: impl FnOnce(&mut Message)) -> Facts {
    let mut message = invoice();
    change(&mut message);
    gather(&message)
}

/// Screens with one rule that ignores; expected is whether it matched.
fn check(condition: &str, facts: &Facts, expected: bool) {
    let rules = format!("[[rule]]\nname = \"r\"\nignore = \"x\"\n{condition}\n");
    let set = load(&rules).unwrap_or_else(|faults| panic!("{condition}: {faults:?}"));
    let decision = set.screen(facts);
    assert_eq!(decision.verdict == Verdict::Ignore, expected, "{condition}: {:?}", decision.explanation.rules);
}

#[test]
fn conditions_hold_for_what_they_describe() {
    let mail = gather(&invoice());
    check("from = '*@nordwind.example'", &mail, true);
    check("from = 'nordwind'", &mail, false);
    check("from_domain = ['kraft.example', 'NORDWIND.example']", &mail, true);
    check("to = 'ap@*'", &mail, true);
    check("subject = '/invoice (?P<n>\\d+)/i'", &mail, true);
    check("subject = 'invoice'", &mail, false);
    check("body = '*our invoice*'", &mail, true);
    check("any_text = '*.PDF'", &mail, true);
    check("mailbox = 'ap'\ncustomer = 'acme'", &mail, true);
    check("header = { X-Mailer = 'erp*' }", &mail, true);
    check("header = { X-Mailer = 'erp*', list-id = '*' }", &mail, false);
    check("attachment = { kind = 'pdf', name = 'inv*', size_min = '20 kB', size_max = '1 MB' }", &mail, true);
    check("attachment = { kind = 'pdf', count_min = 2 }", &mail, false);
    check("attachment = [{ kind = 'zip' }, { role = 'document' }]", &mail, true);
    check("attachment = { size_max = 39999 }", &mail, false);
    check("documents_min = 1", &mail, true);
    check("documents_min = 2", &mail, false);
    check("usable_documents = 1", &mail, true);
    check("usable_documents = { min = 2 }", &mail, false);
    check("duplicate = false", &mail, true);
    check("dmarc = 'pass'", &mail, true);
    check("spf = ['fail', 'softfail']", &mail, true);
    check("authenticated = true", &mail, true);
    check("known_supplier = true", &mail, true);
    check("known_user = false", &mail, true);
    check("lookalike_domain = false", &mail, true);
    check("automatic = 'bulk'", &mail, false);
    check("expr = 'usable_documents == 1 and from_domain is endingwith(\".example\")'", &mail, true);
    check("expr = ['1 == 2', 'supplier == \"Nordwind GmbH\"']", &mail, true);
    check("window = { weekday = ['mon'], hours = '10:00-11:00', zone = 'Europe/Berlin' }", &mail, true);
    check("window = { hours = '22:00-10:00', zone = 'UTC' }", &mail, true);
    check("window = { weekday = ['sat', 'sun'], zone = 'UTC' }", &mail, false);
    check("from = '*'\nunless = { subject = 'invoice*', documents_min = 2 }", &mail, true);
    check("from = '*'\nunless = [{ subject = 'invoice*' }, { documents_min = 2 }]", &mail, false);
}

#[test]
fn an_unknown_fact_never_matches_and_vetoes_in_unless() {
    let unproven = facts(|mail| mail.authentication = Authentication::default());
    for condition in ["dmarc = 'pass'", "dmarc = 'fail'", "spf = 'none'", "dkim = 'fail'", "first_time_sender = false"]
    {
        check(condition, &unproven, false);
        check(&format!("from = '*'\nunless = {{ {condition} }}"), &unproven, false);
    }
    for expression in ["dmarc == \"pass\"", "dmarc != \"fail\"", "not first_time_sender"] {
        check(&format!("expr = '{expression}'"), &unproven, false);
        check(&format!("from = '*'\nunless = {{ expr = '{expression}' }}"), &unproven, false);
    }
    let two_authors = facts(|mail| mail.from.push(Address::new("x@evil.example")));
    for condition in ["from = '*'", "known_supplier = true", "known_supplier = false", "lookalike_domain = false"] {
        check(condition, &two_authors, false);
        check(&format!("subject = '*'\nunless = {{ {condition} }}"), &two_authors, false);
    }
    check("authenticated = false", &two_authors, true);
}

#[test]
fn results_that_nobody_trusted_gave_or_that_speak_for_another_domain_are_not_known() {
    let untrusted = facts(|mail| mail.authentication.authserv_id = None);
    check("dmarc = 'pass'", &untrusted, false);
    check("authenticated = true", &untrusted, false);
    let foreign = facts(|mail| mail.authentication.dmarc_from = Some("evil.example".into()));
    check("dmarc = 'pass'", &foreign, false);
    check("authenticated = true", &foreign, false);
}

#[test]
fn an_imitated_domain_is_no_supplier() {
    let posing = facts(|mail| mail.from = vec![Address::new("billing@nordwlnd.example")]);
    check("lookalike_domain = true", &posing, true);
    check("known_supplier = true", &posing, false);
    let colleague = facts(|mail| mail.from = vec![Address::new("olivia@acrne.example")]);
    check("lookalike_domain = true", &colleague, true);
}

#[test]
fn a_document_and_its_twin_count_once() {
    let twins = facts(|mail| {
        let mut xml = mail.parts[0].clone();
        (xml.index, xml.kind, xml.twin_of) = (3, PartKind::Xml, Some(2));
        mail.parts[0].twin_of = Some(3);
        mail.parts.push(xml);
    });
    check("documents_min = 2", &twins, true);
    check("usable_documents = 1", &twins, true);
}

#[test]
fn lists_hold_values_and_globs() {
    let mail = gather(&invoice());
    let lists = "in_list = { from_domain = 'ours' }\n[lists]\nours = ['*.kraft.example', 'Nordwind.example']";
    check(lists, &mail, true);
    check("in_list = { from = 'ours' }\n[lists]\nours = ['*@kraft.example']", &mail, false);
}

#[test]
fn lists_of_known_people_come_from_the_customer() {
    let mail = facts(|mail| mail.innermost_from = Some(Address::new("Olivia@acme.example")));
    let lists = "[lists]\nours = { from = 'suppliers' }\nstaff = { from = 'users' }";
    let check_list = |condition: &str, expected: bool| check(&format!("{condition}\n{lists}"), &mail, expected);
    check_list("in_list = { from = 'ours', from_domain = 'ours' }", true);
    check_list("in_list = { from = 'staff' }", false);
    check_list("in_list = { innermost_from = 'staff' }", true);
    check_list("in_list = { to = 'ours' }", false);
}

#[test]
fn the_language_is_asked_of_long_texts_only() {
    let long =
        "Wir möchten Sie hiermit höflich daran erinnern, dass unsere Rechnung noch offen ist. Bitte überweisen Sie.";
    let german = facts(|mail| mail.text = long.into());
    check("language = ['de', 'fr']", &german, true);
    check("language = 'en'", &german, false);
    check("language = 'de'", &gather(&invoice()), false);
    check("from = '*'\nunless = { language = 'en' }", &gather(&invoice()), false);
    let set = load("[[rule]]\nname = 'r'\nlanguage = 'de'\nignore = 'x'").unwrap();
    assert_eq!(set.screen(&german).explanation.facts["language"], "de");
}

#[test]
fn signals_add_up_and_never_stop() {
    let rules = r#"
        [[signal]]
        name = "a"
        points = 3
        subject = "*invoice*"
        [[signal]]
        name = "b"
        points = -1
        body = "*attached*"
        [[signal]]
        name = "c"
        points = 100
        dkim = "pass"
        [[rule]]
        name = "r"
        score_min = 2
        score_max = 2
        ignore = "score {{ score }}"
    "#;
    let decision = load(rules).unwrap().screen(&gather(&invoice()));
    assert_eq!((decision.reason.as_str(), decision.explanation.score), ("score 2", 2));
    let signals: Vec<_> = decision.explanation.signals.iter().map(|hit| (hit.signal.as_str(), hit.points)).collect();
    assert_eq!(signals, [("a", 3), ("b", -1)]);
}

#[test]
fn the_first_match_decides_and_its_inputs_are_filled_from_facts_and_captures() {
    let rules = r#"
        [[rule]]
        name = "numbered"
        subject = '/invoice (?P<number>\d+)/i'
        start = "ap-invoice"
        inputs = { number = "{{ captures.number }}", all = "{{ to }}", text = "from {{ supplier }}", fixed = 7 }
        [[rule]]
        name = "later"
        from = "*"
        ignore = "never reached"
    "#;
    let decision = load(rules).unwrap().screen(&gather(&invoice()));
    let inputs = json!({"number": "4711", "all": ["ap@acme.example"], "text": "from Nordwind GmbH", "fixed": 7});
    let Value::Object(inputs) = inputs else { unreachable!() };
    assert_eq!(
        decision.verdict,
        Verdict::Start(vec![Start { workflow: "ap-invoice".into(), inputs, documents: vec![] }])
    );
    assert_eq!(decision.explanation.rules.len(), 1);
}

#[test]
fn an_error_inside_a_rule_does_what_on_error_says() {
    let screen = |on_error: &str, more: &str| {
        let rules = format!(
            "[[rule]]\nname = 'r'\nexpr = 'subject + 1 > 2'\nstart = 'ap-invoice'\n{on_error}\n{more}\n\
             [[rule]]\nname = 'last'\nfrom = '*'\nignore = 'went on'\n"
        );
        let decision = load(&rules).unwrap().screen(&gather(&invoice()));
        format!("{} {}", decision.verdict.name(), decision.reason)
    };
    assert!(screen("", "").starts_with("quarantine rule `r` could not be worked out: `subject + 1 > 2`"));
    assert_eq!(screen("on_error = 'next'", ""), "ignore went on");
    assert_eq!(screen("on_error = { quarantine = 'ask IT', severity = 'high' }", ""), "quarantine ask IT");
    assert_eq!(screen("", "documents_min = 9"), "ignore went on", "a definite no is stronger than a failure");
}

#[test]
fn an_input_whose_fact_is_not_known_never_starts_anything() {
    let rules = "[[rule]]\nname = 'r'\nsubject = '*'\nstart = 'ap-invoice'\ninputs = { x = '{{ dmarc }}' }";
    let decision = load(rules).unwrap().screen(&facts(|mail| mail.authentication = Authentication::default()));
    assert_eq!(decision.verdict.name(), "quarantine");
    assert!(decision.reason.contains("input x: "), "{}", decision.reason);
}

#[test]
fn files_speak_for_their_mailboxes_only_and_the_default_never_ignores() {
    let rules = "mailboxes = ['orders']\n[[rule]]\nname = 'r'\nfrom = '*'\nignore = 'x'\n[default]\nquarantine = 'y'";
    let set = load(rules).unwrap();
    let mut facts = gather(&invoice());
    let decision = set.screen(&facts);
    assert_eq!(decision.reason, "no rule matched, and there is no default");
    assert!(decision.explanation.rules.is_empty());
    facts.mailbox = "orders".into();
    assert_eq!(set.screen(&facts).verdict, Verdict::Ignore);
}

#[test]
fn a_sample_file_is_read_by_the_given_parser_beside_the_rules() {
    let directory = tempfile::tempdir().unwrap();
    let rules = "[[rule]]\nname = 'r'\nsubject = 'invoice*'\nignore = 'x'\n[[rule.test]]\neml = 'samples/a.eml'";
    std::fs::write(directory.path().join("ap.toml"), rules).unwrap();
    let asked = RefCell::new(vec![]);
    let parse = |path: &Path| {
        asked.borrow_mut().push(path.to_owned());
        Ok(invoice())
    };
    RuleSet::load(directory.path(), &Known::default(), &parse).unwrap();
    assert_eq!(asked.into_inner(), [directory.path().join("samples/a.eml")]);
}

#[test]
fn a_directory_is_read_in_the_order_of_names_and_hashed_with_its_lists() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    let load = || RuleSet::load(directory.path(), &Known::default(), &no_samples);
    assert!(load().unwrap_err()[0].what.contains("no rule files"));
    write("b.toml", "[[rule]]\nname = 'b'\nin_list = { from = 'l' }\nignore = 'x'\n[lists]\nl = { csv = 'l.csv' }");
    write("a.toml", "[[rule]]\nname = 'a'\nfrom = 'x'\nignore = 'x'");
    write(".c.toml", "broken");
    std::fs::create_dir(directory.path().join("examples")).unwrap();
    write("examples/d.toml", "broken");
    write("l.csv", "billing@nordwind.example,x\n");
    let set = load().unwrap();
    assert_eq!(set.rule_names().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(set.screen(&gather(&invoice())).explanation.rule.as_deref(), Some("b"));
    assert_eq!(load().unwrap().hash(), set.hash());
    write("l.csv", "other@nordwind.example,x\n");
    let changed = load().unwrap();
    assert_ne!(changed.hash(), set.hash());
    assert_eq!(changed.screen(&gather(&invoice())).explanation.rule, None);
    std::fs::write(directory.path().join("z.toml"), [0xff]).unwrap();
    assert!(load().unwrap_err()[0].what.contains("not UTF-8"));
}

#[test]
fn the_readme_names_every_fact_and_every_condition() {
    let readme = include_str!("../../rules/README.md");
    let conditions = Registry::standard().unwrap();
    for name in FACTS.iter().map(|(name, _)| *name).chain(conditions.keys()) {
        assert!(readme.contains(&format!("| `{name}` |")), "rules/README.md lacks `{name}`");
    }
    let mut everything = gather(&invoice());
    everything.first_time_sender = Some(true);
    everything.language = Some("en").into();
    everything.dkim = vec![(AuthResult::Pass, "nordwind.example".into())];
    let known: Vec<_> =
        FACTS.iter().map(|(name, _)| *name).filter(|name| !["score", "captures", "group"].contains(name)).collect();
    let given = everything.to_json(true);
    assert_eq!(given.keys().map(String::as_str).collect::<Vec<_>>().len(), known.len());
    assert!(known.iter().all(|name| given.contains_key(*name)));
}
