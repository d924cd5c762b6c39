//! Reading of rules, workflows and templates as one set: nothing of it counts unless all of it is in order and the tests
//! inside pass.

use super::files::{Contents, Stats};
use super::rulebook::Rulebook;
use super::{Behaviour, Refused};
use crate::config::Config;
use crate::config::diagnostic::Diagnostic;
use crate::config::workflows::presets::Presets;
use crate::config::workflows::{self, Known, KnownAgents, Loaded};
use crate::notify::templates::Templates;
use crate::rules::RuleSet;

/// How often files that change while they are read are read again.
const ATTEMPTS: usize = 3;

/// Reads everything, without touching any server.
///
/// # Errors
/// Everything that is wrong, each with file, line, snippet and mend; or that the files did not hold still.
pub fn load(config: &Config, agents: &dyn KnownAgents) -> Result<Behaviour, Refused> {
    let read = || Contents::read(&Stats::of(&config.files.behaviour()));
    let mut before = read();
    for _ in 0..ATTEMPTS {
        let made = make(config, agents);
        let after = read();
        if before == after {
            return match made {
                Ok((templates, rules, written, presets)) => {
                    let workflows = written.iter().map(|loaded| loaded.workflow.clone()).collect();
                    Ok(Behaviour { rules, workflows, written, presets, templates, files: after })
                }
                Err(told) => Err(Refused { files: after, told }),
            };
        }
        before = after;
    }
    let mend = Some("load them again when they are written".to_owned());
    let told = vec![Diagnostic::whole(&config.files.rules, "the files change while they are read", mend)];
    Err(Refused { files: before, told })
}

type Made = (Templates, RuleSet, Vec<Loaded>, Presets);

fn make(config: &Config, agents: &dyn KnownAgents) -> Result<Made, Vec<Diagnostic>> {
    let mut told = vec![];
    let templates = Templates::load(config.files.templates.as_deref()).map_err(|errors| told.extend(errors)).ok();
    let names: Option<Vec<String>> = templates.as_ref().map(|templates| templates.names().map(str::to_owned).collect());
    let presets = Presets::load(&config.files.agents, agents).map_err(|errors| told.extend(errors)).ok();
    // Without presets every step that names one would be reported.
    let workflows = presets.as_ref().and_then(|presets| {
        let known = Known { agents, presets, templates: names.as_deref() };
        workflows::load(&config.files.workflows, &known).map_err(|errors| told.extend(errors)).ok()
    });
    // Without templates every name in a rule would be reported as unknown.
    let rules = templates.as_ref().and_then(|templates| {
        let rules = Rulebook::new(config, templates).load(&config.files.rules);
        rules.map_err(|errors| told.extend(errors)).ok()
    });
    match (templates, rules, workflows, presets) {
        (Some(templates), Some(rules), Some(workflows), Some(presets)) => Ok((templates, rules, workflows, presets)),
        _ => Err(told),
    }
}
