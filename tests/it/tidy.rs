//! The rules of the house that a compiler does not check: floors, file heads and sizes, where SQL may stand, what may
//! panic, no sleeping tests, a tidy top level. Each check is a function from files to complaints, fed with a bad
//! snippet as well: it must be able to fail. How the source is read is in `tidy/reader.rs`.

mod reader;

use reader::{File, words};

/// The areas of `src/` by floor, from the ground up. Imports run downwards only; siblings never import each other, but
/// config may use the words of the domain. Files directly in `src/` are the roof and may use everything.
const FLOORS: [&[&str]; 9] = [
    &["domain", "config"],
    &["store", "blob", "mime", "mailbox", "malware", "rules", "notify", "senders"],
    &["agents", "behaviour"],
    &["engine"],
    &["people", "delivery", "publish", "reports"],
    &["intake", "scenarios"],
    &["http", "cli"],
    &["app"],
    &["demo"],
];

/// A longer file has a seam.
const MAX_LINES: usize = 400;

/// What product code must not contain: outside data never panics.
const PANICS: [&str; 6] = [".unwrap()", ".expect(", "panic!(", "todo!(", "unimplemented!(", "dbg!("];

/// File and code of a line that may panic, because the program's own text is at fault then. An entry that fits nothing
/// is a complaint.
const MAY_PANIC: &[(&str, &str)] = &[("src/agents/invoice/fields.rs", "Regex::new($source).expect(")];

/// What the top level of the repository holds: see ARCHITECTURE.md; `benches`, `fuzz` and `examples` are cargo's.
const TOP_LEVEL: &str = ".ci .gitignore .rustfmt.toml ARCHITECTURE.md Cargo.lock Cargo.toml LICENSE README.md \
    benches config examples fuzz migrations rules src systemd templates tests";

fn floor(area: &str) -> Option<usize> {
    FLOORS.iter().position(|areas| areas.contains(&area))
}

fn floors(files: &[File]) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in files.iter().filter(|file| file.in_src()) {
        let from = file.area();
        if from.is_empty() {
            continue;
        }
        let Some(own) = floor(from) else {
            complaints.push(format!("{}: `{from}` stands on no floor; add it to FLOORS", file.path));
            continue;
        };
        for (line, to) in file.areas_used() {
            let allowed =
                to == from || floor(&to).is_some_and(|other| other < own) || (from, &*to) == ("config", "domain");
            if !allowed {
                complaints.push(format!("{}:{line}: `{from}` must not use `{to}`", file.path));
            }
        }
    }
    complaints
}

fn heads(files: &[File]) -> Vec<String> {
    let headless = files.iter().filter(|file| !file.source.starts_with("//!"));
    headless.map(|file| format!("{}: does not open with //! and what it owns", file.path)).collect()
}

fn sizes(files: &[File]) -> Vec<String> {
    let lines = |file: &File| file.source.lines().count();
    let long = files.iter().filter(|file| lines(file) > MAX_LINES);
    long.map(|file| format!("{}: {} lines; find the seam below {MAX_LINES}", file.path, lines(file))).collect()
}

fn sql(files: &[File]) -> Vec<String> {
    let others = files.iter().filter(|file| file.in_src() && file.area() != "store");
    others.flat_map(|file| file.lines_with(&file.code, &["sqlx::"], "SQL is for store/")).collect()
}

fn panics(files: &[File], may: &[(&str, &str)]) -> Vec<String> {
    let mut unused: Vec<_> = may.iter().collect();
    let mut complaints = Vec::new();
    for file in files.iter().filter(|file| file.in_src()) {
        for complaint in file.lines_with(&file.product, &PANICS, "may panic") {
            let entry = may.iter().find(|(path, code)| *path == file.path && complaint.contains(code));
            match entry {
                Some(entry) => unused.retain(|other| *other != entry),
                None => complaints.push(complaint),
            }
        }
    }
    complaints.extend(unused.iter().map(|(path, code)| format!("{path}: nothing fits `{code}` of MAY_PANIC")));
    complaints
}

/// `rig.rs` has the one sleep, in `wait_for`.
fn sleeps(files: &[File]) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in files {
        let found = file.lines_with(&file.tests, &["sleep("], "a test does not sleep: use wait_for or move the clock");
        complaints.extend(found.into_iter().skip(usize::from(file.path == "tests/it/rig.rs")));
    }
    complaints
}

fn top_level(entries: &[String]) -> Vec<String> {
    let strange = entries.iter().filter(|entry| !TOP_LEVEL.split(' ').any(|name| name == *entry));
    strange.map(|entry| format!("{entry}: not for the top level; see TOP_LEVEL")).collect()
}

/// The names at the top of the repository that are under version control, or all but build output without git.
fn entries() -> Vec<String> {
    let git = std::process::Command::new("git").args(["ls-files"]).output();
    let mut entries: Vec<_> = match git {
        Ok(out) if out.status.success() && !out.stdout.is_empty() => {
            let listing = String::from_utf8_lossy(&out.stdout);
            listing.lines().filter_map(|path| path.split('/').next()).map(str::to_owned).collect()
        }
        _ => {
            let all = std::fs::read_dir(".").expect("read the top level").flatten();
            let names = all.map(|entry| entry.file_name().to_string_lossy().into_owned());
            names.filter(|name| !["target", "state", ".git"].contains(&name.as_str())).collect()
        }
    };
    entries.sort();
    entries.dedup();
    entries
}

/// Runs one check over the repository.
fn check(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "{} complaints\n{}", complaints.len(), complaints.join("\n"));
}

#[test]
fn imports_run_downwards() {
    check(floors(&reader::repository()));
}

#[test]
fn files_open_with_what_they_own() {
    check(heads(&reader::repository()));
}

#[test]
fn files_are_short() {
    check(sizes(&reader::repository()));
}

#[test]
fn sql_is_in_store_only() {
    check(sql(&reader::repository()));
}

#[test]
fn product_code_does_not_panic() {
    check(panics(&reader::repository(), MAY_PANIC));
}

#[test]
fn tests_do_not_sleep() {
    check(sleeps(&reader::repository()));
}

#[test]
fn top_level_is_tidy() {
    check(top_level(&entries()));
}

/// Feeds one bad and one good file to a check: the first must be found, the second not.
fn finds(check: impl Fn(&[File]) -> Vec<String>, path: &str, bad: &str, good: &str) {
    assert_eq!(check(&[File::new(path, bad)]).len(), 1, "not found in {path}: {bad}");
    assert_eq!(check(&[File::new(path, good)]), Vec::<String>::new(), "wrongly found in {path}: {good}");
}

#[test]
fn floors_are_checked() {
    finds(floors, "src/mime/mod.rs", "use crate::engine::plan;", "use crate::domain::ids;\nuse crate::mime::tnef;");
    finds(floors, "src/rules/a.rs", "use crate::{domain::ids, mime};", "use crate::{domain::{engine, ids}, config};");
    finds(floors, "src/people/a.rs", "fn f() { crate::delivery::send() }", "fn f() { other_crate::delivery::send() }");
    finds(floors, "src/domain/a.rs", "use super::super::config;", "use super::ids;\nmod t { use super::super::ids; }");
    finds(floors, "src/domain/mod.rs", "use super::store::Db;", "mod t { mod u { use super::super::store::Db; } }");
    finds(floors, "src/domain/a.rs", "pub(in crate::store) fn f() {}", "pub(crate) fn f() {} // crate::store");
    finds(floors, "src/domain/a.rs", "use crate::config;", "const A: &str = \"crate::store\"; crate::on_db!(x);");
    finds(
        floors,
        "src/domain/a.rs",
        "use crate::app::App;",
        "const B: &str = r#\"\" crate::store\"#; const C: char = '\"';",
    );
    finds(floors, "src/http/a.rs", "use crate::cli::Command;", "use crate::{engine, intake, people};");
    assert_eq!(floors(&[File::new("src/nowhere/a.rs", "")]).len(), 1);
}

#[test]
fn other_rules_are_checked() {
    finds(heads, "src/a.rs", "use std::fs;", "//! Owns a.");
    finds(sizes, "tests/it/a.rs", &"\n".repeat(MAX_LINES + 1), &"\n".repeat(MAX_LINES));
    finds(sql, "src/engine/a.rs", "use sqlx::PgPool;", "// sqlx::PgPool is for store");
    finds(
        |files| panics(files, &[]),
        "src/a.rs",
        "fn f() { a.unwrap() }",
        "#[cfg(test)]\nmod t { fn f() { a.unwrap() } }",
    );
    finds(
        |files| panics(files, &[]),
        "src/a.rs",
        "#[cfg(test)]\nuse a; fn f() { todo!() }",
        "fn f() { a.unwrap_or(1) }",
    );
    const DECLARES: &str = "mod plan;\n#[cfg(test)]\nmod t;\n#[cfg(test)]\n#[path = \"v.rs\"]\nmod tests;";
    let mut files = ["src/a/mod.rs", "src/a/t.rs", "src/a/t/u.rs", "src/a/v.rs", "src/a/plan.rs"]
        .map(|path| File::new(path, if path == "src/a/mod.rs" { DECLARES } else { "fn f() { a.unwrap() }" }));
    reader::mark_test_files(&mut files);
    assert_eq!(panics(&files, &[]), ["src/a/plan.rs:1: may panic: fn f() { a.unwrap() }"]);
    let may = [("src/a.rs", "lock().expect(")];
    finds(|files| panics(files, &may), "src/a.rs", "fn f() {}", "fn f() { lock().expect(\"ours\") }");
    finds(sleeps, "tests/it/a.rs", "tokio::time::sleep(a).await;", "clock.sleep_until(a).await; // sleep(");
    finds(sleeps, "src/a.rs", "#[cfg(test)] mod t { fn f() { sleep(a) } }", "fn f() { sleep(a) }");
    finds(sleeps, "tests/it/rig.rs", "sleep(a);\nsleep(b);", "sleep(a);");
    assert_eq!(top_level(&["src".into(), "notes.txt".into()]).len(), 1);
    assert_eq!(words("a_b::c(d)").collect::<Vec<_>>(), ["a_b", "c", "d"]);
}
