//! Text patterns: globs by default, `/regex/flags` in slashes. All run in time linear in the text.

use std::collections::HashMap;
use std::sync::OnceLock;

use regex::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};

/// Compiled size of one pattern, in bytes.
const PATTERN_BYTES: usize = 1 << 20;
/// Compiled size of all patterns over one field together, in bytes.
const SET_BYTES: usize = 256 << 20;
/// Cache for matching a set, in bytes.
const CACHE_BYTES: usize = 16 << 20;
/// Longest glob.
const GLOB_CHARS: usize = 500;
/// Nesting inside a regex.
const NESTING: u32 = 50;

/// One pattern. A glob must match the whole value, a regex any part of it.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    pub written: String,
    /// The regex that it stands for.
    source: String,
    /// A regex from the start. A glob when it is first needed alone, which in a bank is never: thousands load fast.
    regex: OnceLock<Option<Regex>>,
}

impl Pattern {
    /// Takes a glob (`*` any text, `?` one character, `\` takes the next literally; upper and lower case are the same)
    /// or a regex in slashes with the flags `i`, `m`, `s`, `x`.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(written: &str) -> Result<Self, String> {
        let written = written.to_owned();
        let Some(rest) = written.strip_prefix('/') else {
            if written.chars().count() > GLOB_CHARS {
                return Err(format!("the glob is longer than {GLOB_CHARS} characters"));
            }
            return Ok(Self { source: glob(&written), written, regex: OnceLock::new() });
        };
        let (inside, flags) = rest.rsplit_once('/').ok_or("the regex has no closing slash")?;
        if let Some(bad) = flags.chars().find(|flag| !"imsx".contains(*flag)) {
            return Err(format!("`{bad}` is no regex flag; there are i, m, s, x"));
        }
        let source = if flags.is_empty() { inside.to_owned() } else { format!("(?{flags}){inside}") };
        let regex = compile(&source).map_err(|error| {
            // The crate draws a picture of the pattern; its last line says what is wrong.
            let text = error.to_string();
            text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
        })?;
        Ok(Self { written, source, regex: OnceLock::from(Some(regex)) })
    }

    pub fn is_match(&self, text: &str) -> bool {
        self.regex().is_some_and(|regex| regex.is_match(text))
    }

    /// Named groups of the first match.
    pub fn captures(&self, text: &str) -> Vec<(String, String)> {
        let Some(regex) = self.regex.get().and_then(Option::as_ref).filter(|regex| regex.captures_len() > 1) else {
            return vec![];
        };
        let Some(found) = regex.captures(text) else { return vec![] };
        let names = regex.capture_names().flatten();
        names.filter_map(|name| Some((name.to_owned(), found.name(name)?.as_str().to_owned()))).collect()
    }

    /// None for a glob, which has no groups.
    pub fn capture_names(&self) -> impl Iterator<Item = &str> {
        self.regex.get().into_iter().flatten().flat_map(|regex| regex.capture_names().flatten())
    }

    /// Always there: a glob within its length stays far below the size limit.
    fn regex(&self) -> Option<&Regex> {
        self.regex.get_or_init(|| compile(&self.source).ok()).as_ref()
    }
}

fn compile(source: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(source).size_limit(PATTERN_BYTES).nest_limit(NESTING).build()
}

fn glob(written: &str) -> String {
    let (body, open_start) = match written.trim_start_matches('*') {
        rest if rest.len() < written.len() => (rest, true),
        rest => (rest, false),
    };
    let mut regex = String::from(if open_start { "(?is)" } else { r"(?is)\A" });
    let mut open_end = body.is_empty() && open_start;
    let mut chars = body.chars();
    while let Some(c) = chars.next() {
        open_end = false;
        match c {
            '*' => {
                if chars.as_str().trim_start_matches('*').is_empty() {
                    open_end = true;
                    break;
                }
                regex.push_str(".*");
            }
            '?' => regex.push('.'),
            '\\' => regex.push_str(&regex::escape(&chars.next().unwrap_or('\\').to_string())),
            other => regex.push_str(&regex::escape(other.encode_utf8(&mut [0; 4]))),
        }
    }
    if !open_end {
        regex.push_str(r"\z");
    }
    regex
}

/// Every pattern over one field, matched in one pass however many rules there are.
#[derive(Debug, Default)]
pub(super) struct PatternBank {
    patterns: Vec<Pattern>,
    /// Numbers by what is written.
    known: HashMap<String, usize>,
    /// Built at the first use; none when the set would grow too large, then each pattern runs by itself.
    set: OnceLock<Option<RegexSet>>,
}

impl PatternBank {
    /// Adds a pattern and gives its number.
    pub fn add(&mut self, pattern: Pattern) -> usize {
        self.set = OnceLock::new();
        if let Some(at) = self.known.get(&pattern.written) {
            return *at;
        }
        self.known.insert(pattern.written.clone(), self.patterns.len());
        self.patterns.push(pattern);
        self.patterns.len() - 1
    }

    pub fn get(&self, number: usize) -> Option<&Pattern> {
        self.patterns.get(number)
    }

    /// Whether any pattern matches.
    pub fn is_match(&self, value: &str) -> bool {
        if self.patterns.is_empty() {
            return false;
        }
        self.set().map_or_else(|| self.patterns.iter().any(|one| one.is_match(value)), |set| set.is_match(value))
    }

    /// Which patterns match which of the values.
    pub fn matches(&self, values: &[&str]) -> Matches {
        let of = |value: &&str| match self.set() {
            Some(set) => set.matches(value).into_iter().collect(),
            None => (0..self.patterns.len()).filter(|number| self.patterns[*number].is_match(value)).collect(),
        };
        Matches(if self.patterns.is_empty() { vec![] } else { values.iter().map(of).collect() })
    }

    /// Compiles the set now rather than at the first message.
    pub fn prepare(&self) {
        self.set();
    }

    /// Whether all are matched in one pass.
    #[cfg(test)]
    pub fn is_one_set(&self) -> bool {
        self.set().is_some()
    }

    fn set(&self) -> Option<&RegexSet> {
        let build = || {
            RegexSetBuilder::new(self.patterns.iter().map(|pattern| pattern.source.as_str()))
                .size_limit(SET_BYTES)
                .dfa_size_limit(CACHE_BYTES)
                .nest_limit(NESTING)
                .build()
                .ok()
        };
        self.set.get_or_init(build).as_ref()
    }
}

/// Numbers of the patterns that match, in order, by value.
#[derive(Debug, Clone, Default)]
pub(super) struct Matches(Vec<Vec<usize>>);

impl Matches {
    /// Whether a pattern matches the value at this place.
    pub fn is_match(&self, value: usize, number: usize) -> bool {
        self.0.get(value).is_some_and(|numbers| numbers.binary_search(&number).is_ok())
    }

    /// Every number, once for each value that it matches.
    pub fn numbers(&self) -> impl Iterator<Item = usize> {
        self.0.iter().flatten().copied()
    }

    /// The place of the first value that a pattern matches.
    pub fn first(&self, number: usize) -> Option<usize> {
        (0..self.0.len()).find(|value| self.is_match(*value, number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_whole_values_and_regexes_any_part() {
        let check = |pattern: &str, value: &str, expected: bool| {
            let pattern = Pattern::parse(pattern).unwrap();
            let mut bank = PatternBank::default();
            let number = bank.add(pattern.clone());
            assert_eq!(pattern.is_match(value), expected, "{} on {value}", pattern.written);
            assert_eq!(bank.matches(&[value]).first(number).is_some(), expected, "{} in a set", pattern.written);
        };
        check("*@nordwind.example", "Billing@NordWind.example", true);
        check("*@nordwind.example", "billing@nordwind.example.evil", false);
        check("invoice", "invoice 4711", false);
        check("*invoice*", "Your\nINVOICE 4711", true);
        check("inv?ice*", "invoice", true);
        check("a*b*c", "axxbxxc", true);
        check("a*b*c", "axxbxx", false);
        check("*", "", true);
        check("**", "anything", true);
        check("", "x", false);
        check(r"100\*", "100*", true);
        check(r"100\*", "1000", false);
        check("a.b", "axb", false);
        check("*ärzte*", "DIE ÄRZTE GMBH", true);
        check(r"/inv-\d+/i", "re: INV-12", true);
        check(r"/inv-\d+/", "re: INV-12", false);
        check("/a/b/", "x a/b y", true);
    }

    #[test]
    fn a_pattern_that_cannot_be_compiled_says_why() {
        let check = |pattern: &str, expected: &str| {
            let why = Pattern::parse(pattern).unwrap_err();
            assert!(why.contains(expected), "{pattern}: {why}");
        };
        check("/inv", "no closing slash");
        check(&"?".repeat(GLOB_CHARS + 1), "longer than 500");
        check("/inv/g", "`g` is no regex flag");
        check("/(inv/", "unclosed group");
        check(r"/\w{500}{500}/", "size");
        check(&format!("/{}a{}/", "(".repeat(100), ")".repeat(100)), "nested");
    }

    #[test]
    fn the_longest_glob_still_compiles() {
        for part in ["?", "*x", "Ä", "\u{1F4A9}", "k"] {
            let glob: String = part.repeat(GLOB_CHARS).chars().take(GLOB_CHARS).collect();
            assert!(Pattern::parse(&glob).unwrap().regex().is_some(), "{part}");
        }
    }

    #[test]
    fn named_groups_are_captured() {
        let pattern = Pattern::parse(r"/invoice (?P<number>\d+)(?: of (?P<year>\d{4}))?/i").unwrap();
        assert_eq!(pattern.captures("Invoice 4711 paid"), [("number".into(), "4711".into())]);
        assert_eq!(pattern.capture_names().collect::<Vec<_>>(), ["number", "year"]);
    }
}
