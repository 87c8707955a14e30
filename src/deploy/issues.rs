//! Closing keywords in what people wrote (`Fixes #12`, `closes acme/web#7`, `resolves https://github.com/acme/web/issues/9`), by
//! GitHub's documented rule: each issue needs its own keyword. Code blocks and HTML comments don't count.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::Regex;

use crate::github::RepoName;

static KEYWORD: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"(?ix) \b (?: close[sd]? | fix(?:e[sd])? | resolve[sd]? ) :? \s+
        (?: (?P<owner>[\w.-]+)/(?P<name>[\w.-]+) )? (?: \# | GH- ) (?P<number>\d{1,9}) \b
        | \b (?: close[sd]? | fix(?:e[sd])? | resolve[sd]? ) :? \s+
        https?://[\w.:-]+/(?P<url_owner>[\w.-]+)/(?P<url_name>[\w.-]+)/issues/(?P<url_number>\d{1,9}) \b",
    )
    .ok()
});
static IGNORED: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?s)```.*?(?:```|\z)|`[^`\n]*`|<!--.*?(?:-->|\z)").ok());

/// The issues that `text` says it closes; a bare number is in `home`.
pub fn closed_by(text: &str, home: &RepoName) -> BTreeSet<(RepoName, u64)> {
    let (Some(keyword), Some(ignored)) = (&*KEYWORD, &*IGNORED) else {
        return BTreeSet::new();
    };
    let text = ignored.replace_all(text, " ");
    keyword
        .captures_iter(&text)
        .filter_map(|found| {
            let part = |name: &str| found.name(name).map(|part| part.as_str());
            let number = part("number").or(part("url_number"))?.parse().ok()?;
            let repo = match (part("owner").or(part("url_owner")), part("name").or(part("url_name"))) {
                (Some(owner), Some(name)) => RepoName::try_from(format!("{owner}/{name}")).ok()?,
                _ => home.clone(),
            };
            Some((repo, number))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(text: &str) -> Vec<String> {
        let home = RepoName::try_from("acme/web".to_owned()).unwrap();
        let issues = closed_by(text, &home);
        issues
            .into_iter()
            .map(|(repo, number)| format!("{repo}#{number}"))
            .collect()
    }

    #[test]
    fn keywords_of_all_forms_are_found() {
        assert_eq!(found("Fixes #31"), ["acme/web#31"]);
        assert_eq!(
            found("closes: #1, RESOLVED #2 and fix GH-3"),
            ["acme/web#1", "acme/web#2", "acme/web#3"]
        );
        assert_eq!(found("Resolves other/repo#100"), ["other/repo#100"]);
        assert_eq!(found("close https://github.com/acme/api/issues/9"), ["acme/api#9"]);
    }

    #[test]
    fn each_issue_needs_its_own_keyword() {
        assert_eq!(found("Fixes #1, #2 and see #3"), ["acme/web#1"]);
        assert_eq!(found("prefixes #1; suffix #2; fixes#3; fixes #4a"), [] as [&str; 0]);
    }

    #[test]
    fn code_and_comments_do_not_count() {
        let text = "`fixes #1`\n```\ncloses #2\n```\n<!-- Fixes #3 (template) -->\nFixes #4\n<!-- unclosed fixes #5";
        assert_eq!(found(text), ["acme/web#4"]);
    }

    proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

        #[test]
        fn only_keywords_outside_of_code_count(text in prop_oneof![any::<String>(), "([Ff]ixe?s?|closes:?|GH-| |#|[0-9]|a/b|/issues/|https://|\n|-->){0,20}"]) {
            let _ = found(&text);
            let plain = text.replace('`', "").replace("<!--", "");
            prop_assert_eq!(found(&format!("```\n{plain}\n```")), [] as [&str; 0]);
            prop_assert_eq!(found(&format!("<!-- {}", plain.replace("-->", ""))), [] as [&str; 0]);
            let found = found(&format!("{plain}\nFixes #123456"));
            prop_assert!(found.contains(&"acme/web#123456".to_owned()), "{:?}", found);
        }
    }
}
