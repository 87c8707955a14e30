//! What is wrong with what somebody typed: each a sentence without its end, as [`super::complaint`] takes it.

use crate::slack::Content;

/// No such command.
pub fn unknown(typed: &str, near: Option<&str>) -> String {
    match near {
        Some(near) => format!("I don't know `{typed}`. Did you mean `{near}`?"),
        None => format!("I don't know `{typed}`"),
    }
}

/// A command that stands alone.
pub fn nothing_after(word: &str, extra: &str) -> String {
    format!("`{word}` takes nothing after it, and `{extra}` followed")
}

/// `queue` with another word.
pub fn only_cancel(extra: &str) -> String {
    format!("`queue` takes `cancel` or nothing, and `{extra}` followed")
}

/// `show` without an id.
pub fn no_id() -> String {
    "`show` needs one deployment's id, as `history` lists it".to_owned()
}

/// A lock without a reason.
pub fn no_reason() -> String {
    "`lock` needs a reason, as in `lock database migration for 2h`".to_owned()
}

/// A lock for a time that isn't understood.
pub fn no_time(typed: &str) -> String {
    format!("`{typed}` is no time such as `30m`, `2 hours` or `1d`")
}

/// A lock for how long, or is that the reason?
pub fn stray_time(typed: &str) -> String {
    format!("is `{typed}` how long it holds? Then it stands last or first, as in `lock database migration for {typed}`")
}

/// A lock until a time of day.
pub fn until(typed: &str) -> String {
    format!("`lock` takes how long, as in `for 2h`, and not `until {typed}`")
}

/// An override without a reason.
pub fn no_override_reason() -> String {
    "`--override` needs a reason, as in `--override hotfix for the login`".to_owned()
}

/// No such option.
pub fn no_option(flag: &str) -> String {
    format!("there is no option `{flag}`")
}

/// More than a command takes.
pub fn one_too_many(extra: &str) -> String {
    format!("`{extra}` is one word too many")
}

/// Not the number of a pull request.
pub fn no_number(typed: &str) -> String {
    format!("`{typed}` is no pull request number")
}

/// An option without its numbers.
pub fn numbers_missing(flag: &str) -> String {
    format!("`{flag}` needs pull request numbers, as in `{flag} #12,#15`")
}

/// Not the project of this channel, and perhaps another's; the names are plain by the parser's and the configuration's rules.
pub fn another_project(typed: &str, project: &str, elsewhere: Option<&str>) -> Content {
    super::not_understood(&match elsewhere {
        Some(channel) => format!("`{typed}` is deployed from <#{channel}>; this channel deploys `{project}`"),
        None => format!(
            "`{typed}` is neither this channel's project, `{project}`, nor patch, minor, major, calendar or a version such as 1.5.0"
        ),
    })
}
