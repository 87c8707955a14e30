//! What authors are told in the thread about their pull requests: planned, dropped and why, left out, shipped. Each is a message of its own,
//! because an edit mentions nobody, and each is said only if there is somebody to mention.

use std::collections::BTreeSet;

use super::{MENTIONS, Message};
use crate::bot::audience::Audience;
use crate::deploy::text::{self, Fate, Medium};
use crate::deploy::train::{Car, Plan, Reason};
use crate::deploy::view::{CarState, QuestionKind, State, View};
use crate::slack::text::escape;
use crate::slack::{Content, kit};

/// Lines of one message.
const LINES: usize = 60;

pub(super) fn messages(view: &View, audience: &Audience) -> Vec<Message> {
    let plans = plans(view);
    let first = plans.first();
    let planned = first.map(|(_, plan)| planned(view, plan, audience));
    let left_out = first.map(|(_, plan)| left_out(view, plan, audience));
    let dropped = plans.windows(2).map(|pair| {
        let ((_, before), (key, after)) = (&pair[0], &pair[1]);
        dropped(view, before, after, key, audience)
    });
    let mut messages: Vec<Message> = planned.into_iter().chain(left_out).chain(dropped).flatten().collect();
    messages.extend(skipped(view, audience));
    messages.extend(shipped(view, audience));
    messages
}

/// The plans that people were shown, each with its question's key, oldest first.
fn plans(view: &View) -> Vec<(&str, &Plan)> {
    let decided = view.decisions.iter().map(|decision| (&decision.key, &decision.kind));
    let open = view.questions.iter().map(|question| (&question.key, &question.kind));
    let with_plan = decided.chain(open).filter_map(|(key, kind)| match kind {
        QuestionKind::ConfirmPrList { plan } | QuestionKind::Approve { plan, .. } => Some((key.as_str(), &**plan)),
        _ => None,
    });
    with_plan.collect()
}

/// One line: whose, which, and what else there is to say.
struct Line<'a> {
    author: &'a str,
    url: &'a str,
    number: u64,
    title: &'a str,
    note: String,
}

fn line<'a>(car: &'a Car, note: String) -> Line<'a> {
    Line {
        author: &car.author,
        url: &car.url,
        number: car.number,
        title: &car.title,
        note,
    }
}

/// `None` if nobody would be mentioned.
fn message(slot: String, fate: Fate, view: &View, lines: &[Line<'_>], audience: &Audience) -> Option<Message> {
    let mut mentioned = BTreeSet::new();
    let mut rows = vec![text::fate(fate, view)];
    for line in lines.iter().take(LINES) {
        let mention = audience.mention(line.author);
        let mention = mention.filter(|who| mentioned.contains(who) || mentioned.len() < MENTIONS);
        mentioned.extend(mention.clone());
        rows.push(format!(
            "• {} {} · {}{}",
            Medium::Slack.link(line.url, &format!("#{}", line.number)),
            escape(&crate::slack::text::truncate(line.title, 120)),
            mention.unwrap_or_else(|| escape(line.author)),
            line.note
        ));
    }
    if lines.len() > LINES {
        rows.push(text::more(lines.len() - LINES, ""));
    }
    (!mentioned.is_empty()).then(|| Message {
        slot: format!("authors/{slot}"),
        content: Content {
            text: rows.join("\n"),
            blocks: kit::lines(&rows),
        },
    })
}

/// Who rides.
fn planned(view: &View, plan: &Plan, audience: &Audience) -> Option<Message> {
    let lines: Vec<Line<'_>> = plan.cars.iter().map(|car| line(car, String::new())).collect();
    message("planned".to_owned(), Fate::Planned, view, &lines, audience)
}

/// Who would ride but for a reason that their author may not know of.
fn left_out(view: &View, plan: &Plan, audience: &Audience) -> Option<Message> {
    let out = plan.excluded.iter().filter(|out| is_news(&out.reason));
    let out = out.map(|out| Line {
        author: &out.author,
        url: &out.url,
        number: out.number,
        title: &out.title,
        note: format!(" · {}", escape(&out.reason.to_string())),
    });
    let lines: Vec<Line<'_>> = out.collect();
    message("left_out".to_owned(), Fate::LeftOut, view, &lines, audience)
}

/// A draft's author knows that it is one.
fn is_news(reason: &Reason) -> bool {
    !matches!(
        reason,
        Reason::Draft | Reason::NotApproved | Reason::ChangesRequested { .. } | Reason::BlockedLabel { .. }
    )
}

fn dropped(view: &View, before: &Plan, after: &Plan, key: &str, audience: &Audience) -> Option<Message> {
    let gone = before
        .cars
        .iter()
        .filter(|car| after.cars.iter().all(|rides| rides.number != car.number));
    let why = |car: &Car| {
        let out = after.excluded.iter().find(|out| out.number == car.number);
        out.map_or_else(|| Reason::NotOpen.to_string(), |out| out.reason.to_string())
    };
    let lines: Vec<Line<'_>> = gone.map(|car| line(car, format!(" · {}", escape(&why(car))))).collect();
    message(format!("dropped/{key}"), Fate::Dropped, view, &lines, audience)
}

fn skipped(view: &View, audience: &Audience) -> Option<Message> {
    let shipped = view.shipped.as_ref()?;
    let lines: Vec<Line<'_>> = shipped.skipped.iter().map(|car| line(car, String::new())).collect();
    message("skipped".to_owned(), Fate::Skipped, view, &lines, audience)
}

/// Said once the release is there, after its notes and before what is asked about it.
fn shipped(view: &View, audience: &Audience) -> Option<Message> {
    let asked = view.questions.iter().map(|question| &question.kind);
    let mut asked = asked.chain(view.decisions.iter().map(|decision| &decision.kind));
    let after = |kind: &QuestionKind| matches!(kind, QuestionKind::Checklist { .. } | QuestionKind::Issues { .. });
    let released = view.state == State::Completed || asked.any(after);
    let merged = view.cars.iter().filter(|car| car.state == CarState::Merged);
    let lines: Vec<Line<'_>> = merged.map(|car| line(&car.car, String::new())).collect();
    let said = message("shipped".to_owned(), Fate::Shipped, view, &lines, audience);
    said.filter(|_| released)
}
