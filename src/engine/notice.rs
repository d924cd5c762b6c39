//! Notices on their way into the outbox: each with its Message-ID, and its token where an answer may come back.

use serde_json::Value;

use super::{Engine, EngineError};
use crate::domain::ids::{NoticeId, TokenId};
use crate::domain::notice::{Draft, NoticeStatus};
use crate::domain::token::{Binding, token_hash};
use crate::store::notices::NoticeRow;
use crate::store::runs::RunRow;
use crate::store::tokens::TokenRow;
use crate::store::waits::WaitRow;
use crate::store::{Json, Tx, notices, tokens};

impl Engine {
    /// Writes a notice about a run, in the commit of its cause. With an open wait and an answerable draft it gets a token
    /// that is bound to run, step, generation and person.
    pub async fn write_notice(
        &self,
        tx: &mut Tx,
        run: &RunRow,
        wait: Option<&WaitRow>,
        draft: &Draft,
    ) -> Result<NoticeId, EngineError> {
        let token_id = match wait {
            Some(wait) if draft.answerable => Some(self.write_token(tx, wait, draft).await?),
            _ => None,
        };
        let origin = |key: &str| run.origin.get(key).and_then(Value::as_str);
        let mut row = self.row(&run.customer, origin("mailbox"), origin("address"), draft);
        row.run_id = Some(run.id);
        row.wait_id = wait.map(|wait| wait.id);
        row.token_id = token_id;
        notices::insert(tx, &row).await?;
        Ok(row.id)
    }

    /// Writes an answer to a mail that started nothing, or a word about it, from the mailbox that it came to.
    pub async fn write_reply(
        &self,
        tx: &mut Tx,
        customer: &str,
        mailbox: &str,
        address: &str,
        draft: &Draft,
    ) -> Result<NoticeId, EngineError> {
        let row = self.row(customer, Some(mailbox), Some(address), draft);
        notices::insert(tx, &row).await?;
        Ok(row.id)
    }

    fn row(&self, customer: &str, mailbox: Option<&str>, address: Option<&str>, draft: &Draft) -> NoticeRow {
        let now = self.clock.now();
        let id = NoticeId::new();
        NoticeRow {
            id,
            customer: customer.to_owned(),
            run_id: None,
            wait_id: None,
            token_id: None,
            mailbox: mailbox.map(str::to_owned),
            medium: draft.medium.clone(),
            person: draft.person.clone(),
            address: draft.address.clone(),
            template: draft.template.clone(),
            data: Json(draft.data.clone()),
            attachments: Json(draft.attachments.clone()),
            header_message_id: header_message_id(id, address),
            in_reply_to: draft.in_reply_to.clone(),
            status: NoticeStatus::Pending,
            attempts: 0,
            next_at: now,
            fence: 0,
            receipt: None,
            error: None,
            created_at: now,
            sent_at: None,
        }
    }

    async fn write_token(&self, tx: &mut Tx, wait: &WaitRow, draft: &Draft) -> Result<TokenId, EngineError> {
        let id = TokenId::new();
        let binding = Binding { id, wait: wait.id, generation: wait.generation, person: &draft.person };
        let row = TokenRow {
            id,
            hash: token_hash(&self.key.derive(&binding)),
            wait_id: wait.id,
            generation: wait.generation,
            person: draft.person.clone(),
            address: draft.address.clone(),
            created_at: self.clock.now(),
            void_at: None,
        };
        tokens::insert(tx, &row).await?;
        Ok(id)
    }
}

/// The Message-ID (RFC 5322, 3.6.4) of a notice, without brackets: the notice's id at the domain that answers come to.
pub fn header_message_id(id: NoticeId, address: Option<&str>) -> String {
    let domain =
        address.and_then(|address| address.rsplit_once('@')).map_or("countersign.invalid", |(_, domain)| domain);
    format!("{}@{domain}", id.0.simple())
}

/// Longest local part of an address, in octets (RFC 5321, 4.5.3.1.1).
const MAX_LOCAL: usize = 64;

/// The Reply-To that carries a notice's id: `ap+c-<id>@acme.example` (subaddressing, RFC 5233). The address alone where
/// there is no room for the tag; an answer is then known by what it says it answers.
pub fn tagged_address(own_address: &str, notice: NoticeId) -> String {
    let tagged =
        own_address.rsplit_once('@').map(|(local, domain)| (format!("{local}+c-{}", notice.0.simple()), domain));
    match tagged {
        Some((local, domain)) if local.len() <= MAX_LOCAL => format!("{local}@{domain}"),
        _ => own_address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_that_would_make_the_address_too_long_is_left_out() {
        let tagged = |local: usize| tagged_address(&format!("{}@acme.example", "a".repeat(local)), NoticeId::new());
        assert!(tagged(29).contains("+c-"));
        assert_eq!(tagged(29).find('@'), Some(64));
        assert_eq!(tagged(30), format!("{}@acme.example", "a".repeat(30)));
    }
}
