//! A tap on the line to a server that speaks in clear: it lets a certain number of bytes of a certain answer through and
//! holds the line there, in the middle of it, until the test says what happens next.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::rig;

/// How the answer with a body begins.
pub const FETCH: &[u8] = b"BODY[";

/// What the server says when it waits with us.
pub const IDLE: &[u8] = b"+ idling\r\n";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// The next connection on which the marker passes is held so many bytes behind it.
    Armed(&'static [u8], usize),
    Held,
    /// The held connection ends here.
    Cut,
}

pub struct Tap {
    pub port: u16,
    phase: Arc<watch::Sender<Phase>>,
}

impl Tap {
    /// A port that forwards to `to`.
    pub async fn on(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        let phase = Arc::new(watch::channel(Phase::Open).0);
        let shared = Arc::clone(&phase);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(forward(client, to, Arc::clone(&shared)));
            }
        });
        Self { port, phase }
    }

    /// Holds the next connection so many bytes behind the marker.
    pub fn arm(&self, marker: &'static [u8], bytes: usize) {
        self.phase.send_replace(Phase::Armed(marker, bytes));
    }

    /// Waits until a connection is held.
    pub async fn held(&self) {
        rig::wait_for("the line to be held", async || (*self.phase.borrow() == Phase::Held).then_some(())).await;
    }

    /// Lets the rest through.
    pub fn release(&self) {
        self.phase.send_replace(Phase::Open);
    }

    /// Ends the held connection where it is; later ones are let through.
    pub fn cut(&self) {
        self.phase.send_replace(Phase::Cut);
    }
}

async fn forward(client: TcpStream, to: u16, phase: Arc<watch::Sender<Phase>>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", to)).await else { return };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let up = tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
    let (mut buffer, mut passed) = (vec![0; 16 << 10], Passed::default());
    while let Ok(count @ 1..) = from_server.read(&mut buffer).await {
        let bytes = &buffer[..count];
        let armed = *phase.borrow();
        let stop = match armed {
            Phase::Armed(marker, more) => passed.reaches(bytes, marker, more),
            _ => {
                passed = Passed::default();
                None
            }
        };
        let until = stop.unwrap_or(count);
        if to_client.write_all(&bytes[..until]).await.is_err() {
            break;
        }
        // Of two connections that get here at once, one is held.
        let hold = |phase: &mut Phase| *phase == armed && std::mem::replace(phase, Phase::Held) == armed;
        if stop.is_some() && phase.send_if_modified(hold) {
            let mut changes = phase.subscribe();
            let next = changes.wait_for(|phase| *phase != Phase::Held).await.map(|phase| *phase);
            if matches!(next, Ok(Phase::Cut)) {
                phase.send_replace(Phase::Open);
                break;
            }
        }
        if to_client.write_all(&bytes[until..]).await.is_err() {
            break;
        }
    }
    up.abort();
}

/// Where a connection is in relation to the marker, which may come in pieces.
#[derive(Default)]
struct Passed {
    tail: Vec<u8>,
    behind: Option<usize>,
}

impl Passed {
    /// How many of these bytes may pass when the line is held among them.
    fn reaches(&mut self, bytes: &[u8], marker: &[u8], more: usize) -> Option<usize> {
        let mut from = 0;
        if self.behind.is_none() {
            let known = self.tail.len();
            self.tail.extend_from_slice(bytes);
            let Some(at) = self.tail.windows(marker.len()).position(|window| window == marker) else {
                self.tail.drain(..self.tail.len().saturating_sub(marker.len() - 1));
                return None;
            };
            from = (at + marker.len()).saturating_sub(known);
            self.behind = Some(0);
        }
        let behind = self.behind.insert(self.behind.unwrap_or_default() + bytes.len() - from);
        (*behind >= more).then(|| bytes.len() - (*behind - more))
    }
}

#[test]
fn a_line_is_held_at_the_byte_whatever_the_pieces() {
    let told = b"* OK hello\r\n* 1 FETCH (BODY[] {9}\r\n123456789)\r\n";
    let begin = told.windows(5).position(|window| window == FETCH).unwrap() + 5;
    for size in 1..=told.len() {
        for more in 0..12 {
            let (mut passed, mut through) = (Passed::default(), 0);
            for piece in told.chunks(size) {
                let stop = passed.reaches(piece, FETCH, more);
                through += stop.unwrap_or(piece.len());
                if stop.is_some() {
                    break;
                }
            }
            assert_eq!(through, begin + more, "pieces of {size}, {more} more");
        }
    }
}
