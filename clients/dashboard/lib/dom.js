// Elements made without markup: all that is shown is set as text or as an attribute, never parsed as HTML.

export const byId = (id) => document.getElementById(id);

/** element("td", { class: "x", hidden: true }, "text", child): false, null and undefined leave an attribute out. */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value != null) made.setAttribute(name, value);
  }
  made.append(...children.flat().filter((child) => child != null && child !== false));
  return made;
}

/** Changes the text only when it differs, so that nobody's selection is lost to a poll. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Puts these children into `parent` in this order, moving only what is elsewhere, so that focus stays. */
export function arrange(parent, children) {
  const kept = new Set(children);
  for (const child of [...parent.children]) if (!kept.has(child)) child.remove();
  children.forEach((child, index) => {
    if (parent.children[index] !== child) parent.insertBefore(child, parent.children[index] ?? null);
  });
}

/** Lets `render` replace what is in `root`, and gives the focus back to the element of the same data-key. */
export function keepFocus(root, render) {
  const focused = root.contains(document.activeElement) && document.activeElement.dataset.key;
  render();
  if (focused) root.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
}

/** The text with places where a long name may be broken. */
export function breakable(text) {
  return text.split(/(?<=[/._])/).flatMap((piece, index) => (index ? [document.createElement("wbr"), piece] : [piece]));
}

/** A table that scrolls inside its own box, which the keyboard can reach. Where it is too wide, a note says so. */
export function scrollable(label, table) {
  const cue = element("p", { class: "cue", "aria-hidden": "true", hidden: true }, "Scroll sideways to see all columns →");
  const box = element("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": label }, cue, table);
  const sizes = new ResizeObserver(() => (cue.hidden = table.offsetWidth <= box.clientWidth));
  sizes.observe(box);
  sizes.observe(table);
  return box;
}

const live = byId("announce");

/** Lets a screen reader say `text`. */
const announce = (text) => setText(live, text);

const statuses = new Map();

/** Announces each audit whose status has changed since the last call; progress is not announced. */
export function announceChanges(audits) {
  for (const audit of audits) {
    const before = statuses.get(audit.id);
    statuses.set(audit.id, audit.status);
    if (before && before !== audit.status) announce(`${audit.request.model}: ${audit.status}`);
  }
}
