// Headers of tables whose columns stand in groups.

import { element } from "../lib/dom.js";
import { explained } from "../lib/terms.js";

/** The header above a group of columns; `columns` is their number. */
export const groupHeader = (label, columns) => element("th", { scope: "colgroup", class: "group", colspan: columns }, explained(label));

/**
 * The two header rows of a table of parts: the part, if `counted` its number of blocks, and the groups, each of which is
 * [label, the labels of its columns].
 */
export function groupedHeaders(groups, counted = false) {
  const header = (label, attributes) => element("th", { scope: "col", ...attributes }, explained(label));
  return element("thead", {},
    element("tr", {}, header("Part", { rowspan: 2 }), counted && header("Blocks", { rowspan: 2, class: "number count" }),
      groups.map(([label, columns]) => groupHeader(label, columns.length))),
    element("tr", {}, groups.flatMap(([, columns]) => columns.map((label, index) => header(label, { class: index ? "number" : "number first" })))));
}
