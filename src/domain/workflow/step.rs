//! One node of a workflow.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::retry::{Retry, Timeout};
use super::tell::Notify;
use super::when::When;

/// One node: an agent with its settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    pub name: String,
    #[serde(default)]
    pub title: String,
    pub agent: String,
    /// Settings of the agent; strings may hold `{{ }}` over `inputs`, `steps` and `run`.
    #[serde(default)]
    pub with: Map<String, Value>,
    /// What must be over first: `verify` (done or skipped), or `route:high` (done with that case; see `Need`).
    #[serde(default)]
    pub needs: Vec<String>,
    /// How many of `needs` must have led here.
    #[serde(default, skip_serializing_if = "Join::is_default")]
    pub join: Join,
    /// The step is skipped when this is false.
    #[serde(default)]
    pub when: Option<When>,
    /// A template that gives a list of at most 1,000: the agent performs once for each, seen as `item` and `index`. The output
    /// is the list of outputs. After a failure no more are started, and the step fails; with `on_error = "continue"` all are
    /// performed, and the failure stands in the list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_each: Option<String>,
    /// Most that are begun and not over at the same time for one `for_each`; 10 where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    #[serde(default)]
    pub retry: Option<Retry>,
    #[serde(default)]
    pub timeout: Option<Timeout>,
    #[serde(default)]
    pub on_error: OnError,
    #[serde(default, skip_serializing_if = "Notify::is_empty")]
    pub notify: Notify,
    /// What the output is made of, by templates that also see `output`; all that the agent gave when empty. For each item of
    /// a `for_each` by itself.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub outputs: Map<String, Value>,
}

/// One entry of `needs`, read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Need<'a> {
    pub step: &'a str,
    /// The case that the step must have come to: its output's `case`. Any other case leads elsewhere, as if it were skipped.
    pub case: Option<&'a str>,
}

impl Step {
    /// Its needs, read.
    pub fn needs(&self) -> impl Iterator<Item = Need<'_>> {
        self.needs.iter().map(|need| Need::of(need))
    }
}

impl<'a> Need<'a> {
    pub fn of(text: &'a str) -> Self {
        match text.split_once(':') {
            Some((step, case)) => Self { step, case: Some(case) },
            None => Self { step: text, case: None },
        }
    }
}

/// How many of a step's needs must have led to it (be done, not skipped) before it starts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Join {
    /// All are over, and at least one was done.
    #[default]
    All,
    /// As soon as one is done. To its expressions, steps that are not over yet are none, as skipped ones are.
    Any,
    /// As soon as so many are done; skipped when so many cannot be any more. Its expressions are as for `any`.
    Count(u32),
}

impl Join {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
    fn is_default(&self) -> bool {
        *self == Self::All
    }
}

impl Serialize for Join {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::All => to.serialize_str("all"),
            Self::Any => to.serialize_str("any"),
            Self::Count(count) => to.serialize_u32(*count),
        }
    }
}

impl<'de> Deserialize<'de> for Join {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Words;
        impl Visitor<'_> for Words {
            type Value = Join;

            fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                to.write_str("`all`, `any` or how many")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Join, E> {
                match text {
                    "all" => Ok(Join::All),
                    "any" => Ok(Join::Any),
                    _ => Err(E::custom(format!("`{text}` is none of: all, any, or how many"))),
                }
            }

            fn visit_u64<E: Error>(self, count: u64) -> Result<Join, E> {
                match u32::try_from(count) {
                    Ok(count) if count > 0 => Ok(Join::Count(count)),
                    _ => Err(E::custom(format!("{count} is no number of steps to wait for"))),
                }
            }

            fn visit_i64<E: Error>(self, count: i64) -> Result<Join, E> {
                self.visit_u64(u64::try_from(count).unwrap_or_default())
            }
        }
        from.deserialize_any(Words)
    }
}

/// What a step that failed for good does to its run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum OnError {
    #[default]
    Fail,
    /// The run goes on; the step's output is its failure.
    Continue,
    /// The run goes on at this step, which starts only then and sees the failure as the failed step's output; it is skipped
    /// when nothing that leads there fails. What else needs the failed step takes it as skipped.
    GoTo(String),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GoTo {
    go_to: String,
}

impl Serialize for OnError {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Fail => to.serialize_str("fail"),
            Self::Continue => to.serialize_str("continue"),
            Self::GoTo(step) => GoTo { go_to: step.clone() }.serialize(to),
        }
    }
}

impl<'de> Deserialize<'de> for OnError {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = OnError;

            fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                to.write_str("`fail`, `continue` or { go_to = \"step\" }")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<OnError, E> {
                match text {
                    "fail" => Ok(OnError::Fail),
                    "continue" => Ok(OnError::Continue),
                    _ => Err(E::custom(format!("`{text}` is none of: fail, continue, or {{ go_to = \"step\" }}"))),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<OnError, A::Error> {
                GoTo::deserialize(MapAccessDeserializer::new(table)).map(|table| OnError::GoTo(table.go_to))
            }
        }
        from.deserialize_any(Either)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn step(more: Value) -> Result<Step, serde_json::Error> {
        let mut whole = json!({"name": "a", "agent": "noop"});
        whole.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(whole)
    }

    #[test]
    fn what_is_written_in_either_form_reads_back_as_it_was() {
        for more in [
            json!({"join": "any"}),
            json!({"join": 2}),
            json!({"when": "inputs.x"}),
            json!({"when": [{"key": "inputs.x", "is": 1, "not_in": ["a"]}]}),
            json!({"on_error": "continue"}),
            json!({"on_error": {"go_to": "b"}}),
            json!({"retry": {"count": 1, "interval": "5s", "never_on": ["x"]}}),
        ] {
            let read = step(more.clone()).unwrap();
            let again: Step = serde_json::from_value(serde_json::to_value(&read).unwrap()).unwrap();
            assert_eq!(read, again, "{more}");
        }
        for (more, expected) in [
            (json!({"join": 0}), "0 is no number of steps"),
            (json!({"join": "both"}), "`both` is none of: all, any"),
            (json!({"when": [{"key": "x", "isnt": 1}]}), "unknown field `isnt`"),
            (json!({"when": 5}), "an expression, or a list of comparisons"),
            (json!({"on_error": "panic"}), "`panic` is none of: fail, continue"),
            (json!({"on_error": {"goto": "x"}}), "unknown field `goto`"),
        ] {
            let told = step(more).unwrap_err().to_string();
            assert!(told.contains(expected), "{told} lacks {expected}");
        }
    }
}
