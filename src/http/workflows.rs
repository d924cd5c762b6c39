//! What workflows take in, for forms and clients, and how they look.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::{Web, page};
use crate::domain::workflow::Workflow;
use crate::reports::graph::Graph;

/// GET: the JSON Schema of the inputs of what is in force under a name, or of one version as `ap-invoice@3`.
pub(super) async fn schema(State(web): State<Arc<Web>>, Path(name): Path<String>) -> Response {
    with(&web, &name, |workflow| {
        ([(header::CONTENT_TYPE, "application/schema+json")], Json(workflow.input_schema())).into_response()
    })
}

/// GET: the picture of a definition (SVG).
pub(super) async fn graph(State(web): State<Arc<Web>>, Path(name): Path<String>) -> Response {
    with(&web, &name, |workflow| ([(header::CONTENT_TYPE, "image/svg+xml")], Graph::of(workflow).svg()).into_response())
}

fn with(web: &Web, name: &str, make: impl FnOnce(&Workflow) -> Response) -> Response {
    let behaviour = web.live.current();
    let version = behaviour.workflows.iter().find(|workflow| workflow.label() == name);
    match version.or_else(|| behaviour.workflow(name)) {
        Some(workflow) => make(workflow),
        None => page::message(
            StatusCode::NOT_FOUND,
            "Not found",
            "There is no such workflow.",
            "Ask for it by name, or by name and version as in ap-invoice@3.",
        ),
    }
}
