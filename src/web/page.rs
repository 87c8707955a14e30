//! The frame around every page: head, navigation, who is signed in, and the one form to which all buttons of a page belong.

use maud::{DOCTYPE, Markup, html};

use super::access::{Guest, SignedOut, Viewer};
use super::names::Names;

/// What a page is.
pub struct Page<'a> {
    /// In the title.
    pub title: &'a str,
    /// Who looks; `None` before signing in.
    pub guest: Option<&'a Guest>,
    /// What people are called.
    pub names: &'a Names,
    /// What stands still.
    pub above: Markup,
    /// What is fetched again whenever something changes; `None`: the page doesn't change.
    pub live: Option<Markup>,
}

impl Page<'_> {
    /// As a document.
    pub fn draw(&self) -> Markup {
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (self.title) " · Shipmate" }
                    link rel="icon" href="data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Ctext y='13' font-size='13'%3E🚂%3C/text%3E%3C/svg%3E";
                    link rel="stylesheet" href="/dashboard.css";
                    @if self.live.is_some() {
                        script src="/dashboard.js" defer {}
                        noscript { meta http-equiv="refresh" content="15"; }
                    }
                }
                body {
                    a.skip href="#main" { "Skip to the content" }
                    (self.top())
                    main id="main" {
                        @if let Some(why) = self.guest.and_then(|guest| guest.signed_out) {
                            p.banner role="status" { (signed_out(why)) " " a href="/sign-in" { "Sign in again" } }
                        }
                        (self.above)
                        @if let Some(live) = &self.live { div id="live" { (live) } }
                    }
                    @if self.live.is_some() { p.hidden id="said" role="status" aria-live="polite" {} }
                    @if let Some(guest) = self.guest { form id="act" method="post" { (form_token(guest)) } }
                }
            }
        }
    }

    fn top(&self) -> Markup {
        html! {
            header.top {
                a.brand href="/" { span aria-hidden="true" { "🚂" } span { " Shipmate" } }
                @if let Some(guest) = self.guest {
                    nav aria-label="Pages" { a href="/" { "Deployments" } a href="/stats" { "Numbers" } }
                    @if self.live.is_some() { span.wire id="wire" { } }
                    div.who {
                        @match &guest.viewer {
                            Viewer::Person(user) => {
                                span { (self.names.user(user)) }
                                form method="post" action="/sign-out" { (form_token(guest)) button.link { "Sign out" } }
                            }
                            Viewer::Looker => a href="/sign-in" { "Sign in to decide" },
                        }
                    }
                }
            }
        }
    }
}

/// Goes into each form.
pub fn form_token(guest: &Guest) -> Markup {
    html! { input type="hidden" name="form_token" value=(guest.form_token); }
}

/// Why somebody has to sign in again.
pub fn signed_out(why: SignedOut) -> &'static str {
    match why {
        SignedOut::Ended => "Your session has ended.",
        SignedOut::Restarted => "You were signed out because Shipmate was restarted.",
    }
}

/// A page that says one thing.
pub fn notice(title: &str, sentence: &Markup) -> Markup {
    alone(title, html! { p { (sentence) } p { a href="/" { "All deployments" } } })
}

/// The form to sign in with a token.
pub fn sign_in(complaint: Option<&str>) -> Markup {
    let form = html! {
        @if let Some(complaint) = complaint { p.error role="alert" { (complaint) } }
        form method="post" action="/sign-in" {
            label for="token" { "Your token" }
            input id="token" name="token" type="password" autocomplete="current-password" required autofocus;
            button.primary { "Sign in" }
        }
        p.quiet { "With your own token you may decide here what you may decide in Slack; with the shared one you may look." }
    };
    alone("Sign in", form)
}

fn alone(title: &str, body: Markup) -> Markup {
    Page {
        title,
        guest: None,
        names: &Names::default(),
        above: html! { section.notice { h1 { (title) } (body) } },
        live: None,
    }
    .draw()
}
