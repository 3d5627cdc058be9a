// How scores relate to accuracy: Spearman's rank correlation for each part, and the residuals given accuracy.

import { breakable, element, setText } from "../lib/dom.js";
import { fixed, plural } from "../lib/format.js";
import { askedTransforms, partsOf, transformLabel } from "../lib/scores.js";
import { href } from "../lib/url.js";
import { groupedHeaders, groupHeader } from "./column-groups.js";
import { replaceHeaders, sorted, sortHeader } from "./sorting.js";

/**
 * { node, note, show(comparison, scoreName) }: rho, its interval, p and the number of models for each part. If no part
 * has a correlation, `show` hides the table, says why in the note, and returns false.
 */
export function correlationTable() {
  const body = element("tbody");
  const columns = ["ρ", "95 % interval", "p", "models"];
  const heads = (transforms) => groupedHeaders(transforms.map((transform) => [transformLabel(transform), columns]));
  let head = heads([]);
  const node = element("table", { class: "scores" },
    element("caption", {}, "Spearman’s rank correlation of the score with ImageNet top-1 accuracy over the models that have both; two-sided p-value of no association"),
    head, body);
  const note = element("p", { class: "note" });
  return {
    node,
    note,
    show({ accuracy, method }, scoreName) {
      const transforms = askedTransforms(method), heading = heads(transforms);
      head.replaceWith(heading);
      head = heading;
      const relations = Object.values(accuracy).flatMap((part) => transforms.map((transform) => part[transform][scoreName]));
      const correlated = relations.some(({ spearman }) => spearman != null);
      node.hidden = !correlated;
      note.hidden = correlated;
      setText(note, [...new Set(relations.map(({ reason }) => reason))].join(" ") + " Top-1 accuracies can be put into the table above.");
      body.replaceChildren(...Object.entries(accuracy).map(([name, part]) =>
        element("tr", {}, element("th", { scope: "row" }, name), transforms.flatMap((transform) => correlationCells(part[transform][scoreName])))));
      return correlated;
    },
  };
}

function correlationCells({ spearman, interval, p_value: p, models, reason }) {
  if (spearman == null) return [element("td", { colspan: 4, class: "note reason" }, reason)];
  const number = (text, title) => element("td", { class: "number", title }, text);
  return [number(fixed(spearman, 2)), number(interval ? `${fixed(interval[0], 2)} to ${fixed(interval[1], 2)}` : "–", reason),
    number(p < 0.001 ? "< 0.001" : fixed(p)), number(String(models))];
}

/** { node, show(comparison, scoreName, sort) }: how far each score lies above the line that fits all models' scores to their accuracy. */
export function residualsTable() {
  const caption = element("caption"), groupRow = element("tr"), headerRow = element("tr"), body = element("tbody");
  const node = element("table", { class: "compared" }, caption, element("thead", {}, groupRow, headerRow), body);
  return {
    node,
    show({ audits, accuracy, method }, scoreName, sort) {
      const parts = partsOf(audits).filter((part) => accuracy[part]);
      const transforms = askedTransforms(method), columns = transforms.flatMap((transform) => parts.map((part) => [transform, part]));
      const residual = (audit, [transform, part]) => accuracy[part][transform][scoreName].residuals[audit.id];
      const largest = Math.max(...audits.flatMap((audit) => columns.map((column) => Math.abs(residual(audit, column) ?? 0))));
      const fitted = audits.filter((audit) => columns.some((column) => residual(audit, column) != null));
      caption.textContent = `Residuals of the least-squares line of ${scoreName} equivariance on top-1 accuracy, of ${plural(fitted.length, "model")}: `
        + "above 0, more equivariant than others of the same accuracy";
      groupRow.replaceChildren(element("td"), ...transforms.map((transform) => groupHeader(transformLabel(transform), parts.length)));
      const order = { sort, param: "residuals" };
      replaceHeaders(headerRow, [sortHeader("Model", "model", order), ...columns.map(([transform, part]) =>
        sortHeader(part, `${transform}.${part}`, { ...order, first: "-", class: part === parts[0] ? "number first" : "number" }))]);
      const sortValues = {
        model: (audit) => audit.model,
        ...Object.fromEntries(columns.map((column) => [column.join("."), (audit) => residual(audit, column)])),
      };
      body.replaceChildren(...sorted(fitted, sort, sortValues).map((audit) =>
        element("tr", {}, element("th", { scope: "row" }, element("a", { class: "model", href: href({ audit: audit.id }) }, breakable(audit.model))),
          columns.map((column) => residualCell(residual(audit, column), largest)))));
    },
  };
}

/** A residual with its sign, shaded in the colour of that sign and the darker the nearer to the `largest`. */
function residualCell(residual, largest) {
  const text = residual == null ? "–" : `${residual > 0 ? "+" : ""}${fixed(residual)}`;
  const cell = element("td", { class: `number heat ${residual < 0 ? "below" : ""}` }, text);
  if (residual != null && largest) cell.style.setProperty("--heat", Math.abs(residual) / largest);
  return cell;
}
