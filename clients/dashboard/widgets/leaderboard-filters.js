// The filters above the leaderboard; the address keeps what they are set to.

import { element } from "../lib/dom.js";
import { FILTERS, weightsKind } from "../lib/leaderboard.js";
import { changed, go } from "../lib/url.js";

const TYPING_MS = 200;
const SELECTS = [["family", "Family", "all families"], ["source", "Zoo", "all zoos"], ["weights", "Weights", "all weights"]];
const RANGES = [["size", "Parameters, M"], ["top1", "Top-1, %"]];

/** { node, clear, show(rows, query) }: the link `clear` takes all filters away. */
export function leaderboardFilters() {
  const inputs = new Map(); // name of the parameter -> its field
  const typing = new Map(); // the timer of each field that the user has just typed into
  const search = textField("q", { type: "search", "aria-label": "Words of the model’s name", placeholder: "Words of the name", maxlength: 128 });
  const selects = SELECTS.map(([name, label]) => {
    const select = element("select", { "aria-label": label, onchange: () => go(changed({ [name]: select.value || null })) });
    inputs.set(name, select);
    return element("label", {}, label, select);
  });
  const pairs = RANGES.map(([name, label]) => {
    const field = (bound, word) => textField(`${bound}_${name}`, { inputmode: "decimal", placeholder: word, "aria-label": `${label}, ${word}` });
    return element("fieldset", { class: "range" }, element("legend", {}, label), field("min", "from"), element("span", { "aria-hidden": "true" }, "–"), field("max", "to"));
  });
  // On a narrow screen they would fill it, before the first model.
  const more = element("details", { open: !matchMedia("(max-width: 720px)").matches }, element("summary", { class: "only-narrow" }, "More filters"), element("div", { class: "more" }, selects, pairs));
  const clear = element("a", { class: "note clear", hidden: true }, "Clear filters");
  const node = element("div", { class: "zoo-filters", role: "search", "aria-label": "Filter the models" }, element("label", { class: "words" }, "Model", search), more, clear);
  return {
    node,
    show(rows, query) {
      const options = { family: rows.map((row) => row.family), source: rows.map((row) => row.source), weights: rows.map(weightsKind) };
      for (const [name, , all] of SELECTS) showOptions(inputs.get(name), options[name], all, query.get(name) ?? "");
      for (const [name, input] of inputs) {
        if (input.tagName === "INPUT" && !typing.has(input) && input.value.trim() !== (query.get(name) ?? "")) input.value = query.get(name) ?? "";
      }
      clear.hidden = !FILTERS.some((name) => query.get(name));
      clear.href = changed(Object.fromEntries(FILTERS.map((name) => [name, null])));
    },
  };

  function textField(name, attributes) {
    const input = element("input", { autocomplete: "off", spellcheck: "false", ...attributes });
    inputs.set(name, input);
    input.addEventListener("input", () => {
      const isNumber = name === "q" || /^\s*(\d+([.,]\d*)?)?\s*$/.test(input.value);
      input.toggleAttribute("aria-invalid", !isNumber);
      clearTimeout(typing.get(input));
      typing.set(input, setTimeout(() => {
        typing.delete(input);
        if (isNumber) go(changed({ [name]: input.value.trim() || null }), { replace: true });
      }, TYPING_MS));
    });
    return input;
  }
}

/** Fills a select with the values that there are, each with how often, the chosen one among them even if there is none. */
function showOptions(select, values, all, chosen) {
  const counts = new Map();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  if (chosen && !counts.has(chosen)) counts.set(chosen, 0);
  const state = JSON.stringify([...counts]);
  if (select.dataset.state !== state) {
    select.dataset.state = state;
    select.replaceChildren(element("option", { value: "" }, all),
      ...[...counts].sort(([a], [b]) => a.localeCompare(b, "en", { numeric: true })).map(([value, number]) => element("option", { value }, `${value} (${number})`)));
  }
  if (select.value !== chosen) select.value = chosen;
}
