//! What an agent says while it works: lines and progress, bounded, kept in memory until the engine writes them down.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use tokio::sync::Notify;

use crate::domain::clock::SharedClock;

/// Lines and bytes kept of one attempt; what comes after is cut, and says so.
const MAX_LINES: usize = 1000;
const MAX_BYTES: usize = 64 << 10;

/// Longest line and longest word about progress, in characters.
const MAX_CHARS: usize = 2000;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// From 1, without gaps.
    pub seq: i32,
    pub at: DateTime<Utc>,
    pub level: Level,
    pub text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    Info,
    Warn,
    /// The last line: what came after is not kept.
    Cut,
}

impl Level {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Cut => "cut",
        }
    }
}

/// How far an attempt is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HowFar {
    /// 0 to 100; none where only words were told.
    pub percent: Option<u8>,
    pub message: String,
    pub at: DateTime<Utc>,
}

/// The handle of one attempt. Clones are of the same attempt; none of its calls waits.
#[derive(Debug, Clone)]
pub struct Journal(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    clock: SharedClock,
    said: Mutex<Said>,
    spoken: Notify,
}

#[derive(Debug)]
struct Said {
    lines: Vec<Line>,
    bytes: usize,
    how_far: Option<HowFar>,
    /// When anything was said last; the beginning before.
    last: DateTime<Utc>,
    /// What `written` was told.
    written_lines: usize,
    written_how_far: Option<HowFar>,
}

/// What is not written down yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unwritten {
    pub lines: Vec<Line>,
    pub how_far: Option<HowFar>,
}

impl Unwritten {
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.how_far.is_none()
    }
}

impl Journal {
    pub fn new(clock: SharedClock) -> Self {
        let last = clock.now();
        let said = Said { lines: vec![], bytes: 0, how_far: None, last, written_lines: 0, written_how_far: None };
        Self(Arc::new(Shared { clock, said: Mutex::new(said), spoken: Notify::new() }))
    }

    pub fn say(&self, level: Level, text: &str) {
        let at = self.0.clock.now();
        let mut said = self.said();
        said.last = at;
        if said.lines.last().is_none_or(|last| last.level != Level::Cut) {
            let text = plain(text);
            let full = said.lines.len() + 1 >= MAX_LINES || said.bytes + text.len() > MAX_BYTES;
            let cut =
                || (Level::Cut, format!("no more is kept of an attempt than {MAX_LINES} lines or {MAX_BYTES} bytes"));
            let (level, text) = if full { cut() } else { (level, text) };
            said.bytes += text.len();
            let seq = i32::try_from(said.lines.len() + 1).unwrap_or(i32::MAX);
            said.lines.push(Line { seq, at, level, text });
        }
        drop(said);
        self.0.spoken.notify_one();
    }

    pub fn progress(&self, percent: Option<u8>, message: &str) {
        let at = self.0.clock.now();
        let mut said = self.said();
        said.last = at;
        said.how_far = Some(HowFar { percent: percent.map(|percent| percent.min(100)), message: plain(message), at });
        drop(said);
        self.0.spoken.notify_one();
    }

    /// When anything was said last; the beginning of the attempt before.
    pub fn last_said(&self) -> DateTime<Utc> {
        self.said().last
    }

    /// Completes when something was said since it completed last.
    pub async fn spoken(&self) {
        self.0.spoken.notified().await;
    }

    pub fn unwritten(&self) -> Unwritten {
        let said = self.said();
        let lines = said.lines.get(said.written_lines..).unwrap_or_default().to_vec();
        Unwritten { lines, how_far: said.how_far.clone().filter(|now| said.written_how_far.as_ref() != Some(now)) }
    }

    /// Told once the commit with it has ended well. What is told again is not written again.
    pub fn written(&self, what: &Unwritten) {
        let mut said = self.said();
        let until = what.lines.last().and_then(|line| usize::try_from(line.seq).ok()).unwrap_or_default();
        said.written_lines = said.written_lines.max(until);
        if what.how_far.is_some() {
            said.written_how_far.clone_from(&what.how_far);
        }
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        self.0.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One line without control characters, cut where it is long.
fn plain(text: &str) -> String {
    let mut plain: String = text.chars().take(MAX_CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(MAX_CHARS).is_some() {
        plain.push('…');
    }
    plain
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::domain::clock::{Clock, ManualClock};

    fn journal() -> (Journal, ManualClock) {
        let clock = ManualClock::new(DateTime::UNIX_EPOCH);
        (Journal::new(Arc::new(clock.clone())), clock)
    }

    #[test]
    fn what_is_written_is_not_given_again_and_what_failed_to_be_is() {
        let (journal, clock) = journal();
        assert!(journal.unwritten().is_empty());
        journal.say(Level::Info, "one\ntwo\0");
        journal.progress(Some(200), "half");
        let first = journal.unwritten();
        assert_eq!(
            first.lines.iter().map(|line| (line.seq, line.text.as_str())).collect::<Vec<_>>(),
            [(1, "one two ")]
        );
        assert_eq!(first.how_far.as_ref().and_then(|how_far| how_far.percent), Some(100));
        assert_eq!(journal.unwritten(), first);
        clock.advance(TimeDelta::seconds(1));
        journal.say(Level::Warn, "more");
        journal.written(&first);
        let second = journal.unwritten();
        assert_eq!((second.lines.len(), second.lines[0].seq, second.how_far.is_none()), (1, 2, true));
        assert_eq!(journal.last_said(), clock.now());
    }

    #[test]
    fn an_attempt_that_says_too_much_is_cut_with_a_line_that_says_so() {
        let (journal, _) = journal();
        for _ in 0..5000 {
            journal.say(Level::Info, "x");
        }
        let lines = journal.unwritten().lines;
        assert_eq!((lines.len(), lines.last().map(|line| line.level)), (MAX_LINES, Some(Level::Cut)));
        let (journal, _) = self::journal();
        for _ in 0..100 {
            journal.say(Level::Info, &"é".repeat(3000));
        }
        let lines = journal.unwritten().lines;
        assert_eq!(lines.iter().filter(|line| line.level == Level::Cut).count(), 1);
        assert!(lines.iter().map(|line| line.text.len()).sum::<usize>() <= MAX_BYTES + 200);
        assert!(lines[0].text.ends_with("é…"));
    }
}
