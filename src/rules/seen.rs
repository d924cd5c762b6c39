//! One message under screening: its facts, and what was found out about them so far. Nothing is worked out twice.

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;

use serde_json::{Map, Value};

use super::facts::Facts;
use super::lists::List;
use super::pattern::{Matches, Pattern, PatternBank};
use crate::domain::expression;

/// A fact that is text and that patterns are matched against, all rules' patterns in one pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Field {
    Mailbox,
    Customer,
    From,
    FromDomain,
    InnermostFrom,
    To,
    Subject,
    Body,
    AnyText,
}

impl Field {
    pub const ALL: [Self; 9] = [
        Self::Mailbox,
        Self::Customer,
        Self::From,
        Self::FromDomain,
        Self::InnermostFrom,
        Self::To,
        Self::Subject,
        Self::Body,
        Self::AnyText,
    ];

    /// The key of its condition.
    pub fn key(self) -> &'static str {
        match self {
            Self::Mailbox => "mailbox",
            Self::Customer => "customer",
            Self::From => "from",
            Self::FromDomain => "from_domain",
            Self::InnermostFrom => "innermost_from",
            Self::To => "to",
            Self::Subject => "subject",
            Self::Body => "body",
            Self::AnyText => "any_text",
        }
    }

    pub fn of_key(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.key() == key)
    }

    /// The values of the fact; none when it is not known.
    pub fn values(self, facts: &Facts) -> Option<Vec<&str>> {
        Some(match self {
            Self::Mailbox => vec![&facts.mailbox],
            Self::Customer => vec![&facts.customer],
            Self::From => vec![&facts.from.as_ref()?.address],
            Self::FromDomain => vec![facts.from.as_ref()?.domain()],
            Self::InnermostFrom => facts.innermost_from.iter().map(|from| from.address.as_str()).collect(),
            Self::To => facts.to.iter().map(String::as_str).collect(),
            Self::Subject => vec![&facts.subject],
            Self::Body => vec![&facts.body],
            Self::AnyText => {
                let names = facts.attachments.iter().map(|part| part.name.as_str());
                [facts.subject.as_str(), facts.body.as_str()].into_iter().chain(names).collect()
            }
        })
    }
}

/// Where patterns look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Field(Field),
    FileName,
    /// By its place in the banks.
    Header(usize),
}

/// The patterns of a rule set, by field.
#[derive(Debug, Default)]
pub(super) struct Banks {
    fields: [PatternBank; Field::ALL.len()],
    file_names: PatternBank,
    /// By name in lower case.
    headers: Vec<(String, PatternBank)>,
}

impl Banks {
    pub fn add(&mut self, field: Field, pattern: Pattern) -> usize {
        self.fields[field as usize].add(pattern)
    }

    pub fn add_file_name(&mut self, pattern: Pattern) -> usize {
        self.file_names.add(pattern)
    }

    /// Gives the place of the header among all that rules name, for `add_header` and `Seen::header`.
    pub fn header(&mut self, name: &str) -> usize {
        let known = self.headers.iter().position(|(known, _)| known == name);
        known.unwrap_or_else(|| {
            self.headers.push((name.to_owned(), PatternBank::default()));
            self.headers.len() - 1
        })
    }

    pub fn add_header(&mut self, header: usize, pattern: Pattern) -> usize {
        self.headers[header].1.add(pattern)
    }

    pub fn prepare(&self) {
        let headers = self.headers.iter().map(|(_, bank)| bank);
        self.fields.iter().chain([&self.file_names]).chain(headers).for_each(PatternBank::prepare);
    }
}

/// Values of the message with the patterns of one bank that match them.
#[derive(Debug, Clone)]
pub(super) struct Sighted<'a> {
    bank: &'a PatternBank,
    /// None when the fact is not known.
    pub values: Option<Vec<&'a str>>,
    matches: OnceCell<Matches>,
}

impl<'a> Sighted<'a> {
    fn new(bank: &'a PatternBank, values: Option<Vec<&'a str>>) -> Self {
        Self { bank, values, matches: OnceCell::new() }
    }

    fn matches(&self) -> &Matches {
        self.matches.get_or_init(|| self.bank.matches(self.values.as_deref().unwrap_or_default()))
    }

    /// Whether a pattern matches the value at this place.
    pub fn is_match(&self, value: usize, number: usize) -> bool {
        self.matches().is_match(value, number)
    }

    /// The first value that a pattern matches.
    pub fn first(&self, number: usize) -> Option<&'a str> {
        self.values.as_ref()?.get(self.matches().first(number)?).copied()
    }

    pub fn pattern(&self, number: usize) -> Option<&'a Pattern> {
        self.bank.get(number)
    }

    /// Numbers of the patterns that match any value, some perhaps twice; none when the fact is not known.
    fn matching(&self) -> Option<Vec<usize>> {
        self.values.as_ref()?;
        Some(self.matches().numbers().collect())
    }

    /// Whether any of these patterns matches any value; none when the fact is not known.
    pub fn any(&self, numbers: &[usize]) -> Option<bool> {
        self.values.as_ref()?;
        Some(numbers.iter().any(|number| self.matches().first(*number).is_some()))
    }
}

/// What conditions look at.
#[derive(Debug)]
pub(super) struct Seen<'a> {
    pub facts: &'a Facts,
    /// Sum of the signals; none while they are being added up.
    pub score: Option<i64>,
    banks: &'a Banks,
    fields: [OnceCell<Sighted<'a>>; Field::ALL.len()],
    file_names: OnceCell<Sighted<'a>>,
    headers: Vec<OnceCell<Sighted<'a>>>,
    /// By list and field.
    listed: RefCell<HashMap<(usize, Field), Option<usize>>>,
    values: OnceCell<Value>,
    context: OnceCell<expression::Context>,
}

impl<'a> Seen<'a> {
    pub fn new(facts: &'a Facts, banks: &'a Banks) -> Self {
        Self {
            facts,
            score: None,
            banks,
            fields: Default::default(),
            file_names: OnceCell::new(),
            headers: vec![OnceCell::new(); banks.headers.len()],
            listed: RefCell::default(),
            values: OnceCell::new(),
            context: OnceCell::new(),
        }
    }

    /// Sets the score; what was worked out without it is forgotten.
    pub fn set_score(&mut self, score: i64) {
        self.score = Some(score);
        (self.values, self.context) = (OnceCell::new(), OnceCell::new());
    }

    pub fn field(&self, field: Field) -> &Sighted<'a> {
        self.fields[field as usize]
            .get_or_init(|| Sighted::new(&self.banks.fields[field as usize], field.values(self.facts)))
    }

    /// Names of the attachments.
    pub fn file_names(&self) -> &Sighted<'a> {
        let names = || self.facts.attachments.iter().map(|part| part.name.as_str()).collect();
        self.file_names.get_or_init(|| Sighted::new(&self.banks.file_names, Some(names())))
    }

    /// The fields of the header at this place of `Banks::header`; none when there is no such place.
    pub fn header(&self, at: usize) -> Option<&Sighted<'a>> {
        let (name, bank) = self.banks.headers.get(at)?;
        let values = || self.facts.headers.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str());
        Some(self.headers.get(at)?.get_or_init(|| Sighted::new(bank, Some(values().collect()))))
    }

    /// Numbers of the patterns that match there; none when the fact is not known.
    pub fn matching(&self, place: Place) -> Option<Vec<usize>> {
        match place {
            Place::Field(field) => self.field(field).matching(),
            Place::FileName => self.file_names().matching(),
            Place::Header(at) => self.header(at)?.matching(),
        }
    }

    /// The first value of a field that is in a list.
    pub fn listed(&self, field: Field, list: &List) -> Option<&'a str> {
        let values = self.field(field).values.as_ref()?;
        let mut known = self.listed.borrow_mut();
        let find = || values.iter().position(|value| list.contains(self.facts, value));
        let at = *known.entry((list.id(), field)).or_insert_with(find);
        values.get(at?).copied()
    }

    /// Every documented fact that is known, for inputs and reasons.
    pub fn values(&self) -> &Value {
        self.values.get_or_init(|| {
            let mut facts = self.facts.to_json(true);
            if let Some(score) = self.score {
                facts.insert("score".into(), score.into());
            }
            facts.insert("captures".into(), Value::Object(Map::new()));
            Value::Object(facts)
        })
    }

    /// The same for expressions.
    pub fn context(&self) -> &expression::Context {
        self.context.get_or_init(|| expression::Context::new(self.values()))
    }
}
