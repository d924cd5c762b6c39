//! Reads Rust source as far as the tidy checks need it: without comments and literals, product apart from tests, and
//! which areas of the crate a file names. No parser: what rustfmt and rustc accept is assumed.

use std::path::Path;

/// One source file in its versions. All have the same length and the same lines; what is left out is blank.
pub struct File {
    /// From the top of the repository: `src/domain/ids.rs`.
    pub path: String,
    pub source: String,
    /// Without comments and the insides of literals.
    pub code: String,
    /// The code without what is for tests only.
    pub product: String,
    /// The code for tests only.
    pub tests: String,
}

/// Every Rust file below `src/` and `tests/`.
pub fn repository() -> Vec<File> {
    let mut files = Vec::new();
    for root in ["src", "tests"] {
        collect(Path::new(root), &mut files);
    }
    assert!(files.len() > 10, "the source was not found");
    mark_test_files(&mut files);
    files
}

/// A file that another declares by `#[cfg(test)] mod name;` is for tests as a whole.
pub fn mark_test_files(files: &mut [File]) {
    let modules: Vec<String> = files.iter().filter(|file| file.in_src()).flat_map(File::test_modules).collect();
    for file in files {
        let within = |module: &String| file.module() == module || file.module().starts_with(&format!("{module}/"));
        if modules.iter().any(within) {
            (file.product, file.tests) = (blank(&file.code), file.code.clone());
        }
    }
}

fn collect(directory: &Path, files: &mut Vec<File>) {
    for entry in std::fs::read_dir(directory).expect("read a directory of sources").flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = std::fs::read_to_string(&path).expect("read a source file");
            files.push(File::new(&path.to_string_lossy(), &source));
        }
    }
}

impl File {
    pub fn new(path: &str, source: &str) -> Self {
        let code = blank_literals(source);
        let (product, tests) = if path.starts_with("src/") { split_tests(&code) } else { (blank(&code), code.clone()) };
        Self { path: path.to_owned(), source: source.to_owned(), code, product, tests }
    }

    pub fn in_src(&self) -> bool {
        self.path.starts_with("src/")
    }

    /// `domain` for everything in `src/domain/`; empty for the files directly in `src/`.
    pub fn area(&self) -> &str {
        self.path.strip_prefix("src/").and_then(|rest| rest.split_once('/')).map_or("", |(area, _)| area)
    }

    /// A complaint for every line of `text`, a version of this file, with one of the `needles`, at the start of a word.
    pub fn lines_with(&self, text: &str, needles: &[&str], complaint: &str) -> Vec<String> {
        let hit = |line: &str, needle: &str| {
            let starts_word = |at: usize| !line[..at].ends_with(is_word) || !needle.starts_with(is_word);
            line.match_indices(needle).any(|(at, _)| starts_word(at))
        };
        let lines = text.lines().enumerate().filter(|(_, line)| needles.iter().any(|needle| hit(line, needle)));
        lines.map(|(index, line)| format!("{}:{}: {complaint}: {}", self.path, index + 1, line.trim())).collect()
    }

    /// Line and name of every area that is named by a path from `crate::` or from as many `super::` as lead to the root.
    pub fn areas_used(&self) -> Vec<(usize, String)> {
        let mut used = Vec::new();
        for (at, _) in self.code.match_indices("crate::") {
            if !self.code[..at].ends_with(is_word) {
                self.name_areas(at, at + "crate::".len(), &mut used);
            }
        }
        let mut end = 0;
        for (at, _) in self.code.match_indices("super::") {
            if at < end || self.code[..at].ends_with(is_word) {
                continue;
            }
            let ups = self.code[at..].split("super::").skip(1).take_while(|gap| gap.is_empty()).count() + 1;
            end = at + ups * "super::".len();
            if ups == self.depth() + inline_modules(&self.code[..at]) {
                self.name_areas(at, end, &mut used);
            }
        }
        used
    }

    /// The path without its end: `src/domain` for `src/domain/mod.rs` as for `src/domain.rs`.
    fn module(&self) -> &str {
        let stem = self.path.strip_suffix(".rs").unwrap_or(&self.path);
        ["/mod", "/lib", "/main"].iter().find_map(|end| stem.strip_suffix(end)).unwrap_or(stem)
    }

    /// The modules in files of their own that this one declares for tests only, by `mod name;` or with a `#[path]`.
    fn test_modules(&self) -> Vec<String> {
        let (mut start, mut modules) = (0, Vec::new());
        for item in self.tests.split(';') {
            let source = &self.source[start..start + item.len()];
            start += item.len() + 1;
            let Some((_, name)) = item.rsplit_once("mod ").filter(|(_, name)| name.chars().all(is_word)) else {
                continue;
            };
            let directory = self.path.rsplit_once('/').map_or("", |(directory, _)| directory);
            modules.push(match source.rsplit_once("#[path = \"").and_then(|(_, path)| path.split_once(".rs\"]")) {
                Some((path, _)) => format!("{directory}/{path}"),
                None => format!("{}/{name}", self.module()),
            });
        }
        modules
    }

    /// How many modules the file lies below the root of the crate.
    fn depth(&self) -> usize {
        let directories = self.path.matches('/').count() - 1;
        if self.path.ends_with("/mod.rs") { directories } else { directories + 1 }
    }

    /// The first names of the path, or of the group of paths, that starts at `rest`. Macros belong to no area.
    fn name_areas(&self, at: usize, rest: usize, used: &mut Vec<(usize, String)>) {
        let line = self.code[..at].matches('\n').count() + 1;
        let rest = &self.code[rest..];
        let group = rest.strip_prefix('{').map(top_of_group);
        for path in group.unwrap_or_else(|| vec![rest]) {
            let name = words(path).next().unwrap_or_default();
            if !path.trim_start()[name.len()..].starts_with('!') && name != "self" {
                used.push((line, name.to_owned()));
            }
        }
    }
}

/// The identifiers of a text.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c| !is_word(c)).filter(|word| !word.is_empty())
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The members of a `{...}` group whose opening brace is gone, with what they nest.
fn top_of_group(text: &str) -> Vec<&str> {
    let (mut depth, mut start, mut members) = (0, 0, Vec::new());
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                members.push(&text[start..at]);
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    members.retain(|member| !member.trim().is_empty());
    members
}

/// How many `mod name {` are open at the end of the text.
fn inline_modules(text: &str) -> usize {
    let mut open = Vec::new();
    for (at, c) in text.char_indices() {
        match c {
            '{' => {
                let head = text[..at].rsplit(['{', '}', ';']).next().unwrap_or_default();
                open.push(words(head).any(|word| word == "mod"));
            }
            '}' => drop(open.pop()),
            _ => {}
        }
    }
    open.into_iter().filter(|module| *module).count()
}

/// Everything but line ends as blanks, byte for byte.
fn blank(text: &str) -> String {
    text.bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }).collect()
}

/// Moves every item under `#[cfg(test)]` out of the code: product and tests.
fn split_tests(code: &str) -> (String, String) {
    const MARK: &str = "#[cfg(test)]";
    let (mut product, mut tests, mut rest) = (String::new(), String::new(), code);
    while let Some(at) = rest.find(MARK) {
        let (before, item) = rest.split_at(at);
        let mut depth = 0;
        let end = item.char_indices().skip(MARK.len()).find(|(_, c)| {
            depth += i32::from(*c == '{') - i32::from(*c == '}');
            (*c == '}' || *c == ';') && depth == 0
        });
        let (item, after) = item.split_at(end.map_or(item.len(), |(at, _)| at + 1));
        product.extend([before, &blank(item)]);
        tests.extend([&blank(before), item]);
        rest = after;
    }
    product.push_str(rest);
    tests.push_str(&blank(rest));
    (product, tests)
}

/// Blanks comments and the insides of string and character literals.
fn blank_literals(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let (skipped, quotes) = match first {
            '/' if rest.starts_with("//") => (rest.find('\n').unwrap_or(rest.len()), ""),
            '/' if rest.starts_with("/*") => (rest.find("*/").map_or(rest.len(), |at| at + 2), ""),
            '"' => (1 + escaped(&rest[1..], '"'), "\""),
            'r' if !code.ends_with(is_word) || code.ends_with('b') => (raw_string(rest), ""),
            // A lifetime has no closing quote right behind one character.
            '\'' if rest.starts_with("'\\") || rest.chars().nth(2) == Some('\'') => {
                (1 + escaped(&rest[1..], '\''), "'")
            }
            _ => (0, ""),
        };
        if skipped == 0 {
            code.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            let (literal, after) = rest.split_at(skipped);
            let inside = literal.len() - 2 * quotes.len().min(literal.len() / 2);
            code.extend([quotes, &blank(&literal[quotes.len()..quotes.len() + inside]), quotes]);
            rest = after;
        }
    }
    code
}

/// Length up to and with the first `quote` that no backslash precedes.
fn escaped(text: &str, quote: char) -> usize {
    let mut backslash = false;
    let end = text.char_indices().find(|(_, c)| {
        let ends = *c == quote && !backslash;
        backslash = *c == '\\' && !backslash;
        ends
    });
    end.map_or(text.len(), |(at, _)| at + 1)
}

/// Length of the raw string that the text starts with, or 0.
fn raw_string(text: &str) -> usize {
    let hashes = text[1..].len() - text[1..].trim_start_matches('#').len();
    let open = 1 + hashes;
    if !text[open..].starts_with('"') {
        return 0;
    }
    let close = format!("\"{}", "#".repeat(hashes));
    text[open + 1..].find(&close).map_or(text.len(), |at| open + 1 + at + close.len())
}
