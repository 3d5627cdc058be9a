// Columns that sort. The order is a parameter of the address: a column's name, with a minus for descending.

import { element, keepFocus } from "../lib/dom.js";
import { changed } from "../lib/url.js";

/**
 * The head of a column that sorts by `name`. `sort` is the present order, kept in the address under `param`;
 * `first` is the direction of the first click: "-" where the largest is what one looks for.
 */
export function sortHeader(label, name, { sort, param = "sort", fallback = "", first = "", ...attributes }) {
  const current = sort === name ? "ascending" : sort === `-${name}` ? "descending" : null;
  const next = !current ? first + name : current === "ascending" ? `-${name}` : name;
  const address = changed({ [param]: next === fallback ? null : next, page: null });
  const link = element("a", { class: "sorter", href: address, "data-key": `${param}:${name}` }, label,
    element("span", { class: "arrow", "aria-hidden": "true" }, current === "ascending" ? "▲" : current ? "▼" : ""));
  return element("th", { scope: "col", "aria-sort": current, ...attributes }, link);
}

/** Changes the heads of a row to what they are now, and leaves the focus on the same one. */
export const replaceHeads = (row, heads) => keepFocus(row, () => row.replaceChildren(...heads));

/** `rows` in the order that `sort` says by `values` (name -> function of a row); what has no value comes last. */
export function sorted(rows, sort, values) {
  const value = values[sort?.replace(/^-/, "")];
  if (!value) return rows;
  const down = sort.startsWith("-") ? -1 : 1;
  return [...rows].sort((a, b) => {
    const [x, y] = [value(a), value(b)];
    if (x == null || y == null) return (x == null) - (y == null);
    return down * (typeof x === "string" ? x.localeCompare(y, "en", { numeric: true }) : x - y);
  });
}
