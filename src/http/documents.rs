//! Documents of a link: what the mail carried along, for whoever holds the link while it is alive or answered.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use tracing::{error, warn};

use super::Web;
use super::link;
use super::page::{self, PageError};
use crate::people::link::LinkState;

/// A document is a stranger's: it runs nothing, loads nothing, and is shown in no frame.
const POLICY: &str = "sandbox; default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// GET: the `n`-th document of the link's notice, from 1.
pub(super) async fn one(
    State(web): State<Arc<Web>>,
    Path((token, n)): Path<(String, String)>,
) -> Result<Response, PageError> {
    let Some(view) = link::look(&web, &token).await? else { return Ok(link::unknown()) };
    if let LinkState::Over(why) = &view.state {
        return Ok(link::over(&view, why));
    }
    let wanted = n.parse::<usize>().ok().and_then(|n| n.checked_sub(1));
    let document = wanted.and_then(|index| view.documents.get(index)).ok_or(PageError::NotFound("document"))?;
    let bytes = match web.engine.blob.get(&document.path).await {
        Ok(bytes) => bytes,
        Err(trouble) if trouble.is_not_found() => {
            error!("a document that a notice names is gone: {trouble}");
            return Err(PageError::NotFound("document"));
        }
        Err(trouble) => {
            warn!("a document could not be read: {trouble}");
            return Ok(page::away());
        }
    };
    let kind = kind(&document.content_type);
    // A browser shows a PDF in its own viewer; anything else might be read as a page.
    let how = if kind == "application/pdf" { "inline" } else { "attachment" };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CONTENT_DISPOSITION, disposition(how, &document.name)),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
    ];
    Ok((headers, Body::from(bytes)).into_response())
}

/// One of the types that we know; anything else is just bytes.
fn kind(content_type: &str) -> &'static str {
    const KNOWN: [&str; 4] =
        ["application/pdf", "application/xml", "text/csv; charset=utf-8", "text/plain; charset=utf-8"];
    let bare = |kind: &str| kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    KNOWN.into_iter().find(|known| bare(known) == bare(content_type)).unwrap_or("application/octet-stream")
}

/// Content-Disposition (RFC 6266): an ASCII name for all, and the real one (RFC 8187).
fn disposition(how: &str, name: &str) -> HeaderValue {
    let name = name.rsplit(['/', '\\']).next().filter(|name| !name.trim().is_empty()).unwrap_or("document");
    let ascii: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ' ') { c } else { '_' })
        .collect();
    let mut real = String::new();
    for byte in name.bytes() {
        match byte {
            b'.' | b'-' | b'_' => real.push(byte.into()),
            _ if byte.is_ascii_alphanumeric() => real.push(byte.into()),
            _ => real.push_str(&format!("%{byte:02X}")),
        }
    }
    HeaderValue::from_str(&format!("{how}; filename=\"{ascii}\"; filename*=UTF-8''{real}"))
        .unwrap_or(HeaderValue::from_static("attachment"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strangers_file_name_stays_a_file_name() {
        let check = |name: &str, expected: &str| assert_eq!(disposition("inline", name), expected, "{name}");
        check("invoice 4711.pdf", "inline; filename=\"invoice 4711.pdf\"; filename*=UTF-8''invoice%204711.pdf");
        check("Rechnung-ü.pdf", "inline; filename=\"Rechnung-_.pdf\"; filename*=UTF-8''Rechnung-%C3%BC.pdf");
        check("../a\"\r\nX: y", "inline; filename=\"a___X_ y\"; filename*=UTF-8''a%22%0D%0AX%3A%20y");
        check("a/", "inline; filename=\"document\"; filename*=UTF-8''document");
    }

    #[test]
    fn only_known_types_keep_their_name() {
        let check = |kind_given: &str, expected: &str| assert_eq!(kind(kind_given), expected, "{kind_given}");
        check("application/pdf", "application/pdf");
        check("Text/CSV; charset=latin1", "text/csv; charset=utf-8");
        check("text/html", "application/octet-stream");
        check("image/svg+xml", "application/octet-stream");
    }
}
