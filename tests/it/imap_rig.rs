//! What the mailbox tests share: configurations, mail, and the other side of the connection: a bare client, a proxy that
//! meddles, a server that answers as told.

use std::time::Duration;

use countersign::config::secret::SecretRef;
use countersign::config::sections::{Imap, Source, Tls};
use countersign::domain::duration::Span;
use countersign::mailbox::{Mailbox, MailboxError, open};
use secrecy::SecretString;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::rig;

/// Longer than any of this takes; only a hang gets there.
pub const GUARD: Duration = Duration::from_secs(120);
pub const LIMIT: u64 = 30 << 20;

pub fn fresh_user() -> String {
    format!("u{}", uuid::Uuid::new_v4().simple())
}

pub fn plain(port: u16, user: &str) -> Imap {
    Imap {
        preset: None,
        tenant: None,
        host: "localhost".into(),
        port: Some(port),
        tls: Tls::None,
        ca_file: None,
        user: user.into(),
        auth: None,
        password: Some(SecretRef::Env("UNUSED".into())),
        oauth: None,
        folder: "INBOX".into(),
        idle: true,
        command_timeout: Span::from_secs(30),
    }
}

pub fn encrypted(user: &str) -> Imap {
    Imap { tls: Tls::Implicit, ca_file: Some(rig::ca().into()), ..plain(rig::imaps_port(), user) }
}

pub async fn opened(at: Imap) -> Result<Box<dyn Mailbox>, MailboxError> {
    timeout(GUARD, open(&Source::Imap(at), Some(&SecretString::from("secret")))).await.expect("open hangs")
}

pub async fn raw(user: &str) -> Raw {
    Raw::login(rig::imap_port(), user).await
}

/// A message of exactly so many bytes, with every byte value but NUL, which IMAP literals do not carry.
pub fn mail(size: usize) -> Vec<u8> {
    let mut bytes = b"From: supplier@x.example\r\nSubject: invoice\r\n\r\n".to_vec();
    let mut state = size as u32;
    while bytes.len() < size {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        match (state >> 24) as u8 {
            0 | b'\r' | b'\n' => bytes.extend(b"\r\n"),
            byte => bytes.push(byte),
        }
    }
    bytes.truncate(size);
    let tail = size - 2;
    bytes[tail..].copy_from_slice(b"ab");
    if bytes[tail - 1] == b'\r' {
        bytes[tail - 1] = b'x';
    }
    bytes
}

/// A client that writes and reads lines, to put mail in and to look at flags without the code under test.
pub struct Raw {
    stream: BufReader<TcpStream>,
}

impl Raw {
    /// Logs in with the rig's password and opens INBOX.
    pub async fn login(port: u16, user: &str) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("the rig's IMAP port");
        let mut raw = Self { stream: BufReader::new(stream) };
        raw.run(&format!("LOGIN {user} secret")).await;
        raw.run("SELECT INBOX").await;
        raw
    }

    /// Runs a command that must succeed; returns everything before its tagged OK.
    pub async fn run(&mut self, command: &str) -> String {
        self.send(format!("T {command}\r\n").as_bytes()).await
    }

    async fn send(&mut self, bytes: &[u8]) -> String {
        self.stream.write_all(bytes).await.unwrap();
        let mut told = String::new();
        loop {
            let mut line = String::new();
            assert_ne!(self.stream.read_line(&mut line).await.unwrap(), 0, "the rig's server hung up");
            if let Some(status) = line.strip_prefix("T ") {
                assert!(status.starts_with("OK"), "{line}");
                return told;
            }
            told.push_str(&line);
        }
    }

    /// Puts messages into a folder (name as on the wire), all in one command (RFC 3502, RFC 7888).
    pub async fn append(&mut self, folder: &str, messages: &[Vec<u8>]) {
        let mut command = format!("T APPEND \"{folder}\"").into_bytes();
        for message in messages {
            command.extend(format!(" {{{}+}}\r\n", message.len()).bytes());
            command.extend(message);
        }
        command.extend(b"\r\n");
        self.send(&command).await;
    }

    /// The flags of a message in the open folder, as told.
    pub async fn flags(&mut self, uid: u32) -> String {
        self.run("NOOP").await;
        let told = self.run(&format!("UID FETCH {uid} (FLAGS)")).await;
        assert!(told.contains("FETCH"), "uid {uid} is not there");
        told
    }

    /// How many messages a search finds.
    pub async fn count(&mut self, search: &str) -> usize {
        self.run("NOOP").await;
        let told = self.run(search).await;
        let found = told.lines().find_map(|line| line.strip_prefix("* SEARCH")).expect("a search result");
        found.split_whitespace().count()
    }
}

/// Forwards connections to `port`. `each` sees what the server sends before the client does; false ends the connection.
pub async fn proxy(port: u16, each: impl FnMut(&mut Vec<u8>) -> bool + Send + Clone + 'static) -> u16 {
    let (listener, own) = listen().await;
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let mut each = each.clone();
            tokio::spawn(async move {
                let server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                let (mut from_client, mut to_client) = client.into_split();
                let (mut from_server, mut to_server) = server.into_split();
                let up = tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
                let mut buffer = vec![0; 16 << 10];
                while let Ok(count @ 1..) = from_server.read(&mut buffer).await {
                    let mut bytes = buffer[..count].to_vec();
                    let more = each(&mut bytes);
                    if to_client.write_all(&bytes).await.is_err() || !more {
                        break;
                    }
                }
                up.abort();
            });
        }
    });
    own
}

/// For `proxy`: ends the connection once a FETCH has begun and so many more bytes have passed.
pub fn cut_after(bytes: usize) -> impl FnMut(&mut Vec<u8>) -> bool + Send + Clone + 'static {
    let (mut fetching, mut left) = (false, bytes);
    move |sent| {
        fetching |= sent.windows(8).any(|window| window == b"BODY[]<0");
        if !fetching {
            return true;
        }
        sent.truncate(left);
        left -= sent.len();
        left > 0
    }
}

/// A server of one mailbox with one message. `answer` gets each line without its tag, and `GREET` first; where it says
/// nothing, the answer is the usual one. `TAG` in an answer is replaced, `CLOSE` at its end closes the connection.
pub async fn fake(answer: impl Fn(&str) -> Option<String> + Send + Clone + 'static) -> u16 {
    let (listener, own) = listen().await;
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(serve(client, answer.clone()));
        }
    });
    own
}

async fn serve(client: TcpStream, answer: impl Fn(&str) -> Option<String>) {
    let (read, mut write) = client.into_split();
    let mut lines = BufReader::new(read).lines();
    let (mut tag, mut line) = (String::new(), "GREET".to_owned());
    loop {
        let said = answer(&line).unwrap_or_else(|| usual(&line));
        let text = said.strip_suffix("CLOSE").unwrap_or(&said).replace("TAG", &tag);
        let end = if text.is_empty() || text.ends_with("\r\n") { "" } else { "\r\n" };
        if write.write_all(format!("{text}{end}").as_bytes()).await.is_err() || said.ends_with("CLOSE") {
            return;
        }
        let Ok(Some(next)) = lines.next_line().await else { return };
        match next.split_once(' ') {
            Some((of, command)) => (tag, line) = (of.to_owned(), command.to_owned()),
            None => line = next,
        }
    }
}

fn usual(line: &str) -> String {
    match line.split(' ').next().unwrap_or_default() {
        "GREET" => "* OK ready".into(),
        "CAPABILITY" => "* CAPABILITY IMAP4rev1 IDLE MOVE UIDPLUS\r\nTAG OK done".into(),
        "SELECT" => "* 1 EXISTS\r\n* OK [UIDVALIDITY 7] ok\r\nTAG OK done".into(),
        _ => "TAG OK done".into(),
    }
}

async fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}
