// Tables of scores by part: those of the report, of the cosine, under each border, and beside the untrained architecture.

import { element } from "../lib/dom.js";
import { fixed, halfWidth } from "../lib/format.js";

/** A score, and half of its confidence interval beside it. */
export function scoreCell({ value, interval, reason }) {
  const half = interval && element("small", { class: "half" }, halfWidth(interval));
  const title = interval ? `95 % confidence interval ${fixed(interval[0])} to ${fixed(interval[1])}` : value == null ? reason : null;
  return element("td", { class: "number", title }, fixed(value), half);
}

const kinds = (score) => ["channel", "layer"].map((kind) => ({ value: score[kind], interval: score[`${kind}_interval`], reason: score.reason }));

/** Channel and layer equivariance of each part, under both transforms. */
export function partsTable(parts, caption) {
  const counted = Object.values(parts).some((part) => part.blocks != null); // what is provisional has no count
  const groups = [["Translation", ["channel", "layer"]], ["Rotation", ["channel", "layer"]]];
  const rows = Object.entries(parts).map(([name, part]) => [name, part.blocks, [...kinds(part.translation), ...kinds(part.rotation)]]);
  return table(caption, groups, rows, counted);
}

/** Translation under each border, side by side: what differs is the border's. */
export function bordersTable(borders) {
  const names = Object.keys(borders);
  const rows = Object.keys(borders[names[0]]).map((part) =>
    [part, null, names.flatMap((border) => kinds(borders[border][part].translation))]);
  return table("Translation equivariance under each border", names.map((name) => [name, ["channel", "layer"]]), rows);
}

/** What the weights have beyond the untrained architecture: channel equivariance. */
export function baselineTable({ parts, seeds }) {
  const columns = ["trained", "untrained", "learned"];
  const rows = Object.entries(parts).map(([name, part]) =>
    [name, null, [part.translation, part.rotation].flatMap(({ channel }) => [channel.pretrained, channel.untrained, channel.difference])]);
  const from = seeds.length > 1 ? `mean of ${seeds.length} initialisations` : `seed ${seeds[0]}`;
  return table(`Channel equivariance, that of the untrained architecture (${from}), and what is learned beyond it`,
    [["Translation", columns], ["Rotation", columns]], rows);
}

/** Why scores of parts are missing, once for each reason. */
export function reasons(parts) {
  const told = Object.entries(parts).flatMap(([name, part]) =>
    [part.translation.reason, part.rotation.reason].filter(Boolean).map((reason) => `${name}: ${reason}`));
  return [...new Set(told)].map((text) => element("p", { class: "note" }, text));
}

/** `groups`: [head, its columns]; `rows`: [part, blocks, cells in the order of the columns]. */
function table(caption, groups, rows, counted = false) {
  const head = (text, attributes) => element("th", { scope: "col", ...attributes }, text);
  return element("table", { class: "scores" },
    element("caption", {}, caption),
    element("thead", {},
      element("tr", {}, head("Part", { rowspan: 2 }), counted && head("Blocks", { rowspan: 2, class: "number count" }),
        groups.map(([name, columns]) => head(name, { scope: "colgroup", colspan: columns.length, class: "group" }))),
      element("tr", {}, groups.flatMap(([, columns]) => columns.map((name, index) => head(name, { class: index ? "number" : "number first" }))))),
    element("tbody", {}, rows.map(([name, blocks, cells]) =>
      element("tr", {}, element("th", { scope: "row" }, name), counted && element("td", { class: "number count" }, String(blocks)), cells.map(scoreCell)))));
}
