//! `/deploy …`: what people can type. One table makes the parser's suggestions and the help, so neither lacks a word of the other.

use std::time::Duration;

use crate::deploy::begin::Wish;

/// A word, what may follow it, and what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word {
    /// As typed.
    pub word: &'static str,
    /// What may follow.
    pub arguments: &'static str,
    /// In a few words.
    pub help: &'static str,
}

const fn word(word: &'static str, arguments: &'static str, help: &'static str) -> Word {
    Word { word, arguments, help }
}

const START: &str = "[patch|minor|major|X.Y.Z] [--only #1,#2] [--exclude #3] [--dry-run] [--override <reason>]";

/// Every word, in the order of the help.
pub const WORDS: [Word; 15] = [
    word(
        "start",
        START,
        "ship the approved pull requests; you confirm the list first",
    ),
    word(
        "plan",
        "[as start]",
        "what would ship, rehearsal included; touches nothing",
    ),
    word("status", "", "what runs now and what it waits for"),
    word(
        "abort",
        "[reason]",
        "undo everything; only before the point of no return",
    ),
    word("retry", "", "try again what failed"),
    word("nudge", "", "mention again whom it waits for"),
    word("notes", "", "the release notes, as they are or will be"),
    word(
        "lock",
        "<reason> [for 2h|30m|1d]",
        "let nobody start until it is lifted or its time is over",
    ),
    word("unlock", "", "lift the lock"),
    word("queue", "[cancel]", "who starts next; cancel takes yours out"),
    word("history", "", "the latest deployments"),
    word("show", "<id>", "one deployment"),
    word("stats", "", "how often, how fast and how safely this project ships"),
    word("whoami", "", "who you are to Shipmate and what you may do here"),
    word("help", "", "this"),
];

/// A command, understood.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Nothing typed: what runs, or how to start.
    Overview,
    /// Ship.
    Start(Wish),
    /// Look only.
    Plan(Wish),
    /// What runs.
    Status,
    /// Undo.
    Abort {
        /// In their words.
        reason: Option<String>,
    },
    /// Try again.
    Retry,
    /// The project's numbers.
    Stats,
    /// Mention again whom it waits for.
    Nudge,
    /// The release notes.
    Notes,
    /// Let nobody start.
    Lock {
        /// In their words.
        reason: String,
        /// `None`: until somebody unlocks.
        lasting: Option<Duration>,
    },
    /// Lift the lock.
    Unlock,
    /// Who starts next.
    Queue,
    /// Out of the queue.
    QueueCancel,
    /// The latest.
    History,
    /// One.
    Show {
        /// Its id.
        id: String,
    },
    /// Permissions.
    Whoami,
    /// All words.
    Help,
}

/// Reads what was typed.
///
/// # Errors
/// One sentence; nothing that isn't understood ever acts.
pub fn parse(text: &str) -> Result<Command, String> {
    let mut words = text.split_whitespace();
    let Some(first) = words.next() else {
        return Ok(Command::Overview);
    };
    let rest: Vec<&str> = words.collect();
    let alone = |command: Command| match rest.first() {
        None => Ok(command),
        Some(extra) => Err(format!("`{first}` takes nothing after it, and `{extra}` followed")),
    };
    match first.to_lowercase().as_str() {
        "start" => wish(&rest).map(|(wish, dry_run)| match dry_run {
            true => Command::Plan(wish),
            false => Command::Start(wish),
        }),
        "plan" => wish(&rest).map(|(wish, _)| Command::Plan(wish)),
        "status" => alone(Command::Status),
        "abort" => {
            let reason = rest.join(" ");
            Ok(Command::Abort {
                reason: (!reason.is_empty()).then_some(reason),
            })
        }
        "retry" => alone(Command::Retry),
        "stats" => alone(Command::Stats),
        "nudge" => alone(Command::Nudge),
        "notes" => alone(Command::Notes),
        "lock" => lock(&rest),
        "unlock" => alone(Command::Unlock),
        "queue" => match rest.as_slice() {
            [] => Ok(Command::Queue),
            ["cancel"] => Ok(Command::QueueCancel),
            [other, ..] => Err(format!("`queue` takes `cancel` or nothing, and `{other}` followed")),
        },
        "history" => alone(Command::History),
        "show" => match rest.as_slice() {
            [id] => Ok(Command::Show { id: (*id).to_owned() }),
            _ => Err("`show` needs one deployment's id, as `history` lists it".to_owned()),
        },
        "whoami" => alone(Command::Whoami),
        "help" => Ok(Command::Help),
        unknown => Err(unknown_word(unknown)),
    }
}

fn unknown_word(typed: &str) -> String {
    let distance = |known: &Word| strsim::damerau_levenshtein(typed, known.word);
    match WORDS.iter().min_by_key(|known| distance(known)) {
        Some(near) if distance(near) <= 2 => format!("there is no `{typed}`; did you mean `{}`?", near.word),
        _ => format!("there is no `{typed}`"),
    }
}

/// A lock needs a reason, because whoever is refused reads it.
fn lock(words: &[&str]) -> Result<Command, String> {
    let (words, lasting) = match words {
        [reason @ .., "for", time] if time.starts_with(|c: char| c.is_ascii_digit()) => {
            let lasting = humantime::parse_duration(time)
                .ok()
                .filter(|lasting| !lasting.is_zero());
            let lasting = lasting.ok_or_else(|| format!("`{time}` is no time such as `30m`, `2h` or `1d`"))?;
            (reason, Some(lasting))
        }
        words => (words, None),
    };
    match words {
        [] => Err("`lock` needs a reason, as in `lock database migration for 2h`".to_owned()),
        words => Ok(Command::Lock {
            reason: words.join(" "),
            lasting,
        }),
    }
}

fn wish(words: &[&str]) -> Result<(Wish, bool), String> {
    let mut wish = Wish::default();
    let mut dry_run = false;
    let mut words = words.iter().peekable();
    while let Some(word) = words.next() {
        let (flag, inline) = match word.split_once('=') {
            Some((flag, value)) if flag.starts_with("--") => (flag, Some(value)),
            _ => (*word, None),
        };
        match flag {
            "--dry-run" => dry_run = true,
            "--only" | "--exclude" => {
                let mut listed = inline.map(str::to_owned).unwrap_or_default();
                while let Some(number) = words.next_if(|word| is_list(word)) {
                    listed.push(',');
                    listed += number;
                }
                let numbers = numbers(flag, &listed)?;
                match flag {
                    "--only" => wish.selection.only.extend(numbers),
                    _ => wish.selection.exclude.extend(numbers),
                }
            }
            "--override" => {
                let mut reason: Vec<&str> = inline.into_iter().collect();
                while let Some(word) = words.next_if(|word| !word.starts_with("--")) {
                    reason.push(word);
                }
                match reason.join(" ") {
                    reason if reason.is_empty() => {
                        return Err("`--override` needs a reason, as in `--override hotfix for the login`".to_owned());
                    }
                    reason => wish.override_reason = Some(reason),
                }
            }
            flag if flag.starts_with('-') => return Err(format!("there is no option `{flag}`")),
            bump if wish.bump.is_none() => wish.bump = Some(bump.parse()?),
            extra => return Err(format!("`{extra}` is one word too many")),
        }
    }
    Ok((wish, dry_run))
}

fn is_list(word: &str) -> bool {
    word.starts_with(|c: char| c == '#' || c == ',' || c.is_ascii_digit()) && !word.contains('.')
}

/// Pull request numbers as people list them: `#12, 15`.
///
/// # Errors
/// The word that isn't one.
pub fn listed_numbers(listed: &str) -> Result<Vec<u64>, String> {
    let words = listed.split([',', ' ', '\n']).filter(|number| !number.is_empty());
    let number = |number: &str| {
        let digits = number.trim_start_matches('#').parse();
        digits.map_err(|_| format!("`{number}` is no pull request number"))
    };
    words.map(number).collect()
}

fn numbers(flag: &str, listed: &str) -> Result<Vec<u64>, String> {
    let numbers = listed_numbers(listed)?;
    match numbers.is_empty() {
        true => Err(format!("`{flag}` needs pull request numbers, as in `{flag} #12,#15`")),
        false => Ok(numbers),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::deploy::version::Bump;

    fn started(text: &str) -> Wish {
        match parse(text).unwrap() {
            Command::Start(wish) => wish,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn nothing_is_the_overview_and_an_unknown_word_never_acts() {
        assert_eq!(parse("  "), Ok(Command::Overview));
        assert_eq!(
            parse("strat"),
            Err("there is no `strat`; did you mean `start`?".to_owned())
        );
        assert_eq!(parse("rm -rf"), Err("there is no `rm`".to_owned()));
    }

    #[test]
    fn lists_of_numbers_are_read_in_any_spelling() {
        for text in [
            "start --only #12,#15",
            "start --only 12, 15",
            "start --only=#12,15",
            "START --only #12 #15",
        ] {
            assert_eq!(started(text).selection.only, [12, 15], "{text}");
        }
        assert_eq!(started("start minor --exclude #3").selection.exclude, [3]);
        assert_eq!(
            started("start --exclude #3 minor").bump,
            Some(Bump::By(crate::config::Bump::Minor))
        );
    }

    #[test]
    fn nonsense_is_named() {
        assert!(
            parse("start --only")
                .unwrap_err()
                .contains("needs pull request numbers")
        );
        assert!(parse("start --force").unwrap_err().contains("--force"));
        assert!(parse("start patch minor").unwrap_err().contains("too many"));
        assert!(parse("start --only #x").is_err());
        assert!(parse("status now").is_err());
        assert!(parse("show").is_err());
    }

    #[test]
    fn a_lock_has_a_reason_and_perhaps_a_time() {
        let lock = |reason: &str, seconds: Option<u64>| {
            Ok(Command::Lock {
                reason: reason.to_owned(),
                lasting: seconds.map(Duration::from_secs),
            })
        };
        assert_eq!(
            parse("lock database migration for 2h"),
            lock("database migration", Some(7200))
        );
        assert_eq!(parse("lock waiting for QA"), lock("waiting for QA", None));
        assert_eq!(parse("lock cert for 1d"), lock("cert", Some(86_400)));
        for nonsense in ["lock", "lock for 2h", "lock x for 2parsecs", "lock x for 0s"] {
            assert!(parse(nonsense).is_err(), "{nonsense}");
        }
    }

    #[test]
    fn an_override_has_a_reason_of_any_length() {
        let wish = started("start minor --override hotfix for the login --exclude #3");
        assert_eq!(wish.override_reason.as_deref(), Some("hotfix for the login"));
        assert_eq!(wish.selection.exclude, [3]);
        assert!(parse("start --override").is_err());
        assert!(parse("start --override --only #3").is_err());
    }

    #[test]
    fn a_dry_run_is_a_plan() {
        assert!(matches!(parse("start --dry-run"), Ok(Command::Plan(_))));
    }

    #[test]
    fn every_word_of_the_help_is_understood() {
        for word in WORDS {
            let argument = match word.word {
                "show" => "web-1",
                "lock" => "database migration",
                _ => "",
            };
            assert!(parse(&format!("{} {argument}", word.word)).is_ok(), "{}", word.word);
        }
    }

    /// Words that mean something, and words that nearly do.
    fn soup() -> impl Strategy<Value = String> {
        const SOUP: &str = "start|START|plan|lock|show|queue|cancel|abort|patch|9.9.9|--only|--only=|--exclude=#3|--override|--dry-run|--|=|#1,#2|\
            ,|#|18446744073709551616|for|2h|0s|99999999999999y|1e9d|\u{fe0f}|é";
        let word = proptest::sample::select(SOUP.split('|').collect::<Vec<_>>());
        proptest::collection::vec(word, 0..8).prop_map(|words| words.join(" "))
    }

    proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

        #[test]
        fn whatever_is_typed_acts_only_by_a_word_of_the_help(text in prop_oneof![any::<String>(), soup()]) {
            let first = text.split_whitespace().next().map(str::to_lowercase);
            match (parse(&text), first) {
                (Ok(Command::Overview), first) => prop_assert_eq!(first, None),
                (Ok(command), Some(first)) => {
                    prop_assert!(WORDS.iter().any(|known| known.word == first), "{:?}", command);
                    if let Command::Start(wish) | Command::Plan(wish) = command {
                        prop_assert!(wish.override_reason.is_none_or(|reason| !reason.is_empty()));
                    }
                }
                (Ok(command), None) => prop_assert!(false, "{:?}", command),
                (Err(sentence), _) => prop_assert!(!sentence.is_empty()),
            }
        }

        #[test]
        fn listed_numbers_are_those_that_stand_there(numbers in proptest::collection::vec(any::<u64>(), 0..8)) {
            let spelled: Vec<String> = numbers.iter().map(|number| format!("#{number}")).collect();
            prop_assert_eq!(listed_numbers(&spelled.join(", ")), Ok(numbers));
        }
    }
}
