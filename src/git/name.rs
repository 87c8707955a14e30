//! Which words may stand where git expects a branch, a commit or a path. Checked here, by git's own rules
//! (`git-check-ref-format`), so that nothing that looks like an option, a range or a way out of the clone reaches the program.

/// Refuses what git would not take as a branch.
pub(super) fn check_branch(name: &str) -> Result<(), String> {
    let wrong = if name.is_empty() {
        "it is empty"
    } else if name.starts_with('-') {
        "it begins with “-”"
    } else if name == "@" || name == "HEAD" {
        "the word has its own meaning"
    } else if name.contains("..") || name.contains("@{") {
        "it contains “..” or “@{”"
    } else if name.chars().any(is_forbidden) {
        "it contains a space, a control character or one of ~^:?*[\\"
    } else if name.ends_with('.') {
        "it ends with “.”"
    } else if name.split('/').any(str::is_empty) {
        "it has an empty part between “/”"
    } else if name
        .split('/')
        .any(|part| part.starts_with('.') || part.ends_with(".lock"))
    {
        "a part begins with “.” or ends with “.lock”"
    } else {
        return Ok(());
    };
    Err(format!("{name:?} can't be a branch: {wrong}"))
}

/// Refuses a beginning of a branch name that no branch could have, or that is a pattern.
pub(super) fn check_branch_prefix(prefix: &str) -> Result<(), String> {
    // Whatever follows, a letter completes it.
    check_branch(&format!("{prefix}x"))
}

/// Refuses what isn't a full object name.
pub(super) fn check_commit(name: &str) -> Result<(), String> {
    match is_object_name(name) {
        true => Ok(()),
        false => Err(format!("{name:?} is not a full commit id")),
    }
}

/// Forty (SHA-1) or sixty-four (SHA-256) lowercase hexadecimal digits.
pub(super) fn is_object_name(name: &str) -> bool {
    matches!(name.len(), 40 | 64) && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Refuses a path that isn't plainly a file inside the repository.
pub(super) fn check_path(path: &str) -> Result<(), String> {
    let leaves = path
        .split('/')
        .any(|part| part.is_empty() || part == "." || part == ".." || part.eq_ignore_ascii_case(".git"));
    match leaves || path.chars().any(char::is_control) {
        true => Err(format!("{path:?} is not a path inside the repository")),
        false => Ok(()),
    }
}

fn is_forbidden(letter: char) -> bool {
    letter.is_ascii_control() || " ~^:?*[\\".contains(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_follow_gits_rules() {
        for name in ["main", "deploy-20260101", "feature/ünïcode", "a.b", "x@y", "a-b/c_d"] {
            assert_eq!(check_branch(name), Ok(()), "{name}");
        }
        for name in [
            "",
            "-x",
            "--upload-pack=x",
            "@",
            "HEAD",
            "a..b",
            "a@{1}",
            "a b",
            "a~1",
            "a^",
            "a:b",
            "a?",
            "a*",
            "a[b",
            "a\\b",
            "a\nb",
            "a\u{7f}",
            "a.",
            "/a",
            "a/",
            "a//b",
            ".a",
            "a/.b",
            "a.lock",
            "a.lock/b",
        ] {
            assert!(check_branch(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_prefix_may_end_anywhere_but_is_no_pattern() {
        for prefix in ["", "deploy-", "deploy/"] {
            assert_eq!(check_branch_prefix(prefix), Ok(()), "{prefix}");
        }
        for prefix in ["-", "deploy*", "a..", "/"] {
            assert!(check_branch_prefix(prefix).is_err(), "{prefix}");
        }
    }

    #[test]
    fn paths_stay_inside() {
        for path in ["VERSION", "a/b.json", "-x", "a b"] {
            assert_eq!(check_path(path), Ok(()), "{path}");
        }
        for path in [
            "",
            "/etc/passwd",
            "../x",
            "a/../b",
            "./a",
            "a//b",
            ".git/config",
            "a/.GIT/x",
            "a\nb",
        ] {
            assert!(check_path(path).is_err(), "{path:?}");
        }
    }
}
