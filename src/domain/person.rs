//! People and companies that mail knows: addresses, users, suppliers.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One RFC 5322 `mailbox`: a display name and an address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Address {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `local@domain`, domain in lower case.
    pub address: String,
}

impl Address {
    /// Takes `local@domain`; lowers the domain, keeps the local part as written.
    pub fn new(address: &str) -> Self {
        let address = address.trim();
        let address = match address.rsplit_once('@') {
            Some((local, domain)) => format!("{local}@{}", domain.to_lowercase()),
            None => address.to_owned(),
        };
        Self { name: None, address }
    }

    pub fn named(name: &str, address: &str) -> Self {
        let name = Some(name.trim().to_owned()).filter(|name| !name.is_empty());
        Self { name, ..Self::new(address) }
    }

    /// The part after the last `@`; empty when there is none.
    pub fn domain(&self) -> &str {
        self.address.rsplit_once('@').map_or("", |(_, domain)| domain)
    }

    /// Whether both name the same mailbox. Local parts are compared without case, as every provider does.
    pub fn same_as(&self, other: &str) -> bool {
        self.address.eq_ignore_ascii_case(other.trim())
    }
}

/// Whether both are the same address but for a plus tag.
pub fn same_base(address: &str, other: &str) -> bool {
    let base = |address: &str| {
        let (local, domain) = address.trim().rsplit_once('@')?;
        Some(format!("{}@{domain}", local.split('+').next()?).to_lowercase())
    };
    base(address).is_some_and(|address| Some(address) == base(other))
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name} <{}>", self.address),
            None => f.write_str(&self.address),
        }
    }
}

/// Somebody who may be asked: a user of a customer. Known to files and logs by `name`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// Short unique name, such as `olivia`.
    pub name: String,
    #[serde(default)]
    pub full_name: String,
    /// The address that is asked and whose replies count.
    pub address: String,
    #[serde(default)]
    pub roles: Vec<String>,
}

/// A company that mails documents to a customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Supplier {
    pub name: String,
    /// Mail domains that speak for it, lower case.
    #[serde(default)]
    pub domains: Vec<String>,
    /// Single addresses that speak for it, where the domain is shared with others.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// Bank accounts known to be its own (IBAN, ISO 13616), without spaces.
    #[serde(default)]
    pub ibans: Vec<String>,
}

impl Supplier {
    /// Whether a mail from this address is this supplier's.
    pub fn speaks_from(&self, address: &Address) -> bool {
        self.addresses.iter().any(|known| address.same_as(known))
            || self.domains.iter().any(|known| known.eq_ignore_ascii_case(address.domain()))
    }
}

/// An organisation whose mail is processed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Customer {
    pub name: String,
    /// Names that invoices may be addressed to.
    #[serde(default)]
    pub aliases: Vec<String>,
    #[serde(default, rename = "supplier")]
    pub suppliers: Vec<Supplier>,
    #[serde(default, rename = "user")]
    pub users: Vec<User>,
}

impl Customer {
    /// Whether both speak for the same supplier.
    pub fn are_colleagues(&self, one: &Address, other: &Address) -> bool {
        self.suppliers.iter().any(|supplier| supplier.speaks_from(one) && supplier.speaks_from(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_supplier_speaks_from_its_domains_and_addresses_only() {
        let supplier = Supplier {
            name: "Nordwind".into(),
            domains: vec!["nordwind.example".into()],
            addresses: vec!["nordwind@freemail.example".into()],
            ibans: vec![],
        };
        let check = |address: &str| supplier.speaks_from(&Address::new(address));
        assert!(check("a@Nordwind.Example") && check("NordWind@freemail.example"));
        assert!(!check("other@freemail.example") && !check("a@nordwind.example.evil") && !check("nordwind.example"));
    }
}
