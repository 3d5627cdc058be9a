// The names of parts, transforms and scores, in the order in which tables and files have them.

import { signed } from "./format.js";

export const PARTS = ["Early", "Middle", "Late", "Pool", "Final"];
export const TRANSFORMS = ["translation", "rotation"];
export const SCORE_NAMES = ["channel", "layer"];

/** The warps, transforms that need interpolation: for each, the kind by which a request names it, and how an amount of it is written. */
export const WARPS = {
  warp_translation: { kind: "translation", unit: " px", text: (amount) => `${signed(amount)} px` },
  warp_rotation: { kind: "rotation", unit: " deg", text: (amount) => `${signed(amount)}°` },
  warp_scale: { kind: "scale", unit: "", text: signed },
  warp_shear: { kind: "shear", unit: "", text: signed },
};
/** The transforms that are there only where they were asked for. */
const LATER = ["reflection", ...Object.keys(WARPS)];
export const ALL_TRANSFORMS = [...TRANSFORMS, ...LATER];

/** In which direction an image changes for the local equivariance error, by the name in reports. */
export const GENERATORS = { translation_x: "translation x", translation_y: "translation y", rotation: "rotation", scale: "scale", shear: "shear" };

/** "Rotation", "Warp rotation". */
export const transformLabel = (transform) => (transform[0].toUpperCase() + transform.slice(1)).replace("_", " ");

/** The transforms that a request, or the method of a report, asks for. */
export function askedTransforms({ translations_px: shifts, rotations_deg: angles, reflections = [], warps = [] }) {
  const amounts = { translation: shifts, rotation: angles, reflection: reflections };
  return ALL_TRANSFORMS.filter((transform) => (amounts[transform] ? amounts[transform].length > 0 : warps.some(({ kind }) => kind === WARPS[transform].kind)));
}

/** The transforms that parts or blocks have scores of, be they empty since they were not asked for. */
export const transformsOf = (scored) => [...TRANSFORMS, ...LATER.filter((transform) => scored.some((one) => one[transform]))];

/** The transform of a row of a score, such as "8 px", "90°", "horizontal" or, of a warp, its amount. */
export function rowLabel(transform, row) {
  if (WARPS[transform]) return WARPS[transform].text(row.amount);
  return row.axis ?? ("shift_px" in row ? `${row.shift_px} px` : `${row.angle_deg}°`);
}

/** The same of compared audits. */
export const comparedTransforms = (audits) => transformsOf(audits.flatMap((audit) => Object.values(audit.parts)));

/** The mean top-1 agreement of a score; older reports have it in the rows of the transforms only. */
export function meanAgreement(score) {
  if (score.top1_agreement != null) return score.top1_agreement;
  const values = score.by_transform.map((row) => row.top1_agreement).filter((value) => value != null);
  return values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : null;
}

/** The parts that at least one of the compared audits has. */
export const partsOf = (audits) => PARTS.filter((part) => audits.some((audit) => audit.parts[part]));

/** Tells whether another of the audits is of the same model and weights. */
export const hasTwin = (audits, audit) => audits.some(({ id, model, weights }) => id !== audit.id && model === audit.model && weights === audit.weights);

/** The model's name, with the weights or the start of the id where another audit has the same. */
export function nameAmong(audits, audit) {
  if (!audits.some(({ id, model }) => id !== audit.id && model === audit.model)) return audit.model;
  return `${audit.model} (${hasTwin(audits, audit) ? audit.id.slice(0, 8) : audit.weights})`;
}
