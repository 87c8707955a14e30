//! Modals: the start dialogue, the list editor and the abort dialogue.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::command::listed_numbers;
use crate::config::{self, Project};
use crate::deploy::begin::Wish;
use crate::deploy::decide::LONGEST_REASON;
use crate::deploy::lock::Obstacle;
use crate::deploy::text::{self, Medium, dialogue as words};
use crate::deploy::train::{Car, Plan, Reason, Selection};
use crate::deploy::version::Bump;
use crate::deploy::view::View;
use crate::slack::kit;
use crate::slack::text::truncate;

/// The list editor's callback id.
pub const EDIT: &str = "edit_list";
/// The abort dialogue's callback id.
pub const ABORT: &str = "abort";
/// The start dialogue's callback id.
pub const START: &str = "start";
/// The start dialogue's field that is always there: what is wrong with the whole is said beside it.
pub const BUMP: &str = "bump";

/// What a modal carries to its submission.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Context {
    /// The deployment.
    pub deployment: String,
    /// The checkpoint.
    #[serde(default)]
    pub key: String,
}

/// Slack's limit for options of one check box group.
const GROUP: usize = 10;
/// Pull requests that the editor offers: Slack's limit of 100 blocks leaves room for more, people's patience doesn't.
const OFFERED: usize = 200;

fn modal(callback: &str, title: &str, submit: &str, context: &Context, blocks: Vec<Value>) -> Value {
    json!({
        "type": "modal",
        "callback_id": callback,
        "private_metadata": json!(context).to_string(),
        "title": { "type": "plain_text", "text": truncate(title, 24) },
        "submit": { "type": "plain_text", "text": truncate(submit, 24) },
        "close": { "type": "plain_text", "text": words::BACK },
        "blocks": blocks.into_iter().take(100).collect::<Vec<_>>(),
    })
}

/// Include, exclude, order: every approved pull request with a box, those on the train ticked.
pub fn edit(context: &Context, plan: &Plan) -> Value {
    let mut rows: Vec<(u64, String, bool)> = plan
        .cars
        .iter()
        .map(|car| (car.number, option_text(car), true))
        .collect();
    let choosable = |reason: &Reason| matches!(reason, Reason::LeftOut | Reason::Conflict { .. } | Reason::HeadMoved);
    for out in plan.excluded.iter().filter(|out| choosable(&out.reason)) {
        rows.push((
            out.number,
            format!("#{} {} ({})", out.number, out.title, out.reason),
            false,
        ));
    }
    let mut blocks = vec![kit::section(words::TICK)];
    for (index, group) in rows.chunks(GROUP).take(OFFERED / GROUP).enumerate() {
        let option = |(number, text, _): &(u64, String, bool)| {
            json!({
                "text": { "type": "plain_text", "text": truncate(&Medium::Plain.quote(text), 75) },
                "value": number.to_string(),
            })
        };
        let options: Vec<Value> = group.iter().map(option).collect();
        let ticked: Vec<Value> = group.iter().filter(|row| row.2).map(option).collect();
        let mut element = json!({ "type": "checkboxes", "action_id": format!("include_{index}"), "options": options });
        if !ticked.is_empty() {
            element["initial_options"] = json!(ticked);
        }
        blocks.push(json!({
            "type": "input",
            "optional": true,
            "block_id": format!("include_{index}"),
            "label": { "type": "plain_text", "text": text::on_the_train(index * GROUP, group.len(), rows.len()) },
            "element": element,
        }));
    }
    let order: Vec<String> = plan.cars.iter().map(|car| format!("#{}", car.number)).collect();
    blocks.push(json!({
        "type": "input",
        "optional": true,
        "block_id": "order",
        "label": { "type": "plain_text", "text": words::ORDER.0 },
        "hint": { "type": "plain_text", "text": words::ORDER.1 },
        "element": {
            "type": "plain_text_input",
            "action_id": "order",
            "initial_value": truncate(&order.join(", "), 3000),
        },
    }));
    modal(EDIT, words::EDIT, words::REHEARSE, context, blocks)
}

/// The version's choice in the start dialogue that needs a number beside it.
const EXPLICIT: &str = "explicit";
/// Slack's limit for options of a menu.
const MENU: usize = 100;

fn input(block: &str, label: &str, hint: &str, element: Value) -> Value {
    json!({
        "type": "input",
        "optional": true,
        "block_id": block,
        "label": { "type": "plain_text", "text": label },
        "hint": { "type": "plain_text", "text": hint },
        "element": element,
    })
}

fn typed(action: &str, initial: Option<String>) -> Value {
    let mut element = json!({ "type": "plain_text_input", "action_id": action, "max_length": 500 });
    if let Some(initial) = initial.filter(|initial| !initial.is_empty()) {
        element["initial_value"] = json!(truncate(&initial, 500));
    }
    element
}

/// Version, who rides, and why it may pass what stands in the way. A plan that was made lately gives names to choose from; without one,
/// numbers are typed. The private metadata is the project's name.
pub fn start(project: &Project, wish: &Wish, plan: Option<&Plan>, obstacles: &[Obstacle]) -> Value {
    let mut blocks = Vec::new();
    if let Some(sentence) = text::obstacles(obstacles, Medium::Slack) {
        blocks.push(kit::section(&sentence));
    }
    blocks.extend(version_fields(project, wish));
    blocks.extend(match plan.and_then(|plan| leave_out_menu(plan, &wish.selection)) {
        Some(menu) => vec![menu],
        None => number_fields(&wish.selection),
    });
    if !obstacles.is_empty() {
        let mut reason = input(
            "override",
            words::OVERRIDE.0,
            words::OVERRIDE.1,
            typed("override", wish.override_reason.clone()),
        );
        reason["optional"] = json!(false);
        blocks.push(reason);
    }
    json!({
        "type": "modal",
        "callback_id": START,
        "private_metadata": project.name,
        "title": { "type": "plain_text", "text": truncate(&words::deploy(project), 24) },
        "submit": { "type": "plain_text", "text": words::START },
        "close": { "type": "plain_text", "text": words::BACK },
        "blocks": blocks,
    })
}

fn version_fields(project: &Project, wish: &Wish) -> [Value; 2] {
    let option = |value: &str, label: &str| json!({ "text": { "type": "plain_text", "text": label }, "value": value });
    let mut options = vec![
        option("patch", words::PATCH),
        option("minor", words::MINOR),
        option("major", words::MAJOR),
    ];
    if project.bump == config::Bump::Calendar {
        options.push(option("calendar", words::CALENDAR));
    }
    options.push(option(EXPLICIT, words::EXACTLY));
    let chosen = match wish.bump.clone().unwrap_or(Bump::By(project.bump)) {
        Bump::By(config::Bump::Patch) => "patch",
        Bump::By(config::Bump::Minor) => "minor",
        Bump::By(config::Bump::Major) => "major",
        Bump::By(config::Bump::Calendar) => "calendar",
        Bump::To(_) => EXPLICIT,
    };
    let exactly = match &wish.bump {
        Some(Bump::To(version)) => Some(version.clone()),
        _ => None,
    };
    let initial = options.iter().find(|option| option["value"] == chosen).cloned();
    let mut menu = json!({ "type": "static_select", "action_id": BUMP, "options": options });
    if let Some(initial) = initial {
        menu["initial_option"] = initial;
    }
    [
        json!({
            "type": "input",
            "block_id": BUMP,
            "label": { "type": "plain_text", "text": words::VERSION },
            "element": menu,
        }),
        input(
            "version",
            words::EXACT_VERSION.0,
            words::EXACT_VERSION.1,
            typed("version", exactly),
        ),
    ]
}

/// The last dry run's list, with what is left out ticked; `None` if the selection can't be shown by it.
fn leave_out_menu(plan: &Plan, selection: &Selection) -> Option<Value> {
    let cars = plan.cars.iter().map(|car| (car.number, option_text(car)));
    let out = plan.excluded.iter().filter(|out| out.reason == Reason::LeftOut);
    let out = out.map(|out| (out.number, format!("#{} {} ({})", out.number, out.title, out.author)));
    let rows: Vec<(u64, String)> = cars.chain(out).take(MENU).collect();
    let offered = |number: &u64| rows.iter().any(|(offered, _)| offered == number);
    if rows.is_empty() || !selection.only.is_empty() || !selection.exclude.iter().all(offered) {
        return None;
    }
    let option = |(number, text): &(u64, String)| {
        json!({
            "text": { "type": "plain_text", "text": truncate(&Medium::Plain.quote(text), 75) },
            "value": number.to_string(),
        })
    };
    let left_out = rows.iter().filter(|(number, _)| selection.exclude.contains(number));
    let left_out: Vec<Value> = left_out.map(option).collect();
    let mut menu = json!({
        "type": "multi_static_select",
        "action_id": "leave_out",
        "placeholder": { "type": "plain_text", "text": words::EVERYTHING },
        "options": rows.iter().map(option).collect::<Vec<_>>(),
    });
    if !left_out.is_empty() {
        menu["initial_options"] = json!(left_out);
    }
    Some(input("leave_out", words::LEAVE_OUT, words::FROM_THE_DRY_RUN, menu))
}

fn number_fields(selection: &Selection) -> Vec<Value> {
    let listed = |numbers: &[u64]| {
        let numbers: Vec<String> = numbers.iter().map(|number| format!("#{number}")).collect();
        Some(numbers.join(", "))
    };
    vec![
        input(
            "only",
            words::ONLY.0,
            words::ONLY.1,
            typed("only", listed(&selection.only)),
        ),
        input(
            "leave_out",
            words::LEAVE_OUT,
            words::NUMBERS,
            typed("leave_out", listed(&selection.exclude)),
        ),
    ]
}

/// What the start dialogue was filled in with.
///
/// # Errors
/// A complaint for a block of the modal.
pub fn wished(values: &BTreeMap<String, Vec<String>>) -> Result<Wish, (String, String)> {
    let all = |field: &str| values.get(field).map(Vec::as_slice).unwrap_or_default();
    let text = |field: &str| {
        let text = all(field).first().map(|text| text.trim()).unwrap_or_default();
        (!text.is_empty()).then(|| text.to_owned())
    };
    let at = |block: &str, why: String| (block.to_owned(), crate::slack::text::plain(&why));
    let bump = match (text(BUMP).as_deref(), text("version")) {
        (Some(EXPLICIT), Some(version)) => match version.parse() {
            Ok(Bump::To(version)) => Some(Bump::To(version)),
            Ok(Bump::By(_)) => return Err(at("version", words::no_version(&version))),
            Err(why) => return Err(at("version", format!("{why}."))),
        },
        (Some(EXPLICIT), None) => return Err(at("version", words::TYPE_VERSION.to_owned())),
        (_, Some(_)) => {
            return Err(at("version", words::CHOOSE_EXACTLY.to_owned()));
        }
        (Some(part), None) => Some(part.parse().map_err(|why| at(BUMP, why))?),
        (None, None) => None,
    };
    let numbers = |field: &str| listed_numbers(&all(field).join(",")).map_err(|why| at(field, format!("{why}.")));
    Ok(Wish {
        bump,
        selection: Selection {
            only: numbers("only")?,
            exclude: numbers("leave_out")?,
        },
        override_reason: text("override"),
    })
}

fn option_text(car: &Car) -> String {
    format!("#{} {} ({})", car.number, car.title, car.author)
}

/// The edited list: what is ticked, in the order that was typed.
///
/// # Errors
/// A complaint for a block of the modal.
pub fn edited(values: &BTreeMap<String, Vec<String>>) -> Result<Selection, (String, String)> {
    let ticked: Vec<u64> = values
        .iter()
        .filter(|(action, _)| action.starts_with("include_"))
        .flat_map(|(_, numbers)| numbers.iter().filter_map(|number| number.parse().ok()))
        .collect();
    if ticked.is_empty() {
        return Err(("include_0".to_owned(), words::TICK_ONE.to_owned()));
    }
    let mut only: Vec<u64> = Vec::new();
    let typed = values
        .get("order")
        .and_then(|values| values.first())
        .cloned()
        .unwrap_or_default();
    for word in typed.split([',', ' ', '\n']).filter(|word| !word.is_empty()) {
        let number = word.trim_start_matches('#').parse();
        match number {
            Ok(number) if ticked.contains(&number) && !only.contains(&number) => only.push(number),
            Ok(_) => {}
            Err(_) => {
                let complaint = words::no_number(&truncate(word, 40));
                return Err(("order".to_owned(), complaint));
            }
        }
    }
    let rest: Vec<u64> = ticked.into_iter().filter(|number| !only.contains(number)).collect();
    only.extend(rest);
    Ok(Selection {
        only,
        exclude: Vec::new(),
    })
}

/// What an abort would undo, before it does.
pub fn abort(view: &View) -> Value {
    let mut blocks = kit::lines(&text::undone_by(text::WOULD_UNDO, view, Medium::Slack));
    blocks.push(json!({
        "type": "input",
        "optional": true,
        "block_id": "reason",
        "label": { "type": "plain_text", "text": words::REASON },
        "element": { "type": "plain_text_input", "action_id": "reason", "max_length": LONGEST_REASON },
    }));
    let context = Context {
        deployment: view.id.clone(),
        key: String::new(),
    };
    modal(ABORT, words::ABORT, text::ABORT, &context, blocks)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a modal's submission holds: fields that are ours, with what is typed and chosen there or anything else.
    fn values() -> impl Strategy<Value = BTreeMap<String, Vec<String>>> {
        let field = proptest::sample::select(vec![
            BUMP,
            "version",
            "only",
            "leave_out",
            "override",
            "order",
            "include_0",
            "include_1",
            "another",
        ]);
        let value = prop_oneof![
            "[0-9]{1,3}",
            "#[0-9]{1,3}(, ?#?[0-9]{1,3}){0,3}",
            "(patch|explicit|1.2.3|calendar)",
            any::<String>()
        ];
        let values = proptest::collection::vec(value, 0..4);
        proptest::collection::btree_map(field.prop_map(str::to_owned), values, 0..6)
    }

    proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

        #[test]
        fn whatever_is_submitted_is_a_list_of_what_is_ticked_or_a_complaint(values in values()) {
            let ticked = |number: &u64| {
                let boxes = values.iter().filter(|(action, _)| action.starts_with("include_"));
                boxes.flat_map(|(_, numbers)| numbers).any(|text| text.parse() == Ok(*number))
            };
            match edited(&values) {
                Ok(selection) => prop_assert!(!selection.only.is_empty() && selection.only.iter().all(ticked)),
                Err((block, complaint)) => prop_assert!(["order", "include_0"].contains(&&*block) && !complaint.is_empty()),
            }
        }

        #[test]
        fn whatever_is_wished_is_read_or_has_a_complaint_at_its_field(values in values()) {
            match wished(&values) {
                Ok(wish) => prop_assert!(wish.override_reason.is_none_or(|reason| !reason.trim().is_empty())),
                Err((block, complaint)) => {
                    prop_assert!([BUMP, "version", "only", "leave_out"].contains(&&*block) && !complaint.is_empty());
                }
            }
        }

        #[test]
        fn what_a_modal_carries_comes_back(deployment: String, key: String, other: String) {
            let context = Context { deployment, key };
            prop_assert_eq!(serde_json::from_str::<Context>(&json!(context).to_string()).ok(), Some(context));
            let _ = serde_json::from_str::<Context>(&other);
        }
    }
}
