// The names of parts, transforms and scores, in the order in which tables and files have them.

export const PARTS = ["Early", "Middle", "Late", "Pool", "Final"];
export const TRANSFORMS = ["translation", "rotation"];
export const SCORE_NAMES = ["channel", "layer"];

export const transformLabel = (transform) => (transform === "translation" ? "Translation" : "Rotation");

/** The parts that at least one of the compared audits has. */
export const partsOf = (audits) => PARTS.filter((part) => audits.some((audit) => audit.parts[part]));
