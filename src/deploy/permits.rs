//! Who may do what: default deny, by a project's permissions. The rules alone, without Slack: members of user groups are the bot's to ask
//! for.

use super::choice;
use super::view::View;
use crate::config::Permissions;
use crate::saga::Actor;

/// What permission lists call a login on the machine that Shipmate runs on: `cli:ana`.
pub const CLI: &str = "cli:";

/// A permission that something needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permit<'a> {
    /// What it allows, to read after "may not".
    pub what: &'static str,
    /// Its key in `[projects.permissions]`.
    pub setting: &'static str,
    /// Who has it.
    pub holders: &'a [String],
}

/// What starting needs.
pub fn to_start(permissions: &Permissions) -> Permit<'_> {
    Permit {
        what: "start a deployment",
        setting: "start",
        holders: &permissions.start,
    }
}

/// What aborting needs.
pub fn to_abort(permissions: &Permissions) -> Permit<'_> {
    Permit {
        what: "abort a deployment",
        setting: "abort",
        holders: &permissions.abort,
    }
}

/// What passing locks and freezes needs.
pub fn to_override(permissions: &Permissions) -> Permit<'_> {
    Permit {
        what: "override locks and freezes",
        setting: "override",
        holders: &permissions.r#override,
    }
}

/// What those may who may start or approve.
pub fn either<'a>(holders: &'a [String], what: &'static str) -> Permit<'a> {
    Permit {
        what,
        setting: "start",
        holders,
    }
}

/// What choosing this at a checkpoint needs.
pub fn to_decide<'a>(permissions: &'a Permissions, chosen: &str) -> Permit<'a> {
    match chosen {
        choice::CONFIRM | choice::EDIT => Permit {
            what: "confirm the list",
            setting: "start",
            holders: &permissions.start,
        },
        _ => Permit {
            what: "decide this",
            setting: "approve",
            holders: &permissions.approve,
        },
    }
}

/// Whether the list names this person. `*` is everybody in the channel, so it doesn't name a login on the machine.
pub fn names(holders: &[String], person: &Actor) -> bool {
    match person {
        Actor::Slack(id) => holders.iter().any(|holder| holder == "*" || holder == id),
        Actor::Local(login) => holders.contains(login),
        Actor::Deadline | Actor::Shipmate => false,
    }
}

/// Whether somebody else has to approve: this person started it, and the project wants two.
pub fn wants_another(permissions: &Permissions, view: &View, chosen: &str, person: &Actor) -> bool {
    chosen == choice::APPROVE && permissions.two_person && view.started_by == *person
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_in_the_channel_is_nobody_on_the_machine() {
        let list = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let (ana, login) = (Actor::Slack("U0ANA".to_owned()), Actor::Local("cli:ana".to_owned()));
        for (holders, slack, cli) in [
            (list(&[]), false, false),
            (list(&["*"]), true, false),
            (list(&["U0ANA"]), true, false),
            (list(&["cli:ana"]), false, true),
            (list(&["cli:ben", "S0DEPLOYERS"]), false, false),
        ] {
            assert_eq!(
                (names(&holders, &ana), names(&holders, &login)),
                (slack, cli),
                "{holders:?}"
            );
            assert!(!names(&holders, &Actor::Shipmate), "{holders:?}");
        }
    }

    #[test]
    fn each_choice_needs_its_permission() {
        let permissions = Permissions::default();
        for (chosen, setting) in [
            (choice::CONFIRM, "start"),
            (choice::EDIT, "start"),
            (choice::APPROVE, "approve"),
            ("retry", "approve"),
            ("anything later", "approve"),
        ] {
            assert_eq!(to_decide(&permissions, chosen).setting, setting, "{chosen}");
        }
    }
}
