//! Identifiers as newtypes, so that a run is never mistaken for a message.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new id: UUID version 7 (RFC 9562), ordered by creation, 74 random bits.
            #[allow(clippy::new_without_default)]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    )*};
}

ids! {
    /// One delivery of a mail: a row of the ledger.
    MessageId,
    /// A working directory and what belongs to it.
    TransactionId,
    /// One execution of a workflow version.
    RunId,
    /// One pause of one step.
    WaitId,
    /// One thing told to one person; also the local part of its Message-ID.
    NoticeId,
    /// One link or reply token; the token itself is derived, never stored.
    TokenId,
    /// One answer of one person, whether it decided or not.
    AnswerId,
}

impl RunId {
    /// The run that a step of this run launches in one generation: the same at every repeat.
    pub fn below(self, generation: i32, step: &str) -> Self {
        Self(Uuid::new_v5(&self.0, format!("below:{generation}:{step}").as_bytes()))
    }

    /// The wait of the step above for the end of this run.
    pub fn wait_above(self) -> WaitId {
        WaitId(Uuid::new_v5(&self.0, b"wait above"))
    }
}

/// Where a mail was found: the identity of a delivery (RFC 9051, 2.3.1.1).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Delivery {
    /// Configured name of the mailbox.
    pub mailbox: String,
    /// UIDVALIDITY of the folder; 0 for a Maildir, whose names never repeat.
    pub uid_validity: u32,
    /// UID in decimal, or the unique name of a Maildir file.
    pub uid: String,
}

impl Delivery {
    /// The transaction of this delivery: the same at every retry, so that a crash and its repeat write the same place.
    pub fn transaction_id(&self) -> TransactionId {
        TransactionId(self.derive("transaction"))
    }

    /// The ledger row of this delivery, derived for the same reason.
    pub fn message_id(&self) -> MessageId {
        MessageId(self.derive("message"))
    }

    fn derive(&self, what: &str) -> Uuid {
        let name = format!("countersign:{what}:{}\n{}\n{}", self.mailbox, self.uid_validity, self.uid);
        Uuid::new_v5(&Uuid::NAMESPACE_URL, name.as_bytes())
    }
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "uid {} of {}", self.uid, self.mailbox)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_always_derives_the_same_ids_and_another_delivery_others() {
        let delivery = |uid: &str| Delivery { mailbox: "ap".into(), uid_validity: 7, uid: uid.into() };
        assert_eq!(delivery("1").transaction_id(), delivery("1").transaction_id());
        assert_ne!(delivery("1").transaction_id(), delivery("2").transaction_id());
        assert_ne!(delivery("1").transaction_id().0, delivery("1").message_id().0);
    }
}
