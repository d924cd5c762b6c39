//! Ways to log in to IMAP: what presets fill in, and what does not fit together.

use super::*;
use crate::config::oauth::{Auth, Grant, Login};
use crate::config::sections::Imap;

const START: &str = r#"
[[mailbox]]
name = "ap"
customer = "acme"
address = "ap@acme.example"
kind = "imap"
user = "ap"
"#;
const HOST: &str = "host = \"imap.acme.example\"\n";
const CLIENT: &str = "[mailbox.oauth]\nclient_id = \"c\"\nclient_secret = \"secret:env/C\"\n";
const URL: &str = "token_url = \"https://login.acme.example/token\"\n";
const REFRESH: &str = "refresh_token = \"secret:env/R\"\n";

fn imap(lines: &str) -> Imap {
    match accept(&format!("{START}{lines}")).mailboxes.remove(0).source {
        Source::Imap(imap) => imap,
        other => panic!("{other:?}"),
    }
}

/// One complaint with these words, in this line of what follows START.
fn refuse(lines: &str, line: usize, expected: &[&str]) {
    let place = format!("prod.toml:{}:", line + 7);
    check(&format!("{START}{lines}"), &[&[place.as_str()], expected].concat());
}

#[test]
fn a_preset_fills_in_what_nobody_wrote() {
    let preset = |lines: &str| {
        let imap = imap(lines);
        let Some(Login::Token(oauth)) = imap.login() else { panic!("{imap:?}") };
        assert_eq!((imap.auth, imap.port, imap.tls), (Some(Auth::Xoauth2), None, Tls::Implicit));
        (imap.host.clone(), oauth.clone())
    };
    let (host, oauth) = preset(&format!("preset = \"gmail\"\n{CLIENT}{REFRESH}"));
    assert_eq!((host.as_str(), oauth.grant()), ("imap.gmail.com", Grant::RefreshToken));
    assert_eq!(oauth.token_url, "https://oauth2.googleapis.com/token");
    assert_eq!(oauth.scope.as_deref(), Some("https://mail.google.com/"));

    let microsoft = "preset = \"microsoft365\"\ntenant = \"acme.onmicrosoft.com\"\n";
    let (host, oauth) = preset(&format!("{microsoft}{CLIENT}"));
    assert_eq!((host.as_str(), oauth.grant()), ("outlook.office365.com", Grant::ClientCredentials));
    assert_eq!(oauth.token_url, "https://login.microsoftonline.com/acme.onmicrosoft.com/oauth2/v2.0/token");
    assert_eq!(oauth.scope.as_deref(), Some("https://outlook.office365.com/.default"));
    let (_, oauth) = preset(&format!("{microsoft}{CLIENT}{REFRESH}"));
    assert_eq!(oauth.scope.as_deref(), Some("https://outlook.office.com/IMAP.AccessAsUser.All offline_access"));

    let (host, oauth) = preset(&format!("preset = \"gmail\"\n{HOST}{CLIENT}{REFRESH}{URL}scope = \"s\"\n"));
    assert_eq!((host.as_str(), oauth.token_url.as_str()), ("imap.acme.example", "https://login.acme.example/token"));
    assert_eq!(oauth.scope.as_deref(), Some("s"), "what is written counts");
    let password = imap("preset = \"gmail\"\npassword = \"secret:env/P\"\n");
    assert!(matches!(password.login(), Some(Login::Password(_))) && password.host == "imap.gmail.com");
}

#[test]
fn every_mechanism_is_known_and_the_paths_of_tokens_start_at_the_file() {
    for auth in ["login", "plain"] {
        assert!(imap(&format!("{HOST}password = \"secret:env/P\"\nauth = \"{auth}\"\n")).login().is_some());
    }
    for auth in ["xoauth2", "oauthbearer"] {
        let toml = format!("{START}{HOST}auth = \"{auth}\"\n{CLIENT}{URL}ca_file = \"idp.pem\"\n");
        let (directory, loaded) = load_files(&[("prod.toml", &toml)]);
        let Source::Imap(imap) = loaded.unwrap().config.mailboxes.remove(0).source else { panic!() };
        assert_eq!(imap.oauth.unwrap().ca_file, Some(directory.path().join("idp.pem")));
    }
    refuse(&format!("{HOST}password = \"secret:env/P\"\nauth = \"cram-md5\"\n"), 3, &["`cram-md5` is none of: login"]);
}

#[test]
fn keys_that_do_not_fit_together_are_shown_with_their_mend() {
    let told = told_of(&[("prod.toml", &format!("{START}{HOST}auth = \"xoauth2\"\n"))]);
    insta::assert_snapshot!(told, @r#"
    error: `oauth` is missing: xoauth2 logs in with a token
     --> prod.toml:9:8
      |
    9 | auth = "xoauth2"
      |        ^^^^^^^^^
      = help: add `oauth = { client_id = …, client_secret = … }`; config/login.md tells where they come from
    "#);
    let told = told_of(&[(
        "prod.toml",
        &format!("{START}{HOST}auth = \"xoauth2\"\n{CLIENT}{URL}").replace("https://login", "http://login"),
    )]);
    insta::assert_snapshot!(told, @r#"
    error: the client's secret would cross the network unencrypted
      --> prod.toml:13:13
       |
    13 | token_url = "http://login.acme.example/token"
       |             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
       = help: begin with https:// and a host; http is for this machine only
    "#);
    let token = format!("{HOST}auth = \"xoauth2\"\n");
    let secret = "password = \"secret:env/P\"\n";
    check(&format!("{START}password = \"secret:env/P\"\n"), &["`host` is missing"]);
    refuse(&format!("{token}{secret}{CLIENT}{URL}"), 3, &["`password` is of no use with `auth = \"xoauth2\"`"]);
    refuse(&format!("{HOST}{secret}{CLIENT}{URL}"), 3, &["`oauth` is of no use without `auth`", "xoauth2"]);
    refuse(&format!("{HOST}auth = \"plain\"\n{CLIENT}{URL}"), 3, &["`oauth` is of no use with `auth = \"plain\"`"]);
    refuse(&format!("{token}{CLIENT}"), 3, &["`token_url` is missing"]);
    refuse(&format!("{token}[mailbox.oauth]\n{URL}client_id = \"c\"\n"), 3, &["`client_secret` is missing"]);
    refuse(&format!("{token}{CLIENT}{URL}grant = \"refresh-token\"\n"), 3, &["`refresh_token` is missing"]);
    refuse(&format!("{token}{CLIENT}{URL}grant = \"client-credentials\"\n{REFRESH}"), 8, &["`refresh_token` is of no"]);
    refuse(&format!("preset = \"gmail\"\n{CLIENT}"), 2, &["`refresh_token` is missing"]);
    refuse(&format!("preset = \"gmail\"\n{CLIENT}grant = \"client-credentials\"\n"), 5, &["Google gives no tokens"]);
    refuse(&format!("preset = \"microsoft365\"\n{CLIENT}"), 1, &["`tenant` is missing", "directory (tenant) ID"]);
    refuse(&format!("preset = \"microsoft365\"\ntenant = \"a/b\"\n{CLIENT}"), 2, &["`a/b` is no tenant"]);
    refuse(&format!("preset = \"microsoft365\"\ntenant = \"a\"\n{secret}"), 3, &["takes no password over IMAP"]);
    refuse(&format!("{HOST}{secret}tenant = \"a\"\n"), 3, &["without `preset = \"microsoft365\"`"]);
    refuse(&format!("preset = \"gmal\"\n{CLIENT}"), 1, &["`gmal` is none of: gmail, microsoft365", "did you mean"]);
}

#[test]
fn a_slip_inside_the_table_is_shown_where_it_is_and_a_secret_there_is_not() {
    let token = format!("{HOST}auth = \"xoauth2\"\n{CLIENT}{URL}");
    refuse(&format!("{token}scop = \"s\"\n"), 7, &["unknown key `scop`", "did you mean `scope`?"]);
    refuse(&format!("{token}zzzzzz = \"s\"\n"), 7, &["known here: grant, token_url", "scope, ca_file"]);
    refuse(&format!("{token}scope = 7\n"), 7, &["expected a string, found integer"]);
    let told = told_of(&[("prod.toml", &format!("{START}{token}").replace("secret:env/C", "hunter2"))]);
    assert!(told.contains("a secret never stands in a file") && !told.contains("hunter2"), "{told}");
}
