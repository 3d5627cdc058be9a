// The field that searches for a model: each name that matches, with family, input size, weights, or why it cannot be audited.
// It follows the ARIA pattern "editable combobox with list autocomplete".

import { request } from "../lib/api.js";
import { breakable, byId, element, setText } from "../lib/dom.js";
import { plural } from "../lib/format.js";

const MOST_SHOWN = 60;

/**
 * Makes `input` search as the user types; its attribute aria-controls names the list. Enter chooses the highlighted name,
 * or the first that can be audited, and calls `onDone`; while the names are still being fetched it waits for them.
 */
export function setUpModelSearch(input, onDone) {
  const list = byId(input.getAttribute("aria-controls"));
  const popup = byId("model-popup"), summary = byId("models-found");
  let typing, searching, active = -1; // a timer, an AbortController, and the index of the highlighted option
  let listedText = null, settledText = null; // what the list answers; the name that was chosen, or that the list was closed on
  let enterWaits = false; // whether Enter was pressed before the names were there

  input.addEventListener("input", () => {
    enterWaits = false;
    clearTimeout(typing);
    searching?.abort();
    typing = setTimeout(search, 150);
  });
  input.addEventListener("click", () => popup.hidden && search());
  input.addEventListener("blur", close);
  input.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    const options = list.children;
    if (event.key === "Escape") { // also before the names are there, so that they do not come up afterwards
      settledText = input.value.trim();
      close();
    } else if (event.key === "Enter") enter();
    else if (["ArrowDown", "ArrowUp"].includes(event.key)) {
      if (popup.hidden) search();
      else if (options.length) activate((active + (event.key === "ArrowDown" ? 1 : -1) + options.length) % options.length);
    } else return;
    event.preventDefault();
  });

  function enter() {
    const text = input.value.trim();
    if (!popup.hidden && listedText === text && (text || active >= 0)) chooseByEnter(text);
    else if (text && settledText === text) done();
    else {
      enterWaits = Boolean(text); // an empty field only shows what there is
      search();
    }
  }

  /** Chooses the highlighted name, else the very name in the field, else the first that can be audited. */
  function chooseByEnter(text) {
    const usable = [...list.children].filter((node) => node.getAttribute("aria-disabled") !== "true");
    const node = list.children[active] ?? usable.find(({ dataset }) => dataset.name === text) ?? usable[0];
    if (usable.includes(node)) {
      choose(node);
      done();
    }
  }

  function done() {
    close();
    onDone();
  }

  /** Shows what matches the text in the field. A search that a newer one overtakes is dropped. */
  async function search() {
    clearTimeout(typing);
    searching?.abort();
    const { signal } = (searching = new AbortController());
    const text = input.value.trim();
    let models, total;
    try {
      ({ models, total } = (await request(`models?q=${encodeURIComponent(text)}&limit=${MOST_SHOWN}`, { signal })).body);
    } catch {
      // The banner says that the service does not answer; the form works without suggestions.
      if (!signal.aborted) (enterWaits ? done : close)();
      return;
    }
    if (signal.aborted || document.activeElement !== input) return;
    const terms = text.toLowerCase().split(/\s+/);
    const named = models.flatMap((entry) => matchingNames(entry, terms).map((name) => [name, entry])).slice(0, MOST_SHOWN);
    list.replaceChildren(...named.map(([name, entry], index) => option(name, entry, index)));
    listedText = text;
    popup.hidden = false;
    list.scrollTop = 0;
    active = -1;
    input.setAttribute("aria-expanded", "true");
    input.removeAttribute("aria-activedescendant");
    const more = total > models.length ? `, the first of ${plural(total, "architecture")}` : "";
    setText(summary, named.length ? `${plural(named.length, "name")}${more}` : "No model has such a name.");
    if (enterWaits) chooseByEnter(text);
    enterWaits = false;
  }

  function option(name, entry, index) {
    const details = [entry.family, entry.input_size && `${entry.input_size} px`,
      entry.supported ? (entry.pretrained ? "pretrained" : "no published weights") : `cannot be audited: ${entry.reason ?? "unknown family"}`];
    const node = element("li", { role: "option", id: `model-option-${index}`, "aria-selected": "false", "aria-disabled": String(!entry.supported), "data-name": name },
      element("span", { class: "option-name" }, breakable(name)), element("span", { class: "sub" }, details.filter(Boolean).join(" · ")));
    node.addEventListener("mousedown", (event) => event.preventDefault()); // the focus stays in the field
    node.addEventListener("click", () => choose(node));
    return node;
  }

  function activate(index) {
    list.children[active]?.setAttribute("aria-selected", "false");
    active = index;
    const node = list.children[index];
    node.setAttribute("aria-selected", "true");
    node.scrollIntoView({ block: "nearest" });
    input.setAttribute("aria-activedescendant", node.id);
  }

  function choose(node) {
    if (node.getAttribute("aria-disabled") === "true") return;
    settledText = input.value = node.dataset.name;
    input.dispatchEvent(new Event("change"));
    close();
  }

  function close() {
    clearTimeout(typing);
    searching?.abort();
    enterWaits = false;
    popup.hidden = true;
    active = -1;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  }
}

/** An architecture's name with each of its tags: those that contain all terms, or all of them if none does. */
function matchingNames(entry, terms) {
  const names = entry.tags.length ? entry.tags.map((tag) => `${entry.name}.${tag}`) : [entry.name];
  const matching = names.filter((name) => terms.every((term) => name.toLowerCase().includes(term)));
  return matching.length ? matching : names;
}
