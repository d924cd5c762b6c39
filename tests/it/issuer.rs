//! A token endpoint that does as told. Its tokens say whom they are for, which is what `tests/rig/introspection.py` reads.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Form, Json, Router};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::json;
use tokio::net::TcpListener;

use crate::rig;

/// How the next request is answered.
#[derive(Debug, Clone)]
pub enum Answer {
    /// A token for this user that lives so many seconds, and perhaps a new refresh token.
    Token { user: String, life_secs: u64, refresh: Option<String> },
    /// Refused with `error` and `error_description`.
    Refused(String, String),
    /// This status, with a body that is no token.
    Odd(StatusCode, String),
}

#[derive(Debug, Clone)]
pub struct Issuer {
    pub url: String,
    inside: Arc<Mutex<Inside>>,
}

#[derive(Debug)]
struct Inside {
    answer: Answer,
    asked: Vec<HashMap<String, String>>,
    issued: Vec<String>,
}

impl Issuer {
    pub async fn start(answer: Answer) -> Self {
        let inside = Arc::new(Mutex::new(Inside { answer, asked: vec![], issued: vec![] }));
        let router = Router::new().route("/token", post(token)).with_state(Arc::clone(&inside));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/token", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, inside }
    }

    pub fn answers(&self, answer: Answer) {
        self.inside.lock().unwrap().answer = answer;
    }

    /// The forms of all requests so far.
    pub fn asked(&self) -> Vec<HashMap<String, String>> {
        self.inside.lock().unwrap().asked.clone()
    }

    pub fn requests(&self) -> usize {
        self.asked().len()
    }

    pub fn issued(&self) -> Vec<String> {
        self.inside.lock().unwrap().issued.clone()
    }

    /// Lets Dovecot refuse the newest token from now on.
    pub async fn revoke(&self) {
        let token = self.issued().pop().expect("a token");
        let url = format!("http://127.0.0.1:{}/revoke", rig::introspection_port());
        let answer = reqwest::Client::new().post(url).form(&[("token", token)]).send().await.unwrap();
        assert!(answer.status().is_success());
    }
}

async fn token(State(inside): State<Arc<Mutex<Inside>>>, Form(form): Form<HashMap<String, String>>) -> Response {
    let mut inside = inside.lock().unwrap();
    inside.asked.push(form);
    match inside.answer.clone() {
        Answer::Token { user, life_secs, refresh } => {
            let token = BASE64_URL_SAFE_NO_PAD.encode(format!("user:{user}:{}", uuid::Uuid::new_v4()));
            inside.issued.push(token.clone());
            let mut answer = json!({"access_token": token, "token_type": "Bearer", "expires_in": life_secs});
            if let Some(refresh) = refresh {
                answer["refresh_token"] = refresh.into();
            }
            Json(answer).into_response()
        }
        Answer::Refused(error, description) => {
            let told = json!({"error": error, "error_description": description});
            (StatusCode::BAD_REQUEST, Json(told)).into_response()
        }
        Answer::Odd(status, body) => (status, [("location", "/elsewhere")], body).into_response(),
    }
}
