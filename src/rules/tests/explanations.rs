//! What an explanation tells. The snapshots are the shipped rules.

use super::*;

#[test]
fn an_explanation_tells_the_match_what_was_passed_over_and_the_nearest_miss() {
    let rules = include_str!("../../../rules/ap.toml");
    let set = load(rules).unwrap();
    let explain = |facts: &Facts| {
        let mut decision = set.screen(facts);
        decision.explanation.ruleset = decision.explanation.ruleset.map(|_| "[hash]".into());
        decision
    };
    insta::assert_yaml_snapshot!("started", explain(&gather(&invoice())));
    let unknown = facts(|mail| {
        mail.from = vec![Address::new("clerk@elsewhere.example")];
        mail.authentication.dmarc_from = Some("elsewhere.example".into());
    });
    insta::assert_yaml_snapshot!("unknown_sender", explain(&unknown));
    let newsletter = facts(|mail| {
        mail.from = vec![Address::new("news@elsewhere.example")];
        mail.automatic = Some(Automatic::Bulk);
        mail.headers.push(("list-unsubscribe".into(), "<https://elsewhere.example/off>".into()));
        mail.parts.clear();
    });
    insta::assert_yaml_snapshot!("newsletter", explain(&newsletter));
}

#[test]
fn the_nearest_miss_says_what_would_have_had_to_be_otherwise() {
    let rules = "[[rule]]\nname = 'far'\nsubject = 'x'\nbody = 'y'\nignore = 'x'\n\
        [[rule]]\nname = 'ap-known'\nknown_supplier = true\ndmarc = 'pass'\nignore = 'x'\n\
        [[rule]]\nname = 'other'\ndmarc = 'pass'\nignore = 'x'\n";
    let decision = load(rules).unwrap().screen(&facts(|mail| mail.authentication = Authentication::default()));
    let told = decision.explanation.nearest_miss.unwrap();
    assert_eq!(told, "would have matched `ap-known` if dmarc were pass");
}

#[test]
fn bodies_stay_out_of_explanations() {
    let set = load("[[rule]]\nname = 'r'\nbody = '*secret*'\nany_text = '*secret*'\nignore = 'x'").unwrap();
    let decision = set.screen(&facts(|mail| mail.text = "the secret sauce".into()));
    assert_eq!(decision.verdict, Verdict::Ignore);
    assert!(!serde_json::to_string(&decision).unwrap().contains("sauce"));
}
