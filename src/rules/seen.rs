//! One message under screening: its facts, and what was found out about them so far. Nothing is worked out twice.

use std::cell::OnceCell;

use serde_json::{Map, Value};

use super::facts::Facts;
use super::pattern::{Pattern, PatternBank};

/// A fact that is text and that patterns are matched against, all rules' patterns in one pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// The patterns of a rule set, by field.
#[derive(Debug, Default)]
pub(super) struct Banks([PatternBank; Field::ALL.len()]);

impl Banks {
    pub fn add(&mut self, field: Field, pattern: Pattern) -> usize {
        self.0[field as usize].add(pattern)
    }

    pub fn get(&self, field: Field, number: usize) -> Option<&Pattern> {
        self.0[field as usize].get(number)
    }

    pub fn prepare(&self) {
        self.0.iter().for_each(PatternBank::prepare);
    }
}

/// What conditions look at.
#[derive(Debug)]
pub(super) struct Seen<'a> {
    pub facts: &'a Facts,
    /// Sum of the signals; none while they are being added up.
    pub score: Option<i64>,
    banks: &'a Banks,
    matches: [OnceCell<Vec<Option<usize>>>; Field::ALL.len()],
    context: OnceCell<Value>,
}

impl<'a> Seen<'a> {
    pub fn new(facts: &'a Facts, banks: &'a Banks) -> Self {
        Self { facts, score: None, banks, matches: Default::default(), context: OnceCell::new() }
    }

    /// Sets the score; what was worked out without it is forgotten.
    pub fn set_score(&mut self, score: i64) {
        self.score = Some(score);
        self.context = OnceCell::new();
    }

    /// The first of a field's values that a pattern of its bank matches, with the pattern.
    pub fn matching(&self, field: Field, number: usize) -> Option<(&'a Pattern, &'a str)> {
        let first = self.matches[field as usize]
            .get_or_init(|| self.banks.0[field as usize].first_matches(&field.values(self.facts).unwrap_or_default()));
        let value = (*first.get(number)?)?;
        let values = field.values(self.facts)?;
        Some((self.banks.get(field, number)?, values.get(value)?))
    }

    /// Every documented fact that is known, for expressions.
    pub fn context(&self) -> &Value {
        self.context.get_or_init(|| {
            let mut facts = self.facts.to_json(true);
            if let Some(score) = self.score {
                facts.insert("score".into(), score.into());
            }
            facts.insert("captures".into(), Value::Object(Map::new()));
            Value::Object(facts)
        })
    }
}
