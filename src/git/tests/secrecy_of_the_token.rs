//! The token reaches the remote and nothing else.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method as Verb, StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use super::*;

/// A remote that answers each request with this status and whatever credentials it was shown; it tells what it was asked.
fn echo(status: &'static str) -> (String, std::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/acme/web.git", listener.local_addr().unwrap());
    let (heard, hears) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let lines = BufReader::new(&stream).lines().map_while(Result::ok);
            let request: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
            let request = request.join("\n");
            let body = format!("token {TOKEN}\n{request}\n");
            let length = body.len();
            let head = format!("HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n");
            write!(
                stream,
                "{head}Location: http://127.0.0.1:1/\r\nConnection: close\r\n\r\n{body}"
            )
            .unwrap();
            if heard.send(request).is_err() {
                return;
            }
        }
    });
    (url, hears)
}

fn basic() -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(format!("x-access-token:{TOKEN}"))
}

#[tokio::test]
async fn it_is_sent_at_once_and_redacted_where_the_remote_says_it_back() {
    let (url, hears) = echo("403 Forbidden");
    let git = GitCli::new(url, Arc::new(Fixed));
    let error = git.remote_branches("deploy-").await.unwrap_err();
    let request = hears.recv().unwrap();
    assert!(
        request.contains(&format!("Authorization: Basic {}", basic())),
        "{request}"
    );
    let text = format!("{error} {error:?}");
    assert!(text.contains("[REDACTED]"), "{text}");
    assert!(!text.contains(TOKEN) && !text.contains(&basic()), "{text}");
    assert!(!error.transient);
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let (url, _hears) = echo("302 Found");
    let error = GitCli::new(url, Arc::new(Fixed)).remote_branches("").await.unwrap_err();
    assert!(error.message.contains("302"), "{error}");
    assert!(!error.transient);
}

#[tokio::test]
async fn a_remote_in_trouble_is_worth_another_try() {
    let (url, _hears) = echo("503 Service Unavailable");
    assert!(
        GitCli::new(url, Arc::new(Fixed))
            .remote_branches("")
            .await
            .unwrap_err()
            .transient
    );
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let git = GitCli::new(format!("http://{closed}/x.git"), Arc::new(Fixed));
    assert!(git.remote_branches("").await.unwrap_err().transient);
}

#[tokio::test]
async fn a_failed_clone_leaves_no_trace_of_it() {
    let (url, _hears) = echo("403 Forbidden");
    let root = TempDir::new().unwrap();
    let dir = root.path().join("clone");
    let error = GitCli::new(url, Arc::new(Fixed))
        .clone(&dir, "main", &[])
        .await
        .unwrap_err();
    assert!(!error.to_string().contains(TOKEN));
    assert!(!dir.exists());
}

/// Git's own server behind HTTP, for those who show the token.
async fn serve(State(root): State<PathBuf>, verb: Verb, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let header = |name: &str| {
        headers
            .get(name)
            .map(|value| value.to_str().unwrap().to_owned())
            .unwrap_or_default()
    };
    if header("authorization") != format!("Basic {}", basic()) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let mut backend = Command::new("git");
    backend
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", &root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_PROTOCOL", header("git-protocol"))
        .env("REMOTE_USER", "bot")
        .env("REQUEST_METHOD", verb.as_str())
        .env("PATH_INFO", uri.path())
        .env("QUERY_STRING", uri.query().unwrap_or_default())
        .env("CONTENT_TYPE", header("content-type"))
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .env("CONTENT_LENGTH", body.len().to_string())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped());
    let output = tokio::task::spawn_blocking(move || {
        let mut child = backend.spawn().unwrap();
        child.stdin.take().unwrap().write_all(&body).unwrap();
        child.wait_with_output().unwrap().stdout
    });
    let output = output.await.unwrap();
    let end = output.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
    let head = String::from_utf8_lossy(&output[..end]);
    let mut response = Response::builder();
    for (name, value) in head.lines().filter_map(|line| line.split_once(": ")) {
        response = match name {
            "Status" => response.status(value[..3].parse::<u16>().unwrap()),
            _ => response.header(name, value),
        };
    }
    response.body(output[end + 4..].to_vec().into()).unwrap()
}

fn holds_token(dir: &Path) -> bool {
    std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .any(|path| match path.is_dir() {
            true => holds_token(&path),
            false => {
                let text = String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
                text.contains(TOKEN) || text.contains(&basic())
            }
        })
}

#[tokio::test]
async fn every_command_that_needs_it_has_it_and_no_file_does() {
    let rig = Rig::new();
    rig.remote(&["config", "http.receivepack", "true"]);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/web.git", listener.local_addr().unwrap());
    let app = Router::new().fallback(serve).with_state(rig.root.path().to_owned());
    let server = tokio::spawn(async move { axum::serve(listener, app).await });

    let (git, dir, main) = (GitCli::new(url, Arc::new(Fixed)), rig.dir(), rig.tip("main"));
    git.clone(&dir, "main", &["VERSION".to_owned()]).await.unwrap();
    assert!(git.is_clone(&dir).await);
    let head = rig.writes("refs/pull/1/head", &[&main], &[("src/big.txt", "bigger\n")]);
    let other = rig.writes("refs/pull/2/head", &[&main], &[("src/big.txt", "biggest\n")]);
    let cars = [Car { number: 1, head }, Car { number: 2, head: other }];
    // Needs blobs that the clone doesn't have.
    let rehearsal = git.rehearse(&dir, &main, &cars, Method::Merge).await.unwrap();
    let conflict = CarVerdict::Conflict {
        number: 2,
        files: vec!["src/big.txt".into()],
        with: Some(1),
    };
    assert_eq!(rehearsal.cars[1], conflict);
    assert_eq!(
        git.read(&dir, &main, "a b/[x]*.json").await.unwrap(),
        Blob::File(b"{}\n".to_vec())
    );
    git.checkout(&dir, "deploy", &main).await.unwrap();
    let files = [("VERSION".to_owned(), b"2.0.0\n".to_vec())];
    let commit = git.commit(&dir, &main, &files, "x", &signature()).await.unwrap();
    assert_eq!(
        git.push(&dir, &commit, "deploy", Expect::Absent).await.unwrap(),
        Pushed::Done
    );
    assert_eq!(git.delete_remote(&dir, "deploy", &commit).await.unwrap(), Pushed::Done);
    assert!(!holds_token(rig.root.path()));
    server.abort();
}
