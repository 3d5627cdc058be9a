// The words beside numbers: each is a link to where the method explains it, and tells its meaning on the spot.

import { fresh } from "./api.js";
import { element } from "./dom.js";

const HIDE_MS = 250; // time to move the pointer from a word to its explanation
const GAP_PX = 6;

const tip = element("div", { id: "term-tip", class: "tip", role: "tooltip", popover: "manual" });
document.body.append(tip);
let shownFor = null; // the link that the explanation stands beside
let hiding = null;
let pointer = "mouse"; // what the last press was made with

/** A link with the text `label` that explains the term of this name; `mark` is for a "?" beside a word that has its own link. */
export function term(name, label, { mark = false } = {}) {
  return element("a", {
    class: mark ? "term mark" : "term", href: `method#${name}`, "data-term": name, "data-key": `term-${name}`,
    "aria-label": mark ? `What ${label} means` : null,
  }, mark ? "?" : label);
}

/** The names of the terms that tables write in their headers and first columns. */
const NAMES = {
  channel: "channel", layer: "layer", "held out": "layer-held-out", aligned: "aligned", learned: "learned", untrained: "untrained",
  Translation: "translation", Rotation: "rotation", Reflection: "reflection", Part: "part", Blocks: "block", Early: "early", Middle: "middle", Late: "late",
  Pool: "pool", Final: "final", Dead: "dead-channels", interpolation: "interpolation",
  "Warp translation": "warp", "Warp rotation": "warp", "Warp scale": "warp", "Warp shear": "warp", "ρ": "spearman", "95 % interval": "interval",
};

/** The label as a term if it is the label of one, else as it is. */
export const explained = (label) => (NAMES[label] ? term(NAMES[label], label) : label);

const termAt = (event) => (event.target instanceof Element ? event.target.closest("a.term") : null);

/** Shows what the term of a link means. Until the service has answered, and if it does not, the link alone has to do. */
async function show(link) {
  clearTimeout(hiding);
  if (shownFor === link) return;
  shownFor = link;
  let terms;
  try {
    ({ terms } = await fresh("terms"));
  } catch {
    return;
  }
  const meaning = terms[link.dataset.term];
  if (shownFor !== link || !link.isConnected || !meaning) return;
  link.href = `method#${meaning.anchor}`;
  tip.replaceChildren(element("strong", {}, meaning.word), element("p", {}, meaning.meaning), element("a", { href: link.href, tabindex: -1 }, "More on this"));
  tip.showPopover();
  place(link.getBoundingClientRect());
  link.setAttribute("aria-describedby", tip.id);
}

function place({ left, top, bottom }) {
  const { width, height } = tip.getBoundingClientRect();
  const fitsBelow = bottom + GAP_PX + height <= innerHeight;
  const wished = fitsBelow ? bottom + GAP_PX : top - GAP_PX - height;
  tip.style.left = `${Math.max(GAP_PX, Math.min(left, innerWidth - width - GAP_PX))}px`;
  // What loads above the word may have moved it out of sight.
  tip.style.top = `${Math.max(GAP_PX, Math.min(wished, innerHeight - height - GAP_PX))}px`;
}

function hide() {
  clearTimeout(hiding);
  shownFor?.removeAttribute("aria-describedby");
  shownFor = null;
  if (tip.matches(":popover-open")) tip.hidePopover();
}

function hideSoon() {
  clearTimeout(hiding);
  hiding = setTimeout(hide, HIDE_MS);
}

document.addEventListener("pointerover", (event) => {
  if (event.pointerType !== "mouse") return;
  const link = termAt(event);
  if (link) show(link);
  else if (tip.contains(event.target)) clearTimeout(hiding);
  else if (shownFor && shownFor !== document.activeElement) hideSoon();
});
document.addEventListener("focusin", (event) => {
  const link = termAt(event);
  if (link && pointer === "mouse") show(link);
  else if (!link && !tip.contains(event.target)) hide();
});
document.addEventListener("focusout", (event) => termAt(event) && hideSoon());
document.addEventListener("pointerdown", (event) => (pointer = event.pointerType));
document.addEventListener("keydown", (event) => {
  pointer = "mouse"; // the keyboard has a focus to follow, too
  if (event.key === "Escape") hide();
});
// The first tap on a word explains it; the explanation has the link to the rest.
document.addEventListener("click", (event) => {
  const link = termAt(event);
  if (link && pointer === "touch" && !(shownFor === link && tip.matches(":popover-open"))) {
    event.preventDefault();
    show(link);
  } else if (!link && !tip.contains(event.target)) hide();
}, true);
// A word that gets the focus may have to scroll into view: its explanation goes along.
addEventListener("scroll", () => {
  if (!shownFor) return;
  const box = shownFor.getBoundingClientRect();
  if (box.bottom < 0 || box.top > innerHeight) hide();
  else place(box);
}, { passive: true });
