// The filters above the list, and on narrow screens its order; the address keeps what they are set to.

import { STATUSES } from "../lib/audit.js";
import { byId, element } from "../lib/dom.js";
import { changed, go } from "../lib/url.js";

const boxes = STATUSES.map((status) => element("input", { type: "checkbox", value: status, onchange: filterByStatus }));
byId("status-filter").append(...boxes.map((box) => element("label", { class: "chip", "data-status": box.value }, box, box.value)));

const modelInput = byId("model-filter"), labelInput = byId("label-filter"), archivedSelect = byId("archived-select");
let typing = null; // the timer that runs while the user types
for (const input of [modelInput, labelInput]) input.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => {
    typing = null;
    go(changed({ q: modelInput.value.trim() || null, label: labelInput.value.trim() || null, page: null }), { replace: true });
  }, 250);
});
archivedSelect.addEventListener("change", () => go(changed({ archived: archivedSelect.value || null, page: null })));
byId("sort-select").addEventListener("change", (event) => {
  go(changed({ sort: event.target.value === "-created" ? null : event.target.value, page: null }));
});

function filterByStatus() {
  const statuses = boxes.filter((box) => box.checked).map((box) => box.value);
  go(changed({ status: statuses.join(",") || null, page: null }));
}

/** The statuses that the address's parameters name. */
export const statusesOf = (query) => STATUSES.filter((status) => query.get("status")?.split(",").includes(status));

/** Which archived audits the address's parameters ask for: "" for none, "true" for these only, "any" for all. */
export const archivedOf = (query) => ["true", "any"].find((value) => value === query.get("archived")) ?? "";

/** Whether the address's parameters leave out audits that the plain list has, or add others. */
export const isFiltered = (query) => statusesOf(query).length > 0 || Boolean(query.get("q") || query.get("label") || archivedOf(query));

/** Sets the filters to what the address's parameters, `query`, say. */
export function showFilters(query) {
  const statuses = statusesOf(query);
  for (const box of boxes) box.checked = statuses.includes(box.value);
  const texts = [[modelInput, query.get("q") ?? ""], [labelInput, query.get("label") ?? ""]];
  for (const [input, text] of texts) if (typing === null && input.value.trim() !== text) input.value = text;
  archivedSelect.value = archivedOf(query);
  byId("sort-select").value = query.get("sort") ?? "-created";
  byId("clear-filters").hidden = !isFiltered(query);
  byId("clear-filters").href = changed({ status: null, q: null, label: null, archived: null, page: null });
}
