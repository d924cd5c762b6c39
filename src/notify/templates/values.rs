//! How values come into a template: on one line and escaped, unless the template says `| lines`.
//!
//! Values come from mails and documents of strangers. None may add a line that reads as ours, nor markup.

use minijinja::value::ValueKind;
use minijinja::{AutoEscape, Environment, Error, Output, State, Value};

use super::super::compose::{one_line, turns_text};

pub(super) fn install(environment: &mut Environment<'static>) {
    environment.set_auto_escape_callback(|name| match name.ends_with(".html") {
        true => AutoEscape::Html,
        false => AutoEscape::None,
    });
    environment.set_formatter(write);
    environment.add_filter("lines", lines);
}

/// Writes `{{ value }}`. An unknown value is an error, and none is nothing.
fn write(output: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    if value.is_none() {
        return Ok(());
    }
    if value.is_safe() || value.kind() != ValueKind::String {
        return minijinja::escape_formatter(output, state, value);
    }
    let text = flat(value.as_str().unwrap_or_default());
    let text = if is_html(state) { escape(&text) } else { text };
    output.write_str(&text).map_err(Error::from)
}

/// One line, with a blank kept at either end: `{{ " by " if decided_by }}`.
fn flat(text: &str) -> String {
    let edge = |blank: bool| if blank { " " } else { "" };
    let inside = one_line(text);
    if inside.is_empty() {
        return edge(!text.is_empty()).to_owned();
    }
    let (start, end) = (text.starts_with(char::is_whitespace), text.ends_with(char::is_whitespace));
    format!("{}{inside}{}", edge(start), edge(end))
}

/// `{{ value | lines }}`: keeps line breaks; in text each line is indented, so that none can pass for ours.
fn lines(state: &State, value: &str) -> Value {
    let kept = value.replace("\r\n", "\n").replace('\r', "\n");
    let lines = kept.trim_matches('\n').lines().map(|line| {
        let clean: String = line
            .chars()
            .filter(|&c| !turns_text(c))
            .map(|c| if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { ' ' } else { c })
            .collect();
        clean.trim_end().to_owned()
    });
    let text = match is_html(state) {
        true => lines.map(|line| escape(&line)).collect::<Vec<_>>().join("<br>\n"),
        false => lines.map(|line| format!("  {line}").trim_end().to_owned()).collect::<Vec<_>>().join("\n"),
    };
    Value::from_safe_string(text)
}

/// Text as it is sent: no blanks at line ends, at most one blank line in a row, none at start or end.
pub(super) fn tidy(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut blank = 0;
    for line in text.lines().map(str::trim_end) {
        if line.is_empty() {
            blank += 1;
            continue;
        }
        if !out.is_empty() {
            out.push_str(if blank > 0 { "\n\n" } else { "\n" });
        }
        out.push_str(line);
        blank = 0;
    }
    out
}

fn is_html(state: &State) -> bool {
    matches!(state.auto_escape(), AutoEscape::Html)
}

/// As the engine's own, but without `/`: escaped links confuse the gateways that look into mails.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}
