//! Answers in GitHub's shape: error bodies, pages with their links, ETags.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// An answer before it is HTTP.
pub struct Answer {
    pub status: u16,
    pub body: Value,
    pages: Pages,
    headers: Vec<(&'static str, String)>,
}

/// Where the list is that is paged.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pages {
    None,
    Whole,
    In(&'static str),
}

/// The `documentation_url` of every error.
const DOCUMENTATION: &str = "https://docs.github.com/rest";

pub fn ok(body: Value) -> Answer {
    with(200, body)
}

pub fn with(status: u16, body: Value) -> Answer {
    Answer {
        status,
        body,
        pages: Pages::None,
        headers: Vec::new(),
    }
}

pub fn paged(rows: Vec<Value>) -> Answer {
    Answer {
        pages: Pages::Whole,
        ..ok(Value::Array(rows))
    }
}

/// A list inside an object, with its whole length beside it.
pub fn paged_in(key: &'static str, rows: Vec<Value>) -> Answer {
    Answer {
        pages: Pages::In(key),
        ..ok(json!({ "total_count": rows.len(), key: rows }))
    }
}

pub fn refuse(status: u16, message: &str) -> Answer {
    let body = json!({ "message": message, "documentation_url": DOCUMENTATION, "status": status.to_string() });
    with(status, body)
}

pub fn not_found() -> Answer {
    refuse(404, "Not Found")
}

/// 422 with one entry of `errors[]`; an empty message is left out, as GitHub does.
pub fn invalid(resource: &str, field: &str, code: &str, message: &str) -> Answer {
    let mut error = json!({ "resource": resource, "field": field, "code": code });
    if !message.is_empty() {
        error["message"] = message.into();
    }
    let body = json!({ "message": "Validation Failed", "errors": [error], "documentation_url": DOCUMENTATION, "status": "422" });
    with(422, body)
}

/// 301 to where something is now; 307 for what isn't a GET, so that clients keep the method.
pub fn moved(method: &str, location: &str) -> Answer {
    let (status, message) = match method {
        "GET" => (301, "Moved Permanently"),
        _ => (307, "Temporary Redirect"),
    };
    let body = json!({ "message": message, "url": location, "documentation_url": DOCUMENTATION });
    with(status, body).and("location", location.to_owned())
}

impl Answer {
    /// With one more header.
    pub fn and(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    /// As HTTP. `home` is the repository by its id, the base of links between pages.
    pub fn respond(mut self, asked: &HeaderMap, uri: &Uri, home: &str) -> Response {
        if let Some(links) = self.turn_page(uri, home) {
            self.headers.push(("link", links));
        }
        let text = self.body.to_string();
        let etag = format!("W/\"{}\"", hex::encode(Sha256::digest(&text)));
        let same = asked.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok()) == Some(&etag);
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = match (self.status, same) {
            (200, true) => StatusCode::NOT_MODIFIED.into_response(),
            (204, _) => StatusCode::NO_CONTENT.into_response(),
            _ => (
                status,
                [(header::CONTENT_TYPE, "application/json; charset=utf-8")],
                Body::from(text),
            )
                .into_response(),
        };
        if self.status == 200 {
            self.headers.push(("etag", etag));
        }
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::try_from(value) {
                response.headers_mut().insert(HeaderName::from_static(name), value);
            }
        }
        response
    }

    /// Leaves the page that was asked for; answers with the links to the others.
    fn turn_page(&mut self, uri: &Uri, home: &str) -> Option<String> {
        let rows = match self.pages {
            Pages::None => return None,
            Pages::Whole => self.body.as_array_mut()?,
            Pages::In(key) => self.body[key].as_array_mut()?,
        };
        let number =
            |name: &str, default: usize| query(uri, name).and_then(|text| text.parse().ok()).unwrap_or(default);
        let (per_page, page) = (number("per_page", 30).clamp(1, 100), number("page", 1).max(1));
        let pages = rows.len().div_ceil(per_page).max(1);
        *rows = rows.drain(..).skip((page - 1) * per_page).take(per_page).collect();
        // What follows `/repos/OWNER/NAME` or `/repositories/ID`.
        let path = uri.path();
        let rest = match path.split_once("/repos/") {
            Some((_, rest)) => rest.splitn(3, '/').nth(2),
            None => path
                .split_once("/repositories/")
                .and_then(|(_, rest)| rest.split_once('/'))
                .map(|(_, rest)| rest),
        }?;
        let pairs = uri.query().unwrap_or_default().split('&');
        let filters: Vec<&str> = pairs
            .filter(|pair| !pair.is_empty() && !pair.starts_with("page="))
            .collect();
        let link = |page: usize, rel: &str| {
            let number = format!("page={page}");
            let query = filters
                .iter()
                .copied()
                .chain([number.as_str()])
                .collect::<Vec<_>>()
                .join("&");
            format!("<{home}/{rest}?{query}>; rel=\"{rel}\"")
        };
        let mut links = Vec::new();
        if page > 1 {
            links.push(link(page - 1, "prev"));
        }
        if page < pages {
            links.extend([link(page + 1, "next"), link(pages, "last")]);
        }
        if page > 1 {
            links.push(link(1, "first"));
        }
        (!links.is_empty()).then(|| links.join(", "))
    }
}

/// A parameter of the query; an empty one is none, as at GitHub.
pub fn query(uri: &Uri, name: &str) -> Option<String> {
    let pairs = uri.query().unwrap_or_default().split('&');
    let value = pairs
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == name)?
        .1;
    let decoded = percent_encoding::percent_decode_str(value)
        .decode_utf8_lossy()
        .into_owned();
    Some(decoded).filter(|value| !value.is_empty())
}
