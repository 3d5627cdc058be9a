// What other measures than equivariance say of the parts of a report or of compared audits: local error, deformations,
// variance, and consistency.

import { breakable, element, scrollable } from "../lib/dom.js";
import { fixed, plural, signed, spread } from "../lib/format.js";
import { ALL_TRANSFORMS, GENERATORS, nameAmong, partsOf, transformLabel } from "../lib/scores.js";
import { term } from "../lib/terms.js";
import { href } from "../lib/url.js";
import { wideCard } from "./page-layout.js";
import { table } from "./part-tables.js";

/** For which change of the image the local equivariance error is. */
const UNITS = { translation_x: "px", translation_y: "px", rotation: "°", scale: "%", shear: "1" };
/** The measures that have one magnitude for each key, such as each generator, in the order of `keys`. */
export const MAGNITUDES = {
  local_error: {
    title: "Local equivariance error", keys: Object.keys(GENERATORS), label: (generator) => `${transformLabel(GENERATORS[generator])}, per\u00a0${UNITS[generator]}`,
    caption: () => [term("local-equivariance-error", "Local equivariance error"), ": the change of a representation that does not go along with a small change of the image, relative to its spread; 0 is equivariant, and 1 is no bound"],
  },
  variance: {
    title: "Variance", keys: ALL_TRANSFORMS, label: transformLabel,
    caption: () => [term("transformational-variance", "Variance over the transforms"), ", at each place of the map, by the variance over images; 0 is invariant, and 1 says that transforms change as much as other images do"],
  },
};

/** The keys of a measure for which any of these second opinions has a magnitude. */
export const keysOf = (measure, opinions) => MAGNITUDES[measure].keys.filter((key) => opinions.some((opinion) => opinion[measure]?.[key]));

const withHalves = (caption) => [...caption, "; ± ", term("interval", "half of a 95 % confidence interval")];

/** A card for each measure that the report has; beside each number that of the untrained architecture, if it was asked for. */
export function otherMeasures({ parts, consistency, baseline }) {
  const opinions = Object.entries(parts).filter(([, part]) => part.second_opinion).map(([name, part]) => [name, part.second_opinion, baseline?.second_opinion?.[name]]);
  return [
    magnitudeCard(opinions, "local_error"),
    deformationCard(opinions),
    magnitudeCard(opinions, "variance"),
    consistency && consistencyCard(consistency, baseline?.consistency),
  ].filter(Boolean);
}

/** A card for each measure that any of the compared audits has, with a row for each audit and a column for each part. */
export function comparedMeasures({ audits }) {
  const magnitudes = (measure) => comparedCard(audits, MAGNITUDES[measure].title, MAGNITUDES[measure].caption(), (opinion) =>
    keysOf(measure, [opinion]).map((key) => [MAGNITUDES[measure].label(key), opinion[measure][key]]));
  const ratios = ({ deformation = [] }) => deformation.map(({ displacement_px: displacement, ratio: value, ratio_interval: interval, reason }) =>
    [`${signed(displacement)} px`, { value, interval, reason }]);
  return [
    magnitudes("local_error"),
    comparedCard(audits, "Deformations", [term("deformation-stability", "Stability to smooth deformations"), ", by their mean displacement: R, how far they move a "
      + "representation, relative to noise as strong; below 1 more stable to deformations than to noise"], ratios),
    magnitudes("variance"),
    comparedConsistencies(audits),
  ].filter(Boolean);
}

/** The card of a measure for which a second opinion has these [label, estimate] pairs; null if no part of any audit has one. */
function comparedCard(audits, title, caption, pairsOf) {
  const parts = partsOf(audits);
  const found = audits.map((audit) => parts.map((part) => new Map(pairsOf(audit.parts[part]?.second_opinion ?? {}))));
  const labels = [...new Set(found.flat().flatMap((estimates) => [...estimates.keys()]))];
  return labels.length > 0 && comparedRows(audits, title, withHalves(caption), labels.map((label) => [label, parts]),
    found.map((ofAudit) => labels.flatMap((label) => ofAudit.map((estimates) => estimates.get(label) ?? {}))));
}

function comparedConsistencies(audits) {
  const found = audits.map(({ consistency }) => consistency), asked = found.filter(Boolean);
  if (!asked.length) return null;
  const hasPublished = asked.some(({ published }) => published != null);
  const caption = [...consistencyMeaning(asked), hasPublished && " Published is that of all of ImageNet’s validation set."].filter(Boolean);
  return comparedRows(audits, "Shift consistency", caption, [["Consistency", ["measured", ...(hasPublished ? ["published"] : [])]]],
    found.map((one = {}) => [one, ...(hasPublished ? [{ value: one.published }] : [])]));
}

/** `estimates` are those of each audit, in the order of the columns of `groups`. */
function comparedRows(audits, title, caption, groups, estimates) {
  const link = (audit) => element("a", { class: "model", href: href({ audit: audit.id }) }, breakable(nameAmong(audits, audit)));
  const made = table(caption, groups, audits.map((audit, index) => [link(audit), null, estimates[index]]), false, "Model");
  made.classList.add("compared");
  return wideCard(title, scrollable(title, made));
}

/** The card of a measure that has one magnitude for each key; null if no part has any. */
function magnitudeCard(opinions, measure) {
  const { title, label, caption } = MAGNITUDES[measure];
  const keys = keysOf(measure, opinions.map(([, opinion]) => opinion));
  if (!keys.length) return null;
  const hasUntrained = opinions.some(([, , untrained]) => untrained?.[measure]);
  const rows = opinions.map(([name, opinion, untrained]) => [name, null, keys.flatMap((key) =>
    [opinion[measure]?.[key] ?? {}, ...(hasUntrained ? [untrained?.[measure]?.[key] ?? {}] : [])])]);
  const columns = hasUntrained ? ["trained", "untrained"] : ["value"];
  return wideCard(title, scrollable(title, table(withHalves(caption()), keys.map((key) => [label(key), columns]), rows)));
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

/** What consistencies of as many draws are; the offsets are as large as the models' canvases let them be. */
function consistencyMeaning(consistencies) {
  const [{ draws }] = consistencies, offsets = [...new Set(consistencies.map(({ offset_px: offset }) => offset))];
  return [term("shift-consistency", "Shift consistency"),
    `: how often two windows of an image are of one top-1 class. ${plural(draws, "pair")} of windows of each image, at random offsets of up to ${offsets.join(" or ")} px.`];
}

function consistencyCard(consistency, untrained) {
  const { value, interval, reason, published } = consistency;
  const told = (estimate) => [fixed(estimate.value), estimate.interval && element("small", { class: "half" }, ` ${spread(estimate.value, estimate.interval)}`)].filter(Boolean);
  const pairs = [
    ["Measured", told({ value, interval })],
    published != null && ["Published, on all of ImageNet’s validation set", [fixed(published)]],
    untrained && ["Untrained", told(untrained)],
  ].filter(Boolean);
  const list = element("dl", { class: "facts" }, pairs.map(([term, words]) => element("div", {}, element("dt", {}, term), element("dd", {}, words))));
  return wideCard("Shift consistency", element("div", {}, list), element("p", { class: "note" }, consistencyMeaning([consistency]), reason && ` ${reason}`));
}
