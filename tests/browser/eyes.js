// What a person's eyes do on a page; the body of every question of `tab.rs`.
const words = (text) => text.replace(/\s+/g, " ").trim();

/** What is said of it, without what is only for the eye. */
const textOf = (one) => {
  const said = one.cloneNode(true);
  for (const silent of said.querySelectorAll("[aria-hidden=true]")) silent.remove();
  return said.textContent;
};

/** What a person would call it: a name given to it, its label, or its text. */
const nameOf = (one) => words(one.getAttribute("aria-label") || [...(one.labels || [])].map(textOf).join(" ") || textOf(one));

const seen = (text) => words(document.body?.innerText || "").includes(text);

/** The topmost dialogue's, if one is open: nothing else can be reached then. */
const hittable = (label) => {
  const page = [...document.querySelectorAll("dialog:modal")].at(-1) || document;
  const all = [...page.querySelectorAll("button, a, summary, input")];
  const one = all.find((one) => nameOf(one) === label && one.checkVisibility() && !one.disabled && !one.hasAttribute("aria-busy"));
  if (!one) return null;
  one.scrollIntoView({ block: "center", behavior: "instant" });
  const box = one.getBoundingClientRect();
  const at = { x: box.x + box.width / 2, y: box.y + box.height / 2 };
  const hit = document.elementFromPoint(at.x, at.y);
  if (!one.contains(hit) && ![...(one.labels || [])].some((label) => label.contains(hit))) return null;
  window.landed = false;
  // By name: it may be drawn anew between the look and the click.
  const called = (node) => node instanceof Element && [node, node.control].some((part) => part && nameOf(part) === label);
  document.addEventListener("click", (click) => { window.landed = click.composedPath().some(called); }, { capture: true, once: true });
  return at;
};

/** Whether the click went where it was aimed: what comes meanwhile can move it away. On a page that it led to there is nothing to ask. */
const landed = () => window.landed !== false;

/** Asked again at each change, and a focus is none: so it is given, should the click have come before the page was ready for it. */
const focused = (label) => {
  const one = [...document.querySelectorAll("input, textarea")].find((one) => nameOf(one) === label);
  one?.focus();
  return one !== undefined && document.activeElement === one;
};

const written = (text) => document.activeElement?.value === text;

/** As the server says it, not only as the box was left by a click. */
const ticked = (item) => [...document.querySelectorAll("input[type=checkbox][checked]")].some((one) => nameOf(one).includes(item));

/** Resolves with the first thing that a look finds: now or after any change of the document. */
const whenever = (look) => new Promise((resolve) => {
  const again = () => {
    const found = look();
    if (!found) return;
    observer.disconnect();
    document.removeEventListener("input", again);
    resolve(found);
  };
  const observer = new MutationObserver(again);
  document.addEventListener("input", again);
  observer.observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
  again();
});
