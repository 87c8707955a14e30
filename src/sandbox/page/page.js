// Draws what the doubles say and passes on what people do. Nothing that anybody wrote is ever read as HTML: all of it goes through text nodes.
"use strict";

const $ = (id) => document.getElementById(id);
const COLOURS = { U0ANA: "#c2410c", U0BEN: "#0f766e", U0CHLOE: "#7c3aed", U0DAN: "#1d4ed8", U0EVE: "#be185d" };
const COMMANDS = [
  ["start", "ship the approved pull requests"], ["plan", "what would ship; touches nothing"], ["status", "what runs and what it waits for"],
  ["abort", "undo everything, before the point of no return"], ["retry", "try again what failed"], ["history", "the latest deployments"],
  ["whoami", "what you may do here"], ["help", "all commands"],
];
let me = "U0ANA", state = null, thread = null, followed = false, place = "channel", drawn = {};

// ---- building elements

function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "class") element.className = value;
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const personName = (id) => (state?.people.find((person) => person.id === id) || { name: id }).name;

function time(seconds) {
  const at = new Date(seconds * 1000), today = new Date().toDateString() === at.toDateString();
  const clock = at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  const year = at.getFullYear() === new Date().getFullYear() ? undefined : "numeric";
  return today ? clock : `${at.toLocaleDateString([], { day: "numeric", month: "short", year })} ${clock}`;
}

// ---- mrkdwn

const unescape = (text) => text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");

function angle(inner) {
  const [target, label] = inner.split("|");
  if (target.startsWith("!date^")) return h("time", {}, time(Number(target.split("^")[1])));
  if (target.startsWith("@")) return h("span", { class: "mention" }, `@${personName(target.slice(1))}`);
  if (target.startsWith("!subteam^")) return h("span", { class: "mention" }, "@deployers");
  if (target.startsWith("#")) return h("span", { class: "mention" }, "#deploys");
  if (/^https?:/.test(target)) return h("a", { href: unescape(target), target: "_blank", rel: "noreferrer" }, unescape(label || target));
  return document.createTextNode(unescape(label || target));
}

const MARK = /<([^>]+)>|`([^`\n]+)`|(^|[\s(>•])([*_~])(?=\S)([^\n]*?\S)\4(?=$|[\s.,:;!?)·→])/m;

function inline(text) {
  const found = MARK.exec(text);
  if (!found) return text ? [document.createTextNode(unescape(text))] : [];
  const before = inline(text.slice(0, found.index)), after = () => inline(text.slice(found.index + found[0].length));
  if (found[1]) return [...before, angle(found[1]), ...after()];
  if (found[2]) return [...before, h("code", {}, unescape(found[2])), ...after()];
  const tag = { "*": "strong", _: "em", "~": "s" }[found[4]];
  return [...before, found[3], h(tag, {}, inline(found[5])), ...after()];
}

function mrkdwn(text) {
  return text.split("\n").flatMap((line, index) => {
    const nodes = line.startsWith("&gt; ") ? [h("blockquote", {}, inline(line.slice(5)))] : inline(line);
    return index === 0 ? nodes : [h("br"), ...nodes];
  });
}

/** One line without markup. */
const plain = (text) => h("p", {}, mrkdwn(text.replaceAll("\n", " "))).textContent;

const textOf = (object) => (object?.type === "mrkdwn" ? mrkdwn(object.text) : [object?.text ?? ""]);

// ---- blocks

function drawBlock(block, message) {
  switch (block.type) {
    case "header": return h("h3", {}, block.text.text);
    case "section": return block.accessory ? row(block, message)
      : h("div", { class: "section" }, textOf(block.text));
    case "context": return h("div", { class: "context" }, block.elements.flatMap(textOf));
    case "divider": return h("hr");
    case "actions": return h("div", { class: "actions" }, block.elements.map((element) => control(element, message)));
    case "input": return field(block);
    default: return h("div", { class: "context" }, `(${block.type})`);
  }
}

function row(block, message) {
  const text = h("div", {}, textOf(block.text));
  return h("div", { class: "section row" }, text, control(block.accessory, message, text.textContent));
}

/** `about`: what stands beside it; boxes of several rows would sound alike without it. */
function control(element, message, about) {
  if (element.type === "button") {
    if (element.url) return h("a", { class: "button", href: element.url, target: "_blank", rel: "noreferrer" }, element.text.text, " ↗");
    return h("button", { class: `button ${element.style || ""}`, onclick: (event) => press(element, message, event.currentTarget) }, element.text.text);
  }
  if (element.type === "checkboxes") {
    const initial = (element.initial_options || []).map((option) => option.value);
    return h("div", { class: "boxes" }, element.options.map((option) => h("label", {},
      h("input", { type: "checkbox", checked: initial.includes(option.value), "aria-label": about && `${option.text.text}: ${about}`, onchange: (event) => tick(element, option, message, event.currentTarget) }),
      h("span", {}, textOf(option.text)))));
  }
  return h("span", { class: "context" }, `(${element.type})`);
}

async function press(element, message, button) {
  if (element.confirm && !(await sure(element.confirm, element.style))) return;
  button.setAttribute("aria-busy", "true");
  await act({ verb: "use", user: me, ts: message.ts, action_id: element.action_id, ticked: null });
  button.removeAttribute("aria-busy");
}

async function tick(element, option, message, box) {
  if (element.confirm) {
    // What is asked about is shown as it still is.
    box.checked = !box.checked;
    if (!(await sure(element.confirm))) return;
    box.checked = !box.checked;
  }
  await act({ verb: "use", user: me, ts: message.ts, action_id: element.action_id, ticked: box.checked ? [option.value] : [] });
}

function sure(confirm, style) {
  const dialog = $("confirm");
  return new Promise((resolve) => {
    const close = (answer) => { dialog.close(); resolve(answer); };
    dialog.replaceChildren(
      h("h2", { id: "confirm-title" }, confirm.title.text), h("p", {}, textOf(confirm.text)),
      h("footer", {}, h("button", { class: "button", onclick: () => close(false) }, confirm.deny.text),
        h("button", { class: `button ${style || "primary"}`, onclick: () => close(true) }, confirm.confirm.text)));
    dialog.oncancel = () => resolve(false);
    dialog.showModal();
  });
}

// ---- messages

function avatar(id, bot) {
  if (bot) return h("span", { class: "avatar bot", "aria-hidden": "true" }, "⚓");
  const initials = personName(id).split(" ").map((word) => word[0]).join("");
  const face = h("span", { class: "avatar", "aria-hidden": "true" }, initials);
  face.style.setProperty("background", COLOURS[id] || "#475569");
  return face;
}

function drawMessage(message, replies) {
  const body = message.blocks.length ? message.blocks.map((block) => drawBlock(block, message)) : [h("div", { class: "section" }, mrkdwn(message.text))];
  const newest = replies?.at(-1);
  return h("article", { class: message.private ? "message private" : "message", "data-ts": message.ts },
    avatar(message.user, message.bot),
    h("div", { class: "body" },
      message.private && h("p", { class: "only" }, "👁 Only visible to you ",
        h("button", { class: "link", onclick: () => act({ verb: "dismiss", user: me, ts: message.ts }) }, "Dismiss")),
      h("p", { class: "who" }, h("strong", {}, message.bot ? "Shipmate" : personName(message.user)), message.bot && h("span", { class: "app" }, "APP"),
        message.edited && h("small", {}, "(edited)")),
      body,
      replies?.length ? h("button", { class: "replies", onclick: () => openThread(message.ts) },
        h("strong", {}, `${replies.length} ${replies.length === 1 ? "reply" : "replies"}`),
        h("span", {}, newest ? ` Latest: ${plain(newest.text)}` : "")) : null));
}

// Only what changed is drawn anew, so that focus, scrolling and text selection survive.
function fill(container, messages, draw) {
  const key = container.id;
  const old = drawn[key] || (drawn[key] = new Map());
  const atEnd = container.scrollHeight - container.scrollTop - container.clientHeight < 80;
  const seen = new Set();
  let grew = false, previous = null;
  for (const message of messages) {
    const print = JSON.stringify(draw.print(message));
    let entry = old.get(message.ts);
    if (!entry || entry.print !== print) {
      const fresh = draw(message);
      if (entry) entry.node.replaceWith(fresh);
      else { previous ? previous.after(fresh) : container.prepend(fresh); grew = true; }
      entry = { node: fresh, print };
      old.set(message.ts, entry);
    }
    previous = entry.node;
    seen.add(message.ts);
  }
  for (const [ts, entry] of old) if (!seen.has(ts)) { entry.node.remove(); old.delete(ts); }
  if (atEnd || grew) container.scrollTop = container.scrollHeight;
}

function openThread(ts) {
  thread = ts;
  drawn.replies?.clear();
  $("replies").replaceChildren();
  $("thread").hidden = false;
  go("thread");
  draw();
}

// ---- GitHub

const short = (sha) => (sha || "").slice(0, 7);
const MARKS = { success: "✅", failure: "❌", skipped: "⏭", queued: "▫️", in_progress: "🔄", completed: "✅" };
const mark = (row) => MARKS[row.conclusion || row.status] || "▫️";

function pullRow(pull) {
  const reviews = pull.reviews.map((review) => ({ APPROVED: "✓", CHANGES_REQUESTED: "✗", DISMISSED: "⊘" }[review.state] || "·") + review.user);
  const notes = [pull.draft && "draft", ...pull.labels, ...reviews, ...pull.requested.map((login) => `⏳${login}`)].filter(Boolean);
  return h("li", { class: `pull ${pull.state}` },
    h("span", { class: "dot", role: "img", title: pull.state, "aria-label": pull.state }), h("div", {},
      h("strong", {}, `#${pull.number} `), pull.title,
      h("small", {}, `${pull.author} → `, h("code", {}, pull.base), " · ", h("code", {}, short(pull.sha)), notes.length ? ` · ${notes.join(" ")}` : "")));
}

function group(title, rows, empty) {
  if (!rows.length && !empty) return null;
  return h("section", {}, h("h2", {}, title), rows.length ? h("ul", {}, rows) : h("p", { class: "context" }, empty));
}

function drawHub(hub, ledger) {
  const open = hub.pull_requests.filter((pull) => pull.state === "open"), shut = hub.pull_requests.filter((pull) => pull.state !== "open");
  const deploy = hub.pull_requests.filter((pull) => pull.head.startsWith("deploy-")).at(-1);
  const checks = (deploy && hub.checks[deploy.sha]) || [];
  const bases = [...new Set(open.map((pull) => pull.base))].sort((a, b) => Number(b.startsWith("deploy-")) - Number(a.startsWith("deploy-")));
  $("repo").textContent = hub.repo;
  $("hub").replaceChildren(...[
    ...bases.map((base) => group(`Open into ${base}`, open.filter((pull) => pull.base === base).map(pullRow))),
    group(deploy ? `Checks of #${deploy.number}` : "Checks", checks.map((check) => h("li", {}, `${mark(check)} ${check.name} `, h("small", {}, check.conclusion || check.status)))),
    checks.some((check) => check.conclusion === "failure") ? h("button", { class: "button", onclick: () => act({ verb: "rerun_checks" }) }, "Re-run failed checks") : null,
    group("Actions", hub.runs.map((run) => h("li", {}, `${mark(run)} Deploy `, h("small", {}, `attempt ${run.attempt} · ${run.conclusion || run.status}`),
      h("ul", {}, run.jobs.map((job) => h("li", {}, `${mark(job)} ${job.name}`)))))),
    hub.runs.some((run) => run.conclusion === "failure") ? h("button", { class: "button", onclick: () => act({ verb: "rerun" }) }, "Re-run failed job") : null,
    group("Releases", hub.releases.map((release) => h("li", {}, h("strong", {}, `📦 ${release.tag}`), release.draft ? " (draft)" : "",
      h("pre", {}, release.body.replace(/<!--.*?-->\n?/gs, "").replace(/\[(.*?)\]\(.*?\)/g, "$1"))))),
    group("Merged and closed", shut.map(pullRow)),
    group("Branches", hub.branches.map((branch) => h("li", { class: branch.name.startsWith("deploy-") ? "fresh" : "" }, h("code", {}, branch.name), " ", h("small", {}, short(branch.sha))))),
    group("What Shipmate did here", ledger.map((line) => h("li", { class: "ledger" }, h("code", {}, line))), "Nothing yet."),
  ].filter(Boolean));
}

// ---- modals

function field(block) {
  const element = block.element, id = `f-${element.action_id}`, error = state.view?.errors[block.block_id];
  const label = h("label", { class: "label", for: id }, block.label.text, block.optional && h("small", {}, " (optional)"));
  const chosen = [element.initial_option, ...(element.initial_options || [])].filter(Boolean).map((one) => one.value);
  const body = element.type === "static_select"
    ? h("select", { id, name: element.action_id }, element.options.map((option) => h("option", { value: option.value, selected: chosen.includes(option.value) }, textOf(option.text))))
    : ["checkboxes", "multi_static_select"].includes(element.type)
    ? h("div", { class: "boxes", role: "group", "aria-label": block.label.text }, element.options.map((option) => h("label", {},
      h("input", { type: "checkbox", name: element.action_id, value: option.value, checked: chosen.includes(option.value) }),
      h("span", {}, textOf(option.text)))))
    : h("input", { id, name: element.action_id, value: element.initial_value || "", maxlength: element.max_length });
  return h("div", { class: "field" }, label, body, block.hint && h("p", { class: "context" }, block.hint.text), error && h("p", { class: "error", role: "alert" }, error));
}

function drawModal() {
  const dialog = $("modal"), open = state.view, print = JSON.stringify(open);
  if (!open) { if (dialog.open) dialog.close(); drawn.modal = null; return; }
  if (drawn.modal === print) return;
  drawn.modal = print;
  const view = open.view;
  const form = h("form", { onsubmit: submit },
    h("h2", { id: "modal-title" }, view.title.text), h("div", { class: "fields" }, view.blocks.map((block) => drawBlock(block, null))),
    h("footer", {}, h("button", { type: "button", class: "button", onclick: closeModal }, view.close?.text || "Close"),
      h("button", { type: "submit", class: "button primary" }, view.submit?.text || "Submit")));
  dialog.replaceChildren(form);
  dialog.oncancel = (event) => { event.preventDefault(); closeModal(); };
  if (!dialog.open) dialog.showModal();
}

const closeModal = () => act({ verb: "close", user: me });

async function submit(event) {
  event.preventDefault();
  const values = {};
  for (const input of event.currentTarget.querySelectorAll("input, select")) {
    values[input.name] ??= [];
    if (input.type !== "checkbox") values[input.name].push(input.value);
    else if (input.checked) values[input.name].push(input.value);
  }
  await act({ verb: "submit", user: me, values });
}

// ---- talking to the sandbox

async function act(body) {
  const answer = await fetch("/act", { method: "POST", headers: { "Content-Type": "application/json", "X-Sandbox": "1" }, body: JSON.stringify(body) }).catch(() => null);
  if (answer?.ok) $("banner").hidden = true;
  else {
    $("banner").textContent = answer ? await answer.text() : "The sandbox does not answer. Is it still running?";
    $("banner").hidden = false;
  }
  await refresh();
}

let asking = false, again = false;
async function refresh() {
  if (asking) { again = true; return; }
  asking = true;
  try {
    const answer = await fetch(`/state?as=${encodeURIComponent(me)}`);
    state = await answer.json();
    draw();
  } catch { /* the stream says when it is back */ }
  asking = false;
  if (again) { again = false; await refresh(); }
}

// ---- drawing everything

function drawPeople() {
  $("people").replaceChildren(...state.people.map((person) => h("button", {
    role: "radio", "aria-checked": String(person.id === me), class: "person", onclick: () => { me = person.id; drawn = {}; $("messages").replaceChildren(); $("replies").replaceChildren(); refresh(); },
  }, avatar(person.id), person.name)));
}

function drawHome() {
  const blocks = state.home?.blocks || [];
  $("messages").replaceChildren(h("div", { class: "home" }, blocks.length ? blocks.map((block) => drawBlock(block, null)) : h("p", { class: "context" }, "Loading…")));
  drawn.messages = new Map();
}

function draw() {
  if (!state) return;
  drawPeople();
  const roots = state.messages.filter((message) => !message.thread);
  const replies = (ts) => state.messages.filter((message) => message.thread === ts && !message.private);
  const card = roots.filter((message) => message.bot && replies(message.ts).length).at(-1);
  if (card && (!followed || !roots.some((message) => message.ts === thread))) { followed = true; thread = card.ts; $("thread").hidden = false; drawn.replies = new Map(); $("replies").replaceChildren(); }
  if (place === "home") drawHome();
  else {
    if ($("messages").querySelector(".home")) $("messages").replaceChildren();
    const drawRoot = (message) => drawMessage(message, replies(message.ts));
    drawRoot.print = (message) => [message, replies(message.ts).length, replies(message.ts).at(-1)?.text];
    if (!roots.length) $("messages").replaceChildren(h("div", { class: "welcome" }, h("h3", {}, "# deploys"),
      h("p", {}, "This is a whole release train on your machine: Slack and GitHub are doubles, Shipmate between them is the real one."),
      h("p", {}, "Start it: ", h("button", { class: "button primary", onclick: () => act({ verb: "say", user: me, text: "/deploy start" }) }, "/deploy start"))));
    else { $("messages").querySelector(".welcome")?.remove(); fill($("messages"), roots, drawRoot); }
  }
  const open = state.messages.filter((message) => message.thread === thread && thread);
  const drawReply = (message) => drawMessage(message, null);
  drawReply.print = (message) => message;
  fill($("replies"), open, drawReply);
  drawHub(state.github, state.ledger);
  drawModal();
}

function go(tab) { $("app").dataset.tab = tab; }

function suggest() {
  const typed = $("input").value, box = $("suggest");
  const word = typed.startsWith("/deploy ") ? typed.slice(8) : "";
  const fits = typed.startsWith("/") && "/deploy ".startsWith(typed) ? COMMANDS : COMMANDS.filter(([name]) => word && name.startsWith(word) && name !== word);
  box.hidden = !typed.startsWith("/") || !fits.length;
  box.replaceChildren(...fits.map(([name, what]) => h("button", { type: "button", role: "option", "aria-selected": "false", onclick: () => { $("input").value = `/deploy ${name}`; box.hidden = true; $("input").focus(); } },
    h("code", {}, `/deploy ${name}`), h("span", {}, what))));
}

$("input").addEventListener("input", suggest);
$("composer").addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = $("input").value.trim();
  if (!text) return;
  $("input").value = "";
  $("suggest").hidden = true;
  await act({ verb: "say", user: me, text });
});
$("close-thread").addEventListener("click", () => { $("thread").hidden = true; thread = null; go("channel"); });
function show(where) {
  place = where;
  $("go-channel").toggleAttribute("aria-current", where === "channel");
  $("go-home").toggleAttribute("aria-current", where === "home");
  go("channel");
}
$("go-channel").addEventListener("click", () => { show("channel"); draw(); });
$("go-home").addEventListener("click", async () => { show("home"); await act({ verb: "home", user: me }); });
for (const tab of $("tabs").querySelectorAll("button")) tab.addEventListener("click", () => { if (tab.dataset.go === "thread" && thread) $("thread").hidden = false; go(tab.dataset.go); });

const stream = new EventSource("/stream");
stream.addEventListener("message", refresh);
stream.addEventListener("open", () => { $("banner").hidden = true; refresh(); });
stream.addEventListener("error", () => { $("banner").textContent = "The sandbox does not answer; trying again…"; $("banner").hidden = false; });
refresh();
