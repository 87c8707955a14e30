//! A tab of a real browser with a person's verbs: they look until they see what they look for, and press only what they can hit.
//!
//! Waiting is a promise in the page that looks again at each change of the document, so nothing sleeps; a page that goes away takes its
//! promise along, and the next page is asked. Each wait has a limit and prints what the page shows when it passes.

use std::path::PathBuf;
use std::time::Duration;

use chromiumoxide::Page;
use chromiumoxide::cdp::browser_protocol::emulation::{
    MediaFeature, SetDeviceMetricsOverrideParams, SetEmulatedMediaParams, SetScriptExecutionDisabledParams,
};
use chromiumoxide::cdp::browser_protocol::page::Viewport;
use chromiumoxide::cdp::js_protocol::runtime::EvaluateParams;
use chromiumoxide::layout::Point;
use chromiumoxide::page::ScreenshotParams;
use serde_json::{Value, json};

/// Longer than anything takes on a busy machine; a wait that passes has found a bug.
const LIMIT: Duration = Duration::from_secs(60);

/// What every wait and every click is made of.
const EYES: &str = include_str!("eyes.js");

/// A mode that pages are looked at in.
#[derive(Clone, Copy, Debug)]
pub enum Light {
    Light,
    Dark,
}

/// What a page is looked at on.
#[derive(Clone, Copy, Debug)]
pub enum Screen {
    Desk,
    Phone,
    /// No screen is so high: for pictures of everything that a channel holds.
    Wall,
}

pub struct Tab {
    page: Page,
}

impl Tab {
    pub async fn of(page: Page) -> Self {
        let tab = Self { page };
        tab.looks_in(Light::Light, Screen::Desk).await;
        tab
    }

    pub async fn opens(&self, address: &str) {
        self.page.goto(address).await.unwrap();
    }

    /// As if the person had set their system and their device so. Nothing moves by itself: what moves can't be hit.
    pub async fn looks_in(&self, light: Light, screen: Screen) {
        let scheme = match light {
            Light::Light => "light",
            Light::Dark => "dark",
        };
        let feature = |name: &str, value: &str| MediaFeature::new(name, value);
        let media = SetEmulatedMediaParams::builder().features([
            feature("prefers-color-scheme", scheme),
            feature("prefers-reduced-motion", "reduce"),
        ]);
        self.page.execute(media.build()).await.unwrap();
        let (width, height, mobile) = match screen {
            Screen::Desk => (1440, 900, false),
            Screen::Phone => (390, 844, true),
            Screen::Wall => (1600, 2600, false),
        };
        let metrics = SetDeviceMetricsOverrideParams::new(width, height, 1.0, mobile);
        self.page.execute(metrics).await.unwrap();
    }

    pub async fn without_scripts(&self) {
        self.page
            .execute(SetScriptExecutionDisabledParams::new(true))
            .await
            .unwrap();
    }

    /// The value of an expression or of what it promises, unless the page went away meanwhile.
    async fn asks(&self, expression: &str) -> Option<Value> {
        let ask = EvaluateParams::builder()
            .expression(expression)
            .await_promise(true)
            .return_by_value(true);
        let answer = self.page.execute(ask.build().unwrap()).await.ok()?.result;
        if let Some(exception) = answer.exception_details {
            panic!("{expression:.300}\n{exception:?}");
        }
        Some(answer.result.value.unwrap_or_default())
    }

    /// The value of an expression on a page that stays.
    pub async fn reads(&self, expression: &str) -> Value {
        self.asks(expression).await.expect("the page stays")
    }

    /// All text that a person sees.
    pub async fn text(&self) -> String {
        let text = self.reads("document.body.innerText").await;
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until a look (a function of [`EYES`]) finds something, and says what.
    async fn finds(&self, look: &str, what: &str) -> Value {
        let expression = format!(
            "(() => {{ {EYES}\nreturn whenever(() => {look}({})); }})()",
            json!(what)
        );
        let found = async {
            loop {
                // A page that went away is followed by another, which is asked anew.
                if let Some(found) = self.asks(&expression).await {
                    return found;
                }
            }
        };
        match tokio::time::timeout(LIMIT, found).await {
            Ok(found) => found,
            Err(_) => panic!("never {look} “{what}”; the page shows:\n{}", self.text().await),
        }
    }

    pub async fn sees(&self, text: &str) {
        self.finds("seen", text).await;
    }

    /// Clicks on what has this label, once it is there and nothing lies over it; again if it moved away under the click.
    pub async fn presses(&self, label: &str) {
        self.page.bring_to_front().await.unwrap();
        loop {
            let at = self.finds("hittable", label).await;
            let point = Point::new(at["x"].as_f64().unwrap(), at["y"].as_f64().unwrap());
            self.page.click(point).await.unwrap();
            let landed = format!("(() => {{ {EYES}\nreturn landed(); }})()");
            if self.asks(&landed).await != Some(Value::Bool(false)) {
                return;
            }
        }
    }

    /// Ticks the box of this item, and waits until it stays ticked.
    pub async fn ticks(&self, item: &str) {
        self.presses(&format!("Done: {item}")).await;
        self.finds("ticked", item).await;
    }

    /// Ticks the last open box. The checklist is done with it and goes, perhaps before anybody has seen the tick.
    pub async fn ticks_the_last(&self, item: &str) {
        self.presses(&format!("Done: {item}")).await;
        self.sees("completed").await;
    }

    /// Types into the field with this label.
    pub async fn writes(&self, label: &str, text: &str) {
        self.presses(label).await;
        self.finds("focused", label).await;
        self.types(text).await;
        self.finds("written", text).await;
    }

    /// Sends a message to the channel.
    pub async fn says(&self, text: &str) {
        self.writes("Message to #deploys", text).await;
        self.strikes("Enter").await;
    }

    /// Key by key, into whatever has the focus.
    pub async fn types(&self, text: &str) {
        let body = self.page.find_element("body").await.unwrap();
        body.type_str(text).await.unwrap();
    }

    pub async fn strikes(&self, key: &str) {
        let body = self.page.find_element("body").await.unwrap();
        body.press_key(key).await.unwrap();
    }

    /// Kept in `target/browser`, for people to look at.
    pub async fn is_pictured_as(&self, name: &str) {
        let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/browser");
        std::fs::create_dir_all(&dir).unwrap();
        let size = self
            .reads("[document.documentElement.scrollWidth, document.documentElement.scrollHeight]")
            .await;
        let [width, height] = [0, 1].map(|index| size[index].as_f64().unwrap());
        // The whole page by a clip: the crate's own `full_page` forgets the screen afterwards.
        let clip = Viewport {
            x: 0.0,
            y: 0.0,
            width,
            height,
            scale: 1.0,
        };
        let whole = ScreenshotParams::builder()
            .clip(clip)
            .capture_beyond_viewport(true)
            .build();
        let file = dir.join(format!("{name}.png"));
        self.page.save_screenshot(whole, file).await.unwrap();
    }
}
