//! What a rule file is refused for, and how it is told.

use super::*;

#[test]
fn every_fault_is_told_with_its_line_and_its_mend() {
    let rule = |lines: &str| format!("[[rule]]\nname = 'r'\nignore = 'x'\n{lines}\n");
    refuse("a = \n", 1, "", "");
    refuse("mailbox = ['ap']", 1, "no key `mailbox`", "did you mean `mailboxes`?");
    refuse("mailboxes = ['app']", 1, "no mailbox `app`", "did you mean `ap`?");
    refuse(&rule("subjct = '*'"), 4, "no condition `subjct`", "did you mean `subject`?");
    refuse(&rule("subject = 7"), 4, "expected a text or a list of texts, found a number", "quotes");
    refuse(&rule("subject = []"), 4, "list is empty", "");
    refuse(&rule("subject = ['*',\n '/(/']"), 5, "unclosed group", "glob");
    refuse(&rule("subject = '/a/q'"), 4, "`q` is no regex flag", "");
    refuse(&rule("dmarc = 'passed'"), 4, "no result `passed`", "did you mean `pass`?");
    refuse(&rule("attachment = { kynd = 'pdf' }"), 4, "no key `kynd`", "did you mean `kind`?");
    refuse(&rule("attachment = { kind = 'imag' }"), 4, "no kind of part `imag`", "did you mean `image`");
    refuse(&rule("attachment = { size_min = '2 GB' }"), 4, "expected a size", "2 MB");
    refuse(&rule("attachment = { size_min = 2, size_max = 1 }"), 4, "less than size_min", "");
    refuse(&rule("documents_min = -1"), 4, "expected a count", "");
    refuse(&rule("duplicate = 'yes'"), 4, "expected true or false, found a text", "");
    refuse(&rule("in_list = { from = 'nobody' }"), 4, "no list `nobody`", "there is no list yet");
    refuse(&rule("header = { }"), 4, "no header is named", "");
    refuse(&rule("window = { hours = '9-17', zone = 'UTC' }"), 4, "no span of hours", "08:00-18:00");
    refuse(&rule("window = { hours = '09:00-17:00' }"), 4, "whose clock", "zone");
    refuse(&rule("window = { weekday = 'mon', zone = 'Europe/Berln' }"), 4, "no zone", "Europe/Berlin");
    refuse(&rule("expr = '1 +'"), 4, "syntax error", "minijinja");
    refuse(&rule("expr = 'scor > 1'"), 4, "no fact `scor`", "did you mean `score`?");
    refuse(&rule("from = '*'\nunless = { }"), 5, "`unless` is empty", "");
    refuse(&rule("from = '*'\non_error = 'ignore'"), 5, "cannot be `ignore`", "quarantine");
    refuse(&rule("from = '*'\nquarantine = 'y'"), 5, "two verdicts", "keep one");
    refuse(&rule("from = '*'\nseverity = 'high'"), 5, "goes with `quarantine`", "");
    refuse(&rule("from = '*'\nreason = 'y'"), 5, "reason stands in `ignore` already", "");
    refuse(&rule(""), 1, "the rule has no condition", "[default]");
    refuse("[[rule]]\nname = 'r'\nfrom = '*'", 1, "no verdict", "start, resume");
    refuse("[[rule]]\nignore = 'x'\nfrom = '*'", 1, "no name", "");
    refuse("[[rule]]\nname = 'r'\nfrom = '*'\nignore = ' '", 4, "empty", "");
    refuse("[[rule]]\nname = 'r'\nfrom = '*'\nstart = 'ap-invoce'", 4, "no workflow", "did you mean `ap-invoice`?");
    refuse("[[rule]]\nname = 'r'\nfrom = '*'\nreply = 'x'", 4, "no template `x`", "known: reply-no-document");
    let start = "[[rule]]\nname = 'r'\nsubject = '/(?P<nr>.)/'\nstart = 'ap-invoice'\n";
    refuse(&format!("{start}inputs = {{ a = '{{{{ subjet }}}}' }}"), 5, "no fact `subjet`", "did you mean `subject`?");
    refuse(&format!("{start}inputs = {{ a = '{{{{ captures.n }}}}' }}"), 5, "no capture `n`", "did you mean `nr`?");
    refuse(&format!("{start}inputs = {{ a = '{{{{ 1 + }}}}' }}"), 5, "syntax error", "");
    refuse("[default]\nignore = 'x'", 2, "the default never is ignore", "quarantine");
    refuse("[default]\nfrom = 'x'", 2, "no key `from`", "");
    refuse("[[signal]]\nname = 's'\nfrom = '*'", 1, "needs a name and points", "");
    refuse("[[signal]]\nname = 's'\npoints = 1\nscore_min = 1", 4, "cannot ask for the score", "");
    refuse("[lists]\na = { csv = 'none.csv' }", 2, "cannot read none.csv", "");
    refuse("[lists]\na = { csv = '../x.csv' }", 2, "is not beside the rules", "");
    refuse("[[test]]\nfrom = 'a@b.example'", 1, "expects nothing", "");
    refuse("[[test]]\nrule = 'nope'", 1, "no rule `nope`", "");
    refuse("[[test]]\nexpect = 'stat'", 2, "no verdict `stat`", "did you mean `start`?");
    let also = |what: &str| rule(&format!("from = '*'\nalso = {what}"));
    refuse(&also("{ forwrad = 'a@b.example' }"), 5, "no key `forwrad`", "did you mean `forward`?");
    refuse(&also("{ forward = 'nowhere' }"), 5, "`nowhere` is no mail address", "local@domain");
    refuse(&also("{ forward = 'AP+x@acme.example' }"), 5, "is an address of ours", "no mailbox here reads");
    refuse(&also("{ move = 'inbox' }"), 5, "mail is read from folder inbox", "no mailbox reads");
    refuse(&also("{ move = ['A', 'B'] }"), 5, "goes to one folder", "keep one");
    refuse(&also("{ move = 'A//B' }"), 5, "`A//B` is no folder", "Filed/Contracts");
    refuse(&also("{ tag = 'two words' }"), 5, "`two words` is no tag", "one word");
    refuse(&also("{ notify = 'olvia' }"), 5, "no user `olvia`", "did you mean `olivia`?");
    refuse(&also("{ notify = 'role:finanse' }"), 5, "no role `role:finanse`", "did you mean `role:finance`?");
    refuse(
        &also("{ notify = 'olivia', template = 'rule_note' }"),
        5,
        "no template for `notify` `rule_note`",
        "`rule-note`?",
    );
    refuse(&also("{ tag = 't', template = 'notify' }"), 5, "`template` goes with `notify`", "remove");
    refuse(&also("{ }"), 5, "says nothing", "forward");
    refuse(&also("[]"), 5, "`also` is empty", "");
    let twice = rule("from = '*'").repeat(2);
    refuse(&twice, 5, "a rule at ap.toml:1 is named `r` too", "rename");
}

#[test]
fn a_fault_is_shown_with_its_line_marked() {
    let rules = "[[rule]]\nname = 'ap-known'\nknown_supplier = true\nsubjct = '*invoice*'\nstart = 'ap-invoice'\n";
    let fault = load(rules).unwrap_err().remove(0).to_string();
    insta::assert_snapshot!(fault, @r"
    error: there is no condition `subjct`
     --> rules/ap.toml:4:1
      |
    4 | subjct = '*invoice*'
      | ^^^^^^
      = help: did you mean `subject`?
    ");
}

#[test]
fn all_faults_of_a_file_are_told_at_once() {
    let faults = load("[[rule]]\nname = 'r'\nfrm = '*'\nignore = 'x'\ndmarc = 'no'\n[defalt]\n").unwrap_err();
    assert_eq!(faults.len(), 3, "{faults:?}");
}

#[test]
fn a_file_with_a_failing_test_is_not_given_out() {
    let rules =
        "[[rule]]\nname = 'r'\nsubject = '*invoice*'\nignore = 'x'\n[[rule.test]]\nname = 't'\nsubject = 'order'";
    refuse(rules, 5, "test `t` failed: expected rule `r` to match, but no rule matched", "mend the rule or the test");
    refuse(rules, 5, "`r` was passed over for subject = \"*invoice*\": subject `order` is not `*invoice*`", "");
    let passing = rules.replace("'order'", "'order'\nmatches = false");
    assert_eq!(load(&passing).unwrap().run_tests(&no_samples).len(), 1);
    refuse("[[test]]\neml = 'x.eml'\nexpect = 'start'", 1, "cannot read sample x.eml: no samples here", "");
}

/// Loads and expects one of the faults to be at `line` and to say both texts.
fn refuse(rules: &str, line: usize, what: &str, mend: &str) {
    let faults = load(rules).expect_err(rules);
    let told: Vec<_> = faults
        .iter()
        .map(|fault| {
            let line = fault.line().unwrap_or(0);
            format!("{line}: {} ({})", fault.what, fault.mend.as_deref().unwrap_or_default())
        })
        .collect();
    let found = told.iter().any(|t| t.starts_with(&format!("{line}: ")) && t.contains(what) && t.contains(mend));
    assert!(found, "expected {line}: {what} ({mend}), got {told:#?}");
}
