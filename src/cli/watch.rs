//! `shipmate status --watch`: the status again whenever the server says that it changed.

use super::client::Lines;
use super::{Failure, say};
use crate::control::wire::Answer;

/// How it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Looks {
    /// Redrawn in place.
    Screen,
    /// What is new, below what was there.
    Lines,
    /// One object a line.
    Json,
}

/// Clears the screen and what scrolled away, and goes to its beginning.
const CLEAR: &str = "\x1b[2J\x1b[3J\x1b[H";

pub(super) async fn follow(mut lines: Lines, looks: Looks) -> Result<(), Failure> {
    let mut before = String::new();
    while let Some(line) = lines.next().await? {
        let status: Answer =
            serde_json::from_str(&line).map_err(|error| format!("Shipmate's answer can't be read: {error}"))?;
        if let Some(shown) = drawn(looks, &before, &status) {
            say(&shown)?;
        }
        before = status.text;
    }
    Err(Failure::NotRunning("Shipmate has ended".to_owned()))
}

fn drawn(looks: Looks, before: &str, status: &Answer) -> Option<String> {
    match looks {
        Looks::Screen => Some(format!("{CLEAR}{}", status.text)),
        Looks::Json => Some(status.data.to_string()),
        Looks::Lines => {
            let seen = |line: &&str| before.lines().any(|known| known == *line);
            let new: Vec<&str> = status.text.lines().filter(|line| !seen(line)).collect();
            (!new.is_empty()).then(|| new.join("\n"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_gets_what_is_new_and_a_screen_all_of_it() {
        let status = Answer {
            text: "web-1\n  Now: cloning.".to_owned(),
            data: serde_json::json!([1]),
        };
        let drawn = |looks, before| drawn(looks, before, &status);
        assert_eq!(
            drawn(Looks::Lines, "web-1\n  Now: waiting.").as_deref(),
            Some("  Now: cloning.")
        );
        assert_eq!(drawn(Looks::Lines, &status.text), None);
        assert_eq!(drawn(Looks::Json, &status.text).as_deref(), Some("[1]"));
        assert!(drawn(Looks::Screen, &status.text).unwrap().ends_with(&status.text));
    }
}
