//! One logged-in IMAP connection. The only user of async-imap's `run_command` and `read_response`: its high-level calls
//! report NO, BAD, BYE and end of stream as empty success, so none of them is used. Connecting is `connect`'s matter,
//! what the commands mean is `imap`'s.
//!
//! async-imap prints every line, passwords too, at log level `trace`: its log target has to be capped.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use async_imap::Session;
use futures_util::FutureExt;
use imap_proto::{MailboxDatum, Outcome, RequestId, Response, Status};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::MailboxError;
use super::guard::Guard;

/// How many times its own limit a command may take altogether, as long as the server keeps answering.
const STEADY: u32 = 10;
/// Longest wait for the farewell of a connection that is dropped.
const FAREWELL: Duration = Duration::from_secs(2);

/// The server's word on a command that it understood.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Tagged {
    Ok,
    No(String),
}

/// A session that fails rather than succeed with nothing. After an error, or when a call on it was cancelled, leftovers
/// of the old answer would mix into the next: every later command is refused.
#[derive(Debug)]
pub(super) struct Wire {
    /// None only while it is dropped.
    session: Option<Session<Guard>>,
    limit: Duration,
    /// A command has begun and has not ended well.
    busy: bool,
    /// Commands sent ahead whose tagged answer has not come.
    ahead: VecDeque<RequestId>,
    /// When the oldest of them began to be the oldest.
    ahead_since: Instant,
    /// Messages in the open folder, as far as told.
    exists: u32,
    /// Whether messages were announced since `forget_news`, during whatever command.
    news: bool,
}

impl Wire {
    /// `limit` bounds the wait for each single answer of the server.
    pub(super) fn new(session: Session<Guard>, limit: Duration) -> Self {
        Self {
            session: Some(session),
            limit,
            busy: false,
            ahead: VecDeque::new(),
            ahead_since: Instant::now(),
            exists: 0,
            news: false,
        }
    }

    pub(super) fn exists(&self) -> u32 {
        self.exists
    }

    pub(super) fn has_news(&self) -> bool {
        self.news
    }

    pub(super) fn forget_news(&mut self) {
        self.news = false;
    }

    /// Runs a command that must succeed; `each` sees every untagged answer.
    pub(super) async fn command(
        &mut self,
        what: &str,
        command: &str,
        each: impl FnMut(&Response<'_>) + Send,
    ) -> Result<(), MailboxError> {
        match self.exchange(what, command, each).await? {
            Tagged::Ok => Ok(()),
            Tagged::No(why) => Err(protocol(what, why)),
        }
    }

    /// Runs a command that the server may refuse. End of stream, BYE, BAD and silence are errors.
    pub(super) async fn exchange(
        &mut self,
        what: &str,
        command: &str,
        mut each: impl FnMut(&Response<'_>) + Send,
    ) -> Result<Tagged, MailboxError> {
        let (begun, all) = (Instant::now(), self.limit * STEADY);
        let id = self.send(what, command).await?;
        loop {
            if begun.elapsed() > all {
                return Err(MailboxError::Timeout { what: what.to_owned(), secs: all.as_secs() });
            }
            match self.read(what, self.limit, |response, news| told(response, &id, news, &mut each)).await? {
                Told::Done(Ok(tagged)) => {
                    self.busy = false;
                    return Ok(tagged);
                }
                Told::Done(Err(why)) => return Err(protocol(what, why)),
                Told::More | Told::GoOn => {}
            }
        }
    }

    /// IDLE (RFC 2177) until messages are announced, `at_most` has passed, or `wake` is poked. Not async-imap's own: that one takes the end
    /// of the stream for an interrupt, BYE for news, and loses an EXISTS that comes before `+ idling`.
    pub(super) async fn idle(&mut self, at_most: Duration, wake: &Notify) -> Result<(), MailboxError> {
        let what = "wait by IDLE";
        let id = self.send(what, "IDLE").await?;
        let mut ignore = |_: &Response<'_>| {};
        loop {
            match self.read(what, self.limit, |response, news| told(response, &id, news, &mut ignore)).await? {
                Told::More => {}
                Told::GoOn => break,
                Told::Done(Ok(Tagged::No(why)) | Err(why)) => return Err(protocol(what, why)),
                Told::Done(Ok(Tagged::Ok)) => return Err(protocol(what, "the server ended it before it began")),
            }
        }
        let until = Instant::now() + at_most;
        while !self.news {
            let left = until.saturating_duration_since(Instant::now());
            // Reading is cancel-safe: what has arrived stays in the buffer.
            let read = tokio::select! {
                read = self.read(what, left, |response, news| told(response, &id, news, &mut ignore)) => read,
                () = wake.notified() => break,
            };
            match read {
                Ok(Told::Done(_)) => return Err(protocol(what, "the server ended it by itself")),
                Ok(_) => {}
                Err(MailboxError::Timeout { .. }) => break,
                Err(error) => return Err(error),
            }
        }
        let Some(session) = &mut self.session else { return Err(protocol(what, CLOSED)) };
        sent(what, self.limit, session.run_command_untagged("DONE")).await?;
        loop {
            match self.read(what, self.limit, |response, news| told(response, &id, news, &mut ignore)).await? {
                Told::Done(Ok(Tagged::Ok)) => break,
                Told::Done(Ok(Tagged::No(why)) | Err(why)) => return Err(protocol(what, why)),
                Told::More | Told::GoOn => {}
            }
        }
        self.busy = false;
        Ok(())
    }

    /// Sends a command without waiting for the answers to those sent ahead before it. Only for commands that do not
    /// depend on each other (RFC 9051, 5.5).
    pub(super) async fn send_ahead(&mut self, what: &str, command: &str) -> Result<RequestId, MailboxError> {
        if self.busy {
            return Err(protocol(what, UNENDED));
        }
        let Some(session) = &mut self.session else { return Err(protocol(what, CLOSED)) };
        if self.ahead.is_empty() {
            self.ahead_since = Instant::now();
        }
        // Cancelled half-way, it would leave half a command behind.
        self.busy = true;
        let id = sent(what, self.limit, session.run_command(command)).await?;
        self.busy = false;
        self.ahead.push_back(id.clone());
        Ok(id)
    }

    /// Reads one answer to what was sent ahead: `each` sees it if it is untagged, otherwise it is the end of the command
    /// given.
    pub(super) async fn receive(
        &mut self,
        what: &str,
        mut each: impl FnMut(&Response<'_>) + Send,
    ) -> Result<Option<(RequestId, Tagged)>, MailboxError> {
        let all = self.limit * STEADY;
        if self.ahead_since.elapsed() > all {
            self.busy = true;
            return Err(MailboxError::Timeout { what: what.to_owned(), secs: all.as_secs() });
        }
        let mut ended = None;
        let known = self.ahead.clone();
        let look = |response: &Response<'_>, news: &mut News<'_>| {
            let id = match response {
                Response::Done { tag, .. } => known.iter().find(|id| *id == tag),
                _ => known.front(),
            };
            let Some(id) = id else { return Told::Done(Err("an answer to no command of ours".to_owned())) };
            ended = Some(id.clone());
            told(response, id, news, &mut each)
        };
        let told = self.read(what, self.limit, look).await;
        match told {
            Ok(Told::More) => Ok(None),
            Ok(Told::Done(Ok(tagged))) => {
                let id = ended.filter(|id| self.ahead.contains(id));
                self.ahead.retain(|one| Some(one) != id.as_ref());
                self.ahead_since = Instant::now();
                Ok(id.map(|id| (id, tagged)))
            }
            Ok(Told::Done(Err(why))) => {
                self.busy = true;
                Err(protocol(what, why))
            }
            Ok(Told::GoOn) => {
                self.busy = true;
                Err(protocol(what, "the server waits for more of a command that is whole"))
            }
            Err(error) => {
                self.busy = true;
                Err(error)
            }
        }
    }

    async fn send(&mut self, what: &str, command: &str) -> Result<RequestId, MailboxError> {
        if self.busy || !self.ahead.is_empty() {
            return Err(protocol(what, UNENDED));
        }
        let Some(session) = &mut self.session else { return Err(protocol(what, CLOSED)) };
        self.busy = true;
        sent(what, self.limit, session.run_command(command)).await
    }

    /// Reads one answer within `limit` and hands it to `look`, which says whether messages were announced.
    async fn read<T>(
        &mut self,
        what: &str,
        limit: Duration,
        look: impl FnOnce(&Response<'_>, &mut News<'_>) -> T,
    ) -> Result<T, MailboxError> {
        let Some(session) = &mut self.session else { return Err(protocol(what, CLOSED)) };
        // imap-proto panics on some answers, such as INTERNALDATE NIL.
        let read = AssertUnwindSafe(session.read_response()).catch_unwind();
        let answer = match timeout(limit, read).await {
            Err(_) => return Err(MailboxError::Timeout { what: what.to_owned(), secs: limit.as_secs() }),
            Ok(Err(_)) => return Err(protocol(what, NO_IMAP)),
            Ok(Ok(Err(error))) => return Err(protocol(what, io_words(&error))),
            Ok(Ok(Ok(None))) => return Err(protocol(what, CLOSED)),
            Ok(Ok(Ok(Some(answer)))) => answer,
        };
        if let Response::Data { status: Status::Bye, outcome } = answer.parsed() {
            return Err(protocol(what, format!("the server closes the connection: {}", words(outcome))));
        }
        Ok(look(answer.parsed(), &mut News { exists: &mut self.exists, news: &mut self.news }))
    }
}

impl Drop for Wire {
    /// Says goodbye if nothing is under way; best effort only.
    fn drop(&mut self) {
        let Some(mut session) = self.session.take().filter(|_| !self.busy && self.ahead.is_empty()) else { return };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let _ = timeout(FAREWELL, session.logout()).await;
            });
        }
    }
}

struct News<'a> {
    exists: &'a mut u32,
    news: &'a mut bool,
}

/// What one answer means to the command under way.
enum Told {
    More,
    /// `+`: the server waits for us.
    GoOn,
    /// The command ended; the error holds the server's words on what it did not understand.
    Done(Result<Tagged, String>),
}

fn told(response: &Response<'_>, id: &RequestId, news: &mut News<'_>, each: &mut impl FnMut(&Response<'_>)) -> Told {
    match response {
        Response::Done { tag, .. } if tag != id => Told::Done(Err("an answer to another command".to_owned())),
        Response::Done { status: Status::Ok, .. } => Told::Done(Ok(Tagged::Ok)),
        Response::Done { status: Status::No, outcome, .. } => Told::Done(Ok(Tagged::No(words(outcome)))),
        Response::Done { outcome, .. } => Told::Done(Err(format!("not understood: {}", words(outcome)))),
        Response::Continue(_) => Told::GoOn,
        other => {
            match other {
                Response::MailboxData(MailboxDatum::Exists(count)) => {
                    *news.news |= *count > *news.exists;
                    *news.exists = *count;
                }
                Response::Expunge(_) => *news.exists = news.exists.saturating_sub(1),
                _ => {}
            }
            each(other);
            Told::More
        }
    }
}

async fn sent<T>(
    what: &str,
    limit: Duration,
    sending: impl Future<Output = async_imap::error::Result<T>>,
) -> Result<T, MailboxError> {
    match timeout(limit, sending).await {
        Err(_) => Err(MailboxError::Timeout { what: what.to_owned(), secs: limit.as_secs() }),
        Ok(done) => done.map_err(|error| protocol(what, error_words(&error))),
    }
}

pub(super) const CLOSED: &str = "the server closed the connection";
const UNENDED: &str = "an earlier command on this connection did not end";
const NO_IMAP: &str = "the server's answer is no IMAP";

pub(super) fn protocol(what: &str, why: impl Into<String>) -> MailboxError {
    MailboxError::Protocol { what: what.to_owned(), why: why.into() }
}

/// The server's words, fit for one line of a log.
pub(super) fn words(outcome: &Outcome<'_>) -> String {
    match &outcome.information {
        Some(text) => tidy(text),
        None => format!("{:?}", outcome.code).to_lowercase(),
    }
}

/// The server's words out of async-imap's error, which wraps them as `code: …, info: Some("…")`.
pub(super) fn error_words(error: &async_imap::error::Error) -> String {
    use async_imap::error::Error;
    match error {
        Error::Io(error) => io_words(error),
        Error::ConnectionLost => CLOSED.to_owned(),
        Error::No(text) | Error::Bad(text) => {
            let info = text.split_once("info: Some(\"").and_then(|(_, rest)| rest.strip_suffix("\")"));
            tidy(&info.unwrap_or(text).replace("\\\"", "\"").replace("\\\\", "\\"))
        }
        other => tidy(&other.to_string()),
    }
}

/// What went wrong with the stream. A parse error quotes what was sent, which may be mail: that is left out.
pub(super) fn io_words(error: &std::io::Error) -> String {
    let text = error.to_string();
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => format!("{CLOSED} in the middle of an answer"),
        _ if text.contains("during parsing of") => NO_IMAP.to_owned(),
        _ => tidy(&text),
    }
}

/// Where `tidy` cuts off.
pub(super) const TIDY_CHARS: usize = 300;

pub(super) fn tidy(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(TIDY_CHARS).collect::<String>().trim().to_owned()
}
