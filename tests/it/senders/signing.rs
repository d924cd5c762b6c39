//! Keys made for one test, and mails signed with them.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use mail_auth::arc::ArcSealer;
use mail_auth::common::crypto::{Ed25519Key, RsaKey, Sha256, SigningKey};
use mail_auth::common::headers::HeaderWriter;
use mail_auth::dkim::DkimSigner;
use mail_auth::{ArcOutput, AuthenticatedMessage, AuthenticationResults};
use rustls::pki_types::PrivateKeyDer;

/// The key of a domain under one selector.
pub struct Key<K = Ed25519Key> {
    key: K,
    pub domain: String,
    record: String,
}

pub fn ed25519(domain: &str) -> Key {
    let key = Ed25519Key::from_pkcs8_der(&Ed25519Key::generate_pkcs8().expect("a key")).expect("the key");
    let record = format!("v=DKIM1; k=ed25519; p={}", BASE64_STANDARD.encode(key.public_key()));
    Key { key, domain: domain.into(), record }
}

pub fn rsa(domain: &str, size: KeySize) -> Key<RsaKey<Sha256>> {
    let pair = KeyPair::generate(size).expect("a key");
    let der = pair.as_der().expect("its bytes");
    let der = PrivateKeyDer::Pkcs8(der.as_ref().to_vec().into());
    let key = RsaKey::from_key_der(der).expect("the key");
    let record = format!("v=DKIM1; k=rsa; p={}", BASE64_STANDARD.encode(key.public_key()));
    Key { key, domain: domain.into(), record }
}

const FIELDS: [&str; 6] = ["From", "To", "Subject", "Date", "Message-ID", "Content-Type"];

impl<K: SigningKey + 'static> Key<K> {
    /// What its owner puts into DNS.
    pub fn record(&self) -> String {
        self.record_with("")
    }

    /// With other tags before those of the key.
    pub fn record_with(&self, tags: &str) -> String {
        format!("s1._domainkey.{} TXT {}", self.domain, self.record.replace("v=DKIM1;", &format!("v=DKIM1;{tags}")))
    }

    /// The mail under a signature over the usual fields.
    pub fn sign(self, raw: &[u8]) -> Vec<u8> {
        self.sign_fields(raw, &FIELDS)
    }

    pub fn sign_fields(self, raw: &[u8], fields: &[&str]) -> Vec<u8> {
        let signer = DkimSigner::from_key(self.key).domain(self.domain).selector("s1").headers(fields.iter().copied());
        let header = signer.sign(raw).expect("a signature").to_header();
        [header.as_bytes(), raw].concat()
    }
}

impl Key {
    /// The mail under the ARC set of a forwarder who got it whole.
    pub fn seal(self, raw: &[u8]) -> Vec<u8> {
        let message = AuthenticatedMessage::parse(raw).expect("a mail");
        let results = AuthenticationResults::new("forwarder.example");
        let sealer = ArcSealer::from_key(self.key).domain(self.domain).selector("s1").headers(FIELDS);
        let set = sealer.seal(&message, &results, &ArcOutput::default()).expect("a seal");
        [set.to_header().as_bytes(), raw].concat()
    }
}
