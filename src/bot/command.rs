//! `/deploy …`: what people can type. One table makes the parser's suggestions and the help, so neither lacks a word of the other.

use std::time::Duration;

use crate::deploy::begin::Wish;
use crate::deploy::text::typed as complaint;
use crate::deploy::version::Bump;

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

const START: &str =
    "[project] [patch|minor|major|X.Y.Z] [--only #1,#2] [--exclude #3] [--dry-run] [--override <reason>]";

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
        "<reason> [for 2h|30 minutes|1d]",
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
    Start(Named),
    /// Look only.
    Plan(Named),
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

/// A wish, and the project that it names: whoever has several channels open says which one is meant.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Named {
    /// As typed; `None`: the channel's.
    pub project: Option<String>,
    /// What is to be shipped.
    pub wish: Wish,
}

/// Whether the first word of what was typed is one that the help lists; what follows it may make no sense.
pub fn begins_with_a_word(text: &str) -> bool {
    let first = text.split_whitespace().next().map(str::to_lowercase);
    first.is_some_and(|first| WORDS.iter().any(|known| known.word == first))
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
        Some(extra) => Err(complaint::nothing_after(first, extra)),
    };
    match first.to_lowercase().as_str() {
        "start" => named(&rest).map(|(named, dry_run)| match dry_run {
            true => Command::Plan(named),
            false => Command::Start(named),
        }),
        "plan" => named(&rest).map(|(named, _)| Command::Plan(named)),
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
            [other, ..] => Err(complaint::only_cancel(other)),
        },
        "history" => alone(Command::History),
        "show" => match rest.as_slice() {
            [id] => Ok(Command::Show { id: (*id).to_owned() }),
            _ => Err(complaint::no_id()),
        },
        "whoami" => alone(Command::Whoami),
        "help" => Ok(Command::Help),
        unknown => Err(unknown_word(unknown)),
    }
}

fn unknown_word(typed: &str) -> String {
    let distance = |known: &&Word| strsim::damerau_levenshtein(typed, known.word);
    let near = WORDS.iter().min_by_key(distance).filter(|near| distance(near) <= 2);
    // What people call it elsewhere is nearer than what is spelled alike.
    let near = match typed {
        "stop" | "cancel" | "rollback" | "undo" => Some("abort"),
        "release" | "ship" | "go" => Some("start"),
        _ => near.map(|near| near.word),
    };
    complaint::unknown(typed, near)
}

/// A time has at most so many words: `2 hours 30 minutes`.
const LONGEST_TIME: usize = 4;
/// What people mean by a time, in whatever words they count it.
const UNITS: [&str; 10] = [
    "minute", "minutes", "min", "mins", "hour", "hours", "day", "days", "week", "weeks",
];
/// What stands after `until` where a time is meant.
const MOMENTS: [&str; 13] = [
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
    "today",
    "tonight",
    "tomorrow",
    "noon",
    "midnight",
    "eod",
];

/// A lock needs a reason, because whoever is refused reads it. A time that isn't understood is never a part of the reason: the lock would
/// hold for ever, and whoever set it would not look at it again.
fn lock(words: &[&str]) -> Result<Command, String> {
    let (reason, lasting) = match (leading_time(words), trailing_time(words)?) {
        (Some((time, reason)), None) => (reason, Some(time)),
        (_, Some((reason, time))) => (reason, Some(time)),
        (None, None) => (words, None),
    };
    if reason.is_empty() {
        return Err(complaint::no_reason());
    }
    let stray = (0..reason.len()).find_map(|from| {
        (1..=2).find_map(|count| {
            let words = reason.get(from..from + count)?;
            time(words).map(|_| words.join(" "))
        })
    });
    if let Some(stray) = stray {
        return Err(complaint::stray_time(&stray));
    }
    let is_until = |word: &str| matches!(word.to_lowercase().as_str(), "until" | "till");
    if let Some(from) = reason.iter().rposition(|word| is_until(word))
        && reason.get(from + 1).is_some_and(|word| is_moment(word))
    {
        return Err(complaint::until(&reason[from + 1..].join(" ")));
    }
    Ok(Command::Lock {
        reason: reason.join(" "),
        lasting,
    })
}

fn is_moment(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_digit()) || MOMENTS.contains(&bare(word).as_str())
}

fn bare(word: &str) -> String {
    word.trim_matches(|c: char| c.is_ascii_punctuation()).to_lowercase()
}

/// These words as a time, if all of them are one.
fn time(words: &[&str]) -> Option<Duration> {
    let typed = words.join(" ").to_lowercase();
    let typed = typed.trim_end_matches([',', '.', ';', ':']);
    let counted = typed.starts_with(|c: char| c.is_ascii_digit());
    let parsed = humantime::parse_duration(typed).ok().filter(|_| counted)?;
    (!parsed.is_zero()).then_some(parsed)
}

/// `2h reason`, `for 2 hours reason`.
fn leading_time<'a, 'b>(words: &'a [&'b str]) -> Option<(Duration, &'a [&'b str])> {
    let words = match words {
        ["for", rest @ ..] => rest,
        words => words,
    };
    let most = LONGEST_TIME.min(words.len());
    let found = (1..=most).rev().find_map(|count| Some((time(&words[..count])?, count)));
    found.map(|(time, count)| (time, &words[count..]))
}

/// `reason for 2 hours`.
fn trailing_time<'a, 'b>(words: &'a [&'b str]) -> Result<Option<(&'a [&'b str], Duration)>, String> {
    let Some(last) = words.iter().rposition(|word| *word == "for") else {
        return Ok(None);
    };
    let (reason, typed) = (&words[..last], &words[last + 1..]);
    if let Some(time) = time(typed) {
        return Ok(Some((reason, time)));
    }
    let digit = typed
        .first()
        .is_some_and(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    let unit = typed.last().is_some_and(|word| UNITS.contains(&bare(word).as_str()));
    // `for 2h reason`, which stands in front.
    let in_front = last == 0 && leading_time(words).is_some();
    match (digit || unit) && typed.len() <= LONGEST_TIME && !in_front {
        true => Err(complaint::no_time(&typed.join(" "))),
        false => Ok(None),
    }
}

/// A wish after the name of a project, should the first word be one.
fn named(words: &[&str]) -> Result<(Named, bool), String> {
    let is_name = |word: &str| {
        let name = word.to_lowercase();
        name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
            && name.parse::<Bump>().is_err()
    };
    let (project, rest) = match words {
        [first, rest @ ..] if is_name(first) => (Some(first.to_lowercase()), rest),
        words => (None, words),
    };
    let (wish, dry_run) = wish(rest)?;
    Ok((Named { project, wish }, dry_run))
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
                        return Err(complaint::no_override_reason());
                    }
                    reason => wish.override_reason = Some(reason),
                }
            }
            flag if flag.starts_with('-') => return Err(complaint::no_option(flag)),
            bump if wish.bump.is_none() => wish.bump = Some(bump.parse()?),
            extra => return Err(complaint::one_too_many(extra)),
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
        digits.map_err(|_| complaint::no_number(number))
    };
    words.map(number).collect()
}

fn numbers(flag: &str, listed: &str) -> Result<Vec<u64>, String> {
    let numbers = listed_numbers(listed)?;
    match numbers.is_empty() {
        true => Err(complaint::numbers_missing(flag)),
        false => Ok(numbers),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn started(text: &str) -> Wish {
        match parse(text).unwrap() {
            Command::Start(named) => named.wish,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn nothing_is_the_overview_and_an_unknown_word_never_acts() {
        assert_eq!(parse("  "), Ok(Command::Overview));
        assert_eq!(
            parse("strat"),
            Err("I don't know `strat`. Did you mean `start`?".to_owned())
        );
        assert_eq!(parse("rm -rf"), Err("I don't know `rm`".to_owned()));
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
        for nonsense in ["lock", "lock for 2h", "lock 2h", "lock x for 2parsecs", "lock x for 0s"] {
            assert!(parse(nonsense).is_err(), "{nonsense}");
        }
    }

    #[test]
    fn a_lock_whose_time_is_not_understood_does_not_hold_for_ever() {
        let hours = |typed: &str| match parse(typed) {
            Ok(Command::Lock { reason, lasting }) => (reason, lasting.map(|lasting| lasting.as_secs() / 3600)),
            other => panic!("{typed}: {other:?}"),
        };
        for typed in [
            "lock x for 2 hours",
            "lock x for 2 Hours.",
            "lock x for 120 minutes",
            "lock 2h x",
            "lock 2 hours x",
            "lock for 2h x",
            "lock x for 1h 60m",
        ] {
            assert_eq!(hours(typed), ("x".to_owned(), Some(2)), "{typed}");
        }
        assert_eq!(hours("lock x for 3 days"), ("x".to_owned(), Some(72)));
        for typed in [
            "lock x until 18:00",
            "lock x till Friday",
            "lock x for two hours",
            "lock x for an hour",
            "lock x 2h",
            "lock x 2 hours",
            "lock x for 2h for prod",
        ] {
            assert!(parse(typed).is_err(), "{typed}: {:?}", parse(typed));
        }
        for reason in ["waiting until QA is done", "certificates for prod", "3rd party down"] {
            assert_eq!(hours(&format!("lock {reason}")), (reason.to_owned(), None));
        }
    }

    #[test]
    fn a_project_may_stand_first() {
        let named = |typed: &str| match parse(typed) {
            Ok(Command::Start(named) | Command::Plan(named)) => named,
            other => panic!("{typed}: {other:?}"),
        };
        assert_eq!(named("start web").project.as_deref(), Some("web"));
        assert_eq!(named("plan Web minor").project.as_deref(), Some("web"));
        assert_eq!(named("start web v1.5.0").wish.bump, Some(Bump::To("1.5.0".to_owned())));
        for typed in ["start", "start minor", "start v1.5.0", "start --only #3"] {
            assert_eq!(named(typed).project, None, "{typed}");
        }
        assert!(parse("start minor web").unwrap_err().contains("too many"));
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
                        prop_assert!(wish.wish.override_reason.is_none_or(|reason| !reason.is_empty()));
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
