// Tables of scores by part: of a report, of its cosine similarity, under each border, and beside the untrained architecture.

import { element } from "../lib/dom.js";
import { SCORE_NAMES, transformLabel, TRANSFORMS } from "../lib/scores.js";
import { groupedHeaders } from "./column-groups.js";
import { estimateOf, scoreCell } from "./score-cell.js";

const estimatesOf = (score) => SCORE_NAMES.map((name) => estimateOf(score, name));

/** Channel and layer equivariance of each part, under both transforms. */
export function partsTable(parts, caption) {
  const counted = Object.values(parts).some((part) => part.blocks != null); // provisional parts do not count their blocks
  const rows = Object.entries(parts).map(([name, part]) =>
    [name, part.blocks, TRANSFORMS.flatMap((transform) => estimatesOf(part[transform]))]);
  return table(caption, TRANSFORMS.map((transform) => [transformLabel(transform), SCORE_NAMES]), rows, counted);
}

/** Translation equivariance under each border, side by side: only the border makes them differ. */
export function bordersTable(borders) {
  const names = Object.keys(borders);
  const rows = Object.keys(borders[names[0]]).map((part) =>
    [part, null, names.flatMap((border) => estimatesOf(borders[border][part].translation))]);
  return table("Translation equivariance under each border", names.map((name) => [name, SCORE_NAMES]), rows);
}

/** Channel equivariance of the weights and of the untrained architecture, and the difference: what was learned. */
export function baselineTable({ parts, seeds }) {
  const columns = ["trained", "untrained", "learned"];
  const rows = Object.entries(parts).map(([name, part]) => [name, null, TRANSFORMS.flatMap((transform) => {
    const { pretrained, untrained, difference } = part[transform].channel;
    return [pretrained, untrained, difference];
  })]);
  const baseline = seeds.length > 1 ? `mean of ${seeds.length} initialisations` : `seed ${seeds[0]}`;
  return table(`Channel equivariance, that of the untrained architecture (${baseline}), and what is learned beyond it`,
    TRANSFORMS.map((transform) => [transformLabel(transform), columns]), rows);
}

/** A note for each reason why scores of the parts are missing. */
export function missingReasons(parts) {
  const texts = Object.entries(parts).flatMap(([name, part]) =>
    TRANSFORMS.map((transform) => part[transform].reason).filter(Boolean).map((reason) => `${name}: ${reason}`));
  return [...new Set(texts)].map((text) => element("p", { class: "note" }, text));
}

/** `groups` are [label, the labels of its columns]; `rows` are [part, number of blocks, estimates in the order of the columns]. */
function table(caption, groups, rows, counted = false) {
  return element("table", { class: "scores" },
    element("caption", {}, caption),
    groupedHeaders(groups, counted),
    element("tbody", {}, rows.map(([name, blocks, estimates]) =>
      element("tr", {}, element("th", { scope: "row" }, name), counted && element("td", { class: "number count" }, String(blocks)), estimates.map(scoreCell)))));
}
