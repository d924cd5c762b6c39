//! Verifies the sender of a mail ourselves: DKIM, ARC, SPF and DMARC over its raw bytes, by DNS, at arrival. For mailboxes
//! whose server leaves no Authentication-Results that we believe; those are read by `mime`.
//!
//! Fails closed and in time: whatever is odd, too much, or not answered by DNS is written down and proves nothing. What a
//! proven sender may do is left to guards, rules and people.

mod envelope;
mod findings;
mod shape;

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use mail_auth::common::cache::NoCache;
use mail_auth::common::headers::Header;
use mail_auth::common::verify::{DomainKey, VerifySignature};
use mail_auth::dkim::Signature;
use mail_auth::dmarc::verify::DmarcParameters;
use mail_auth::hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};
use mail_auth::hickory_resolver::system_conf::read_system_conf;
use mail_auth::spf::verify::SpfParameters;
use mail_auth::{AuthenticatedMessage, DkimOutput, DkimResult, MessageAuthenticator, SpfOutput, SpfResult, Txt};
use tokio::time::{Instant, timeout_at};

use crate::config::sections::{Config, Mailbox};
use crate::config::senders::{Dns, Verify, nameserver};
use crate::domain::message::{AuthResult, Authentication, Message};
use envelope::Envelope;
use findings::{Findings, Judged};

/// Signatures that are checked; those of the author's domain come first.
const SIGNATURES: usize = 8;
/// Field names in one signature.
const SIGNED_FIELDS: usize = 200;
/// Hops of an ARC chain that is checked.
const ARC_SETS: usize = 8;
/// `t=y` in the flags of a key (RFC 6376, 3.6.1): mail-auth's bit for it.
const TESTING: u64 = 0x10;

/// Why senders cannot be verified at all.
#[derive(Debug, thiserror::Error)]
#[error("set up DNS for verifying senders: {0}")]
pub struct SendersError(String);

/// Verifies senders. Keeps what DNS said as long as DNS allows it.
pub struct Verifier {
    dns: MessageAuthenticator,
    timeout: Duration,
}

impl Verifier {
    /// A verifier, when a mailbox needs one.
    ///
    /// # Errors
    /// When the system's name servers are wanted and not known.
    pub fn of(config: &Config) -> Result<Option<Self>, SendersError> {
        let needed = config.mailboxes.iter().any(|mailbox| mailbox.verify == Verify::Locally);
        needed.then(|| Self::new(&config.dns)).transpose()
    }

    /// # Errors
    /// When the system's name servers are wanted and not known.
    pub fn new(dns: &Dns) -> Result<Self, SendersError> {
        let failed = |error: &dyn std::fmt::Display| SendersError(error.to_string());
        let timeout = Duration::from_secs(u64::from(dns.timeout.secs));
        let (config, mut options) = if dns.nameservers.is_empty() {
            read_system_conf().map_err(|error| failed(&error))?
        } else {
            let servers = dns.nameservers.iter().filter_map(|server| nameserver(server)).map(|server| {
                let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
                    connection.port = server.port();
                    connection
                });
                NameServerConfig::new(server.ip(), true, connections.into())
            });
            (ResolverConfig::from_name_servers(servers.collect()), ResolverOpts::default())
        };
        // Two tries fit into the time for signatures, so that one dead server shows as its own error.
        (options.timeout, options.attempts) = (timeout / 4, 1);
        let dns = MessageAuthenticator::new(config, options).map_err(|error| failed(&error))?;
        Ok(Self { dns, timeout })
    }

    /// Verifies the sender of a parsed message, if its mailbox wants that and no trusted server spoke of them. Never fails:
    /// what went wrong is in the result. Takes at most `[dns] timeout`, and processor time in proportion to the bytes.
    pub async fn complete(&self, raw: &[u8], message: &mut Message, mailbox: &Mailbox) {
        if mailbox.verify == Verify::Locally && message.authentication.authserv_id.is_none() {
            message.authentication = self.verify(raw, message, &mailbox.received_by).await;
        }
    }

    /// What can be found out about the sender of `message`, which `mime` made from `raw`. `received_by`: hosts of ours whose
    /// Received fields tell the client, without which there is no SPF.
    pub async fn verify(&self, raw: &[u8], message: &Message, received_by: &[String]) -> Authentication {
        // The library unwraps in places; mail is not to be lost over it.
        let look = AssertUnwindSafe(self.look(raw, message, received_by)).catch_unwind();
        look.await.unwrap_or_else(|_| Findings::refused("the message made the verifier panic"))
    }

    async fn look(&self, raw: &[u8], message: &Message, received_by: &[String]) -> Authentication {
        let deadline = Instant::now() + self.timeout;
        let dkim_deadline = Instant::now() + self.timeout * 7 / 10;
        let body = match shape::body_offset(raw) {
            Ok(body) => body,
            Err(why) => return Findings::refused(why),
        };
        let Some(parsed) = AuthenticatedMessage::parse(raw).filter(|parsed| parsed.body_offset() == body) else {
            return Findings::refused("the header is read in two ways");
        };
        let author = author(&parsed, message);
        let domain = author.as_ref().map_or("", |(_, domain)| *domain);
        let (signed, left_out) = signatures(&parsed, domain);
        let envelope = envelope::read(&parsed.headers, received_by);

        let (checked, arc, spf) = tokio::join!(
            join_all(signed.iter().map(|one| self.signature(one, dkim_deadline))),
            self.arc(&parsed, dkim_deadline),
            self.spf(envelope.as_ref().ok(), dkim_deadline),
        );

        let mut findings = Findings::new();
        let mut doubt = false;
        let mut passed: Vec<DkimOutput<'_>> = vec![];
        for (one, (judged, output)) in signed.iter().zip(checked) {
            let judged = match (&author, judged) {
                (Err(why), (AuthResult::Pass, _)) => (AuthResult::Policy, Some((*why).to_owned())),
                (_, judged) => judged,
            };
            doubt |= judged.0 == AuthResult::TempError;
            passed.extend(output.filter(|_| judged.0 == AuthResult::Pass));
            findings.dkim(judged, one.dkim_headers.first().map(|header| &header.header));
        }
        if signed.is_empty() {
            findings.dkim((AuthResult::None, None), None);
        }
        if left_out > 0 {
            findings.note(&format!("{left_out} more signatures were unreadable or too many, and not looked at"));
        }
        if let Some((judged, sealers)) = arc {
            findings.arc(judged, &sealers);
        }
        match &envelope {
            Ok(seen) => {
                let result = spf.as_ref().map_or(AuthResult::TempError, |output| findings::spf(output.result()));
                let why = spf.is_none().then(|| OUT_OF_TIME.to_owned());
                doubt |= result == AuthResult::TempError;
                findings.spf((result, why), &seen.mail_from, &seen.helo, &seen.client.to_string());
            }
            Err(why) => findings.note(&format!("spf was not checked: {why}")),
        }

        let domain = match author {
            Ok((_, domain)) => domain,
            Err(why) => {
                findings.dmarc((AuthResult::PermError, Some(why.to_owned())), None, None);
                return findings.finish();
            }
        };
        let spf = spf.unwrap_or_default();
        let mail_from = envelope.as_ref().map_or("", Envelope::domain);
        let mut identities: Vec<&str> = passed.iter().filter_map(|o| o.signature()).map(|s| s.d.as_str()).collect();
        identities.extend((spf.result() == SpfResult::Pass).then_some(mail_from));
        let parameters = DmarcParameters::new(&parsed, &passed, mail_from, &spf);
        match timeout_at(deadline, self.dns.verify_dmarc(parameters)).await {
            Ok(output) => {
                let policy = output.dmarc_record().is_some().then(|| output.policy().to_string());
                let judged = findings::dmarc(&output, domain, &identities, doubt);
                findings.dmarc(judged, Some(domain), policy.as_deref());
            }
            Err(_) => findings.dmarc(out_of_time(), Some(domain), None),
        }
        findings.finish()
    }

    /// One signature: `one` has no other. The library's output comes with a pass.
    async fn signature<'x>(
        &self,
        one: &'x AuthenticatedMessage<'x>,
        deadline: Instant,
    ) -> (Judged, Option<DkimOutput<'x>>) {
        let check = async {
            let output = self.dns.verify_dkim(one).await.into_iter().next()?;
            let judged = match (output.result(), output.signature()) {
                (DkimResult::Pass, Some(signature)) => self.passed(signature).await,
                (result, _) => findings::dkim(result),
            };
            Some((judged, Some(output)))
        };
        match timeout_at(deadline, check).await {
            Ok(checked) => checked.unwrap_or(((AuthResult::Neutral, Some("it cannot be read".into())), None)),
            Err(_) => (out_of_time(), None),
        }
    }

    /// Whether a signature that passed is a proof. The look-up of its key is answered from memory.
    async fn passed(&self, signature: &Signature) -> Judged {
        if let Some(why) = findings::weakness(signature) {
            return (AuthResult::Policy, Some(why.into()));
        }
        match self.dns.txt_lookup::<DomainKey>(signature.domain_key(), None::<&NoCache<Box<str>, Txt>>).await {
            Ok(key) if key.has_flag(TESTING) => {
                (AuthResult::Policy, Some("its key is in testing (RFC 6376, 3.6.1)".into()))
            }
            Ok(_) => (AuthResult::Pass, None),
            Err(error) => findings::dkim(&DkimResult::from(error)),
        }
    }

    /// The ARC chain and its sealers, newest first. Evidence only: who seals may have changed the mail.
    async fn arc(&self, parsed: &AuthenticatedMessage<'_>, deadline: Instant) -> Option<(Judged, String)> {
        let sets = parsed.as_headers.len().max(parsed.ams_headers.len()).max(parsed.aar_headers.len());
        if sets == 0 && !parsed.has_arc_errors {
            return None;
        }
        let signed = parsed.ams_headers.iter().map(|header| header.header.h.len()).max().unwrap_or(0);
        if sets > ARC_SETS || signed > SIGNED_FIELDS {
            return Some(((AuthResult::PermError, Some("the chain is too long".into())), String::new()));
        }
        let Ok(output) = timeout_at(deadline, self.dns.verify_arc(parsed)).await else {
            return Some((out_of_time(), String::new()));
        };
        let sealers: Vec<_> = output.sets().iter().rev().map(|set| set.seal.header.d.as_str()).collect();
        Some((findings::dkim(output.result()), sealers.join(",")))
    }

    /// None without an envelope, or out of time.
    async fn spf(&self, envelope: Option<&Envelope>, deadline: Instant) -> Option<SpfOutput> {
        let Envelope { client, helo, mail_from, host } = envelope?;
        let parameters = if mail_from.is_empty() {
            SpfParameters::verify_ehlo(*client, helo, host)
        } else {
            SpfParameters::verify_mail_from(*client, helo, host, mail_from)
        };
        timeout_at(deadline, self.dns.verify_spf(parameters)).await.ok()
    }
}

const OUT_OF_TIME: &str = "dns did not answer in time";

fn out_of_time() -> Judged {
    (AuthResult::TempError, Some(OUT_OF_TIME.into()))
}

/// The one author and their domain, if the verifier's reader and ours see the same one in one From field.
fn author<'a>(parsed: &AuthenticatedMessage<'_>, message: &'a Message) -> Result<(&'a str, &'a str), &'static str> {
    let fields = parsed.headers.iter().filter(|(name, _)| name.trim_ascii().eq_ignore_ascii_case(b"from")).count();
    let author = message.author().filter(|_| fields == 1).ok_or("From does not name one author in one field")?;
    match parsed.froms() {
        [from] if author.same_as(from) => Ok((&author.address, author.domain())),
        _ => Err("From is read in two ways"),
    }
}

/// The message once for each signature that is to be checked, with that signature alone; and how many are left out.
fn signatures<'x>(parsed: &AuthenticatedMessage<'x>, domain: &str) -> (Vec<AuthenticatedMessage<'x>>, usize) {
    let mut bare = parsed.clone();
    let mut headers = std::mem::take(&mut bare.dkim_headers);
    let unreadable = bare.errors.len();
    bare.errors.clear();
    let all = headers.len();
    headers.retain(|header| header.header.h.len() <= SIGNED_FIELDS);
    // Hundreds of signatures of others must not push the author's own out.
    headers.sort_by_key(|header| !findings::is_related(&header.header.d, domain));
    headers.truncate(SIGNATURES);
    let left_out = all - headers.len() + unreadable;
    let alone = |header: Header<'x, Signature>| {
        let mut one = bare.clone();
        // Reports and third-party signatures would cost look-ups and prove nothing here.
        let header = Header { header: Signature { r: false, atps: None, ..header.header }, ..header };
        one.dkim_headers.push(header);
        one
    };
    (headers.into_iter().map(alone).collect(), left_out)
}
