//! Logging in over a connection that is there: LOGIN (RFC 9051, 6.2.3) and SASL PLAIN (RFC 4616), XOAUTH2, OAUTHBEARER
//! (RFC 7628). Where passwords and tokens come from is `access`'s matter.

use std::time::Duration;

use async_imap::error::Error;
use async_imap::{Authenticator, Client, Session};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use imap_proto::{Capability, RequestId, Response, Status};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::MailboxError;
use super::guard::Guard;
use super::wire::{TIDY_CHARS, error_words, protocol, tidy, words};
use crate::config::oauth::Auth;
use crate::config::sections::Imap;

/// Logs in with a password or a token, whichever `at.auth` takes. `server` is `host:port`.
///
/// # Errors
/// `LoginRefused` only when the server said no; then its own words, never ours.
pub(super) async fn login(
    client: Client<Guard>,
    at: &Imap,
    secret: &SecretString,
    server: &str,
    limit: Duration,
) -> Result<Session<Guard>, MailboxError> {
    let what = format!("login to {server}");
    match timeout(limit, attempt(client, at, secret, server, &what)).await {
        Err(_) => Err(MailboxError::Timeout { what, secs: limit.as_secs() }),
        Ok(done) => done,
    }
}

async fn attempt(
    mut client: Client<Guard>,
    at: &Imap,
    secret: &SecretString,
    server: &str,
    what: &str,
) -> Result<Session<Guard>, MailboxError> {
    // An explicit LOGIN is tried without a question.
    let auth = match at.auth {
        Some(Auth::Login) => Auth::Login,
        wanted => {
            let offered = offered(&mut client).await.map_err(|error| unreachable(server, &error))?;
            let is_ascii = at.user.is_ascii() && secret.expose_secret().is_ascii();
            choose(wanted, &offered, is_ascii).map_err(|why| protocol(what, why))?
        }
    };
    let port = server.rsplit(':').next().unwrap_or_default();
    let Some(sasl) = first_answer(auth, at, port, secret.expose_secret()) else {
        return Err(protocol(what, "the user name or the password holds a NUL, which SASL cannot carry"));
    };
    let mut sasl = Sasl { auth, answer: sasl, is_sent: false, challenge: None };
    let done = match auth {
        Auth::Login => client.login(&at.user, secret.expose_secret()).await,
        auth => client.authenticate(name_of(auth), &mut sasl).await,
    };
    done.map_err(|(error, _)| match error {
        Error::Io(_) | Error::ConnectionLost => unreachable(server, &error),
        error => {
            let encoded = SecretString::from(BASE64_STANDARD.encode(&sasl.answer));
            // Each for itself, since a cut is found at the end.
            let clean = |text: &str| without_cut(text, &[secret, &encoded]);
            let (said, told) = (clean(&error_words(&error)), sasl.challenge.as_deref().and_then(challenge_words));
            let why = told.map(|told| format!("{said} ({})", clean(&told))).unwrap_or(said);
            MailboxError::LoginRefused { user: at.user.clone(), why }
        }
    })
}

/// Takes secrets out of a text, since some servers echo what they dislike.
pub(super) fn without(text: &str, secrets: &[&SecretString]) -> String {
    let secrets = secrets.iter().map(|secret| secret.expose_secret()).filter(|secret| !secret.is_empty());
    secrets.fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
}

/// The same for a text that `tidy` may have cut off in the middle of a secret.
fn without_cut(text: &str, secrets: &[&SecretString]) -> String {
    let mut text = without(text, secrets);
    // Blanks at the cut are gone as well.
    let is_cut = text.chars().count() + 20 > TIDY_CHARS;
    for secret in secrets.iter().map(|secret| secret.expose_secret()).filter(|_| is_cut) {
        let mut begins = (1..secret.len()).rev().filter_map(|length| secret.get(..length));
        if let Some(begin) = begins.find(|begin| text.ends_with(begin)) {
            text.truncate(text.len() - begin.len());
            text.push_str("***");
        }
    }
    text
}

fn unreachable(server: &str, error: &Error) -> MailboxError {
    MailboxError::Unreachable { server: server.to_owned(), why: error_words(error) }
}

/// What the server can do, as atoms in capitals. Asked anew after TLS: what was told before may be an attacker's.
async fn offered(client: &mut Client<Guard>) -> Result<Vec<String>, Error> {
    let id = RequestId("C1".to_owned());
    // async-imap shows what comes before a command's end to nobody unless logged in; written past it, its reader does.
    client.get_mut().write_all(b"C1 CAPABILITY\r\n").await?;
    client.get_mut().flush().await?;
    let mut offered = Vec::new();
    loop {
        let answer = client.read_response().await?.ok_or(Error::ConnectionLost)?;
        match answer.parsed() {
            Response::Capabilities(list) => offered.extend(list.iter().map(|one| match one {
                Capability::Imap4rev1 => "IMAP4REV1".to_owned(),
                Capability::Auth(name) => format!("AUTH={}", name.to_uppercase()),
                Capability::Atom(name) => name.to_uppercase(),
            })),
            Response::Done { tag, status: Status::Ok, .. } if *tag == id => return Ok(offered),
            Response::Done { outcome, .. } => return Err(Error::Bad(words(outcome))),
            Response::Data { status: Status::Bye, outcome } => {
                return Err(Error::Io(std::io::Error::other(words(outcome))));
            }
            _ => {}
        }
    }
}

/// The mechanism for a login; or why there is none, with what the server offers.
fn choose(wanted: Option<Auth>, offered: &[String], is_ascii: bool) -> Result<Auth, String> {
    let has = |name: &str| offered.iter().any(|one| one == name);
    let (login, plain) = (!has("LOGINDISABLED"), has("AUTH=PLAIN"));
    let auth = match wanted {
        Some(auth) => auth,
        // LOGIN is what every server has; but its strings are ASCII (RFC 3501, 4.3), and a server may forbid it.
        None if plain && (!login || !is_ascii) => Auth::Plain,
        None => Auth::Login,
    };
    let is_offered = match auth {
        Auth::Login => login,
        auth => has(&format!("AUTH={}", name_of(auth))),
    };
    if is_offered {
        return Ok(auth);
    }
    let mechanisms = offered.iter().filter_map(|one| one.strip_prefix("AUTH="));
    let names: Vec<&str> =
        login.then_some("LOGIN").into_iter().chain(mechanisms.filter(|name| *name != "LOGIN")).collect();
    let all = if names.is_empty() { "no way to log in".to_owned() } else { names.join(", ") };
    Err(format!(
        "the server does not offer {}; it offers {all}. Change `auth`, or have its owner switch it on",
        name_of(auth)
    ))
}

fn name_of(auth: Auth) -> &'static str {
    match auth {
        Auth::Login => "LOGIN",
        Auth::Plain => "PLAIN",
        Auth::Xoauth2 => "XOAUTH2",
        Auth::OauthBearer => "OAUTHBEARER",
    }
}

/// What a mechanism says first; none when it cannot carry the user or the secret.
fn first_answer(auth: Auth, at: &Imap, port: &str, secret: &str) -> Option<String> {
    let (user, host) = (&at.user, &at.host);
    match auth {
        Auth::Login => Some(String::new()),
        Auth::Plain => (!user.contains('\0') && !secret.contains('\0')).then(|| format!("\0{user}\0{secret}")),
        Auth::Xoauth2 => Some(format!("user={user}\x01auth=Bearer {secret}\x01\x01")),
        Auth::OauthBearer => {
            let user = user.replace('=', "=3D").replace(',', "=2C");
            Some(format!("n,a={user},\x01host={host}\x01port={port}\x01auth=Bearer {secret}\x01\x01"))
        }
    }
}

/// Our side of AUTHENTICATE: the answer, and then, to a challenge that tells an error, what ends the exchange.
struct Sasl {
    auth: Auth,
    answer: String,
    is_sent: bool,
    challenge: Option<Vec<u8>>,
}

impl Authenticator for &mut Sasl {
    type Response = Vec<u8>;

    fn process(&mut self, challenge: &[u8]) -> Vec<u8> {
        if !std::mem::replace(&mut self.is_sent, true) {
            return self.answer.clone().into_bytes();
        }
        self.challenge = Some(challenge.to_vec());
        match self.auth {
            // RFC 7628, 3.2.3
            Auth::OauthBearer => vec![1],
            _ => vec![],
        }
    }
}

/// `status 401, scope mail` out of the JSON that XOAUTH2 and OAUTHBEARER tell errors in (RFC 7628, 3.2.2).
fn challenge_words(challenge: &[u8]) -> Option<String> {
    let Ok(Value::Object(told)) = serde_json::from_slice(challenge) else { return None };
    let words: Vec<String> = ["status", "error", "error_description", "scope"]
        .iter()
        .filter_map(|key| match told.get(*key)? {
            Value::String(text) => Some(format!("{key} {}", tidy(text))),
            Value::Number(number) => Some(format!("{key} {number}")),
            _ => None,
        })
        .collect();
    (!words.is_empty()).then(|| words.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mechanism_is_used_only_where_it_is_offered() {
        let check = |wanted: Option<Auth>, offered: &str, is_ascii: bool, expected: Result<Auth, &str>| {
            let offered: Vec<String> = offered.split_whitespace().map(str::to_owned).collect();
            match (choose(wanted, &offered, is_ascii), expected) {
                (Err(why), Err(words)) => assert!(why.contains(words), "{why}"),
                (got, expected) => assert_eq!(got, expected.map_err(str::to_owned), "{wanted:?} {offered:?}"),
            }
        };
        check(None, "IMAP4REV1 AUTH=PLAIN", true, Ok(Auth::Login));
        check(None, "IMAP4REV1 AUTH=PLAIN LOGINDISABLED", true, Ok(Auth::Plain));
        check(None, "IMAP4REV1 AUTH=PLAIN", false, Ok(Auth::Plain));
        check(None, "IMAP4REV1", false, Ok(Auth::Login));
        check(None, "LOGINDISABLED AUTH=XOAUTH2", true, Err("does not offer LOGIN; it offers XOAUTH2."));
        check(None, "LOGINDISABLED", true, Err("it offers no way to log in."));
        check(Some(Auth::Plain), "AUTH=LOGIN", true, Err("does not offer PLAIN; it offers LOGIN."));
        check(Some(Auth::Xoauth2), "AUTH=XOAUTH2", true, Ok(Auth::Xoauth2));
        check(Some(Auth::Xoauth2), "AUTH=PLAIN AUTH=OAUTHBEARER", true, Err("it offers LOGIN, PLAIN, OAUTHBEARER."));
    }

    #[test]
    fn each_mechanism_speaks_as_its_document_says() {
        let mut at: Imap = serde_json::from_value(serde_json::json!({"user": "a=b,c@x.example"})).unwrap();
        at.host = "imap.x.example".into();
        let check = |auth, secret: &str, expected: Option<&str>| {
            assert_eq!(first_answer(auth, &at, "993", secret).as_deref(), expected);
        };
        check(Auth::Plain, "pass word", Some("\0a=b,c@x.example\0pass word"));
        check(Auth::Plain, "pass\0word", None);
        check(Auth::Xoauth2, "t0ken", Some("user=a=b,c@x.example\x01auth=Bearer t0ken\x01\x01"));
        let bearer = "n,a=a=3Db=2Cc@x.example,\x01host=imap.x.example\x01port=993\x01auth=Bearer t0ken\x01\x01";
        check(Auth::OauthBearer, "t0ken", Some(bearer));
        for (auth, last) in [(Auth::Xoauth2, vec![]), (Auth::OauthBearer, vec![1])] {
            let mut sasl = Sasl { auth, answer: "first".into(), is_sent: false, challenge: None };
            let mut ours = &mut sasl;
            assert_eq!((ours.process(b""), ours.process(b"{\"status\":\"401\"}")), (b"first".to_vec(), last));
            assert_eq!(challenge_words(&sasl.challenge.unwrap()).as_deref(), Some("status 401"));
        }
    }

    #[test]
    fn secrets_stay_out_of_what_a_server_echoes_even_cut_off() {
        let secret = SecretString::from("abcdefgh12345678");
        let check = |text: &str, expected: &str| assert_eq!(without_cut(text, &[&secret]), expected);
        check("BAD abcdefgh12345678 is odd", "BAD *** is odd");
        check("BAD this is no cut: a", "BAD this is no cut: a");
        let long = "x".repeat(TIDY_CHARS - 6);
        for cut in ["abcdef", "abc", "a"] {
            check(&format!("{long}{cut}"), &format!("{long}***"));
        }
    }
}
