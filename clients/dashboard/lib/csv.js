// Reports, comparisons and second opinions as comma-separated values.

import { weightsLabel } from "./format.js";
import { valueOf } from "./leaderboard.js";
import { ALL_TRANSFORMS, comparedTransforms, GENERATORS, meanAgreement, PARTS, partsOf, transformsOf, WARPS } from "./scores.js";

const REPORT_COLUMNS = [
  "audit", "model", "weights", "level", "name", "part", "channels", "height", "width", "layout", "dead_channels", "transform", "by",
  "channel", "channel_low", "channel_high", "layer", "layer_low", "layer_high", "layer_held_out", "layer_held_out_low", "layer_held_out_high",
  "top1_agreement", "top1_agreement_low", "top1_agreement_high", "reason",
];
/** What only reports of warps, and those of other measures, have. */
const WARP_COLUMNS = ["amount", "interpolation"], MEASURE_COLUMNS = ["measure", "value", "value_low", "value_high"];
/** The scores whose differences from the reference a comparison has. */
const COMPARED = ["channel", "layer", "layer_held_out", "top1_agreement"];
const COMPARISON_COLUMNS = [
  "audit", "model", "weights", "parameters", "imagenet_top1", "images", "part", "transform",
  "channel", "channel_low", "channel_high", "layer", "layer_low", "layer_high", "layer_held_out", "layer_held_out_low", "layer_held_out_high",
  "top1_agreement", "top1_agreement_low", "top1_agreement_high", "reason", "reference",
  ...COMPARED.flatMap((score) => ["difference", "difference_low", "difference_high", "p_adjusted"].map((column) => `${score}_${column}`)),
];
const BOARD_SCORES = ["channel", "layer", "layer_held_out"];

/**
 * A row for each score of a part or a block (`level`), with its interval. `by` is "mean" (over the transforms),
 * "aligned" (over the shifts that are whole at that block), or one transform, such as "8 px", "8 px right" if the shifts go
 * right only, "90 deg", "horizontal" or, of a warp of scale, "1.1". After them is a row for each other measure that was
 * asked for: of a part, of a block, or of the whole model.
 */
export function reportCsv(report) {
  const shared = { audit: report.id, model: report.model.name, weights: weightsLabel(report.model.weights) };
  const direction = report.method.direction ? ` ${report.method.direction}` : "";
  const parts = Object.entries(report.parts).flatMap(([name, part]) => reportRows({ ...shared, level: "part", name, part: name }, part, direction));
  const blocks = report.blocks.flatMap((block) => {
    const { name, part, channels, height, width, layout, dead_channels } = block;
    return reportRows({ ...shared, level: "block", name, part, channels, height, width, layout, dead_channels }, block, direction);
  });
  const whole = consistencyRows(report.consistency).map((row) => ({ ...shared, level: "model", ...row }));
  const hasWarps = transformsOf(report.blocks).some((transform) => WARPS[transform]);
  const rows = [...parts, ...blocks, ...whole], hasMeasures = rows.some((row) => row.measure);
  return toCsv([...REPORT_COLUMNS, ...(hasWarps ? WARP_COLUMNS : []), ...(hasMeasures ? MEASURE_COLUMNS : [])], rows);
}

/** The rows of one part or block, whose own columns are `shared`. */
function reportRows(shared, scores, direction) {
  const by = (transform, score) => (WARPS[transform] ? `${score.amount}${WARPS[transform].unit}`
    : score.axis ?? ("shift_px" in score ? `${score.shift_px} px${direction}` : `${score.angle_deg} deg`));
  const ofTransforms = transformsOf([scores]).flatMap((transform) => {
    const row = (name, score) => ({ ...shared, transform, by: name, ...scoreColumns(score), amount: score.amount, interpolation: score.interpolation });
    const mean = scores[transform];
    return [row("mean", { ...mean, top1_agreement: meanAgreement(mean) }), ...(mean.aligned ? [row("aligned", mean.aligned)] : []),
      ...mean.by_transform.map((score) => row(by(transform, score), score))];
  });
  return [...ofTransforms, ...measureRows(scores.second_opinion ?? {}).map((row) => ({ ...shared, ...row }))];
}

/** A row for each number of a second opinion, named by its measure. */
function measureRows({ deformation = [], local_error: errors = {}, variance = {} }) {
  return [
    ...deformation.flatMap(({ displacement_px: displacement, ratio_interval: interval, reason, ...row }) =>
      ["gradient", "deformation", "noise", "ratio"].map((measure) => ({ measure, by: `${displacement} px`, reason,
        ...valueColumns({ value: row[measure], interval: measure === "ratio" ? interval : null }) }))),
    ...Object.entries(errors).map(([generator, error]) => ({ measure: "local_error", by: generator, ...valueColumns(error) })),
    ...Object.entries(variance).map(([transform, ratio]) => ({ measure: "variance", transform, by: "all", ...valueColumns(ratio) })),
  ];
}

function consistencyRows(consistency) {
  if (!consistency) return [];
  const { draws, published } = consistency;
  return [{ measure: "consistency", by: `${draws} draws`, ...valueColumns(consistency) },
    ...(published == null ? [] : [{ measure: "consistency", by: "published", value: published }])];
}

const valueColumns = ({ value, interval, reason }) => ({ value, value_low: interval?.[0], value_high: interval?.[1], ...(reason && { reason }) });

/**
 * A row for each audit, part and transform, with the differences from the reference. After them is a row for each other
 * measure of each part, or of each whole model.
 */
export function comparisonCsv({ audits, differences }) {
  const different = new Map(differences.audits.map((audit) => [audit.id, audit.parts]));
  const shared = ({ id, model, weights, parameters, imagenet_top1, images }) => ({ audit: id, model, weights, parameters, imagenet_top1, images });
  const scores = audits.flatMap((audit) => partsOf([audit]).flatMap((part) => comparedTransforms([audit]).map((transform) => {
    const score = audit.parts[part][transform];
    return { ...shared(audit), part, transform, ...scoreColumns(score), interpolation: score.interpolation,
      reference: differences.reference, ...differenceColumns(different.get(audit.id)?.[part]?.[transform]) };
  })));
  const measures = audits.flatMap((audit) => [
    ...partsOf([audit]).flatMap((part) => measureRows(audit.parts[part].second_opinion ?? {}).map((row) => ({ part, ...row }))),
    ...consistencyRows(audit.consistency),
  ].map((row) => ({ ...shared(audit), ...row })));
  const hasInterpolation = scores.some((row) => row.interpolation != null);
  return toCsv([...COMPARISON_COLUMNS, ...(hasInterpolation ? ["interpolation"] : []), ...(measures.length ? ["by", ...MEASURE_COLUMNS] : [])], [...scores, ...measures]);
}

/** A row for each pair of measures at each level, with Spearman's rho. */
export function agreementCsv({ over, matrices }) {
  const rows = matrices.flatMap(({ level, pairs }) => pairs.map(({ interval, ...pair }) => ({ over, level, ...pair, low: interval?.[0], high: interval?.[1] })));
  return toCsv(["over", "level", "first", "second", "rho", "low", "high", "n", "reason"], rows);
}

/** The column of a number and those of the ends of its interval, each with the function from a row to its value. */
const numberColumns = (name, estimate) => [[name, (row) => estimate(row)?.value],
  ...["low", "high"].map((end, index) => [`${name}_${end}`, (row) => estimate(row)?.interval?.[index]])];

/** What only some methods measure: its columns are named as in the leaderboard.csv of a published site. */
const BOARD_MEASURES = [
  ...PARTS.flatMap((part) => Object.keys(WARPS).map((transform) => [`${part}_${transform}_interpolation`, (row) => row.parts[part]?.[transform]?.interpolation])),
  ...Object.entries({ local_error: Object.keys(GENERATORS), variance: ALL_TRANSFORMS }).flatMap(([measure, keys]) => PARTS.flatMap((part) =>
    keys.flatMap((key) => numberColumns(`${part}_${measure}_${key}`, (row) => row.parts[part]?.second_opinion?.[measure]?.[key])))),
  ...PARTS.map((part) => [`${part}_deformation_ratio`, (row) => valueOf(row, `deformation.${part}.ratio`)]),
  ...numberColumns("consistency", (row) => row.consistency),
  ["consistency_offset_px", (row) => row.consistency?.offset_px],
  ["consistency_published", (row) => row.consistency?.published],
].map(([name, value]) => [name.toLowerCase(), value]);

/**
 * A row for each model of the leaderboard, with a column for each score and each end of its interval; after them are
 * those of the other measures that any of the rows has.
 */
export function leaderboardCsv(rows) {
  const measures = BOARD_MEASURES.filter(([, value]) => rows.some((row) => value(row) != null));
  const facts = ["audit", "model", "family", "source", "weights", "parameters", "input_size", "imagenet_top1", "images", "finished_at"];
  const scores = comparedTransforms(rows).flatMap((transform) => PARTS.flatMap((part) => BOARD_SCORES.map((name) => [transform, part, name])));
  const cells = ({ id, ...row }) => ({ ...row, audit: id, ...Object.fromEntries(scores.flatMap(([transform, part, name]) => {
    const score = row.parts[part]?.[transform], column = [transform, part, name].join(".");
    return [[column, score?.[name]], [`${column}_low`, score?.[`${name}_interval`]?.[0]], [`${column}_high`, score?.[`${name}_interval`]?.[1]]];
  })), ...Object.fromEntries(measures.map(([name, value]) => [name, value(row)])) });
  return toCsv([...facts, ...scores.flatMap((score) => ["", "_low", "_high"].map((end) => score.join(".") + end)), ...measures.map(([name]) => name)], rows.map(cells));
}

const scoreColumns = (score) => ({
  ...Object.assign({}, ...["channel", "layer", "layer_held_out", "top1_agreement"].map((name) => {
    const [low, high] = score[`${name}_interval`] ?? [];
    return { [name]: score[name], [`${name}_low`]: low, [`${name}_high`]: high };
  })),
  reason: score.reason,
});

const differenceColumns = (scores) => Object.assign({}, ...COMPARED.map((name) => {
  const { value, interval, p_adjusted } = scores?.[name] ?? {};
  return {
    [`${name}_difference`]: value, [`${name}_difference_low`]: interval?.[0], [`${name}_difference_high`]: interval?.[1],
    [`${name}_p_adjusted`]: p_adjusted,
  };
}));

/** RFC 4180, with a header line. */
function toCsv(columns, rows) {
  return [columns, ...rows.map((row) => columns.map((name) => row[name]))].map((row) => `${row.map(cell).join(",")}\r\n`).join("");
}

/** Numbers as they are; text that a spreadsheet would take for a formula gets an apostrophe before it. */
function cell(value) {
  if (value == null) return "";
  if (typeof value === "number") return String(value);
  const text = /^(?:[\t\r\n]|\s*[=+\-@＝＋－＠])/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
