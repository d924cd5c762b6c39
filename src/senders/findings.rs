//! What the library found out, judged by our rules and written down in the grammar of RFC 8601. Pure.

use mail_auth::common::crypto::Algorithm;
use mail_auth::dkim::{DkimError, Signature};
use mail_auth::{DkimResult, DmarcOutput, DmarcResult, Error, SpfResult};

use crate::domain::message::{AuthResult, Authentication};

/// Longest value written into the evidence.
const VALUE_CHARS: usize = 255;

/// A result and why, where there is something to say.
pub type Judged = (AuthResult, Option<String>);

/// Results while they come in, with their evidence.
#[derive(Debug)]
pub struct Findings {
    found: Authentication,
    lines: Vec<String>,
}

impl Findings {
    pub fn new() -> Self {
        Self { found: Authentication { locally: true, ..Default::default() }, lines: vec!["locally".into()] }
    }

    /// Nothing could be looked at.
    pub fn refused(why: &str) -> Authentication {
        let mut findings = Self::new();
        findings.dmarc((AuthResult::PermError, Some(why.to_owned())), None, None);
        findings.finish()
    }

    pub fn dkim(&mut self, (result, why): Judged, signature: Option<&Signature>) {
        let mut properties = vec![];
        if let Some(signature) = signature {
            let algorithm = match signature.a {
                Algorithm::RsaSha1 => "rsa-sha1",
                Algorithm::RsaSha256 => "rsa-sha256",
                Algorithm::Ed25519Sha256 => "ed25519-sha256",
            };
            properties = vec![("header.d", &*signature.d), ("header.s", &*signature.s), ("header.a", algorithm)];
            self.found.dkim.push((result, signature.d.to_lowercase()));
        }
        self.line("dkim", result, why, &properties);
    }

    pub fn spf(&mut self, (result, why): Judged, mail_from: &str, helo: &str, client: &str) {
        self.found.spf = Some(result);
        self.found.spf_mailfrom = (!mail_from.is_empty()).then(|| mail_from.to_lowercase());
        self.line(
            "spf",
            result,
            why,
            &[("smtp.mailfrom", mail_from), ("smtp.helo", helo), ("policy.client-ip", client)],
        );
    }

    pub fn arc(&mut self, (result, why): Judged, sealers: &str) {
        self.line("arc", result, why, &[("header.d", sealers)]);
    }

    pub fn dmarc(&mut self, (result, why): Judged, from: Option<&str>, policy: Option<&str>) {
        self.found.dmarc = Some(result);
        self.found.dmarc_from = from.map(str::to_owned);
        let properties = [("header.from", from.unwrap_or_default()), ("policy.dmarc", policy.unwrap_or_default())];
        self.line("dmarc", result, why, &properties);
    }

    /// Something that is no result, as a comment.
    pub fn note(&mut self, text: &str) {
        self.lines.push(format!("({})", text.replace(['(', ')', '\\'], " ")));
    }

    pub fn finish(self) -> Authentication {
        Authentication { evidence: Some(self.lines.join(";\n ")), ..self.found }
    }

    fn line(&mut self, method: &str, result: AuthResult, why: Option<String>, properties: &[(&str, &str)]) {
        let mut line = format!("{method}={result}");
        if let Some(why) = why {
            line.push_str(&format!(" reason=\"{}\"", quoted(&why)));
        }
        for (name, value) in properties.iter().filter(|(_, value)| !value.is_empty()) {
            line.push_str(&format!(" {name}={}", written(value)));
        }
        self.lines.push(line);
    }
}

/// What one signature comes to.
pub fn dkim(result: &DkimResult) -> Judged {
    match result {
        DkimResult::Pass => (AuthResult::Pass, None),
        DkimResult::Neutral(error @ Error::Dkim(DkimError::FailedBodyHashMatch)) => (AuthResult::Fail, reason(error)),
        DkimResult::Neutral(error) => (AuthResult::Neutral, reason(error)),
        DkimResult::Fail(error) => (AuthResult::Fail, reason(error)),
        DkimResult::PermError(error) => (AuthResult::PermError, reason(error)),
        DkimResult::TempError(error) => (AuthResult::TempError, reason(error)),
        DkimResult::None => (AuthResult::None, None),
    }
}

/// Why a signature that passed is no proof all the same; none when it is one.
pub fn weakness(signature: &Signature) -> Option<&'static str> {
    if signature.a == Algorithm::RsaSha1 {
        return Some("rsa-sha1 is not taken (RFC 8301)");
    }
    let covers_from = signature.h.iter().any(|name| name.trim().eq_ignore_ascii_case("from"));
    (!covers_from).then_some("it does not cover From (RFC 6376, 5.4)")
}

pub fn spf(result: SpfResult) -> AuthResult {
    match result {
        SpfResult::Pass => AuthResult::Pass,
        SpfResult::Fail => AuthResult::Fail,
        SpfResult::SoftFail => AuthResult::SoftFail,
        SpfResult::Neutral => AuthResult::Neutral,
        SpfResult::TempError => AuthResult::TempError,
        SpfResult::PermError => AuthResult::PermError,
        SpfResult::None => AuthResult::None,
    }
}

/// What DMARC comes to. `identities` are the domains that DKIM or SPF proved; `doubt` says that one of them was not known
/// for want of DNS.
///
/// Alignment is taken only between a domain and one above or below it. RFC 9989 finds the organisation by looking for
/// records, so that two customers of a registry which publishes one would speak for each other.
pub fn dmarc(output: &DmarcOutput, from: &str, identities: &[&str], doubt: bool) -> Judged {
    let methods = [output.dkim_result(), output.spf_result()];
    if methods.contains(&&DmarcResult::Pass) {
        let related = identities.iter().any(|identity| is_related(identity, from));
        return match related {
            true => (AuthResult::Pass, None),
            false => (AuthResult::Policy, Some("aligned only by a domain above both".into())),
        };
    }
    for method in methods {
        match method {
            DmarcResult::TempError(error) => return (AuthResult::TempError, reason(error)),
            DmarcResult::PermError(error) => return (AuthResult::PermError, reason(error)),
            _ => {}
        }
    }
    match (output.dmarc_record().is_some(), doubt) {
        (false, _) => (AuthResult::None, Some("no record".into())),
        (true, true) => (AuthResult::TempError, Some("a signature or SPF could not be checked".into())),
        (true, false) => (AuthResult::Fail, Some("nothing that passed is aligned with From".into())),
    }
}

/// Whether one domain is the other or above it.
pub fn is_related(one: &str, other: &str) -> bool {
    is_under(one, other) || is_under(other, one)
}

/// Whether `domain` is `above` or a subdomain of it.
fn is_under(domain: &str, above: &str) -> bool {
    let (domain, above) = (domain.to_lowercase(), above.to_lowercase());
    domain == above || domain.strip_suffix(&above).is_some_and(|rest| rest.ends_with('.'))
}

fn reason(error: &Error) -> Option<String> {
    Some(error.to_string().to_lowercase())
}

/// A value as it is, or in quotes where the grammar wants them (RFC 2045, 5.1).
fn written(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._@+/,:".contains(c);
    if value.len() <= VALUE_CHARS && value.chars().all(plain) {
        return value.to_owned();
    }
    format!("\"{}\"", quoted(value))
}

fn quoted(text: &str) -> String {
    let safe = |c: char| if c.is_control() { '?' } else { c };
    text.chars().take(VALUE_CHARS).map(safe).collect::<String>().replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_sender_chose_cannot_write_evidence() {
        let mut findings = Findings::new();
        let forged = "x;\n dmarc=pass \"header.from=acme.example";
        findings.spf((AuthResult::Fail, None), forged, "h", "192.0.2.1");
        findings.note("a) dmarc=pass");
        let evidence = findings.finish().evidence.unwrap();
        assert_eq!(
            evidence,
            "locally;\n spf=fail smtp.mailfrom=\"x;? dmarc=pass \\\"header.from=acme.example\" smtp.helo=h \
             policy.client-ip=192.0.2.1;\n (a  dmarc=pass)"
        );
    }

    #[test]
    fn what_could_not_be_looked_at_proves_nothing() {
        let found = Findings::refused("the header is too long");
        assert_eq!((found.dmarc, found.locally), (Some(AuthResult::PermError), true));
        assert!(found.proves(&crate::domain::person::Address::new("a@acme.example")).is_none());
        assert!(found.evidence.unwrap().contains("reason=\"the header is too long\""));
    }

    #[test]
    fn siblings_do_not_speak_for_each_other() {
        let passed = DmarcOutput::new("a.gov.example".into()).with_dkim_result(DmarcResult::Pass);
        let check = |identity: &str| dmarc(&passed, "a.gov.example", &[identity], false).0;
        assert_eq!(check("b.gov.example"), AuthResult::Policy);
        assert_eq!(check("a.gov.example"), AuthResult::Pass);
        assert_eq!(check("mail.A.gov.example"), AuthResult::Pass);
        assert_eq!(check("gov.example"), AuthResult::Pass);
        assert_eq!(check("ov.example"), AuthResult::Policy);
    }
}
