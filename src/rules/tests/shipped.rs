//! The rule files that come with the product, and what is held against the workflows that exist.

use super::*;

#[test]
fn the_shipped_rules_load_with_their_tests() {
    let known = Known {
        workflows: ["ap-invoice", "order-intake", "helpdesk-ticket", "claim-intake", "price-list"]
            .map(str::to_owned)
            .to_vec(),
        templates: vec!["reply-no-document".into(), "reply-not-monitored".into()],
        mailboxes: ["ap", "orders", "support", "claims"].map(str::to_owned).to_vec(),
        ..Known::default()
    };
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules");
    for directory in [rules.clone(), rules.join("examples")] {
        let set = RuleSet::load(&directory, &known, &no_samples).unwrap_or_else(|faults| panic!("{faults:#?}"));
        let results = set.run_tests(&no_samples);
        for rule in set.rule_names() {
            assert!(set.trials().any(|(_, trial)| trial.rule() == Some(rule)), "{rule} has no test");
        }
        assert!(results.len() > 5 && results.iter().all(|result| result.failure.is_none()), "{results:#?}");
    }
}

#[test]
fn a_start_gives_its_workflow_no_input_that_it_does_not_have() {
    let inputs = vec!["documents".to_owned(), "note".to_owned()];
    let known = Known {
        workflows: vec!["ap-invoice".into()],
        inputs: BTreeMap::from([("ap-invoice".to_owned(), inputs)]),
        ..Known::default()
    };
    let check = |inputs: &str, expected: Option<&str>| {
        let rules = format!("[[rule]]\nname = 'r'\nsubject = '*'\nstart = 'ap-invoice'\n{inputs}");
        let got = RuleSet::compile(Path::new("."), vec![("ap.toml".into(), rules)], &known);
        let told = got.map(drop).map_err(|faults| faults[0].to_string());
        match (expected, &told) {
            (None, Ok(())) => {}
            (Some(part), Err(told)) if told.contains(part) => {}
            _ => panic!("{inputs}: {told:?}"),
        }
    };
    check("inputs = { documents = '{{ documents }}' }", None);
    check("inputs = { documents = '{{ documents }}', note = 'x' }", None);
    check("inputs = { docments = '{{ documents }}' }", Some("did you mean `documents`?"));
}
