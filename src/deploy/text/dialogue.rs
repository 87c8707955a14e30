//! The words of dialogues and buttons, and what a dialogue complains about: plain text, which Slack shows as it is.

use crate::config::Project;

/// Leaves a dialogue.
pub const BACK: &str = "Back";
/// The list editor.
pub const EDIT: &str = "Edit the list";
/// Submits the list editor.
pub const REHEARSE: &str = "Rehearse";
/// Over the list editor's boxes.
pub const TICK: &str = "Tick the pull requests that ride. The list is rehearsed again before you confirm it.";
/// The list editor's last field: label and hint.
pub const ORDER: (&str, &str) = ("Order", "Numbers in the order of merging; those you leave out follow.");
/// The list editor was left without a tick.
pub const TICK_ONE: &str = "Tick at least one, or abort the deployment.";
/// The abort dialogue.
pub const ABORT: &str = "Abort and undo";
/// The abort dialogue's field.
pub const REASON: &str = "Reason";
/// Submits the start dialogue.
pub const START: &str = "Start";
/// The start dialogue's field for what may pass locks: label and hint.
pub const OVERRIDE: (&str, &str) = ("Reason to start all the same", "Everybody reads it on the card.");
/// The start dialogue's version menu.
pub const VERSION: &str = "Version";
/// What it offers.
pub const PATCH: &str = "Patch, such as 1.2.3 → 1.2.4";
/// What it offers.
pub const MINOR: &str = "Minor, such as 1.2.3 → 1.3.0";
/// What it offers.
pub const MAJOR: &str = "Major, such as 1.2.3 → 2.0.0";
/// What it offers.
pub const CALENDAR: &str = "Calendar: the date";
/// What it offers, with a number beside it.
pub const EXACTLY: &str = "Exactly this one:";
/// That number: label and hint.
pub const EXACT_VERSION: (&str, &str) = (
    "Exact version",
    "Only for \"Exactly this one\": X.Y.Z, higher than now.",
);
/// The number is missing.
pub const TYPE_VERSION: &str = "Type the version, such as 1.4.0.";
/// The number stands there, and something else was chosen.
pub const CHOOSE_EXACTLY: &str = "Choose \"Exactly this one\" above, or leave this empty.";
/// Over who doesn't ride.
pub const LEAVE_OUT: &str = "Leave out";
/// Nobody is left out.
pub const EVERYTHING: &str = "Everything rides";
/// Where the names to leave out come from.
pub const FROM_THE_DRY_RUN: &str = "From the last dry run. You confirm the list before anything is touched.";
/// Who rides, by number: label and hint.
pub const ONLY: (&str, &str) = (
    "Only these",
    "Numbers such as #12, #15. Empty: everything that is approved.",
);
/// How numbers are typed.
pub const NUMBERS: &str = "Numbers such as #12, #15.";
/// The project left the configuration while the dialogue was open.
pub const PROJECT_GONE: &str = "This project is no longer configured.";

/// The start dialogue.
pub fn deploy(project: &Project) -> String {
    format!("Deploy {}", project.name)
}

/// Not a version.
pub fn no_version(typed: &str) -> String {
    format!("{typed} is no version such as 1.4.0.")
}

/// Not the number of a pull request.
pub fn no_number(typed: &str) -> String {
    format!("{typed} is no pull request number.")
}

/// Opens the start dialogue.
pub const START_WHAT: &str = "Start…";
/// Opens it for who may pass locks and freezes.
pub const START_ANYWAY: &str = "Start anyway…";
/// Puts a start into the queue.
pub const QUEUE_MINE: &str = "Queue mine";
/// Ends the mentions.
pub const DO_NOT_MENTION: &str = "Don't mention me";
/// And begins them anew.
pub const MENTION_AGAIN: &str = "Mention me again";
/// What a list can't hold.
pub const AND_MORE: &str = "… and more.";
/// To the deploy pull request's page.
pub const DEPLOY_PR: &str = "Deploy PR";
/// To the Actions run's page.
pub const ACTIONS_RUN: &str = "Actions run";
/// To the release's page.
pub const RELEASE: &str = "Release";
/// Beside an item of the checklist.
pub const DONE: &str = "Done";
/// What a message can't hold.
pub const ON_THE_DASHBOARD: &str = "… the rest is on the dashboard.";
/// What an answer can't hold.
pub const REST_IN_THE_THREAD: &str = "… the rest is in the thread.";
