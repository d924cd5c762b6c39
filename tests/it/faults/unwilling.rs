//! An S3 server that is there and unwilling: what it is asked it passes on, or answers 503 Slow Down, before or after it has
//! been done.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::Response;

use crate::rig;

/// Longest request that a test makes.
const MOST_BYTES: usize = 64 << 20;

/// How it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Mood {
    Willing,
    /// 503 to everything, nothing is done.
    Refusing,
    /// One of four is refused; half of these are done all the same. Its clients retry, with growing pauses.
    Moody,
}

pub struct Unwilling {
    pub url: String,
    shared: Arc<Shared>,
}

struct Shared {
    mood: AtomicU8,
    asked: AtomicUsize,
    refused: AtomicUsize,
    client: reqwest::Client,
}

impl Unwilling {
    /// In front of the rig's S3.
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let shared = Arc::new(Shared {
            mood: AtomicU8::new(Mood::Willing as u8),
            asked: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
            client: reqwest::Client::new(),
        });
        let router = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, shared }
    }

    pub fn becomes(&self, mood: Mood) {
        self.shared.mood.store(mood as u8, Ordering::SeqCst);
    }

    /// How many requests there were.
    pub fn asked(&self) -> usize {
        self.shared.asked.load(Ordering::SeqCst)
    }

    /// How many requests were answered with 503.
    pub fn refused(&self) -> usize {
        self.shared.refused.load(Ordering::SeqCst)
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let asked = shared.asked.fetch_add(1, Ordering::SeqCst);
    let mood = shared.mood.load(Ordering::SeqCst);
    let (refuse, perform) = match mood {
        mood if mood == Mood::Refusing as u8 => (true, false),
        mood if mood == Mood::Moody as u8 => (asked % 4 == 1, asked % 8 != 1),
        _ => (false, true),
    };
    let done = if perform { Some(pass_on(&shared.client, request).await) } else { None };
    match done {
        Some(answer) if !refuse => answer,
        _ => {
            shared.refused.fetch_add(1, Ordering::SeqCst);
            let text = "<?xml version=\"1.0\"?><Error><Code>SlowDown</Code><Message>Reduce your rate</Message></Error>";
            let answer = Response::builder().status(StatusCode::SERVICE_UNAVAILABLE);
            answer.header(header::CONTENT_TYPE, "application/xml").body(Body::from(text)).expect("an answer")
        }
    }
}

async fn pass_on(client: &reqwest::Client, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, MOST_BYTES).await.expect("a request");
    let url = format!("{}{}", rig::moto_url(), head.uri.path_and_query().expect("a path"));
    let mut headers = head.headers;
    headers.remove(header::HOST);
    let asked = client.request(head.method, url).headers(headers).body(body).send().await.expect("ask moto");
    let mut answer = Response::builder().status(asked.status());
    for (name, value) in asked.headers().iter().filter(|(name, _)| **name != header::TRANSFER_ENCODING) {
        answer = answer.header(name, value);
    }
    let body = asked.bytes().await.expect("moto's answer");
    answer.body(Body::from(body)).expect("an answer")
}
