// Fetches the live part of the page again when the server says that something has changed. Without it the page works, too.
"use strict";

const live = document.getElementById("live");
const said = document.getElementById("said");
const wire = document.getElementById("wire");
let asked = false;
let again = false;
/** Milliseconds that the server's clock is ahead of this one. */
let ahead = 0;

/** What a person has opened and where they are survives the exchange: by id. */
function keep() {
  const open = [...live.querySelectorAll("details[open][id]")].map((one) => one.id);
  const focused = live.contains(document.activeElement) ? path(document.activeElement) : null;
  return { open, focused };
}

function path(element) {
  if (element.id) return `#${CSS.escape(element.id)}`;
  const address = element.getAttribute("formaction") || element.getAttribute("href");
  const name = element.getAttribute("formaction") ? "formaction" : "href";
  if (address) return `[${name}="${CSS.escape(address)}"]`;
  const owner = element.closest("details[id]");
  return owner ? `#${CSS.escape(owner.id)} > ${element.localName}` : null;
}

function restore({ open, focused }) {
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  if (focused) live.querySelector(focused)?.focus({ preventScroll: true });
}

function sentences() {
  return new Map([...live.querySelectorAll("[data-say]")].map((one) => [one.dataset.say, one.textContent]));
}

async function refresh() {
  if (asked) { again = true; return; }
  asked = true;
  try {
    const answer = await fetch(location.href, { headers: { "X-Live-Part": "1" } });
    if (answer.status === 401) { location.reload(); return; }
    if (!answer.ok) return;
    ahead = Date.parse(answer.headers.get("Date")) - Date.now() || 0;
    const text = await answer.text();
    const before = sentences();
    const kept = keep();
    live.innerHTML = text;
    restore(kept);
    const news = [...sentences()].filter(([id, sentence]) => before.get(id) !== sentence);
    if (news.length) said.textContent = news.map(([id, sentence]) => `${id}: ${sentence}`).join(" ");
  } catch {
    // The stream says when the server is back.
  } finally {
    asked = false;
    if (again) { again = false; refresh(); }
  }
}

/** As the server says durations: the two largest units. */
function lasting(seconds) {
  const [d, h, m, s] = [Math.floor(seconds / 86400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60, seconds % 60];
  if (d) return `${d} day${d === 1 ? "" : "s"} ${h} h`;
  if (h) return `${h} h ${m} min`;
  if (m) return m < 10 ? `${m} min ${s} s` : `${m} min`;
  return `${s} s`;
}

function tick() {
  const now = Math.floor((Date.now() + ahead) / 1000);
  for (const one of live.querySelectorAll("[data-since]")) {
    one.textContent = lasting(Math.max(0, now - Number(one.dataset.since)));
  }
}

const events = new EventSource("/events");
events.addEventListener("changed", refresh);
// Whatever happened while the line was down is shown now.
events.addEventListener("open", () => { wire.textContent = "live"; wire.className = "wire up"; refresh(); });
events.addEventListener("error", () => { wire.textContent = "connecting…"; wire.className = "wire"; });
setInterval(tick, 1000);
