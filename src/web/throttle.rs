//! Whoever guesses tokens runs out of tries; nobody else does.
//!
//! 1. An address may present [`PER_PEER`] different wrong tokens in a [`WINDOW`]. The same one again is no guess: a program with an old
//!    token in its settings locks nobody out.
//! 2. All together may present [`OVERALL`], after which only addresses with a right token before are let try.
//! 3. Sessions and everything else that needs no token go on.
//! 4. It remembers [`PEERS`] addresses at most.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::http::{Extensions, HeaderMap};
use chrono::{DateTime, TimeDelta, Utc};

/// Wrong tokens of one address.
const PER_PEER: u32 = 10;
/// Wrong tokens of all addresses.
const OVERALL: u32 = 200;
/// Counts begin anew after this.
const WINDOW: TimeDelta = TimeDelta::minutes(5);
/// Whoever has more addresses than this runs into the other limit first.
const PEERS: usize = 1024;

/// Counts what failed.
#[derive(Default)]
pub struct Throttle(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    peers: HashMap<IpAddr, Count>,
    overall: Count,
}

#[derive(Default)]
struct Count {
    failures: u32,
    since: DateTime<Utc>,
    /// Of the last wrong token.
    digest: [u8; 32],
    /// It had a right token once.
    known: bool,
}

impl Count {
    fn renewed(&mut self, now: DateTime<Utc>) -> &mut Self {
        if now - self.since >= WINDOW {
            (self.failures, self.since) = (0, now);
        }
        self
    }

    /// How long to wait, if so many are too many.
    fn wait(&self, limit: u32, now: DateTime<Utc>) -> Option<Duration> {
        let left = (self.since + WINDOW - now).max(TimeDelta::seconds(1));
        (self.failures >= limit).then(|| left.to_std().unwrap_or_default())
    }
}

impl Throttle {
    /// Lets `recognise` look at a token (`digest` is its digest) unless this address has to wait.
    ///
    /// # Errors
    /// How long.
    pub fn attempt<T>(
        &self,
        peer: IpAddr,
        digest: [u8; 32],
        now: DateTime<Utc>,
        recognise: impl FnOnce() -> Option<T>,
    ) -> Result<Option<T>, Duration> {
        let mut counts = self.counts();
        let Counts { peers, overall } = &mut *counts;
        let peer = network(peer);
        if !peers.contains_key(&peer) && peers.len() >= PEERS {
            make_room(peers, now);
        }
        let (count, overall) = (peers.entry(peer).or_default().renewed(now), overall.renewed(now));
        let crowded = overall.wait(OVERALL, now).filter(|_| !count.known);
        if let Some(wait) = count.wait(PER_PEER, now).or(crowded) {
            return Err(wait);
        }
        let found = recognise();
        if found.is_some() {
            count.known = true;
        } else if count.failures == 0 || count.digest != digest {
            count.digest = digest;
            count.failures += 1;
            overall.failures += 1;
            if count.failures == PER_PEER || overall.failures == OVERALL {
                let minutes = WINDOW.num_minutes();
                tracing::warn!(%peer, minutes, "too many wrong tokens; no more are looked at for some minutes");
            }
        }
        Ok(found)
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets what is over, and else whoever has failed longest ago.
fn make_room(peers: &mut HashMap<IpAddr, Count>, now: DateTime<Utc>) {
    peers.retain(|_, count| count.known || now - count.since < WINDOW);
    if peers.len() >= PEERS
        && let Some(oldest) = peers.iter().min_by_key(|(_, count)| count.since).map(|(peer, _)| *peer)
    {
        peers.remove(&oldest);
    }
}

/// Who has one address of IPv6 has 2^64 of them.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        address => address,
    }
}

/// Who asks. A proxy on this machine says for whom, last of all that it was told; from elsewhere that header says nothing.
pub fn peer(extensions: &Extensions, headers: &HeaderMap) -> IpAddr {
    let connected = extensions.get::<ConnectInfo<SocketAddr>>();
    let direct = connected.map_or(Ipv6Addr::UNSPECIFIED.into(), |ConnectInfo(peer)| peer.ip());
    let forwarded = headers.get_all("x-forwarded-for").iter().next_back();
    let forwarded = forwarded.and_then(|value| value.to_str().ok()?.rsplit(',').next()?.trim().parse().ok());
    match direct.to_canonical().is_loopback() {
        true => forwarded.unwrap_or(direct),
        false => direct,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::seconds(seconds)
    }

    fn address(number: u32) -> IpAddr {
        IpAddr::V4(number.into())
    }

    /// A guess number `number`, wrong.
    fn guess(throttle: &Throttle, peer: IpAddr, number: u32, now: DateTime<Utc>) -> Result<Option<()>, Duration> {
        let mut digest = [0; 32];
        digest[..4].copy_from_slice(&number.to_be_bytes());
        throttle.attempt(peer, digest, now, || None)
    }

    fn right(throttle: &Throttle, peer: IpAddr, now: DateTime<Utc>) -> Result<Option<()>, Duration> {
        throttle.attempt(peer, [9; 32], now, || Some(()))
    }

    #[test]
    fn an_address_that_guesses_waits_and_others_do_not() {
        let throttle = Throttle::default();
        for number in 0..PER_PEER {
            assert_eq!(guess(&throttle, address(1), number, at(0)), Ok(None));
        }
        let minute = Duration::from_secs(60);
        assert_eq!(guess(&throttle, address(1), 99, at(60)), Err(4 * minute));
        assert_eq!(right(&throttle, address(1), at(60)), Err(4 * minute), "right or wrong");
        assert_eq!(right(&throttle, address(2), at(60)), Ok(Some(())));
        assert_eq!(right(&throttle, address(1), at(300)), Ok(Some(())));
    }

    #[test]
    fn the_same_wrong_token_again_and_again_is_no_guess() {
        let throttle = Throttle::default();
        for _ in 0..10 * PER_PEER {
            assert_eq!(guess(&throttle, address(1), 7, at(0)), Ok(None));
        }
        assert_eq!(right(&throttle, address(1), at(0)), Ok(Some(())));
    }

    #[test]
    fn many_addresses_together_are_stopped_but_not_those_that_are_known() {
        let throttle = Throttle::default();
        assert_eq!(right(&throttle, address(0), at(0)), Ok(Some(())));
        for number in 1..=OVERALL {
            assert_eq!(guess(&throttle, address(number), number, at(0)), Ok(None));
        }
        assert!(guess(&throttle, address(5000), 0, at(1)).is_err());
        assert_eq!(right(&throttle, address(0), at(1)), Ok(Some(())));
        assert_eq!(right(&throttle, address(5000), at(300)), Ok(Some(())));
    }

    #[test]
    fn its_memory_is_bounded_whoever_comes() {
        let throttle = Throttle::default();
        for number in 0..3 * PEERS as u32 {
            let _ = right(&throttle, address(number), at(i64::from(number)));
            let _ = guess(&throttle, address(100_000 + number), number, at(i64::from(number)));
            assert!(throttle.counts().peers.len() <= PEERS);
        }
    }

    #[test]
    fn an_address_of_a_network_stands_for_it_and_a_local_proxy_says_for_whom_it_asks() {
        let one: IpAddr = "2001:db8::1".parse().unwrap();
        assert_eq!(network(one), network("2001:db8::ffff:2".parse().unwrap()));
        assert_ne!(network(one), network("2001:db8:0:1::1".parse().unwrap()));
        assert_eq!(
            network("::ffff:10.0.0.1".parse().unwrap()),
            "10.0.0.1".parse::<IpAddr>().unwrap()
        );
        let asked = |direct: &str, forwarded: &str| {
            let mut extensions = Extensions::new();
            extensions.insert(ConnectInfo(SocketAddr::new(direct.parse().unwrap(), 1)));
            let headers = HeaderMap::from_iter([("x-forwarded-for".parse().unwrap(), forwarded.parse().unwrap())]);
            peer(&extensions, &headers).to_string()
        };
        assert_eq!(asked("127.0.0.1", "1.1.1.1, 2.2.2.2"), "2.2.2.2");
        assert_eq!(asked("127.0.0.1", "nonsense"), "127.0.0.1");
        assert_eq!(asked("3.3.3.3", "1.1.1.1"), "3.3.3.3", "anybody can say so");
    }
}
