//! What must hold between the keys that log in to an IMAP mailbox. `imap` comes with its preset filled in; what somebody wrote
//! is asked of `located`.

use super::Checks;
use crate::config::located::At;
use crate::config::oauth::{Auth, Grant, OAuth, Preset};
use crate::config::sections::Imap;

impl Checks<'_> {
    /// `index` is that of the mailbox in the file.
    pub(super) fn login(&mut self, index: &str, imap: &Imap) {
        let at = |key| ["mailbox", index, key];
        let unread = |key, is_none| is_none && self.located.has(&at(key));
        // What could not be read is told already, and everything else depends on it.
        if unread("preset", imap.preset.is_none()) || unread("auth", imap.auth.is_none()) {
            return;
        }
        if imap.host.is_empty() {
            self.missing(&at("host"), "host");
        }
        if imap.user.chars().any(char::is_control) {
            self.say(&at("user"), "a user name holds no control characters", "write the name that the server knows");
        }
        self.tenant(index, imap);
        match imap.auth {
            Some(auth) if auth.takes_token() => self.token(index, imap, auth),
            _ => self.password(index, imap),
        }
    }

    fn tenant(&mut self, index: &str, imap: &Imap) {
        let at = |key| ["mailbox", index, key];
        match (&imap.tenant, imap.preset) {
            (Some(tenant), Some(Preset::Microsoft365)) => {
                let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
                if tenant.is_empty() || !tenant.chars().all(is_plain) {
                    let mend = "write the directory (tenant) ID, or a domain such as acme.onmicrosoft.com";
                    self.say(&at("tenant"), format!("`{}` is no tenant", tenant.escape_debug()), mend);
                }
            }
            (Some(_), _) => {
                let what = "`tenant` is of no use without `preset = \"microsoft365\"`";
                self.say(&at("tenant"), what, "add the preset, or remove this line");
            }
            (None, Some(Preset::Microsoft365)) if !self.located.has(&["mailbox", index, "oauth", "token_url"]) => {
                self.say(&at("preset"), "`tenant` is missing", "add `tenant = …`: the directory (tenant) ID");
            }
            (None, _) => {}
        }
    }

    fn password(&mut self, index: &str, imap: &Imap) {
        let at = |key| ["mailbox", index, key];
        if imap.oauth.is_some() {
            let what = match imap.auth {
                Some(auth) => format!("`oauth` is of no use with `auth = \"{auth}\"`"),
                None => "`oauth` is of no use without `auth`".to_owned(),
            };
            self.say(&at("oauth"), what, "write `auth = \"xoauth2\"` or \"oauthbearer\", as the server offers");
        } else if imap.preset == Some(Preset::Microsoft365) {
            let key = if imap.password.is_some() { "password" } else { "auth" };
            self.say(
                &at(key),
                "Microsoft 365 takes no password over IMAP",
                "remove `auth` and `password`, and add `oauth = { client_id = …, client_secret = … }`",
            );
        } else if imap.password.is_none() {
            self.missing(&at("password"), "password");
        }
    }

    fn token(&mut self, index: &str, imap: &Imap, auth: Auth) {
        let at = |key| ["mailbox", index, key];
        if imap.password.is_some() {
            let what = format!("`password` is of no use with `auth = \"{auth}\"`, which takes a token");
            self.say(&at("password"), what, "remove it, or write `auth = \"plain\"`");
        }
        let Some(oauth) = &imap.oauth else {
            let key = if self.located.has(&at("auth")) { "auth" } else { "preset" };
            let mend = "add `oauth = { client_id = …, client_secret = … }`; config/login.md tells where they come from";
            // Written but of no use is told already.
            if !self.located.has(&at("oauth")) {
                self.say(&at(key), format!("`oauth` is missing: {auth} logs in with a token"), mend);
            }
            return;
        };
        self.tokens(index, imap.preset, oauth);
    }

    fn tokens(&mut self, index: &str, preset: Option<Preset>, oauth: &OAuth) {
        let at = |key| ["mailbox", index, "oauth", key];
        if oauth.client_id.is_empty() {
            self.missing(&at("client_id"), "client_id");
        }
        if oauth.token_url.is_empty() {
            self.missing(&at("token_url"), "token_url");
        } else if let Err(what) = oauth.endpoint() {
            self.say(&at("token_url"), what, "begin with https:// and a host; http is for this machine only");
        }
        match (oauth.grant(), preset) {
            (Grant::ClientCredentials, Some(Preset::Gmail)) => {
                let what = "Google gives no tokens for mail to a client alone";
                self.say(&at("grant"), what, "remove this line, and add `refresh_token = \"secret:…\"`");
            }
            (Grant::ClientCredentials, _) => {
                if oauth.client_secret.is_none() {
                    self.missing(&at("client_secret"), "client_secret");
                }
                if oauth.refresh_token.is_some() {
                    let what = "`refresh_token` is of no use with `grant = \"client-credentials\"`";
                    self.say(&at("refresh_token"), what, "remove it, or write `grant = \"refresh-token\"`");
                }
            }
            (Grant::RefreshToken, _) if oauth.refresh_token.is_none() => {
                self.missing(&at("refresh_token"), "refresh_token");
            }
            (Grant::RefreshToken, _) => {}
        }
    }

    /// As serde would say it; unless it is there, and something else is wrong with it and told already.
    fn missing(&mut self, at: At, key: &str) {
        if !self.located.has(at) {
            self.say(at, format!("`{key}` is missing"), &format!("add `{key} = …`"));
        }
    }
}
