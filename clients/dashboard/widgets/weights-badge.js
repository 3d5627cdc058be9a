// The weights of an audit as a badge, which stands out where they are untrained.

import { element } from "../lib/dom.js";

/** `weights` is "pretrained", "untrained" or "checkpoint:NAME". */
export const weightsBadge = (weights) => element("span", { class: "badge", "data-weights": weights.split(":")[0] }, weights);
