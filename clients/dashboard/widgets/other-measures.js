// What other measures than equivariance say of a report's parts: local error, deformations, variance, and consistency.

import { element, scrollable } from "../lib/dom.js";
import { fixed, halfWidth, plural, signed } from "../lib/format.js";
import { GENERATORS, transformLabel } from "../lib/scores.js";
import { term } from "../lib/terms.js";
import { wideCard } from "./page-layout.js";
import { table } from "./part-tables.js";

/** For which change of the image the local equivariance error is. */
const UNITS = { translation_x: "px", translation_y: "px", rotation: "°", scale: "%", shear: "1" };

/** A card for each measure that the report has; beside each number that of the untrained architecture, if it was asked for. */
export function otherMeasures({ parts, consistency, baseline }) {
  const opinions = Object.entries(parts).filter(([, part]) => part.second_opinion).map(([name, part]) => [name, part.second_opinion, baseline?.second_opinion?.[name]]);
  return [
    magnitudeCard(opinions, "local_error", "Local equivariance error", (generator) => `${transformLabel(GENERATORS[generator])}, per ${UNITS[generator]}`,
      term("local-equivariance-error", "Local equivariance error"), ": the change of a representation that does not go along with a small change of the image, relative to its spread; 0 is equivariant, and 1 is no bound"),
    deformationCard(opinions),
    magnitudeCard(opinions, "variance", "Variance", transformLabel,
      term("transformational-variance", "Variance over the transforms"), ", at each place of the map, by the variance over images; 0 is invariant, and 1 says that transforms change as much as other images do"),
    consistency && consistencyCard(consistency, baseline?.consistency),
  ].filter(Boolean);
}

/** The card of a measure that has one magnitude for each key, such as each generator; null if no part has any. */
function magnitudeCard(opinions, measure, title, label, ...caption) {
  const keys = [...new Set(opinions.flatMap(([, opinion]) => Object.keys(opinion[measure] ?? {})))];
  if (!keys.length) return null;
  const hasUntrained = opinions.some(([, , untrained]) => untrained?.[measure]);
  const rows = opinions.map(([name, opinion, untrained]) => [name, null, keys.flatMap((key) =>
    [opinion[measure]?.[key] ?? {}, ...(hasUntrained ? [untrained?.[measure]?.[key] ?? {}] : [])])]);
  const columns = hasUntrained ? ["trained", "untrained"] : ["value"];
  return wideCard(title, scrollable(title, table([...caption, "; ± ", term("interval", "half of a 95 % confidence interval")], keys.map((key) => [label(key), columns]), rows)));
}

/** The card of the stability to deformations: D, G and R of each part at each size; null if no part has any. */
function deformationCard(opinions) {
  const rowsOf = (opinion) => opinion?.deformation ?? [];
  const sizes = opinions.map(([, opinion]) => rowsOf(opinion)).sort((a, b) => b.length - a.length)[0] ?? [];
  if (!sizes.length) return null;
  const hasUntrained = opinions.some(([, , untrained]) => rowsOf(untrained).length);
  const estimates = (row = {}, untrained = {}) => {
    const { deformation, noise, ratio, ratio_interval: interval, reason } = row;
    return [{ value: deformation, reason }, { value: noise, reason }, { value: ratio, interval, reason },
      ...(hasUntrained ? [{ value: untrained.ratio, interval: untrained.ratio_interval, reason: untrained.reason }] : [])];
  };
  const rows = opinions.map(([name, opinion, untrained]) =>
    [name, null, sizes.flatMap((_, index) => estimates(rowsOf(opinion)[index], rowsOf(untrained)[index]))]);
  const groups = sizes.map(({ displacement_px: displacement, gradient }) =>
    [`${signed(displacement)} px, gradient ${fixed(gradient)}`, ["D", "G", "R", ...(hasUntrained ? ["R untrained"] : [])]]);
  return wideCard("Deformations", scrollable("Deformations", table([
    term("deformation-stability", "Stability to smooth deformations"), ", by their mean displacement and the root mean square of its gradient: D is how far they move a "
    + "representation, relative to another image; G the same for noise as strong; R = D / G, below 1 more stable to deformations than to noise"], groups, rows)));
}

function consistencyCard({ draws, offset_px: offset, value, interval, reason, published }, untrained) {
  const told = (estimate) => [fixed(estimate.value), estimate.interval && element("small", { class: "half" }, ` ${halfWidth(estimate.interval)}`)].filter(Boolean);
  const pairs = [
    ["Measured", told({ value, interval })],
    published != null && ["Published, on all of ImageNet’s validation set", [fixed(published)]],
    untrained && ["Untrained", told(untrained)],
  ].filter(Boolean);
  const list = element("dl", { class: "facts" }, pairs.map(([term, words]) => element("div", {}, element("dt", {}, term), element("dd", {}, words))));
  return wideCard("Shift consistency", element("div", {}, list), element("p", { class: "note" },
    term("shift-consistency", "Shift consistency"), `: how often two windows of an image are of one top-1 class. ${plural(draws, "pair")} of windows of each image, at random offsets of up to ${offset} px. ${reason ?? ""}`.trim()));
}
