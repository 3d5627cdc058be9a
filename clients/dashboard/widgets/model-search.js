// The combobox of models: what matches what is typed, with family, input size, weights, and why one cannot be audited.
// It follows the ARIA pattern "editable combobox with list autocomplete".

import { request } from "../lib/api.js";
import { breakable, byId, element, setText } from "../lib/dom.js";
import { plural } from "../lib/format.js";

const SHOWN = 60;

/** Makes `input` search; the list and the status line are the elements that its aria attributes name. */
export function setUpModels(input) {
  const list = byId(input.getAttribute("aria-controls"));
  const popup = byId("model-popup"), hint = byId("models-found");
  let typing, searching, active = -1;

  input.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(search, 150);
  });
  input.addEventListener("click", () => popup.hidden && search());
  input.addEventListener("blur", close);
  input.addEventListener("keydown", (event) => {
    const options = list.children;
    if (event.key === "Escape" && !popup.hidden) close();
    else if (event.key === "Enter" && !popup.hidden && options[active]) choose(options[active]);
    else if (["ArrowDown", "ArrowUp"].includes(event.key)) {
      if (popup.hidden) search();
      else if (options.length) activate((active + (event.key === "ArrowDown" ? 1 : -1) + options.length) % options.length);
    } else return;
    event.preventDefault();
  });

  /** A search that a newer one overtakes is dropped. */
  async function search() {
    searching?.abort();
    searching = new AbortController();
    const typed = input.value.trim();
    let found;
    try {
      found = (await request(`/models?q=${encodeURIComponent(typed)}&limit=${SHOWN}`, { signal: searching.signal })).body;
    } catch {
      return close(); // the banner tells that the service is away; the form works without suggestions
    }
    if (document.activeElement !== input) return;
    const words = typed.toLowerCase().split(/\s+/);
    const names = found.models.flatMap((entry) => namesOf(entry, words).map((name) => [name, entry]));
    list.replaceChildren(...names.slice(0, SHOWN).map(([name, entry], index) => option(name, entry, index)));
    popup.hidden = false;
    list.scrollTop = 0;
    active = -1;
    input.setAttribute("aria-expanded", "true");
    input.removeAttribute("aria-activedescendant");
    const more = found.total > found.models.length ? `, the first of ${plural(found.total, "architecture")}` : "";
    setText(hint, names.length ? `${plural(Math.min(names.length, SHOWN), "name")}${more}` : "No model has such a name.");
  }

  function option(name, entry, index) {
    const facts = [entry.family, entry.input_size && `${entry.input_size} px`,
      entry.supported ? (entry.pretrained ? "pretrained" : "untrained only") : `cannot be audited: ${entry.reason ?? "unknown family"}`];
    const node = element("li", { role: "option", id: `model-option-${index}`, "aria-selected": "false", "aria-disabled": String(!entry.supported), "data-name": name },
      element("span", { class: "option-name" }, breakable(name)), element("span", { class: "sub" }, facts.filter(Boolean).join(" · ")));
    node.addEventListener("mousedown", (event) => event.preventDefault()); // the focus stays where it is
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
    input.value = node.dataset.name;
    input.dispatchEvent(new Event("change"));
    close();
  }

  function close() {
    clearTimeout(typing);
    searching?.abort();
    popup.hidden = true;
    active = -1;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  }
}

/** An architecture's own name, and with each tag; of these what has all the words, if anything has. */
function namesOf(entry, words) {
  const names = entry.tags.length ? entry.tags.map((tag) => `${entry.name}.${tag}`) : [entry.name];
  const matching = names.filter((name) => words.every((word) => name.toLowerCase().includes(word)));
  return matching.length ? matching : names;
}
