//! Releases: drafts are for those who may push, and have no tag to be found by.

use super::Cx;
use super::answer::{Answer, invalid, not_found, ok, paged};
use crate::sandbox::github::knobs::Knobs;
use crate::sandbox::github::model::{Model, Release};

/// GitHub takes no longer notes.
const LONGEST: usize = 125_000;

fn shown(cx: &Cx<'_>, release: Option<&Release>) -> Answer {
    match release {
        Some(release) => ok(release.json(&cx.web, &cx.name)),
        None => not_found(),
    }
}

fn visible(cx: &Cx<'_>, release: &Release) -> bool {
    !release.draft || cx.access.pushes
}

pub fn list(cx: &Cx<'_>, model: &Model) -> Answer {
    let rows = model.releases.iter().rev().filter(|release| visible(cx, release));
    paged(rows.map(|release| release.json(&cx.web, &cx.name)).collect())
}

/// The published one whose commit is the newest, whenever it was published.
pub fn latest(cx: &Cx<'_>, model: &Model) -> Answer {
    let published = model.releases.iter().filter(|release| !release.draft);
    shown(cx, published.max_by_key(|release| release.created))
}

pub fn by_tag(cx: &Cx<'_>, model: &Model, tag: &str) -> Answer {
    shown(
        cx,
        model
            .releases
            .iter()
            .find(|release| release.tag == tag && !release.draft),
    )
}

pub fn show(cx: &Cx<'_>, model: &Model, id: u64) -> Answer {
    shown(
        cx,
        model
            .releases
            .iter()
            .find(|release| release.id == id && visible(cx, release)),
    )
}

pub fn edit(cx: &Cx<'_>, model: &mut Model, id: u64) -> Answer {
    // GitHub's words for a release whose commit changes workflow files.
    if cx.knobs(|knobs| knobs.no_workflow_right) {
        return not_found();
    }
    let Some(release) = model.releases.iter_mut().find(|release| release.id == id) else {
        return not_found();
    };
    let text = cx.body["body"].as_str();
    if text.is_some_and(|text| text.chars().count() > LONGEST) {
        return invalid(
            "Release",
            "body",
            "custom",
            "body is too long (maximum is 125000 characters)",
        );
    }
    let others = ["tag_name", "target_commitish", "draft", "prerelease"];
    if release.immutable && others.iter().any(|key| !cx.body[key].is_null()) {
        return invalid(
            "Release",
            "tag_name",
            "custom",
            "Only release title and notes can be modified",
        );
    }
    if let Some(draft) = cx.body["draft"].as_bool() {
        release.draft = draft;
    }
    let before = release.body.clone();
    if let Some(text) = text {
        text.clone_into(&mut release.body);
    }
    let (tag, answer) = (release.tag.clone(), ok(release.json(&cx.web, &cx.name)));
    // The last one who writes wins: there is no If-Match.
    if text.is_some() && cx.knobs(|knobs| Knobs::spend(&mut knobs.overwritten_bodies)) {
        release.body = before;
    }
    model.note(format!("PATCH releases/{tag} body"));
    cx.double.changed(cx.repo);
    answer
}
