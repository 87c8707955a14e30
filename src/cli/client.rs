//! HTTP over the control socket.

use std::error::Error as _;
use std::io;
use std::path::PathBuf;

use reqwest::{RequestBuilder, Response, StatusCode};
use serde::Serialize;
use url::Url;

use super::Failure;
use crate::config::Config;
use crate::control;
use crate::control::wire::{Answer, Complaint};

/// The socket of one Shipmate.
pub(super) struct Client {
    http: reqwest::Client,
    path: PathBuf,
}

type Query<'a> = [(&'a str, Option<String>)];

impl Client {
    pub(super) fn new(config: &Config) -> Result<Self, Failure> {
        let path = control::path(&config.data_dir);
        let http = reqwest::Client::builder()
            .unix_socket(path.clone())
            .no_proxy()
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self { http, path })
    }

    pub(super) async fn get(&self, path: &[&str], query: &Query<'_>) -> Result<Answer, Failure> {
        let response = self.send(self.http.get(url(path, query)?)).await?;
        answer(response).await
    }

    pub(super) async fn post(&self, path: &[&str], body: &impl Serialize) -> Result<Answer, Failure> {
        let response = self.send(self.http.post(url(path, &[])?).json(body)).await?;
        answer(response).await
    }

    /// An answer of many lines, as they come.
    pub(super) async fn stream(&self, path: &[&str], query: &Query<'_>) -> Result<Lines, Failure> {
        let response = self.send(self.http.get(url(path, query)?)).await?;
        Ok(Lines {
            response,
            read: Vec::new(),
        })
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let text = response.text().await.unwrap_or_default();
        let sentence = match serde_json::from_str(&text) {
            Ok(Complaint { error }) => error,
            Err(_) => format!("Shipmate answered {status}: {text}"),
        };
        Err(match status {
            StatusCode::FORBIDDEN => Failure::Refused(sentence),
            _ => Failure::Failed(sentence),
        })
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let socket = self.path.display();
        match io_kind(error) {
            Some(io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => Failure::NotRunning(format!(
                "no Shipmate is running here (nobody listens at {socket}); start it with `shipmate serve`, or name its configuration with --config"
            )),
            Some(io::ErrorKind::PermissionDenied) => Failure::Refused(format!(
                "{socket} is open to the user that runs Shipmate only; run this command as that user, for example with sudo -u"
            )),
            _ => Failure::Failed(format!("Shipmate did not answer at {socket}: {error}")),
        }
    }
}

fn io_kind(error: &reqwest::Error) -> Option<io::ErrorKind> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Some(error.kind());
        }
        cause = error.source();
    }
    None
}

/// The host is nobody's: the socket is the address.
fn url(path: &[&str], query: &Query<'_>) -> Result<Url, Failure> {
    let mut url = Url::parse("http://shipmate").map_err(|error| error.to_string())?;
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.extend(path);
    }
    for (name, value) in query {
        if let Some(value) = value {
            url.query_pairs_mut().append_pair(name, value);
        }
    }
    Ok(url)
}

async fn answer(response: Response) -> Result<Answer, Failure> {
    let answer = response.json().await;
    answer.map_err(|error| Failure::Failed(format!("Shipmate's answer can't be read: {error}")))
}

/// The lines of an answer.
pub(super) struct Lines {
    response: Response,
    read: Vec<u8>,
}

impl Lines {
    /// The next whole line, without its end.
    pub(super) async fn next(&mut self) -> Result<Option<String>, Failure> {
        loop {
            if let Some(end) = self.read.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                return Ok(Some(String::from_utf8_lossy(&line[..end]).into_owned()));
            }
            let chunk = self.response.chunk().await;
            match chunk.map_err(|error| Failure::Failed(format!("Shipmate's answer broke off: {error}")))? {
                Some(chunk) => self.read.extend_from_slice(&chunk),
                None => return Ok(None),
            }
        }
    }
}
