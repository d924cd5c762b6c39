//! Tokens of links and replies: derived from a key and what they are bound to, so that none is ever stored.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::event::sha256_hex;
use super::ids::{TokenId, WaitId};

/// The key that tokens are derived from. All processes on one database share it.
#[derive(Clone)]
pub struct TokenKey(hmac::Key);

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenKey(..)")
    }
}

/// What a token is bound to.
#[derive(Debug, Clone, Copy)]
pub struct Binding<'a> {
    pub id: TokenId,
    pub wait: WaitId,
    pub generation: i32,
    pub person: &'a str,
}

impl TokenKey {
    pub fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// The token: 43 characters of base64url (RFC 4648, 5), HMAC-SHA256 over the binding.
    pub fn derive(&self, binding: &Binding<'_>) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(hmac::sign(&self.0, bound_text(binding).as_bytes()))
    }

    /// What a form of ours carries to prove that no other page made it: 43 characters of base64url, over what it is about.
    pub fn form(&self, about: &str) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(hmac::sign(&self.0, format!("countersign:form:{about}").as_bytes()))
    }
}

/// What is kept of a token: its SHA-256 (hex).
pub fn token_hash(token: &str) -> String {
    sha256_hex(token.as_bytes())
}

fn bound_text(binding: &Binding<'_>) -> String {
    format!("countersign:token:{}\n{}\n{}\n{}", binding.id, binding.wait, binding.generation, binding.person)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_changes_with_everything_that_it_is_bound_to() {
        let key = TokenKey::new(b"key");
        let binding = Binding { id: TokenId::new(), wait: WaitId::new(), generation: 1, person: "olivia" };
        let token = key.derive(&binding);
        assert_eq!(token, key.derive(&binding));
        assert_eq!(token.len(), 43);
        assert_ne!(token, key.derive(&Binding { person: "frank", ..binding }));
        assert_ne!(token, key.derive(&Binding { generation: 2, ..binding }));
        assert_ne!(token, key.derive(&Binding { wait: WaitId::new(), ..binding }));
        assert_ne!(token, TokenKey::new(b"other").derive(&binding));
        assert!(!format!("{key:?}").contains("key\""));
    }
}
