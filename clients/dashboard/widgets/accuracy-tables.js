// How scores go with accuracy: Spearman's rank correlation for each part, and what is left given accuracy.

import { partsOf, TRANSFORMS } from "./comparison-table.js";
import { breakable, element, setText } from "../lib/dom.js";
import { fixed, plural } from "../lib/format.js";
import { replaceHeads, sorted, sortHeader } from "./sorting.js";
import { href } from "../lib/url.js";

const title = (transform) => (transform === "translation" ? "Translation" : "Rotation");

/**
 * { node, note, show(comparison, kind) }: rho, its interval, p and the number of models, for each part; where there is
 * none at all, the note says why, once. `show` says whether there is any.
 */
export function relationsTable() {
  const body = element("tbody");
  const head = (text, attributes) => element("th", { scope: "col", ...attributes }, text);
  const columns = ["ρ", "95 % interval", "p", "models"];
  const node = element("table", { class: "scores" },
    element("caption", {}, "Spearman’s rank correlation of the score with ImageNet top-1 accuracy over the models that have both; p of no association, two-sided"),
    element("thead", {},
      element("tr", {}, head("Part", { rowspan: 2 }), TRANSFORMS.map((name) => head(title(name), { scope: "colgroup", colspan: columns.length, class: "group" }))),
      element("tr", {}, TRANSFORMS.flatMap(() => columns.map((name, index) => head(name, { class: index ? "number" : "number first" }))))),
    body);
  const note = element("p", { class: "note" });
  return {
    node,
    note,
    show({ accuracy }, kind) {
      const all = Object.values(accuracy).flatMap((related) => TRANSFORMS.map((transform) => related[transform][kind]));
      const related = all.some(({ spearman }) => spearman != null);
      node.hidden = !related;
      note.hidden = related;
      setText(note, [...new Set(all.map(({ reason }) => reason))].join(" ") + " Top-1 accuracies can be put into the table above.");
      const number = (text, hint) => element("td", { class: "number", title: hint }, text);
      body.replaceChildren(...Object.entries(accuracy).map(([part, related]) =>
        element("tr", {}, element("th", { scope: "row" }, part), TRANSFORMS.flatMap((transform) => {
          const { spearman, interval, p_value: p, models, reason } = related[transform][kind];
          if (spearman == null) return [element("td", { colspan: 4, class: "note reason" }, reason)];
          return [number(fixed(spearman, 2)), number(interval ? `${fixed(interval[0], 2)} to ${fixed(interval[1], 2)}` : "–", reason),
            number(p < 0.001 ? "< 0.001" : fixed(p)), number(String(models))];
        }))));
      return related;
    },
  };
}

/** { node, show(comparison, kind, sort) }: what each score is above the line of all models at the same accuracy. */
export function residualsTable() {
  const caption = element("caption"), groups = element("tr"), heads = element("tr"), body = element("tbody");
  const node = element("table", { class: "compared" }, caption, element("thead", {}, groups, heads), body);
  return {
    node,
    show({ audits, accuracy }, kind, sort) {
      const parts = partsOf(audits).filter((part) => accuracy[part]);
      const residual = (audit, transform, part) => accuracy[part][transform][kind].residuals[audit.id];
      const columns = TRANSFORMS.flatMap((transform) => parts.map((part) => [transform, part]));
      const all = audits.flatMap((audit) => columns.map(([transform, part]) => Math.abs(residual(audit, transform, part) ?? 0)));
      const largest = Math.max(...all);
      const related = audits.filter((audit) => columns.some(([transform, part]) => residual(audit, transform, part) != null));
      caption.textContent = `Residuals of the least-squares line of ${kind} equivariance on top-1 accuracy, of ${plural(related.length, "model")}: `
        + "above 0, more equivariant than others as accurate";
      groups.replaceChildren(element("td"), ...TRANSFORMS.map((name) => element("th", { scope: "colgroup", class: "group", colspan: parts.length }, title(name))));
      const order = { sort, param: "residuals" };
      replaceHeads(heads, [sortHeader("Model", "model", order), ...columns.map(([transform, part]) =>
        sortHeader(part, `${transform}.${part}`, { ...order, first: "-", class: part === parts[0] ? "number first" : "number" }))]);
      const values = { model: (audit) => audit.model, ...Object.fromEntries(columns.map(([transform, part]) =>
        [`${transform}.${part}`, (audit) => residual(audit, transform, part)])) };
      body.replaceChildren(...sorted(related, sort, values).map((audit) =>
        element("tr", {}, element("th", { scope: "row" }, element("a", { class: "model", href: href({ audit: audit.id }) }, breakable(audit.model))),
          columns.map(([transform, part]) => cell(residual(audit, transform, part), largest)))));
    },
  };
}

function cell(value, largest) {
  const text = value == null ? "–" : `${value > 0 ? "+" : ""}${fixed(value)}`;
  const made = element("td", { class: `number heat ${value < 0 ? "below" : ""}` }, text);
  if (value != null && largest) made.style.setProperty("--heat", Math.abs(value) / largest);
  return made;
}
