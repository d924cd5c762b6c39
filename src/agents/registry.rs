//! Which agents there are: one line each.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::Agent;
use super::approval::Approval;
use super::delay::Delay;
use super::extract_pdf::ExtractPdf;
use super::noop::Noop;
use super::notify::Notify;
use super::pdf::PdfReader;
use super::post_file::PostFile;
use super::request_info::RequestInfo;
use super::verify_invoice::VerifyInvoice;

/// What agents need besides a task.
#[derive(Debug, Clone)]
pub struct Settings {
    pub pdf: PdfReader,
    /// Directory that `post_file` may write into.
    pub post_directory: PathBuf,
}

/// Agents by name. Clones share them.
#[derive(Clone, Default)]
pub struct Registry {
    agents: BTreeMap<&'static str, Arc<dyn Agent>>,
}

impl Registry {
    /// The agents of this program.
    pub fn standard(settings: Settings) -> Self {
        let mut registry = Self::default();
        registry.add(Approval);
        registry.add(Delay);
        registry.add(ExtractPdf { reader: settings.pdf });
        registry.add(Noop);
        registry.add(Notify);
        registry.add(PostFile { directory: settings.post_directory });
        registry.add(RequestInfo);
        registry.add(VerifyInvoice);
        registry
    }

    /// Adds an agent.
    ///
    /// # Panics
    /// When its name is taken: a mistake of the program, seen at every start.
    pub fn add(&mut self, agent: impl Agent + 'static) {
        let name = agent.name();
        assert!(self.agents.insert(name, Arc::new(agent)).is_none(), "two agents are named `{name}`");
    }

    pub fn get(&self, name: &str) -> Option<&Arc<dyn Agent>> {
        self.agents.get(name)
    }

    /// Names and what they do, sorted by name.
    pub fn list(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.agents.values().map(|agent| (agent.name(), agent.about()))
    }
}
