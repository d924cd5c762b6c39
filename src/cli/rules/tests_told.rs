//! The tests inside rule files, as lines and as JSON. Pure.

use serde_json::json;

use crate::reports::text;
use crate::rules::TestResult;

/// A line for each test, more for one that failed, and the sum.
pub fn lines(results: &[TestResult]) -> String {
    let mut told = String::new();
    for TestResult { name, at, failure } in results {
        let word = if failure.is_none() { "ok    " } else { "FAILED" };
        told.push_str(&format!("{word}  {}  {}\n", text::one_line(at), text::one_line(name)));
        if let Some(failure) = failure {
            let Outcome { expected, got, because } = Outcome::of(failure);
            let expected = expected.map(|words| format!("          expected  {}\n", text::one_line(words)));
            told.push_str(&expected.unwrap_or_default());
            told.push_str(&format!("          got       {}\n", text::one_line(got)));
            told.extend(because.iter().map(|why| format!("          because   {}\n", text::one_line(why))));
        }
    }
    let failed = results.iter().filter(|result| result.failure.is_some()).count();
    let tests = if results.len() == 1 { "1 test".to_owned() } else { format!("{} tests", results.len()) };
    told + &format!("{tests}: {} passed, {failed} failed\n", results.len() - failed)
}

/// One JSON array: `name`, `at`, `passed`, and of a failed one `expected`, `got` and `because`.
pub fn json(results: &[TestResult]) -> String {
    let object = |TestResult { name, at, failure }: &TestResult| match failure.as_deref().map(Outcome::of) {
        None => json!({"name": name, "at": at, "passed": true}),
        Some(Outcome { expected, got, because }) => {
            json!({"name": name, "at": at, "passed": false, "expected": expected, "got": got, "because": because})
        }
    };
    format!("{:#}\n", serde_json::Value::from_iter(results.iter().map(object)))
}

/// A failure in its parts: `expected a, but b; c; d`.
struct Outcome<'a> {
    /// None when the sample could not even be read; `got` says why.
    expected: Option<&'a str>,
    got: &'a str,
    because: Vec<&'a str>,
}

impl<'a> Outcome<'a> {
    fn of(failure: &'a str) -> Self {
        let Some((expected, rest)) = failure.strip_prefix("expected ").and_then(|rest| rest.split_once(", but "))
        else {
            return Self { expected: None, got: failure, because: vec![] };
        };
        let mut parts = rest.split("; ");
        Self { expected: Some(expected), got: parts.next().unwrap_or(rest), because: parts.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_test_tells_what_was_expected_what_came_and_why() {
        let result = |name: &str, failure: Option<&str>| TestResult {
            name: name.into(),
            at: "ap.toml:7".into(),
            failure: failure.map(str::to_owned),
        };
        let failure = "expected rule `known` to match, but no rule matched: quarantine (unknown sender); `known` was \
                       passed over for known_supplier: not a supplier; dmarc: fail";
        let results = [result("good", None), result("bad", Some(failure)), result("lost", Some("cannot read sample"))];
        let expected = "ok      ap.toml:7  good\n\
            FAILED  ap.toml:7  bad\n\
            \u{20}         expected  rule `known` to match\n\
            \u{20}         got       no rule matched: quarantine (unknown sender)\n\
            \u{20}         because   `known` was passed over for known_supplier: not a supplier\n\
            \u{20}         because   dmarc: fail\n\
            FAILED  ap.toml:7  lost\n\
            \u{20}         got       cannot read sample\n\
            3 tests: 1 passed, 2 failed\n";
        assert_eq!(lines(&results), expected);
        let told: serde_json::Value = serde_json::from_str(&json(&results)).unwrap();
        assert_eq!((&told[0]["passed"], &told[1]["passed"]), (&true.into(), &false.into()));
        assert_eq!(told[1]["because"][1], "dmarc: fail");
    }
}
