//! Prometheus' text format, read strictly enough to find what `promtool check metrics` would complain of.

use std::collections::BTreeMap;

use regex::Regex;

/// Each sample belongs to a family that was typed and explained before, values are numbers, counters end in `_total`, and times are seconds.
pub fn lint(text: &str) {
    let sample = Regex::new(r#"^([a-z_:][a-z0-9_:]*)(\{([a-z_]+="[^"\n]*",?)*\})? (\S+)$"#).unwrap();
    let (mut helps, mut types) = (BTreeMap::new(), BTreeMap::new());
    for line in text.lines().filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match words.as_slice() {
            ["#", "HELP", name, help] => assert_eq!(helps.insert(*name, *help), None, "{name} is explained twice"),
            ["#", "TYPE", name, kind] => {
                assert_eq!(types.insert(*name, *kind), None, "{name} is typed twice");
                assert!(helps.contains_key(name), "{name} has no help");
                assert_eq!(*kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
                assert!(*kind != "histogram" || name.ends_with("_seconds"), "{name} has no unit");
                assert_ne!(*kind, "summary", "{name} has no buckets");
            }
            _ => {
                let read = sample.captures(line).unwrap_or_else(|| panic!("not a sample: {line}"));
                assert!(read[4].parse::<f64>().is_ok(), "not a number: {line}");
                let name = &read[1];
                let parts = ["_bucket", "_sum", "_count"];
                let family = parts.iter().find_map(|part| name.strip_suffix(part)).unwrap_or(name);
                assert!(
                    types.contains_key(name) || types.contains_key(family),
                    "{name} has no type"
                );
            }
        }
    }
    assert!(types.len() > 10, "{types:?}");
}
