//! A set of a thousand rules says the same as a small one, and tells less of what is far from matching.

use std::fmt::Write;

use super::*;

/// Rules that rule out by every kind of outcome, `count` of them.
fn many(count: usize, last: &str) -> String {
    let mut rules = String::from("[lists]\nl = ['a.example', '*.b.example']\n");
    for n in 0..count {
        let condition = match n % 8 {
            0 => format!("from_domain = 'd{n}.example'\nknown_supplier = true"),
            1 => format!("subject = '/order {n}\\b/i'\nbody = '*attached*'\nspf = 'pass'"),
            2 => "in_list = { from_domain = 'l' }\nattachment = { name = '*.zip' }".to_owned(),
            3 => format!("expr = 'document_count > {}'\nheader = {{ x-mailer = 'erp*' }}", n + 1),
            4 => "dkim = 'pass'\nfrom = '*'".to_owned(),
            5 => "known_supplier = true\nunless = { from = '*' }".to_owned(),
            6 => "subject = '*'\nunless = [{ dkim = 'pass' }, { body = '*attached*', dmarc = 'pass' }]".to_owned(),
            _ => "expr = 'subject + 1 > 2'\nfrom = 'nobody@x.example'".to_owned(),
        };
        let _ = write!(rules, "[[rule]]\nname = 'r{n}'\n{condition}\nignore = 'x'\n");
    }
    rules + last
}

#[test]
fn a_large_set_decides_and_misses_as_when_each_rule_is_told_whole() {
    let check = |last: &str, mail: &Facts| {
        let set = load(&many(200, last)).unwrap();
        let (brief, whole, least) = (set.screen(mail), set.explain(mail), set.decide(mail));
        assert_eq!((&least.verdict, &least.reason), (&whole.verdict, &whole.reason), "{last}");
        assert_eq!(least.explanation.rule, whole.explanation.rule, "{last}");
        assert_eq!((brief.verdict, &brief.reason), (whole.verdict, &whole.reason), "{last}");
        let (brief, whole) = (brief.explanation, whole.explanation);
        assert_eq!((&brief.rule, brief.score), (&whole.rule, whole.score), "{last}");
        assert_eq!(brief.nearest_miss, whole.nearest_miss, "{last}");
        let told = brief.rules.len() + brief.passed_over.iter().map(|group| group.rules.len()).sum::<usize>();
        assert_eq!(told, whole.rules.len(), "each rule is named once: {last}");
        assert!(brief.rules.len() <= 3, "{:?}", brief.rules);
        assert!(brief.rules.iter().all(|trace| whole.rules.contains(trace)), "{last}");
    };
    let unknown = facts(|mail| {
        mail.from = vec![];
        mail.authentication = Authentication::default();
    });
    for mail in [gather(&invoice()), unknown, facts(|mail| mail.parts.clear())] {
        check("", &mail);
        check("[[rule]]\nname = 'last'\nsubject = '/(?P<n>\\d+)/'\nquarantine = 'no {{ captures.n }}'", &mail);
        check("[[rule]]\nname = 'next'\nexpr = 'subject + 1 > 2'\non_error = 'next'\nignore = 'x'", &mail);
        check("[[rule]]\nname = 'fails'\nexpr = 'subject + 1 > 2'\ndkim = 'pass'\nignore = 'x'", &mail);
    }
}

#[test]
fn what_ruled_the_others_out_is_named() {
    let decision = load(&many(100, "")).unwrap().screen(&gather(&invoice()));
    let groups: Vec<_> = decision.explanation.passed_over.iter().map(|group| group.condition.as_str()).collect();
    assert!(groups.contains(&"from_domain") && groups.contains(&"unless"), "{groups:?}");
}
