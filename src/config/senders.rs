//! How senders are verified: the word of a mailbox and the section `[dns]`. Verifying is done by `senders`.

use std::net::{IpAddr, SocketAddr};

use serde::Deserialize;

use crate::domain::duration::Span;
use crate::domain::words::words;

words! {
    /// What is done about a sender when no trusted server spoke of them.
    Verify {
        /// Nothing: the mail is not proven. The default, because verifying asks DNS about every mail and lets more people decide.
        No = "no",
        /// DKIM, SPF and DMARC over the raw bytes at arrival.
        Locally = "locally",
    }
}

#[allow(clippy::derivable_impls)]
impl Default for Verify {
    fn default() -> Self {
        Self::No
    }
}

/// Where DNS is asked.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dns {
    /// `IP` or `IP:PORT`; the system's when empty.
    pub nameservers: Vec<String>,
    /// Longest wait for all look-ups about one mail.
    pub timeout: Span,
}

impl Default for Dns {
    fn default() -> Self {
        Self { nameservers: vec![], timeout: Span::from_secs(10) }
    }
}

/// A name server as written: `IP` (port 53) or `IP:PORT`.
pub fn nameserver(text: &str) -> Option<SocketAddr> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, 53)))
}

/// Whether it can stand behind `by` in a Received field.
pub fn is_host(text: &str) -> bool {
    let label = |label: &str| !label.is_empty() && label.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
    !text.is_empty() && text.len() <= 255 && text.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_servers_and_hosts_are_read() {
        let check = |text: &str| nameserver(text).map(|server| server.to_string());
        assert_eq!(check("10.0.0.1").as_deref(), Some("10.0.0.1:53"));
        assert_eq!(check("[::1]:5353").as_deref(), Some("[::1]:5353"));
        assert_eq!(check("::1").as_deref(), Some("[::1]:53"));
        assert_eq!(check("ns.acme.example"), None);
        assert!(is_host("mx.acme.example") && !is_host("mx acme") && !is_host("mx..acme") && !is_host(""));
    }
}
