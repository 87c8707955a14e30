//! Version files of every kind, read and written back: only the version changes, to the byte, and whatever is no such file is refused.

use proptest::prelude::*;

use super::*;

fn file(kind: VersionFileKind) -> VersionFile {
    VersionFile {
        path: "the/file".to_owned(),
        kind,
    }
}

fn json(pointer: &str) -> VersionFile {
    let pointer = pointer.to_owned();
    file(VersionFileKind::Json { pointer })
}

fn toml(key: &str) -> VersionFile {
    let key = key.to_owned();
    file(VersionFileKind::Toml { key })
}

fn yaml(key: &str) -> VersionFile {
    let key = key.to_owned();
    file(VersionFileKind::Yaml { key })
}

/// Reads 1.2.3, writes 1.2.4, and finds every other byte as it was.
#[track_caller]
fn bumps(file: &VersionFile, text: &str) {
    assert_eq!(read_version(file, text.as_bytes()).as_deref(), Ok("1.2.3"), "{text}");
    let written = String::from_utf8(write_version(file, text.as_bytes(), "1.2.4").unwrap()).unwrap();
    assert_eq!(written.replacen("1.2.4", "1.2.3", 1), text);
    assert_eq!(read_version(file, written.as_bytes()).as_deref(), Ok("1.2.4"));
}

#[track_caller]
fn refused(file: &VersionFile, text: &str) -> String {
    let problem = read_version(file, text.as_bytes()).unwrap_err();
    assert!(problem.starts_with("the/file"), "{problem}");
    problem
}

#[test]
fn json_keeps_its_formatting() {
    bumps(
        &json("/version"),
        "{\r\n\t\"name\":\"web\" ,\"version\" :  \"1.2.3\",\r\n \"a\":[1,2]}\r\n",
    );
    bumps(&json("/version"), "\u{feff}{\"version\":\"1.2.3\"}");
    bumps(&json("/apps/1/a~1b"), r#"{"apps":[{},{"a/b":"1.2.3"}]}"#);
    bumps(
        &json("/version"),
        r#"{"dependencies":{"version":"9.9.9"},"version":"1.2.3"}"#,
    );
}

#[test]
fn json_that_is_ambiguous_or_wrong_is_named() {
    assert!(refused(&json("/version"), "{\"version\":1}").contains("not a string"));
    assert!(refused(&json("/version"), "{}").contains("is missing"));
    assert!(refused(&json("/version"), r#"{"version":"1.0.0","version":"2.0.0"}"#).contains("twice"));
    assert!(refused(&json("/version"), "{\"version\": ").contains("not JSON"));
}

#[test]
fn json_that_would_overflow_the_parser_is_refused() {
    assert!(refused(&json("/version"), &"[".repeat(100_000)).contains("nested deeper"));
}

#[test]
fn toml_keeps_its_formatting() {
    bumps(
        &toml("package.version"),
        "# head\n[package]\nname='web'\nversion   = \"1.2.3\" # why\n[dependencies]\nversion = \"9\"\n",
    );
    bumps(
        &toml("package.version"),
        "package = { name = 'web', version = '1.2.3' }",
    );
    bumps(
        &toml("workspace.package.version"),
        "[workspace.package]\r\nversion = \"1.2.3\"\r\n",
    );
    assert!(refused(&toml("package.version"), "[package]\nversion.workspace = true").contains("inherited"));
    assert!(refused(&toml("package.version"), "[package]\nversion = 1").contains("not a string"));
    assert!(refused(&toml("package.version"), "[other]\n").contains("is missing"));
}

#[test]
fn yaml_keys_are_found_where_they_are() {
    bumps(
        &yaml("version"),
        "name: web\nversion: 1.2.3 # why\nother:\n  version: 9.9.9\n",
    );
    bumps(
        &yaml("app.version"),
        "version: 9.9.9\napp:\n  image:\n    version: 8.8.8\n  version: \"1.2.3\"\nlast: 1",
    );
    bumps(
        &yaml("appVersion"),
        "text: |\n  appVersion: 9.9.9\nappVersion: '1.2.3'\n",
    );
    assert!(refused(&yaml("app.version"), "app: {version: 1.2.3}").contains("is missing"));
    assert!(refused(&yaml("version"), "version: [1, 2]").contains("not a plain"));
    assert!(refused(&yaml("version"), "version: 1.0.0\nversion: 2.0.0").contains("twice"));
}

#[test]
fn the_other_kinds_find_theirs() {
    bumps(&file(VersionFileKind::Plain), "\n1.2.3  \n");
    bumps(
        &file(VersionFileKind::Mix),
        "  def project do\n    [app: :web,\n     version: \"1.2.3\",\n     deps: deps()]\n",
    );
    bumps(&file(VersionFileKind::Mix), "  @version \"1.2.3\"\n");
    let regex = file(VersionFileKind::Regex {
        pattern: r"(?m)^const VERSION = '([^']+)'".to_owned(),
    });
    bumps(&regex, "// x\nconst VERSION = '1.2.3';\n");
    assert!(refused(&regex, "nothing").contains("nothing that matches"));
    assert!(refused(&file(VersionFileKind::Plain), "two words").contains("is not a version"));
    assert!(refused(&file(VersionFileKind::Plain), "").contains("is not a version"));
    assert!(read_version(&file(VersionFileKind::Plain), &[0xff]).is_err());
}

fn day() -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 11, 4).unwrap()
}

fn next(current: &str, bump: &str) -> Result<String, String> {
    next_version(current, &bump.parse().unwrap(), day())
}

#[test]
fn the_next_version_counts_as_semver_does() {
    for (current, bump, expected) in [
        ("1.4.2", "patch", "1.4.3"),
        ("1.4.2", "minor", "1.5.0"),
        ("1.4.2", "major", "2.0.0"),
        ("1.4.2-rc.1", "patch", "1.4.2"),
        ("1.5.0-rc.1", "minor", "1.5.0"),
        ("1.5.1-rc.1", "minor", "1.6.0"),
        ("2.0.0-beta", "major", "2.0.0"),
        ("1.4.2+build.5", "patch", "1.4.3"),
        ("1.4.2", "v1.6.0-rc.1", "1.6.0-rc.1"),
        ("1.4.2", "calendar", "2026.1104.0"),
        ("2026.1104.0", "calendar", "2026.1104.1"),
        ("2026.1103.7", "calendar", "2026.1104.0"),
    ] {
        assert_eq!(next(current, bump).as_deref(), Ok(expected), "{bump} of {current}");
    }
}

#[test]
fn what_is_not_higher_or_no_version_is_refused() {
    assert!(next("1.4.2", "1.4.2").unwrap_err().contains("not higher"));
    assert!(next("1.4.2", "1.4.2+other").unwrap_err().contains("not higher"));
    assert!(next("3000.0.0", "calendar").unwrap_err().contains("not higher"));
    assert!(next("1.4", "patch").unwrap_err().contains("semantic version"));
    assert!("latest".parse::<Bump>().unwrap_err().contains("neither"));
}

fn any_kind() -> impl Strategy<Value = VersionFile> {
    prop_oneof![
        Just(json("/version")),
        Just(toml("package.version")),
        Just(yaml("app.version")),
        Just(file(VersionFileKind::Mix)),
        Just(file(VersionFileKind::Plain)),
    ]
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused_and_never_panic(file in any_kind(), bytes: Vec<u8>) {
        let _ = write_version(&file, &bytes, "1.2.3");
    }

    #[test]
    fn near_misses_are_read_or_refused_and_never_panic(file in any_kind(), text in "[\\{\\}\\[\\]\"':=@,.|>&#a-z0-9 \n\t\u{feff}é]{0,60}") {
        let _ = write_version(&file, text.as_bytes(), "1.2.3");
    }

    #[test]
    fn what_is_written_is_read_and_nothing_else_changes(before in "[ -!#-~\n]{0,40}", version in "[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9]{1,3}") {
        let comment = before.replace('\n', "\n# ");
        let text = format!("# {comment}\n[package]\nversion = \"0.0.1\"\n");
        let written = write_version(&toml("package.version"), text.as_bytes(), &version).unwrap();
        prop_assert_eq!(read_version(&toml("package.version"), &written).unwrap(), version.clone());
        prop_assert_eq!(String::from_utf8(written).unwrap(), text.replace("\"0.0.1\"", &format!("\"{version}\"")));
    }
}
