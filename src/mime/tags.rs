//! HTML cut into tags and text, without building a tree, and how mail programs mark what they quote.

/// A piece of markup.
pub enum Token<'a> {
    Text(&'a str),
    Open(Tag<'a>),
    Close(String),
    Nothing,
}

/// A start tag.
pub struct Tag<'a> {
    /// In lower case.
    pub name: String,
    attributes: &'a str,
}

impl Tag<'_> {
    /// Elements that mail programs put around what they quote or sign with.
    pub fn is_quotation(&self) -> bool {
        const CLASSES: &[&str] = &[
            "gmail_quote",
            "gmail_quote_container",
            "gmail_extra",
            "gmail_signature",
            "moz-cite-prefix",
            "moz-signature",
            "moz-forward-container",
            "yahoo_quoted",
            "protonmail_quote",
            "tutanota_quote",
            "zmail_extra",
            "wordsection_quote",
            "outlookmessageheader",
            "front-blockquote",
            "hs_reply",
        ];
        const IDS: &[&str] =
            &["isreplycontent", "ms-outlook-mobile-signature", "signature", "mail-editor-reference-message-container"];
        let id = self.id();
        self.name == "blockquote"
            || self.attribute("class").split_whitespace().any(|class| CLASSES.contains(&class))
            || IDS.contains(&id.as_str())
            || id.starts_with("yahoo_quoted")
    }

    /// Marks behind which all is quoted, as siblings.
    pub fn starts_quoted_rest(&self) -> bool {
        const IDS: &[&str] = &["appendonsend", "divrplyfwdmsg", "zwchr", "stopspelling", "olk_src_body_section"];
        IDS.contains(&self.id().as_str())
    }

    /// Elements that show no text.
    pub fn is_hidden(&self) -> bool {
        if matches!(
            self.name.as_str(),
            "script" | "style" | "title" | "head" | "template" | "noscript" | "select" | "object"
        ) {
            return true;
        }
        let style: String = self.attribute("style").chars().filter(|c| !c.is_whitespace()).collect();
        style.contains("display:none") || style.contains("mso-hide:all") || style.contains("visibility:hidden")
    }

    /// Elements without an end tag.
    pub fn is_void(&self) -> bool {
        matches!(
            self.name.as_str(),
            "br" | "hr" | "img" | "input" | "meta" | "link" | "col" | "area" | "base" | "wbr" | "embed" | "source"
        )
    }

    /// Lower case, without the `x_` that Outlook puts before the ids of mails it quotes.
    fn id(&self) -> String {
        let mut id = self.attribute("id");
        while let Some(rest) = id.strip_prefix("x_") {
            id = rest.to_owned();
        }
        id
    }

    /// Value in lower case; empty when missing.
    fn attribute(&self, wanted: &str) -> String {
        let mut rest = self.attributes;
        loop {
            rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '/');
            if rest.is_empty() {
                return String::new();
            }
            let end = rest.find(|c: char| c.is_whitespace() || c == '=').unwrap_or(rest.len());
            let name = &rest[..end];
            rest = rest[end..].trim_start();
            let mut value = "";
            if let Some(after) = rest.strip_prefix('=') {
                let after = after.trim_start();
                (value, rest) = match after.chars().next() {
                    Some(quote @ ('"' | '\'')) => after[1..].split_once(quote).unwrap_or((&after[1..], "")),
                    _ => after.split_at(after.find(char::is_whitespace).unwrap_or(after.len())),
                };
            }
            if name.eq_ignore_ascii_case(wanted) {
                return value.to_lowercase();
            }
        }
    }
}

/// The first token of `rest` and what follows it; always moves on.
pub fn next_token(rest: &str) -> (Token<'_>, &str) {
    let Some(tag) = rest.strip_prefix('<') else {
        let end = rest.find('<').unwrap_or(rest.len());
        return (Token::Text(&rest[..end]), &rest[end..]);
    };
    if let Some(comment) = tag.strip_prefix("!--") {
        return (Token::Nothing, comment.split_once("-->").map_or("", |(_, after)| after));
    }
    let first = tag.chars().next().unwrap_or(' ');
    if !first.is_ascii_alphabetic() && !matches!(first, '/' | '!' | '?') {
        return (Token::Text("<"), tag);
    }
    let end = tag_end(tag);
    let (inside, after) = (&tag[..end], tag.get(end + 1..).unwrap_or(""));
    if let Some(name) = inside.strip_prefix('/') {
        return (Token::Close(name.trim().to_lowercase()), after);
    }
    let name_end = inside.find(|c: char| c.is_whitespace() || c == '/').unwrap_or(inside.len());
    let name = inside[..name_end].to_lowercase();
    if matches!(first, '!' | '?') {
        return (Token::Nothing, after);
    }
    if matches!(name.as_str(), "script" | "style" | "title" | "textarea") {
        return (Token::Nothing, behind_raw_text(&name, after));
    }
    (Token::Open(Tag { name, attributes: &inside[name_end..] }), after)
}

/// Position of the `>` that ends a tag; the end of the input when nothing does.
fn tag_end(tag: &str) -> usize {
    let mut quote = None;
    let mut previous = b' ';
    for (at, byte) in tag.bytes().enumerate() {
        match (quote, byte) {
            (None, b'>') => return at,
            // A quote opens a value only after `=`; elsewhere it is a stray.
            (None, b'"' | b'\'') if previous == b'=' => quote = Some(byte),
            (Some(open), _) if byte == open => quote = None,
            _ => {}
        }
        if !byte.is_ascii_whitespace() {
            previous = byte;
        }
    }
    tag.len()
}

/// What follows the end tag of an element whose content is no markup; nothing when it is never closed.
fn behind_raw_text<'a>(name: &str, rest: &'a str) -> &'a str {
    let mut from = 0;
    while let Some(at) = rest[from..].find("</") {
        let close = from + at;
        let candidate = rest.as_bytes().get(close + 2..close + 2 + name.len());
        if candidate.is_some_and(|bytes| bytes.eq_ignore_ascii_case(name.as_bytes())) {
            return rest[close..].split_once('>').map_or("", |(_, after)| after);
        }
        from = close + 2;
    }
    ""
}
