//! Answers kept for their ETag: an unchanged one costs nothing against the limit.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

/// Answers kept at most.
const CAPACITY: usize = 512;

/// A page as GitHub gave it last.
pub struct Page {
    pub etag: String,
    pub body: Value,
    pub next: Option<String>,
}

/// Pages by URL, the least recently read of which makes room for a new one.
///
/// Pages are handed out whole: whoever asks whether one has changed holds it until the answer is there, so that nobody else can take it away
/// meanwhile.
#[derive(Default)]
pub struct Cache {
    pages: HashMap<String, (u64, Arc<Page>)>,
    reads: u64,
}

impl Cache {
    /// What is known of this URL.
    pub fn get(&mut self, url: &str) -> Option<Arc<Page>> {
        let now = self.tick();
        let (read, page) = self.pages.get_mut(url)?;
        *read = now;
        Some(page.clone())
    }

    /// What GitHub says now.
    pub fn put(&mut self, url: &str, page: Page) {
        if self.pages.len() >= CAPACITY && !self.pages.contains_key(url) {
            let oldest = self.pages.iter().min_by_key(|(_, (read, _))| *read);
            if let Some(oldest) = oldest.map(|(url, _)| url.clone()) {
                self.pages.remove(&oldest);
            }
        }
        let now = self.tick();
        self.pages.insert(url.to_owned(), (now, Arc::new(page)));
    }

    fn tick(&mut self) -> u64 {
        self.reads += 1;
        self.reads
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(etag: &str) -> Page {
        Page {
            etag: etag.to_owned(),
            body: Value::Null,
            next: None,
        }
    }

    #[test]
    fn the_least_recently_read_makes_room_and_a_refresh_takes_nobodys() {
        let mut cache = Cache::default();
        for index in 0..CAPACITY {
            cache.put(&format!("/{index}"), page("old"));
        }
        assert!(cache.get("/0").is_some());
        cache.put("/1", page("refreshed"));
        assert_eq!(cache.pages.len(), CAPACITY);
        cache.put("/new", page("new"));
        assert_eq!(cache.pages.len(), CAPACITY);
        let etag = |url: &str| cache.pages.get(url).map(|(_, page)| page.etag.as_str());
        assert_eq!(
            ["/0", "/1", "/2", "/3", "/new"].map(etag),
            [Some("old"), Some("refreshed"), None, Some("old"), Some("new")]
        );
    }
}
