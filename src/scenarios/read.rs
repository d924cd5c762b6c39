//! The scenario file: TOML to a scenario whose names are known to its workflow, with a place for every complaint.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chrono::{DateTime, NaiveDateTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::config::diagnostic::Diagnostic;
use crate::config::located::{Located, Part};
use crate::domain::document::DocumentRef;
use crate::domain::duration::Span;
use crate::domain::event::sha256_hex;
use crate::domain::message::PartKind;
use crate::domain::nearest::nearest;
use crate::domain::run::RunStatus;
use crate::domain::step::StepStatus;
use crate::domain::wait::Choice;
use crate::domain::workflow::Workflow;
use crate::engine::start::take_documents;

/// A scenario that can be played.
#[derive(Debug)]
pub(super) struct Scenario {
    pub file: PathBuf,
    pub about: String,
    pub workflow: Workflow,
    pub customer: String,
    pub from: String,
    pub start: DateTime<Utc>,
    /// When it ends, if the run does not before.
    pub until: Option<DateTime<Utc>>,
    pub inputs: Map<String, Value>,
    /// Users and their roles.
    pub users: BTreeMap<String, Vec<String>>,
    pub steps: BTreeMap<String, Script>,
    /// In the order of their instants.
    pub events: Vec<Happening>,
    pub expected: Vec<Expected>,
    located: Located,
}

/// What a step gives instead of being performed.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Script {
    /// May hold `{{ }}` over `inputs`, `steps` and `run`.
    pub output: Option<Value>,
    pub fails: Option<Fails>,
    /// How long each attempt takes.
    pub takes: Option<Span>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fails {
    pub reason: String,
    #[serde(default)]
    pub details: String,
    /// How many attempts fail; all when missing.
    pub times: Option<u32>,
    /// Not worth another attempt.
    #[serde(default)]
    pub for_good: bool,
}

/// Something that happens from outside.
#[derive(Debug, Clone)]
pub(super) struct Happening {
    pub at: DateTime<Utc>,
    pub what: What,
    index: usize,
}

#[derive(Debug, Clone)]
pub(super) enum What {
    Answer(Said),
    /// Nothing runs for so long; then what came due meanwhile is caught up with.
    Down(Span),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Said {
    pub step: String,
    pub by: String,
    pub choice: Choice,
    pub comment: Option<String>,
    /// What comes along, for the step's output.
    #[serde(default)]
    pub output: Map<String, Value>,
}

/// Something that must be so.
#[derive(Debug, Clone)]
pub(super) struct Expected {
    /// At that minute; at any time, or at the end, when none.
    pub at: Option<DateTime<Utc>>,
    pub claim: Claim,
    index: usize,
}

#[derive(Debug, Clone)]
pub(super) enum Claim {
    /// A notice by this template.
    Notice {
        template: String,
        to: Option<String>,
        times: Option<usize>,
    },
    /// An event of the audit trail.
    Event {
        kind: String,
        step: Option<String>,
        times: Option<usize>,
    },
    Step {
        step: String,
        status: String,
        reason: Option<String>,
    },
    Run {
        status: RunStatus,
        reason: Option<String>,
    },
}

/// What a step that has not started is called.
pub(super) const NOT_STARTED: &str = "not_started";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScenarioFile {
    workflow: String,
    #[serde(default)]
    about: String,
    start: String,
    until: Option<String>,
    customer: Option<String>,
    #[serde(default = "somebody")]
    from: String,
    #[serde(default)]
    documents: Vec<String>,
    #[serde(default)]
    inputs: Map<String, Value>,
    #[serde(default)]
    users: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    steps: BTreeMap<String, Script>,
    #[serde(default)]
    event: Vec<EventEntry>,
    #[serde(default)]
    expect: Vec<ExpectEntry>,
}

fn somebody() -> String {
    "somebody@sender.example".to_owned()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EventEntry {
    at: Option<String>,
    after: Option<Span>,
    answer: Option<Said>,
    down: Option<Span>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectEntry {
    at: Option<String>,
    after: Option<Span>,
    notice: Option<String>,
    to: Option<String>,
    event: Option<String>,
    step: Option<String>,
    status: Option<String>,
    run: Option<RunStatus>,
    reason: Option<String>,
    times: Option<usize>,
}

impl Scenario {
    /// Reads a file about one of these workflows.
    ///
    /// # Errors
    /// Everything wrong with it, each with its place.
    pub fn read(file: &Path, workflows: &[Workflow]) -> Result<Self, Vec<Diagnostic>> {
        let located = Located::read(file)?;
        let mut told = vec![];
        let Some(written) = located.take::<ScenarioFile>(&[], &[], &mut told) else { return Err(told) };
        let Some(workflow) = named(&written.workflow, workflows) else {
            let known = workflows.iter().map(|one| one.name.as_str());
            let mend = nearest(&written.workflow, known).map(|near| format!("did you mean `{near}`?"));
            let what = format!("there is no workflow `{}`", written.workflow);
            told.push(located.complain(&["workflow"], Part::Value, what, mend));
            return Err(told);
        };
        let reader = Reader { located: &located, workflow, zone: workflow.calendar.zone };
        let start = reader.instant(&["start"], &written.start).map_err(|wrong| told.push(wrong)).ok();
        let until = written.until.as_deref().map(|text| reader.instant(&["until"], text)).transpose();
        let until = until.map_err(|wrong| told.push(wrong)).ok().flatten();
        let start = start.unwrap_or_default();
        for step in written.steps.keys() {
            reader.knows_step(&["steps", step], Part::Key, step).unwrap_or_else(|wrong| told.push(wrong));
        }
        let mut events = vec![];
        for (index, entry) in written.event.into_iter().enumerate() {
            reader.happening(index, entry, start).map_or_else(|wrong| told.push(wrong), |one| events.push(one));
        }
        events.sort_by_key(|one: &Happening| one.at);
        let mut expected = vec![];
        for (index, entry) in written.expect.into_iter().enumerate() {
            reader.expected(index, entry, start).map_or_else(|wrong| told.push(wrong), |one| expected.push(one));
        }
        if expected.is_empty() && told.is_empty() {
            let mend = Some("add `[[expect]]` with `run = \"completed\"`".to_owned());
            told.push(Diagnostic::whole(file, "it expects nothing", mend));
        }
        let mut inputs = written.inputs;
        if let Err(why) = take_documents(workflow, &mut inputs, &documents(&written.documents)) {
            told.push(located.complain(&["documents"], Part::Value, why, None));
        }
        if let Err(why) = workflow.accept(inputs.clone()) {
            told.push(located.complain(&["inputs"], Part::Key, why, None));
        }
        if !told.is_empty() {
            return Err(told);
        }
        let customer = written.customer.or_else(|| workflow.customers.first().cloned());
        Ok(Self {
            file: file.to_owned(),
            about: written.about,
            workflow: workflow.clone(),
            customer: customer.unwrap_or_else(|| "scenario".to_owned()),
            from: written.from,
            start,
            until,
            inputs,
            users: written.users,
            steps: written.steps,
            events,
            expected,
            located,
        })
    }

    /// What is wrong at an expectation.
    pub fn unmet(&self, expected: &Expected, what: String) -> Diagnostic {
        self.located.complain(&["expect", &expected.index.to_string()], Part::Value, what, None)
    }

    /// What is wrong with something that was to happen.
    pub fn impossible(&self, happening: &Happening, what: String) -> Diagnostic {
        self.located.complain(&["event", &happening.index.to_string()], Part::Value, what, None)
    }

    /// As a person of the workflow's calendar reads it: `Tue 2026-04-07 09:00`.
    pub fn local(&self, at: DateTime<Utc>) -> String {
        at.with_timezone(&self.workflow.calendar.zone).format("%a %Y-%m-%d %H:%M").to_string()
    }
}

/// `ap-invoice@3`, or the latest version of `ap-invoice`.
fn named<'a>(name: &str, workflows: &'a [Workflow]) -> Option<&'a Workflow> {
    workflows.iter().filter(|one| one.name == name || one.label() == name).max_by_key(|one| one.version)
}

/// References to documents that nobody opens: told apart by name.
fn documents(names: &[String]) -> Vec<DocumentRef> {
    let reference = |name: &String| {
        let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
        DocumentRef {
            path: format!("scenario/{name}"),
            name: name.clone(),
            kind: extension.parse().unwrap_or(PartKind::Pdf),
            sha256: sha256_hex(name.as_bytes()),
            size_bytes: 0,
        }
    };
    names.iter().map(reference).collect()
}

struct Reader<'a> {
    located: &'a Located,
    workflow: &'a Workflow,
    zone: Tz,
}

impl Reader<'_> {
    /// `2026-04-07 09:00` in the zone of the workflow's calendar, or with an offset as RFC 3339 has it.
    fn instant(&self, at: &[&str], text: &str) -> Result<DateTime<Utc>, Diagnostic> {
        if let Ok(instant) = DateTime::parse_from_rfc3339(text) {
            return Ok(instant.to_utc());
        }
        let local = ["%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S"]
            .iter()
            .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok());
        let refuse = |what: String, mend: &str| self.located.complain(at, Part::Value, what, Some(mend.to_owned()));
        let local = local.ok_or_else(|| {
            refuse(format!("`{text}` is no point in time"), "write it as \"2026-04-07 09:00\", or with an offset")
        })?;
        let found = self.zone.from_local_datetime(&local).earliest();
        let gap = || refuse(format!("there is no {local} in {}", self.zone), "clocks were put forward over it");
        Ok(found.ok_or_else(gap)?.to_utc())
    }

    /// An instant, or a span since the start; none when neither is written.
    fn when(
        &self,
        at: &[&str],
        instant: Option<&str>,
        after: Option<Span>,
        start: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, Diagnostic> {
        match (instant, after) {
            (None, None) => Ok(None),
            (Some(text), None) => self.instant(&[at, &["at"]].concat(), text).map(Some),
            (None, Some(span)) => Ok(Some(start + span.delta())),
            (Some(_), Some(_)) => {
                Err(self.located.complain(at, Part::Value, "it has both `at` and `after`", Some("write one".into())))
            }
        }
    }

    fn knows_step(&self, at: &[&str], part: Part, name: &str) -> Result<(), Diagnostic> {
        if self.workflow.step(name).is_some() {
            return Ok(());
        }
        let known: Vec<&str> = self.workflow.steps.iter().map(|step| step.name.as_str()).collect();
        let mend = nearest(name, known.iter().copied())
            .map_or_else(|| format!("there are: {}", known.join(", ")), |near| format!("did you mean `{near}`?"));
        let what = format!("{} has no step `{name}`", self.workflow.label());
        Err(self.located.complain(at, part, what, Some(mend)))
    }

    fn happening(&self, index: usize, entry: EventEntry, start: DateTime<Utc>) -> Result<Happening, Diagnostic> {
        let number = index.to_string();
        let place = ["event", number.as_str()];
        let refuse = |what: &str, mend: &str| self.located.complain(&place, Part::Value, what, Some(mend.to_owned()));
        let at = self.when(&place, entry.at.as_deref(), entry.after, start)?;
        let at = at.ok_or_else(|| refuse("it does not say when", "add `after = \"2d\"` or `at = …`"))?;
        let what = match (entry.answer, entry.down) {
            (Some(said), None) => {
                self.knows_step(&["event", &number, "answer", "step"], Part::Value, &said.step)?;
                What::Answer(said)
            }
            (None, Some(span)) => What::Down(span),
            _ => return Err(refuse("it must have `answer` or `down`", "`answer = { step = …, by = …, choice = … }`")),
        };
        Ok(Happening { at: at.max(start), what, index })
    }

    fn expected(&self, index: usize, entry: ExpectEntry, start: DateTime<Utc>) -> Result<Expected, Diagnostic> {
        let number = index.to_string();
        let place = ["expect", number.as_str()];
        let ExpectEntry { at, after, notice, to, event, step, status, run, reason, times } = entry;
        let at = self.when(&place, at.as_deref(), after, start)?;
        if let Some(step) = &step {
            self.knows_step(&["expect", &number, "step"], Part::Value, step)?;
        }
        let claim = match (notice, event, step, status, run) {
            (Some(template), None, None, None, None) if reason.is_none() => Claim::Notice { template, to, times },
            (None, Some(kind), step, None, None) if to.is_none() && reason.is_none() => {
                Claim::Event { kind, step, times }
            }
            (None, None, Some(step), Some(status), None) if to.is_none() && times.is_none() => {
                let known = StepStatus::ALL.iter().map(|one| one.as_str()).chain([NOT_STARTED]).collect::<Vec<_>>();
                if !known.contains(&status.as_str()) {
                    let what = format!("`{status}` is none of: {}", known.join(", "));
                    return Err(self.located.complain(&["expect", &number, "status"], Part::Value, what, None));
                }
                Claim::Step { step, status, reason }
            }
            (None, None, None, None, Some(status)) if to.is_none() && times.is_none() => Claim::Run { status, reason },
            _ => {
                let mend = "`notice` (with `to`, `times`), `event` (with `step`, `times`), `step` with `status`, or `run`; \
                    the last two with `reason`";
                let what = "it must be one thing that can be expected";
                return Err(self.located.complain(&place, Part::Value, what, Some(mend.to_owned())));
            }
        };
        Ok(Expected { at, claim, index })
    }
}

/// How exact an instant in a scenario is.
pub(super) const MINUTE: TimeDelta = TimeDelta::minutes(1);
