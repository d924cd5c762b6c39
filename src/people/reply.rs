//! Replies by mail: token and person and authentication decide; every other combination has its own answer.

use serde_json::{Map, Value, json};

use crate::domain::document::DocumentRef;
use crate::domain::ids::MessageId;
use crate::domain::message::{Automatic, Message};
use crate::domain::notice::Draft;
use crate::domain::person::{Address, Customer};
use crate::domain::wait::{Answer, Channel, Choice, Effect, WaitKind, WaitStatus};
use crate::engine::decide::{Decided, Ending};
use crate::engine::{Engine, EngineError};
use crate::mime::reply::fresh_text;
use crate::people::interpret::{self, Reading};
use crate::store::notices::NoticeRow;
use crate::store::runs::RunRow;
use crate::store::tokens::TokenRow;
use crate::store::waits::WaitRow;
use crate::store::{Tx, answers, runs, tokens, waits};

/// Mails that we send back, at most, to one person about one wait; after that silence, so that two machines cannot loop.
const MAX_ANSWERS_BACK: usize = 3;

/// A mail that answers one of our notices.
#[derive(Debug)]
pub struct Reply<'a> {
    pub id: MessageId,
    pub message: &'a Message,
    pub notice: &'a NoticeRow,
    pub customer: &'a Customer,
    /// Its documents, as stored.
    pub documents: &'a [DocumentRef],
}

/// What a reply came to, for the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    pub effect: Effect,
    pub reason: String,
}

/// Hears a reply inside the transaction that writes its message; poke `work` after the commit.
pub async fn hear(engine: &Engine, tx: &mut Tx, reply: &Reply<'_>) -> Result<Heard, EngineError> {
    let Some((run, token, wait)) = bound(tx, reply.notice).await? else {
        return Ok(Heard { effect: Effect::Comment, reason: "answers a notice that asks nothing".into() });
    };
    let talk = Talk { engine, reply, token, wait, run };
    talk.hear(tx).await
}

/// What a notice asked, under the lock of its run: the ladder cannot ask somebody else between this look and the decision.
async fn bound(tx: &mut Tx, notice: &NoticeRow) -> Result<Option<(RunRow, TokenRow, WaitRow)>, EngineError> {
    let (Some(token), Some(wait)) = (notice.token_id, notice.wait_id) else { return Ok(None) };
    let run = waits::get(tx, wait).await?.run_id;
    let run = runs::lock(tx, run).await?;
    Ok(Some((run, tokens::get(tx, token).await?, waits::get(tx, wait).await?)))
}

struct Talk<'a> {
    engine: &'a Engine,
    reply: &'a Reply<'a>,
    token: TokenRow,
    wait: WaitRow,
    run: RunRow,
}

/// What to do with a reply, before anything is written.
enum Plan {
    Decide(Answer),
    /// Keep it as said; tell its author why it did not count, if there is something to tell.
    Keep {
        effect: Effect,
        verified: String,
        reason: String,
        back: Option<(&'static str, Map<String, Value>)>,
    },
}

impl Talk<'_> {
    async fn hear(&self, tx: &mut Tx) -> Result<Heard, EngineError> {
        let name = &self.run.name;
        match self.plan() {
            Plan::Decide(answer) => {
                let choice = answer.choice;
                let decided = self.engine.decide(tx, self.wait.id, Ending::Answer(answer), Some(self.reply.id)).await?;
                if let Some(data) = late(&decided) {
                    self.tell_back(tx, "late-answer", data).await?;
                }
                let reason = match &decided {
                    Decided::Now => format!("{} answered {name}: {choice}", self.token.person),
                    Decided::Repeated(_) => format!("{} said the same about {name} again", self.token.person),
                    Decided::Late(first) => format!("{} had answered {name} before", first.by),
                    Decided::Over(status) => format!("the request of {name} is {status}"),
                };
                Ok(Heard { effect: decided.effect(), reason })
            }
            Plan::Keep { effect, verified, reason, back } => {
                let said = Answer {
                    by: self.speaker(),
                    choice: Choice::Proceed,
                    comment: Some(excerpt(&fresh_text(self.reply.message))).filter(|text| !text.is_empty()),
                    via: Channel::Mail,
                    verified,
                    output: Map::new(),
                };
                self.engine.record(tx, &self.wait, &said, effect, Some(self.reply.id)).await?;
                if let Some((template, data)) = back {
                    self.tell_back(tx, template, data).await?;
                }
                Ok(Heard { effect, reason: format!("{reason} ({name})") })
            }
        }
    }

    fn plan(&self) -> Plan {
        let message = self.reply.message;
        if let Some(automatic @ (Automatic::Reply | Automatic::Bulk)) = message.automatic {
            return machine(automatic);
        }
        let Some(author) = message.author().filter(|author| self.may_speak(&author.address)) else {
            let speaker = self.speaker();
            return Plan::Keep {
                effect: Effect::Comment,
                verified: format!("{speaker} is not {}", self.token.address),
                reason: format!("{speaker} was not asked; kept as a comment"),
                back: None,
            };
        };
        let Some(verified) = message.authentication.proves(author) else {
            let why = "we could not verify that it really came from you. Please use the link, or answer from your usual mail program";
            return Plan::Keep {
                effect: Effect::Refused,
                verified: "not authenticated".into(),
                reason: format!("nothing proves that {} wrote it", author.address),
                back: Some(("not-counted", self.told(why))),
            };
        };
        if self.token.void_at.is_some() && self.wait.status == WaitStatus::Open {
            let why = "somebody else has been asked in the meantime";
            return Plan::Keep {
                effect: Effect::Late,
                verified,
                reason: format!("{} is no longer asked", self.token.person),
                back: Some(("not-counted", self.told(why))),
            };
        }
        match self.wait.kind {
            WaitKind::Approval => self.plan_vote(verified),
            _ => self.plan_supply(verified),
        }
    }

    fn plan_vote(&self, verified: String) -> Plan {
        // Documents that a machine sends are as good as any; a decision is a person's.
        if let Some(automatic) = self.reply.message.automatic {
            return machine(automatic);
        }
        let text = fresh_text(self.reply.message);
        let (effect, reason) = match interpret::read(&text) {
            Reading::Decides { choice, comment } => {
                let by = self.token.person.clone();
                return Plan::Decide(Answer { by, choice, comment, via: Channel::Mail, verified, output: Map::new() });
            }
            Reading::Ambiguous => (Effect::Ambiguous, "it can be read in two ways; asked again"),
            Reading::Comment => (Effect::Comment, "it decides nothing; kept as a comment and asked again"),
            Reading::Empty => (Effect::Comment, "it says nothing; asked again"),
        };
        let mut data = Map::new();
        data.insert("question".into(), self.wait.question.as_str().into());
        data.insert("said".into(), first_line(&text).into());
        Plan::Keep { effect, verified, reason: reason.into(), back: Some(("ambiguous-answer", data)) }
    }

    fn plan_supply(&self, verified: String) -> Plan {
        let needs_documents = self.wait.facts.get("need_documents").and_then(Value::as_bool).unwrap_or(true);
        let text = excerpt(&fresh_text(self.reply.message));
        if self.reply.documents.is_empty() && (needs_documents || text.is_empty()) {
            let why = "we found no document attached to it. Please answer again with the document";
            return Plan::Keep {
                effect: Effect::Comment,
                verified,
                reason: "the answer brought no document".into(),
                back: Some(("not-counted", self.told(why))),
            };
        }
        let output = json!({ "documents": self.reply.documents, "text": text });
        Plan::Decide(Answer {
            by: self.speaker(),
            choice: Choice::Supply,
            comment: Some(text).filter(|text| !text.is_empty()),
            via: Channel::Mail,
            verified,
            output: output.as_object().cloned().unwrap_or_default(),
        })
    }

    /// The person asked, or for suppliers anybody who speaks for the same one.
    fn may_speak(&self, address: &str) -> bool {
        let (author, asked) = (Address::new(address), Address::new(&self.token.address));
        author.same_as(&asked.address)
            || (self.wait.kind == WaitKind::Reply && self.reply.customer.are_colleagues(&author, &asked))
    }

    fn speaker(&self) -> String {
        let author = self.reply.message.author().map(|author| author.address.clone());
        match author {
            Some(author) if author.eq_ignore_ascii_case(&self.token.address) => self.token.person.clone(),
            Some(author) => author,
            None => "somebody without a usable From".into(),
        }
    }

    fn told(&self, why: &str) -> Map<String, Value> {
        let mut data = Map::new();
        data.insert("question".into(), self.wait.question.as_str().into());
        data.insert("why".into(), why.into());
        data
    }

    /// Writes a mail back to whoever wrote, as long as that cannot become a loop. It goes to the address that was asked.
    async fn tell_back(&self, tx: &mut Tx, template: &str, data: Map<String, Value>) -> Result<(), EngineError> {
        let said = answers::of_wait(tx, self.wait.id).await?;
        let answered_back = said.iter().filter(|answer| answer.person == self.speaker()).count();
        if answered_back > MAX_ANSWERS_BACK {
            return Ok(());
        }
        let still_asked = self.wait.status == WaitStatus::Open && self.token.void_at.is_none();
        let draft = Draft {
            medium: "email".into(),
            person: self.token.person.clone(),
            address: self.token.address.clone(),
            template: template.into(),
            data,
            attachments: vec![],
            answerable: still_asked && template != "late-answer",
            in_reply_to: self.reply.message.message_id.clone(),
        };
        self.engine.write_notice(tx, &self.run, Some(&self.wait), &draft).await?;
        Ok(())
    }
}

/// What a machine says is kept and not answered.
fn machine(automatic: Automatic) -> Plan {
    Plan::Keep {
        effect: Effect::Comment,
        verified: format!("{automatic}: written by a machine"),
        reason: "an automatic answer decides nothing".into(),
        back: None,
    }
}

/// What somebody who came too late is told; none when their answer counted.
fn late(decided: &Decided) -> Option<Map<String, Value>> {
    let (by, decision) = match decided {
        Decided::Now | Decided::Repeated(_) => return None,
        Decided::Late(first) => (first.by.clone(), first.choice.as_str()),
        Decided::Over(WaitStatus::Expired) => (String::new(), "expired"),
        Decided::Over(_) => (String::new(), "withdrawn"),
    };
    let data = json!({ "decided_by": by, "decision": decision, "when": "before your answer arrived" });
    data.as_object().cloned()
}

fn first_line(text: &str) -> String {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    line.chars().take(200).collect()
}

fn excerpt(text: &str) -> String {
    text.trim().chars().take(2000).collect()
}
