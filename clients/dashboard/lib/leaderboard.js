// The rows of the leaderboard: their columns, what the address's filters leave, and the method that they share.

import { furtherTexts, reflectionsText, shiftsText } from "./audit.js";
import { count, plural, ranges } from "./format.js";
import { PARTS } from "./scores.js";

export const SCORES = { channel: "channel", layer: "layer", layer_held_out: "layer, held out" };

/** [transform, part] of each score column of these transforms, in their order. */
export const scoreColumns = (transforms) => transforms.flatMap((transform) => PARTS.map((part) => [transform, part]));

/** The columns that are no scores, as functions from a row to its value. */
export const FACTS = {
  model: (row) => row.model,
  family: (row) => row.family,
  parameters: (row) => row.parameters,
  imagenet_top1: (row) => row.imagenet_top1,
  input_size: (row) => row.input_size,
  consistency: (row) => row.consistency?.value,
};

/** The value of a column such as "rotation.Late.channel", "local_error.Late.scale" or "parameters" in a row. */
export function valueOf(row, column) {
  if (FACTS[column]) return FACTS[column](row);
  const [measure, part, name] = column.split("."), of = row.parts[part];
  if (measure === "deformation") return meanRatio(of?.second_opinion?.deformation ?? []);
  if (measure === "local_error" || measure === "variance") return of?.second_opinion?.[measure]?.[name]?.value;
  return of?.[measure]?.[name];
}

/** The mean R over the displacements; null unless all of them have one. */
function meanRatio(rows) {
  if (!rows.length || rows.some(({ ratio }) => ratio == null)) return null;
  return rows.reduce((sum, { ratio }) => sum + ratio, 0) / rows.length;
}

export const weightsKind = (row) => row.weights.split(":")[0];

/** The score that the address's parameters name, if the rows have it. */
export const shownScore = (query) => (SCORES[query.get("score")] ? query.get("score") : "channel");

export const FILTERS = ["q", "family", "source", "weights", "min_size", "max_size", "min_top1", "max_top1"];

/** The rows that the filters in the address leave; sizes are in millions of parameters. */
export function filtered(rows, query) {
  const words = (query.get("q") ?? "").toLowerCase().split(/[^a-z0-9]+/).filter(Boolean);
  const bound = (name, scale, missing) => (numberIn(query, name) == null ? missing : numberIn(query, name) * scale);
  const [least, most] = [bound("min_size", 1e6, -Infinity), bound("max_size", 1e6, Infinity)];
  const [worst, best] = [bound("min_top1", 1, null), bound("max_top1", 1, null)];
  const isOneOf = (name, value) => !query.get(name) || query.get(name) === value;
  return rows.filter((row) => {
    const name = row.model.toLowerCase();
    return words.every((word) => name.includes(word)) && isOneOf("family", row.family) && isOneOf("source", row.source)
      && isOneOf("weights", weightsKind(row)) && row.parameters >= least && row.parameters <= most
      && (worst == null || (row.imagenet_top1 != null && row.imagenet_top1 >= worst)) && (best == null || (row.imagenet_top1 != null && row.imagenet_top1 <= best));
  });
}

/** The number in a parameter of the address; null where there is none. */
function numberIn(query, name) {
  const text = query.get(name)?.trim().replace(",", ".");
  return text && Number.isFinite(Number(text)) ? Number(text) : null;
}

/** A setting that version 1 of the measure does not have, so that there is no need to name it. */
const later = (value, text = () => "") => (method) => [method.protocol === "1" ? null : value(method), text(method)];

/** The words of one further setting, or that there is none of it. */
const further = (name, none) => (method) => furtherTexts({ [name]: method[name] }).join(", ") || none;

/** For each setting of a method, its value as the address has it, and in words. */
const SETTINGS = {
  dataset: (method) => [method.dataset, method.dataset],
  num_images: (method) => [method.num_images, plural(method.num_images, "image")],
  seed: (method) => [method.seed, `seed ${method.seed}`],
  translations_px: (method) => [ranges(method.translations_px).replaceAll("–", "-").replaceAll(" ", ""), shiftsText(method)],
  direction: later((method) => method.direction ?? "diagonal"),
  rotations_deg: (method) => [method.rotations_deg.join(",") || "none", `rotations ${method.rotations_deg.map((angle) => `${angle}°`).join(", ") || "none"}`],
  reflections: later((method) => method.reflections?.join(",") ?? "none", reflectionsText),
  warps: later(({ warps = [] }) => warps.map(({ kind, amounts }) => `${kind}:${amounts.join(",")}`).join(" ") || "none", further("warps", "no warps")),
  deformation: later(({ deformation: asked }) => (asked ? `${asked.displacements_px.join(",")}:${asked.cutoff}` : "none"), further("deformation", "no deformations")),
  local: later((method) => Boolean(method.local), further("local", "no local error")),
  consistency_draws: later((method) => method.consistency_draws ?? 0, further("consistency_draws", "no consistency")),
  variance: later((method) => Boolean(method.variance), further("variance", "no variance")),
  similarity: (method) => [method.similarity, method.similarity],
  border: (method) => [method.border, `border ${method.border}`],
  precision: (method) => [method.precision, method.precision],
  tolerance: (method) => [method.tolerance ?? "none", method.tolerance == null ? "no tolerance" : `tolerance ${method.tolerance}`],
  protocol: (method) => [method.protocol, `protocol ${method.protocol}`],
  images_sha256: (method) => [method.images_sha256.slice(0, 12), `list of images ${method.images_sha256.slice(0, 8)}`],
};
export const METHOD_PARAMS = Object.keys(SETTINGS);

/** The parameters of the address that choose this method; null for each leaves the choice to the service. */
export const methodParams = (method) => Object.fromEntries(METHOD_PARAMS.map((name) => [name, method && SETTINGS[name](method)[0]]));

/** A name for each method: how many models it has, and the settings in which the methods differ. */
export function methodLabels(methods) {
  const differing = METHOD_PARAMS.filter((name) => new Set(methods.map(({ method }) => SETTINGS[name](method)[1])).size > 1);
  return methods.map(({ method, models }) => [`${count(models)} ${models === 1 ? "model" : "models"}`, ...differing.map((name) => SETTINGS[name](method)[1])].join(" · "));
}
