//! `countersign workflows test`, and what `check --strict` asks of scenarios.

use std::path::{Path, PathBuf};

use crate::agents::pdf::PdfReader;
use crate::agents::{Registry, Settings};
use crate::cli::check::diagnostics_text;
use crate::cli::{Ending, Told};
use crate::config::diagnostic::Diagnostic;
use crate::config::workflows::Loaded;
use crate::domain::duration::Span;
use crate::scenarios::{self, DIRECTORY, Tried};

/// Plays these scenario files, or all of the directory of workflows.
///
/// # Errors
/// When there is no room to play them.
pub async fn test(workflows: &Path, written: &[Loaded], files: &[PathBuf], json: bool) -> anyhow::Result<Told> {
    match try_all(workflows, written, files).await? {
        Err(told) => Ok(told),
        Ok(tried) => {
            let text = if json { format!("{:#}\n", serde_json::to_value(&tried)?) } else { lines(&tried) };
            Ok(if tried.iter().all(|one| one.passed) { Told::done(text) } else { Told::failed(text) })
        }
    }
}

/// Plays every scenario, and asks for one of each workflow.
///
/// # Errors
/// When there is no room to play them.
pub async fn check_strictly(workflows: &Path, written: &[Loaded]) -> anyhow::Result<Told> {
    let tried = match try_all(workflows, written, &[]).await? {
        Err(told) => return Ok(told),
        Ok(tried) => tried,
    };
    let without = |loaded: &Loaded| {
        let what = format!("workflow {} has no scenario", loaded.workflow.label());
        let mend = format!("write one in {}/", workflows.join(DIRECTORY).display());
        Diagnostic::whole(&loaded.file, what, Some(mend))
    };
    let untried: Vec<Diagnostic> = scenarios::untried(written, &tried).into_iter().map(without).collect();
    if !untried.is_empty() {
        return Ok(Told { text: diagnostics_text(&untried), ending: Ending::Misused });
    }
    let text = lines(&tried);
    Ok(if tried.iter().all(|one| one.passed) { Told::done(text) } else { Told::failed(text) })
}

async fn try_all(workflows: &Path, written: &[Loaded], files: &[PathBuf]) -> anyhow::Result<Result<Vec<Tried>, Told>> {
    let misused = |wrong: &[Diagnostic]| Told { text: diagnostics_text(wrong), ending: Ending::Misused };
    let files = match files {
        [] => match scenarios::files(workflows) {
            Ok(files) => files,
            Err(wrong) => return Ok(Err(misused(&[wrong]))),
        },
        named => named.to_vec(),
    };
    let tried = scenarios::try_all(&files, written, agents).await?;
    Ok(tried.map_err(|wrong| misused(&wrong)))
}

/// Agents that write below a directory only. Documents are not there to be read.
fn agents(place: &Path) -> Registry {
    let pdf = PdfReader { program: PathBuf::new(), cpu: Span::from_secs(1), memory_bytes: 1 };
    Registry::standard(Settings { pdf, post_directory: place.join("posted") })
}

fn lines(tried: &[Tried]) -> String {
    let mut text = String::new();
    for one in tried {
        let word = if one.passed { "ok    " } else { "FAILED" };
        text.push_str(&format!("{word} {}: {} ({})\n", one.file.display(), one.about, one.workflow));
        if !one.passed {
            text.extend(one.failures.iter().map(|failure| format!("\n{failure}\n")));
            text.push_str("\nwhat happened:\n");
            text.extend(one.timeline.iter().map(|line| format!("  {line}\n")));
            text.push('\n');
        }
    }
    let failed = tried.iter().filter(|one| !one.passed).count();
    let count = tried.len();
    text.push_str(&match (count, failed) {
        (0, _) => "there are no scenarios\n".to_owned(),
        (_, 0) => format!("{count} scenarios, all as expected\n"),
        _ => format!("{count} scenarios, {failed} not as expected\n"),
    });
    text
}
