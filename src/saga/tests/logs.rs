//! What the log says of a saga can be put together by a machine: each line names the deployment, and the step and attempt it is about.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, Once};

use serde_json::Value;

use crate::saga::{Outcome, StepError};

use super::toy::{End, Fault, Stage};

/// A log in memory.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs the toy with these faults, logging at this level as `--log-format json` does; answers with the lines.
async fn logged(level: &str, faults: Vec<(&str, Fault)>, answer: &'static str) -> (End, Vec<Value>) {
    // While nobody listens, tracing may take a place in the code that another test comes by for one that nobody wants to hear of.
    static LISTENS: Once = Once::new();
    LISTENS.call_once(|| drop(tracing::subscriber::set_global_default(tracing_subscriber::registry())));
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(level)
        .with_writer(move || writer.clone())
        .json()
        .finish();
    // The runtime of this test has one thread, so all that the engine spawns logs here and nothing else does.
    let _here = tracing::subscriber::set_default(subscriber);
    let stage = Stage::new();
    for (key, fault) in faults {
        stage.outside.fault(key, fault);
    }
    let process = stage.process();
    let people = |open: &crate::saga::history::CheckpointState| if open.key == "approve" { "go" } else { answer };
    let end = process.runs(people).await;
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    (
        end,
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect(),
    )
}

fn find<'a>(lines: &'a [Value], message: &str) -> Vec<&'a Value> {
    lines
        .iter()
        .filter(|line| line["fields"]["message"] == message)
        .collect()
}

#[tokio::test]
async fn each_line_names_deployment_step_and_attempt() {
    let faults = vec![
        ("merge/1", Fault::Before(StepError::transient("502"))),
        ("merge/1", Fault::After(StepError::transient("503"))),
    ];
    let (end, lines) = logged("info", faults, "retry").await;
    assert_eq!(end, End::Finished(Outcome::Completed));
    let failed = find(&lines, "step failed");
    let attempts: Vec<_> = failed.iter().map(|line| line["span"]["attempt"].as_u64()).collect();
    assert_eq!(attempts, [Some(1), Some(2)]);
    for line in &failed {
        assert_eq!(
            (&line["span"]["deployment"], &line["span"]["step"]),
            (&"web-1".into(), &"merge/1".into()),
            "{line}"
        );
    }
    assert_eq!(find(&lines, "finished").len(), 1);
    for line in &lines {
        assert_eq!(line["span"]["deployment"], "web-1", "{line}");
    }
}

#[tokio::test]
async fn a_quiet_log_names_them_as_well() {
    let faults = vec![("push_branch", Fault::Before(StepError::transient("502")))];
    let (_, lines) = logged("warn", faults, "retry").await;
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(lines[0]["span"]["step"], "push_branch");
}

#[tokio::test]
async fn taking_back_is_named_too() {
    let faults = vec![
        ("merge/1", Fault::Before(StepError::permanent("no"))),
        ("undo/push_branch", Fault::Before(StepError::transient("502"))),
    ];
    let (end, lines) = logged("warn", faults, "retry").await;
    assert_eq!(end, End::Finished(Outcome::Undone));
    let again = find(&lines, "taking back failed; trying again");
    assert_eq!(again.len(), 1, "{lines:?}");
    let span = &again[0]["span"];
    assert_eq!((&span["step"], &span["attempt"]), (&"push_branch".into(), &1.into()));
}
