//! The Web API through slack-morphism's raw calls.
//!
//! Three choices, each for a loss that the crate's typed calls would cause:
//! 1. Replies are read with our own types, which ask for the one field that proves success: a typed reply that fails to parse turns a
//!    message that was posted into an error, and an untyped one takes a proxy's HTML page for success.
//! 2. Every call has a deadline; the crate has none.
//! 3. Nothing is retried or throttled here: who calls knows whether to look before it repeats, and how fast a channel may go.

use std::time::Duration;

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use slack_morphism::errors::SlackClientError;
use slack_morphism::prelude::{
    SlackApiToken, SlackClient, SlackClientHttpConnector, SlackClientHyperConnector, SlackHyperHttpsConnector,
};
use slack_morphism::{ClientResult, SlackClientApiCallContext};
use tokio::sync::OnceCell;

use crate::metrics;

use super::{Content, Error, ErrorKind, Identity, Metadata, Post, Respond, Result, Slack, Ts, User};

const AUTH_TEST: &str = "auth.test";
const POST_MESSAGE: &str = "chat.postMessage";
const UPDATE: &str = "chat.update";
const GET_PERMALINK: &str = "chat.getPermalink";
const VIEWS_OPEN: &str = "views.open";
const VIEWS_PUBLISH: &str = "views.publish";
const HISTORY: &str = "conversations.history";
const REPLIES: &str = "conversations.replies";
const CONVERSATION: &str = "conversations.info";
const GROUP_MEMBERS: &str = "usergroups.users.list";
const USER: &str = "users.info";

/// Every Web API method called with the bot token, and the bot scopes that it needs. The manifest asks for exactly these.
pub const METHODS: &[(&str, &[&str])] = &[
    (AUTH_TEST, &[]),
    (POST_MESSAGE, &["chat:write"]),
    (UPDATE, &["chat:write"]),
    (GET_PERMALINK, &[]),
    (VIEWS_OPEN, &[]),
    (VIEWS_PUBLISH, &[]),
    (HISTORY, &["channels:history", "groups:history"]),
    (REPLIES, &["channels:history", "groups:history"]),
    (CONVERSATION, &["channels:read", "groups:read"]),
    (GROUP_MEMBERS, &["usergroups:read"]),
    (USER, &["users:read"]),
];

/// What a failed call to a response URL is called in its error.
const RESPONSE_URL: &str = "response_url";

/// Marks our messages among other apps'.
const EVENT_TYPE: &str = "shipmate";

/// For one call, connection included.
const CALL: Duration = Duration::from_secs(10);

/// To reach Slack at all.
const CONNECT: Duration = Duration::from_secs(5);

/// When a 429 doesn't say how long.
const PAUSE: Duration = Duration::from_secs(5);

/// Messages a page, Slack's own recommendation.
const PAGE: &str = "200";

/// Pages looked through for a message: whoever looks for it posted it moments ago.
const PAGES: usize = 20;

pub(super) type Connector = SlackClientHyperConnector<SlackHyperHttpsConnector>;

/// Slack's Web API with a bot token.
pub struct SlackClientApi {
    client: SlackClient<Connector>,
    token: SlackApiToken,
    deadline: Duration,
    identity: OnceCell<Identity>,
}

impl SlackClientApi {
    /// A client for the Web API at `api_url`. Opens no connection. Fails only if the system's root certificates can't be read.
    pub fn new(api_url: &str, bot_token: SecretString) -> std::io::Result<Self> {
        Ok(Self {
            client: SlackClient::new(connector(api_url)?),
            token: SlackApiToken::new(bot_token.expose_secret().into()),
            deadline: CALL,
            identity: OnceCell::new(),
        })
    }

    async fn call<R: DeserializeOwned + Send>(&self, method: &str, body: &(impl Serialize + Sync + Send)) -> Result<R> {
        let session = self.client.open_session(&self.token);
        let call = session.http_session_api.http_post(method, body, None);
        within(self.deadline, method, call).await
    }

    async fn read<R: DeserializeOwned + Send>(&self, method: &str, parameters: &[(&str, &str)]) -> Result<R> {
        let session = self.client.open_session(&self.token);
        let parameters: Vec<_> = parameters.iter().map(|(name, value)| (*name, Some(*value))).collect();
        let call = session.http_session_api.http_get(method, &parameters, None);
        within(self.deadline, method, call).await
    }

    async fn me(&self) -> Result<&Identity> {
        self.identity
            .get_or_try_init(async || self.call(AUTH_TEST, &json!({})).await)
            .await
    }

    /// One page of a channel (newest first) or of a thread (oldest first).
    async fn page(&self, channel: &str, thread: Option<&str>, cursor: &str) -> Result<Page> {
        let mut parameters = vec![("channel", channel), ("limit", PAGE), ("include_all_metadata", "true")];
        if !cursor.is_empty() {
            parameters.push(("cursor", cursor));
        }
        match thread {
            None => self.read(HISTORY, &parameters).await,
            Some(root) => {
                parameters.push(("ts", root));
                self.read(REPLIES, &parameters).await
            }
        }
    }
}

/// HTTP/1.1 on purpose: a half-open HTTP/2 connection stays in the pool and hangs every later call.
pub(super) fn connector(api_url: &str) -> std::io::Result<Connector> {
    let mut http = hyper_util::client::legacy::connect::HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_connect_timeout(Some(CONNECT));
    http.set_keepalive(Some(Duration::from_secs(30)));
    let https = hyper_rustls::HttpsConnectorBuilder::new()
        .with_provider_and_native_roots(rustls::crypto::ring::default_provider())?
        .https_or_http()
        .enable_http1()
        .wrap_connector(http);
    Ok(SlackClientHyperConnector::with_connector(https).with_slack_api_url(api_url.trim_end_matches('/')))
}

/// Waits for a call no longer than `deadline`.
pub(super) async fn within<R>(
    deadline: Duration,
    method: &str,
    call: impl Future<Output = ClientResult<R>>,
) -> Result<R> {
    let answered = tokio::time::timeout(deadline, call).await;
    metrics::slack_asked(method, matches!(answered, Ok(Ok(_))));
    match answered {
        Ok(reply) => reply.map_err(|error| failure(method, error)),
        Err(_) => Err(Error {
            method: method.to_owned(),
            message: format!("no answer within {} s{}", deadline.as_secs_f32(), unsure(method)),
            kind: ErrorKind::Transient,
        }),
    }
}

/// The crate's errors quote whole bodies, which may hold secrets; ours don't.
fn failure(method: &str, error: SlackClientError) -> Error {
    let (message, kind) = match error {
        SlackClientError::ApiError(error) => {
            let details = error.errors.unwrap_or_default().join("; ");
            let details = if details.is_empty() {
                details
            } else {
                format!(" ({details})")
            };
            (
                format!("{}{details}{}", error.code, with_mend(&error.code)),
                ErrorKind::Api(error.code),
            )
        }
        SlackClientError::RateLimitError(error) => {
            let pause = error.retry_after.unwrap_or(PAUSE);
            (
                format!("too many calls, again in {} s", pause.as_secs()),
                ErrorKind::RateLimited(pause),
            )
        }
        SlackClientError::HttpError(error) if error.status_code.is_client_error() => {
            let code = format!("http_{}", error.status_code.as_u16());
            (format!("answered {}", error.status_code), ErrorKind::Api(code))
        }
        SlackClientError::HttpError(error) => (format!("answered {}", error.status_code), ErrorKind::Transient),
        SlackClientError::ProtocolError(_) => (
            "the answer is not Slack's; a proxy may stand between".to_owned(),
            ErrorKind::Transient,
        ),
        SlackClientError::HttpProtocolError(_) | SlackClientError::EndOfStream(_) => {
            (format!("the connection failed{}", unsure(method)), ErrorKind::Transient)
        }
        SlackClientError::SystemError(_) | SlackClientError::SocketModeProtocolError(_) => {
            ("the call could not be made".to_owned(), ErrorKind::Transient)
        }
    };
    Error {
        method: method.to_owned(),
        message,
        kind,
    }
}

/// Said of a call that changes something and whose answer is lost; after a lost read there is nothing to be unsure of.
fn unsure(method: &str) -> &'static str {
    match method {
        POST_MESSAGE | UPDATE | VIEWS_OPEN | VIEWS_PUBLISH | RESPONSE_URL => "; it may have happened all the same",
        _ => "",
    }
}

/// To be put behind a code: `; what to do`, if anything is known.
pub(super) fn with_mend(code: &str) -> String {
    mend(code).map(|mend| format!("; {mend}")).unwrap_or_default()
}

/// What to do about the codes that people can do something about.
pub fn mend(code: &str) -> Option<&'static str> {
    Some(match code {
        "not_in_channel" => "invite the app into the channel: /invite @Shipmate",
        "channel_not_found" => "check the channel's id, and invite the app if the channel is private",
        "is_archived" => "unarchive the channel or configure another",
        "invalid_auth" | "not_authed" | "account_inactive" | "token_revoked" | "token_expired" => {
            "the token is not valid (any more): check it in the app's settings"
        }
        "missing_scope" => "reinstall the app from slack-manifest.yaml, which has every scope",
        "expired_trigger_id" | "trigger_expired" => "more than three seconds had passed, so click again",
        "used_url" | "expired_url" => "the response URL is used up",
        _ => return None,
    })
}

#[derive(Deserialize)]
struct Posted {
    ts: Ts,
}

/// A reply that proves nothing but its own success.
#[derive(Deserialize)]
struct Done {
    #[serde(rename = "ok")]
    _ok: bool,
}

/// A response URL answers with plain text or with JSON.
#[derive(Deserialize)]
struct Anything {}

#[derive(Deserialize)]
struct Permalink {
    permalink: String,
}

#[derive(Deserialize)]
struct Members {
    users: Vec<String>,
}

#[derive(Deserialize)]
struct UserReply {
    user: UserRecord,
}

#[derive(Deserialize)]
struct UserRecord {
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    profile: Profile,
    tz: Option<String>,
}

#[derive(Default, Deserialize)]
struct Profile {
    display_name: Option<String>,
    real_name: Option<String>,
}

impl From<UserRecord> for User {
    fn from(record: UserRecord) -> Self {
        let names = [record.profile.display_name, record.profile.real_name];
        let chosen = names.into_iter().flatten().find(|name| !name.is_empty());
        Self {
            id: record.id,
            name: chosen.unwrap_or(record.name),
            tz: record.tz,
        }
    }
}

#[derive(Deserialize)]
struct ConversationReply {
    channel: ConversationRecord,
}

#[derive(Deserialize)]
struct ConversationRecord {
    #[serde(default)]
    is_member: bool,
}

#[derive(Deserialize)]
struct Page {
    messages: Vec<MessageRecord>,
    #[serde(default)]
    response_metadata: Option<PageEnd>,
}

#[derive(Deserialize)]
struct PageEnd {
    #[serde(default)]
    next_cursor: String,
}

#[derive(Deserialize)]
struct MessageRecord {
    ts: Ts,
    user: Option<String>,
    metadata: Option<Value>,
}

impl MessageRecord {
    fn is_ours(&self, me: &Identity, metadata: &Metadata) -> bool {
        let ours = self.user.as_ref().is_none_or(|user| *user == me.user_id);
        ours && self.metadata.as_ref().is_some_and(|found| {
            let payload = &found["event_payload"];
            found["event_type"] == EVENT_TYPE
                && payload["deployment"] == *metadata.deployment
                && payload["step_key"] == *metadata.step_key
        })
    }
}

/// A message's JSON. Links don't unfold: a card with twenty pull requests would bury the channel.
fn message(channel: &str, content: Content, metadata: Option<&Metadata>) -> Value {
    let mut body = json!({
        "channel": channel,
        "text": content.text,
        "blocks": content.blocks,
        "unfurl_links": false,
        "unfurl_media": false,
    });
    if let Some(metadata) = metadata {
        body["metadata"] = json!({"event_type": EVENT_TYPE, "event_payload": metadata});
    }
    body
}

#[async_trait]
impl Slack for SlackClientApi {
    async fn identity(&self) -> Result<Identity> {
        self.me().await.cloned()
    }

    async fn post(&self, post: Post) -> Result<Ts> {
        let mut body = message(&post.channel, post.content, post.metadata.as_ref());
        if let Some(thread) = post.thread {
            body["thread_ts"] = thread.into();
        }
        let posted: Posted = self.call(POST_MESSAGE, &body).await?;
        Ok(posted.ts)
    }

    async fn update(&self, channel: &str, ts: &str, content: Content, metadata: Option<Metadata>) -> Result<()> {
        let mut body = message(channel, content, metadata.as_ref());
        body["ts"] = ts.into();
        let _: Posted = self.call(UPDATE, &body).await?;
        Ok(())
    }

    async fn respond(&self, response_url: &str, how: Respond, content: Content) -> Result<()> {
        let unusable = |_| Error {
            method: RESPONSE_URL.to_owned(),
            message: "the response URL is no URL".to_owned(),
            kind: ErrorKind::Api("invalid_url".to_owned()),
        };
        let url = url::Url::parse(response_url).map_err(unusable)?;
        let body = json!({
            "response_type": "ephemeral",
            "replace_original": how == Respond::Replace,
            "text": content.text,
            "blocks": content.blocks,
        });
        // A session would send the bot token along.
        let span = tracing::Span::none();
        let context = SlackClientApiCallContext {
            rate_control_params: None,
            token: None,
            tracing_span: &span,
            is_sensitive_url: true,
        };
        let call = self.client.http_api.connector.http_post_uri(url, &body, context);
        let _: Anything = within(self.deadline, RESPONSE_URL, call).await?;
        Ok(())
    }

    async fn open_view(&self, trigger_id: &str, view: Value) -> Result<()> {
        let _: Done = self
            .call(VIEWS_OPEN, &json!({"trigger_id": trigger_id, "view": view}))
            .await?;
        Ok(())
    }

    async fn publish_home(&self, user: &str, view: Value) -> Result<()> {
        let _: Done = self
            .call(VIEWS_PUBLISH, &json!({"user_id": user, "view": view}))
            .await?;
        Ok(())
    }

    async fn find(&self, channel: &str, thread: Option<Ts>, metadata: &Metadata) -> Result<Option<Ts>> {
        let me = self.me().await?;
        let mut newest: Option<Ts> = None;
        let mut cursor = String::new();
        for _ in 0..PAGES {
            let page = self.page(channel, thread.as_deref(), &cursor).await?;
            let ours = page
                .messages
                .into_iter()
                .filter(|message| message.is_ours(me, metadata));
            newest = ours
                .map(|message| message.ts)
                .chain(newest)
                .max_by(|one, other| order(one).cmp(&order(other)));
            let found = newest.is_some() && thread.is_none();
            cursor = page.response_metadata.map(|end| end.next_cursor).unwrap_or_default();
            if found || cursor.is_empty() {
                break;
            }
        }
        Ok(newest)
    }

    async fn permalink(&self, channel: &str, ts: &str) -> Result<String> {
        let link: Permalink = self
            .read(GET_PERMALINK, &[("channel", channel), ("message_ts", ts)])
            .await?;
        Ok(link.permalink)
    }

    async fn group_members(&self, group: &str) -> Result<Vec<String>> {
        let members: Members = self.read(GROUP_MEMBERS, &[("usergroup", group)]).await?;
        Ok(members.users)
    }

    async fn user(&self, id: &str) -> Result<User> {
        let reply: UserReply = self.read(USER, &[("user", id)]).await?;
        Ok(reply.user.into())
    }

    async fn is_member(&self, channel: &str) -> Result<bool> {
        let reply: ConversationReply = self.read(CONVERSATION, &[("channel", channel)]).await?;
        Ok(reply.channel.is_member)
    }
}

/// Sorts timestamps by time: the seconds by length first, so that it holds past 2286, too.
fn order(ts: &str) -> (usize, &str) {
    (ts.find('.').unwrap_or(ts.len()), ts)
}

#[cfg(test)]
mod tests;
