// What other measures than equivariance say of the blocks of a report; other-measures.js has the same of its parts.

import { breakable, element, scrollable } from "../lib/dom.js";
import { plural, signed } from "../lib/format.js";
import { term } from "../lib/terms.js";
import { keysOf, MAGNITUDES } from "./other-measures.js";
import { wideCard } from "./page-layout.js";
import { table } from "./part-tables.js";

/** A card with a table that unfolds: a row for each block, a column for each number; null if no block has any. */
export function blockMeasures(blocks) {
  const opinions = blocks.map((block) => block.second_opinion).filter(Boolean);
  const sizes = opinions.find(({ deformation }) => deformation?.length)?.deformation ?? [];
  const ratios = ["R of deformations", term("deformation-stability", "R of deformations"), sizes.map(({ displacement_px: displacement }, index) =>
    [`${signed(displacement)} px`, ({ deformation = [] }) => ratioOf(deformation[index])])];
  const groups = [magnitudes("local_error", "local-equivariance-error", opinions), ratios, magnitudes("variance", "transformational-variance", opinions)]
    .filter(([, , columns]) => columns.length);
  if (!groups.length) return null;
  const rows = blocks.map(({ name, part, second_opinion: opinion }) =>
    [[element("code", {}, breakable(name)), element("span", { class: "sub" }, part)], null, groups.flatMap(([, , columns]) => columns.map(([, estimate]) => estimate(opinion ?? {})))]);
  const made = table([`${plural(blocks.length, "block")}, in the order in which they run; what the numbers are is said above, where they stand by part; ± `,
    term("interval", "half of a 95 % confidence interval")], groups.map(([, head, columns]) => [head, columns.map(([label]) => label)]), rows, false, "Block");
  made.classList.add("by-block");
  const names = groups.map(([name]) => name).join(" · ");
  return wideCard("Other measures by block", element("details", {}, element("summary", {}, names), scrollable("Other measures by block", made)));
}

/** [name, head, columns] of a measure that has one magnitude for each key. */
function magnitudes(measure, termName, opinions) {
  const { title, label } = MAGNITUDES[measure];
  return [title, term(termName, title), keysOf(measure, opinions).map((key) => [label(key), (opinion) => opinion[measure]?.[key] ?? {}])];
}

const ratioOf = ({ ratio, ratio_interval: interval, reason } = {}) => ({ value: ratio, interval, reason });
