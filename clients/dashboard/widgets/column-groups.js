// Headers of tables whose columns stand in groups.

import { element } from "../lib/dom.js";
import { explained } from "../lib/terms.js";

/** Columns for which a narrow screen has no room: it has their numbers below those of the columns before. */
export const EXTRA = ["held out", "aligned", "interpolation"];

/** The header above a group of columns; `columns` is their number. */
export const groupHeader = (label, columns, width = "") =>
  element("th", { scope: "colgroup", class: `group ${width}`.trim(), colspan: columns }, explained(label));

/** The headers above a group of columns that has more of them on a wide screen than on a narrow one, or one header for both. */
function groupHeaders(label, columns) {
  const narrow = columns.filter((column) => !EXTRA.includes(column));
  if (narrow.length === columns.length) return groupHeader(label, columns.length);
  return [groupHeader(label, columns.length, "only-wide"), groupHeader(label, narrow.length, "only-narrow")];
}

/**
 * The two header rows of a table of parts: the part (or what else `first` says), if `counted` its number of blocks, and
 * the groups, each of which is [label, the labels of its columns].
 */
export function groupedHeaders(groups, counted = false, first = "Part") {
  const header = (label, attributes) => element("th", { scope: "col", ...attributes }, explained(label));
  return element("thead", {},
    element("tr", {}, header(first, { rowspan: 2 }), counted && header("Blocks", { rowspan: 2, class: "number count" }),
      groups.flatMap(([label, columns]) => groupHeaders(label, columns))),
    element("tr", {}, groups.flatMap(([, columns]) => columns.map((label, index) => header(label, { class: EXTRA.includes(label) ? "number only-wide" : index ? "number" : "number first" })))));
}
