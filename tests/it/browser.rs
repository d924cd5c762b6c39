//! A real Chromium, driven over WebDriver (W3C) through the rig's ChromeDriver: as much as the page tests need.
//! Every browser has a profile of its own and ends with its value. Failures panic with what was tried.

use std::io::{Read, Write};
use std::time::Duration;

use base64::Engine;
use reqwest::Method;
use serde_json::{Value, json};

use crate::rig;

/// The key of an element's id in every answer (WebDriver, section 12.1).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// How long `find` waits for an element to appear.
const PATIENCE: Duration = Duration::from_secs(10);

/// One window of one browser.
pub struct Browser {
    http: reqwest::Client,
    /// Path of the session under ChromeDriver's address.
    session: String,
    /// Removed after the browser has ended.
    _profile: tempfile::TempDir,
}

/// An element of the page that was open when it was found.
pub struct Element<'a> {
    browser: &'a Browser,
    id: String,
}

impl Browser {
    /// Starts a headless browser whose page area has this size in pixels; a phone is 390 x 844.
    pub async fn start(width: u32, height: u32) -> Self {
        let profile = tempfile::Builder::new().prefix("chromium").tempdir_in(rig::dir()).expect("a profile");
        // As root Chromium needs --no-sandbox; the rest keeps it from calling home, which a closed network refuses loudly.
        let mut args: Vec<String> = [
            "headless=new no-sandbox disable-gpu disable-quic no-first-run disable-background-networking",
            "disable-component-update disable-sync disable-dev-shm-usage",
        ]
        .iter()
        .flat_map(|line| line.split(' '))
        .map(|arg| format!("--{arg}"))
        .collect();
        args.push(format!("--user-data-dir={}", profile.path().display()));
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "timeouts": {"implicit": PATIENCE.as_millis() as u64},
            "goog:chromeOptions": {"binary": "/usr/bin/chromium", "args": args},
        }}});
        let http = reqwest::Client::builder().timeout(Duration::from_secs(60)).no_proxy().build().expect("a client");
        let mut browser = Self { http, session: "/session".into(), _profile: profile };
        let started = browser.call(Method::POST, "", wanted).await;
        browser.session = format!("/session/{}", started["sessionId"].as_str().expect("a session id"));
        // The window itself cannot be narrower than 500 pixels; the page area can.
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        let command = json!({"cmd": "Emulation.setDeviceMetricsOverride", "params": metrics});
        browser.call(Method::POST, "/goog/cdp/execute", command).await;
        browser
    }

    /// Opens a page and waits until it has loaded.
    pub async fn open(&self, url: &str) {
        self.call(Method::POST, "/url", json!({"url": url})).await;
    }

    /// The address now shown.
    pub async fn url(&self) -> String {
        text_of(self.call(Method::GET, "/url", Value::Null).await)
    }

    pub async fn title(&self) -> String {
        text_of(self.call(Method::GET, "/title", Value::Null).await)
    }

    /// The document as HTML, as it is now.
    pub async fn source(&self) -> String {
        text_of(self.call(Method::GET, "/source", Value::Null).await)
    }

    /// The first element that the CSS selector matches; waits for it.
    pub async fn find(&self, css: &str) -> Element<'_> {
        let found = self.call(Method::POST, "/element", json!({"using": "css selector", "value": css})).await;
        Element { browser: self, id: text_of(found[ELEMENT].clone()) }
    }

    /// The value of a JavaScript function body: `return innerWidth`.
    pub async fn script(&self, body: &str) -> Value {
        self.call(Method::POST, "/execute/sync", json!({"script": body, "args": []})).await
    }

    /// The visible part of the page as PNG.
    pub async fn screenshot(&self) -> Vec<u8> {
        let encoded = text_of(self.call(Method::GET, "/screenshot", Value::Null).await);
        base64::engine::general_purpose::STANDARD.decode(encoded).expect("a picture in base64")
    }

    async fn call(&self, method: Method, path: &str, body: Value) -> Value {
        let what = format!("{method} {path} {body}");
        let mut request = self.http.request(method, format!("{}{}{path}", rig::chromedriver_url(), self.session));
        if !body.is_null() {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap_or_else(|error| panic!("{what}: {error}"));
        let ok = answer.status().is_success();
        let mut answer: Value = answer.json().await.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(ok, "{what}: {}", answer["value"]["message"]);
        answer["value"].take()
    }
}

impl Element<'_> {
    /// The text as a reader sees it.
    pub async fn text(&self) -> String {
        text_of(self.call(Method::GET, "text", Value::Null).await)
    }

    /// Scrolls to it and clicks; fails when something covers it.
    pub async fn click(&self) {
        self.call(Method::POST, "click", json!({})).await;
    }

    /// Types into it.
    pub async fn type_text(&self, text: &str) {
        self.call(Method::POST, "value", json!({"text": text})).await;
    }

    async fn call(&self, method: Method, what: &str, body: Value) -> Value {
        self.browser.call(method, &format!("/element/{}/{what}", self.id), body).await
    }
}

impl Drop for Browser {
    /// Ends the browser and waits for it, without a runtime. What fails here is ended with the rig.
    fn drop(&mut self) {
        let url = rig::chromedriver_url();
        let Some(mut stream) = url.strip_prefix("http://").and_then(|at| std::net::TcpStream::connect(at).ok()) else {
            return;
        };
        let request = format!("DELETE {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", self.session);
        let sent = stream.set_read_timeout(Some(PATIENCE)).and_then(|()| stream.write_all(request.as_bytes()));
        if sent.is_ok() {
            let _ = stream.read(&mut [0; 1]);
        }
    }
}

fn text_of(value: Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}")).to_owned()
}

#[tokio::test]
async fn browser_reads_types_clicks_and_takes_a_picture() {
    use axum::{Form, Router, response::Html, routing::get};
    const PAGE: &str =
        "<!doctype html><title>Ask</title><h1>Who?</h1><form method=post><input name=who><button>Go</button>";
    let answer = async |Form(form): Form<Value>| Html(format!("<title>Told</title><p id=a>{} it is</p>", form["who"]));
    let router = Router::new().route("/", get(async || Html(PAGE)).post(answer));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, router).await });

    let browser = Browser::start(390, 844).await;
    browser.open(&url).await;
    assert_eq!(browser.title().await, "Ask");
    assert_eq!(browser.find("h1").await.text().await, "Who?");
    assert_eq!(browser.script("return innerWidth").await, 390);
    browser.find("input[name=who]").await.type_text("Ann").await;
    browser.find("button").await.click().await;
    assert_eq!(browser.find("#a").await.text().await, "\"Ann\" it is");
    assert_eq!(browser.title().await, "Told");
    assert_eq!(browser.url().await, url);
    assert!(browser.source().await.contains("it is</p>"));
    let picture = browser.screenshot().await;
    // The size is in the header of a PNG, two numbers of 32 bits at byte 16.
    assert_eq!(picture[..4], *b"\x89PNG");
    assert_eq!(picture[16..24], [390u32.to_be_bytes(), 844u32.to_be_bytes()].concat());
}
