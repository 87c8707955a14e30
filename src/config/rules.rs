//! The rules for single values. Each answers with the rest of a sentence that begins with the key: what is wrong and the mend.

use std::time::Duration;

type Verdict = Result<(), String>;

fn must(holds: bool, sentence: &str) -> Verdict {
    if holds { Ok(()) } else { Err(sentence.to_owned()) }
}

pub(super) fn positive(duration: Duration) -> Verdict {
    must(
        !duration.is_zero(),
        "must be longer than nothing; write for example \"60s\"",
    )
}

pub(super) fn at_least_one(number: u32) -> Verdict {
    must(number >= 1, "must be at least 1")
}

pub(super) fn base_url(text: &str) -> Verdict {
    let sound = url::Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    });
    must(
        sound,
        "must be a base URL such as \"https://example.com/api\", without credentials, query or fragment",
    )
}

/// People type it after `/deploy start`, where these words mean something else.
pub(super) fn project_name(text: &str) -> Verdict {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.len() <= 40
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c));
    must(
        plain,
        "must begin with a letter and hold at most 40 lower-case letters, digits, `-` and `_`",
    )?;
    must(
        !matches!(text, "patch" | "minor" | "major"),
        "is a word of `/deploy start`; choose another name",
    )
}

pub(super) fn channel(text: &str) -> Verdict {
    must(
        slack_id(text, "CG"),
        "must be a channel's id such as \"C0123456789\", not its name; Slack shows it at the bottom of the channel's details",
    )
}

pub(super) fn slack_user(text: &str) -> Verdict {
    must(
        slack_id(text, "UW"),
        "must be a Slack member id such as U024BE7LH; Slack copies it from the person's profile, under ⋮",
    )
}

/// Who a permission is for.
pub(super) fn who(text: &str) -> Verdict {
    must(
        text == "*" || slack_id(text, "UWS") || machine_login(text),
        "must be a user's id (U…), a user group's id (S…), \"*\" for everybody in the channel, or \"cli:\" and a login for the command line",
    )
}

fn machine_login(text: &str) -> bool {
    let login = text.strip_prefix("cli:");
    login.is_some_and(|login| !login.is_empty() && !login.contains(|c: char| c.is_whitespace() || c.is_control()))
}

fn slack_id(text: &str, initials: &str) -> bool {
    text.len() >= 2
        && text.starts_with(|c| initials.contains(c))
        && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
}

pub(super) fn sha256(text: &str) -> Verdict {
    let sound = text.len() == 64 && hex::decode(text).is_ok();
    must(
        sound,
        "must be the SHA-256 of a long random token in 64 hex digits; make both with `openssl rand -hex 32 | tee token | tr -d '\\n' | sha256sum`",
    )
}

pub(super) fn login(text: &str) -> Verdict {
    let plain = (1..=39).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    must(plain, "must be a GitHub login such as octocat, without `@`")
}

/// Longer ones make a row that nobody reads to its end.
pub(super) fn checklist_item(text: &str) -> Verdict {
    must(
        text.chars().count() <= 200,
        "must be at most 200 characters long; shorten it",
    )
}

pub(super) fn branch(text: &str) -> Verdict {
    must(
        is_ref_name(text),
        "is no branch name that git takes; see `git help check-ref-format`",
    )
}

pub(super) fn branch_prefix(text: &str) -> Verdict {
    must(
        is_ref_name(&format!("{text}20260131-2")),
        "makes no branch name that git takes once a date follows; use for example \"deploy-\"",
    )
}

pub(super) fn release_tag(text: &str) -> Verdict {
    must(
        text.contains("{version}"),
        "must contain `{version}`, for example \"v{version}\"",
    )?;
    must(
        is_ref_name(&text.replace("{version}", "1.2.3")),
        "makes no tag name that git takes; use for example \"v{version}\"",
    )
}

/// `git check-ref-format --branch`, as a rule.
fn is_ref_name(name: &str) -> bool {
    let forbidden = |c: char| c.is_control() || c.is_whitespace() || "~^:?*[\\".contains(c);
    !name.is_empty()
        && name != "@"
        && name != "HEAD"
        && !name.starts_with('-')
        && !name.ends_with('.')
        && !name.contains("..")
        && !name.contains("@{")
        && !name.contains(forbidden)
        && name
            .split('/')
            .all(|part| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock"))
}

pub(super) fn workflow(text: &str) -> Verdict {
    let file = !text.contains('/') && (text.ends_with(".yml") || text.ends_with(".yaml"));
    must(
        file,
        "must be the workflow's file name in .github/workflows, such as \"deploy.yml\"",
    )
}

pub(super) fn version_file_path(text: &str) -> Verdict {
    let sound = !text.contains('\\')
        && !text.starts_with('-')
        && text.split('/').all(|part| !matches!(part, "" | "." | ".."))
        && !text.split('/').any(|part| part.eq_ignore_ascii_case(".git"));
    must(
        sound,
        "must be a path inside the repository such as \"app/package.json\": relative, with `/`, without `..`",
    )
}

pub(super) fn json_pointer(text: &str) -> Verdict {
    must(
        text.starts_with('/'),
        "must be a JSON pointer such as \"/version\", beginning with `/`",
    )
}

pub(super) fn dotted_key(text: &str) -> Verdict {
    must(
        text.split('.').all(|part| !part.trim().is_empty()),
        "must be a dotted key such as \"package.version\", without empty parts",
    )
}

pub(super) fn regex_with_one_group(text: &str) -> Verdict {
    // The whole match counts as a group, too.
    const GROUPS: usize = 2;
    match regex::Regex::new(text) {
        Ok(regex) => must(
            regex.captures_len() == GROUPS,
            "must have exactly one capture group, around the version; write other groups as (?:…)",
        ),
        Err(error) => {
            let reason = error.to_string();
            let reason = reason.lines().last().unwrap_or("no reason given").trim();
            Err(format!("is no regular expression ({reason}); mend it"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn accepts_and_refuses(rule: fn(&str) -> Verdict, good: &[&str], bad: &[&str]) {
        for text in good {
            assert_eq!(rule(text), Ok(()), "{text}");
        }
        for text in bad {
            assert!(rule(text).is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn a_hash_is_64_hex_digits() {
        let good = "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8";
        accepts_and_refuses(sha256, &[good], &[&good[1..], "a token", ""]);
    }

    #[test]
    fn branch_names_follow_git() {
        accepts_and_refuses(
            branch,
            &["staging", "release/1.x", "a@b", "ünïcode"],
            &[
                "", "-x", "a..b", "a b", "a~1", "a^", "a:b", "a?", "a*", "a[b", "a\\b", "/a", "a/", "a//b", ".a",
                "a/.b", "a.lock", "a.lock/b", "a.", "@", "a@{1}", "HEAD", "a\u{7f}",
            ],
        );
        accepts_and_refuses(branch_prefix, &["deploy-", "deploy/"], &["-", "a b", "/"]);
        accepts_and_refuses(
            release_tag,
            &["v{version}", "web/{version}"],
            &["v1", "{version} x", "{version}.lock"],
        );
    }

    #[test]
    fn paths_stay_inside_the_repository() {
        accepts_and_refuses(
            version_file_path,
            &["VERSION", "app/package.json", "..a/b"],
            &[
                "/etc/passwd",
                "../x",
                "a/../b",
                "./a",
                "a//b",
                "",
                "a\\b",
                "--flag",
                ".git/config",
                "a/.GIT/x",
            ],
        );
    }

    #[test]
    fn ids_names_and_patterns() {
        accepts_and_refuses(
            project_name,
            &["web", "web-2"],
            &["", "Web", "2web", "major", "we b", "--only"],
        );
        accepts_and_refuses(
            channel,
            &["C0123456789", "G01"],
            &["#deploys", "deploys", "c01", "C", "U01"],
        );
        accepts_and_refuses(slack_user, &["U024BE7LH", "W01"], &["S01", "@ana", "u01"]);
        accepts_and_refuses(who, &["*", "U024BE7LH", "S0DEPLOYERS"], &["", "ana", "C01"]);
        accepts_and_refuses(login, &["octocat", "a-b", "ana_corp"], &["@octocat", "", "-a", "a b"]);
        accepts_and_refuses(
            workflow,
            &["deploy.yml", "d.yaml"],
            &["deploy", ".github/workflows/deploy.yml"],
        );
        accepts_and_refuses(json_pointer, &["/version"], &["version", ""]);
        accepts_and_refuses(dotted_key, &["version", "a.b"], &["", "a..b", ".a"]);
        accepts_and_refuses(regex_with_one_group, &["v(.+)", "(?:a)(b)"], &["v", "(a)(b)", "("]);
        accepts_and_refuses(
            base_url,
            &["https://slack.com/api", "http://127.0.0.1:9/api/"],
            &["slack.com", "ftp://x", "https://a:b@c", "https://a/?q", "https://a/#f"],
        );
    }
}
