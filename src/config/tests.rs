//! The configuration as people write it: defaults, every mistake with its line and its mend, and the example that documents all of it.

use super::*;

const EXAMPLE: &str = include_str!("../../config/shipmate.example.toml");

const MINIMAL: &str = r#"
[[projects]]
name = "web"
repo = "acme/web"
channel = "C1"
deploy_workflow = "deploy.yml"
version_files = [{ path = "VERSION", kind = "plain" }]
"#;

fn problems(text: &str) -> String {
    Config::parse(text, "a.toml").unwrap_err().to_string()
}

#[test]
fn a_minimal_file_has_the_documented_defaults() {
    let config = Config::parse(MINIMAL, "a.toml").unwrap();
    let project = &config.projects[0];
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.slack.mode, SlackMode::Socket);
    assert_eq!(config.github.write_gap, Duration::from_secs(1));
    assert_eq!(config.history.keep, 200);
    assert_eq!((&*project.base_branch, &*project.branch_prefix), ("staging", "deploy-"));
    assert_eq!((project.bump, project.no_checks), (Bump::Patch, NoChecks::Pass));
    assert_eq!(project.permissions, Permissions::default());
    assert_eq!(project.timeouts, Timeouts::default());
}

#[test]
fn the_example_parses_and_its_defaults_are_the_defaults() {
    let example = Config::parse(EXAMPLE, "example").unwrap();
    let minimal = Config::parse(MINIMAL, "minimal").unwrap();
    assert_eq!((example.slack, example.github), (minimal.slack, minimal.github));
    let (example, minimal) = (&example.projects[0], &minimal.projects[0]);
    assert_eq!(example.timeouts, minimal.timeouts);
    assert_eq!(
        (
            example.bump,
            example.no_checks,
            example.deploy_approval,
            example.close_issues,
            example.merge_method,
            example.deploy_merge_method
        ),
        (
            minimal.bump,
            minimal.no_checks,
            minimal.deploy_approval,
            minimal.close_issues,
            minimal.merge_method,
            minimal.deploy_merge_method
        ),
    );
    assert_eq!(
        (&example.base_branch, &example.release_tag),
        (&minimal.base_branch, &minimal.release_tag)
    );
}

#[test]
fn every_known_setting_stands_in_the_example() {
    let commented = regex::Regex::new("(?m)^# ([a-z_]+ = )").unwrap();
    let whole = commented.replace_all(EXAMPLE, "$1");
    let report = Report::new("example", &whole);
    assert!(read_config(&report, &whole).is_some());
    assert_eq!(report.unset(), [""; 0]);
}

#[test]
fn all_mistakes_are_named_at_once_with_line_and_mend() {
    let text = r##"
data_dri = "x"
[slack]
mode = "sockets"
[[projects]]
name = "web"
repo = "web"
channel = "#deploys"
merge_method = "sqash"
base_branch = "a..b"
release_tag = "v1"
[projects.timeouts]
ci = "0s"
poll_min = "2m"
aproval = "1h"
[projects.permissions]
start = ["ana"]
[[projects.version_files]]
path = "../x"
kind = "regex"
pattern = "v"
"##;
    insta::assert_snapshot!(problems(text), @r##"
    a.toml:2: `data_dri` is not a setting; did you mean `data_dir`? Rename or remove it
    a.toml:4: `slack.mode` is wrong: unknown variant `sockets`, expected `socket` or `http`
    a.toml:5: `projects[].deploy_workflow` is missing; add `deploy_workflow = "deploy.yml"`
    a.toml:7: `projects[].repo` is wrong: `web` is not `owner/name`
    a.toml:8: `projects[].channel` must be a channel's id such as "C0123456789", not its name; Slack shows it at the bottom of the channel's details
    a.toml:9: `projects[].merge_method` is wrong: unknown variant `sqash`, expected one of `merge`, `squash`, `rebase`
    a.toml:10: `projects[].base_branch` is no branch name that git takes; see `git help check-ref-format`
    a.toml:11: `projects[].release_tag` must contain `{version}`, for example "v{version}"
    a.toml:13: `projects[].timeouts.ci` must be longer than nothing; write for example "60s"
    a.toml:14: `projects[].timeouts.poll_min` is longer than `poll_max`; make it at most as long
    a.toml:15: `projects[].timeouts.aproval` is not a setting; did you mean `approval`? Rename or remove it
    a.toml:17: `projects[].permissions.start` has the item `ana`, which must be a user's id (U…), a user group's id (S…), "*" for everybody in the channel, or "cli:" and a login for the command line
    a.toml:19: `projects[].version_files[].path` must be a path inside the repository such as "app/package.json": relative, with `/`, without `..`
    a.toml:21: `projects[].version_files[].pattern` must have exactly one capture group, around the version; write other groups as (?:…)
    "##);
}

#[test]
fn names_and_channels_are_unique() {
    let twice = format!("{MINIMAL}{MINIMAL}");
    insta::assert_snapshot!(problems(&twice), @r##"
    a.toml:10: `projects[].name` is another project's already; each project needs its own
    a.toml:12: `projects[].channel` is another project's already; each project needs its own
    "##);
}

#[test]
fn two_projects_share_no_train() {
    let project = |name: &str, settings: &str| {
        let named = MINIMAL.replace("\"web\"", &format!("\"{name}\""));
        format!(
            "{}{settings}\n",
            named.replace("\"C1\"", &format!("\"C{}\"", name.to_uppercase().replace('-', "")))
        )
    };
    let web = project("web", "");
    let beside = |other: &str| problems(&format!("{web}{other}"));
    let hotfix = project("hotfix", "base_branch = \"Staging\"").replace("acme/web", "Acme/Web");
    insta::assert_snapshot!(beside(&hotfix), @"a.toml:16: `projects[].base_branch` is `Staging` of Acme/Web in `web` and in `hotfix`, whose trains would take the same pull requests; give one of them another, or make them one project");
    let hotfix = project("hotfix", "base_branch = \"main\"");
    insta::assert_snapshot!(beside(&hotfix), @r#"a.toml:10: `projects[].branch_prefix` is `deploy-` for acme/web in `web` and in `hotfix`, which would push the same branches; give one of them another, such as "deploy-hotfix-""#);
    let apart = "base_branch = \"main\"\nbranch_prefix = \"deploy-hotfix-\"";
    for other in [
        project("hotfix", apart),
        project("hotfix", "").replace("acme/web", "acme/api"),
    ] {
        let text = format!("{web}{other}");
        assert!(Config::parse(&text, "a.toml").is_ok(), "{text}");
    }
}

#[test]
fn a_project_without_version_files_or_a_file_without_projects_is_refused() {
    insta::assert_snapshot!(problems(""), @r##"
    a.toml:1: `projects` is empty; add a `[[projects]]` table with name, repo, channel and deploy_workflow
    "##);
    let (without, _) = MINIMAL.split_once("version_files").unwrap();
    insta::assert_snapshot!(problems(without), @r##"
    a.toml:2: `projects[].version_files` is empty, so there would be no version to bump; add a `[[projects.version_files]]` table with path and kind
    "##);
}

#[test]
fn a_table_where_none_belongs_is_met_with_the_header_to_write() {
    let text = format!("{MINIMAL}timeouts = 1\n");
    insta::assert_snapshot!(problems(&text), @"a.toml:8: `projects[].timeouts` must be a table; write `[projects.timeouts]` above its settings");
}

#[test]
fn a_syntax_error_has_its_line() {
    insta::assert_snapshot!(problems("a = 1\nb = \n"), @r##"
    a.toml:2: is not TOML: string values must be quoted, expected literal string
    "##);
}

#[test]
fn a_project_survives_the_journal() {
    let project = Config::parse(EXAMPLE, "example").unwrap().projects.remove(0);
    let json = serde_json::to_value(&project).unwrap();
    assert_eq!(json["timeouts"]["approval"], "1day");
    assert_eq!(json["version_files"][0]["kind"], "json");
    assert_eq!(serde_json::from_value::<Project>(json).unwrap(), project);
}

#[test]
fn the_flag_wins_over_the_variable_over_the_default() {
    let set = |_: &str| Some("b.toml".to_owned());
    assert_eq!(Config::path(Some("a.toml".into()), set), Path::new("a.toml"));
    assert_eq!(Config::path(None, set), Path::new("b.toml"));
    assert_eq!(Config::path(None, |_| Some(String::new())), Path::new(DEFAULT_PATH));
}

#[test]
fn an_unreadable_file_says_what_to_do() {
    let error = Config::load(Path::new("/nowhere/a.toml")).unwrap_err().to_string();
    assert!(error.starts_with("/nowhere/a.toml: cannot be read"), "{error}");
}

#[test]
fn a_freeze_window_is_read_on_the_wall_clock_and_may_pass_midnight() {
    let windows = Config::parse(EXAMPLE, "example").unwrap().projects[0].freeze.clone();
    // Friday, 16:00 in Paris, until Saturday, 08:00: two hours from UTC in summer, one in winter.
    for (moment, expected) in [
        ("2026-07-03T13:59:59Z", false),
        ("2026-07-03T14:00:00Z", true),
        ("2026-07-04T05:59:59Z", true),
        ("2026-07-04T06:00:00Z", false),
        ("2026-07-03T05:00:00Z", false),
        ("2026-12-04T14:30:00Z", false),
        ("2026-12-04T15:00:00Z", true),
        ("2026-12-23T22:59:59Z", false),
        ("2026-12-23T23:00:00Z", true),
        ("2027-01-02T22:59:59Z", true),
        ("2027-01-02T23:00:00Z", false),
    ] {
        let covered = frozen(&windows, moment.parse().unwrap(), Tz::UTC).is_some();
        assert_eq!(covered, expected, "{moment}");
    }
}

#[test]
fn freeze_windows_that_can_not_be_meant_are_named() {
    let text = format!(
        r#"{MINIMAL}
[[projects.freeze]]
from = "10:00"
to = "10:00"
reason = "a"
[[projects.freeze]]
from_date = "2026-12-24"
reason = "b"
[[projects.freeze]]
days = ["mon"]
from_date = "2026-12-24"
until_date = "2026-12-23"
reason = "c"
[[projects.freeze]]
days = ["someday"]
until_date = "tomorrow"
reason = "d"
"#
    );
    insta::assert_snapshot!(problems(&text));
}
