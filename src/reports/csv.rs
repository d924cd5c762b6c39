//! CSV as RFC 4180 has it, and harmless in a spreadsheet.

/// Rows with a head, lines ended by CRLF (RFC 4180, 2).
pub fn csv<'a>(head: &[&str], rows: impl IntoIterator<Item = Vec<&'a str>>) -> String {
    let line = |cells: &[&str]| format!("{}\r\n", cells.iter().map(|cell| field(cell)).collect::<Vec<_>>().join(","));
    let mut text = line(head);
    for row in rows {
        text.push_str(&line(&row));
    }
    text
}

/// One field. What a spreadsheet would take for a formula gets a `'` before it.
fn field(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']);
    let safe = if formula { format!("'{text}") } else { text.to_owned() };
    if safe.contains([',', '"', '\r', '\n']) { format!("\"{}\"", safe.replace('"', "\"\"")) } else { safe }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(cell: &str, expected: &str) {
        assert_eq!(csv(&["head"], [vec![cell]]), format!("head\r\n{expected}\r\n"));
    }

    #[test]
    fn separators_quotes_and_line_ends_are_quoted() {
        check("plain", "plain");
        check("a,b", "\"a,b\"");
        check("say \"no\"", "\"say \"\"no\"\"\"");
        check("two\r\nlines", "\"two\r\nlines\"");
        check("", "");
    }

    #[test]
    fn formulas_are_text() {
        check("=1+1", "'=1+1");
        check("+49 30 1", "'+49 30 1");
        check("-2", "'-2");
        check("@SUM(A1)", "'@SUM(A1)");
        check("\t=1", "'\t=1");
        check("=HYPERLINK(\"http://x\",\"y\")", "\"'=HYPERLINK(\"\"http://x\"\",\"\"y\"\")\"");
        check("a=1", "a=1");
    }
}
