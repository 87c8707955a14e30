//! Everything that people read of a deployment, event by event: the journals of real runs, told as Slack tells them and as a terminal does.

use chrono::{DateTime, Utc};
use shipmate::bot::audience::Audience;
use shipmate::bot::cards;
use shipmate::deploy::text::{self, Medium};
use shipmate::deploy::view::View;
use shipmate::saga::{History, Record};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/deploy/journals/v1");

/// Each sentence once, in the order in which people come to read it.
fn told(name: &str, tell: impl Fn(&View, DateTime<Utc>) -> Vec<String>) -> String {
    let journal = std::fs::read_to_string(format!("{FOLDER}/{name}.jsonl")).unwrap();
    let mut history = History::default();
    let mut sentences: Vec<String> = Vec::new();
    for line in journal.lines() {
        let record: Record = serde_json::from_str(line).unwrap();
        let now = record.at;
        history = history.with(record);
        for sentence in tell(&View::of("web-1", &history), now) {
            if !sentences.contains(&sentence) {
                sentences.push(sentence);
            }
        }
    }
    sentences.join("\n")
}

#[test]
fn every_message_of_real_runs_reads_so_in_slack() {
    for name in ["at_the_checklist", "on_the_way_back"] {
        let said = told(name, |view, now| {
            let messages = cards::messages(view, now, &Audience::default());
            let line = |message: &cards::Message| format!("[{}] {}", message.slot, message.content.text);
            messages.iter().map(line).collect()
        });
        insta::assert_snapshot!(format!("slack_{name}"), said);
    }
}

#[test]
fn the_one_sentence_of_real_runs_reads_so_in_a_terminal() {
    for name in ["at_the_checklist", "on_the_way_back"] {
        let said = told(name, |view, now| vec![text::now(view, now, Medium::Plain)]);
        insta::assert_snapshot!(format!("terminal_{name}"), said);
    }
}
