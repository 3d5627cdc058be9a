// A score as a cell of a table.

import { element } from "../lib/dom.js";
import { fixed, halfWidth } from "../lib/format.js";

/** The channel or the layer equivariance, by its name, out of a score of the service. */
export const estimateOf = (score, name) => ({ value: score[name], interval: score[`${name}_interval`], reason: score.reason });

/** An estimate, with half the width of its confidence interval beside it; the tooltip has the interval, or why there is no value. */
export function scoreCell({ value, interval, reason }) {
  const half = interval && element("small", { class: "half" }, halfWidth(interval));
  const title = interval ? `95 % confidence interval ${fixed(interval[0])} to ${fixed(interval[1])}` : value == null ? reason : null;
  return element("td", { class: "number", title }, fixed(value), half);
}
