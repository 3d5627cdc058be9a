// Tables of scores by part: of a report, of its cosine similarity, under each border, and beside the untrained architecture.

import { element } from "../lib/dom.js";
import { meanAgreement, rowLabel, SCORE_NAMES, transformLabel, transformsOf, WARPS } from "../lib/scores.js";
import { explained, term } from "../lib/terms.js";
import { EXTRA, groupedHeaders, groupHeader } from "./column-groups.js";
import { estimateOf, scoreCell } from "./score-cell.js";

const estimatesOf = (score) => SCORE_NAMES.map((name) => estimateOf(score, name));

/** [label of the column, the function from a score to its estimate]; the last ones only where a part has any. */
function columnsOf(parts, transform) {
  const scores = Object.values(parts).map((part) => part[transform]);
  return [
    ...SCORE_NAMES.map((name) => [name, (score) => estimateOf(score, name)]),
    scores.some((score) => score.layer_held_out != null) && ["held out", (score) => estimateOf(score, "layer_held_out")],
    scores.some((score) => score.aligned) && ["aligned", ({ aligned }) => ({ value: aligned?.channel, reason: aligned?.reason })],
    scores.some((score) => score.interpolation != null) && ["interpolation", ({ interpolation, reason }) => ({ value: interpolation, reason })],
  ].filter(Boolean);
}

/** Channel and layer equivariance of each part, under each of the `transforms`; beside them layer held out, aligned channel and interpolation, where there are any. */
export function partsTable(parts, transforms, caption) {
  const counted = Object.values(parts).some((part) => part.blocks != null); // provisional parts do not count their blocks
  const columns = transforms.map((transform) => [transform, columnsOf(parts, transform)]);
  const rows = Object.entries(parts).map(([name, part]) =>
    [name, part.blocks, columns.flatMap(([transform, ofTransform]) => estimatesWithExtras(part[transform], ofTransform))]);
  return table(caption, columns.map(([transform, ofTransform]) => [transformLabel(transform), ofTransform.map(([label]) => label)]), rows, counted);
}

/** The estimates of a part's row; layer has held out, and channel what else there is, `below` it for a narrow screen. */
function estimatesWithExtras(score, columns) {
  const estimates = columns.map(([label, estimate]) => ({ ...estimate(score), extra: EXTRA.includes(label) && label }));
  const [channel, layer] = estimates;
  for (const extra of estimates.filter((estimate) => estimate.extra)) (extra.extra === "held out" ? layer : channel).below = extra;
  return estimates;
}

/** How often the class stays the same: the mean and some of the transforms; null where no part has an agreement. */
export function agreementTable(final) {
  const kinds = transformsOf(final ? [final] : []).map((transform) => [transform, final?.[transform]]).filter(([, score]) => score && meanAgreement(score) != null);
  if (!kinds.length) return null;
  const columns = kinds.map(([transform, score]) => [transform, score, shownRows(score.by_transform.filter((row) => row.top1_agreement != null))]);
  return element("table", { class: "scores agreement" },
    element("caption", {}, term("top1-agreement", "Top-1 agreement"), ": for how large a share of the images the predicted class stays the same; beside it a ", term("interval", "95 % confidence interval")),
    element("thead", {},
      element("tr", {}, columns.map(([transform, , rows]) => groupHeader(transformLabel(transform), rows.length + 1))),
      element("tr", {}, columns.flatMap(([transform, , rows]) => ["mean", ...rows.map((row) => rowLabel(transform, row))].map((label, index) =>
        element("th", { scope: "col", class: index ? "number" : "number first" }, label))))),
    element("tbody", {}, element("tr", {}, columns.flatMap(([, score, rows]) => [
      scoreCell({ value: meanAgreement(score), interval: score.top1_agreement_interval }),
      ...rows.map((row) => scoreCell({ value: row.top1_agreement, interval: row.top1_agreement_interval })),
    ]))));
}

const MOST_ROWS = 6;

/** Of many shifts those of 1, 2, 4, 8, … pixels, the first and the last; of many warps some at even distances. */
function shownRows(rows) {
  if (rows.length <= MOST_ROWS) return rows;
  const last = rows.length - 1;
  if ("shift_px" in rows[0]) return rows.filter((row, index) => Number.isInteger(Math.log2(row.shift_px)) || index === 0 || index === last);
  return Array.from({ length: MOST_ROWS }, (_, index) => rows[Math.round((index * last) / (MOST_ROWS - 1))]);
}

/** For each kind of warp a table of the scores of all parts under each amount; none where none were asked for. */
export function warpTables(parts) {
  const names = Object.keys(parts), columns = [...SCORE_NAMES, "interpolation"];
  const estimates = columns.map((column) => [column, (row) => estimateOf(row, column)]);
  return transformsOf(Object.values(parts)).filter((transform) => WARPS[transform]).map((transform) => {
    const rowsOf = (name) => parts[name][transform].by_transform; // none of a part without blocks
    const most = names.map(rowsOf).sort((a, b) => b.length - a.length)[0];
    const rows = most.map((row, index) =>
      [rowLabel(transform, row), null, names.flatMap((name) => estimatesWithExtras(rowsOf(name)[index] ?? {}, estimates))]);
    const label = transformLabel(transform);
    return [label, table(`${label}, by amount${transform === "warp_translation" ? ", right and down at once" : ""}; interpolation is how far a map agrees with itself, warped and warped back: what it lacks to 1 is lost whatever the network does`,
      names.map((name) => [name, columns]), rows, false, "Amount")];
  });
}

/** Translation equivariance under each border, side by side: only the border makes them differ. */
export function bordersTable(borders) {
  const names = Object.keys(borders);
  const rows = Object.keys(borders[names[0]]).map((part) =>
    [part, null, names.flatMap((border) => estimatesOf(borders[border][part].translation))]);
  return table("Translation equivariance under each border", names.map((name) => [name, SCORE_NAMES]), rows);
}

/** Channel equivariance of the weights and of the untrained architecture, and the difference: what was learned. */
export function baselineTable({ parts, seeds }, transforms) {
  const columns = ["trained", "untrained", "learned"];
  const rows = Object.entries(parts).map(([name, part]) => [name, null, transforms.flatMap((transform) => {
    const { pretrained, untrained, difference } = part[transform].channel;
    return [pretrained, untrained, difference];
  })]);
  const baseline = seeds.length > 1 ? `mean of ${seeds.length} initialisations` : `seed ${seeds[0]}`;
  return table(`Channel equivariance, that of the untrained architecture (${baseline}), and what is learned beyond it`,
    transforms.map((transform) => [transformLabel(transform), columns]), rows);
}

/** A note for each reason why scores of the parts under these transforms are missing. */
export function missingReasons(parts, transforms) {
  const texts = Object.entries(parts).flatMap(([name, part]) =>
    transforms.map((transform) => part[transform].reason).filter(Boolean).map((reason) => `${name}: ${reason}`));
  return [...new Set(texts)].map((text) => element("p", { class: "note" }, text));
}

/** `groups` are [label, the labels of its columns]; `rows` are [part or what `first` says, number of blocks, estimates in the order of the columns]. */
export function table(caption, groups, rows, counted = false, first = "Part") {
  return element("table", { class: "scores" },
    element("caption", {}, caption),
    groupedHeaders(groups, counted, first),
    element("tbody", {}, rows.map(([name, blocks, estimates]) =>
      element("tr", {}, element("th", { scope: "row" }, explained(name)), counted && element("td", { class: "number count" }, String(blocks)), estimates.map(scoreCell)))));
}
