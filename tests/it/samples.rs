//! The table of the mail samples, `tests/samples/mime/README.md`, against the samples that are there.

use std::path::Path;

const DIRECTORY: &str = "tests/samples/mime";

/// What is wrong between the rows of a table and the samples: rows without samples, names that fit none, samples left over.
fn complaints(table: &str, samples: &[&str]) -> Vec<String> {
    let mut left: Vec<&str> = samples.to_vec();
    let mut complaints = vec![];
    for row in table.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| ---")) {
        let row = row.trim_matches([' ', '|']);
        let (lesson, named) = row.split_once(" | ").unwrap_or((row, ""));
        if named == "samples" {
            continue;
        }
        let names: Vec<&str> = named.split('`').skip(1).step_by(2).collect();
        if names.is_empty() {
            complaints.push(format!("no sample for: {lesson}"));
        }
        for name in names {
            let fits = |sample: &&str| match name.strip_suffix('*') {
                Some(start) => sample.starts_with(start),
                None => *sample == name,
            };
            if !samples.iter().any(fits) {
                complaints.push(format!("there is no sample {name}"));
            }
            left.retain(|sample| !fits(sample));
        }
    }
    complaints.extend(left.iter().map(|sample| format!("{sample} is in no line")));
    complaints
}

#[test]
fn each_lesson_has_samples_and_each_sample_a_lesson() {
    let table = std::fs::read_to_string(Path::new(DIRECTORY).join("README.md")).unwrap();
    let names: Vec<String> = std::fs::read_dir(DIRECTORY)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "eml"))
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert!(names.len() >= 100, "only {} samples", names.len());
    let complaints = complaints(&table, &names);
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn what_is_missing_on_either_side_is_told() {
    let table = "| what | samples |\n| --- | --- |\n| a | `one` `two*` |\n| b | |\n| c | `gone` |\n";
    assert_eq!(
        complaints(table, &["one", "two-x", "three"]),
        ["no sample for: b", "there is no sample gone", "three is in no line"]
    );
}
