//! The words of notices: templates taken from the binary, overridden by files of the admin, checked when loaded.
//!
//! `<name>.txt` holds `Subject: …`, a blank line and the text; `<name>.html`, where there is one, the same as HTML.
//! What may stand in them is in `catalogue`; values are made harmless in `values`. A set that does not render is never
//! taken.

mod catalogue;
mod check;
mod values;

use std::path::Path;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, UndefinedBehavior};
use serde_json::{Map, Value};

use crate::config::diagnostic::Diagnostic;
use catalogue::KNOWN;
use check::{Source, Sources};

/// Steps that one template may take; the largest of ours takes about a hundredth.
const FUEL: u64 = 500_000;
/// How deep templates may call each other; one include counts for about ten.
const RECURSION: usize = 100;

/// A set of templates that has been checked.
#[derive(Debug)]
pub struct Templates {
    environment: Environment<'static>,
}

/// What a person reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// One line.
    pub subject: String,
    pub text: String,
    pub html: Option<String>,
}

/// Why a template could not be filled in, although the set was checked: its data is not what it expects.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("template {template}{}: {why}", line.map(|line| format!(", line {line}")).unwrap_or_default())]
pub struct TemplateError {
    /// File name, such as `approval.html`.
    pub template: String,
    pub line: Option<usize>,
    pub why: String,
}

impl Templates {
    /// Takes each file from `dir` where it is there, from the binary otherwise, and tries every template with sample data.
    ///
    /// # Errors
    /// Everything that is wrong with the admin's files: unreadable or unknown files, syntax, values that no notice has.
    pub fn load(dir: Option<&Path>) -> Result<Self, Vec<Diagnostic>> {
        let sources = Sources::collect(dir)?;
        let mut found = sources.shape();
        let mut environment = environment();
        for source in &sources.files {
            found.extend(add(&mut environment, source).err().map(|error| sources.diagnose(&source.file, &error)));
        }
        if !found.is_empty() {
            return Err(found);
        }
        let templates = Self { environment };
        let mut found = sources.unknown_values(&templates.environment);
        if found.is_empty() {
            found = sources.try_out(&templates);
        }
        if found.is_empty() { Ok(templates) } else { Err(found) }
    }

    /// The names that `render` knows.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        KNOWN.iter().map(|known| known.name)
    }

    /// Fills a template in. Optional values that `data` lacks count as none.
    ///
    /// # Errors
    /// For an unknown name, a required value that is missing, and a value of the wrong shape.
    pub fn render(&self, name: &str, data: &Map<String, Value>) -> Result<Rendered, TemplateError> {
        self.fill_in(name, data).map_err(|error| error.plain())
    }

    fn fill_in(&self, name: &str, data: &Map<String, Value>) -> Result<Rendered, RenderError> {
        let known =
            KNOWN.iter().find(|known| known.name == name).ok_or_else(|| RenderError::NoSuch(name.to_owned()))?;
        let mut context = known.nothing();
        context.extend(data.clone());
        let value = minijinja::Value::from(minijinja::value::Serde(&context));
        let one = |template: &str| -> Result<Option<String>, RenderError> {
            let Some(found) = self.environment.templates().find(|(name, _)| *name == template) else { return Ok(None) };
            found.1.render(value.clone()).map(Some).map_err(|error| RenderError::Failed(template.to_owned(), error))
        };
        let subject = one(&format!("{name}{SUBJECT}"))?.unwrap_or_default();
        let subject = super::compose::one_line(subject.strip_prefix(SUBJECT_FIELD).unwrap_or(&subject));
        let text = one(&format!("{name}.txt"))?.unwrap_or_default();
        let text = format!("{}\n", values::tidy(&text));
        Ok(Rendered { subject, text, html: one(&format!("{name}.html"))? })
    }
}

/// Name of the first line of `<name>.txt` inside the environment, and what that line starts with.
const SUBJECT: &str = ".subject";
const SUBJECT_FIELD: &str = "Subject:";

enum RenderError {
    NoSuch(String),
    /// The template asked for, and the engine's error, which may come from a file that it includes.
    Failed(String, minijinja::Error),
}

impl RenderError {
    fn plain(self) -> TemplateError {
        match self {
            Self::NoSuch(template) => TemplateError { template, line: None, why: "there is none of this name".into() },
            Self::Failed(template, error) => {
                let fault = check::Fault::of(&template, &error);
                TemplateError { template: fault.file, line: fault.line, why: fault.why }
            }
        }
    }
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    if let Ok(syntax) = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build() {
        environment.set_syntax(syntax);
    }
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(RECURSION);
    // Errors then know the place in bytes; nothing of it is printed.
    environment.set_debug(true);
    values::install(&mut environment);
    environment
}

/// Adds a file; of a text with a subject both halves, each keeping its place in bytes and lines.
fn add(environment: &mut Environment<'static>, source: &Source) -> Result<(), minijinja::Error> {
    let Some((first, rest)) = source.halves() else {
        return environment.add_template_owned(source.file.clone(), source.text.clone());
    };
    environment.add_template_owned(source.file.replace(".txt", SUBJECT), first.to_owned())?;
    environment.add_template_owned(source.file.clone(), format!("{}{rest}", " ".repeat(first.len())))
}

#[cfg(test)]
mod tests;
