//! Which agents there are: one line each.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::Agent;
use super::approval::Approval;
use super::delay::Delay;
use super::extract_pdf::ExtractPdf;
use super::noop::Noop;
use super::notify::Notify;
use super::pdf::PdfReader;
use super::post_file::PostFile;
use super::request_info::RequestInfo;
use super::switch::Switch;
use super::verify_invoice::VerifyInvoice;
use super::workflow::SubWorkflow;
use crate::config::workflows::KnownAgents;

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
        registry.add(SubWorkflow);
        registry.add(Switch);
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

    /// Every agent, sorted by name.
    pub fn all(&self) -> impl Iterator<Item = &Arc<dyn Agent>> {
        self.agents.values()
    }

    /// Names and what they do, sorted by name.
    pub fn list(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.agents.values().map(|agent| (agent.name(), agent.about()))
    }
}

impl KnownAgents for Registry {
    fn names(&self) -> Vec<&'static str> {
        self.agents.keys().copied().collect()
    }

    fn check(&self, agent: &str, with: &Map<String, Value>) -> Option<Vec<(String, String)>> {
        self.get(agent).map(|agent| agent.check(with))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::duration::Span;

    #[test]
    fn every_agent_has_its_own_name_and_says_what_it_does() {
        let pdf = PdfReader { program: "countersign".into(), cpu: Span::from_secs(1), memory_bytes: 1 };
        let registry = Registry::standard(Settings { pdf, post_directory: "posted".into() });
        assert_eq!(
            registry.names(),
            [
                "approval",
                "delay",
                "extract_pdf",
                "noop",
                "notify",
                "post_file",
                "request_info",
                "switch",
                "verify_invoice",
                "workflow"
            ]
        );
        assert!(registry.list().all(|(_, about)| about.ends_with('.')));
        assert!(registry.check("aproval", &Map::new()).is_none());
        assert!(!registry.check("approval", &Map::new()).unwrap().is_empty());
    }

    #[test]
    #[should_panic(expected = "two agents are named `noop`")]
    fn two_agents_of_one_name_are_refused() {
        let mut registry = Registry::default();
        registry.add(Noop);
        registry.add(Noop);
    }
}
