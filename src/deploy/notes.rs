//! Markdown for GitHub: the deploy pull request's and the release's description, in a region between markers that Shipmate owns. Titles
//! written by people are escaped, so that none can forge a mention, a link or a marker.

use super::train::{Shipped, VersionPlan};
use crate::config::Project;
use crate::github::Issue;

const BEGIN: &str = "<!-- shipmate:begin -->";
const END: &str = "<!-- shipmate:end -->";
/// GitHub refuses a longer pull request body; in characters.
pub const PULL_REQUEST_LIMIT: usize = 65_536;
/// GitHub refuses a longer release body; in characters.
pub const RELEASE_LIMIT: usize = 125_000;

/// The release's tag.
pub fn tag(project: &Project, version: &str) -> String {
    project.release_tag.replace("{version}", version)
}

/// Marks a pull request as a deployment's.
pub fn marker(deployment: &str) -> String {
    format!("<!-- shipmate:deployment {deployment} -->")
}

/// What pull requests and issues are told once they have shipped.
pub fn shipped_in(tag: &str, release: Option<&str>) -> String {
    match release {
        Some(url) => format!("Shipped in [{}]({url}).", escape(tag)),
        None => format!("Shipped in {}.", escape(tag)),
    }
}

/// `body` with our region holding `text`: replaced where it is, appended where it isn't. What stands outside it is kept to the byte, and
/// our text is cut at a line if the whole would be too long.
pub fn with_region(body: &str, text: &str, limit: usize) -> String {
    let (before, after) = match body.find(BEGIN) {
        Some(start) => {
            let rest = &body[start + BEGIN.len()..];
            let end = rest.find(END).map_or(rest.len(), |end| end + END.len());
            (body[..start].to_owned(), rest[end..].to_owned())
        }
        None if body.is_empty() => (String::new(), String::new()),
        None => (format!("{}\n\n", body.trim_end_matches('\n')), String::new()),
    };
    let around = [&before, &after, BEGIN, END, "\n\n"]
        .iter()
        .map(|part| part.chars().count())
        .sum::<usize>();
    let text = cut_at_a_line(text, limit.saturating_sub(around));
    format!("{before}{BEGIN}\n{text}\n{END}{after}")
}

/// The longest run of whole lines within `limit` characters; says how many are missing.
fn cut_at_a_line(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    let lines: Vec<&str> = text.lines().collect();
    for kept in (0..lines.len()).rev() {
        let cut = format!("{}\n… and {} more lines", lines[..kept].join("\n"), lines.len() - kept);
        if cut.chars().count() <= limit {
            return cut;
        }
    }
    String::new()
}

/// Text by people, inert in GitHub's Markdown.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '`' | '*' | '_' | '[' | ']' | '(' | ')' | '#' | '|' | '~' => {
                out.push('\\');
                out.push(c);
            }
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            // A word joiner keeps `@name` from mentioning anybody.
            '@' => out.push_str("@\u{2060}"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

fn pull_requests(shipped: &Shipped) -> String {
    let line = |merged: &super::train::Merged| {
        let car = &merged.car;
        format!(
            "- [#{}]({}) {} (by {})",
            car.number,
            car.url,
            escape(&car.title),
            escape(&car.author)
        )
    };
    shipped.merged.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn issue_link(project: &Project, issue: &Issue) -> String {
    let name = if issue.repo == project.repo {
        format!("#{}", issue.number)
    } else {
        format!("{}#{}", issue.repo, issue.number)
    };
    format!("[{name}]({}) {}", issue.html_url, escape(&issue.title))
}

/// The deploy pull request's region. `closes`: merging it closes issues, because its base is the default branch.
pub fn deploy_pr(project: &Project, shipped: &Shipped, version: &VersionPlan, closes: bool) -> String {
    let mut text = format!(
        "## Release {}\n\nVersion {} → {}.\n\n### Pull requests\n\n{}",
        escape(&tag(project, &version.to)),
        version.from,
        version.to,
        pull_requests(shipped)
    );
    let issues = shipped.issues();
    if !issues.is_empty() {
        text += "\n\n### Resolved issues\n";
        for issue in issues {
            let verb = if closes { "Closes " } else { "" };
            let reference = match closes {
                true if issue.repo == project.repo => format!("#{} ", issue.number),
                true => format!("{}#{} ", issue.repo, issue.number),
                false => String::new(),
            };
            text += &format!("\n- {verb}{reference}{}", issue_link(project, issue));
        }
    }
    text
}

/// The release's region.
pub fn release(project: &Project, shipped: &Shipped, deploy_pr: u64) -> String {
    preview(project, shipped) + &format!("\n\nDeployed by #{deploy_pr}.")
}

/// The same before the deploy pull request is there.
pub fn preview(project: &Project, shipped: &Shipped) -> String {
    let mut text = format!("## What shipped\n\n{}", pull_requests(shipped));
    let issues = shipped.issues();
    if !issues.is_empty() {
        text += "\n\n## Resolved issues\n";
        for issue in issues {
            text += &format!("\n- {}", issue_link(project, issue));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_region_is_appended_then_replaced_and_the_rest_is_kept() {
        let first = with_region("Written by the Action.\n", "one", 1000);
        assert_eq!(
            first,
            "Written by the Action.\n\n<!-- shipmate:begin -->\none\n<!-- shipmate:end -->"
        );
        let edited = format!("{first}\n\nA human's line.\n");
        let second = with_region(&edited, "two", 1000);
        assert_eq!(second, edited.replace("one", "two"));
        assert_eq!(with_region(&second, "two", 1000), second);
    }

    #[test]
    fn a_region_without_its_end_is_ours_to_the_end() {
        assert_eq!(
            with_region("<!-- shipmate:begin -->\nhalf", "whole", 1000),
            "<!-- shipmate:begin -->\nwhole\n<!-- shipmate:end -->"
        );
    }

    #[test]
    fn too_long_a_text_is_cut_at_a_line_that_says_so() {
        let text = (0..100).map(|n| format!("line {n}")).collect::<Vec<_>>().join("\n");
        let body = with_region("kept", &text, 200);
        assert!(body.chars().count() <= 200 && body.starts_with("kept"), "{body}");
        assert!(body.contains("more lines"), "{body}");
    }

    #[test]
    fn titles_can_not_mention_link_or_forge_a_marker() {
        let escaped = escape("@here [x](http://evil) <!-- shipmate:end --> fixes #1");
        assert!(
            !escaped.contains("@here") && !escaped.contains("](") && !escaped.contains("<!--"),
            "{escaped}"
        );
    }

    proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

        #[test]
        fn a_region_is_written_once_and_what_stands_around_it_stays(
            pieces in proptest::collection::vec(prop_oneof![Just(BEGIN.to_owned()), Just(END.to_owned()), any::<String>()], 0..5),
            text in any::<String>(),
            limit in 0usize..400,
        ) {
            let (body, text) = (pieces.concat(), escape(&text));
            let once = with_region(&body, &text, limit);
            prop_assert_eq!(with_region(&once, &text, limit), once.clone());
            let kept = body.split(BEGIN).next().unwrap_or_default().trim_end_matches('\n');
            prop_assert!(once.starts_with(kept), "{}", once);
            // Other people's text is never cut, so that it alone can be too long.
            let around = body.chars().count() + BEGIN.len() + END.len() + 4;
            prop_assert!(once.chars().count() <= limit.max(around), "{}", once);
        }

        #[test]
        fn no_markup_survives_an_escape(text in any::<String>()) {
            let escaped = escape(&text);
            prop_assert!(!escaped.contains(['<', '>']) && !escaped.chars().any(char::is_control), "{}", escaped);
            let mentions = escaped.split('@').skip(1).all(|after| after.starts_with('\u{2060}'));
            prop_assert!(mentions, "{}", escaped);
            let bare = regex::Regex::new(r"(^|[^\\])(\\\\)*[`*_\[\]()#|~]").unwrap();
            prop_assert!(!bare.is_match(&escaped), "{}", escaped);
        }
    }
}
