//! One run for each document group, and different workflows for different kinds.

use super::*;
use crate::domain::document::DocumentRef;
use crate::domain::verdict::Decision;

const DIVIDED: &str = r#"start = [
    { workflow = "ap-invoice", kinds = ["pdf", "xml"], each = "document-group" },
    { workflow = "ap-order", kinds = ["sheet"] },
]
inputs = { documents = "{{ group.documents }}", name = "{{ group.name }}", kind = "{{ group.kind }}" }"#;

fn rule(start: &str) -> String {
    format!("[[rule]]\nname = 'r'\nsubject = '*'\nreason = 'so'\n{start}\n")
}

/// Screens a mail with these parts, each `name kind sha256`, more of it by `change`.
fn screen(start: &str, parts: &[&str], change: impl FnOnce(&mut Vec<Part>)) -> Decision {
    let mut message = invoice();
    let sample = message.parts.remove(0);
    let part = |(at, text): (usize, &&str)| {
        let [name, kind, sha256] = text.split(' ').collect::<Vec<_>>()[..] else { panic!("{text}") };
        let kind = *PartKind::ALL.iter().find(|known| known.as_str() == kind).unwrap();
        Part { index: at as u32 + 2, name: Some(name.into()), kind, sha256: sha256.into(), ..sample.clone() }
    };
    message.parts = parts.iter().enumerate().map(part).collect();
    change(&mut message.parts);
    let reference = |part: &Part| DocumentRef {
        path: part.stored_name(),
        name: part.name.clone().unwrap(),
        kind: part.kind,
        sha256: part.sha256.clone(),
        size_bytes: part.size_bytes,
    };
    let documents: Vec<_> = message.documents().map(reference).collect();
    let around = Surroundings {
        mailbox: "ap",
        customer: &nordwind(),
        duplicate_of: None,
        earlier: &[],
        first_time_sender: None,
        joined: None,
        now: DateTime::UNIX_EPOCH,
        documents: &documents,
    };
    load(&rule(start)).unwrap_or_else(|faults| panic!("{faults:?}")).screen(&Facts::gather(&message, &around))
}

/// `ap-invoice pdf a.pdf [a.pdf a.xml]` for each run, then what is left.
fn told(decision: &Decision) -> Vec<String> {
    let Verdict::Start(starts) = &decision.verdict else {
        return vec![format!("{} {}", decision.verdict.name(), decision.reason)];
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let run = |start: &Start| {
        let documents = start.inputs["documents"].as_array().unwrap();
        let hashes: Vec<_> = documents.iter().map(|document| text(&document["sha256"])).collect();
        assert_eq!(hashes, start.documents);
        let names: Vec<_> = documents.iter().map(|document| text(&document["name"])).collect();
        let of = |key: &str| start.inputs.get(key).map(text).unwrap_or_default();
        format!("{} {} {} [{}]", start.workflow, of("kind"), of("name"), names.join(" "))
    };
    let left = decision.explanation.left.iter().map(|name| format!("left {name}"));
    starts.iter().map(run).chain(left).collect()
}

#[test]
fn three_documents_are_three_runs_and_a_twin_goes_with_its_pdf() {
    let each = r#"start = { workflow = "ap-invoice", each = "document-group" }
        inputs = { documents = "{{ group.documents }}", name = "{{ group.name }}", kind = "{{ group.kind }}" }"#;
    let three = screen(each, &["a.pdf pdf 1", "b.pdf pdf 2", "c.pdf pdf 3"], |_| ());
    assert_eq!(
        told(&three),
        ["ap-invoice pdf a.pdf [a.pdf]", "ap-invoice pdf b.pdf [b.pdf]", "ap-invoice pdf c.pdf [c.pdf]"]
    );
    assert_eq!((three.reason.as_str(), three.explanation.taken.len()), ("so", 3));
    // The XML stands before its PDF; the group is the PDF's.
    let twins = screen(each, &["a.xml xml 1", "b.pdf pdf 2", "a.pdf pdf 3"], |parts| parts[0].twin_of = Some(4));
    assert_eq!(told(&twins), ["ap-invoice pdf a.pdf [a.pdf a.xml]", "ap-invoice pdf b.pdf [b.pdf]"]);
    let both = screen(each, &["a.pdf pdf 1", "a.xml xml 2"], |parts| {
        (parts[0].twin_of, parts[1].twin_of) = (Some(3), Some(2));
    });
    assert_eq!(told(&both), ["ap-invoice pdf a.pdf [a.pdf a.xml]"]);
}

#[test]
fn the_same_document_attached_twice_is_one_run() {
    let twice = screen(DIVIDED, &["a.pdf pdf 1", "copy.pdf pdf 1", "b.pdf pdf 2"], |_| ());
    assert_eq!(told(&twice), ["ap-invoice pdf a.pdf [a.pdf copy.pdf]", "ap-invoice pdf b.pdf [b.pdf]"]);
}

#[test]
fn kinds_go_to_their_workflows_and_what_nobody_takes_is_named() {
    let parts = ["a.pdf pdf 1", "x.csv csv 2", "p.xlsx sheet 3", "b.pdf pdf 4", "q.xlsx sheet 5", "empty.pdf pdf 6"];
    let mixed = screen(DIVIDED, &parts, |parts| parts[5].size_bytes = 0);
    let expected = [
        "ap-invoice pdf a.pdf [a.pdf]",
        "ap-invoice pdf b.pdf [b.pdf]",
        "ap-order sheet p.xlsx [p.xlsx q.xlsx]",
        "left x.csv",
        "left empty.pdf",
    ];
    assert_eq!(told(&mixed), expected);
    assert_eq!(mixed.reason, "so; no run takes x.csv, empty.pdf");
}

#[test]
fn nothing_taken_is_a_quarantine_that_says_so_whatever_on_error_says() {
    let check = |start: &str, parts: &[&str], expected: &str| {
        let start = format!("on_error = 'next'\n{start}");
        assert_eq!(
            told(&screen(&start, parts, |_| ())),
            [format!("quarantine nothing was started, because {expected}")]
        );
    };
    let wanted = "the rule starts ap-invoice for each pdf or xml, ap-order for sheet, and it";
    check(DIVIDED, &["x.csv csv 1", "y.docx word 2"], &format!("{wanted} takes none of its documents: x.csv, y.docx"));
    check(DIVIDED, &[], &format!("{wanted} has no document"));
    let many: Vec<String> = (0..101).map(|n| format!("{n}.pdf pdf {n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    check(DIVIDED, &many, &format!("{wanted} has documents for 101 runs, and a message starts at most 100"));
}

#[test]
fn the_last_without_kinds_takes_the_rest_or_a_message_without_documents() {
    let start = r#"start = [{ workflow = "ap-invoice", kinds = "pdf" }, "ap-order"]
        inputs = { documents = "{{ group.documents }}" }"#;
    let rest = screen(start, &["a.pdf pdf 1", "x.csv csv 2", "y.docx word 3", "b.pdf pdf 4"], |_| ());
    assert_eq!(told(&rest), ["ap-invoice   [a.pdf b.pdf]", "ap-order   [x.csv y.docx]"]);
    assert_eq!(told(&screen(start, &["a.pdf pdf 1"], |_| ())), ["ap-invoice   [a.pdf]"]);
    assert_eq!(told(&screen(start, &[], |_| ())), ["ap-order   []"]);
}

#[test]
fn an_input_that_one_run_lacks_starts_none() {
    let start = r#"start = [
        { workflow = "ap-invoice", kinds = "pdf", inputs = { documents = "{{ group.documents }}" } },
        { workflow = "ap-order", kinds = "csv", inputs = { documents = "{{ group.documents }}", x = "{{ spf.y }}" } },
    ]"#;
    assert_eq!(screen(start, &["a.pdf pdf 1"], |_| ()).verdict.name(), "start");
    let failed = screen(start, &["a.pdf pdf 1", "x.csv csv 2"], |_| ());
    assert_eq!(failed.verdict.name(), "quarantine");
    assert!(failed.reason.starts_with("rule `r` could not be worked out: input x:"), "{}", failed.reason);
    assert!(failed.explanation.taken.is_empty());
}

#[test]
fn a_start_that_cannot_be_meant_is_refused_with_its_mend() {
    let check = |start: &str, expected: &str| {
        let faults = load(&rule(start)).expect_err(start);
        let told: Vec<_> = faults.iter().map(ToString::to_string).collect();
        assert!(faults.len() == 1 && told[0].contains(expected), "{start}: {told:?}");
    };
    let with = |inputs: &str| format!("start = {{ workflow = 'ap-invoice', each = 'document-group' }}\n{inputs}");
    check(&with("inputs = { documents = '{{ documents }}' }"), "{{ group.documents }}");
    check(&with("inputs = { documents = '{{ gruop.documents }}' }"), "there is no fact `gruop`");
    check(&with(""), "would know its documents");
    check("start = 'ap-invoice'\ninputs = { documents = '{{ group.documents }}' }", "there is no group");
    check("start = 'ap-invoice'\nunless = { expr = 'group.name == \"x\"' }", "there is no fact `group`");
    check("start = []", "this list is empty");
    check("start = ['ap-invoice', 'ap-ordre']", "did you mean `ap-order`?");
    check("start = ['ap-invoice', 'ap-order']", "nothing is left for `ap-order`");
    check(
        "start = [{ workflow = 'ap-invoice', kinds = ['pdf', 'xml'] }, { workflow = 'ap-order', kinds = 'xml' }]",
        "nothing is left",
    );
    check("start = { workflow = 'ap-invoice', kinds = 'xlsx' }", "there is no kind of part `xlsx`");
    check("start = { workflow = 'ap-invoice', each = 'document' }", "there is no share `document`");
    check("start = { kinds = 'pdf' }", "this names no workflow");
    check("start = 7", "this names no workflow");
    check("start = { workflow = 'ap-invoice', inputs = { x = 1 } }\ninputs = { x = 2 }", "its own inputs");
    check("quarantine = 'x'\ninputs = { x = 2 }", "`inputs` goes with `start`");
}

#[test]
fn tests_inside_expect_workflows_and_runs() {
    let test = |expected: &str| {
        let attachments = r#"["a.pdf", { name = "a.xml", twin = true }, "b.pdf", "p.xlsx"]"#;
        let test = format!("[[rule.test]]\nsubject = 's'\nattachments = {attachments}\n{expected}");
        load(&format!("{}{test}", rule(DIVIDED))).map(|_| ()).map_err(|faults| faults[0].to_string())
    };
    assert_eq!(test("workflow = ['ap-order', 'ap-invoice']\nruns = 3"), Ok(()));
    let wrong = test("workflow = 'ap-invoice'").unwrap_err();
    assert!(wrong.contains("expected workflow `ap-invoice`, but"), "{wrong}");
    let wrong = test("runs = 4").unwrap_err();
    assert!(wrong.contains("expected 4 runs, got 3"), "{wrong}");
}
