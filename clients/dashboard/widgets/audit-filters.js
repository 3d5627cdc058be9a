// The filters above the list, and on narrow screens its order; the address keeps what they are set to.

import { STATUSES } from "../lib/audit.js";
import { byId, element } from "../lib/dom.js";
import { changed, go } from "../lib/url.js";

const boxes = STATUSES.map((status) => element("input", { type: "checkbox", value: status, onchange: filterByStatus }));
byId("status-filter").append(...boxes.map((box) => element("label", { class: "chip", "data-status": box.value }, box, box.value)));

const modelInput = byId("model-filter");
let typing = null; // the timer that runs while the user types
modelInput.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => {
    typing = null;
    go(changed({ q: modelInput.value.trim() || null, page: null }), { replace: true });
  }, 250);
});
byId("sort-select").addEventListener("change", (event) => {
  go(changed({ sort: event.target.value === "-created" ? null : event.target.value, page: null }));
});

function filterByStatus() {
  const statuses = boxes.filter((box) => box.checked).map((box) => box.value);
  go(changed({ status: statuses.join(",") || null, page: null }));
}

/** The statuses that the address's parameters name. */
export const statusesOf = (query) => STATUSES.filter((status) => query.get("status")?.split(",").includes(status));

/** Sets the filters to what the address's parameters, `query`, say. */
export function showFilters(query) {
  const statuses = statusesOf(query);
  for (const box of boxes) box.checked = statuses.includes(box.value);
  const model = query.get("q") ?? "";
  if (typing === null && modelInput.value.trim() !== model) modelInput.value = model;
  byId("sort-select").value = query.get("sort") ?? "-created";
  byId("clear-filters").hidden = !statuses.length && !model;
  byId("clear-filters").href = changed({ status: null, q: null, page: null });
}
