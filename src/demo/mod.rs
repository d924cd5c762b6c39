//! The demo: the main job from mail to posting, with everything embedded and days passed by the injected clock.
//! It is played on the real product; only the clock and the senders are staged.

mod scenes;
mod stage;
mod telling;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use stage::Stage;

/// What the command line asks for.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// End when the story is told, with exit code 1 if anything came out otherwise than expected.
    pub once: bool,
    /// Where to keep the state; a temporary directory, removed at the end, when missing.
    pub dir: Option<PathBuf>,
}

/// Plays the demo.
///
/// # Errors
/// When the stage cannot be set: a directory that is not empty, no free port.
pub async fn play(options: Options) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    let mut stage = Stage::set(options.dir).await?;
    scenes::play(&mut stage).await?;
    stage.surprises.extend(telling::differences(&stage).await?);
    telling::end(&stage, started.elapsed()).await?;
    let failed = stage.surprises.len();
    for surprise in &stage.surprises {
        eprintln!("not as expected: {surprise}");
    }
    if !options.once {
        stage.stay().await?;
    }
    stage.strike().await?;
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
