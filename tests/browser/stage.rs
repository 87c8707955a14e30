//! The sandbox as `shipmate sandbox` serves it, and a Chromium of one's own to look at it.

use std::net::SocketAddr;

use chromiumoxide::cdp::browser_protocol::target::CreateTargetParams;
use chromiumoxide::{Browser, BrowserConfig};
use futures_util::StreamExt;
use shipmate::app::{self, Pace, Running, Setup};
use shipmate::config::Project;
use shipmate::saga::Clock;
use shipmate::sandbox::github::{self, Scenario};
use shipmate::sandbox::page::{self, Page};
use shipmate::sandbox::play::{Options, Sandbox};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::tab::Tab;

/// Quiet: it calls nobody, keeps nothing, and asks nothing.
const ARGS: [&str; 6] = [
    "disable-gpu",
    "disable-quic",
    "no-first-run",
    "disable-background-networking",
    "disable-component-update",
    "disable-sync",
];

pub struct Stage {
    /// There is one but in the middle of a restart.
    running: Option<Running>,
    browser: Browser,
    events: JoinHandle<()>,
    page: JoinHandle<()>,
    /// Where the sandbox's page is.
    channel: SocketAddr,
    // Last: what stands in them is used until the end.
    pub sandbox: Sandbox,
    _profile: TempDir,
}

impl Stage {
    pub async fn new() -> Self {
        Self::on(Scenario::Happy).await
    }

    pub async fn on(scenario: Scenario) -> Self {
        let options = Options {
            scenario: scenario.into(),
            ..Options::default()
        };
        Self::with(options, |_| {}).await
    }

    /// A stage of one's own, whose project is configured differently.
    pub async fn with(options: Options, configure: impl FnOnce(&mut Project)) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let options = Options {
            pace: github::Pace::Fast,
            ..options
        };
        let mut sandbox = Sandbox::start(options).await.unwrap();
        configure(&mut sandbox.config.projects[0]);
        let running = boots(&sandbox).await;
        let doubles = Page {
            slack: sandbox.slack.clone(),
            github: sandbox.github.clone(),
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let channel = listener.local_addr().unwrap();
        let page = tokio::spawn(async move { axum::serve(listener, page::router(doubles)).await.unwrap() });
        let profile = tempfile::Builder::new().prefix("shipmate-browser-").tempdir().unwrap();
        let (browser, events) = launch(&profile).await;
        Self {
            running: Some(running),
            browser,
            events,
            page,
            channel,
            sandbox,
            _profile: profile,
        }
    }

    /// The sandbox's page, in a window of its own.
    pub async fn channel(&self) -> Tab {
        let tab = self.tab().await;
        tab.opens(&format!("http://{}/", self.channel)).await;
        tab
    }

    /// A page of the dashboard, in a window of its own.
    pub async fn dashboard(&self, path: &str) -> Tab {
        let tab = self.tab().await;
        tab.opens(&self.address(path)).await;
        tab
    }

    pub fn address(&self, path: &str) -> String {
        let running = self.running.as_ref().expect("it runs");
        format!("http://{}{path}", running.address)
    }

    /// Ends Shipmate in order and starts it again over what it left, at another address.
    pub async fn restart(&mut self) {
        self.stops().await;
        self.running = Some(boots(&self.sandbox).await);
    }

    async fn stops(&mut self) {
        if let Some(running) = self.running.take() {
            running.shutdown().await;
        }
    }

    pub async fn tab(&self) -> Tab {
        // A window, not only a tab: what lies behind another tab is drawn late or never.
        let window = CreateTargetParams::builder().url("about:blank").new_window(true);
        let page = self.browser.new_page(window.build().unwrap()).await.unwrap();
        Tab::of(page).await
    }

    pub async fn ends(mut self) {
        self.browser.close().await.unwrap();
        self.browser.wait().await.unwrap();
        self.events.abort();
        self.page.abort();
        self.stops().await;
    }
}

async fn boots(sandbox: &Sandbox) -> Running {
    let running = app::start(Setup {
        config: sandbox.config.clone(),
        secrets: sandbox.secrets(),
        clock: Clock::system(),
        pace: Pace::sandbox(false),
        store: None,
    })
    .await
    .unwrap();
    running.ready().await;
    let webhooks = format!("http://{}/github/webhooks", running.address);
    sandbox.github.send_webhooks(&webhooks, "sandbox-webhook-secret");
    running
}

/// Killed when it is dropped, so a test that fails leaves none behind.
async fn launch(profile: &TempDir) -> (Browser, JoinHandle<()>) {
    let config = BrowserConfig::builder()
        .no_sandbox()
        .new_headless_mode()
        .user_data_dir(profile.path())
        .args(ARGS)
        .viewport(None)
        .build()
        .unwrap();
    let (browser, mut handler) = Browser::launch(config).await.unwrap();
    let events = tokio::spawn(async move { while handler.next().await.is_some() {} });
    (browser, events)
}
