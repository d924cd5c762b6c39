//! Whatever stands in a file and whatever comes by mail, nothing panics.

use proptest::prelude::*;

use super::*;
use crate::domain::expression;

/// Text that looks like a rule file more often than not.
fn rule_text() -> impl Strategy<Value = String> {
    let condition = prop_oneof![
        "(from|subject|body|any_text|to|dmarc|automatic) = ('[*?/a-z\\\\(]{0,8}'|\\[\\]|7|\\{\\})",
        "expr = '[a-z0-9_ +*/.()\\[\\]|~<>=-]{0,30}'",
        "(header|attachment|in_list|window|unless|inputs|on_error|test|lists|name|start) = .{0,20}",
        "(header|attachment|in_list|window|unless|inputs|on_error) = \\{ [a-z_]{1,8} = '.{0,8}' \\}",
        ".{0,40}",
    ];
    prop::collection::vec(condition, 0..6).prop_map(|lines| {
        format!("[[rule]]\nname = 'r'\nignore = '{{{{ subject }}}}'\nsubject = '*'\n{}\n", lines.join("\n"))
    })
}

#[test]
fn deep_nesting_of_every_kind_is_an_error_and_no_overflow() {
    let check = |text: String| assert!(load(&text).is_err(), "{text:.80}");
    check(format!("mailboxes = {}", "[".repeat(100_000)));
    check(format!("lists = {}", "{a=".repeat(100_000)));
    check(format!("{}b = 1", "a.".repeat(100_000)));
    check(format!("[{}b]", "a.".repeat(100_000)));
    for deep in ["(", "[", "-", "- ", "a.", "1 if "] {
        let expression = deep.repeat(expression::MAX_BYTES / deep.len() - 1);
        check(format!("[[rule]]\nname = 'r'\nexpr = '{expression}'\nignore = 'x'"));
        check(format!("[[rule]]\nname = 'r'\nfrom = '*'\nignore = '{{{{ {expression} }}}}'"));
    }
    for chain in ["1+", "1**", "1<", "1~", "not ", "1 if 1 else "] {
        let expression = chain.repeat(expression::MAX_BYTES / chain.len() - 1);
        let rules = format!("[[rule]]\nname = 'r'\nexpr = '{expression}1'\nignore = 'x'");
        if let Ok(set) = load(&rules) {
            set.screen(&gather(&invoice()));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn arbitrary_text_never_panics(text in "(?s).{0,200}") {
        let _ = load(&text);
    }

    #[test]
    fn whatever_loads_screens_whatever_comes(
        rules in rule_text(),
        subject in "(?s).{0,60}",
        body in "(?s).{0,60}",
        from in prop::collection::vec("(?s).{0,20}@?.{0,20}", 0..3),
        header in ("[a-z-]{0,10}", "(?s).{0,20}"),
        name in prop::option::of("(?s).{0,20}"),
    ) {
        if let Ok(set) = load(&rules) {
            let facts = facts(|mail| {
                (mail.subject, mail.text) = (subject, body);
                mail.from = from.iter().map(|from| Address::new(from)).collect();
                mail.headers = vec![header];
                mail.parts[0].name = name;
            });
            let decision = set.screen(&facts);
            prop_assert!(!decision.reason.is_empty() || decision.verdict == Verdict::Ignore);
            prop_assert!(serde_json::to_string(&decision).is_ok());
        }
    }
}
