//! One OpenTelemetry trace a deployment, sent over OTLP/HTTP when the deployment has ended.
//!
//! A deployment outlives processes, so its trace is made from its journal and not from spans that live in memory.
//! 1. Which deployments are to be sent is in the store before they end: one that ends while Shipmate is down is sent at the next start.
//! 2. One that can't be sent is tried again when the next deployment ends and at each start, `TRIES` times in all. No deployment waits for it.
//! 3. Sent twice, after a crash in between, it is the same trace: ids come from the journal.
//! 4. What had ended before traces were configured is not sent.

use std::collections::HashMap;
use std::time::Duration;

use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanExporter as _;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio_util::sync::CancellationToken;

use crate::config::Traces;
use crate::deploy::Deployments;
use crate::saga::Engine;
use crate::saga::store::{Op, StoreError};

mod spans;

/// How often one trace is tried; each time the exporter itself repeats what may help at once, within [`TIMEOUT`].
const TRIES: u64 = 5;
/// For one trace.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Under this and its id stands how many tries a deployment has left; none once it is sent.
const MARK: &str = "trace/";

/// Where traces go.
#[derive(Debug)]
pub struct Collector {
    exporter: SpanExporter,
    endpoint: String,
}

impl Collector {
    /// The configured one.
    ///
    /// # Errors
    /// If there can be no HTTP client, or no such address.
    pub fn new(traces: &Traces, headers: Option<&SecretString>) -> Result<Self, String> {
        // The exporter would follow redirects with its headers, which may hold a secret.
        let http = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| format!("the client for traces can't be made: {error}"))?;
        let endpoint = format!("{}/v1/traces", traces.endpoint);
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(http)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(&endpoint)
            .with_timeout(TIMEOUT)
            .with_headers(pairs(headers.map_or("", ExposeSecret::expose_secret)))
            .build()
            .map_err(|error| format!("traces can't be sent to {endpoint}: {error}"))?;
        exporter.set_resource(&Resource::builder_empty().with_service_name("shipmate").build());
        Ok(Self { exporter, endpoint })
    }

    /// Sends nothing, and sees whether that is taken.
    ///
    /// # Errors
    /// Why not, in one sentence.
    pub async fn answers(&self) -> Result<(), String> {
        self.send(Vec::new()).await
    }

    async fn send(&self, spans: Vec<opentelemetry_sdk::trace::SpanData>) -> Result<(), String> {
        let sent = self.exporter.export(spans).await;
        sent.map_err(|error| format!("{} did not take it: {error}", self.endpoint))
    }
}

/// `name=value,…`, as `OTEL_EXPORTER_OTLP_HEADERS` has it; the exporter decodes the values.
fn pairs(headers: &str) -> HashMap<String, String> {
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        Some((name.trim().to_owned(), value.trim().to_owned()))
    };
    headers.split(',').filter_map(pair).collect()
}

/// Sends each deployment that ends.
pub struct Tracer {
    engine: Engine<Deployments>,
    collector: Collector,
    changes: broadcast::Receiver<String>,
}

impl Tracer {
    /// From here on it hears of everything, so it is to be made before anything runs.
    pub fn new(engine: Engine<Deployments>, collector: Collector) -> Self {
        let changes = engine.changes();
        Self {
            engine,
            collector,
            changes,
        }
    }

    /// Until told to stop; what is cut off then is sent at the next start.
    pub async fn run(mut self, stop: CancellationToken) {
        if let Some(Err(error)) = stop.run_until_cancelled(self.follow()).await {
            self.engine.store_failed(&error);
        }
    }

    async fn follow(&mut self) -> Result<(), StoreError> {
        self.tidy().await?;
        self.send_all().await?;
        loop {
            match self.changes.recv().await {
                Ok(id) => self.changed(&id).await?,
                // Too many changes at once: whatever is running is looked at.
                Err(RecvError::Lagged(_)) => {
                    for id in self.engine.all_running()? {
                        self.changed(&id).await?;
                    }
                    self.send_all().await?;
                }
                Err(RecvError::Closed) => return Ok(()),
            }
        }
    }

    async fn changed(&self, id: &str) -> Result<(), StoreError> {
        let left = match self.engine.store().get(&mark(id))? {
            Some(left) => tries(&left),
            None => {
                self.put(id, TRIES).await?;
                TRIES
            }
        };
        match left > 0 && self.has_ended(id)? {
            true => self.send_all().await,
            false => Ok(()),
        }
    }

    fn has_ended(&self, id: &str) -> Result<bool, StoreError> {
        let journal = self.engine.journal(id)?;
        Ok(journal.is_some_and(|journal| journal.history().outcome().is_some()))
    }

    /// Everything that has ended and isn't sent. A collector that is down takes none of them, so the first that fails ends it.
    async fn send_all(&self) -> Result<(), StoreError> {
        for (key, left) in self.engine.store().scan(MARK)? {
            let (id, left) = (key.trim_start_matches(MARK), tries(&left));
            if left == 0 || !self.has_ended(id)? {
                continue;
            }
            let Some(journal) = self.engine.journal(id)? else {
                continue;
            };
            let spans = spans::spans(id, &journal.history());
            if let Err(error) = self.collector.send(spans).await {
                let left = left - 1;
                tracing::warn!(deployment = %id, %error, tries_left = left, "a trace could not be sent");
                return self.put(id, left).await;
            }
            self.put(id, 0).await?;
        }
        Ok(())
    }

    /// Forgets marks of deployments that have left the store.
    async fn tidy(&self) -> Result<(), StoreError> {
        let mut gone = Vec::new();
        for (key, _) in self.engine.store().scan(MARK)? {
            if self.engine.journal(key.trim_start_matches(MARK))?.is_none() {
                gone.push(Op::Delete { key });
            }
        }
        match gone.is_empty() {
            true => Ok(()),
            false => self.engine.store().commit(gone).await,
        }
    }

    async fn put(&self, id: &str, left: u64) -> Result<(), StoreError> {
        let (key, value) = (mark(id), json!(left));
        self.engine.store().commit(vec![Op::Put { key, value }]).await
    }
}

fn mark(id: &str) -> String {
    format!("{MARK}{id}")
}

fn tries(left: &Value) -> u64 {
    left.as_u64().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_as_the_standard_writes_them() {
        let expected = [("api-key", "a=b"), ("x", "1")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(pairs(" api-key = a=b, x=1,, broken"), HashMap::from(expected));
        assert!(pairs("").is_empty());
    }
}
