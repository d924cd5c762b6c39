//! Tests of templates: ours as they read, and those of an admin as they are refused.

use std::fs;

use serde_json::json;

use super::*;

fn embedded() -> Templates {
    Templates::load(None).unwrap_or_else(|found| panic!("{found:#?}"))
}

fn sample(name: &str) -> Map<String, Value> {
    KNOWN.iter().find(|known| known.name == name).unwrap().sample()
}

fn render(name: &str, changes: Value) -> Rendered {
    let mut data = sample(name);
    data.extend(changes.as_object().unwrap().clone());
    embedded().render(name, &data).unwrap()
}

/// Loads with one file of the admin's, and gives file name, line and complaint of each diagnostic.
fn load_with(file: &str, text: &str) -> Vec<(String, usize, String)> {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(file), text).unwrap();
    let found = Templates::load(Some(dir.path())).err().unwrap_or_default();
    let line_of =
        |found: &Diagnostic| found.span.as_ref().map_or(0, |span| found.source[..span.start].matches('\n').count() + 1);
    found
        .iter()
        .map(|found| {
            (found.file.file_name().unwrap().to_string_lossy().into_owned(), line_of(found), found.what.clone())
        })
        .collect()
}

#[test]
fn every_template_renders_with_everything_and_with_every_optional_value_missing() {
    let templates = embedded();
    for known in KNOWN {
        let full = templates.render(known.name, &known.sample()).unwrap();
        let mut bare = known.sample();
        for key in known.nothing().keys() {
            bare.remove(key);
        }
        let bare = templates.render(known.name, &bare).unwrap();
        for rendered in [full, bare] {
            let all = format!("{}\n{}\n{}", rendered.subject, rendered.text, rendered.html.clone().unwrap_or_default());
            assert!(rendered.subject.contains("AP-000123"), "{}: {}", known.name, rendered.subject);
            assert!(rendered.text.contains("Acme GmbH"), "{}", known.name);
            for slip in ["{{", "{%", "null", "undefined", " ,", "HelloO", "byJ"] {
                assert!(!all.contains(slip), "{}: {slip:?} in {all}", known.name);
            }
            assert!(!all.contains("http://") && !all.contains("src="), "{}: an external asset", known.name);
        }
    }
}

#[test]
fn the_approval_mail_reads_as_it_should() {
    let rendered = render("approval", json!({"link": "https://ap.acme.example/d/[token]", "due": "[date]"}));
    insta::assert_snapshot!("approval_text", format!("Subject: {}\n\n{}", rendered.subject, rendered.text));
    insta::assert_snapshot!("approval_html", rendered.html.unwrap());
}

#[test]
fn an_approval_says_how_to_answer_by_every_way_there_is_and_no_other() {
    let check = |link: Value, reply_works: bool, said: &[&str], unsaid: &[&str]| {
        let rendered = render("approval", json!({"link": link, "reply_works": reply_works}));
        let html = rendered.html.unwrap().replace("<strong>", "").replace("</strong>", "");
        for half in [&rendered.text, &html] {
            let flat = super::super::compose::one_line(half);
            said.iter().for_each(|word| assert!(flat.contains(word), "{word} in {flat}"));
            unsaid.iter().for_each(|word| assert!(!flat.contains(word), "{word} in {flat}"));
        }
    };
    let link = json!("https://a.example/d/1?x=1");
    check(
        link.clone(),
        true,
        &["nswer this mail with", "first line", "comment may follow", "https://a.example/d/1?x=1"],
        &["cannot"],
    );
    check(link, false, &["https://a.example/d/1?x=1"], &["nswer this mail", "cannot"]);
    check(Value::Null, true, &["Answer this mail with", "approve", "reject"], &["http", "cannot"]);
    check(Value::Null, false, &["cannot be answered", "AP-000123"], &["nswer this mail with"]);
}

#[test]
fn values_add_neither_lines_nor_markup_nor_header_fields() {
    let evil = "x\r\nBcc: eve@evil.example\n\nHOW TO ANSWER\u{2028}\u{202e}approve <b onclick=\"x\">&";
    let rendered = render(
        "approval",
        json!({"question": evil, "person": evil, "note": evil, "facts": [{"label": evil, "value": evil}]}),
    );
    assert_eq!(rendered.subject, "[AP-000123] x Bcc: eve@evil.example HOW TO ANSWER approve <b onclick=\"x\">&");
    let starts = |start: &str| rendered.text.lines().filter(|line| line.starts_with(start)).count();
    assert_eq!((starts("Bcc"), starts("HOW TO ANSWER")), (0, 1), "{}", rendered.text);
    assert!(rendered.text.contains("\n  Bcc: eve@evil.example\n\n  HOW TO ANSWER"), "a note keeps its lines, indented");
    let html = rendered.html.unwrap();
    assert!(!html.contains("<b on") && html.contains("&lt;b onclick=&quot;x&quot;&gt;&amp;"));
    assert!(html.contains("x<br>\nBcc: eve@evil.example<br>"));
}

#[test]
fn a_template_that_is_wrong_is_refused_with_its_file_and_line() {
    let check = |file: &str, text: &str, line: usize, what: &str| {
        let found = load_with(file, text);
        assert!(
            matches!(found.as_slice(), [(name, at, why), ..] if name == file && *at == line && why.contains(what)),
            "{found:?}"
        );
    };
    check("approval.txt", "Subject: x\n\nHello\n{% if person %}\n", 4, "syntax error");
    check("approval.txt", "Subject: {{ questoin }}\n\nHello\n", 1, "`questoin` is no value of this template");
    check("approval.html", "<p>supplier</p>\n{% if false %}\n{{ supplier }}{% endif %}", 3, "`supplier` is no value");
    check("approval.html", "<p>\n{% for f in facts %}{{ f.lable }}{% endfor %}", 2, "undefined value");
    check("approval.txt", "Subject: x\n\n\n{% include 'other.txt' %}", 4, "");
    check(
        "approval.txt",
        "Subject: x\n\n{% for a in range(9000) %}{% for b in range(9000) %}.{% endfor %}{% endfor %}",
        3,
        "fuel",
    );
    check("_facts.txt", "\n{{ facts.wrong }}", 2, "undefined value");
    check("notify.txt", "Hello\n\nno subject", 1, "the first line is no subject");
    check("notify.txt", "Subject: a\nno blank line", 2, "no blank line follows the subject");
    check("notify.txt", "Subject: {{ person }}\n\nx", 1, "the subject is empty");
    check("notify.txt", "", 1, "the first line is no subject");
}

#[test]
fn a_name_that_no_notice_has_and_bytes_that_are_no_text_are_refused() {
    assert_eq!(load_with("aproval.txt", "x")[0].2, "no notice uses a template of this name");
    assert!(load_with("README.md", "about these files").is_empty());
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("notify.txt"), b"Subject: \xff\n\nx").unwrap();
    assert_eq!(Templates::load(Some(dir.path())).unwrap_err()[0].what, "the template is not UTF-8 text");
    assert!(Templates::load(Some(&dir.path().join("gone"))).unwrap_err()[0].what.contains("cannot read the directory"));
}

#[test]
fn a_file_of_the_admin_stands_in_for_ours_and_the_rest_stays() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("approval.txt"), "Subject: Bitte: {{ question }}\r\n\r\nHallo {{ person }}\r\n").unwrap();
    let templates = Templates::load(Some(dir.path())).unwrap();
    let rendered = templates.render("approval", &sample("approval")).unwrap();
    assert!(rendered.subject.starts_with("Bitte: Approve invoice"));
    assert_eq!(rendered.text, "Hallo Olivia Brandt\n");
    assert!(rendered.html.unwrap().contains("Review and decide"));
}

#[test]
fn data_that_does_not_fit_names_the_template_and_the_line() {
    let templates = embedded();
    let mut data = sample("approval");
    data.remove("question");
    let error = templates.render("approval", &data).unwrap_err();
    assert_eq!((error.template.as_str(), error.line), ("approval.txt", Some(1)), "{error}");
    let mut data = sample("approval");
    data.insert("facts".into(), json!([{"label": "no value"}]));
    let error = templates.render("approval", &data).unwrap_err();
    assert_eq!((error.template.as_str(), error.line), ("_facts.txt", Some(2)), "{error}");
    assert_eq!(templates.render("fax", &data).unwrap_err().to_string(), "template fax: there is none of this name");
}
