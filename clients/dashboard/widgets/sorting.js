// Columns that sort. The address keeps the order: the name of a column, with a minus in front for descending.

import { element, keepFocus } from "../lib/dom.js";
import { changed } from "../lib/url.js";

/**
 * The header of a column that sorts by `name`. `sort` is the present order, which the address keeps as the parameter
 * `param` unless it is `fallback`, the order without that parameter. `first` is the direction of the first click: "-"
 * where the largest values matter most.
 */
export function sortHeader(label, name, { sort, param = "sort", fallback = "", first = "", ...attributes }) {
  const direction = sort === name ? "ascending" : sort === `-${name}` ? "descending" : null;
  const next = !direction ? first + name : direction === "ascending" ? `-${name}` : name;
  const address = changed({ [param]: next === fallback ? null : next, page: null });
  const link = element("a", { class: "sorter", href: address, "data-key": `${param}:${name}` }, label,
    element("span", { class: "arrow", "aria-hidden": "true" }, direction === "ascending" ? "▲" : direction ? "▼" : ""));
  return element("th", { scope: "col", "aria-sort": direction, ...attributes }, link);
}

/** Replaces the headers in a row; the focus stays on the same column. */
export const replaceHeaders = (row, headers) => keepFocus(row, () => row.replaceChildren(...headers));

/** `rows` in the order `sort`. `values` has, by column name, the function from a row to its value; missing values come last. */
export function sorted(rows, sort, values) {
  const value = values[sort?.replace(/^-/, "")];
  if (!value) return rows;
  const sign = sort.startsWith("-") ? -1 : 1;
  return [...rows].sort((a, b) => {
    const [x, y] = [value(a), value(b)];
    if (x == null || y == null) return (x == null) - (y == null);
    return sign * (typeof x === "string" ? x.localeCompare(y, "en", { numeric: true }) : x - y);
  });
}
