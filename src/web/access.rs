//! Who sees and who decides on the dashboard.
//!
//! 1. Without `SHIPMATE_DASHBOARD_TOKEN` the dashboard is this machine's alone, and everybody on it may look. A page of another site that
//!    points its name at 127.0.0.1 (DNS rebinding) is told apart by the `Host` it asks for; what a proxy passed on, by the headers that
//!    name whom it came from. Not every proxy sends them, so where one is known to be there, the configuration asks for a token.
//! 2. With it, looking needs the token. Nothing else protects it then, and nothing else need: a cookie never goes to another name.
//! 3. Deciding always needs a person: whoever signs in with the personal token whose hash the configuration has. What they may is checked
//!    as a click in Slack is, by [`crate::deploy::decide`].
//! 4. A session is a cookie that names the person and is signed with a key that this process alone has, so it ends with the process or after
//!    twelve hours; the token is never in it. The key isn't kept over restarts: whoever read it from the disk or a backup could be anybody,
//!    with no trace of it. A restart costs each person one sign-in, and the page says why.
//! 5. A form is taken only from our own page: same origin, and with the value that the session's pages carry.
//! 6. Tokens can't be guessed fast: see [`super::throttle`].

use std::net::IpAddr;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, header};
use chrono::{DateTime, TimeDelta, Utc};
use hmac::digest::{CtOutput, Key, KeyInit};
use hmac::{Hmac, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::throttle::Throttle;
use crate::config::Dashboard;

/// A session lasts this long.
const SESSION: TimeDelta = TimeDelta::hours(12);
const COOKIE: &str = "shipmate";

/// Who is looking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Viewer {
    /// Somebody: may look.
    Looker,
    /// A Slack user id: may look, and decide what that person may.
    Person(String),
}

/// A viewer and what their forms must carry.
#[derive(Clone, Debug)]
pub struct Guest {
    /// Who.
    pub viewer: Viewer,
    /// Goes into each form of their pages.
    pub form_token: String,
    /// They were somebody until now.
    pub signed_out: Option<SignedOut>,
}

/// Why a session counts no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignedOut {
    /// Its time is over, or its person is out of the configuration.
    Ended,
    /// Another process signed it: the one before the restart.
    Restarted,
}

/// Why a request isn't answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Barred {
    /// It asks for a name that isn't this machine's.
    ForeignHost,
    /// A proxy passed it on, and nobody need say who they are.
    Forwarded,
    /// It must be signed in.
    SignIn(Option<SignedOut>),
    /// Too many wrong tokens came from there; how long to wait.
    TooMany(Duration),
}

/// The checks.
pub struct Access {
    token: Option<SecretString>,
    people: Dashboard,
    key: Key<Hmac<Sha256>>,
    throttle: Throttle,
}

impl Access {
    /// Checks with a fresh key.
    ///
    /// # Errors
    /// If the operating system has no randomness.
    pub fn new(token: Option<SecretString>, people: Dashboard) -> Result<Self, String> {
        let mut key = Key::<Hmac<Sha256>>::default();
        getrandom::fill(&mut key).map_err(|error| format!("the system gives no random bytes: {error}"))?;
        Ok(Self {
            token,
            people,
            key,
            throttle: Throttle::default(),
        })
    }

    /// Lets a request of this address in, or not.
    ///
    /// # Errors
    /// Why not.
    pub fn admit(&self, headers: &HeaderMap, peer: IpAddr, now: DateTime<Utc>) -> Result<Guest, Barred> {
        self.meant(headers)?;
        let session = cookie(headers).unwrap_or_default();
        let found = match bearer(headers) {
            Some(token) => Ok(self.recognise(token, peer, now)?.ok_or(Barred::SignIn(None))?),
            None => self.session(session, now),
        };
        match found {
            Ok(viewer) => Ok(self.guest(viewer, session)),
            Err(signed_out) if self.token.is_none() => Ok(Guest {
                signed_out,
                ..self.guest(Viewer::Looker, "")
            }),
            Err(signed_out) => Err(Barred::SignIn(signed_out)),
        }
    }

    /// Lets a machine that watches this one in, or not. Where everybody on this machine may look, not even the `Host` is asked for.
    ///
    /// # Errors
    /// Why not.
    pub fn admit_machine(&self, headers: &HeaderMap, peer: IpAddr, now: DateTime<Utc>) -> Result<(), Barred> {
        match self.token {
            Some(_) => self.admit(headers, peer, now).map(drop),
            None => self.direct(headers),
        }
    }

    /// Whether a request was meant for us.
    ///
    /// # Errors
    /// If it was passed on where nobody need say who they are, or another site's name points here.
    pub fn meant(&self, headers: &HeaderMap) -> Result<(), Barred> {
        self.direct(headers)?;
        match self.token.is_some() || host(headers).is_some_and(is_this_machine) {
            true => Ok(()),
            false => Err(Barred::ForeignHost),
        }
    }

    fn direct(&self, headers: &HeaderMap) -> Result<(), Barred> {
        match self.token.is_some() || !is_forwarded(headers) {
            true => Ok(()),
            false => Err(Barred::Forwarded),
        }
    }

    fn guest(&self, viewer: Viewer, session: &str) -> Guest {
        Guest {
            viewer,
            form_token: self.seal(&format!("form {session}")),
            signed_out: None,
        }
    }

    /// Whose token that is, unless this address has to wait.
    ///
    /// # Errors
    /// [`Barred::TooMany`].
    pub fn recognise(&self, token: &str, peer: IpAddr, now: DateTime<Utc>) -> Result<Option<Viewer>, Barred> {
        let presented: [u8; 32] = Sha256::digest(token.trim()).into();
        let looked = self.throttle.attempt(peer, presented, now, || self.owner(&presented));
        looked.map_err(Barred::TooMany)
    }

    /// Takes as long for every token.
    fn owner(&self, presented: &[u8; 32]) -> Option<Viewer> {
        let same = |hash: &[u8]| self.tag(presented) == self.tag(hash);
        let mut found = None;
        for (user, hash) in &self.people.people {
            if hex::decode(hash).is_ok_and(|hash| same(&hash)) {
                found = Some(Viewer::Person(user.clone()));
            }
        }
        let shared = self.token.as_ref().map(|token| Sha256::digest(token.expose_secret()));
        if shared.is_some_and(|hash| same(&hash)) && found.is_none() {
            found = Some(Viewer::Looker);
        }
        found
    }

    /// The cookie of a new session.
    pub fn sign_in(&self, viewer: &Viewer, headers: &HeaderMap, now: DateTime<Utc>) -> Option<HeaderValue> {
        let user = match viewer {
            Viewer::Looker => "",
            Viewer::Person(user) => user,
        };
        let body = format!("{user}.{}", (now + SESSION).timestamp());
        let session = format!("{body}.{}", self.seal(&format!("session {body}")));
        let mut cookie = attributes(&session, SESSION.num_seconds());
        // Behind a proxy that speaks TLS to people.
        if headers.get("x-forwarded-proto").is_some_and(|proto| proto == "https") {
            cookie += "; Secure";
        }
        cookie.parse().ok()
    }

    /// The cookie that ends a session.
    pub fn sign_out() -> Option<HeaderValue> {
        attributes("", 0).parse().ok()
    }

    /// Whose session that is; else whether it was one. A cookie that nobody sealed could have been forged: it opens nothing, it only gets
    /// another sentence.
    fn session(&self, session: &str, now: DateTime<Utc>) -> Result<Viewer, Option<SignedOut>> {
        let (body, seal) = session.rsplit_once('.').ok_or(None)?;
        let (user, until) = body.split_once('.').ok_or(None)?;
        let until = until.parse::<i64>().map_err(|_| None)?;
        if until <= now.timestamp() {
            return Err(Some(SignedOut::Ended));
        }
        if !self.sealed(&format!("session {body}"), seal) {
            return Err(Some(SignedOut::Restarted));
        }
        match user {
            "" => Ok(Viewer::Looker),
            // Whoever is taken out of the configuration is out at once.
            user if self.people.people.contains_key(user) => Ok(Viewer::Person(user.to_owned())),
            _ => Err(Some(SignedOut::Ended)),
        }
    }

    /// Whether a form comes from a page of ours. A program's token in its `Authorization` header is proof enough: no page of another site can
    /// send it. A name and password there are no proof: browsers add those by themselves.
    pub fn is_ours(&self, headers: &HeaderMap, form_token: &str) -> bool {
        let session = cookie(headers).unwrap_or_default();
        bearer(headers).is_some() || same_origin(headers) && self.sealed(&format!("form {session}"), form_token)
    }

    fn seal(&self, what: &str) -> String {
        hex::encode(self.tag(what.as_bytes()).into_bytes())
    }

    fn sealed(&self, what: &str, seal: &str) -> bool {
        hex::decode(seal).is_ok_and(|seal| self.mac(what.as_bytes()).verify_slice(&seal).is_ok())
    }

    /// Tags compare in constant time.
    fn tag(&self, what: &[u8]) -> CtOutput<Hmac<Sha256>> {
        self.mac(what).finalize()
    }

    fn mac(&self, what: &[u8]) -> Hmac<Sha256> {
        <Hmac<Sha256> as KeyInit>::new(&self.key).chain_update(what)
    }
}

fn attributes(session: &str, seconds: i64) -> String {
    format!("{COOKIE}={session}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict")
}

/// The token that a program sends. Another kind of `Authorization` is for the proxy that let it through.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (kind, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    kind.eq_ignore_ascii_case("bearer").then_some(token)
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let all = headers.get_all(header::COOKIE).into_iter();
    let pairs = all
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'));
    pairs
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(name, value)| (name == COOKIE).then_some(value))
}

fn host(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::HOST)?.to_str().ok()
}

fn is_forwarded(headers: &HeaderMap) -> bool {
    let mut names = headers.keys().map(header::HeaderName::as_str);
    names.any(|name| name == "forwarded" || name.starts_with("x-forwarded-"))
}

fn is_this_machine(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    let is_loopback = |address: std::net::IpAddr| address.is_loopback();
    name.eq_ignore_ascii_case("localhost") || address.parse().is_ok_and(is_loopback)
}

/// A browser names the page that a form is sent from; ours has the host that it is sent to.
pub fn same_origin(headers: &HeaderMap) -> bool {
    let origin = headers.get(header::ORIGIN).and_then(|value| value.to_str().ok());
    let from = origin.and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
    from.is_some() && from == host(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::days(20_000)
    }

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn whose(access: &Access, token: &str) -> Option<Viewer> {
        access.recognise(token, HERE, now()).unwrap()
    }

    fn access(token: Option<&str>) -> Access {
        let hash = hex::encode(Sha256::digest("ana's token"));
        let people = Dashboard {
            people: [("U0ANA".to_owned(), hash)].into(),
        };
        Access::new(token.map(SecretString::from), people).unwrap()
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (
                header::HeaderName::from_static(name),
                HeaderValue::from_str(value).unwrap(),
            )
        };
        pairs.iter().map(pair).collect()
    }

    fn signed_in(access: &Access, viewer: &Viewer) -> String {
        let cookie = access.sign_in(viewer, &HeaderMap::new(), now()).unwrap();
        let cookie = cookie.to_str().unwrap();
        cookie.split(';').next().unwrap().to_owned()
    }

    #[test]
    fn on_this_machine_everybody_may_look_unless_another_name_points_here() {
        let access = access(None);
        let viewer = |host: &str| {
            access
                .admit(&headers(&[("host", host)]), HERE, now())
                .map(|guest| guest.viewer)
        };
        for host in ["127.0.0.1:8080", "localhost", "LOCALHOST:1", "[::1]:8080", "127.0.0.2"] {
            assert_eq!(viewer(host), Ok(Viewer::Looker), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:8080",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "",
        ] {
            assert_eq!(viewer(host), Err(Barred::ForeignHost), "{host}");
        }
        assert_eq!(
            access.admit(&HeaderMap::new(), HERE, now()).map(|guest| guest.viewer),
            Err(Barred::ForeignHost)
        );
    }

    #[test]
    fn what_a_proxy_passes_on_needs_a_token() {
        for name in ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded"] {
            let passed_on = headers(&[("host", "127.0.0.1:8080"), (name, "203.0.113.9")]);
            let open = access(None);
            let barred = Err(Barred::Forwarded);
            assert_eq!(
                open.admit(&passed_on, HERE, now()).map(|guest| guest.viewer),
                barred,
                "{name}"
            );
            assert_eq!(
                open.admit_machine(&passed_on, HERE, now()),
                Err(Barred::Forwarded),
                "{name}"
            );
            let signed_in = headers(&[("authorization", "Bearer the shared one"), (name, "203.0.113.9")]);
            let closed = access(Some("the shared one"));
            let looker = Ok(Viewer::Looker);
            assert_eq!(
                closed.admit(&signed_in, HERE, now()).map(|guest| guest.viewer),
                looker,
                "{name}"
            );
        }
    }

    #[test]
    fn a_token_tells_lookers_and_people_apart() {
        let access = access(Some("the shared one"));
        assert_eq!(whose(&access, "the shared one"), Some(Viewer::Looker));
        assert_eq!(
            whose(&access, "ana's token\n"),
            Some(Viewer::Person("U0ANA".to_owned()))
        );
        assert_eq!(whose(&access, "another"), None);
        assert_eq!(whose(&access, ""), None);
        let bearer = |value| {
            access
                .admit(&headers(&[("authorization", value)]), HERE, now())
                .map(|guest| guest.viewer)
        };
        assert_eq!(bearer("Bearer the shared one"), Ok(Viewer::Looker));
        assert_eq!(bearer("Bearer wrong"), Err(Barred::SignIn(None)));
    }

    #[test]
    fn what_is_meant_for_a_proxy_before_us_neither_lets_in_nor_locks_out() {
        let basic = ("authorization", "Basic dTpw");
        let viewer = |access: &Access, pairs: &[(&'static str, &str)]| {
            access.admit(&headers(pairs), HERE, now()).map(|guest| guest.viewer)
        };
        assert_eq!(
            viewer(&access(None), &[basic, ("host", "localhost")]),
            Ok(Viewer::Looker)
        );
        let access = access(Some("the shared one"));
        assert_eq!(viewer(&access, &[basic]), Err(Barred::SignIn(None)));
        let ana = Viewer::Person("U0ANA".to_owned());
        let cookie = signed_in(&access, &ana);
        // More often than wrong tokens may be tried: it is none.
        for _ in 0..20 {
            assert_eq!(viewer(&access, &[basic, ("cookie", &cookie)]), Ok(ana.clone()));
        }
        let from = [basic, ("cookie", &cookie), ("host", "localhost:1")];
        assert!(!access.is_ours(&headers(&from), "forged"));
        assert!(access.is_ours(&headers(&[("authorization", "bearer the shared one")]), ""));
    }

    #[test]
    fn a_session_ends_and_can_not_be_forged_or_moved_to_another_process() {
        let access = access(Some("the shared one"));
        let cookie = signed_in(&access, &Viewer::Person("U0ANA".to_owned()));
        let viewer = |cookie: &str, at| {
            access
                .admit(&headers(&[("cookie", cookie)]), HERE, at)
                .map(|guest| guest.viewer)
        };
        assert_eq!(viewer(&cookie, now()), Ok(Viewer::Person("U0ANA".to_owned())));
        assert_eq!(
            viewer(&format!("other=1; {cookie}"), now()),
            Ok(Viewer::Person("U0ANA".to_owned()))
        );
        let out = |why| Err(Barred::SignIn(Some(why)));
        assert_eq!(viewer(&cookie, now() + SESSION), out(SignedOut::Ended));
        assert_eq!(
            viewer(&cookie.replace("U0ANA", "U0BEN"), now()),
            out(SignedOut::Restarted)
        );
        assert_eq!(viewer("shipmate=the shared one", now()), Err(Barred::SignIn(None)));
        let looker = signed_in(&access, &Viewer::Looker);
        assert_eq!(viewer(&looker.replace('=', "=U0ANA"), now()), out(SignedOut::Restarted));
        let other = super::tests::access(Some("the shared one"));
        let moved = other.admit(&headers(&[("cookie", &cookie)]), HERE, now());
        assert_eq!(moved.map(|guest| guest.viewer), out(SignedOut::Restarted));
    }

    #[test]
    fn the_cookie_stays_with_the_browser_and_holds_no_token() {
        let access = access(Some("the shared one"));
        let viewer = whose(&access, "ana's token").unwrap();
        let cookie = access
            .sign_in(&viewer, &headers(&[("x-forwarded-proto", "https")]), now())
            .unwrap();
        let cookie = cookie.to_str().unwrap();
        assert!(
            cookie.ends_with("; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict; Secure"),
            "{cookie}"
        );
        assert!(!cookie.contains("token"));
        assert!(!signed_in(&access, &viewer).contains("Secure"));
    }

    #[test]
    fn a_form_needs_our_origin_and_the_value_of_its_session() {
        let access = access(None);
        let cookie = signed_in(&access, &Viewer::Person("U0ANA".to_owned()));
        let from =
            |origin: &str, cookie: &str| headers(&[("host", "localhost:1"), ("origin", origin), ("cookie", cookie)]);
        let ours = from("http://localhost:1", &cookie);
        let guest = access.admit(&ours, HERE, now()).unwrap();
        assert!(access.is_ours(&ours, &guest.form_token));
        assert!(!access.is_ours(&ours, ""));
        for origin in ["http://evil.example", "null", "http://localhost:2"] {
            assert!(!access.is_ours(&from(origin, &cookie), &guest.form_token), "{origin}");
        }
        let nobody = headers(&[("host", "localhost:1"), ("origin", "http://localhost:1")]);
        assert!(!access.is_ours(&nobody, &guest.form_token), "another session's value");
    }
}
