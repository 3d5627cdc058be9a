// The field that searches for a model: each name that matches, with family, input size, weights, or why it cannot be audited.
// It follows the ARIA pattern "editable combobox with list autocomplete".

import { request } from "../lib/api.js";
import { breakable, byId, element, setText } from "../lib/dom.js";
import { plural } from "../lib/format.js";

const MOST_SHOWN = 60;

/** Makes `input` search as the user types; its attribute aria-controls names the list. */
export function setUpModelSearch(input) {
  const list = byId(input.getAttribute("aria-controls"));
  const popup = byId("model-popup"), summary = byId("models-found");
  let typing, searching, active = -1; // a timer, an AbortController, and the index of the option that Enter would choose

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

  /** Shows what matches the text in the field. A search that a newer one overtakes is dropped. */
  async function search() {
    searching?.abort();
    searching = new AbortController();
    const text = input.value.trim();
    let models, total;
    try {
      ({ models, total } = (await request(`/models?q=${encodeURIComponent(text)}&limit=${MOST_SHOWN}`, { signal: searching.signal })).body);
    } catch {
      return close(); // the banner says that the service does not answer; the form works without suggestions
    }
    if (document.activeElement !== input) return;
    const terms = text.toLowerCase().split(/\s+/);
    const named = models.flatMap((entry) => matchingNames(entry, terms).map((name) => [name, entry])).slice(0, MOST_SHOWN);
    list.replaceChildren(...named.map(([name, entry], index) => option(name, entry, index)));
    popup.hidden = false;
    list.scrollTop = 0;
    active = -1;
    input.setAttribute("aria-expanded", "true");
    input.removeAttribute("aria-activedescendant");
    const more = total > models.length ? `, the first of ${plural(total, "architecture")}` : "";
    setText(summary, named.length ? `${plural(named.length, "name")}${more}` : "No model has such a name.");
  }

  function option(name, entry, index) {
    const details = [entry.family, entry.input_size && `${entry.input_size} px`,
      entry.supported ? (entry.pretrained ? "pretrained" : "untrained only") : `cannot be audited: ${entry.reason ?? "unknown family"}`];
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

/** An architecture's name with each of its tags: those that contain all terms, or all of them if none does. */
function matchingNames(entry, terms) {
  const names = entry.tags.length ? entry.tags.map((tag) => `${entry.name}.${tag}`) : [entry.name];
  const matching = names.filter((name) => terms.every((term) => name.toLowerCase().includes(term)));
  return matching.length ? matching : names;
}
