// A score as a cell of a table.

import { element } from "../lib/dom.js";
import { fixed, spread } from "../lib/format.js";
import { explained } from "../lib/terms.js";

/** The channel or the layer equivariance, by its name, out of a score of the service. */
export const estimateOf = (score, name) => ({ value: score[name], interval: score[`${name}_interval`], reason: score.reason });

/** An estimate, with its confidence interval beside it; the tooltip has the interval, or why there is no value.
 *  An `extra` one has no column on a narrow screen; there it stands `below` another. */
export function scoreCell({ value, interval, reason, extra, below }) {
  const half = interval && element("small", { class: "half" }, spread(value, interval));
  const title = interval ? `95 % confidence interval ${fixed(interval[0])} to ${fixed(interval[1])}` : value == null ? reason : null;
  const small = below && element("small", { class: "below only-narrow" }, explained(below.extra), " ", fixed(below.value));
  return element("td", { class: extra ? "number only-wide" : "number", title }, fixed(value), half, small);
}
