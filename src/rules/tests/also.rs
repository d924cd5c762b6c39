//! What rules have done besides: how it is written, screened, tested inside, and refused.

use super::*;

const RULES: &str = r#"
[[rule]]
name = "contract"
subject = "*contract*"
ignore = "legal has it"
also = [{ forward = ["legal@acme.example", "b@b.example"], move = "Filed/Contracts" }, { tag = "contract" },
    { notify = ["olivia", "role:finance"], template = "notify" }]
[[rule.test]]
subject = "A contract"
also = [{ tag = "contract" }, { notify = ["role:finance", "olivia"], template = "notify" },
    { forward = ["b@b.example", "legal@acme.example"], move = "Filed/Contracts" }]
[[rule]]
name = "plain"
subject = "plain"
ignore = "x"
[[rule.test]]
subject = "plain"
also = []
[default]
quarantine = "unknown"
also = { notify = "olivia" }
"#;

fn besides(set: &RuleSet, subject: &str) -> Vec<String> {
    let mut message = invoice();
    message.subject = subject.into();
    set.screen(&gather(&message)).explanation.also.iter().map(|also| also.deed.to_string()).collect()
}

#[test]
fn a_rule_and_the_default_say_what_else_happens() {
    let set = load(RULES).unwrap_or_else(|faults| panic!("{faults:#?}"));
    let all = ["forward to legal@acme.example", "forward to b@b.example", "move to folder Filed/Contracts"];
    let all = all.into_iter().chain(["tag contract", "tell olivia by notify", "tell role:finance by notify"]);
    assert_eq!(besides(&set, "A contract"), all.collect::<Vec<_>>());
    assert!(besides(&set, "plain").is_empty());
    assert_eq!(besides(&set, "else"), ["tell olivia by rule-note"]);
}

#[test]
fn a_test_that_expects_something_else_besides_fails_and_says_so() {
    let faults = load(&RULES.replace("also = []", "also = { tag = \"x\" }")).unwrap_err();
    assert!(faults[0].what.contains("expected besides: tag x, got: nothing"), "{}", faults[0].what);
}

#[test]
fn a_rule_that_cannot_be_worked_out_does_nothing_besides() {
    let set = load("[[rule]]\nname = 'r'\nexpr = 'subject.nope.nope'\nignore = 'x'\nalso = { tag = 't' }").unwrap();
    let decision = set.screen(&gather(&invoice()));
    assert_eq!((decision.verdict.name(), decision.explanation.also.len()), ("quarantine", 0));
}
