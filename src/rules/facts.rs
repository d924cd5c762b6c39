//! What rules may know about a message, gathered once. A fact that is not known is absent, never false.

use std::sync::OnceLock;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::read::shorten;
use super::{language, lookalike};
use crate::domain::document::{DocumentRef, EarlierDocument, Repeated};
use crate::domain::message::{AuthResult, Automatic, Message, Part, PartKind, PartRole, append};
use crate::domain::person::{Address, Customer, Supplier, User};
use crate::domain::verdict::Joined;

/// What is known about a message besides itself.
#[derive(Debug, Clone)]
pub struct Surroundings<'a> {
    /// Configured name of the mailbox it was found in.
    pub mailbox: &'a str,
    pub customer: &'a Customer,
    /// Id of the earlier message that says the same.
    pub duplicate_of: Option<String>,
    /// Its documents that came before, in other messages.
    pub earlier: &'a [EarlierDocument],
    /// Whether this author never wrote before; none when nobody looked.
    pub first_time_sender: Option<bool>,
    pub now: DateTime<Utc>,
    /// Where the parts of role document were filed, those of `joined` after its own.
    pub documents: &'a [DocumentRef],
    /// The messages that it answers by our reply, screened with it as one.
    pub joined: Option<&'a Joined>,
}

/// The facts that conditions, expressions, inputs and reasons work from. `FACTS` documents them.
#[derive(Debug, Clone)]
pub struct Facts {
    pub mailbox: String,
    pub customer: String,
    /// The one author; none when From names nobody or several.
    pub from: Option<Address>,
    pub innermost_from: Option<Address>,
    /// Delivered-To, To and Cc.
    pub to: Vec<String>,
    pub subject: String,
    pub body: String,
    /// Name in lower case and value, topmost first.
    pub headers: Vec<(String, String)>,
    /// Every part that is neither body nor decoration.
    pub attachments: Vec<Attachment>,
    pub documents: Vec<DocumentRef>,
    /// Documents that belong together, each by its place in `documents`, the leading one first: a PDF with its XML twin, and
    /// what came more than once. Those without content are in none.
    pub groups: Vec<Vec<usize>>,
    /// Parts of role document.
    pub document_count: usize,
    /// Documents with content, a document and its twin counted once.
    pub usable_documents: usize,
    pub duplicate_of: Option<String>,
    /// How many of the documents with content came before, in other messages.
    pub duplicate_documents: Repeated,
    /// The run or message that the first of them came with.
    pub duplicate_documents_of: Option<String>,
    /// A pass counts only when it speaks for the author's domain.
    pub dmarc: Option<AuthResult>,
    pub spf: Option<AuthResult>,
    /// Result and signing domain of each signature.
    pub dkim: Vec<(AuthResult, String)>,
    /// How the author is proven; none when not at all.
    pub authenticated: Option<String>,
    /// The supplier that the author speaks for. Meaningless without an author.
    pub supplier: Option<String>,
    /// The user that the author is. Meaningless without an author.
    pub user: Option<String>,
    /// The known domain that the author's domain imitates. Meaningless without an author.
    pub lookalike_of: Option<String>,
    pub first_time_sender: Option<bool>,
    /// Whether it answers a reply of ours, in time, and is screened as one with the message before.
    pub answers_reply: bool,
    pub automatic: Option<Automatic>,
    /// Worked out when it is first asked for; `language()`.
    pub(super) language: OnceLock<Option<&'static str>>,
    /// Addresses and domains of this mail, in lower case, that belong to suppliers of the customer.
    pub of_suppliers: Vec<String>,
    /// The same of users.
    pub of_users: Vec<String>,
    pub now: DateTime<Utc>,
}

/// A part as rules see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    pub name: String,
    pub kind: PartKind,
    pub role: PartRole,
    pub size_bytes: u64,
}

/// Every fact an expression may name, and what it holds. "Unknown" means: an expression that uses it does not hold.
pub const FACTS: &[(&str, &str)] = &[
    ("mailbox", "name of the mailbox"),
    ("customer", "name of the customer"),
    ("from", "address of the one author; unknown when From names nobody or several"),
    ("from_name", "display name of the author, which anybody can choose; may be empty"),
    ("from_domain", "domain of the author, lower case"),
    ("innermost_from", "address of the sender of the innermost forwarded message, or null"),
    ("to", "list of addresses it was sent or delivered to"),
    ("subject", "subject"),
    ("body", "body as plain text"),
    ("headers", "object: header name in lower case to the topmost value"),
    ("attachments", "list of {name, kind, role, size_bytes}"),
    ("documents", "list of {path, name, kind, sha256, size_bytes}, to hand to a workflow"),
    ("document_count", "number of parts of role document"),
    ("usable_documents", "number of documents with content, a document and its twin counted once"),
    ("duplicate", "whether the same message came before"),
    ("duplicate_of", "id of the earlier message, or null"),
    ("duplicate_documents", "whether its documents came before, in other messages: none, some, or all"),
    (
        "duplicate_documents_of",
        "the run that the first of them came with, `AP-000001`, else `message` and its id, or null",
    ),
    ("dmarc", "DMARC result for the author's domain; unknown when no trusted server gave one"),
    ("spf", "SPF result; unknown when no trusted server gave one"),
    ("dkim", "list of {result, domain}; unknown when no trusted server gave one"),
    ("authenticated", "whether the author is proven"),
    ("known_supplier", "whether the author speaks for a supplier of the customer; unknown without an author"),
    ("supplier", "name of that supplier, or null; unknown without an author"),
    ("known_user", "whether the author is a user of the customer; unknown without an author"),
    ("user", "name of that user, or null; unknown without an author"),
    ("lookalike_domain", "whether the author's domain imitates a known one; unknown without an author"),
    ("lookalike_of", "the imitated domain, or null; unknown without an author"),
    ("first_time_sender", "whether the author never wrote before; unknown when nobody looked"),
    (
        "answers_reply",
        "whether it answers a reply of ours that waited, in time; attachments and documents are then those of both",
    ),
    ("automatic", "auto-reply, auto-generated, bulk, or null"),
    ("language", "language of subject and body, `en`; unknown when the text is short or not clear"),
    ("score", "sum of the points of all signals; not in signals themselves"),
    ("now", "time of screening, RFC 3339 in UTC"),
    ("captures", "object: named groups of the rule's regexes"),
    ("group", "the documents that one run takes: {name, kind, documents}; only in inputs of a start that divides them"),
];

impl Facts {
    pub fn gather(message: &Message, around: &Surroundings<'_>) -> Self {
        let Some(joined) = around.joined else { return Self::of(message, around) };
        let mut both = message.clone();
        append(&mut both.parts, &joined.parts);
        let mut facts = Self { answers_reply: true, ..Self::of(&both, around) };
        facts.first_time_sender = joined.first_time_sender.or(facts.first_time_sender);
        if !joined.proven {
            // What somebody unproven sent is not proven by whoever answers.
            (facts.authenticated, facts.dmarc, facts.spf, facts.dkim) = (None, None, None, vec![]);
        }
        facts
    }

    fn of(message: &Message, around: &Surroundings<'_>) -> Self {
        let author = message.author();
        let trusted = message.authentication.by().is_some();
        let authentication = &message.authentication;
        let customer = around.customer;
        let speaking = author.and_then(|author| customer.suppliers.iter().find(|s| s.speaks_from(author)));
        let user = author.and_then(|author| customer.users.iter().find(|user| author.same_as(&user.address)));
        let known_domains = || {
            let of_suppliers = customer.suppliers.iter().flat_map(|s: &Supplier| s.domains.iter().map(String::as_str));
            let of_users = customer.users.iter().filter_map(|u: &User| Some(u.address.rsplit_once('@')?.1));
            of_suppliers.chain(of_users)
        };
        let known = speaking.is_some() || user.is_some();
        let imitated = author.filter(|_| !known).and_then(|a| lookalike::imitated(a.domain(), known_domains()));
        let dmarc = authentication.dmarc.filter(|result| {
            let for_author = || author.zip(authentication.dmarc_from.as_deref());
            *result != AuthResult::Pass || for_author().is_some_and(|(a, from)| from.eq_ignore_ascii_case(a.domain()))
        });
        let recipients = message.delivered_to.iter().chain(&message.to).chain(&message.cc);
        let usable = message.documents().filter(|part| {
            let first_of_twins = part.twin_of.is_none_or(|twin| twin > part.index || !has_document(message, twin));
            part.size_bytes > 0 && first_of_twins
        });
        let people = || recipients.clone().chain(author).chain(&message.innermost_from);
        let (duplicate_documents, duplicate_documents_of) = repeated(message, around.earlier);
        Self {
            mailbox: around.mailbox.to_owned(),
            customer: customer.name.clone(),
            from: author.cloned(),
            innermost_from: message.innermost_from.clone(),
            to: recipients.clone().map(|to| to.address.clone()).collect(),
            subject: message.subject.clone(),
            body: message.text.clone(),
            headers: message.headers.clone(),
            attachments: attachments(message),
            documents: around.documents.to_vec(),
            groups: groups(message, around.documents.len()),
            document_count: message.documents().count(),
            usable_documents: usable.count(),
            duplicate_of: around.duplicate_of.clone(),
            duplicate_documents,
            duplicate_documents_of,
            dmarc: dmarc.filter(|_| trusted),
            spf: authentication.spf.filter(|_| trusted),
            dkim: if trusted { authentication.dkim.clone() } else { vec![] },
            authenticated: author.and_then(|author| authentication.proves(author)),
            supplier: speaking.map(|supplier| supplier.name.clone()),
            user: user.map(|user| user.name.clone()),
            lookalike_of: imitated.map(str::to_owned),
            first_time_sender: around.first_time_sender,
            answers_reply: false,
            automatic: message.automatic,
            language: OnceLock::new(),
            of_suppliers: of_suppliers(customer, people()),
            of_users: of_users(customer, people()),
            now: around.now,
        }
    }

    /// ISO 639-1 code of the language of subject and body; none when not known.
    pub fn language(&self) -> Option<&'static str> {
        *self.language.get_or_init(|| language::of(&format!("{}\n{}", self.subject, self.body)))
    }

    /// The facts as named values, for expressions and for the explanation. Unknown ones are left out.
    ///
    /// With `whole`, body and headers are in it; an explanation is kept for years and does without.
    pub(super) fn to_json(&self, whole: bool) -> Map<String, Value> {
        let mut facts = Map::new();
        let mut put = |name: &str, value: Value| drop(facts.insert(name.to_owned(), value));
        put("mailbox", json!(self.mailbox));
        put("customer", json!(self.customer));
        if let Some(from) = &self.from {
            put("from", json!(from.address));
            put("from_name", json!(from.name.as_deref().unwrap_or_default()));
            put("from_domain", json!(from.domain()));
            put("known_supplier", json!(self.supplier.is_some()));
            put("supplier", json!(self.supplier));
            put("known_user", json!(self.user.is_some()));
            put("user", json!(self.user));
            put("lookalike_domain", json!(self.lookalike_of.is_some()));
            put("lookalike_of", json!(self.lookalike_of));
        }
        put("innermost_from", json!(self.innermost_from.as_ref().map(|from| &from.address)));
        put("to", json!(self.to));
        if whole {
            put("subject", json!(self.subject));
            put("body", json!(self.body));
            let headers: Map<_, _> = self.headers.iter().rev().map(|(k, v)| (k.clone(), json!(v))).collect();
            put("headers", Value::Object(headers));
            if let Some(language) = self.language() {
                put("language", json!(language));
            }
        } else {
            put("subject", json!(shorten(&self.subject, 500)));
        }
        let attachments = self.attachments.iter().map(
            |part| json!({"name": part.name, "kind": part.kind, "role": part.role, "size_bytes": part.size_bytes}),
        );
        put("attachments", attachments.collect());
        put("documents", json!(self.documents));
        put("document_count", json!(self.document_count));
        put("usable_documents", json!(self.usable_documents));
        put("duplicate", json!(self.duplicate_of.is_some()));
        put("duplicate_of", json!(self.duplicate_of));
        put("duplicate_documents", json!(self.duplicate_documents));
        put("duplicate_documents_of", json!(self.duplicate_documents_of));
        if let Some(dmarc) = self.dmarc {
            put("dmarc", json!(dmarc));
        }
        if let Some(spf) = self.spf {
            put("spf", json!(spf));
        }
        if !self.dkim.is_empty() {
            let dkim = self.dkim.iter().map(|(result, domain)| json!({"result": result, "domain": domain}));
            put("dkim", dkim.collect());
        }
        put("authenticated", json!(self.authenticated.is_some()));
        if let Some(first) = self.first_time_sender {
            put("first_time_sender", json!(first));
        }
        put("answers_reply", json!(self.answers_reply));
        put("automatic", json!(self.automatic));
        put("now", json!(self.now.to_rfc3339()));
        facts
    }
}

fn has_document(message: &Message, index: u32) -> bool {
    message.documents().any(|part| part.index == index && part.size_bytes > 0)
}

fn groups(message: &Message, filed: usize) -> Vec<Vec<usize>> {
    let parts: Vec<&Part> = message.documents().take(filed).collect();
    let with_content = |index: u32| parts.iter().find(|part| part.index == index && part.size_bytes > 0);
    // The part that its group is named by: of twins the one that the other points at.
    let lead = |part: &Part| -> u32 {
        match part.twin_of.and_then(with_content) {
            Some(twin) if twin.twin_of == Some(part.index) => twin.index.min(part.index),
            Some(twin) => twin.index,
            None => part.index,
        }
    };
    let mut groups: Vec<(&str, Vec<usize>)> = vec![];
    for (at, part) in parts.iter().enumerate().filter(|(_, part)| part.size_bytes > 0) {
        let leading = lead(part);
        let Some(hash) = with_content(leading).map(|leading| leading.sha256.as_str()) else { continue };
        if !groups.iter().any(|(known, _)| *known == hash) {
            groups.push((hash, vec![]));
        }
        let Some((_, group)) = groups.iter_mut().find(|(known, _)| *known == hash) else { continue };
        let is_led = group.first().is_some_and(|first| parts[*first].sha256 == hash);
        let place = if leading == part.index && !is_led { 0 } else { group.len() };
        group.insert(place, at);
    }
    groups.into_iter().map(|(_, group)| group).collect()
}

fn repeated(message: &Message, earlier: &[EarlierDocument]) -> (Repeated, Option<String>) {
    let with_content: Vec<_> = message.documents().filter(|part| part.size_bytes > 0).collect();
    let came = |part: &&Part| earlier.iter().find(|earlier| earlier.sha256 == part.sha256);
    let known: Vec<_> = with_content.iter().filter_map(came).collect();
    let repeated = match known.len() {
        0 => Repeated::None,
        all if all == with_content.len() => Repeated::All,
        _ => Repeated::Some,
    };
    let told = |first: &&EarlierDocument| first.run.clone().unwrap_or_else(|| format!("message {}", first.message));
    (repeated, known.first().map(told))
}

fn of_suppliers<'m>(customer: &Customer, people: impl Iterator<Item = &'m Address>) -> Vec<String> {
    let mut known = vec![];
    for one in people {
        let named = |domain: &String| domain.eq_ignore_ascii_case(one.domain());
        if customer.suppliers.iter().any(|supplier| supplier.speaks_from(one)) {
            known.push(one.address.to_lowercase());
        }
        if customer.suppliers.iter().any(|supplier| supplier.domains.iter().any(named)) {
            known.push(one.domain().to_lowercase());
        }
    }
    known
}

fn of_users<'m>(customer: &Customer, people: impl Iterator<Item = &'m Address>) -> Vec<String> {
    let mut known = vec![];
    for one in people {
        let at_home = |user: &User| Address::new(&user.address).domain().eq_ignore_ascii_case(one.domain());
        if customer.users.iter().any(|user| one.same_as(&user.address)) {
            known.push(one.address.to_lowercase());
        }
        if customer.users.iter().any(at_home) {
            known.push(one.domain().to_lowercase());
        }
    }
    known
}

fn attachments(message: &Message) -> Vec<Attachment> {
    let shown = message.parts.iter().filter(|part| !matches!(part.role, PartRole::Body | PartRole::Decoration));
    let seen = shown.map(|part| Attachment {
        name: part.name.clone().unwrap_or_default(),
        kind: part.kind,
        role: part.role,
        size_bytes: part.size_bytes,
    });
    seen.collect()
}
