//! How an IMAP mailbox is logged in to: mechanisms, where tokens come from, and the presets of two providers. That the keys
//! fit together is checked by `checks::login`; tokens are fetched by `mailbox::oauth`.

use std::net::IpAddr;
use std::path::PathBuf;

use reqwest::Url;
use serde::Deserialize;

use super::secret::SecretRef;
use super::sections::Imap;
use crate::domain::words::words;

words! {
    /// How a login is put to the server.
    Auth {
        /// The command LOGIN (RFC 9051, 6.2.3).
        Login = "login",
        /// SASL PLAIN (RFC 4616).
        Plain = "plain",
        /// SASL XOAUTH2, a bearer token as Google and Microsoft take it.
        Xoauth2 = "xoauth2",
        /// SASL OAUTHBEARER (RFC 7628).
        OauthBearer = "oauthbearer",
    }
}

impl Auth {
    /// Whether it takes a token rather than a password.
    pub fn takes_token(self) -> bool {
        matches!(self, Self::Xoauth2 | Self::OauthBearer)
    }
}

words! {
    /// What a token is asked for with.
    Grant {
        /// The program's own name and secret (RFC 6749, 4.4).
        ClientCredentials = "client-credentials",
        /// What a person once consented to (RFC 6749, 6).
        RefreshToken = "refresh-token",
    }
}

words! {
    /// A provider whose settings we know.
    Preset { Gmail = "gmail", Microsoft365 = "microsoft365" }
}

/// Where access tokens come from (RFC 6749).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OAuth {
    /// `refresh-token` where there is one, else `client-credentials`, when missing.
    pub grant: Option<Grant>,
    /// The token endpoint: https, or http on this machine.
    pub token_url: String,
    pub client_id: String,
    /// Some providers give programs on a desktop none.
    pub client_secret: Option<SecretRef>,
    pub refresh_token: Option<SecretRef>,
    /// Scopes with blanks between them.
    pub scope: Option<String>,
    /// PEM file with further certificate authorities, for the token endpoint.
    pub ca_file: Option<PathBuf>,
}

impl OAuth {
    pub fn grant(&self) -> Grant {
        let by_keys = if self.refresh_token.is_some() { Grant::RefreshToken } else { Grant::ClientCredentials };
        self.grant.unwrap_or(by_keys)
    }

    /// The token endpoint. Secrets are sent there: it is encrypted, or it is this machine.
    ///
    /// # Errors
    /// What is wrong with it, without repeating it.
    pub fn endpoint(&self) -> Result<Url, &'static str> {
        let url = Url::parse(&self.token_url).map_err(|_| "this is no web address")?;
        let host = url.host_str().ok_or("this is no web address")?;
        match url.scheme() {
            "https" => {}
            "http" if is_loopback(host) => {}
            "http" => return Err("the client's secret would cross the network unencrypted"),
            _ => return Err("this is no web address"),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("a token endpoint's address holds no user and no password");
        }
        Ok(url)
    }
}

/// What a mailbox is opened with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Login<'a> {
    Password(&'a SecretRef),
    Token(&'a OAuth),
}

impl Imap {
    /// None when the configuration names nothing that fits `auth`; `checks` lets none such through.
    pub fn login(&self) -> Option<Login<'_>> {
        match self.auth {
            Some(auth) if auth.takes_token() => self.oauth.as_deref().map(Login::Token),
            _ => self.password.as_ref().map(Login::Password),
        }
    }

    /// Puts in what the preset knows and nobody wrote.
    pub fn fill_in(&mut self) {
        let Some(preset) = self.preset else { return };
        if self.host.is_empty() {
            self.host = preset.host().to_owned();
        }
        if self.password.is_none() {
            self.auth.get_or_insert(Auth::Xoauth2);
        }
        let Some(oauth) = &mut self.oauth else { return };
        let by_preset = match preset {
            Preset::Gmail => Grant::RefreshToken,
            Preset::Microsoft365 => oauth.grant(),
        };
        let grant = *oauth.grant.get_or_insert(by_preset);
        oauth.scope.get_or_insert_with(|| preset.scope(grant).to_owned());
        if oauth.token_url.is_empty() {
            oauth.token_url = preset.token_url(self.tenant.as_deref().unwrap_or_default());
        }
    }
}

impl Preset {
    fn host(self) -> &'static str {
        match self {
            Self::Gmail => "imap.gmail.com",
            Self::Microsoft365 => "outlook.office365.com",
        }
    }

    fn scope(self, grant: Grant) -> &'static str {
        match (self, grant) {
            (Self::Gmail, _) => "https://mail.google.com/",
            (Self::Microsoft365, Grant::ClientCredentials) => "https://outlook.office365.com/.default",
            (Self::Microsoft365, Grant::RefreshToken) => {
                "https://outlook.office.com/IMAP.AccessAsUser.All offline_access"
            }
        }
    }

    fn token_url(self, tenant: &str) -> String {
        match self {
            Self::Gmail => "https://oauth2.googleapis.com/token".to_owned(),
            Self::Microsoft365 => format!("https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token"),
        }
    }
}

/// Whether a host as written in a configuration is this machine.
pub fn is_loopback(host: &str) -> bool {
    let host = host.trim_end_matches('.');
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_go_to_encrypted_endpoints_and_to_this_machine_only() {
        let check = |url: &str, expected: Option<&str>| {
            let oauth = OAuth { token_url: url.to_owned(), ..OAuth::default() };
            assert_eq!(oauth.endpoint().err(), expected, "{url}");
        };
        check("https://login.acme.example/token", None);
        check("http://127.0.0.1:80/token", None);
        check("http://localhost/token", None);
        check("http://[::1]:8080/", None);
        check("http://localhost.acme.example/", Some("the client's secret would cross the network unencrypted"));
        check("http://10.0.0.1/", Some("the client's secret would cross the network unencrypted"));
        check("https://u:p@login.acme.example/", Some("a token endpoint's address holds no user and no password"));
        check("ftp://localhost/", Some("this is no web address"));
        check("login.acme.example", Some("this is no web address"));
        check("", Some("this is no web address"));
    }
}
