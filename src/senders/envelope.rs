//! The SMTP envelope as our own receiving host wrote it down: client address, HELO, MAIL FROM. Pure.
//!
//! Only fields that our side put there count: the topmost Received fields, each by a host that is configured as ours, and a
//! Return-Path above them. Everything lower came with the mail and may be forged.

use std::net::IpAddr;

/// Longest field that is read.
const FIELD_BYTES: usize = 4 << 10;

/// Who handed the mail to us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    pub client: IpAddr,
    pub helo: String,
    /// Empty is the null path of bounces.
    pub mail_from: String,
    /// The host of ours that it was handed to.
    pub host: String,
}

impl Envelope {
    /// The domain that SPF speaks of: that of MAIL FROM, or HELO for the null path (RFC 7208, 2.4).
    pub fn domain(&self) -> &str {
        self.mail_from.rsplit_once('@').map_or(&self.helo, |(_, domain)| domain)
    }
}

/// Reads the envelope off the header fields, topmost first.
///
/// # Errors
/// Why it is not known.
pub fn read(fields: &[(&[u8], &[u8])], received_by: &[String]) -> Result<Envelope, String> {
    if received_by.is_empty() {
        return Err("no host of ours is configured in received_by".into());
    }
    let named = |name: &'static str| move |(known, _): &&(&[u8], &[u8])| known.eq_ignore_ascii_case(name.as_bytes());
    let (client, helo, host) = border(fields.iter().filter(named("received")).map(|(_, value)| *value), received_by)?;
    let above = fields.iter().take_while(|field| !named("received")(field));
    let paths: Vec<_> = above.filter(named("return-path")).collect();
    let [(_, path)] = paths.as_slice() else {
        return Err("there is not one Return-Path above the Received fields".into());
    };
    let mail_from = return_path(&text(path)).ok_or("the Return-Path cannot be read")?;
    Ok(Envelope { client, helo, mail_from, host })
}

/// The hop by which the mail came from outside. Hops by LMTP are within our side.
fn border<'a>(
    received: impl Iterator<Item = &'a [u8]>,
    received_by: &[String],
) -> Result<(IpAddr, String, String), String> {
    for value in received {
        let hop = hop(&text(value)).ok_or("a Received field cannot be read")?;
        if !received_by.iter().any(|ours| ours.eq_ignore_ascii_case(hop.by.trim_end_matches('.'))) {
            return Err(format!("it was received by {}, which is not in received_by", hop.by));
        }
        if hop.is_lmtp {
            continue;
        }
        return match (hop.from, hop.client) {
            (Some(_), Some(client)) if client.is_loopback() => Err(format!("it was handed in on {} itself", hop.by)),
            (Some(helo), Some(client)) => Ok((client, helo, hop.by)),
            _ => Err(format!("{} does not say from where it received it", hop.by)),
        };
    }
    Err("no Received field says from where it came".into())
}

struct Hop {
    from: Option<String>,
    client: Option<IpAddr>,
    by: String,
    is_lmtp: bool,
}

/// One Received field (RFC 5321, 4.4): `from HELO (host [address]) by HOST with PROTOCOL ...`.
///
/// The address counts only in comments behind HELO, because the client chooses what HELO is.
fn hop(value: &str) -> Option<Hop> {
    let tokens = tokens(value)?;
    let mut at = tokens.iter().peekable();
    let mut addresses = vec![];
    let mut from = None;
    if at.next_if(|token| token.is_word("from")).is_some() {
        from = Some(at.next()?.word()?.to_owned());
        while let Some(Token::Comment(comment)) = at.next_if(|token| matches!(token, Token::Comment(_))) {
            addresses.extend(comment.split([' ', ',']).filter_map(address));
        }
    }
    addresses.dedup();
    at.next_if(|token| token.is_word("by"))?;
    let by = at.next()?.word()?.to_owned();
    at.find(|token| token.is_word("with"));
    let is_lmtp = at.next().and_then(Token::word).is_some_and(|with| with.to_ascii_lowercase().starts_with("lmtp"));
    let client = match addresses.as_slice() {
        [one] => Some(*one),
        _ => None,
    };
    Some(Hop { from, client, by, is_lmtp })
}

/// `[192.0.2.1]`, `[IPv6:2001:db8::1]`, or the address without brackets.
fn address(word: &str) -> Option<IpAddr> {
    let inner = word.strip_prefix('[').map_or(word, |rest| rest.split(']').next().unwrap_or(rest));
    let inner = inner.get(..5).filter(|tag| tag.eq_ignore_ascii_case("ipv6:")).map_or(inner, |_| &inner[5..]);
    inner.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

/// The address of a Return-Path; empty for `<>`.
fn return_path(value: &str) -> Option<String> {
    let path = value.trim().strip_prefix('<')?.strip_suffix('>')?.trim();
    let odd = |c: char| c.is_whitespace() || c.is_control() || "<>".contains(c);
    let is_address = path.rsplit_once('@').is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty());
    (path.is_empty() || is_address && !path.contains(odd)).then(|| path.to_owned())
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(&value[..value.len().min(FIELD_BYTES)]).replace(['\r', '\n', '\t'], " ")
}

#[derive(Debug)]
enum Token {
    Word(String),
    Comment(String),
}

impl Token {
    fn word(&self) -> Option<&str> {
        match self {
            Self::Word(word) => Some(word),
            Self::Comment(_) => None,
        }
    }

    fn is_word(&self, wanted: &str) -> bool {
        self.word().is_some_and(|word| word.eq_ignore_ascii_case(wanted))
    }
}

/// Words and comments up to the semicolon before the date. None when a comment is never closed.
fn tokens(value: &str) -> Option<Vec<Token>> {
    let mut tokens = vec![];
    let mut word = String::new();
    let end = |word: &mut String, tokens: &mut Vec<Token>| {
        if !word.is_empty() {
            tokens.push(Token::Word(std::mem::take(word)));
        }
    };
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            ';' => break,
            '(' => {
                end(&mut word, &mut tokens);
                tokens.push(Token::Comment(comment(&mut chars)?));
            }
            c if c.is_whitespace() => end(&mut word, &mut tokens),
            c => word.push(c),
        }
    }
    end(&mut word, &mut tokens);
    Some(tokens)
}

fn comment(chars: &mut std::str::Chars<'_>) -> Option<String> {
    let (mut depth, mut inner) = (1, String::new());
    loop {
        match chars.next()? {
            '(' => depth += 1,
            ')' if depth == 1 => return Some(inner),
            ')' => depth -= 1,
            '\\' => {
                chars.next()?;
            }
            c => inner.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `Name: value` lines; gives `client helo mail_from`, or why not.
    fn check(lines: &[&str], expected: Result<&str, &str>) {
        let fields: Vec<_> = lines.iter().map(|line| line.split_once(": ").unwrap()).collect();
        let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        let read = read(&fields, &["mx.acme.example".into(), "store.acme.example".into()]);
        match (read, expected) {
            (Ok(found), expected) => {
                assert_eq!(Ok(&*format!("{} {} {}", found.client, found.helo, found.mail_from)), expected, "{lines:?}");
            }
            (Err(why), Err(expected)) => assert!(why.contains(expected), "{why} for {lines:?}"),
            (Err(why), Ok(_)) => panic!("{why} for {lines:?}"),
        }
    }

    const PATH: &str = "Return-Path: <bounce@nordwind.example>";
    const POSTFIX: &str = "Received: from out.nordwind.example (out.nordwind.example [192.0.2.7])\r\n\t(using TLSv1.3 with \
        cipher X (256/256 bits))\r\n\tby mx.acme.example (Postfix) with ESMTPS id 4; Mon, 2 Mar 2026 09:00:00 +0000";
    const SEEN: Result<&str, &str> = Ok("192.0.2.7 out.nordwind.example bounce@nordwind.example");

    #[test]
    fn the_border_hop_of_our_host_is_read() {
        check(&[PATH, POSTFIX], SEEN);
        let lmtp = "Received: from mx.acme.example ([10.0.0.5]) by store.acme.example with LMTP id 5";
        check(&[PATH, "Delivered-To: ap@acme.example", lmtp, POSTFIX], SEEN);
        check(
            &[PATH, "Received: from h ([IPv6:2001:db8::1]) by MX.acme.example."],
            Ok("2001:db8::1 h bounce@nordwind.example"),
        );
        check(&["Return-Path: <>", "Received: from h (2001:db8::1) by mx.acme.example"], Ok("2001:db8::1 h "));
    }

    #[test]
    fn what_came_with_the_mail_is_not_read() {
        let foreign = "Received: from evil ([198.51.100.1]) by relay.isp.example with ESMTP";
        check(&[PATH, foreign, POSTFIX], Err("relay.isp.example, which is not"));
        check(&[POSTFIX, PATH], Err("not one Return-Path"));
        check(&[PATH, PATH, POSTFIX], Err("not one Return-Path"));
        check(&[PATH], Err("no Received field"));
        check(&[PATH, "Received: by mx.acme.example (Postfix, from userid 0)", POSTFIX], Err("does not say"));
        check(&[PATH, "Received: from x (localhost [127.0.0.1]) by mx.acme.example", POSTFIX], Err("itself"));
    }

    #[test]
    fn the_client_cannot_choose_its_address() {
        check(
            &[PATH, "Received: from [192.0.2.7] (unknown [198.51.100.1]) by mx.acme.example"],
            Ok("198.51.100.1 [192.0.2.7] bounce@nordwind.example"),
        );
        check(
            &[PATH, "Received: from x ([192.0.2.7]) (unknown [198.51.100.1]) by mx.acme.example"],
            Err("does not say"),
        );
        check(&[PATH, "Received: from [192.0.2.7] by mx.acme.example"], Err("does not say"));
        check(&[PATH, "Received: from x y ([192.0.2.7]) by mx.acme.example"], Err("cannot be read"));
        check(&[PATH, "Received: from x ([192.0.2.7] by mx.acme.example"], Err("cannot be read"));
        check(&["Return-Path: a@b", POSTFIX], Err("cannot be read"));
    }
}
