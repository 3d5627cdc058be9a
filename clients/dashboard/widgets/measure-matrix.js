// The matrix of a second opinion: how any two measures correlate, as a table coloured by rho; and what each measure means.

import { fresh } from "../lib/api.js";
import { element } from "../lib/dom.js";
import { fixed } from "../lib/format.js";
import { term } from "../lib/terms.js";

const FEW = 6; // up to so many measures, there is room for intervals
const PROVES_ORDER = 5; // from so many points on, a perfect order, which has no interval, is no chance

/** { node, show(matrix) }: a row and a column for each measure; blue agrees, orange disagrees. */
export function measureMatrix() {
  const caption = element("caption"), head = element("tr"), body = element("tbody");
  const node = element("table", { class: "compared measures" }, caption, element("thead", {}, head), body);
  return {
    node,
    show({ measures, pairs, points, level }) {
      const pairOf = new Map(pairs.flatMap((pair) => [[`${pair.first} ${pair.second}`, pair], [`${pair.second} ${pair.first}`, pair]]));
      const among = level === "blocks" ? `${points} blocks, Early to Late` : `${points} models, ${level === "depth" ? "by the mean of Early, Middle and Late" : level}`;
      caption.textContent = `From −1 (opposite order, orange) to +1 (same order, blue), over ${among}. ↓ marks measures that are lower for the more `
        + "equivariant network; they are turned around. Bold where the interval leaves out 0, or where five or more are in the very same or the opposite order.";
      head.replaceChildren(element("td"), ...measures.map(({ label }, index) =>
        element("th", { scope: "col", class: "number", title: label, "aria-label": label }, String(index + 1))));
      body.replaceChildren(...measures.map((row, index) => element("tr", {},
        element("th", { scope: "row" }, `${index + 1} `, term(row.term, named(row))),
        measures.map((column) => (row === column ? element("td", { class: "number self" }, "") : cell(pairOf.get(`${row.name} ${column.name}`), measures.length <= FEW))))));
    },
  };
}

const named = ({ label, lower_is_better: lower }) => (lower ? `${label} ↓` : label);

const signed = (rho) => `${rho < 0 ? "" : "+"}${fixed(rho, 2)}`;

function cell({ rho, interval, n, reason }, hasRoom) {
  const isSure = rho != null && (interval ? interval[0] > 0 || interval[1] < 0 : n >= PROVES_ORDER);
  const range = interval && `95 % interval ${signed(interval[0])} to ${signed(interval[1])}`;
  const title = [range, reason, rho != null && `n ${n}`].filter(Boolean).join("; ");
  const classes = ["number", "heat", rho < 0 && "below", isSure && "sure"].filter(Boolean).join(" ");
  const ends = hasRoom && interval && element("small", { class: "half" }, `${signed(interval[0])} to ${signed(interval[1])}`);
  const made = element("td", { class: classes, title }, rho == null ? "–" : signed(rho), ends);
  if (rho != null) made.style.setProperty("--heat", Math.abs(rho));
  return made;
}

/** { node, show(measures) }: what the measures mean, in the service's words, each term once. */
export function measureMeanings() {
  const node = element("dl");
  return {
    node,
    async show(measures) {
      const names = [...new Set(["channel", "layer", ...measures.map((measure) => measure.term)])];
      try {
        const { terms } = await fresh("terms");
        node.replaceChildren(...names.flatMap((name) => [element("dt", {}, term(name, terms[name].word)), element("dd", {}, terms[name].meaning)]));
      } catch (error) {
        node.replaceChildren(element("dd", {}, error.message));
      }
    },
  };
}
