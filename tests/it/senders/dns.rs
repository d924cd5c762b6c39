//! A name server on this machine that knows what a test tells it, so that verifying senders is tested over the wire and
//! without DNS. Ends with the test's process.

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use countersign::config::senders::Dns;
use countersign::domain::duration::Span;
use countersign::senders::Verifier;

/// What the server does with names that it does not know.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Else {
    NoSuchName,
    Fails,
    Silent,
}

pub struct NameServer {
    pub address: SocketAddr,
    asked: Arc<AtomicUsize>,
}

impl NameServer {
    /// Starts it. Records are `name TXT text` or `name A address`; `name SILENT` is never answered.
    pub fn start(records: &[String], otherwise: Else) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let address = socket.local_addr().expect("its address");
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let known: HashMap<(String, u16), Vec<u8>> = records.iter().map(|record| read(record)).collect();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok((length, client)) = socket.recv_from(&mut buffer) {
                count.fetch_add(1, Ordering::Relaxed);
                if let Some(reply) = answer(&buffer[..length], &known, otherwise) {
                    socket.send_to(&reply, client).expect("answer");
                }
            }
        });
        Self { address, asked }
    }

    /// How many questions came.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    pub fn verifier(&self, timeout_secs: u32) -> Verifier {
        let dns = Dns { nameservers: vec![self.address.to_string()], timeout: Span::from_secs(timeout_secs) };
        Verifier::new(&dns).expect("a verifier")
    }
}

const A: u16 = 1;
const TXT: u16 = 16;
const ANY: u16 = 255;

fn read(record: &str) -> ((String, u16), Vec<u8>) {
    let mut words = record.splitn(3, ' ');
    let (name, kind, data) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap_or_default());
    let (kind, data) = match kind {
        "A" => (A, data.split('.').map(|byte| byte.parse().expect("an address")).collect()),
        "TXT" => {
            let chunks = data.as_bytes().chunks(255);
            (TXT, chunks.flat_map(|chunk| [&[u8::try_from(chunk.len()).unwrap()], chunk].concat()).collect())
        }
        "SILENT" => (ANY, vec![]),
        other => panic!("no record type: {other}"),
    };
    ((name.to_lowercase(), kind), data)
}

/// A reply (RFC 1035, 4.1); none is silence.
fn answer(query: &[u8], known: &HashMap<(String, u16), Vec<u8>>, otherwise: Else) -> Option<Vec<u8>> {
    let (mut at, mut labels) = (12, vec![]);
    while query[at] != 0 {
        let length = usize::from(query[at]);
        labels.push(String::from_utf8_lossy(&query[at + 1..=at + length]).to_lowercase());
        at += length + 1;
    }
    let name = labels.join(".");
    let kind = u16::from_be_bytes([query[at + 1], query[at + 2]]);
    let has_name = known.keys().any(|(known, _)| *known == name);
    let (code, data) = match (known.get(&(name.clone(), kind)), otherwise) {
        (Some(data), _) => (0, Some(data)),
        (None, _) if known.contains_key(&(name, ANY)) => return None,
        (None, _) if has_name => (0, None),
        (None, Else::NoSuchName) => (3, None),
        (None, Else::Fails) => (2, None),
        (None, Else::Silent) => return None,
    };
    let mut reply = query[..2].to_vec();
    reply.extend([0x81, 0x80 | code, 0, 1, 0, u8::from(data.is_some()), 0, 0, 0, 0]);
    reply.extend(&query[12..at + 5]);
    if let Some(data) = data {
        reply.extend([0xc0, 12]);
        reply.extend(kind.to_be_bytes());
        reply.extend([0, 1, 0, 0, 1, 0]);
        reply.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        reply.extend(data);
    }
    Some(reply)
}
