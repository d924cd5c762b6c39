//! HTML bodies as text: one pass over the bytes, no tree and no recursion, so that no nesting can exhaust the stack.
//! Knows where mail programs put what they quote.

use super::decode::clean;
use super::fields::cut;
use super::tags::{Token, next_token};
use mail_parser::decoders::html::add_html_token;

/// Bytes of HTML that are looked at.
const HTML_BYTES: usize = 2 << 20;
/// Deepest quotation that is marked.
const QUOTE_DEPTH: usize = 5;

/// What is done with text quoted from earlier mails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quotes {
    /// Kept, with `> ` before each line of a block quotation.
    Mark,
    /// Left out, with signatures that mail programs mark as such; a line `>` stands where they were.
    Drop,
}

/// The text a reader sees. Hidden elements, scripts and comments are left out; an element that is dropped and never closed
/// drops all that follows.
pub fn to_text(html: &str, quotes: Quotes) -> String {
    let mut writer = Writer::default();
    let mut skipped: Option<(String, usize)> = None;
    let mut rest = cut(html, HTML_BYTES);
    let mut pre = 0usize;
    while !rest.is_empty() {
        let (token, after) = next_token(rest);
        rest = after;
        if let Some((name, depth)) = &mut skipped {
            match token {
                Token::Open(tag) if tag.name == *name => *depth += 1,
                Token::Close(closed) if closed == *name => *depth -= 1,
                _ => {}
            }
            if *depth == 0 {
                skipped = None;
                writer.line();
            }
            continue;
        }
        match token {
            Token::Text(text) => writer.text(text, pre > 0),
            Token::Open(tag) if quotes == Quotes::Drop && tag.starts_quoted_rest() => break,
            Token::Open(tag)
                if !tag.is_void() && (tag.is_hidden() || (quotes == Quotes::Drop && tag.is_quotation())) =>
            {
                writer.line();
                if !tag.is_hidden() {
                    writer.out.push_str(">\n");
                }
                skipped = Some((tag.name, 1));
            }
            Token::Open(tag) => {
                pre += usize::from(tag.name == "pre");
                writer.open(&tag.name);
            }
            Token::Close(name) => {
                pre = pre.saturating_sub(usize::from(name == "pre"));
                writer.close(&name);
            }
            Token::Nothing => {}
        }
    }
    writer.line();
    clean(writer.out.trim_matches('\n'))
}

/// Content-IDs that the HTML shows (`cid:` URLs, RFC 2392), percent-decoded, without repeats.
pub fn content_ids(html: &str) -> Vec<String> {
    let html = cut(html, HTML_BYTES);
    let mut found = vec![];
    for (at, _) in html.match_indices("cid:").take(1_000) {
        let id = cut(&html[at + 4..], 500).split(['"', '\'', ')', '>', ' ', '&', '\r', '\n']).next().unwrap_or("");
        let id = id.replace("%40", "@").replace("%24", "$");
        if !id.is_empty() && !found.contains(&id) {
            found.push(id);
        }
    }
    found
}

/// Builds lines of text.
#[derive(Default)]
struct Writer {
    out: String,
    line: String,
    quoted: usize,
    space: bool,
}

impl Writer {
    fn text(&mut self, text: &str, is_preformatted: bool) {
        let text = unescape(text);
        for c in text.chars() {
            if is_preformatted && c == '\n' {
                self.line();
            } else if c.is_ascii_whitespace() && !is_preformatted {
                self.space = true;
            } else {
                if std::mem::take(&mut self.space) && !self.line.is_empty() {
                    self.line.push(' ');
                }
                self.line.push(if c == '\u{a0}' { ' ' } else { c });
            }
        }
    }

    fn open(&mut self, name: &str) {
        match name {
            "br" => self.end_line(),
            "blockquote" => {
                self.line();
                self.quoted += 1;
            }
            "td" | "th" => self.space = true,
            "li" => {
                self.line();
                self.line.push_str("- ");
            }
            _ if is_block(name) => self.line(),
            _ => {}
        }
    }

    fn close(&mut self, name: &str) {
        match name {
            "blockquote" => {
                self.line();
                self.quoted = self.quoted.saturating_sub(1);
            }
            "p" | "table" | "ul" | "ol" | "h1" | "h2" | "h3" => {
                self.line();
                self.blank();
            }
            _ if is_block(name) => self.line(),
            _ => {}
        }
    }

    /// Ends the line if there is one.
    fn line(&mut self) {
        if !self.line.trim().is_empty() {
            self.end_line();
        }
        self.line.clear();
        self.space = false;
    }

    /// Ends the line, even an empty one.
    fn end_line(&mut self) {
        if self.line.trim().is_empty() {
            self.blank();
        } else {
            for _ in 0..self.quoted.min(QUOTE_DEPTH) {
                self.out.push_str("> ");
            }
            self.out.push_str(self.line.trim_end());
            self.out.push('\n');
        }
        self.line.clear();
        self.space = false;
    }

    /// One blank line at most.
    fn blank(&mut self) {
        if !self.out.is_empty() && !self.out.ends_with("\n\n") {
            self.out.push('\n');
        }
    }
}

fn is_block(name: &str) -> bool {
    matches!(
        name,
        "p" | "div"
            | "tr"
            | "table"
            | "ul"
            | "ol"
            | "li"
            | "hr"
            | "h1"
            | "h2"
            | "h3"
            | "h4"
            | "h5"
            | "h6"
            | "pre"
            | "section"
            | "article"
            | "header"
            | "footer"
            | "address"
            | "dl"
            | "dt"
            | "dd"
            | "tbody"
            | "center"
            | "body"
            | "form"
    )
}

/// Character references; one that is not known stays as it is.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = rest.bytes().take(40).position(|byte| byte == b';');
        match end.map(|end| rest.split_at(end + 1)) {
            Some((reference, after)) => {
                add_html_token(&mut out, reference.as_bytes(), false);
                rest = after;
            }
            None => {
                out.push('&');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(html: &str, quotes: Quotes, expected: &str) {
        assert_eq!(to_text(html, quotes), expected, "{html}");
    }

    #[test]
    fn text_is_what_a_reader_sees() {
        let check = |html: &str, expected: &str| check(html, Quotes::Mark, expected);
        check(
            "<p>Hello&nbsp;<b>World</b> &amp; all</p><p>f&uuml;r &#8364;5 &unknown; a&b</p>",
            "Hello World & all\n\nfür €5 &unknown; a&b",
        );
        check("a<br>b<br/><br><br>c", "a\nb\n\nc");
        check("<style>p{}</style><script>if (a<b) x()</script><!-- no -->yes<!--[if mso]>no<![endif]-->", "yes");
        check("<div style=\"display: none\">hidden<div>x</div></div>shown", "shown");
        check("<table><tr><td>Total</td><td>5</td></tr><tr><td>b</td></tr></table>", "Total 5\nb");
        check("<ul><li>one<li>two</ul>", "- one\n- two");
        check("<blockquote>one<blockquote>two</blockquote></blockquote>mine", "> one\n> > two\nmine");
        check("1 < 2 and <3", "1 < 2 and <3");
        check("<a title=\"a > b\" href=x>link</a> <unclosed", "link");
        check("<pre>a\n  b</pre>", "a\n  b");
        check("x<script>never closed", "x");
        check("", "");
    }

    #[test]
    fn quotations_are_dropped_with_their_attribution() {
        let check = |html: &str, expected: &str| check(html, Quotes::Drop, expected);
        check(
            "<div>ok</div><div class=\"gmail_quote gmail_x\"><div>On x wrote:<div>approve</div></div></div>",
            "ok\n>",
        );
        check("<blockquote type=cite>approve<div>x</div></blockquote><p>No</p>", ">\nNo");
        check("<div>yes</div><div id=\"appendonsend\"></div><hr><div id=divRplyFwdMsg>From</div><p>approve</p>", "yes");
        check("<p>no</p><div id='x_divRplyFwdMsg'>From: x</div><div>approve", "no");
        check("<p>no<div class=gmail_quote>never closed, approve", "no\n>");
        check("<p>ok</p><div id=\"ms-outlook-mobile-signature\">Get Outlook</div>", "ok\n\n>");
    }

    #[test]
    fn content_ids_are_found() {
        assert_eq!(content_ids("<img src=\"cid:a@b\"><td background='cid:c%40d'>cid:a@b"), ["a@b", "c@d"]);
    }

    #[test]
    fn hostile_nesting_is_only_bytes() {
        let deep = "<div><b><blockquote>".repeat(20_000);
        assert_eq!(to_text(&deep, Quotes::Drop), ">");
        assert_eq!(to_text(&format!("{deep}x"), Quotes::Mark), "> > > > > x");
        to_text(&"<script></scrip".repeat(10_000), Quotes::Mark);
        to_text(&"<a b=\"".repeat(10_000), Quotes::Mark);
        assert!(content_ids(&"cid:x".repeat(100_000)).len() <= 1_000);
        to_text(&"&".repeat(100_000), Quotes::Mark);
    }
}
