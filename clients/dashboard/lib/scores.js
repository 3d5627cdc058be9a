// The names of parts, transforms and scores, in the order in which tables and files have them.

export const PARTS = ["Early", "Middle", "Late", "Pool", "Final"];
export const TRANSFORMS = ["translation", "rotation"];
export const SCORE_NAMES = ["channel", "layer"];

export const transformLabel = (transform) => transform[0].toUpperCase() + transform.slice(1);

/** The transforms that parts or blocks have scores of: reflection only where it was asked for. */
export const transformsOf = (scored) => (scored.some((one) => one.reflection) ? [...TRANSFORMS, "reflection"] : TRANSFORMS);

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
