//! `countersign rules`: what rules do to mail, before they do it.

mod replay_told;
mod tests_told;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;

use anyhow::bail;
use clap::Subcommand;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::args::ENDINGS;
use super::check::diagnostics_text;
use super::{Context, Ending, Since, Told, inject, say};
use crate::behaviour::Rulebook;
use crate::config::diagnostic::Diagnostic;
use crate::intake::Preview;
use crate::intake::replay::{Against, People, Wanted};
use crate::reports::explain_message;
use crate::rules::RuleSet;

/// What can be asked of rules.
#[derive(Debug, Clone, Subcommand)]
pub enum Rules {
    /// Run the tests inside the rule files
    #[command(
        after_help = ENDINGS,
        long_about = "Runs the tests that rule files carry and prints each with its place; of one that fails, what was \
            expected, what came instead and why. Without a name the rules in force are tested. A file that is named alone \
            is tested alone, without the rules beside it. No server is touched. Fails when a test fails.\n\n\
            Examples:\n  countersign rules test\n  countersign rules test new-rules/ap.toml\n  countersign rules test \
            new-rules --json | jq '.[] | select(.passed | not)'"
    )]
    Test {
        /// Rule file or directory of rule files; the configured directory when missing
        #[arg(value_name = "FILE|DIR")]
        place: Option<PathBuf>,
        /// One JSON array instead of lines
        #[arg(long)]
        json: bool,
    },
    /// Tell what would become of a mail in a file, and why, without taking it in
    #[command(
        after_help = ENDINGS,
        long_about = "Screens a raw message (RFC 5322) as if the mailbox had received it now, and explains: verdict, score \
            with its parts, each rule passed over and why, what matched, and what would have changed it. Nothing is stored \
            and nothing follows. A mail that came before is explained as if it had not. The sender is verified as at \
            arrival; malware is not looked for.\n\n\
            Examples:\n  countersign rules explain invoice.eml\n  countersign rules explain invoice.eml --mailbox ap --rules \
            new-rules\n  curl -s https://example.com/a.eml | countersign rules explain - --json | jq .explanation.score"
    )]
    Explain {
        /// The message; - for standard input
        file: PathBuf,
        /// Mailbox by its configured name; the only one when missing
        #[arg(long, short, value_name = "NAME")]
        mailbox: Option<String>,
        /// Directory of candidate rule files; the rules in force when missing
        #[arg(long, value_name = "DIR")]
        rules: Option<PathBuf>,
        /// One JSON object with the whole explanation and every fact
        #[arg(long)]
        json: bool,
    },
    /// Screen stored mail again, and tell which verdicts would be others
    #[command(
        after_help = REPLAY_ENDINGS,
        long_about = "Screens mail that was decided since then with candidate rules, or with the rules in force, and tells which \
            verdicts change: with counts, and with examples by --diff. Nothing is changed and nothing is sent.\n\n\
            What a mail said, who its sender proved to be, what had come before and who was known are taken as they were \
            when it was decided; --people now asks for the suppliers and users of today instead. What a guard decided \
            stays: guards are no rules. --against current compares with what the rules in force make of the same mail, so \
            that only the difference between the two sets shows.\n\n\
            Examples:\n  countersign rules replay --since 30d --rules new-rules --diff\n  countersign rules replay --since 30d \
            --rules new-rules --against current --diff --mailbox ap\n  countersign rules replay --since 7d --people now --json \
            | jq '.changes[] | {count, before, after}'"
    )]
    Replay {
        /// What came since then: a span such as 30d or 12h, a date (UTC), or an instant (RFC 3339)
        #[arg(long, value_name = "SINCE")]
        since: Since,
        /// Directory of candidate rule files; the rules in force when missing
        #[arg(long, value_name = "DIR")]
        rules: Option<PathBuf>,
        /// Only mail of this mailbox
        #[arg(long, short, value_name = "NAME")]
        mailbox: Option<String>,
        /// What the new verdicts are compared with
        #[arg(long, value_name = "WHAT", default_value = "recorded", value_parser = one_of(Against::ALL, Against::as_str))]
        against: Against,
        /// Whose suppliers and users count
        #[arg(long, value_name = "WHEN", default_value = "then", value_parser = one_of(People::ALL, People::as_str))]
        people: People,
        /// Show each kind of change with examples, rather than what each rule decided
        #[arg(long)]
        diff: bool,
        /// Examples of each kind of change
        #[arg(long, value_name = "N", default_value_t = 3)]
        examples: usize,
        /// One JSON object with everything
        #[arg(long)]
        json: bool,
    },
    /// Draft rules from what people release from quarantine again and again
    #[command(
        after_help = ENDINGS,
        long_about = "Looks at what people released from quarantine to a workflow although the rules would still hold it. Of \
            releases that look alike (one mailbox, one sender's domain, one workflow) it drafts a rule for what they have in \
            common, with the releases as its tests and a comment that names them. Only proven senders. The file is printed, \
            never saved: judge it, and save it where its first lines say. Its tests pass there.\n\n\
            Examples:\n  countersign rules suggest\n  countersign rules suggest --since 30d --least 5 > rules/zz-suggested.toml"
    )]
    Suggest {
        /// What was released since then: a span such as 90d, a date (UTC), or an instant (RFC 3339)
        #[arg(long, value_name = "SINCE", default_value = "90d")]
        since: Since,
        /// Releases that a rule is drawn from, at least
        #[arg(long, value_name = "N", default_value_t = 2)]
        least: usize,
    },
}

const REPLAY_ENDINGS: &str = "Exit codes: 0 done, 1 failed, 2 wrong use or bad configuration; 0 when no verdict changes, 1 when one does.\n\
    What is asked for goes to standard output, everything else to standard error.";

/// Takes one of a closed set of words, and names them in the help.
fn one_of<T>(all: &'static [T], word: fn(T) -> &'static str) -> impl TypedValueParser<Value = T>
where
    T: Copy + FromStr<Err = String> + Send + Sync + 'static,
{
    PossibleValuesParser::new(all.iter().map(|one| word(*one))).try_map(|word| word.parse::<T>())
}

/// Performs what needs a database.
pub async fn perform(what: Rules, context: &Context, width: Option<u16>) -> anyhow::Result<Told> {
    match what {
        Rules::Test { place, json } => Ok(test(&context.rulebook, place.as_deref(), json)),
        Rules::Explain { file, mailbox, rules, json } => {
            let rules = match candidate(context, rules.as_deref()) {
                Ok(rules) => rules,
                Err(told) => return Ok(told),
            };
            explain(context, &file, mailbox.as_deref(), rules.as_ref(), json).await
        }
        Rules::Replay { since, rules, mailbox, against, people, diff, examples, json } => {
            let candidate = match candidate(context, rules.as_deref()) {
                Ok(rules) => rules.map(Arc::new),
                Err(told) => return Ok(told),
            };
            let since = since.instant(context.engine.clock.now());
            let wanted = Wanted { since, mailbox, against, people, examples };
            let replay = context.intake.replay(&wanted, candidate).await?;
            let text = if json {
                format!("{:#}\n", serde_json::to_value(&replay)?)
            } else {
                let place = rules.as_deref().unwrap_or(&context.rulebook.directory);
                replay_told::told(&replay, place, rules.is_some(), diff, width)
            };
            Ok(if replay.changed == 0 { Told::done(text) } else { Told::failed(text) })
        }
        Rules::Suggest { since, least } => {
            let since = since.instant(context.engine.clock.now());
            Ok(Told::done(context.intake.suggest(&context.rulebook, since, least).await?))
        }
    }
}

/// The rules of another directory, checked and tested; none for those in force.
fn candidate(context: &Context, directory: Option<&Path>) -> Result<Option<RuleSet>, Told> {
    directory.map(|directory| context.rulebook.load(directory)).transpose().map_err(|wrong| misused(&wrong))
}

async fn explain(
    context: &Context,
    file: &Path,
    mailbox: Option<&str>,
    rules: Option<&RuleSet>,
    json: bool,
) -> anyhow::Result<Told> {
    let intake = &context.intake;
    let mailbox = match (mailbox, intake.mailboxes.as_slice()) {
        (Some(name), _) => name,
        (None, [only]) => &only.name,
        (None, several) => {
            let names: Vec<_> = several.iter().map(|mailbox| mailbox.name.as_str()).collect();
            bail!("say with --mailbox where the mail comes to; there are: {}", names.join(", "))
        }
    };
    let Preview { message, decision, came_as } = intake.preview(mailbox, inject::read(file)?, rules).await?;
    if json {
        let mut object = serde_json::to_value(&decision)?;
        object["mailbox"] = mailbox.into();
        object["came_as"] = came_as.map(|id| id.to_string()).into();
        return Ok(Told::done(format!("{object:#}\n")));
    }
    let came = came_as.map(|id| {
        format!(
            "The same mail came before, as message {id}, so it would be ignored; this is told as if it had not come.\n"
        )
    });
    Ok(Told::done(
        explain_message::foretell(&message, mailbox, &decision)
            + &came.map_or_else(String::new, |came| format!("\n{came}")),
    ))
}

/// `rules test`, printed: it needs a configuration, but neither a database nor rules in force that are in order.
///
/// # Errors
/// When standard output cannot be written.
pub fn run_tests(
    rulebook: Result<Rulebook, Vec<Diagnostic>>,
    place: Option<&Path>,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let told = rulebook.map_or_else(|wrong| misused(&wrong), |rulebook| test(&rulebook, place, json));
    say(&told)
}

fn test(rulebook: &Rulebook, place: Option<&Path>, json: bool) -> Told {
    let results = match rulebook.test(place.unwrap_or(&rulebook.directory)) {
        Ok(results) => results,
        Err(wrong) => return misused(&wrong),
    };
    let text = if json { tests_told::json(&results) } else { tests_told::lines(&results) };
    if results.iter().any(|result| result.failure.is_some()) { Told::failed(text) } else { Told::done(text) }
}

fn misused(wrong: &[Diagnostic]) -> Told {
    Told { text: diagnostics_text(wrong), ending: Ending::Misused }
}
