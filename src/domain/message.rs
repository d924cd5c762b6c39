//! What a mail says, once parsed: the facts that guards, rules and people work from.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::person::Address;
use super::words::words;

/// A parsed mail (RFC 5322, RFC 2045). Made by `mime` from raw bytes; the raw bytes stay the evidence.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Message {
    /// Message-ID without angle brackets.
    pub message_id: Option<String>,
    /// Message-IDs of In-Reply-To, then References from last to first, without brackets or repeats.
    pub answers: Vec<String>,
    /// All mailboxes of From; none when the field is missing or names nobody.
    pub from: Vec<Address>,
    pub sender: Option<Address>,
    pub reply_to: Vec<Address>,
    pub to: Vec<Address>,
    pub cc: Vec<Address>,
    /// Where it was really delivered: Delivered-To, X-Original-To, topmost first (Bcc hides To).
    pub delivered_to: Vec<Address>,
    /// Return-Path; `Some("")` is the null path of bounces and auto-replies.
    pub return_path: Option<String>,
    pub subject: String,
    pub date: Option<DateTime<Utc>>,
    /// Every header field, topmost first: name in lower case, value unfolded and decoded (RFC 2047).
    pub headers: Vec<(String, String)>,
    /// The body as plain text; made from HTML where there is only that.
    pub text: String,
    pub text_is_from_html: bool,
    /// The HTML that `text` was made from; for reading replies, not stored.
    #[serde(skip)]
    pub html: Option<String>,
    pub parts: Vec<Part>,
    pub authentication: Authentication,
    /// Set when a machine wrote it.
    pub automatic: Option<Automatic>,
    /// Set when it is a delivery status notification (RFC 3464).
    pub bounce: Option<Bounce>,
    /// The sender of the innermost forwarded message, where one is enclosed or quoted.
    pub innermost_from: Option<Address>,
    /// What was mended, lost or cut while parsing, in words.
    pub defects: Vec<String>,
    /// SHA-256 (hex) of the raw bytes.
    pub raw_sha256: String,
    /// SHA-256 (hex) over stable header fields and decoded parts: equal for a redelivery of the same mail.
    pub stable_sha256: String,
    pub size_bytes: u64,
}

impl Message {
    /// The one author, when From names exactly one mailbox with a domain. Anything else speaks for nobody.
    pub fn author(&self) -> Option<&Address> {
        match self.from.as_slice() {
            [author] if !author.domain().is_empty() => Some(author),
            _ => None,
        }
    }

    /// First value of a header field, by lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Parts that a workflow can use.
    pub fn documents(&self) -> impl Iterator<Item = &Part> {
        self.parts.iter().filter(|part| part.role == PartRole::Document)
    }
}

/// One decoded MIME part or container member.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Position in the message, containers and their members included, from 1.
    pub index: u32,
    /// The container that it was taken from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<u32>,
    /// The name the sender gave, made safe to show (NFC, no path, control or bidi characters). Never used for storage.
    pub name: Option<String>,
    /// Content-Type as declared, lower case: `application/pdf`.
    pub declared_type: String,
    /// What the bytes are.
    pub kind: PartKind,
    pub role: PartRole,
    /// SHA-256 (hex) of the decoded bytes.
    pub sha256: String,
    pub size_bytes: u64,
    /// Content-ID without brackets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_id: Option<String>,
    /// Index of the part that says the same in another form (a PDF and its XML twin).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub twin_of: Option<u32>,
    /// The decoded bytes, shared by its copies.
    #[serde(skip)]
    pub content: Bytes,
}

/// Adds the parts of another message behind these, under indexes of their own.
pub fn append(parts: &mut Vec<Part>, more: &[Part]) {
    let offset = parts.iter().map(|part| part.index).max().unwrap_or_default();
    let moved = |index: u32| index.saturating_add(offset);
    parts.extend(more.iter().cloned().map(|part| Part {
        index: moved(part.index),
        container: part.container.map(moved),
        twin_of: part.twin_of.map(moved),
        ..part
    }));
}

impl Part {
    /// Name inside a working directory: `003-1a2b3c4d.pdf`.
    pub fn stored_name(&self) -> String {
        let hash = self.sha256.get(..8).unwrap_or("00000000");
        format!("{:03}-{hash}.{}", self.index, self.kind.extension())
    }
}

words! {
    /// What a part's bytes are, judged by content and never by name.
    PartKind {
        Pdf = "pdf", Xml = "xml", Image = "image", Text = "text", Html = "html", Word = "word", Sheet = "sheet", Csv = "csv",
        Zip = "zip", Mail = "mail", Tnef = "tnef", Calendar = "calendar", Signature = "signature", Executable = "executable",
        Other = "other",
    }
}

impl PartKind {
    /// File extension used in working directories.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Pdf => "pdf",
            Self::Xml => "xml",
            Self::Image => "img",
            Self::Text => "txt",
            Self::Html => "html",
            Self::Word => "docx",
            Self::Sheet => "xlsx",
            Self::Csv => "csv",
            Self::Zip => "zip",
            Self::Mail => "eml",
            Self::Tnef => "tnef",
            Self::Calendar => "ics",
            Self::Signature => "sig",
            Self::Executable | Self::Other => "bin",
        }
    }
}

words! {
    /// What a part is for.
    PartRole {
        Body = "body", Document = "document", Decoration = "decoration", Container = "container",
        NeedsPassword = "needs-password", Refused = "refused",
    }
}

words! {
    /// How a machine-written mail came about (RFC 3834).
    Automatic {
        /// Answers another mail by itself: vacation, out of office.
        Reply = "auto-reply",
        /// Made by a machine on its own account; may well be an invoice.
        Generated = "auto-generated",
        /// Sent to many: mailing list, newsletter.
        Bulk = "bulk",
    }
}

/// What a delivery status notification reports (RFC 3464).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounce {
    /// Message-IDs of the returned mail, without brackets.
    pub of: Vec<String>,
    /// Final-Recipient, where given.
    pub recipient: Option<String>,
    /// `failed`, `delayed`, ...
    pub action: String,
    /// Enhanced status code (RFC 3463), such as `5.1.1`.
    pub status: String,
}

impl Bounce {
    /// Whether the mail will never arrive. A report that says neither is taken at its status code (RFC 3463, 2: class 5).
    pub fn is_permanent(&self) -> bool {
        match self.action.as_str() {
            "failed" => true,
            "delayed" | "delivered" | "relayed" | "expanded" => false,
            _ => self.status.starts_with("5."),
        }
    }
}

words! {
    /// Result of one authentication method (RFC 8601, 2.7).
    AuthResult {
        Pass = "pass", Fail = "fail", SoftFail = "softfail", Neutral = "neutral", None = "none", TempError = "temperror",
        PermError = "permerror", Policy = "policy",
    }
}

/// How the sender of a mail was verified. The default is: not at all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authentication {
    /// The authserv-id whose word this is; none when no trusted server spoke.
    pub authserv_id: Option<String>,
    /// Whether we verified it ourselves, from the raw bytes and DNS at arrival.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub locally: bool,
    pub dmarc: Option<AuthResult>,
    /// header.from of the DMARC result.
    pub dmarc_from: Option<String>,
    pub spf: Option<AuthResult>,
    /// smtp.mailfrom of the SPF result.
    pub spf_mailfrom: Option<String>,
    /// Every DKIM signature: result and signing domain (`header.d`).
    pub dkim: Vec<(AuthResult, String)>,
    /// smtp.auth of an `auth=pass` result: the login the mail was submitted with (RFC 8601, 2.7.4).
    pub submitted_by: Option<String>,
    /// The header field's text, or what we verified in the same grammar (RFC 8601), as evidence.
    pub evidence: Option<String>,
}

impl Authentication {
    /// Who verified the sender, as the end of a sentence: `says mx.acme.example`, `verified locally`. None: nobody trusted.
    pub fn by(&self) -> Option<String> {
        match &self.authserv_id {
            Some(id) => Some(format!("says {id}")),
            None => self.locally.then(|| "verified locally".into()),
        }
    }

    /// How this mail's author is proven to be `author`; none when it is not.
    ///
    /// DMARC speaks for the domain of From; an aligned DKIM pass does too, unless DMARC failed (strict alignment); a
    /// submission login does when it is the address.
    pub fn proves(&self, author: &Address) -> Option<String> {
        let domain = author.domain();
        if domain.is_empty() {
            return None;
        }
        let by = self.by()?;
        if self.dmarc == Some(AuthResult::Pass)
            && self.dmarc_from.as_deref().is_some_and(|from| from.eq_ignore_ascii_case(domain))
        {
            return Some(format!("dmarc=pass for {domain}, {by}"));
        }
        let dmarc_failed = self.dmarc == Some(AuthResult::Fail);
        if !dmarc_failed && self.dkim.iter().any(|(result, d)| *result == AuthResult::Pass && aligned(d, domain)) {
            return Some(format!("dkim=pass for {domain}, {by}"));
        }
        if self.submitted_by.as_deref().is_some_and(|login| author.same_as(login)) {
            return Some(format!("auth=pass as {}, {by}", author.address));
        }
        None
    }
}

/// Strict or parent-domain alignment (RFC 7489, 3.1.1); a bare top-level domain speaks for nobody.
fn aligned(signer: &str, domain: &str) -> bool {
    let (signer, domain) = (signer.to_lowercase(), domain.to_lowercase());
    signer == domain || (signer.contains('.') && domain.strip_suffix(&signer).is_some_and(|rest| rest.ends_with('.')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_aligned_result_of_a_trusted_server_proves_the_author() {
        let olivia = Address::new("olivia@acme.example");
        let dmarc = |from: &str, id: Option<&str>| Authentication {
            authserv_id: id.map(str::to_owned),
            dmarc: Some(AuthResult::Pass),
            dmarc_from: Some(from.into()),
            ..Default::default()
        };
        assert!(dmarc("acme.example", Some("mx")).proves(&olivia).is_some());
        assert!(dmarc("evil.example", Some("mx")).proves(&olivia).is_none());
        assert!(dmarc("acme.example", None).proves(&olivia).is_none());
        let dkim = |d: &str| Authentication {
            authserv_id: Some("mx".into()),
            dkim: vec![(AuthResult::Pass, d.into())],
            ..Default::default()
        };
        assert!(dkim("acme.example").proves(&olivia).is_some());
        assert!(dkim("example").proves(&olivia).is_none() && dkim("notacme.example").proves(&olivia).is_none());
        let strict = Authentication { dmarc: Some(AuthResult::Fail), ..dkim("acme.example") };
        assert!(strict.proves(&olivia).is_none());
        assert!(Authentication::default().proves(&olivia).is_none());
    }

    #[test]
    fn only_what_failed_for_good_is_permanent() {
        let check = |action: &str, status: &str, expected: bool| {
            let bounce = Bounce { action: action.into(), status: status.into(), ..Default::default() };
            assert_eq!(bounce.is_permanent(), expected, "{action} {status}");
        };
        check("failed", "5.1.1", true);
        check("failed", "4.4.7", true); // it gave up
        check("delayed", "4.4.1", false);
        check("relayed", "2.1.9", false);
        check("", "5.2.1", true);
        check("", "4.2.2", false);
        check("", "", false);
    }

    #[test]
    fn what_we_verified_ourselves_proves_the_same_and_old_rows_still_read() {
        let olivia = Address::new("olivia@acme.example");
        let dkim = vec![(AuthResult::Pass, "acme.example".to_owned())];
        let ours = Authentication { locally: true, dkim: dkim.clone(), ..Default::default() };
        assert_eq!(ours.proves(&olivia).as_deref(), Some("dkim=pass for acme.example, verified locally"));
        assert!(Authentication { dkim, ..Default::default() }.proves(&olivia).is_none());
        let text = serde_json::to_string(&ours).unwrap();
        assert_eq!(serde_json::from_str::<Authentication>(&text).unwrap(), ours);
        let before = r#"{"authserv_id":"mx","dmarc":"pass","dmarc_from":"acme.example","spf":null,"spf_mailfrom":null,
            "dkim":[],"submitted_by":null,"evidence":"mx; dmarc=pass"}"#;
        let old: Authentication = serde_json::from_str(before).unwrap();
        assert_eq!(old.proves(&olivia).as_deref(), Some("dmarc=pass for acme.example, says mx"));
    }

    #[test]
    fn several_authors_speak_for_nobody() {
        let mut message = Message { from: vec![Address::new("a@x.example")], ..Default::default() };
        assert!(message.author().is_some());
        message.from.push(Address::new("b@x.example"));
        assert!(message.author().is_none());
    }
}
