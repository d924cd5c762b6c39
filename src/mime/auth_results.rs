//! Authentication-Results (RFC 8601): what the receiving server says about the sender. Read by the grammar, and only from
//! servers that the configuration names; everything else in such a field is the sender's own claim.

use std::collections::HashSet;

use crate::domain::message::{AuthResult, Authentication};

use super::fields::{Field, clean_line};

/// Longest field that is read.
const FIELD_CHARS: usize = 16 << 10;

/// What the topmost field of a believed server says.
///
/// A server may write one field per method; the fields that directly follow with the same authserv-id are read too, as long
/// as none speaks of a method that was spoken of: a field forged by the sender can stand there, where a server adds only one.
pub fn read(fields: &[Field], authserv_ids: &[String]) -> Authentication {
    let believed = |field: &Field| -> Option<(String, Vec<Statement>)> {
        let (id, statements) = (field.name == "authentication-results").then(|| parse(&field.value))??;
        authserv_ids.iter().any(|known| known.trim().eq_ignore_ascii_case(&id)).then_some((id, statements))
    };
    let mut found = Authentication::default();
    let mut spoken: HashSet<String> = HashSet::new();
    let mut evidence: Vec<String> = vec![];
    for field in fields {
        match believed(field) {
            Some((id, statements)) => {
                let same = found.authserv_id.as_deref().is_none_or(|first| first.eq_ignore_ascii_case(&id));
                if !same || statements.iter().any(|statement| spoken.contains(&statement.method)) {
                    break;
                }
                let says_nothing = statements.is_empty();
                found.authserv_id = Some(id);
                spoken.extend(statements.iter().map(|statement| statement.method.clone()));
                statements.into_iter().for_each(|statement| take(&mut found, statement));
                evidence.push(clean_line(&field.value));
                if says_nothing {
                    // `none` speaks of every method.
                    break;
                }
            }
            None if found.authserv_id.is_some() => break,
            None => {}
        }
    }
    found.evidence = (!evidence.is_empty()).then(|| evidence.join("\n"));
    found
}

/// One `resinfo` (RFC 8601, 2.2).
struct Statement {
    method: String,
    result: AuthResult,
    /// `ptype.property` and value.
    properties: Vec<(String, String)>,
}

impl Statement {
    fn property(&self, name: &str) -> Option<String> {
        self.properties.iter().find(|(known, _)| known == name).map(|(_, value)| value.to_lowercase())
    }
}

/// The first statement on a method stands.
fn take(found: &mut Authentication, statement: Statement) {
    match statement.method.as_str() {
        "dmarc" if found.dmarc.is_none() => {
            found.dmarc_from = statement.property("header.from");
            found.dmarc = Some(statement.result);
        }
        "spf" if found.spf.is_none() => {
            found.spf_mailfrom = statement.property("smtp.mailfrom");
            found.spf = Some(statement.result);
        }
        "dkim" => {
            let domain = statement.property("header.d").or_else(|| {
                let identity = statement.property("header.i")?;
                Some(identity.rsplit('@').next().unwrap_or_default().to_owned())
            });
            found.dkim.push((statement.result, domain.unwrap_or_default()));
        }
        "auth" if statement.result == AuthResult::Pass && found.submitted_by.is_none() => {
            found.submitted_by = statement.property("smtp.auth");
        }
        _ => {}
    }
}

/// Authserv-id and statements; None for anything that the grammar does not allow.
fn parse(value: &str) -> Option<(String, Vec<Statement>)> {
    if value.len() > FIELD_CHARS {
        return None;
    }
    // Control characters are no part of the grammar, and a database refuses NUL.
    let tokens = tokens(&clean_line(value))?;
    let mut sections = tokens.split(|token| *token == Token::Semicolon);
    let id = match sections.next()? {
        [Token::Word(id)] => id,
        [Token::Word(id), Token::Word(version)] if version == "1" => id,
        _ => return None,
    };
    // A statement that is unreadable says nothing; it does not unsay the others.
    Some((id.clone(), sections.filter_map(statement).collect()))
}

fn statement(tokens: &[Token]) -> Option<Statement> {
    let mut pairs = vec![];
    let mut key = String::new();
    let mut tokens = tokens.iter();
    while let Some(token) = tokens.next() {
        match token {
            Token::Word(word) => key.push_str(&word.to_lowercase()),
            Token::Equals => match tokens.next()? {
                Token::Word(value) => pairs.push((std::mem::take(&mut key), value.clone())),
                _ => return None,
            },
            Token::Semicolon => return None,
        }
    }
    let mut pairs = pairs.into_iter();
    let (method, result) = pairs.next()?;
    let (method, version) = method.split_once('/').unwrap_or((&method, "1"));
    let result = match result.to_lowercase().as_str() {
        "hardfail" => AuthResult::Fail,
        word => word.parse().ok()?,
    };
    let known = version == "1" && !method.is_empty();
    known.then(|| Statement { method: method.to_owned(), result, properties: pairs.collect() })
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Equals,
    Semicolon,
}

/// Words, `=` and `;`; comments are blanks; a quoted string is part of the word it touches. None when a quote or comment is
/// never closed.
fn tokens(value: &str) -> Option<Vec<Token>> {
    let mut tokens = vec![];
    let mut word: Option<String> = None;
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => word.get_or_insert_default().push_str(&quoted(&mut chars)?),
            '(' => {
                tokens.extend(word.take().map(Token::Word));
                skip_comment(&mut chars)?;
            }
            ')' => return None,
            '=' | ';' => {
                tokens.extend(word.take().map(Token::Word));
                tokens.push(if c == '=' { Token::Equals } else { Token::Semicolon });
            }
            c if c.is_whitespace() => tokens.extend(word.take().map(Token::Word)),
            c => word.get_or_insert_default().push(c),
        }
    }
    tokens.extend(word.map(Token::Word));
    Some(tokens)
}

fn quoted(chars: &mut std::str::Chars<'_>) -> Option<String> {
    let mut out = String::new();
    loop {
        match chars.next()? {
            '"' => return Some(out),
            '\\' => out.push(chars.next()?),
            c => out.push(c),
        }
    }
}

fn skip_comment(chars: &mut std::str::Chars<'_>) -> Option<()> {
    let mut depth = 1;
    while depth > 0 {
        match chars.next()? {
            '(' => depth += 1,
            ')' => depth -= 1,
            '\\' => {
                chars.next()?;
            }
            _ => {}
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use AuthResult::{Fail, None as NoResult, Pass, SoftFail};

    fn read_from(header: &str) -> Authentication {
        let entity = super::super::fields::Entity::split(header.as_bytes());
        read(&entity.fields, &["mx.acme.example".to_owned()])
    }

    /// Shown as `dmarc from spf dkim`.
    fn check(
        header: &str,
        dmarc: Option<AuthResult>,
        spf: Option<AuthResult>,
        dkim: &[(AuthResult, &str)],
    ) -> Authentication {
        let found = read_from(header);
        let dkim: Vec<_> = dkim.iter().map(|(r, d)| (*r, (*d).to_owned())).collect();
        assert_eq!((found.dmarc, found.spf, &found.dkim), (dmarc, spf, &dkim), "{header}");
        found
    }

    #[test]
    fn the_grammar_is_read_whole() {
        let found = check(
            "Authentication-Results: MX.acme.example (by \\) us (nested)) 1 ; dmarc = pass (p=none) header . from = A.Example;\r\n \
             spf/1=softfail reason=\"a;b=c\" smtp.mailfrom=\"x y\"@a.example; dkim=pass header.d=a.example header.i=@a.example;\r\n \
             dkim=none header.i=u@b.example; arc=pass; x-new=whatever\n\n",
            Some(Pass),
            Some(SoftFail),
            &[(Pass, "a.example"), (NoResult, "b.example")],
        );
        assert_eq!(found.dmarc_from.as_deref(), Some("a.example"));
        assert_eq!(found.spf_mailfrom.as_deref(), Some("x y@a.example"));
        assert_eq!(found.authserv_id.as_deref(), Some("MX.acme.example"));
        assert!(found.evidence.is_some());
    }

    #[test]
    fn only_named_servers_are_believed() {
        for header in [
            "Authentication-Results: evil.example; dmarc=pass header.from=a.example\n\n",
            "Authentication-Results: mx.acme.example.evil.example; dmarc=pass\n\n",
            "Authentication-Results: evil.example (mx.acme.example); dmarc=pass\n\n",
            "Authentication-Results: dmarc=pass header.from=a.example\n\n",
            "ARC-Authentication-Results: i=1; mx.acme.example; dmarc=pass\n\n",
            "X-Authentication-Results: mx.acme.example; dmarc=pass\n\n",
        ] {
            assert_eq!(read_from(header), Authentication::default(), "{header}");
        }
        let found = read(&[], &[]);
        assert_eq!(found, Authentication::default());
    }

    #[test]
    fn a_forged_field_lower_down_is_never_read() {
        let forged = "Authentication-Results: mx.acme.example; dmarc=pass header.from=acme.example\n";
        let real = "Authentication-Results: mx.acme.example; dmarc=fail header.from=acme.example; spf=fail\n";
        check(&format!("{real}{forged}\n"), Some(Fail), Some(Fail), &[]);
        check(&format!("{real}Received: from x\n{forged}\n"), Some(Fail), Some(Fail), &[]);
        let none = "Authentication-Results: mx.acme.example; none\n";
        check(&format!("{none}Received: from x\n{forged}\n"), None, None, &[]);
        check(&format!("{none}Subject: x\n{forged}\n"), None, None, &[]);
        check(&format!("{none}{forged}\n"), None, None, &[]);
    }

    #[test]
    fn neighbouring_fields_of_one_server_are_joined() {
        let found = check(
            "Received: by mx.acme.example\nAuthentication-Results: mx.acme.example; dmarc=pass header.from=a.example\n\
             Authentication-Results: mx.acme.example; dkim=pass header.d=a.example; dkim=fail header.d=b.example\n\
             Authentication-Results: mx.acme.example; dkim=pass header.d=evil.example\n\n",
            Some(Pass),
            None,
            &[(Pass, "a.example"), (Fail, "b.example")],
        );
        assert_eq!(found.evidence.map(|text| text.lines().count()), Some(2));
    }

    #[test]
    fn what_a_sender_puts_into_a_value_stays_a_value() {
        check(
            "Authentication-Results: mx.acme.example; spf=fail smtp.mailfrom=\"a; dmarc=pass header.from=x\"@evil.example\n\n",
            None,
            Some(Fail),
            &[],
        );
        check(
            "Authentication-Results: mx.acme.example; spf=fail (=?utf-8?q?=29;_dmarc=3Dpass?=) smtp.mailfrom=x\n\n",
            None,
            Some(Fail),
            &[],
        );
        check("Authentication-Results: mx.acme.example; dmarc=pass (never closed\n\n", None, None, &[]);
        check("Authentication-Results: mx.acme.example; spf=fail smtp.helo=\"open; dmarc=pass\n\n", None, None, &[]);
        check(
            "Authentication-Results: mx.acme.example; dmarc=bestguesspass header.from=x; dkim/2=pass\n\n",
            None,
            None,
            &[],
        );
    }

    #[test]
    fn a_login_counts_only_when_it_passed() {
        let check =
            |text: &str| read_from(&format!("Authentication-Results: mx.acme.example; {text}\n\n")).submitted_by;
        assert_eq!(check("auth=pass (plain) smtp.auth=Olivia@acme.example").as_deref(), Some("olivia@acme.example"));
        assert_eq!(check("auth=fail smtp.auth=olivia@acme.example"), None);
    }
}
