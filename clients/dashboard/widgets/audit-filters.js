// What the list is narrowed to, above the table; all of it is in the address.

import { byId, element } from "../lib/dom.js";
import { STATUSES } from "./progress.js";
import { changed, go } from "../lib/url.js";

const boxes = STATUSES.map((status) =>
  element("label", { class: "chip", "data-status": status },
    element("input", { type: "checkbox", value: status, onchange: chooseStatuses }), status));
byId("status-filter").append(...boxes);

const text = byId("model-filter");
let typing = null;
text.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => {
    typing = null;
    go(changed({ q: text.value.trim() || null, page: null }), { replace: true });
  }, 250);
});
byId("sort-select").addEventListener("change", (event) => {
  go(changed({ sort: event.target.value === "-created" ? null : event.target.value, page: null }));
});

function chooseStatuses() {
  const chosen = boxes.map((box) => box.firstChild).filter((box) => box.checked).map((box) => box.value);
  go(changed({ status: chosen.join(",") || null, page: null }));
}

/** Shows what the address says. */
export function showFilters(params) {
  const chosen = (params.get("status") ?? "").split(",");
  for (const box of boxes) box.firstChild.checked = chosen.includes(box.firstChild.value);
  const q = params.get("q") ?? "";
  if (typing === null && text.value.trim() !== q) text.value = q;
  const select = byId("sort-select");
  select.value = params.get("sort") ?? "-created";
  byId("clear-filters").hidden = !params.get("status") && !q;
  byId("clear-filters").href = changed({ status: null, q: null, page: null });
}
