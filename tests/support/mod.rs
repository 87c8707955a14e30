//! What the tests of the real binary share.

#![allow(dead_code, reason = "each test takes what it needs")]

use std::path::PathBuf;

use shipmate::sandbox::play::Sandbox;

pub mod prometheus;

/// Writes the sandbox's configuration to a file, as somebody would who runs `shipmate serve` against the doubles.
pub fn configuration(sandbox: &Sandbox) -> PathBuf {
    let text = include_str!("../../config/sandbox.toml");
    let github = format!(
        "[github]\napi_url = \"{}\"\ngit_url = \"{}\"",
        sandbox.github.api_url(),
        sandbox.github.git_url()
    );
    let dir = sandbox.dir().display();
    let text = text
        .replace(
            "data_dir = \"data\"",
            &format!("data_dir = \"{dir}/data\"\nworkspace_root = \"{dir}/workspaces\""),
        )
        .replace(
            "mode = \"socket\"",
            &format!("mode = \"socket\"\napi_url = \"{}\"", sandbox.slack.api_url()),
        )
        .replace("[github]", &github)
        .replace(
            "[people]",
            "[projects.timeouts]\npoll_min = \"20ms\"\npoll_max = \"100ms\"\nstable_for = \"10ms\"\n\n[people]",
        );
    let file = sandbox.dir().join("shipmate.toml");
    std::fs::write(&file, text).unwrap();
    file
}
