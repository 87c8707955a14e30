//! `GET /events`: tells open pages that something has changed, so that they fetch what they show again. Bursts are one event; a comment now
//! and then keeps the connection; whoever comes back asks anew and so misses nothing.

use std::convert::Infallible;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::Stream;
use tokio::sync::watch;

/// Proxies cut connections that are silent for longer.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// One event for each change from now on.
pub fn changes(mut changes: watch::Receiver<u64>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    changes.mark_unchanged();
    let events = futures_util::stream::unfold(changes, |mut changes| async move {
        changes.changed().await.ok()?;
        let count = *changes.borrow_and_update();
        let event = Event::default().event("changed").data(count.to_string());
        Some((Ok(event), changes))
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT))
}
