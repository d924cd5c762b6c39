//! The properties that the fuzzer checks (`fuzz/run`), over its corpus and the samples: what it once found stays mended,
//! wherever the tests run.

#[path = "../../fuzz/mail_properties.rs"]
mod mail_properties;
#[path = "../../fuzz/rule_properties.rs"]
mod rule_properties;

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Sends every file of the directories through `property`, and names those that break it.
fn check(directories: &[&str], property: fn(&[u8])) {
    let mut broken = vec![];
    for directory in directories {
        let entries = std::fs::read_dir(directory).unwrap_or_else(|error| panic!("list {directory}: {error}"));
        let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
        files.sort();
        assert!(!files.is_empty(), "there is nothing in {directory}");
        for file in files {
            let bytes = std::fs::read(&file).unwrap();
            if catch_unwind(AssertUnwindSafe(|| property(&bytes))).is_err() {
                broken.push(file);
            }
        }
    }
    assert!(broken.is_empty(), "broken by {broken:#?}");
}

#[test]
fn no_mail_of_the_corpus_breaks_a_property() {
    check(&["fuzz/corpus/message", "tests/samples/mime"], mail_properties::hold);
}

#[test]
fn no_rule_file_of_the_corpus_breaks_a_property() {
    check(&["fuzz/corpus/rules", "rules", "rules/examples"], rule_properties::hold);
}
