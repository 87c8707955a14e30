//! The double by its protocols: what clients of GitHub see, over real connections. Each test proves one behaviour.
#![allow(clippy::unwrap_used, reason = "a test's panic is its message")]

use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};

use super::*;

mod bases;
mod ci;
mod door;
mod git;
mod issues;
mod lag;
mod limits;
mod merging;
mod pages;
mod releases;
mod reviewers;
mod scenarios;

const REPO: &str = FIRST;
const DEPLOY: &str = "deploy-1";

/// A double and a client of it.
struct Rig {
    double: GitHubDouble,
    http: reqwest::Client,
}

impl Rig {
    async fn new() -> Self {
        Self::on(Scenario::Happy).await
    }

    async fn on(scenario: impl Into<Scenarios>) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let options = Options {
            scenario: scenario.into(),
            ..Options::default()
        };
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
        Self {
            double: GitHubDouble::start(options).await.unwrap(),
            http: client.user_agent("tests").build().unwrap(),
        }
    }

    fn knobs(&self, turn: impl FnOnce(&mut Knobs)) {
        self.double.knobs(turn);
    }

    fn rules(&self, pattern: &str, rule: knobs::Rule) {
        self.knobs(|knobs| drop(knobs.rules.insert(pattern.to_owned(), rule)));
    }

    fn request_as(&self, token: &str, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}/repos/{REPO}{path}", self.double.api_url());
        self.http.request(method, url).bearer_auth(token)
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.request_as(tokens::CLASSIC, method, path)
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        answer(self.request(Method::GET, path)).await
    }

    async fn send(&self, method: Method, path: &str, body: Value) -> (u16, Value) {
        answer(self.request(method, path).json(&body)).await
    }

    /// A write that must be refused: its status, and GitHub's words, those in `errors[]` first.
    async fn refused(&self, method: Method, path: &str, body: Value) -> (u16, String) {
        let (status, body) = self.send(method, path, body).await;
        assert!(status >= 400, "{path} was not refused: {body}");
        let said = body["errors"][0]["message"]
            .as_str()
            .or_else(|| body["message"].as_str());
        (status, said.unwrap().to_owned())
    }

    async fn pull(&self, number: u64) -> Value {
        self.get(&format!("/pulls/{number}")).await.1
    }

    /// The deploy branch, at staging's tip.
    async fn deploy_branch(&self) {
        self.double.set_branch(REPO, DEPLOY, "staging").await.unwrap();
    }

    async fn retarget(&self, number: u64, base: &str) {
        let (status, body) = self
            .send(Method::PATCH, &format!("/pulls/{number}"), json!({ "base": base }))
            .await;
        assert_eq!(status, 200, "{body}");
    }

    async fn merge(&self, number: u64) -> String {
        let (status, body) = self
            .send(Method::PUT, &format!("/pulls/{number}/merge"), json!({}))
            .await;
        assert_eq!(status, 200, "{body}");
        body["sha"].as_str().unwrap().to_owned()
    }

    /// A deploy branch with #41 in it, and its pull request's number.
    async fn deploy_pull(&self) -> u64 {
        self.deploy_branch().await;
        self.retarget(41, DEPLOY).await;
        self.merge(41).await;
        let new = json!({ "title": "Deploy", "head": DEPLOY, "base": "staging", "body": "1" });
        let (status, body) = self.send(Method::POST, "/pulls", new).await;
        assert_eq!(status, 201, "{body}");
        body["number"].as_u64().unwrap()
    }

    /// Everything shipped: the merge commit on staging.
    async fn shipped(&self) -> String {
        let number = self.deploy_pull().await;
        self.merge(number).await
    }

    /// The names of what happened to an issue or pull request.
    async fn events(&self, number: u64) -> Vec<String> {
        let (_, events) = self.get(&format!("/issues/{number}/timeline")).await;
        let events = events.as_array().unwrap().iter();
        events
            .map(|event| event["event"].as_str().unwrap().to_owned())
            .collect()
    }
}

async fn answer(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    let value = response.headers().get(name);
    value.and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn says(status: u16, message: &str) -> (u16, String) {
    (status, message.to_owned())
}

fn numbers(rows: &Value) -> Vec<u64> {
    let rows = rows.as_array().unwrap().iter();
    rows.map(|row| row["number"].as_u64().unwrap()).collect()
}
