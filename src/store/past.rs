//! Decided messages as they lie in the ledger, for looking at them again. Reads only.

use chrono::{DateTime, Utc};

use super::column::row;
use super::dialect::fetch;
use super::{StoreError, Tx};
use crate::domain::ids::{MessageId, TransactionId};
use crate::domain::verdict::Severity;

row! {
    /// One decided message with what is needed to screen it again.
    pub struct PastRow {
        pub id: MessageId,
        pub customer: String,
        pub mailbox: String,
        pub transaction_id: TransactionId,
        pub listed_at: DateTime<Utc>,
        pub received_at: Option<DateTime<Utc>>,
        pub decided_at: Option<DateTime<Utc>>,
        pub from_address: Option<String>,
        pub subject: Option<String>,
        /// The parsed message as JSON text, so that it is read where there is a processor to spare; none when it could not
        /// be parsed.
        pub facts: Option<String>,
        /// As rules gave it, whatever silence made of a reply.
        pub verdict: Option<String>,
        pub severity: Option<Severity>,
        pub reason: Option<String>,
        /// JSON text as well.
        pub explanation: Option<String>,
        /// Of the run that it started or answered.
        pub workflow: Option<String>,
        pub disposed_at: Option<DateTime<Utc>>,
        pub disposed_by: Option<String>,
    }
}

const PAST: &str = "(select m.id, m.customer, m.mailbox, m.transaction_id, m.listed_at, m.received_at, m.decided_at, m.from_address,
        m.subject, cast(m.facts as text) as facts, m.reason,
        case when w.message_id is null then m.verdict else 'reply' end as verdict,
        case when w.message_id is null then m.severity end as severity,
        cast(m.explanation as text) as explanation, r.workflow, m.disposed_at, m.disposed_by, m.disposition, m.released_as
     from messages m left join runs r on r.id = m.run_id left join reply_waits w on w.message_id = m.id
     where m.state = 'decided') as past";

/// A place in the order of listing: the next page begins after it.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    pub listed_at: DateTime<Utc>,
    pub id: MessageId,
}

impl Place {
    /// Before everything that was listed at the instant or later.
    pub fn before(listed_at: DateTime<Utc>) -> Self {
        Self { listed_at, id: MessageId(uuid::Uuid::nil()) }
    }

    pub fn of(row: &PastRow) -> Self {
        Self { listed_at: row.listed_at, id: row.id }
    }
}

/// The next decided messages in the order of their listing, of all mailboxes or one, listed until then.
pub async fn page(
    tx: &mut Tx,
    after: Place,
    until: DateTime<Utc>,
    mailbox: Option<&str>,
    most: i64,
) -> Result<Vec<PastRow>, StoreError> {
    let sql = format!(
        "select {} from {PAST}
         where listed_at >= $1 and (listed_at > $1 or id > $2) and listed_at <= $3
            and (cast($4 as text) is null or mailbox = $4)
         order by listed_at, id limit $5",
        PastRow::COLUMNS
    );
    fetch!(all PastRow, tx, sql, after.listed_at, after.id.0, until, mailbox, most)
}

/// Messages that people released from quarantine to a workflow since an instant, the latest first.
pub async fn released(tx: &mut Tx, since: DateTime<Utc>, most: i64) -> Result<Vec<PastRow>, StoreError> {
    let sql = format!(
        "select {} from {PAST}
         where disposition = 'released' and released_as = 'start' and disposed_at >= $1
         order by disposed_at desc, id desc limit $2",
        PastRow::COLUMNS
    );
    fetch!(all PastRow, tx, sql, since, most)
}
