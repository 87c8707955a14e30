//! Modals: the list editor and the abort dialogue.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::deploy::text::{self, Medium};
use crate::deploy::train::{Car, Plan, Reason, Selection};
use crate::deploy::view::View;
use crate::slack::kit;
use crate::slack::text::{escape, truncate};

/// The list editor's callback id.
pub const EDIT: &str = "edit_list";
/// The abort dialogue's callback id.
pub const ABORT: &str = "abort";

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
        "close": { "type": "plain_text", "text": "Back" },
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
    let mut blocks = vec![kit::section(
        "Tick the pull requests that ride. The list is rehearsed again before you confirm it.",
    )];
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
            "label": { "type": "plain_text", "text": if index == 0 { "On the train" } else { "and" } },
            "element": element,
        }));
    }
    let order: Vec<String> = plan.cars.iter().map(|car| format!("#{}", car.number)).collect();
    blocks.push(json!({
        "type": "input",
        "optional": true,
        "block_id": "order",
        "label": { "type": "plain_text", "text": "Order" },
        "hint": { "type": "plain_text", "text": "Numbers in the order of merging; those you leave out follow." },
        "element": {
            "type": "plain_text_input",
            "action_id": "order",
            "initial_value": truncate(&order.join(", "), 3000),
        },
    }));
    modal(EDIT, "Edit the list", "Rehearse", context, blocks)
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
        return Err((
            "include_0".to_owned(),
            "Tick at least one, or abort the deployment.".to_owned(),
        ));
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
                let complaint = format!("`{}` is no pull request number.", truncate(word, 40));
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
    let mut lines = vec!["This is undone, newest first, and read back from GitHub:".to_owned()];
    let retargeted = view.unmerged();
    if !retargeted.is_empty() {
        let numbers: Vec<String> = retargeted.iter().map(|car| format!("#{}", car.number)).collect();
        lines.push(format!(
            "• {} go back to `{}`",
            text::listed(&numbers, "and"),
            escape(&view.base)
        ));
        lines.push(
            "• reviews that the retarget dismissed are asked for again; the approvals themselves don't come back"
                .to_owned(),
        );
    }
    if let Some(branch) = &view.branch {
        lines.push(format!("• the branch `{}` is deleted", escape(branch)));
    }
    lines.push("• the workspace is deleted".to_owned());
    let mut blocks = kit::lines(&lines);
    blocks.push(json!({
        "type": "input",
        "optional": true,
        "block_id": "reason",
        "label": { "type": "plain_text", "text": "Reason" },
        "element": { "type": "plain_text_input", "action_id": "reason", "max_length": 500 },
    }));
    let context = Context {
        deployment: view.id.clone(),
        key: String::new(),
    };
    modal(ABORT, "Abort and undo", "Abort", &context, blocks)
}
