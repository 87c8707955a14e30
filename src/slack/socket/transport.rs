//! What slack-morphism lets an application replace: how calls reach Slack (passed on unchanged) and who keeps its Socket Mode
//! connections (we do, see [`keep_line`]).

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use slack_morphism::listener::SlackClientEventsListenerEnvironment;
use slack_morphism::multipart_form::FileMultipartData;
use slack_morphism::prelude::{
    SlackApiToken, SlackClient, SlackClientHttpConnector, SlackClientId, SlackClientSecret,
    SlackClientSocketModeConfig, SlackSocketModeClientListener, SlackSocketModeWssClientId,
};
use slack_morphism::socket_mode::clients_manager::{
    SlackSocketModeClientsManager, SlackSocketModeClientsManagerFactory,
};
use slack_morphism::{ClientResult, SlackClientApiCallContext};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use url::Url;

use super::super::{Handler, client};
use super::Timing;
use super::conversation::Exchange;
use super::lines::{Lines, keep_line};

/// slack-morphism's connector, with what its Socket Mode manager is made of.
#[derive(Clone)]
pub(super) struct Transport {
    pub(super) web: client::Connector,
    pub(super) handler: Arc<dyn Handler>,
    pub(super) lines: Arc<Lines>,
    pub(super) timing: Timing,
}

impl SlackSocketModeClientsManagerFactory<Self> for Transport {
    fn new_clients_manager(
        &self,
        environment: Arc<SlackClientEventsListenerEnvironment<Self>>,
    ) -> Arc<dyn SlackSocketModeClientsManager + Send + Sync> {
        let stop = CancellationToken::new();
        Arc::new(Manager {
            client: environment.client.clone(),
            registered: Mutex::new(Vec::new()),
            tasks: TaskTracker::new(),
            _stop_when_dropped: stop.clone().drop_guard(),
            stop,
        })
    }
}

/// Keeps the lines of every registered token, from `start` to `shutdown`. Dropping it ends them without waiting.
struct Manager {
    client: Arc<SlackClient<Transport>>,
    registered: Mutex<Vec<Registered>>,
    tasks: TaskTracker,
    stop: CancellationToken,
    _stop_when_dropped: DropGuard,
}

struct Registered {
    exchange: Arc<Exchange>,
    lines: u32,
}

#[async_trait]
impl SlackSocketModeClientsManager for Manager {
    async fn register_new_token(
        &self,
        config: &SlackClientSocketModeConfig,
        token: SlackApiToken,
        listener: Arc<dyn SlackSocketModeClientListener + Sync + Send>,
    ) -> ClientResult<()> {
        let exchange = Exchange::new(
            self.client.clone(),
            token,
            listener,
            self.tasks.clone(),
            self.stop.clone(),
        );
        let lines = config.max_connections_count;
        let mut registered = self.registered.lock().unwrap_or_else(PoisonError::into_inner);
        registered.push(Registered {
            exchange: Arc::new(exchange),
            lines,
        });
        Ok(())
    }

    /// Nothing: a line that Slack asks to disconnect sees to its own replacement.
    async fn restart_client(&self, _line: &SlackSocketModeWssClientId) {}

    async fn start(&self) {
        let registered = self.registered.lock().unwrap_or_else(PoisonError::into_inner);
        for (token, Registered { exchange, lines }) in (0..).zip(registered.iter()) {
            for line in 0..*lines {
                let first = SlackSocketModeWssClientId::new(line, token, 0);
                self.tasks.spawn(keep_line(exchange.clone(), first));
            }
        }
    }

    async fn shutdown(&self) {
        self.stop.cancel();
        self.tasks.close();
        // Each line bounds its own end; this bounds a handler that never returns.
        let limit = self.client.http_api.connector.timing.drain * 2;
        if timeout(limit, self.tasks.wait()).await.is_err() {
            tracing::warn!("Socket Mode ended while a message was still being handled");
        }
    }

    /// The process's signals are not a transport's affair: whoever takes them calls `shutdown`.
    async fn await_term_signals(&self) {
        self.stop.cancelled().await;
    }
}

/// Every call as slack-morphism makes it.
impl SlackClientHttpConnector for Transport {
    fn http_get_uri<'a, RS>(
        &'a self,
        full_uri: Url,
        context: SlackClientApiCallContext<'a>,
    ) -> BoxFuture<'a, ClientResult<RS>>
    where
        RS: for<'de> Deserialize<'de> + Send + 'a,
    {
        self.web.http_get_uri(full_uri, context)
    }

    fn http_get_with_client_secret<'a, RS>(
        &'a self,
        full_uri: Url,
        client_id: &'a SlackClientId,
        client_secret: &'a SlackClientSecret,
    ) -> BoxFuture<'a, ClientResult<RS>>
    where
        RS: for<'de> Deserialize<'de> + Send + 'a,
    {
        self.web.http_get_with_client_secret(full_uri, client_id, client_secret)
    }

    fn http_post_uri<'a, RQ, RS>(
        &'a self,
        full_uri: Url,
        request_body: &'a RQ,
        context: SlackClientApiCallContext<'a>,
    ) -> BoxFuture<'a, ClientResult<RS>>
    where
        RQ: Serialize + Send + Sync,
        RS: for<'de> Deserialize<'de> + Send + 'a,
    {
        self.web.http_post_uri(full_uri, request_body, context)
    }

    fn http_post_uri_multipart_form<'a, 'p, RS, PT, TS>(
        &'a self,
        full_uri: Url,
        file: Option<FileMultipartData<'p>>,
        params: &'p PT,
        context: SlackClientApiCallContext<'a>,
    ) -> BoxFuture<'a, ClientResult<RS>>
    where
        RS: for<'de> Deserialize<'de> + Send + 'a,
        PT: IntoIterator<Item = (&'p str, Option<TS>)> + Clone,
        TS: AsRef<str> + 'p + Send,
    {
        self.web.http_post_uri_multipart_form(full_uri, file, params, context)
    }

    fn http_post_uri_binary<'a, 'p, RS>(
        &'a self,
        full_uri: Url,
        content_type: String,
        data: &'a [u8],
        context: SlackClientApiCallContext<'a>,
    ) -> BoxFuture<'a, ClientResult<RS>>
    where
        RS: for<'de> Deserialize<'de> + Send + 'a,
    {
        self.web.http_post_uri_binary(full_uri, content_type, data, context)
    }

    /// Without it, the trait's own would call slack.com whatever address is configured.
    fn create_method_uri_path(&self, method_relative_uri: &str) -> ClientResult<Url> {
        self.web.create_method_uri_path(method_relative_uri)
    }
}
